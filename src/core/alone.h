/* Tasks that may be what kills their workers.
 *
 * A lost worker says nothing about which of its tasks did it, or whether any did. A task whose
 * workers were lost `alone_after` times is a suspect: it runs alone, on a worker that holds nothing
 * else. A loss then is a strike. After `strikes_max` strikes, on two workers where there are two,
 * it is poison and ends. So no task is condemned for what another one did, and a task that kills
 * whatever it runs on costs alone_after + strikes_max workers and no other task. */
#ifndef FARHAND_CORE_ALONE_H
#define FARHAND_CORE_ALONE_H

#include <stdbool.h>

struct core;
struct session;
struct task;

/* It has to run alone. */
bool alone_is_due(const struct core *c, const struct task *t);

/* For task_move(): into SUSPECT and out of it, `placed` to run. */
void alone_enter(struct core *c, struct task *t);
void alone_leave(struct core *c, struct task *t, bool placed);

/* Keeps workers for suspects, never more than half of them at a time, and hands suspects to those
 * that are empty. */
void alone_assign_all(struct core *c);

/* `s` is not to be waited for any more; what it was kept for looks for another one. */
void alone_let_go(struct core *c, struct session *s);

/* What `s` was kept for has left it. */
void alone_over(struct core *c, struct session *s);

/* The worker of this session is lost, or says so, with the task on it. */
void alone_lost(const struct session *s, struct task *t);

/* Nothing more is tried: it is the task that does it. */
bool alone_is_poison(const struct core *c, const struct task *t);

#endif
