/* The messages between a dispatcher and a worker, as structs: the same list for the local pool
 * (in-process) and, encoded, for workers on other machines. Who sends what:
 *
 *   worker -> dispatcher                    dispatcher -> worker
 *   HELLO      who I am, what I have,       WELCOME     session and generation; then STALE for
 *              what I still hold                        what was declared and is not accepted
 *   CREDIT     granted_total, cumulative    ASSIGN      one task, under a token
 *   FUNCTION_GET  send me this function     FUNCTION    the pickled callable (or: unknown)
 *   ASSIGN_ACK which ASSIGNs have come      RESULT_ACK  recorded, durable: forget it
 *   STARTED    a child has begun the task
 *   LOG        what it prints meanwhile
 *   RESULT     how the attempt ended;       STALE       not recorded, token is old: forget it
 *              resent until ACK or STALE    CANCEL      end this attempt (kill what runs)
 *   HEARTBEAT  alive, tokens in flight      HEARTBEAT   the answer: alive
 *   DRAIN      I take no more, I leave      DRAIN       take no more; or take tasks again
 *   BYE        drained, leaving             BYE         go: unknown here, or refused, and why
 *
 * A message owns its blobs and strings; wire_msg_release() gives them up. Task ids in messages from
 * a worker are claims until the core has compared the token. */
#ifndef FARHAND_WIRE_MSG_H
#define FARHAND_WIRE_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/id.h"
#include "base/record.h"

/* Compared for equality only, and never issued twice for one task: the attempt is the task's own,
 * the generation is made durable once at each start of a dispatcher. */
struct task_token {
	uint32_t attempt;
	uint32_t generation;
};

static inline bool task_token_equal(struct task_token a, struct task_token b)
{
	return a.attempt == b.attempt && a.generation == b.generation;
}

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_WELCOME,
	WIRE_CREDIT,
	WIRE_ASSIGN,
	WIRE_FUNCTION_GET,
	WIRE_FUNCTION,
	WIRE_STARTED,
	WIRE_RESULT,
	WIRE_RESULT_ACK,
	WIRE_STALE,
	WIRE_CANCEL,
	WIRE_HEARTBEAT,
	WIRE_DRAIN,
	WIRE_BYE,
	WIRE_ASSIGN_ACK,
	WIRE_LOG,
	WIRE_TYPE_END,
};

/* STARTED, RESULT_ACK, STALE, CANCEL */
struct wire_ref {
	struct fh_id task;
	struct task_token token;
};

/* A list of (task, token), owned. */
struct wire_refs {
	uint32_t count;
	struct wire_ref *list;
};

/* Who decides when a task goes out. PUSH: the dispatcher, to the least loaded worker, as far as the
 * worker's window allows. PULL: the worker asks for as much as it could begin at once. */
enum wire_mode { WIRE_PUSH, WIRE_PULL, WIRE_MODE_END };

struct wire_hello {
	struct fh_id instance; /* random, made at the worker's start */
	uint32_t slots;	       /* places for one running task each */
	char runtime[8];       /* "cp311" */
	char *host;	       /* its name, for people; NULL: not known */
	enum wire_mode mode;
	uint32_t cores;	    /* of the host; 0: not known */
	uint64_t mem_bytes; /* of the host; 0: not known */
	char *labels;	    /* "gpu=1,site=lab", sorted by name; NULL: none */
	char *modules; /* top-level modules that can be imported, "abc,aifc,..."; NULL: unknown */
	struct wire_refs in_flight; /* what it holds: queued, running, or with a result to say */
};

struct wire_welcome {
	uint32_t session;
	uint32_t generation;
	uint32_t silence_ms; /* who has heard nothing for so long has been given up; 0: never */
};

struct wire_credit {
	uint64_t granted_total; /* how many ASSIGNs this session may have received in all */
};

struct wire_assign {
	struct fh_id task;
	struct task_token token;
	uint64_t number; /* of the ASSIGNs over this connection; the first one is 1 */
	struct fh_id function;
	struct blob *payload;
	uint32_t timeout_ms; /* 0: none */
	uint64_t mem_bytes;  /* 0: none */
	char *retry_classes; /* comma-separated, or NULL: the runner says whether one matched */
	bool ahead;	     /* handed ahead: expected to be short, may share a child's pipe */
};

struct wire_function_get {
	struct fh_id function;
};

struct wire_function {
	struct fh_id function;
	struct blob *payload; /* NULL: unknown to the dispatcher */
	enum serializer serializer;
};

struct wire_result {
	struct fh_id task;
	struct task_token token;
	bool retry_match; /* the exception is of one of `retry_classes` */
	struct task_result
		result; /* CANCELLED only as the answer to a CANCEL;
			   reason WORKER_LOST: the attempt was lost, not the task's doing */
};

struct wire_heartbeat {
	/* From a worker: the number of the last ASSIGN that had come when the list was made; those
	 * up to here that are not in it need no waiting for. From a dispatcher: of the last one
	 * that it has sent. */
	uint64_t assigns;
	struct wire_refs in_flight; /* from a dispatcher: empty */
};

/* Cumulative, so that one is enough for many ASSIGNs, and a lost one does no harm. */
struct wire_assign_ack {
	uint64_t assigns; /* the number of the last ASSIGN that has come over this connection */
};

/* A piece of what a running task has printed. A copy: all of it comes with RESULT again. */
struct wire_log {
	struct fh_id task;
	struct task_token token;
	bool is_error;	 /* stderr; otherwise stdout */
	uint64_t offset; /* bytes of this stream before it */
	struct blob *data;
};

enum wire_drain_how {
	WIRE_DRAIN_LEAVE, /* take no more, finish what you have, say BYE */
	WIRE_DRAIN_STAY,  /* take no more, until told otherwise */
	WIRE_DRAIN_OVER,  /* take tasks again */
	WIRE_DRAIN_END,
};

struct wire_drain {
	enum wire_drain_how how;
};

enum wire_bye_why {
	WIRE_BYE_DRAINED, /* from a worker: it holds nothing any more */
	WIRE_BYE_UNKNOWN, /* there is no such session (any more): say HELLO */
	WIRE_BYE_REFUSED, /* the other side is at fault, or there are too many; see `text` */
	WIRE_BYE_END,
};

struct wire_bye {
	enum wire_bye_why why;
	char *text; /* a sentence for people, or NULL */
};

struct wire_msg {
	enum wire_type type;
	union {
		struct wire_hello hello;
		struct wire_welcome welcome;
		struct wire_credit credit;
		struct wire_assign assign;
		struct wire_function_get function_get;
		struct wire_function function;
		struct wire_ref ref;
		struct wire_result result;
		struct wire_heartbeat heartbeat;
		struct wire_drain drain;
		struct wire_bye bye;
		struct wire_assign_ack assign_ack;
		struct wire_log log;
	};
};

/* Gives up what the message owns and zeroes it. Safe on a zeroed message. */
void wire_msg_release(struct wire_msg *m);

/* "ASSIGN"; "UNKNOWN" outside the list. */
const char *wire_type_name(enum wire_type t);

#endif
