/* What the oracle knows of a task, a group and a request. A task is a `subject` from the moment a
 * client proposes it: a request that is sent again proposes new ids each time, and the store lets
 * one of the tries in, at most. */
#ifndef FARHAND_SIM_SUBJECT_H
#define FARHAND_SIM_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/record.h"
#include "script.h"
#include "wire/msg.h"

enum {
	BATCH_MAX = 24,
	TOKENS_MAX = 64,
	NO_TOKEN = TOKENS_MAX,
};

struct group_model {
	struct fh_id id;
	bool durable, told;
	uint64_t total, counts[TASK_STATE_COUNT];
	/* Who follows it by cursor */
	bool following;
	uint64_t cursor, delivered;
};

/* What a client asks for in one item. */
struct wish {
	struct script script;
	struct task_options options;
	uint32_t labels;   /* that it asks for, a bit each */
	bool doomed;	   /* hangs until it is cancelled, which clients see to */
	uint32_t function; /* index; FUNCTIONS: one that is not there */
	bool by_default;   /* says nothing of retries: `options` has the function's */
	uint32_t bytes;
};

struct request {
	uint32_t index;
	bool keyed, single, wants_group;
	char key[24];
	struct group_model *into; /* an existing group, or NULL */
	uint32_t count;
	struct wish wishes[BATCH_MAX];
	uint32_t tries;
	bool in_flight, settled; /* settled: a definite answer has come */
	bool accepted;
	int64_t send_us;
	/* The oracle's */
	uint32_t durable_try; /* 0: none yet */
	struct fh_id durable_ids[BATCH_MAX];
	struct group_model *durable_group;
};

struct subject {
	struct fh_id id;
	struct request *request;
	const struct wish *wish;
	uint32_t try;
	struct group_model *group; /* or NULL */
	bool refused;		   /* a client was told: never */
	bool durable, told;
	uint64_t asked_at, told_at; /* order of the moments when it was asked for and accepted */

	int64_t durable_us; /* since when */

	/* As the store must have it */
	struct task_tally tally;
	bool started_once;
	uint32_t start_life; /* the dispatcher's life that recorded its only start; 0: none */
	int64_t due_ms;	     /* 0: at once */
	bool final;
	enum task_state state;
	enum task_reason reason;
	uint64_t value, finish_seq;
	uint32_t output_token; /* the attempt whose output is recorded; NO_TOKEN: none's */
	uint64_t durable_commit, final_commit; /* numbers of commits */
	bool told_final;
	uint32_t delivered; /* how often the group's follower has got it */

	bool cancel_asked;
	uint32_t cancel_life; /* of the dispatcher that has said that it is being ended; 0: none */

	/* At the workers */
	struct task_token tokens[TOKENS_MAX];
	uint64_t numbers[TOKENS_MAX]; /* of the host's process that it was sent to; 0: of none */
	uint32_t token_count;
	bool begun[TOKENS_MAX];	       /* by a child */
	int64_t fenced_us[TOKENS_MAX]; /* its worker has given it up then; 0: it has not */

	/* As the dispatcher must have it (oracle_lease.c) */
	uint32_t lease;		   /* which token; NO_TOKEN: nobody has it */
	uint64_t holder;	   /* the number of its worker */
	uint64_t adopted_in;	   /* the run in which it was adopted; 0: it was assigned */
	bool late;		   /* ... its worker had come without it before */
	uint64_t sent_no;	   /* its ASSIGN over that connection */
	uint32_t missing;	   /* lists in a row that did not name it */
	bool arrived;		   /* the last list came behind its ASSIGN */
	bool told_stale;	   /* its worker was, in this run */
	bool came_lost, came_left; /* its worker has come anew in this run, after it was */
	bool alone;		   /* it has to be */
	bool reported;		   /* its worker has said how it ended */
	bool given_back;	   /* ... namely that it was lost */
	uint32_t closing;	   /* the token whose end is on its way to the store; or NO_TOKEN */
	uint64_t closing_by, closing_serial;
};

#endif
