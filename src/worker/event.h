/* What a worker's session may hear. Every event comes from the agent (src/agent) or, in the
 * simulator, from a model of it; nothing else changes a session. */
#ifndef FARHAND_WORKER_EVENT_H
#define FARHAND_WORKER_EVENT_H

#include <stdint.h>

#include "base/record.h"
#include "wire/msg.h"

enum session_event_kind {
	SESSION_EV_TICKED,	 /* time has passed; see session_next_us() */
	SESSION_EV_CONNECTED,	 /* the transport has a dispatcher at its other end */
	SESSION_EV_DISCONNECTED, /* it is gone */
	SESSION_EV_RECEIVED,	 /* a message from the dispatcher */
	SESSION_EV_HEARD,	 /* a part of one, or word of what it has received */
	SESSION_EV_DRAINED,	 /* the owner of this worker wants it to end: take no more */

	/* From the runner, see src/runner/runner.h. */
	SESSION_EV_READY,      /* the template answers */
	SESSION_EV_BROKEN,     /* no child can be started */
	SESSION_EV_SLOT_READY, /* the slot has a live child that holds no job */
	SESSION_EV_SLOT_DOWN,  /* the slot's child is gone */
	SESSION_EV_STARTED,    /* the child has begun the job */
	SESSION_EV_PRINTED,    /* the running job has printed more */
	SESSION_EV_FINISHED,   /* the job is over; its result travels beside the event */
	SESSION_EV_RETURNED,   /* the job was taken back and has certainly not begun */
	SESSION_EV_REFUSED,    /* the slot did not take the job that a RUN gave it */
};

/* An event of the runner about a slot. */
struct session_ev_slot {
	uint32_t slot;
	uint64_t job; /* STARTED, PRINTED, FINISHED, RETURNED, REFUSED: the number of its RUN */
	enum task_state state;	 /* FINISHED */
	enum task_reason reason; /* FINISHED */
	uint32_t run_us;	 /* FINISHED: the function's own time; 0: unknown */
	uint64_t bytes;		 /* FINISHED: of the result */
	uint64_t printed[2];	 /* PRINTED: bytes of stdout and stderr so far; they never shrink */
};

struct session_event {
	enum session_event_kind kind;
	union {
		const struct wire_msg *message; /* RECEIVED; borrowed for the step */
		const char *runtime;		/* READY; copied */
		struct session_ev_slot slot;	/* SLOT_READY to REFUSED */
	};
};

#endif
