/* The end of an attempt on its way to the store, and what follows once it is there. Nobody is told
 * of an end before that: not the client that waits, and not the worker, which keeps its result
 * until it is acknowledged. */
#ifndef FARHAND_CORE_ENDING_H
#define FARHAND_CORE_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"

struct core;
struct task;

/* The task ends so. `by_worker`: with the result of the FINISHED event of this step. */
void ending_final(struct core *c, struct task *t, enum task_state state, enum task_reason reason,
		  bool by_worker);

/* The attempt has failed: the task is retried, or it ends so. `matched`: see retry.h. */
void ending_failed(struct core *c, struct task *t, enum task_reason reason, bool matched,
		   bool by_worker);

/* The attempt was lost with its worker: it costs no retry. What the loss says of the task,
 * alone_lost() has counted. */
void ending_lost(struct core *c, struct task *t);

void ending_final_stored(struct core *c, uint32_t ref);
void ending_retry_stored(struct core *c, uint32_t ref);

#endif
