/* What the storm over a worker's session (test_session_random.c) knows: of every task what has
 * become of it, of every child what it holds, of the dispatcher what it was told. */
#ifndef FARHAND_TESTS_SESSION_STORM_H
#define FARHAND_TESTS_SESSION_STORM_H

#include <string.h>

#include "base/assert.h"
#include "number_ids.h"
#include "worker/session.h"

enum { SLOTS_MAX = 5, TASKS = 4000, STEPS = 6000, FUNCTIONS = 12, JOBS = 4096, SILENCE_MS = 8 };

struct held { /* by a child of the model */
	uint64_t job;
	bool begun;
	uint64_t printed[2], logged[2]; /* of it, said to the dispatcher that is there */
	enum task_reason killed;
};

struct child {
	bool up;
	struct held jobs[SESSION_PIPE_MAX];
	unsigned len;
	bool own;   /* runs a task of its own: nothing may come behind it */
	bool dying; /* takes nothing any more */
};

enum fate { NEVER, ASSIGNED, ENDED, ACKED, LOST };

struct task {
	enum fate fate;
	bool ahead, limited, cancelled, stale, fenced;
	unsigned results; /* different ones, said or not */
};

struct storm {
	uint64_t seed;
	struct session *s;
	struct session_actions out;
	int64_t now_us;
	uint32_t slots;
	struct child children[SLOTS_MAX];
	struct task tasks[TASKS];
	unsigned next_task;
	unsigned task_of[JOBS]; /* by a job's index */
	bool has_assign[JOBS], has_result[JOBS], has_function[JOBS];
	bool asked[FUNCTIONS];
	unsigned coming;
	bool connected, greeted, welcomed;
	unsigned mute; /* steps in which the dispatcher says nothing */
	uint32_t ahead;
	uint64_t granted, sent, acknowledged;
	bool healing;
	bool left; /* BYE was said */
};

static inline uint64_t chance(struct storm *t)
{
	uint64_t x = t->seed += 0x9E3779B97F4A7C15u;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
	x = (x ^ x >> 27) * 0x94D049BB133111EBu;
	return x ^ x >> 31;
}

static inline unsigned below(struct storm *t, unsigned n)
{
	return (unsigned)(chance(t) % n);
}

static inline bool one_in(struct storm *t, unsigned n)
{
	return below(t, n) == 0;
}

static inline struct wire_ref ref_of(unsigned task)
{
	return (struct wire_ref){ id_of(task), { 1, 1 } };
}

/* The session hears of it. Its whole state is checked, and what it wants done is held against what
 * is known, and done. */
void storm_tell(struct storm *t, struct session_event event);

#endif
