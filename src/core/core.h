/* The scheduler: a pure step function. Event and time in, a bounded list of actions out. It makes
 * no system call, reads no clock, draws no random number, allocates nothing after core_new() and
 * logs nothing, so the same events give the same state, in the server and in the simulator.
 *
 * It owns: the window of tasks that workers can soon use, their lanes, leases and tokens, the
 * sessions and their credit, deadlines. It does not own: payloads, records, clients, connections,
 * the backlog (the store's). */
#ifndef FARHAND_CORE_CORE_H
#define FARHAND_CORE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/action.h"
#include "core/event.h"
#include "core/limits.h"

struct core;

struct core_start {
	uint32_t generation;		     /* durable, greater than any before */
	uint64_t live, live_bytes;	     /* what the store holds that is not final */
	int64_t next_due_us, next_expiry_us; /* 0: none */
	int64_t now_us;
	/* Until then nothing is handed out: workers of the time before may come back with what they
	 * run. 0: nobody may. */
	int64_t hold_until_us;
};

/* All memory is taken here. FH_ENOMEM. */
int core_new(const struct core_limits *limits, const struct core_start *start,
	     struct core **ret_core) FH_MUST_USE;
void core_free(struct core **c);

/* A lane that has so many tasks (> 0) in the store at the start, which core_start.live counts, too.
 * Before the first step. FH_ELIMIT: lanes_max. */
int core_recover_lane(struct core *c, uint32_t account, uint32_t class_ix, uint64_t live,
		      int32_t top_priority) FH_MUST_USE;

/* One step. `now_us` never goes back. `out` is cleared first. Of the event only what says so is
 * written. */
void core_step(struct core *c, struct core_event *event, int64_t now_us, struct core_actions *out);

/* When to step with TICKED at the latest; INT64_MAX: no need. */
int64_t core_next_us(const struct core *c);

struct core_view {
	uint32_t ref;
	enum task_state state;	 /* QUEUED or RUNNING, or the final state that is being recorded */
	bool recording;		 /* an end is on its way to the store: not to be told yet */
	bool leased;		 /* a worker has it */
	uint32_t attempt;	 /* the current one */
	struct task_token token; /* of it, while a worker has it */
	int64_t started_us;	 /* while RUNNING */
	uint32_t session;
};

/* A task of the window by id; false if it is not there. */
bool core_find(const struct core *c, struct fh_id id, struct core_view *ret_view);

/* Why a task of the window does not run yet. */
enum core_wait {
	CORE_WAITS_TURN,      /* in its lane */
	CORE_WAITS_ALONE,     /* it must run alone, on a worker that is empty */
	CORE_WAITS_START,     /* a worker has it, or is about to get it */
	CORE_WAITS_END,	      /* nothing: it runs */
	CORE_WAITS_RETRY,     /* an attempt has failed; that is being recorded */
	CORE_WAITS_RECORDING, /* its end, or the loss of an attempt, is being recorded */
};

struct core_wait_view {
	uint32_t ref, class_ix;
	enum core_wait wait;
	uint32_t session; /* that has it; CORE_NO_SESSION */
	uint64_t sent_no; /* the number of its ASSIGN there; 0: it was adopted, or not sent yet */
	uint32_t before;  /* TURN: tasks before it in its lane */
	uint32_t losses;
	int64_t due_us; /* RETRY: when it may be tried again */
};

/* A task of the window by id; false if it is not there. Walks the lane's queue. */
bool core_find_wait(const struct core *c, struct fh_id id, struct core_wait_view *ret_view);

/* Tasks of a lane that wait in the window. */
uint32_t core_lane_waiting(const struct core *c, uint32_t account, uint32_t class_ix);

/* Nothing knows of this class: no task of it is live, and no claim of one on its way. From then on
 * its number may mean another one. */
bool core_class_is_idle(const struct core *c, uint32_t class_ix);

/* Until then nothing is handed out, see core_start; 0: it is. */
int64_t core_hold_until_us(const struct core *c);

struct core_session_view {
	uint32_t running;   /* tasks that run on it */
	uint32_t in_flight; /* tasks that it has, those included */
	int64_t silent_us;  /* since its last message, as counted for its loss; 0 in our process */
};

/* An open session. */
void core_session_look(const struct core *c, uint32_t session, struct core_session_view *ret_view);

struct core_counts {
	uint64_t live, live_bytes;
	uint32_t window, running, leased, leased_here, sessions, slots, slots_busy;
	uint64_t stale, retries, lost; /* totals since the start */
};

void core_counts(const struct core *c, struct core_counts *ret_counts);

/* Walks every cross-reference and recounts; aborts with the first that does not agree. For tests
 * and the simulator, after each step. */
void core_check(const struct core *c);

/* A hash over the whole state that decides anything; equal histories give equal hashes. */
uint64_t core_hash(const struct core *c);

#endif
