/* Loaded before everything else (LD_PRELOAD) it gives a process and its children the wall clock of
 * another machine: OTHER_CLOCK says how many seconds it is ahead. The clock that only measures is
 * left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long ahead(void)
{
	const char *text = getenv("OTHER_CLOCK");
	return text ? strtol(text, NULL, 10) : 0; /* a test sets it */
}

int clock_gettime(clockid_t id, struct timespec *ret_time)
{
	int ret = (int)syscall(SYS_clock_gettime, id, ret_time);
	if (ret == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		ret_time->tv_sec += ahead();
	return ret;
}

int gettimeofday(struct timeval *ret_time, void *zone)
{
	struct timespec t;
	(void)zone;
	int ret = clock_gettime(CLOCK_REALTIME, &t);
	ret_time->tv_sec = t.tv_sec;
	ret_time->tv_usec = t.tv_nsec / 1000;
	return ret;
}

time_t time(time_t *ret_time)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	if (ret_time)
		*ret_time = t.tv_sec;
	return t.tv_sec;
}
