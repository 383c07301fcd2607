/* Decides which functions are short enough to be handed ahead of a free slot. A handle that was
 * never measured is not short. No failure modes. */
#include "core/function.h"

#include "base/assert.h"
#include "core/state.h"

enum {
	AVERAGE_OF = 8,
	CALL_COST_US = 10, /* of a child, beside the function itself */
};

static void average(struct function *f, int64_t run_us)
{
	int64_t old = f->run_us ? f->run_us : run_us;
	f->run_us = (uint32_t)(old + (run_us - old) / AVERAGE_OF);
}

uint32_t function_expected_us(const struct core *c, const struct task *t)
{
	return c->functions[t->function].run_us + CALL_COST_US;
}

void function_measured(struct core *c, uint32_t function, int64_t run_us)
{
	struct function *f = &c->functions[function];
	average(f, run_us < 0 ? 0 : run_us < c->limits.short_us ? run_us : c->limits.short_us);
	if (run_us >= c->limits.short_us)
		f->streak = 0;
	else if (f->streak < FUNCTION_STREAK)
		f->streak++;
}

void function_forget(struct core *c, uint32_t function)
{
	FH_ASSERT_CMP(function, <, c->limits.functions_max);
	c->functions[function] = (struct function){ 0 };
}

bool function_is_short(const struct core *c, const struct task *t)
{
	return !t->at_most_once && c->functions[t->function].streak == FUNCTION_STREAK;
}
