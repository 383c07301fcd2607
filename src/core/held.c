/* Decides what becomes of tasks about which worker and core disagree.
 *
 *  - listed, and leased to it under this token: it stays; the list counts as its sign of life
 *  - listed, and its end is on its way to the store: the ACK will come
 *  - listed, and anything else: STALE, the worker ends it
 *  - leased, and missing in the list behind RESUMED: it never came, or was dropped; it goes on
 *    elsewhere, and nobody is to blame
 *  - leased, and missing twice although its ASSIGN must have come: the same. One that is still on
 *    its way (a large payload, a slow line) is waited for, but not for ever.
 *
 * Adoption: after a restart of the core the store has all tasks as waiting, and only workers know
 * what they run. A task that waits can be adopted under the token that the worker has, if that is
 * of its current attempt: no older one is over that the store does not know of. So nobody is run
 * again, and the token is as good as a new one: this generation has issued none for the task, and
 * the next one that it issues differs. */
#include "core/held.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/attempt.h"
#include "core/state.h"

enum {
	MISSING_LISTS = 2, /* in which a task must be missing that has come */
	/* ... that may not have come: five minutes of heartbeats. A connection loses nothing, but a
	 * large payload over a slow line takes long. */
	MISSING_LISTS_MAX = 300,
};

static bool same_token(const struct task *t, const struct wire_ref *ref)
{
	return task_token_equal(t->token, ref->token);
}

static void answer_stale(struct core *c, uint32_t session, struct fh_id id, struct task_token token)
{
	struct core_action *a = action_add(c, CORE_DO_STALE);
	a->session = session;
	a->id = id;
	a->token = token;
}

static void compare(struct core *c, const struct core_ev_held *ev, const struct wire_ref *ref)
{
	struct task *t = task_find(c, ref->task);
	bool its = t && t->session == ev->session &&
		   t->session_serial == c->sessions[ev->session].serial && same_token(t, ref);
	if (PLANTED(HELD_BY_ANYBODY)) /* a liar's list keeps what a lost ASSIGN never brought */
		its = t && same_token(t, ref);
	if (its && task_is_leased(t)) {
		t->beat = c->sessions[ev->session].beat;
		/* The first CANCEL may not have come. */
		if (t->cancel_asked && !PLANTED(CANCEL_LOST_WHILE_AWAY))
			action_add_task(c, CORE_DO_SEND_CANCEL, t);
	} else if (!its || !t->reported) {
		answer_stale(c, ev->session, ref->task, ref->token);
	}
}

static bool is_missing(const struct session *s, const struct core_ev_held *ev, const struct task *t)
{
	uint32_t lists = s->beat - t->beat;
	if (ev->resumed && !PLANTED(MISSING_KEPT_AT_RESUME))
		return lists > 0;
	return lists >= (t->sent_no <= ev->received ? MISSING_LISTS : MISSING_LISTS_MAX);
}

static void take_missing(struct core *c, struct session *s, const struct core_ev_held *ev)
{
	list_for_each_safe (link, &s->in_flight) {
		struct task *t = list_entry(link, struct task, link);
		if (!task_is_leased(t) || !is_missing(s, ev, t))
			continue;
		task_move(c, t, PHASE_ORPHANED);
	}
}

void held_listed(struct core *c, const struct core_ev_held *ev)
{
	struct session *s = worker_session(c, ev->session);
	FH_ASSERT_CMP(ev->count, <=, CORE_HELD_MAX);
	if (ev->first)
		s->beat++;
	for (uint32_t i = 0; i < ev->count; i++)
		compare(c, ev, &ev->refs[i]);
	if (ev->last)
		take_missing(c, s, ev);
}

/* ---- after a restart ---- */

void held_adoption_asked(struct core *c, struct core_ev_adoption_asked *ev)
{
	uint32_t left = c->free_count + c->freed_count - c->promised;
	ev->ret_count = ev->count < left ? ev->count : left;
	c->adoptions += ev->ret_count;
	c->promised += ev->ret_count;
}

/* The recorded attempts are over, but for the one whose start alone is recorded. */
static bool is_current(const struct core *c, const struct task *t, struct task_token token)
{
	if (token.generation >= c->generation)
		return false;
	if (PLANTED(ADOPTED_UNCHECKED)) /* an attempt that is over comes back */
		return true;
	return t->started_once ? token.attempt == t->tally.attempt
			       : token.attempt > t->tally.attempt;
}

static void adopt(struct core *c, struct session *s, struct task *t, struct task_token token)
{
	t->token = token;
	t->tally.attempt = token.attempt;
	t->sent_no = 0;
	t->beat = s->beat;
	task_adopt(c, t, s);
}

/* Nothing joins a task that runs alone. */
static bool may_adopt(struct core *c, const struct core_ev_adopted *ev, const struct task *t,
		      struct task_token token)
{
	return ev->session != CORE_NO_SESSION && !worker_session(c, ev->session)->kept_for &&
	       is_current(c, t, token);
}

static void try_adopt(struct core *c, const struct core_ev_adopted *ev, struct fh_id id,
		      struct task_token token)
{
	struct task *t = task_find(c, id);
	if (PLANTED(ADOPTED_FROM_ANOTHER) && t && task_is_leased(t) &&
	    token.generation < c->generation)
		task_move(c, t, PHASE_ORPHANED);
	bool waits = t && (t->phase == PHASE_WAITING || t->phase == PHASE_ORPHANED);
	if (waits && may_adopt(c, ev, t, token))
		adopt(c, worker_session(c, ev->session), t, token);
}

void held_adopted(struct core *c, const struct core_ev_adopted *ev)
{
	FH_ASSERT_CMP(ev->promised, <=, c->adoptions);
	FH_ASSERT(ev->count <= ev->promised && ev->count <= CORE_HELD_MAX &&
		  ev->ref_count <= CORE_HELD_MAX);
	c->adoptions -= ev->promised;
	c->promised -= ev->promised;
	for (uint32_t i = 0; i < ev->count; i++) {
		struct core_spec *spec = &ev->specs[i];
		struct lane *l = lane_get(c, spec->account, spec->class_ix);
		FH_ASSERT(l != NULL); /* its tasks were there at the start */
		struct task *t = task_take(c, spec, lane_index(c, l));
		if (t->started_once)
			task_move(c, t, PHASE_ORPHANED);
		else if (may_adopt(c, ev, t, ev->tokens[i])) /* what is adopted need not be alone */
			task_move(c, t, PHASE_WAITING);
		else
			task_wait(c, t);
		spec->ref = task_ref(c, t);
		try_adopt(c, ev, spec->id, ev->tokens[i]);
	}
	for (uint32_t i = 0; i < ev->ref_count; i++)
		try_adopt(c, ev, ev->refs[i].task, ev->refs[i].token);
}
