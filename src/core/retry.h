/* Which failures are retried, and after how long. */
#ifndef FARHAND_CORE_RETRY_H
#define FARHAND_CORE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"

struct task;

/* Whether a failure of this kind is one that the task asked to have retried, and retries are left.
 * `matched`: the worker says that the exception is of one of the task's classes. */
bool retry_applies(const struct task *t, enum task_reason reason, bool matched);

/* How long to wait after failure number `failures` (1 is the first): initial * factor^(failures-1),
 * at most max; of that, half is certain and the other half is drawn from `random`. So retries of
 * tasks that failed together spread out, and none comes at once. Microseconds. */
int64_t retry_delay_us(const struct task *t, uint32_t failures, uint64_t random);

#endif
