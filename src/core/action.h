/* What the core wants done: imperative, one struct each, performed in order by the dispatcher. The
 * order "persist before reply" is data here, so it can be asserted. */
#ifndef FARHAND_CORE_ACTION_H
#define FARHAND_CORE_ACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/record.h"
#include "core/limits.h"
#include "wire/msg.h"

enum core_action_kind {
	CORE_DO_PERSIST,       /* store the tasks of a request -> STORED */
	CORE_DO_REJECT,	       /* answer the request: nothing was accepted */
	CORE_DO_REPLY,	       /* answer the request: its tasks are durable */
	CORE_DO_CLAIM,	       /* fetch from a lane's backlog -> CLAIMED */
	CORE_DO_UNCLAIM,       /* the task goes back to the backlog; its place is free */
	CORE_DO_PERSIST_START, /* -> START_STORED */
	CORE_DO_PERSIST_RETRY, /* the attempt is over, the task goes on -> RETRY_STORED */
	CORE_DO_PERSIST_FINAL, /* -> FINAL_STORED */
	CORE_DO_ASSIGN,	       /* send a task to a session, under a token */
	CORE_DO_SEND_CANCEL,   /* send CANCEL: a client wants it */
	CORE_DO_ACK,	       /* send RESULT_ACK: it is durable */
	CORE_DO_STALE,	       /* send STALE: not recorded */
	CORE_DO_NOTE_STARTED,  /* the task runs now: tell who waits for that */
	CORE_DO_WAKE,	       /* its final state is durable: tell who waits */
	CORE_DO_RELEASE,       /* the place is free; what is kept under it goes */
	CORE_DO_ANSWER_CANCEL, /* answer a cancel request */
	CORE_DO_CANCEL_STORED, /* not in the window: the store decides */
	CORE_DO_CANCEL_LATER,  /* its end is being recorded: ask again when its place is released */
	CORE_DO_EXPIRE_BACKLOG, /* end what has expired in the store -> DROPPED */
	CORE_DO_CLOSE_SESSION,	/* it was silent too long; SESSION_LOST is done already */
};

struct core_action {
	enum core_action_kind kind;
	uint32_t ref;		 /* where the action is about a task */
	uint32_t session;	 /* ASSIGN, SEND_CANCEL, ACK, STALE, CLOSE_SESSION */
	struct fh_id id;	 /* the task */
	struct task_token token; /* ASSIGN, SEND_CANCEL, ACK, STALE */
	union {
		struct { /* PERSIST, REPLY, REJECT, ANSWER_CANCEL, CANCEL_STORED/LATER */
			uint64_t request;
			int error;		/* REJECT: FH_EFULL; ANSWER_CANCEL: 0, FH_EBUSY */
			uint32_t retry_after_s; /* REJECT */
			bool running;		/* ANSWER_CANCEL with 0: it is being ended */
		} request;
		struct { /* CLAIM */
			uint32_t account, class_ix, count;
			uint64_t bytes;
		} claim;
		struct { /* PERSIST_START, PERSIST_RETRY, PERSIST_FINAL */
			struct task_tally tally;
			int64_t delay_us; /* RETRY: before the next attempt */
			bool release;	  /* RETRY: the task leaves the window when stored */
			/* FINAL. If `by_worker`, result and texts are those of the FINISHED event
			 * that caused it; else there are none but state and reason. */
			enum task_state state;
			enum task_reason reason;
			bool by_worker;
		} persist;
		struct {		 /* ASSIGN */
			bool ahead;	 /* handed ahead: may wait behind another in a child */
			uint64_t number; /* of those that were sent over the session's connection */
		} assign;
	};
};

struct core_actions {
	uint32_t count;
	bool more; /* step again with CONTINUED after performing these */
	struct core_action list[CORE_ACTIONS_MAX];
};

#endif
