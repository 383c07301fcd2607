/* Decides on retries. All numbers come from the task; arithmetic saturates, so that no choice of
 * factor and count overflows. */
#include "core/retry.h"

#include "core/task.h"

static uint32_t kind(enum task_reason reason)
{
	switch (reason) {
	case REASON_EXCEPTION:
		return RETRY_ON_EXCEPTION;
	case REASON_TIMEOUT:
		return RETRY_ON_TIMEOUT;
	case REASON_MEMORY:
		return RETRY_ON_MEMORY;
	case REASON_CRASH:
		return RETRY_ON_CRASH;
	default:
		return 0;
	}
}

bool retry_applies(const struct task *t, enum task_reason reason, bool matched)
{
	if (t->at_most_once || t->tally.failures >= t->retries)
		return false;
	return t->retry_on & (kind(reason) | (matched ? RETRY_ON_CLASS : 0u));
}

/* a * b / 1000, at most UINT32_MAX. */
static uint64_t times_milli(uint64_t a, uint64_t b)
{
	uint64_t product = a * b / 1000; /* both below 2^32 */
	return product < UINT32_MAX ? product : UINT32_MAX;
}

/* factor^n in thousandths, by squaring. */
static uint64_t power_milli(uint64_t factor_milli, uint32_t n)
{
	uint64_t power = 1000;
	for (; n > 0; n >>= 1) {
		if (n & 1)
			power = times_milli(power, factor_milli);
		factor_milli = times_milli(factor_milli, factor_milli);
	}
	return power;
}

int64_t retry_delay_us(const struct task *t, uint32_t failures, uint64_t random)
{
	uint64_t power = power_milli(t->backoff_factor_milli, failures ? failures - 1 : 0);
	uint64_t whole_ms = times_milli(t->backoff_initial_ms, power);
	if (whole_ms > t->backoff_max_ms)
		whole_ms = t->backoff_max_ms;
	uint64_t half_us = whole_ms * 1000 / 2;
	return (int64_t)(half_us + random % (half_us + 1));
}
