/* A task in the window and the phases it passes through there. task_move() is the only mover: it
 * knows which moves are allowed, which list owns a task in each phase, and which deadline counts in
 * it, so that none of the three can be forgotten by whoever decides a move. */
#ifndef FARHAND_CORE_TASK_H
#define FARHAND_CORE_TASK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/record.h"
#include "core/event.h"
#include "wire/msg.h"

struct core;
struct session;

/*                  owned by             deadline
 *   FREE           the free places      -
 *   RESERVED       its lane's count     -          submitted, not yet stored
 *   WAITING        its lane's queue     expiry
 *   SUSPECT        core.suspects        expiry     its workers were lost: it must run alone
 *   STARTING       its session          -          at_most_once: its start is on its way
 *   LEASED         its session          expiry     a worker has it, no child has begun it; of one
 *                                                  that was adopted: none, it is in a child
 *   RUNNING        its session          backstop   a child has begun it
 *   ORPHANED       core.orphans         -          its worker is gone: to be judged
 *   ENDING         the store            -          its final state is on its way
 *   PAUSING        the store            -          it will be retried, and leaves the window
 *   RETURNING      the store            -          an attempt was lost; it goes back to its lane
 */
enum phase {
	PHASE_FREE,
	PHASE_RESERVED,
	PHASE_WAITING,
	PHASE_SUSPECT,
	PHASE_STARTING,
	PHASE_LEASED,
	PHASE_RUNNING,
	PHASE_ORPHANED,
	PHASE_ENDING,
	PHASE_PAUSING,
	PHASE_RETURNING,
	PHASE_COUNT,
};

struct task {
	struct fh_id id;
	struct list link;	   /* in the one list that its phase owns */
	struct heap_node deadline; /* see the table */
	struct task_token token;   /* of the current attempt */
	int64_t expires_us;	   /* 0: never */
	int64_t started_us;	   /* RUNNING */
	int64_t due_us;		   /* PAUSING: when it may be tried again */
	uint64_t cancel_request;   /* who waits for its cancellation, if cancel_waits */
	uint64_t sent_no;	   /* LEASED, RUNNING: how many ASSIGNs its session had then;
				    * 0: it was adopted */
	uint32_t beat;		   /* ... the last list of its session that named it */
	uint32_t lane;
	uint32_t session, session_serial; /* who has it, or had it last; CORE_NO_SESSION */
	uint32_t function, bytes;
	int32_t priority;
	uint32_t retries, retry_on;
	uint32_t backoff_initial_ms, backoff_max_ms, backoff_factor_milli;
	uint32_t timeout_ms;
	struct task_tally tally; /* with the current attempt */
	uint8_t phase;		 /* enum phase */
	uint8_t final_state;	 /* ENDING: enum task_state */
	bool at_most_once;
	bool started_once; /* its start is recorded: the backlog must not get it back */
	bool ahead;	   /* STARTING, LEASED, RUNNING: counted as short */
	bool reported;	   /* ENDING, PAUSING, RETURNING: the session waits for an ACK */
	bool cancel_asked; /* it shall not be tried again */
	bool cancel_waits;
};

static inline bool task_is_leased(const struct task *t)
{
	return t->phase == PHASE_LEASED || t->phase == PHASE_RUNNING;
}

/* STARTING, LEASED or RUNNING: it takes capacity of `session`. */
static inline bool task_is_placed(const struct task *t)
{
	return t->phase == PHASE_STARTING || task_is_leased(t);
}

/* A free place, filled from `spec`, still FREE: task_move() follows at once. Precondition:
 * c->free_count > 0. The id is not in the window. */
struct task *task_take(struct core *c, const struct core_spec *spec, uint32_t lane);

/* The task's place, as the dispatcher knows it; and back (the ref is one that the core gave). */
uint32_t task_ref(const struct core *c, const struct task *t);
struct task *task_at(struct core *c, uint32_t ref);

/* NULL: not in the window. */
struct task *task_find(const struct core *c, struct fh_id id);

/* It can be handed out: WAITING, or SUSPECT. */
void task_wait(struct core *c, struct task *t);

/* Moves the task out of the list of its old phase and into that of the new one. Before a move to
 * STARTING or LEASED out of a lane, `session` and `ahead` are set. A place that becomes free is
 * given out again in the next step at the earliest, so that within one step a ref means one task.
 */
void task_move(struct core *c, struct task *t, enum phase to);

/* WAITING or ORPHANED to LEASED without an ASSIGN: `s` has it already, under t->token. */
void task_adopt(struct core *c, struct task *t, struct session *s);

/* Whether the table allows the move; for tests and docs. */
bool task_move_allowed(enum phase from, enum phase to);

#endif
