/* Decides what time alone decides.
 *
 *  - In the window: one heap. Not started by its expiry: FAILED(expired). Running longer than its
 *    own limit plus the backstop: its worker has not ended it, so it is taken for FAILED(timeout).
 *  - In the store: when the first delayed task is due, any lane may have got tasks; when the first
 *    expiry has come, the store is asked to end what has expired. Not while workers may come back
 *    from before a restart: what they run lies there too, and was begun in time.
 *
 * Both are times of the wall clock, told as moments of the monotonic one. The wall clock may be
 * set: so they are compared now and then, what is in the window is moved, and the store is asked
 * again.
 *
 * The store may answer with a moment that is not in the future (its wall clock is coarser, or what
 * has expired is in the window and the core's own): then it is asked again a little later. */
#include "core/deadline.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/attempt.h"
#include "core/state.h"

enum {
	DUE_AGAIN_US = 1000,	   /* one millisecond: the resolution of the store's times */
	EXPIRY_AGAIN_US = 1000000, /* what is expired there and not ended is ours: no hurry */
};

int64_t deadline_of(const struct core *c, const struct task *t)
{
	switch ((enum phase)t->phase) {
	case PHASE_WAITING:
	case PHASE_SUSPECT:
		return t->expires_us;
	case PHASE_LEASED: /* what was adopted is in a child */
		return t->sent_no || PLANTED(ADOPTED_EXPIRES) ? t->expires_us : 0;
	case PHASE_RUNNING:
		if (t->timeout_ms == 0)
			return 0;
		return t->started_us + INT64_C(1000) * t->timeout_ms + c->limits.backstop_us;
	default:
		return 0;
	}
}

void deadline_follow(struct core *c, struct task *t)
{
	int64_t at = deadline_of(c, t);
	if (heap_contains(&t->deadline)) {
		if (t->deadline.key == at)
			return;
		heap_remove(&c->deadlines, &t->deadline);
	}
	if (at)
		heap_insert(&c->deadlines, &t->deadline, at);
}

void deadline_due_at(struct core *c, int64_t due_us)
{
	if (!c->next_due_us || due_us < c->next_due_us)
		c->next_due_us = due_us;
}

void deadline_expiry_at(struct core *c, int64_t expires_us)
{
	if (expires_us && (!c->next_expiry_us || expires_us < c->next_expiry_us))
		c->next_expiry_us = expires_us;
}

/* Delayed tasks have come due, in whichever lane: only a claim can tell. */
static void lanes_may_have_grown(struct core *c)
{
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].live > 0)
			lane_backlog_grew(&c->lanes[i], PRIORITY_MAX);
}

/* A claim moves what is due into its lanes, whichever lane was claimed, and tells only of what is
 * not due yet. Wrong: to believe it. (1) A task of lane A is due at 5; (2) at 5 the store answers a
 * claim of lane B: nothing else is due; (3) nobody asks for lane A. */
void deadline_due_known(struct core *c, int64_t next_due_us)
{
	int64_t known = c->next_due_us, soon = c->now_us + DUE_AGAIN_US;
	if (known && (!next_due_us || next_due_us > known + DUE_AGAIN_US))
		lanes_may_have_grown(c);
	c->next_due_us = next_due_us && next_due_us < soon ? soon : next_due_us;
}

/* What went back to the store while it looked was still claimed, so the answer does not count it,
 * and what was noted then must stay. */
void deadline_expiry_known(struct core *c, int64_t next_expiry_us, bool dropped)
{
	int64_t soon = c->now_us + (dropped ? 0 : EXPIRY_AGAIN_US);
	FH_ASSERT(c->expiring);
	c->expiring = false;
	deadline_expiry_at(c, next_expiry_us && next_expiry_us < soon ? soon : next_expiry_us);
}

void deadline_wall_compared(struct core *c, int64_t step_us)
{
	for (uint32_t i = 0; step_us && i < c->tasks_touched; i++) {
		struct task *t = task_at(c, i);
		if (t->phase == PHASE_FREE || !t->expires_us)
			continue;
		t->expires_us = t->expires_us > step_us ? t->expires_us - step_us : 1;
		deadline_follow(c, t);
	}
	if (c->next_due_us)
		c->next_due_us = c->now_us;
	if (c->next_expiry_us)
		c->next_expiry_us = c->now_us;
}

static void run_tasks(struct core *c)
{
	for (struct heap_node *n = heap_first(&c->deadlines); n; n = heap_first(&c->deadlines)) {
		if (n->key > c->now_us || !action_room(c))
			return;
		struct task *t = heap_entry(n, struct task, deadline);
		if (t->phase == PHASE_RUNNING)
			attempt_overran(c, t);
		else
			attempt_expired(c, t);
	}
}

/* Workers of before the start may come back with what the store has as waiting. */
static bool asks_for_expired(const struct core *c)
{
	return c->next_expiry_us && !c->expiring && !c->hold_until_us;
}

void deadline_run(struct core *c)
{
	run_tasks(c);
	if (c->next_due_us && c->next_due_us <= c->now_us) {
		/* Which lanes have got tasks, only a claim can tell; it also tells what is due
		 * next. */
		c->next_due_us = 0;
		lanes_may_have_grown(c);
	}
	if (asks_for_expired(c) && c->next_expiry_us <= c->now_us && action_room(c)) {
		c->expiring = true;
		c->next_expiry_us = 0;
		action_add(c, CORE_DO_EXPIRE_BACKLOG);
	}
}

static int64_t sooner(int64_t at, int64_t other)
{
	return other && other < at ? other : at;
}

int64_t deadline_next_us(const struct core *c)
{
	const struct heap_node *n = heap_first(&c->deadlines);
	int64_t at = n ? n->key : INT64_MAX;
	if (!c->draining)
		at = sooner(at, c->next_due_us);
	return asks_for_expired(c) ? sooner(at, c->next_expiry_us) : at;
}
