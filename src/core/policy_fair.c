/* Decides whose task is next: deficit round robin between lanes. A lane at its turn gets a quantum
 * and hands out tasks as long as it covers their cost. A task that takes a slot costs as much as
 * the short ones that could share the slot, so that lanes share slots and not task counts. A lane
 * whose head has nowhere to go now is passed over and keeps what it has; a lane that runs empty
 * loses it. */
#include "base/list.h"
#include "core/function.h"
#include "core/policy.h"
#include "core/state.h"

static void next_turn(struct core *c, struct lane *l)
{
	list_remove(&l->turn);
	list_push_back(&c->turns, &l->turn);
}

bool policy_fair_next(struct core *c, struct choice *ret_choice)
{
	uint32_t quantum = c->limits.ahead_per_slot;
	/* One round to get a quantum, which covers any task, one to use it. */
	for (uint32_t turns = 2 * c->turn_count; turns > 0 && c->ready_count > 0; turns--) {
		struct lane *l = list_entry(c->turns.next, struct lane, turn);
		struct task *t = queue_head(&l->queue);
		bool ahead = function_is_short(c, t);
		uint32_t cost = ahead ? 1 : quantum;
		struct session *s = policy_place(c, l, ahead);
		if (s && l->deficit >= cost) {
			l->deficit -= cost;
			if (ahead)
				policy_placed_ahead(c, l, t, s);
			*ret_choice = (struct choice){ t, s, ahead };
			return true;
		}
		if (s)
			l->deficit += quantum;
		next_turn(c, l);
	}
	return false;
}
