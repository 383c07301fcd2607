/* What a heartbeat costs the dispatcher, whatever the number of workers: `heartbeat_bench
 * SESSIONS`.
 *
 * The real dispatcher, on a store in memory, with SESSIONS workers behind one transport of a few
 * lines. They say HEARTBEAT in turns and are answered; behind every ten a tick is due, which looks
 * for workers that are silent. Time is made up, so that no worker is ever late.
 *
 * Only measure() counts: its processor time, and its instructions where the kernel counts them.
 * Elsewhere `valgrind --tool=callgrind --toggle-collect=measure*` does. Prints one JSON object. */
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch.h"

enum {
	SESSIONS_MAX = 10000,
	CHUNK = 10000, /* heartbeats between two readings of the clock */
	CHUNKS = 10,
	PER_TICK = 10,
	TICK_US = 1000,
};

struct bench {
	struct transport end;
	struct dispatch *dispatch;
	int64_t now_us;
	uint32_t sessions, next; /* whose turn it is; peers count from 1 */
	uint32_t pending;	 /* heartbeats that the next poll() delivers */
	uint64_t answers;
	int counter; /* of instructions; below 0: there is none */
};

/* ---- the workers' end ---- */

static int take(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct bench *b = (struct bench *)t;
	(void)peer;
	b->answers += own_msg->type == WIRE_HEARTBEAT;
	wire_msg_release(own_msg);
	return 0;
}

static bool deliver(struct transport *t, unsigned max)
{
	struct bench *b = (struct bench *)t;
	(void)max;
	for (; b->pending > 0; b->pending--) {
		struct wire_msg m = { .type = WIRE_HEARTBEAT };
		t->handler.message(t->handler.ctx, b->next + 1, &m);
		b->next = (b->next + 1) % b->sessions;
	}
	return false;
}

static void lose(struct transport *t, uint64_t peer)
{
	(void)t;
	fh_assert_fail(__FILE__, __LINE__, "close_peer", "a worker that is never late was lost");
	(void)peer;
}

static void nothing_to_free(struct transport *t)
{
	(void)t;
}

static const struct transport_ops end_ops = {
	.send = take,
	.poll = deliver,
	.close_peer = lose,
	.free = nothing_to_free,
};

/* ---- the dispatcher's surroundings ---- */

static int64_t now_us(void *env)
{
	return ((struct bench *)env)->now_us;
}

static int64_t wall_ms(void *env)
{
	return INT64_C(1700000000000) + now_us(env) / 1000;
}

static uint64_t random_bits(void *env)
{
	(void)env;
	return UINT64_C(0x9E3779B97F4A7C15);
}

static void no_wake(void *ctx)
{
	(void)ctx;
}

static void run(struct bench *b)
{
	int ret = dispatch_run(b->dispatch);
	FH_ASSERT_CMP(ret, ==, 0);
}

static void hello(struct bench *b, uint32_t number)
{
	struct wire_msg m = { .type = WIRE_HELLO,
			      .hello = { .slots = 1,
					 .runtime = "cp311",
					 .host = fh_strdup("host"),
					 .modules = fh_strdup("abc,numpy") } };
	memcpy(m.hello.instance.b, &number, sizeof number);
	FH_ASSERT(m.hello.host && m.hello.modules);
	b->end.handler.message(b->end.handler.ctx, number + 1, &m);
	run(b);
}

/* ---- what is measured ---- */

static double cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int open_counter(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
					.size = sizeof attr,
					.config = PERF_COUNT_HW_INSTRUCTIONS,
					.exclude_kernel = 1,
					.exclude_hv = 1 };
	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t instructions(const struct bench *b)
{
	uint64_t count = 0;
	if (b->counter >= 0)
		FH_ASSERT(read(b->counter, &count, sizeof count) == sizeof count);
	return count;
}

__attribute__((noinline)) static void measure(struct bench *b)
{
	for (uint32_t i = 0; i < CHUNK; i += PER_TICK) {
		b->pending = PER_TICK;
		run(b);
		b->now_us += TICK_US;
		run(b);
	}
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print_figures(struct bench *b)
{
	double us[CHUNKS];
	uint64_t count = instructions(b), answers = b->answers;
	for (int i = 0; i < CHUNKS; i++) {
		double from = cpu_us();
		measure(b);
		us[i] = (cpu_us() - from) / CHUNK;
	}
	count = instructions(b) - count;
	FH_ASSERT_CMP(b->answers - answers, ==, (uint64_t)CHUNK * CHUNKS);
	qsort(us, CHUNKS, sizeof *us, by_size);
	(void)printf("{\"bench\":\"heartbeat\",\"sessions\":%" PRIu32 ",\"heartbeats\":%d,"
		     "\"us_a_heartbeat\":%.4f,\"instructions\":",
		     b->sessions, CHUNK * CHUNKS, us[CHUNKS / 2]);
	(void)printf(b->counter >= 0 ? "%" PRIu64 "}\n" : "null}\n", count);
}

int main(int argc, char **argv)
{
	static struct bench b = { .end = { .ops = &end_ops }, .now_us = 1000000 };
	unsigned long sessions = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	struct store *store = NULL;
	struct store_config sc = { .wake = no_wake, .now_ms = wall_ms(&b) };
	struct store_recovery recovery;
	struct dispatch_config dc = { .limits = CORE_LIMITS_DEFAULT,
				      .recovery = &recovery,
				      .remote = &b.end,
				      .env = &b,
				      .now_us = now_us,
				      .wall_ms = wall_ms,
				      .random = random_bits };
	if (sessions == 0 || sessions > SESSIONS_MAX) {
		(void)fprintf(stderr, "usage: heartbeat_bench SESSIONS (1 to %d)\n", SESSIONS_MAX);
		return 2;
	}
	b.sessions = (uint32_t)sessions;
	b.counter = open_counter();
	dc.limits.tick_gap_us = 2 * TICK_US; /* so that a tick is due after each TICK_US */
	if (store_open_mem(&sc, &store, &recovery)) {
		(void)fprintf(stderr, "heartbeat_bench: out of memory\n");
		return 1;
	}
	dc.store = store;
	int ret = dispatch_new(&dc, &b.dispatch);
	FH_ASSERT_CMP(ret, ==, 0);
	store_recovery_release(&recovery);
	for (uint32_t i = 0; i < b.sessions; i++)
		hello(&b, i);
	print_figures(&b);
	dispatch_check(b.dispatch);
	store_close(&store);
	dispatch_free(&b.dispatch);
	return 0;
}
