/* Decides where a task goes: to the least loaded session that runs its class and has room for it.
 * A task that needs a slot of its own looks only at sessions with a free slot. The cost is one
 * bitmap a pool, whatever the number of sessions. */
#include "base/list.h"
#include "core/policy.h"
#include "core/state.h"

struct session *policy_place(const struct core *c, const struct lane *l, bool ahead)
{
	uint32_t wanted = ahead ? UINT32_MAX : (1u << LOAD_FREE) - 1;
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
