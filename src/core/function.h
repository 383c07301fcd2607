/* How long functions run: is the next call of one expected to be short? */
#ifndef FARHAND_CORE_FUNCTION_H
#define FARHAND_CORE_FUNCTION_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct task;

struct function {
	uint8_t streak;	 /* calls in a row that were short, up to FUNCTION_STREAK */
	uint32_t run_us; /* average of its calls; one that was not short counts as short_us */
};

/* A function is short after so many short calls in a row: a first call is often slow (imports) and
 * one lucky measurement proves nothing. */
enum { FUNCTION_STREAK = 4 };

/* An attempt has run so long. One slow call ends being short at once: what waits behind a slow call
 * in a child costs more than a few calls that are not handed ahead. */
void function_measured(struct core *c, uint32_t function, int64_t run_us);

/* How long a call of the task's function is expected to take a child, all in all. */
uint32_t function_expected_us(const struct core *c, const struct task *t);

/* The handle will mean another function. */
void function_forget(struct core *c, uint32_t function);

/* An at_most_once task is never taken for short: it is not handed to a worker ahead of its turn. */
bool function_is_short(const struct core *c, const struct task *t);

#endif
