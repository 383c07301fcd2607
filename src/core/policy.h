/* Who is next, and where it goes. Each policy is one file; the step asks, in this order, for a lane
 * (which fixes the task: the head of its queue) and thereby for a session. */
#ifndef FARHAND_CORE_POLICY_H
#define FARHAND_CORE_POLICY_H

#include <stdbool.h>

struct core;
struct lane;
struct session;
struct task;

struct choice {
	struct task *task;
	struct session *session;
	bool ahead; /* short: may share a child, see worker.h */
};

/* policy_fair.c: the next task to hand out and the session that gets it; false: nothing can go out
 * now. Counts the task against its lane's share. */
bool policy_fair_next(struct core *c, struct choice *ret_choice);

/* policy_place.c: a session on which the suspect could run alone, once it is empty; NULL: there is
 * none now. */
struct session *policy_place_alone(const struct core *c, const struct task *t);

/* policy_place.c: the session that should take such a task of the lane: that of its burst, else the
 * least loaded one; NULL: none can. */
struct session *policy_place(const struct core *c, const struct lane *l, bool ahead);

/* policy_place.c: the session gets this short task of the lane. */
void policy_placed_ahead(const struct core *c, struct lane *l, const struct task *t,
			 const struct session *s);

#endif
