/* What happens by the clock alone: a waiting task expires, a running one overruns its backstop,
 * delayed tasks of the store come due, tasks of the store expire. The last two are known by their
 * first moment only. */
#ifndef FARHAND_CORE_DEADLINE_H
#define FARHAND_CORE_DEADLINE_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct task;

/* For task_move(): the deadline that counts in the task's phase, or none. */
void deadline_follow(struct core *c, struct task *t);

/* The deadline that counts in the task's phase; 0: none. */
int64_t deadline_of(const struct core *c, const struct task *t);

/* The store holds a delayed task, due then. */
void deadline_due_at(struct core *c, int64_t due_us);

/* The store holds a task that expires then. 0: it does not. */
void deadline_expiry_at(struct core *c, int64_t expires_us);

/* An answer of the store, exact at its place in the order of its calls. `dropped`: whether that
 * EXPIRE_BACKLOG has ended any. 0: there is none. */
void deadline_due_known(struct core *c, int64_t next_due_us);
void deadline_expiry_known(struct core *c, int64_t next_expiry_us, bool dropped);

/* The wall clock, by which the store and the tasks' expiries go, was set forward by so much (less
 * than 0: back) since it was compared last. Also with 0: what was under way then was told by the
 * old one. */
void deadline_wall_compared(struct core *c, int64_t step_us);

/* Acts on all that has come due. */
void deadline_run(struct core *c);

/* When it has something to do; INT64_MAX: never. */
int64_t deadline_next_us(const struct core *c);

#endif
