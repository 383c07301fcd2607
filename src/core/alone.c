/* Decides where suspects run, and when they are guilty; alone.h has the rule.
 *
 *  - enter: no worker is kept for it yet
 *  - keep: the least loaded worker that can run it takes nothing more; it empties
 *  - assign: it is empty; the suspect goes there
 *  - the worker is lost meanwhile: another one is kept
 *
 * A worker in this process is taken only where there is no other: its loss would be ours. */
#include "core/alone.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/attempt.h"
#include "core/policy.h"
#include "core/state.h"

enum { TRIES = 4 }; /* suspects that are looked at in one step and find no worker */

bool alone_is_due(const struct core *c, const struct task *t)
{
	return t->tally.losses >= c->limits.alone_after;
}

void alone_enter(struct core *c, struct task *t)
{
	lane_of(c, t)->suspects++;
	t->session = CORE_NO_SESSION;
	list_push_back(&c->suspects, &t->link);
}

void alone_leave(struct core *c, struct task *t, bool placed)
{
	FH_ASSERT_CMP(lane_of(c, t)->suspects, >, 0);
	lane_of(c, t)->suspects--;
	list_remove(&t->link);
	if (placed || t->session == CORE_NO_SESSION)
		return;
	struct session *s = worker_session(c, t->session);
	t->session = CORE_NO_SESSION;
	alone_over(c, s);
	worker_session_keep(c, s, NULL);
}

void alone_over(struct core *c, struct session *s)
{
	FH_ASSERT_CMP(c->kept_count, >, 0);
	c->kept_count--;
	s->kept_for = NULL;
}

void alone_let_go(struct core *c, struct session *s)
{
	struct task *t = s->kept_for;
	if (!t || t->phase != PHASE_SUSPECT)
		return;
	t->session = CORE_NO_SESSION;
	list_remove(&t->link);
	list_push_front(&c->suspects, &t->link);
	alone_over(c, s);
}

static void keep(struct core *c, struct session *s, struct task *t)
{
	t->session = worker_session_number(c, s);
	list_remove(&t->link);
	list_push_back(&c->suspects_placed, &t->link);
	c->kept_count++;
	worker_session_keep(c, s, t);
}

static void keep_all(struct core *c)
{
	uint32_t most = (c->session_count + 1) / 2;
	for (int tries = TRIES; tries > 0 && !list_empty(&c->suspects) && c->kept_count < most;) {
		struct task *t = list_entry(c->suspects.next, struct task, link);
		struct session *s = policy_place_alone(c, t);
		if (s) {
			keep(c, s, t);
			continue;
		}
		list_remove(&t->link);
		list_push_back(&c->suspects, &t->link);
		tries--;
	}
}

void alone_assign_all(struct core *c)
{
	if (c->draining || c->hold_until_us)
		return;
	keep_all(c);
	while (!list_empty(&c->kept_free) && action_room(c)) {
		struct session *s = list_entry(c->kept_free.next, struct session, kept_free);
		attempt_assign(c, s->kept_for, s, false);
	}
}

void alone_lost(const struct session *s, struct task *t)
{
	t->tally.losses += PLANTED(LOSS_COUNTED_TWICE) && s->pauses ? 2 : 1;
	if (s->kept_for != t && !PLANTED(COMPANION_STRUCK))
		return;
	t->tally.struck_by_two |=
		t->tally.strikes > 0 && !fh_id_equal(t->tally.struck_by, s->instance);
	t->tally.struck_by = s->instance;
	t->tally.strikes++;
}

static bool there_is_another(const struct core *c, const struct task *t)
{
	uint32_t class_ix = c->lanes[t->lane].class_ix;
	for (uint32_t i = 0; i < c->sessions_touched; i++) {
		const struct session *s = &c->sessions[i];
		if (s->open && s->pool->classes >> class_ix & 1 &&
		    !fh_id_equal(s->instance, t->tally.struck_by))
			return true;
	}
	return false;
}

bool alone_is_poison(const struct core *c, const struct task *t)
{
	if (t->tally.strikes < c->limits.strikes_max)
		return false;
	/* Without a second opinion it may have been the worker. */
	return t->tally.struck_by_two || PLANTED(POISON_ON_ONE_WORKER) || !there_is_another(c, t);
}
