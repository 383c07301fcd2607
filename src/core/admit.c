/* Decides what is accepted, and what of it goes straight into the window.
 *
 *  - SUBMITTED: all tasks of the request or none (REJECT); each gets a place or goes to the backlog
 *  - STORED: REPLY, then its tasks wait for a worker; or nothing was stored and nothing remains
 *  - CLAIMED: the backlog's next tasks wait for a worker; one whose only start was recorded before
 *    a crash is an orphan */
#include "core/admit.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/deadline.h"
#include "core/state.h"

enum {
	DRAIN_PERIOD_US = 1000000,
	RETRY_AFTER_MAX_S = 60,
};

/* Time in which there is nothing to do says nothing of how fast it would be done: else clients that
 * wait as long as they were told would be told to wait longer each time. */
static void grow(struct core *c, uint64_t count, uint64_t bytes)
{
	if (c->live == 0)
		c->drain_from_us += c->now_us - c->idle_from_us;
	c->live += count;
	c->live_bytes += bytes;
}

static void shrink(struct core *c, uint64_t count, uint64_t bytes)
{
	FH_ASSERT_CMP(c->live, >=, count);
	FH_ASSERT_CMP(c->live_bytes, >=, bytes);
	c->live -= count;
	c->live_bytes -= bytes;
	if (c->live == 0)
		c->idle_from_us = c->now_us;
}

void admit_ended(struct core *c, uint64_t count, uint64_t bytes)
{
	shrink(c, count, bytes);
	c->drained += count;
	int64_t period_us = c->now_us - c->drain_from_us;
	if (period_us < DRAIN_PERIOD_US)
		return;
	uint64_t rate = c->drained * 1000000 / (uint64_t)period_us;
	c->drain_per_s = c->drain_per_s ? (c->drain_per_s + rate) / 2 : rate;
	c->drained = 0;
	c->drain_from_us = c->now_us;
}

/* How long it takes until there is room for so many, at the rate at which tasks end now. */
static uint32_t retry_after_s(const struct core *c, uint64_t count)
{
	uint64_t excess =
		c->live + count > c->limits.live_max ? c->live + count - c->limits.live_max : 1;
	uint64_t after = c->drain_per_s ? excess / c->drain_per_s + 1 : 1;
	return after < RETRY_AFTER_MAX_S ? (uint32_t)after : RETRY_AFTER_MAX_S;
}

static void reject(struct core *c, const struct core_ev_submitted *ev, int error)
{
	struct core_action *a = action_add(c, CORE_DO_REJECT);
	a->request.request = ev->request;
	a->request.error = error;
	a->request.retry_after_s = retry_after_s(c, ev->count);
}

static uint64_t bytes_of(const struct core_spec *specs, uint32_t count)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += specs[i].bytes;
	return bytes;
}

static bool has_lanes(struct core *c, const struct core_ev_submitted *ev)
{
	for (uint32_t i = 0; i < ev->count; i++)
		if (!lane_get(c, ev->specs[i].account, ev->specs[i].class_ix))
			return false;
	return true;
}

/* Of tasks that were accepted, so it is there. */
static struct lane *known_lane(struct core *c, uint32_t account, uint32_t class_ix)
{
	struct lane *l = lane_get(c, account, class_ix);
	FH_ASSERT(l != NULL);
	return l;
}

static void place(struct core *c, struct core_spec *spec)
{
	struct lane *l = known_lane(c, spec->account, spec->class_ix);
	lane_grow(c, l, 1);
	spec->ref = CORE_NO_REF;
	if (spec->not_before_us > c->now_us)
		return;
	if (!lane_admit(c, l, spec->priority, spec->bytes)) {
		lane_backlog_grew(l, spec->priority);
		return;
	}
	struct task *t = task_take(c, spec, lane_index(c, l));
	task_move(c, t, PHASE_RESERVED);
	spec->ref = task_ref(c, t);
}

static void reply(struct core *c, uint64_t request)
{
	action_add(c, CORE_DO_REPLY)->request.request = request;
}

void admit_submitted(struct core *c, const struct core_ev_submitted *ev)
{
	uint64_t bytes = bytes_of(ev->specs, ev->count);
	for (uint32_t i = 0; i < ev->count; i++)
		ev->specs[i].ref = CORE_NO_REF;
	if (c->live + ev->count > c->limits.live_max ||
	    c->live_bytes + bytes > c->limits.live_bytes_max) {
		reject(c, ev, FH_EFULL);
		return;
	}
	if (!has_lanes(c, ev)) {
		reject(c, ev, FH_ELIMIT);
		return;
	}
	grow(c, ev->count, bytes);
	for (uint32_t i = 0; i < ev->count; i++)
		place(c, &ev->specs[i]);
	action_add(c, CORE_DO_PERSIST)->request.request = ev->request;
	if (PLANTED(REPLY_BEFORE_STORED)) /* a crash before the commit loses what was accepted */
		reply(c, ev->request);
}

void admit_stored(struct core *c, const struct core_ev_stored *ev)
{
	for (uint32_t i = 0; i < ev->count; i++) {
		const struct core_spec *spec = &ev->specs[i];
		if (spec->ref != CORE_NO_REF) {
			struct task *t = task_at(c, spec->ref);
			FH_ASSERT_CMP(t->phase, ==, PHASE_RESERVED);
			if (ev->ok)
				task_wait(c, t);
			else
				task_move(c, t, PHASE_FREE);
		} else if (ev->ok) {
			if (spec->not_before_us > 0)
				deadline_due_at(c, spec->not_before_us);
			deadline_expiry_at(c, spec->expires_us);
		}
	}
	if (!ev->ok) {
		for (uint32_t i = 0; i < ev->count; i++)
			lane_shrink(c, known_lane(c, ev->specs[i].account, ev->specs[i].class_ix));
		shrink(c, ev->count, bytes_of(ev->specs, ev->count));
	} else if (!PLANTED(REPLY_BEFORE_STORED)) {
		reply(c, ev->request);
	}
}

void admit_claimed(struct core *c, const struct core_ev_claimed *ev)
{
	struct lane *l = known_lane(c, ev->account, ev->class_ix);
	FH_ASSERT_CMP(ev->count, <=, l->promised);
	lane_claim_done(c, l, ev->more, ev->more_priority);
	deadline_due_known(c, ev->next_due_us);
	for (uint32_t i = 0; i < ev->count; i++) {
		struct task *t = task_take(c, &ev->specs[i], lane_index(c, l));
		if (t->started_once)
			task_move(c, t, PHASE_ORPHANED);
		else
			task_wait(c, t);
		ev->specs[i].ref = task_ref(c, t);
	}
}

void admit_dropped(struct core *c, const struct core_ev_dropped *ev)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < ev->count; i++) {
		const struct core_dropped *t = &ev->tasks[i];
		lane_shrink(c, known_lane(c, t->account, t->class_ix));
		bytes += t->bytes;
	}
	admit_ended(c, ev->count, bytes);
	if (ev->expiry)
		deadline_expiry_known(c, ev->next_expiry_us, ev->count > 0);
}
