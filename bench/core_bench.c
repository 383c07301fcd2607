/* What one task costs in the core, the whole way: `core_bench [TASKS] [BATCH]`.
 *
 * TASKS (1,000,000) are submitted, BATCH (500) a request, to one lane and one worker of two slots
 * that takes short tasks ahead, with the default limits. Every task is stored, assigned, started,
 * finished, stored again and released; what does not fit in the window goes to a backlog and is
 * claimed. Only core_step() is timed by what is around it: a store and a worker of a few lines.
 * Prints one JSON object: microseconds a task and steps a task. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/mem.h"
#include "core/core.h"

enum { REFS_MAX = 1 << 16 };

struct bench {
	struct core *core;
	struct core_actions out;
	int64_t now_us;
	uint64_t steps, made, backlog, ended;
	uint64_t granted;
	struct fh_id_gen ids;
	struct core_spec *specs;
	uint32_t batch;
	/* What the last step asked for. */
	struct core_action sent[REFS_MAX];
	uint32_t ends[REFS_MAX], ended_len, sent_len, claim;
};

static void step(struct bench *b, struct core_event ev)
{
	do {
		b->steps++;
		core_step(b->core, &ev, ++b->now_us, &b->out);
		for (uint32_t i = 0; i < b->out.count; i++) {
			const struct core_action *a = &b->out.list[i];
			if (a->kind == CORE_DO_ASSIGN)
				b->sent[b->sent_len++] = *a;
			else if (a->kind == CORE_DO_PERSIST_FINAL)
				b->ends[b->ended_len++] = a->ref;
			else if (a->kind == CORE_DO_CLAIM)
				b->claim = a->claim.count;
		}
		ev = (struct core_event){ .kind = CORE_EV_CONTINUED };
	} while (b->out.more);
}

static struct core_spec next_task(struct bench *b)
{
	return (struct core_spec){
		.id = fh_id_next(&b->ids, 1, UINT64_C(0x9E3779B97F4A7C15)),
		.bytes = 100,
		.retry_on = RETRY_ON_ALL,
	};
}

/* One request: submitted and stored. Tasks that got no place wait in the backlog. */
static void submit(struct bench *b)
{
	b->made += b->batch;
	for (uint32_t i = 0; i < b->batch; i++)
		b->specs[i] = next_task(b);
	step(b, (struct core_event){ .kind = CORE_EV_SUBMITTED,
				     .submitted = { 1, b->specs, b->batch } });
	step(b, (struct core_event){ .kind = CORE_EV_STORED,
				     .stored = { 1, b->specs, b->batch, true } });
	for (uint32_t i = 0; i < b->batch; i++)
		b->backlog += b->specs[i].ref == CORE_NO_REF;
}

static void claim(struct bench *b)
{
	uint32_t count = b->claim;
	b->claim = 0;
	if (count > b->backlog)
		count = (uint32_t)b->backlog;
	for (uint32_t i = 0; i < count; i++)
		b->specs[i] = next_task(b);
	b->backlog -= count;
	step(b, (struct core_event){ .kind = CORE_EV_CLAIMED,
				     .claimed = { 0, 0, b->specs, count, b->backlog > 0, 0, 0 } });
}

static void work(struct bench *b)
{
	uint32_t count = b->sent_len;
	struct core_action *sent = fh_calloc(count, sizeof *sent);
	FH_ASSERT(sent != NULL);
	for (uint32_t i = 0; i < count; i++)
		sent[i] = b->sent[i];
	b->sent_len = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct core_event ev = { .kind = CORE_EV_STARTED,
					 .attempt = { .id = sent[i].id,
						      .token = sent[i].token,
						      .state = TASK_COMPLETED,
						      .run_us = 5 } };
		step(b, ev);
		ev.kind = CORE_EV_FINISHED;
		step(b, ev);
	}
	fh_free(sent);
	b->granted += count;
	step(b, (struct core_event){ .kind = CORE_EV_CREDITED, .credited = { 0, b->granted } });
	uint32_t ends = b->ended_len;
	b->ended_len = 0;
	for (uint32_t i = 0; i < ends; i++)
		step(b, (struct core_event){ .kind = CORE_EV_FINAL_STORED, .ref = { b->ends[i] } });
	b->ended += ends;
}

static double seconds(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static struct bench b;
	uint64_t tasks = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	b.batch = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 500;
	if (tasks == 0 || b.batch == 0 || b.batch > 10000 || argc > 3) {
		(void)fprintf(stderr, "usage: core_bench [TASKS] [BATCH]\n");
		return 2;
	}
	struct core_limits limits = CORE_LIMITS_DEFAULT;
	struct core_start start = { .generation = 1 };
	limits.live_max = tasks + b.batch;
	b.specs = fh_calloc(REFS_MAX, sizeof *b.specs);
	if (!b.specs || core_new(&limits, &start, &b.core)) {
		(void)fprintf(stderr, "core_bench: out of memory\n");
		return 1;
	}
	step(&b,
	     (struct core_event){ .kind = CORE_EV_SESSION_OPENED, .opened = { 0, 2, 1, true } });
	b.granted = 128;
	step(&b, (struct core_event){ .kind = CORE_EV_CREDITED, .credited = { 0, b.granted } });
	double from = seconds();
	while (b.ended < tasks) {
		/* The client is ahead of the worker, so that a backlog builds up and is claimed. */
		for (int i = 0; i < 2 && b.made < tasks && b.made - b.ended < 20000; i++)
			submit(&b);
		work(&b);
		if (b.claim)
			claim(&b);
	}
	double us = (seconds() - from) * 1e6 / (double)b.ended;
	core_check(b.core);
	(void)printf("{\"bench\":\"core\",\"tasks\":%" PRIu64 ",\"batch\":%u,\"us_a_task\":%.3f,"
		     "\"steps_a_task\":%.2f}\n",
		     b.ended, b.batch, us, (double)b.steps / (double)b.ended);
	core_free(&b.core);
	fh_free(b.specs);
	return 0;
}
