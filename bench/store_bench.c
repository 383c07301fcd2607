/* What one task costs in the embedded store: `store_bench DIR [TASKS] [GROUP] [BYTES]`.
 *
 * A child fills the store with TASKS (1,000,000), GROUP (500) a call and so a commit, and leaves
 * without closing it, as a kill would. Then the store is opened again, and everything is claimed
 * and finished, GROUP a call. Calls follow one another, so each time includes its own fsync. Prints
 * one JSON object a line: microseconds a task over the first tenth, the last tenth and all,
 * processor time, and the memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/store.h"

struct bench {
	struct store *store;
	int wake_fd;
	bool done;
	uint32_t tasks, group;
	struct blob *payload;
	struct fh_id_gen ids;
	struct fh_id function, group_id;
};

static void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "store_bench: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Of the whole process, user and system. */
static uint64_t cpu_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static long rss_kb(void)
{
	long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	if (!f || fscanf(f, "%ld %ld", &pages, &resident) != 2)
		die("/proc/self/statm", strerror(errno));
	(void)fclose(f);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void wake(void *ctx)
{
	uint64_t one = 1;
	if (write(((struct bench *)ctx)->wake_fd, &one, sizeof one) != sizeof one)
		die("eventfd", strerror(errno));
}

static void on_done(struct store_op *op)
{
	((struct bench *)op->owner)->done = true;
}

static void run(struct bench *b, struct store_op *op)
{
	op->done = on_done;
	op->owner = b;
	b->done = false;
	store_submit(b->store, op);
	while (!b->done) {
		uint64_t count;
		if (read(b->wake_fd, &count, sizeof count) != sizeof count)
			die("eventfd", strerror(errno));
		if (store_poll(b->store))
			die("store", store_failure(b->store));
	}
	if (op->ret)
		die("call", fh_error_text(op->ret));
}

static void open_store(struct bench *b, const char *dir)
{
	struct store_config config = { .wake = wake, .ctx = b };
	struct store_recovery recovery;
	struct fh_err err;
	uint64_t start = now_us();
	b->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (store_open_sqlite(dir, &config, &b->store, &recovery, &err))
		die("open", err.text);
	printf("{\"phase\":\"open\",\"queued\":%" PRIu64 ",\"ms\":%.1f,\"rss_kb\":%ld}\n",
	       recovery.live, (double)(now_us() - start) / 1e3, rss_kb());
	store_recovery_release(&recovery);
}

struct mark {
	uint64_t us, cpu_us;
};

static struct mark mark(void)
{
	return (struct mark){ now_us(), cpu_us() };
}

/* One span of a phase, a task: time and processor time. */
static void print_span(const char *name, struct mark from, struct mark to, uint64_t tasks)
{
	printf(",\"us%s\":%.2f,\"cpu_us%s\":%.2f", name, (double)(to.us - from.us) / (double)tasks,
	       name, (double)(to.cpu_us - from.cpu_us) / (double)tasks);
}

/* Calls `step` for every group of tasks, and reports. */
static void phase(struct bench *b, const char *name, void (*step)(struct bench *b))
{
	uint32_t steps = b->tasks / b->group, tenth = steps < 10 ? 1 : steps / 10;
	struct mark start = mark(), first = start, last = start;
	for (uint32_t i = 0; i < steps; i++) {
		if (i == steps - tenth)
			last = mark();
		step(b);
		if (i + 1 == tenth)
			first = mark();
	}
	struct mark end = mark();
	printf("{\"phase\":\"%s\",\"tasks\":%u,\"group\":%u", name, b->tasks, b->group);
	print_span("", start, end, (uint64_t)steps * b->group);
	print_span("_first", start, first, (uint64_t)tenth * b->group);
	print_span("_last", last, end, (uint64_t)tenth * b->group);
	printf(",\"rss_kb\":%ld}\n", rss_kb());
	(void)fflush(stdout);
}

static void insert(struct bench *b)
{
	struct task_rec *tasks = fh_calloc(b->group, sizeof *tasks);
	struct store_submit_item *items = fh_calloc(b->group, sizeof *items);
	FH_ASSERT(tasks && items);
	for (uint32_t i = 0; i < b->group; i++) {
		tasks[i] = (struct task_rec){
			.id = fh_id_next(&b->ids, (uint64_t)time(NULL) * 1000, 1),
			.function_id = b->function,
			.group_id = b->group_id,
			.options = TASK_OPTIONS_DEFAULT,
			.created_ms = (int64_t)time(NULL) * 1000,
			.payload = b->payload,
		};
		items[i].task = &tasks[i];
	}
	struct store_submit call = { .op.kind = STORE_SUBMIT, .items = items, .count = b->group };
	run(b, &call.op);
	fh_free(items);
	fh_free(tasks);
}

/* Of one kind of call: time and processor time. */
struct part {
	uint64_t us, cpu_us;
};

static struct part claims, finishes;

static void run_part(struct bench *b, struct store_op *op, struct part *part)
{
	uint64_t start = now_us(), cpu = cpu_us();
	run(b, op);
	part->us += now_us() - start;
	part->cpu_us += cpu_us() - cpu;
}

static void complete(struct bench *b)
{
	struct task_result result = { .state = TASK_COMPLETED,
				      .value = b->payload,
				      .started_ms = (int64_t)time(NULL) * 1000,
				      .finished_ms = (int64_t)time(NULL) * 1000,
				      .run_us = 5,
				      .runtime = "cp311" };
	struct store_finish_item *items = fh_calloc(b->group, sizeof *items);
	struct store_claim claim = { .op.kind = STORE_CLAIM,
				     .class_key = "",
				     .max_count = b->group,
				     .max_bytes = UINT64_MAX };
	FH_ASSERT(items != NULL);
	run_part(b, &claim.op, &claims);
	FH_ASSERT_CMP(claim.ret_count, ==, b->group);
	for (uint32_t i = 0; i < b->group; i++)
		items[i] = (struct store_finish_item){ .task = claim.ret_tasks[i].id,
						       .tally.attempt = 1,
						       .result = &result };
	struct store_finish finish = { .op.kind = STORE_FINISH, .items = items, .count = b->group };
	run_part(b, &finish.op, &finishes);
	store_op_release(&claim.op);
	fh_free(items);
}

static void fill(struct bench *b, const char *dir)
{
	open_store(b, dir);
	struct group_rec group = { .id = b->group_id };
	struct store_put_group call = { .op.kind = STORE_PUT_GROUP, .group = &group };
	run(b, &call.op);
	phase(b, "insert", insert);
	_exit(0);
}

static uint32_t number(int argc, char **argv, int i, uint32_t otherwise)
{
	return argc > i ? (uint32_t)strtoul(argv[i], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
	struct bench b = { .tasks = number(argc, argv, 2, 1000000),
			   .group = number(argc, argv, 3, 500),
			   .function = { { 1 } },
			   .group_id = { { 2 } } };
	b.payload = blob_new(number(argc, argv, 4, 64));
	if (argc < 2 || b.group == 0 || b.tasks < b.group || !b.payload)
		die("usage", "store_bench DIR [TASKS] [GROUP] [BYTES]");
	memset(b.payload->data, 'x', b.payload->len);
	pid_t child = fork();
	if (child == 0)
		fill(&b, argv[1]);
	int status;
	if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
		die("fill", "the child failed");
	open_store(&b, argv[1]);
	phase(&b, "complete", complete);
	double count = (double)(b.tasks / b.group) * b.group;
	printf("{\"phase\":\"parts\",\"claim_us\":%.2f,\"claim_cpu_us\":%.2f,\"finish_us\":%.2f,"
	       "\"finish_cpu_us\":%.2f}\n",
	       (double)claims.us / count, (double)claims.cpu_us / count,
	       (double)finishes.us / count, (double)finishes.cpu_us / count);
	store_close(&b.store);
	blob_free(&b.payload);
	return 0;
}
