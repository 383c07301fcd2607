/* What the pure parts are given from outside: two clocks, random bits, a place for log lines. Each
 * takes a context that it ignores, so that it fits the tables of the parts. */
#ifndef FARHAND_APP_ENV_H
#define FARHAND_APP_ENV_H

#include <stdint.h>

/* Microseconds of the monotonic clock. */
int64_t env_now_us(void *env);

/* Unix milliseconds. */
int64_t env_wall_ms(void *env);

/* 64 random bits, fit for ids that nobody may guess. One thread. */
uint64_t env_random(void *env);

/* One line on stderr, behind the time (UTC) and our name. */
void env_log(void *env, const char *line);

#endif
