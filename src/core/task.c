/* Decides which moves of a task are possible, and keeps what must always agree with its phase: the
 * list that owns it, its lane's and session's counts, its deadline, the table of ids.
 *
 *          SUBMITTED            CLAIMED           CLAIMED, started_once
 *   FREE ------------> RESERVED   |  FREE -> WAITING  |  FREE -> ORPHANED
 *                         | STORED
 *                         v
 *      +--evicted---- WAITING <------------------------------+
 *      v                |   | at_most_once                   |
 *    FREE       ASSIGN  |   +---> STARTING --session lost--->+
 *                       v            | START_STORED, ASSIGN  |
 *                    LEASED <--------+                       |
 *            STARTED |  | lost -> ORPHANED --> RETURNING ----+ RETRY_STORED
 *                    v  |            ^  |
 *                 RUNNING --lost-----+  |
 *                    |                  |
 *   A task that must run alone is SUSPECT where another one is WAITING (alone.c).
 *
 *     FINISHED, backstop, cancel, expiry, too many losses
 *                    +--> PAUSING -- RETRY_STORED --> FREE (the store has it, delayed)
 *                    +--> ENDING  -- FINAL_STORED --> FREE
 *
 * Nothing here fails; a move that the table does not allow is our own mistake. */
#include "core/task.h"

#include "base/assert.h"
#include "core/alone.h"
#include "core/deadline.h"
#include "core/state.h"

#define TO(phase) (1u << PHASE_##phase)

static const uint16_t allowed[PHASE_COUNT] = {
	[PHASE_FREE] = TO(RESERVED) | TO(WAITING) | TO(SUSPECT) | TO(ORPHANED),
	[PHASE_RESERVED] = TO(WAITING) | TO(SUSPECT) | TO(FREE),
	[PHASE_WAITING] = TO(STARTING) | TO(LEASED) | TO(ENDING) | TO(FREE),
	[PHASE_SUSPECT] = TO(LEASED) | TO(ENDING) | TO(FREE),
	[PHASE_STARTING] = TO(LEASED) | TO(WAITING) | TO(SUSPECT) | TO(ENDING),
	[PHASE_LEASED] = TO(RUNNING) | TO(ORPHANED) | TO(ENDING) | TO(PAUSING) | TO(RETURNING),
	[PHASE_RUNNING] = TO(ORPHANED) | TO(ENDING) | TO(PAUSING) | TO(RETURNING),
	[PHASE_ORPHANED] = TO(ENDING) | TO(RETURNING) | TO(LEASED),
	[PHASE_ENDING] = TO(FREE),
	[PHASE_PAUSING] = TO(FREE),
	[PHASE_RETURNING] = TO(WAITING) | TO(SUSPECT) | TO(ENDING),
};

bool task_move_allowed(enum phase from, enum phase to)
{
	return allowed[from] & (1u << to);
}

uint32_t task_ref(const struct core *c, const struct task *t)
{
	return (uint32_t)(t - c->tasks);
}

struct task *task_at(struct core *c, uint32_t ref)
{
	FH_ASSERT_CMP(ref, <, c->tasks_touched);
	return &c->tasks[ref];
}

struct task *task_find(const struct core *c, struct fh_id id)
{
	return map_get(&c->by_id, id);
}

static struct task *free_place(struct core *c)
{
	FH_ASSERT_CMP(c->free_count, >, 0);
	c->free_count--;
	struct list *link = list_pop_front(&c->free);
	if (link)
		return list_entry(link, struct task, link);
	FH_ASSERT_CMP(c->tasks_touched, <, c->limits.window_max);
	return &c->tasks[c->tasks_touched++];
}

struct task *task_take(struct core *c, const struct core_spec *spec, uint32_t lane)
{
	FH_ASSERT_CMP(spec->function, <, c->limits.functions_max);
	struct task *t = free_place(c);
	*t = (struct task){
		.id = spec->id,
		.expires_us = spec->expires_us,
		.lane = lane,
		.session = CORE_NO_SESSION,
		.function = spec->function,
		.bytes = spec->bytes,
		.priority = spec->priority,
		.retries = spec->retries,
		.retry_on = spec->retry_on,
		.backoff_initial_ms = spec->backoff_initial_ms,
		.backoff_max_ms = spec->backoff_max_ms,
		.backoff_factor_milli = spec->backoff_factor_milli,
		.timeout_ms = spec->timeout_ms,
		.tally = spec->tally,
		.phase = PHASE_FREE,
		.at_most_once = spec->at_most_once,
		.started_once = spec->started_once,
	};
	list_init(&t->link);
	int ret = map_put(&c->by_id, t->id, t);
	FH_ASSERT_CMP(ret, ==, 0);
	return t;
}

static void free_task(struct core *c, struct task *t)
{
	void *was = map_remove(&c->by_id, t->id);
	FH_ASSERT(was == t);
	list_push_back(&c->freed, &t->link);
	c->freed_count++;
}

static bool placed(enum phase phase)
{
	return phase == PHASE_STARTING || phase == PHASE_LEASED || phase == PHASE_RUNNING;
}

static void leave(struct core *c, struct task *t, enum phase to)
{
	switch ((enum phase)t->phase) {
	case PHASE_RESERVED:
		lane_unreserve(c, t);
		break;
	case PHASE_WAITING:
		lane_leave(c, t);
		break;
	case PHASE_SUSPECT:
		alone_leave(c, t, placed(to));
		break;
	case PHASE_STARTING:
	case PHASE_LEASED:
	case PHASE_RUNNING:
		if (!placed(to))
			worker_session_drop(c, t);
		break;
	case PHASE_ORPHANED:
		list_remove(&t->link);
		break;
	default:
		break;
	}
	FH_ASSERT(list_empty(&t->link) || placed(to));
}

static void enter(struct core *c, struct task *t, enum phase from)
{
	switch ((enum phase)t->phase) {
	case PHASE_FREE:
		free_task(c, t);
		break;
	case PHASE_RESERVED:
		lane_reserve(c, t);
		break;
	case PHASE_WAITING:
		lane_enter(c, t);
		break;
	case PHASE_SUSPECT:
		alone_enter(c, t);
		break;
	case PHASE_STARTING:
	case PHASE_LEASED:
		if (!placed(from))
			worker_session_take(c, t);
		break;
	case PHASE_RUNNING:
		worker_session(c, t->session)->running++;
		break;
	case PHASE_ORPHANED:
		list_push_back(&c->orphans, &t->link);
		break;
	default:
		break;
	}
}

static void change_phase(struct core *c, struct task *t, enum phase to)
{
	enum phase from = (enum phase)t->phase;
	FH_ASSERT(task_move_allowed(from, to));
	leave(c, t, to);
	t->phase = (uint8_t)to;
	if (from != PHASE_FREE)
		c->phase_count[from]--;
	if (to != PHASE_FREE)
		c->phase_count[to]++;
}

void task_move(struct core *c, struct task *t, enum phase to)
{
	enum phase from = (enum phase)t->phase;
	change_phase(c, t, to);
	enter(c, t, from);
	deadline_follow(c, t);
}

void task_wait(struct core *c, struct task *t)
{
	task_move(c, t, alone_is_due(c, t) ? PHASE_SUSPECT : PHASE_WAITING);
}

void task_adopt(struct core *c, struct task *t, struct session *s)
{
	change_phase(c, t, PHASE_LEASED);
	worker_session_adopt(c, s, t);
	deadline_follow(c, t);
}
