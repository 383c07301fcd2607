/* What a worker's session wants done. The agent performs the actions of one step in order, before
 * it tells the session the next event.
 *
 * The session holds no bytes. What travels beside an event (a task's ASSIGN with its payload, a
 * FUNCTION, a result) is kept by whoever drives the session, in arrays indexed by
 * session_job_index() and by `function`. A KEEP says that what came with the event of this step
 * belongs to that index from now on, a FORGET that it is to be released. What came and was not kept
 * is released after the step. */
#ifndef FARHAND_WORKER_ACTION_H
#define FARHAND_WORKER_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"
#include "wire/msg.h"

enum session_action_kind {
	/* Ownership */
	SESSION_DO_KEEP_ASSIGN,	    /* the event's ASSIGN is `job`'s */
	SESSION_DO_KEEP_RESULT,	    /* the event's result is `job`'s; its ASSIGN is done with */
	SESSION_DO_FORGET,	    /* all that was kept for `job` */
	SESSION_DO_KEEP_FUNCTION,   /* the event's FUNCTION is `function`'s */
	SESSION_DO_FORGET_FUNCTION, /* what was kept for `function` */

	/* To the runner */
	SESSION_DO_RUN,	  /* `job` of `function` on `slot`; event REFUSED if it does not take it */
	SESSION_DO_STEAL, /* from `slot`, what waits behind the running job */
	SESSION_DO_KILL,  /* `job` on `slot`, for `reason` */

	/* To the dispatcher. One that the transport does not take is dropped: a timer says again
	 * what the dispatcher cannot do without. */
	SESSION_DO_SEND_HELLO,
	SESSION_DO_SEND_CREDIT,	      /* `granted_total` */
	SESSION_DO_SEND_FUNCTION_GET, /* `id` */
	SESSION_DO_SEND_ASSIGN_ACK,   /* `assigns` */
	SESSION_DO_SEND_STARTED,      /* `ref` */
	SESSION_DO_SEND_LOG,	      /* `ref`, `piece` of what `job` on `slot` has printed */
	SESSION_DO_SEND_RESULT,	      /* `ref` and a copy of the result that is kept for `job`, or
					 if none was, one made of `state` and `reason` */
	SESSION_DO_SEND_HEARTBEAT,    /* with the list of session_in_flight() */
	SESSION_DO_SEND_DRAIN,	      /* it takes no more: what it was granted is void */
	SESSION_DO_SEND_BYE,

	/* To the transport and to the owner */
	SESSION_DO_RECONNECT,	 /* give this connection up and make another one; `why` */
	SESSION_DO_TELL_REFUSED, /* the event's BYE says why there will be no session */
};

enum {
	/* Of one step. What does not fit comes with the next; enough for a full pipe of jobs and
	 * their bookkeeping. */
	SESSION_ACTIONS_MAX = 128,
};

enum session_reconnect_why {
	SESSION_UNANSWERED, /* HELLO had no answer */
	SESSION_UNKNOWN,    /* the dispatcher does not know this session any more */
	SESSION_OVERSLEPT,  /* this process was stopped for so long that it may be given up */
	SESSION_FENCED,	    /* nothing was heard for too long: what ran is being ended */
};

/* Bytes of a stream that a job prints, in the runner. */
struct session_piece {
	bool is_error; /* stderr; otherwise stdout */
	uint64_t from, to;
};

struct session_action {
	enum session_action_kind kind;
	uint32_t slot;
	uint32_t function;
	uint64_t job;  /* 0 in SEND_RESULT: an ASSIGN that was refused; nothing was kept */
	bool announce; /* RUN: `started` is wanted at once */
	bool kept;     /* SEND_RESULT: a result was kept */
	enum session_reconnect_why why; /* RECONNECT */
	enum task_state state;
	enum task_reason reason;
	struct session_piece piece; /* SEND_LOG */
	union {
		struct wire_ref ref;
		struct fh_id id;
		uint64_t granted_total;
		uint64_t assigns;
	};
};

struct session_actions {
	uint32_t count;
	bool more; /* step again with TICKED after performing these */
	struct session_action list[SESSION_ACTIONS_MAX];
};

#endif
