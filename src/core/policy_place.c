/* Decides where a task goes: to the least loaded session that runs its class and has room for it.
 * A task that needs a slot of its own looks only at sessions with a free slot. The cost is one
 * bitmap a pool, whatever the number of sessions; only for a suspect that fits nowhere but in this
 * process are those looked at that are busy.
 *
 * Short tasks go in bursts: the session that got the last one gets the next ones, too, up to so
 * much work as nobody minds to wait for, and to less than two shares of all that there is to do:
 * what has been short may be long this time, and then no worker idles while tasks wait behind it at
 * another one. For the same reason it ends in time: many may be live, and none of them for a worker
 * that idles. Wrong: each to the least loaded session. With hundreds of workers every no-op wakes a
 * process of its own, which costs several times what the no-op does. */
#include "base/list.h"
#include "core/function.h"
#include "core/policy.h"
#include "core/state.h"

enum {
	/* Half a millisecond of waiting is not noticed, and is several times what it takes to wake
	 * a worker and to hear its answer. */
	BURST_US = 500,
	/* By then it is over, unless a call takes longer than those before it. */
	BURST_LASTS_US = 4 * BURST_US,
};

static struct session *in_burst(const struct core *c, const struct lane *l)
{
	struct session *s = &c->sessions[l->burst.session];
	bool goes_on = l->burst.left > 0 && c->now_us < l->burst.until_us;
	bool can_take = s->open && s->serial == l->burst.serial && !list_empty(&s->ready) &&
			s->pool->classes >> l->class_ix & 1;
	return goes_on && can_take ? s : NULL;
}

void policy_placed_ahead(const struct core *c, struct lane *l, const struct task *t,
			 const struct session *s)
{
	struct burst *b = &l->burst;
	uint32_t work_us = function_expected_us(c, t);
	if (s != in_burst(c, l)) {
		uint64_t shares = 2 * c->live / c->session_count;
		*b = (struct burst){ .session = worker_session_number(c, s),
				     .serial = s->serial,
				     .left = shares < 2 ? 1 : shares - 1,
				     .left_us = BURST_US,
				     .until_us = c->now_us + BURST_LASTS_US };
	}
	b->left_us -= work_us < b->left_us ? work_us : b->left_us;
	b->left = b->left_us > 0 ? b->left - 1 : 0;
}

struct session *policy_place(const struct core *c, const struct lane *l, bool ahead)
{
	uint32_t wanted = ahead ? UINT32_MAX : (1u << LOAD_FREE) - 1;
	struct session *same = ahead ? in_burst(c, l) : NULL;
	if (same)
		return same;
	const struct list *best = NULL;
	int best_load = LOAD_COUNT;
	list_for_each (link, &c->pools) {
		const struct pool *p = list_entry(link, struct pool, link);
		uint32_t loads = p->loads & wanted;
		if (!loads || !(p->classes >> l->class_ix & 1))
			continue;
		int load = __builtin_ctz(loads);
		if (load < best_load) {
			best_load = load;
			best = p->by_load[load].next;
		}
	}
	return best ? list_entry(best, struct session, ready) : NULL;
}

/* How little a session fits a suspect: one that lost it before, then the one in this process. */
static unsigned misfit(const struct session *s, const struct task *t)
{
	bool again = t->tally.strikes > 0 && fh_id_equal(s->instance, t->tally.struck_by);
	return again * 2u + s->immortal;
}

/* The best of the first few by load: at most one session is in this process, at most one has the
 * last strike. */
static void look_into(const struct pool *p, const struct task *t, struct session **best)
{
	int looks = 3;
	for (uint32_t loads = p->loads; loads; loads &= loads - 1)
		list_for_each (link, &p->by_load[__builtin_ctz(loads)]) {
			struct session *s = list_entry(link, struct session, ready);
			if (!*best || misfit(s, t) < misfit(*best, t))
				*best = s;
			if (--looks == 0)
				return;
		}
}

/* A worker elsewhere that runs the class, and is only busy just now. */
static bool is_elsewhere(const struct core *c, uint32_t class_ix)
{
	list_for_each (link, &c->contacts) {
		const struct session *s = list_entry(link, struct session, contact);
		if (!s->pauses && s->pool->classes >> class_ix & 1)
			return true;
	}
	return false;
}

struct session *policy_place_alone(const struct core *c, const struct task *t)
{
	uint32_t class_ix = c->lanes[t->lane].class_ix;
	struct session *best = NULL;
	list_for_each (link, &c->pools) {
		const struct pool *p = list_entry(link, struct pool, link);
		if (p->classes >> class_ix & 1)
			look_into(p, t, &best);
	}
	return best && best->immortal && is_elsewhere(c, class_ix) ? NULL : best;
}
