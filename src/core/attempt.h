/* One attempt at a task: handed to a worker under a token, begun, over. What a worker says counts
 * only if the task is leased, by this session, under this token. */
#ifndef FARHAND_CORE_ATTEMPT_H
#define FARHAND_CORE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/event.h"

struct core;
struct session;
struct task;

/* Hands the task to the session, which can take it: a new attempt under a new token. `ahead`: it is
 * short and may wait behind another one there. */
void attempt_assign(struct core *c, struct task *t, const struct session *s, bool ahead);

/* Hands out what can be handed out now. */
void attempt_assign_all(struct core *c);

/* The start of an at_most_once task is durable: now it may leave. */
void attempt_start_stored(struct core *c, uint32_t ref);

void attempt_started(struct core *c, const struct core_ev_attempt *ev);
void attempt_finished(struct core *c, const struct core_ev_attempt *ev);

/* What becomes of the tasks whose workers are gone. */
void attempt_judge_orphans(struct core *c);

/* Running far beyond its limit; not started by its expiry. */
void attempt_overran(struct core *c, struct task *t);
void attempt_expired(struct core *c, struct task *t);

#endif
