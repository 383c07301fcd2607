/* What may happen to the core: past tense, one struct each. Together with action.h this is the
 * whole vocabulary of scheduling. Times are microseconds of a monotonic clock that the caller
 * reads. Arrays in an event are borrowed for the step. */
#ifndef FARHAND_CORE_EVENT_H
#define FARHAND_CORE_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/record.h"
#include "wire/msg.h"

#define CORE_NO_REF	UINT32_MAX
#define CORE_NO_SESSION UINT32_MAX

/* What the core must know of a task. `ref` names its place in the window, 0..window_max-1: the
 * dispatcher keeps payload and record under the same number. */
struct core_spec {
	struct fh_id id;
	uint32_t account;
	uint32_t class_ix;	    /* < CORE_CLASSES_MAX: what it needs of a worker */
	uint32_t function;	    /* handle < functions_max */
	uint32_t bytes;		    /* of payload */
	int32_t priority;	    /* -100..100 */
	uint32_t retries, retry_on; /* mask of enum retry_on */
	uint32_t backoff_initial_ms, backoff_max_ms, backoff_factor_milli;
	struct task_tally tally; /* so far, as recorded */
	uint32_t timeout_ms;	 /* 0: none */
	int64_t not_before_us;	 /* 0 or past: at once */
	int64_t expires_us;	 /* not started by then: FAILED(expired); 0: never */
	bool at_most_once;
	bool started_once; /* at_most_once and an ASSIGN may have left: never again */
	uint32_t ref;	   /* written by the core: a place, or CORE_NO_REF (backlog) */
};

enum core_event_kind {
	CORE_EV_CONTINUED, /* the last step had more to do than fits */
	CORE_EV_TICKED,	   /* time passed; see core_next_us() */
	CORE_EV_SUBMITTED, /* a client wants tasks stored */
	CORE_EV_STORED,	   /* ... they are (or the store refused the call) */
	CORE_EV_CLAIMED,   /* the backlog's next tasks */
	CORE_EV_SESSION_OPENED,
	CORE_EV_SESSION_RESUMED, /* the same worker came back over a new connection; HELD follows */
	CORE_EV_SESSION_CLASSES, /* what it can run has changed */
	CORE_EV_SESSION_PAUSED,	 /* nothing more is assigned to it, until this is over */
	CORE_EV_SESSION_LEFT,	 /* in order: what it still had goes on elsewhere */
	CORE_EV_SESSION_LOST,
	CORE_EV_HEARD,		/* any message of a session, when no other event carries it */
	CORE_EV_HELD,		/* what a worker says that it holds */
	CORE_EV_ADOPTION_ASKED, /* a worker of an earlier generation still holds so many tasks */
	CORE_EV_ADOPTED,	/* ... these of them, which the store has given */
	CORE_EV_HOLD_OVER,	/* all workers of the time before the start are back */
	CORE_EV_CREDITED,
	CORE_EV_STARTED,      /* a worker says that a child has begun a task */
	CORE_EV_FINISHED,     /* a worker says how an attempt ended */
	CORE_EV_FINAL_STORED, /* answers PERSIST_FINAL */
	CORE_EV_RETRY_STORED, /* answers PERSIST_RETRY */
	CORE_EV_START_STORED, /* answers PERSIST_START */
	CORE_EV_CANCEL_ASKED,
	CORE_EV_DROPPED,	    /* the store ended tasks of the backlog (cancelled, expired) */
	CORE_EV_WALL_COMPARED,	    /* with the monotonic clock: it may have been set */
	CORE_EV_FUNCTION_FORGOTTEN, /* the handle will mean another function */
	CORE_EV_DRAINED, /* stop: assign and claim nothing more; what is being started goes on */
};

struct core_ev_submitted {
	uint64_t request;	 /* the caller's number, echoed in actions */
	struct core_spec *specs; /* `ref` is written */
	uint32_t count;
};

struct core_ev_stored {
	uint64_t request;
	const struct core_spec *specs; /* the same, with the refs as the core wrote them */
	uint32_t count;
	bool ok; /* false: nothing was stored, places are free again */
};

struct core_ev_claimed {
	uint32_t account, class_ix;
	struct core_spec *specs; /* in order; `ref` is written */
	uint32_t count;
	bool more;	       /* the lane's backlog holds more */
	int32_t more_priority; /* the highest among those */
	int64_t next_due_us;   /* first delayed task of any lane; 0: none */
};

struct core_ev_session_opened {
	uint32_t session; /* < sessions_max, free */
	uint32_t slots;
	uint64_t classes;      /* mask of the classes that it can run */
	struct fh_id instance; /* of the worker */
	bool immortal;	       /* in-process: it dies only with us */
	bool pull;	       /* it asks for what it can begin; else it is given tasks by load */
};

struct core_ev_session_classes {
	uint32_t session;
	uint64_t classes;
};

enum core_pause {
	CORE_PAUSE_AWAY = 1,	/* it has no connection */
	CORE_PAUSE_ORDERED = 2, /* an operator has said so */
};

struct core_ev_session_paused {
	uint32_t session;
	enum core_pause why;
	bool over;
};

/* The list may come in several events. What the worker names and does not hold by our book is
 * answered with STALE; what it holds by our book and does not name is taken from it: at once after
 * RESUMED, else when it is missing for the second time and its ASSIGN must have come. */
struct core_ev_held {
	uint32_t session;
	const struct wire_ref *refs;
	uint32_t count;	   /* <= CORE_HELD_MAX */
	uint64_t received; /* ASSIGNs of this connection that the worker has got */
	bool resumed;	   /* the list behind RESUMED */
	bool first, last;
};

/* How many of them may be taken from the store: the places that are kept for them. */
struct core_ev_adoption_asked {
	uint32_t count;
	uint32_t ret_count; /* written by the core */
};

/* Tasks of an earlier generation that run on this worker: taken from the store with the tokens that
 * the worker has for them (`specs`), or in the window already (`refs`). They stay under those
 * tokens. What does not fit is left alone: HELD follows. */
struct core_ev_adopted {
	uint32_t session;	 /* CORE_NO_SESSION: it was not let in, all of it waits */
	uint32_t promised;	 /* places kept that are free again now */
	struct core_spec *specs; /* `ref` is written */
	const struct task_token *tokens;
	uint32_t count; /* <= CORE_HELD_MAX */
	const struct wire_ref *refs;
	uint32_t ref_count; /* <= CORE_HELD_MAX */
};

struct core_ev_credited {
	uint32_t session;
	uint64_t granted_total; /* cumulative; a lower one than before is ignored */
};

struct core_ev_attempt { /* STARTED, FINISHED */
	uint32_t session;
	struct fh_id id;
	struct task_token token;
	/* FINISHED only */
	enum task_state state;	 /* final; CANCELLED answers a CANCEL */
	enum task_reason reason; /* WORKER_LOST: the attempt was lost, not the task's doing */
	bool retry_match;
	int64_t run_us;
};

struct core_ev_ref { /* FINAL_STORED, RETRY_STORED, START_STORED */
	uint32_t ref;
};

struct core_ev_cancel {
	uint64_t request;
	struct fh_id id;
	bool spare_running;
};

struct core_dropped {
	uint32_t account, class_ix; /* of its lane */
	uint64_t bytes;		    /* of payload */
};

struct core_ev_dropped {
	const struct core_dropped *tasks;
	uint32_t count;
	int64_t next_expiry_us; /* valid if `expiry`: of what is left in the store; 0: none */
	bool expiry;		/* answers EXPIRE_BACKLOG */
};

struct core_event {
	enum core_event_kind kind;
	uint64_t random; /* fresh random bits, for jitter */
	union {
		struct core_ev_submitted submitted;
		struct core_ev_stored stored;
		struct core_ev_claimed claimed;
		struct core_ev_session_opened opened;
		struct core_ev_session_classes classes;
		struct core_ev_session_paused paused;
		struct core_ev_held held;
		struct core_ev_adoption_asked adoption;
		struct core_ev_adopted adopted;
		struct core_ev_credited credited;
		struct core_ev_attempt attempt;
		struct core_ev_ref ref;
		struct core_ev_cancel cancel;
		struct core_ev_dropped dropped;
		int64_t wall_step_us; /* WALL_COMPARED: it was set forward by so much; or back */
		uint32_t session;     /* SESSION_RESUMED, _LEFT, _LOST, HEARD */
		uint32_t function;    /* FUNCTION_FORGOTTEN */
	};
};

#endif
