/* Clocks from the kernel, random bits from OpenSSL, lines to stderr. */
#include "app/env.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/clock.h"

int64_t env_now_us(void *env)
{
	(void)env;
	return fh_monotonic_us();
}

int64_t env_wall_ms(void *env)
{
	struct timespec t;
	(void)env;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* Random bits by the kilobyte: one call of the library for many ids. */
uint64_t env_random(void *env)
{
	static uint64_t pool[128];
	static unsigned left;
	(void)env;
	if (left == 0) {
		if (RAND_bytes((unsigned char *)pool, sizeof pool) != 1)
			fh_assert_fail(__FILE__, __LINE__, "RAND_bytes", "no randomness");
		left = sizeof pool / sizeof *pool;
	}
	return pool[--left];
}

void env_log(void *env, const char *line)
{
	char when[32];
	time_t t = time(NULL);
	struct tm tm;
	(void)env;
	(void)gmtime_r(&t, &tm);
	(void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
	(void)fprintf(stderr, "%s farhand: %s\n", when, line);
}
