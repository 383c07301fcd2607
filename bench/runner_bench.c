/* What a job costs in the runner: the worker's processor time, a child's, and the wall.
 *
 * usage: runner_bench [--jobs N] [--slots N] [--depth N] [--bytes N] [--announce] [--python EXE]
 *
 * The function is the identity (operator.pos of an int, or copy.copy of a string of --bytes), so
 * that what is measured is the way there and back. Prints one JSON line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "base/mem.h"
#include "runner/runner.h"

enum { SLOTS_MAX = 64 };

struct bench {
	struct runner *runner;
	struct event_base *base;
	struct runner_function function, clock;
	struct blob *payload, *no_args;
	uint64_t jobs, given, done;
	unsigned slots, depth, ready;
	bool announce;
	uint64_t child_ns[SLOTS_MAX]; /* processor time of each child, as it told last */
	unsigned clocks;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;
	(void)clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
	(void)fprintf(stderr, "runner_bench: %s\n", what);
	exit(1);
}

static void give(struct bench *b, unsigned slot)
{
	struct runner_job job = { .job = b->given + 1,
				  .function = &b->function,
				  .payload = b->payload,
				  .announce = b->announce };
	if (b->given == b->jobs)
		return;
	int ret = runner_run(b->runner, slot, &job);
	if (ret == 0)
		b->given++;
	else if (ret != FH_EAGAIN)
		die(fh_error_text(ret));
}

static void ask_clock(struct bench *b, unsigned slot)
{
	struct runner_job job = { .job = UINT64_MAX - slot,
				  .function = &b->clock,
				  .payload = b->no_args };
	if (runner_run(b->runner, slot, &job))
		die("a clock was refused");
}

/* The int of a pickle of up to 8 bytes (LONG1 or a BININT). */
static uint64_t unpickle_int(const struct blob *b)
{
	uint64_t value = 0;
	size_t at = 2, len = 4;
	if (b->len > 11 && b->data[2] == 0x95) /* FRAME */
		at = 11;
	if (b->data[at] == 0x8a)
		len = b->data[++at];
	if (at + 1 + len > b->len || len > 8)
		die("not an int");
	memcpy(&value, b->data + at + 1, len);
	return value;
}

static void on_ready(void *ctx, const char *runtime, const char *modules)
{
	(void)modules;
	(void)ctx;
	(void)runtime;
}

static void on_slot(void *ctx, unsigned slot)
{
	(void)slot;
	((struct bench *)ctx)->ready++;
}

static void on_started(void *ctx, unsigned slot, uint64_t job)
{
	(void)ctx;
	(void)slot;
	(void)job;
}

static void on_finished(void *ctx, unsigned slot, uint64_t job, struct task_result *own_result,
			bool retry_match)
{
	struct bench *b = ctx;
	(void)retry_match;
	if (own_result->state != TASK_COMPLETED)
		die(own_result->error_message ? own_result->error_message : "failed");
	if (job > UINT64_MAX - SLOTS_MAX) {
		b->child_ns[slot] = unpickle_int(own_result->value) - b->child_ns[slot];
		b->clocks++;
	} else {
		b->done++;
		give(b, slot);
	}
	task_result_release(own_result);
}

static void on_broken(void *ctx, const char *why)
{
	(void)ctx;
	die(why);
}

static struct blob *blob_of(const char *text, size_t len)
{
	struct blob *b = blob_copy(text, len);
	if (!b)
		die("out of memory");
	return b;
}

/* A pickle that names a function. */
static struct blob *reference(const char *module, const char *name)
{
	char text[64];
	int len = snprintf(text, sizeof text,
			   "\x80\x02"
			   "c%s\n%s\n.",
			   module, name);
	return blob_of(text, (size_t)len);
}

/* ((1,), {}) or (("xxx...",), {}) as a protocol 2 pickle. */
static struct blob *payload_of(uint32_t bytes)
{
	if (bytes == 0)
		return blob_of("\x80\x02K\x01\x85}\x86.", 8);
	struct blob *b = blob_new(2 + 5 + (size_t)bytes + 4);
	if (!b)
		die("out of memory");
	memcpy(b->data, "\x80\x02X", 3);
	memcpy(b->data + 3, &bytes, 4);
	memset(b->data + 7, 'x', bytes);
	memcpy(b->data + 7 + bytes, "\x85}\x86.", 4);
	return b;
}

static void clocks(struct bench *b)
{
	b->clocks = 0;
	for (unsigned i = 0; i < b->slots; i++)
		ask_clock(b, i);
	while (b->clocks < b->slots)
		(void)event_base_loop(b->base, EVLOOP_ONCE);
}

static void measure(struct bench *b, uint32_t bytes)
{
	while (b->ready < b->slots)
		(void)event_base_loop(b->base, EVLOOP_ONCE);
	clocks(b);
	uint64_t wall = now_ns(CLOCK_MONOTONIC), own = now_ns(CLOCK_PROCESS_CPUTIME_ID), child = 0;
	for (unsigned d = 0; d < b->depth; d++) {
		for (unsigned i = 0; i < b->slots; i++)
			give(b, i);
	}
	while (b->done < b->jobs)
		(void)event_base_loop(b->base, EVLOOP_ONCE);
	wall = now_ns(CLOCK_MONOTONIC) - wall;
	own = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own;
	clocks(b);
	for (unsigned i = 0; i < b->slots; i++)
		child += b->child_ns[i];
	double jobs = (double)b->jobs;
	(void)printf("{\"jobs\": %" PRIu64 ", \"slots\": %u, \"depth\": %u, \"bytes\": %" PRIu32
		     ", \"announce\": %s, \"jobs_per_s\": %.0f, \"wall_us\": %.2f, \"worker_us\": "
		     "%.2f, \"child_us\": %.2f}\n",
		     b->jobs, b->slots, b->depth, bytes, b->announce ? "true" : "false",
		     jobs / ((double)wall / 1e9), (double)wall / 1e3 / jobs,
		     (double)own / 1e3 / jobs, (double)child / 1e3 / jobs);
}

int main(int argc, char **argv)
{
	struct bench b = { .jobs = 100000, .slots = 1, .depth = 8 };
	const char *python = "python3";
	uint32_t bytes = 0;
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		if (strcmp(argv[i], "--announce") == 0) {
			b.announce = true;
			continue;
		}
		i++;
		if (strcmp(argv[i - 1], "--jobs") == 0)
			b.jobs = strtoull(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--slots") == 0)
			b.slots = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--depth") == 0)
			b.depth = (unsigned)strtoul(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--bytes") == 0)
			bytes = (uint32_t)strtoul(value, NULL, 10);
		else if (strcmp(argv[i - 1], "--python") == 0)
			python = value;
		else
			die("unknown option");
	}
	if (b.slots < 1 || b.slots > SLOTS_MAX || b.depth < 1 || b.depth > RUNNER_PIPE_MAX ||
	    b.jobs < 1)
		die("a number is out of range");
	b.base = event_base_new();
	b.function.id.b[0] = 1;
	b.function.payload = bytes ? reference("copy", "copy") : reference("operator", "pos");
	b.clock.id.b[0] = 2;
	b.clock.payload = reference("time", "process_time_ns");
	b.payload = payload_of(bytes);
	b.no_args = blob_of("\x80\x02)}\x86.", 6);
	struct runner_config config = { .base = b.base,
					.slots = b.slots,
					.python = python,
					.result_max = 64 << 20,
					.log_max = 1 << 20 };
	struct runner_handler handler = {
		.ctx = &b,
		.ready = on_ready,
		.slot_ready = on_slot,
		.started = on_started,
		.finished = on_finished,
		.broken = on_broken,
	};
	struct fh_err err;
	if (!b.base || runner_new(&config, &handler, &b.runner, &err))
		die("cannot start");
	measure(&b, bytes);
	runner_free(&b.runner);
	blob_free(&b.function.payload);
	blob_free(&b.clock.payload);
	blob_free(&b.payload);
	blob_free(&b.no_args);
	event_base_free(b.base);
	return 0;
}
