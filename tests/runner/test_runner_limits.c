/* Memory limits, and the replacement of children after so many jobs. */
#include <string.h>

#include "harness.h"

enum { MIB = 1 << 20 };

static const struct task_result *limited(struct harness *h, uint64_t job, const char *name,
					 const char *args, uint64_t mem_bytes)
{
	const struct runner_job options = { .announce = true, .mem_bytes = mem_bytes };
	harness_wait(h, h->up[0]);
	assert_int_equal(harness_run_with(h, 0, job, name, pickle_args(args), &options), 0);
	harness_wait(h, h->jobs[job].finished);
	return &h->jobs[job].result;
}

static void memory_beyond_the_limit_is_refused_in_the_child(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *r = limited(h, 1, "allocate", "I300\n", 100 * MIB);
	expect_failed(r, REASON_MEMORY, "builtins.MemoryError", "");
	assert_true(contains(r->value, "MemoryError"));
	assert_int_equal(expect_number(limited(h, 2, "allocate", "I50\n", 100 * MIB)), 50 * MIB);
	/* The limit is of its job alone. */
	assert_int_equal(expect_number(harness_result(h, 0, 3, "allocate", "I300\n")), 300 * MIB);
	/* Memory that ran out costs the child: what was under way in it is half done. */
	assert_int_equal(h->downs[0], 1);
	harness_free(h);
}

static void memory_that_is_not_the_childs_own_counts(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *r = limited(h, 1, "allocate_and_keep", "I200\n", 50 * MIB);
	expect_failed(r, REASON_MEMORY, "builtins.MemoryError", "the memory limit was reached");
	r = limited(h, 2, "children_allocate", "I5\nI30\n", 50 * MIB);
	expect_failed(r, REASON_MEMORY, "builtins.MemoryError", "the memory limit was reached");
	expect_int(limited(h, 3, "add", "I3\nI4\n", 50 * MIB), 7);
	harness_free(h);
}

/* Forked processes share their pages: they count once. */
static void shared_memory_counts_once(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	expect_int(limited(h, 1, "share_pages", "I60\nI6\n", 150 * MIB), 1);
	harness_free(h);
}

static void a_child_is_replaced_after_its_jobs(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.recycle_jobs = 3;
	harness_start(h);
	long pid = 0;
	for (uint64_t job = 1; job <= 9; job++) {
		long other = expect_number(harness_result(h, 0, job, "my_pid", ""));
		if (job % 3 == 1)
			assert_int_not_equal(other, pid);
		else
			assert_int_equal(other, pid);
		pid = other;
	}
	harness_wait(h, h->ups[0] == 4);
	/* No more than that are taken, and none is lost. */
	for (uint64_t job = 11; job <= 13; job++)
		harness_run(h, 0, job, "add", "I3\nI4\n");
	assert_int_equal(harness_run_with(h, 0, 14, "add", pickle_args("I3\nI4\n"), NULL),
			 FH_ECLOSED);
	harness_wait(h, h->finished == 12);
	harness_wait(h, h->ups[0] == 5);
	assert_int_equal(h->returned, 0);
	harness_free(h);
}

/* More functions than a child keeps. */
static void functions_are_forgotten_and_sent_again(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	struct runner_function f = { .payload = pickle_reference("functions", "add") };
	for (uint64_t job = 1; job <= 400; job++) {
		f.id.b[0] = (uint8_t)(job % 100);
		struct runner_job j = { .job = job,
					.function = &f,
					.payload = pickle_args("I3\nI4\n") };
		assert_int_equal(runner_run(h->runner, 0, &j), 0);
		blob_free(&j.payload);
		if (job % 10 == 0)
			harness_wait(h, h->finished == job);
	}
	for (uint64_t job = 1; job <= 400; job++)
		expect_int(&h->jobs[job].result, 7);
	blob_free(&f.payload);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_beyond_the_limit_is_refused_in_the_child),
		cmocka_unit_test(memory_that_is_not_the_childs_own_counts),
		cmocka_unit_test(shared_memory_counts_once),
		cmocka_unit_test(a_child_is_replaced_after_its_jobs),
		cmocka_unit_test(functions_are_forgotten_and_sent_again),
	};
	return harness_main("runner_limits", tests, sizeof tests / sizeof tests[0]);
}
