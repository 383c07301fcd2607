/* The runner's everyday life: jobs, results, failures, output. */
#include <string.h>

#include "base/mem.h"
#include "harness.h"

static void a_function_runs_and_its_result_comes_back(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	harness_start(h);
	harness_wait_ready(h);
	assert_int_equal(h->ready, 1);
	assert_memory_equal(h->runtime, "cp3", 3);
	assert_non_null(strstr(h->modules, ",json,")); /* a package */
	assert_non_null(strstr(h->modules, ",abc,"));  /* a file */
	assert_non_null(strstr(h->modules, ",sys,"));  /* built in */
	assert_non_null(
		strstr(h->modules, ",functions,")); /* from the paths of the configuration */
	assert_null(strstr(h->modules, "farhand"));
	const struct task_result *r = harness_result(h, 0, 1, "add", "I3\nI4\n");
	expect_int(r, 7);
	assert_string_equal(r->runtime, h->runtime);
	assert_true(r->started_ms > 0 && r->finished_ms >= r->started_ms);
	assert_int_equal(h->jobs[1].started, 1);
	expect_int(harness_result(h, 1, 2, "add", "I30\nI4\n"), 34);
	expect_int(harness_result(h, 0, 3, "add", "I5\nI4\n"), 9);
	assert_int_equal(h->downs[0], 0);
	harness_free(h);
}

static void an_exception_is_told_with_its_traceback(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *r = harness_result(h, 0, 1, "raise_value_error", "Vno good\n");
	expect_failed(r, REASON_EXCEPTION, "builtins.ValueError", "no good");
	assert_true(contains(r->value, "ValueError"));
	assert_non_null(strstr(r->traceback, "in raise_value_error"));
	assert_null(strstr(r->traceback, "<farhand>"));
	assert_int_equal(h->downs[0], 0);
	harness_free(h);
}

static void a_crash_costs_its_own_job_only(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	harness_start(h);
	expect_failed(harness_result(h, 0, 1, "exit_process", "I3\n"), REASON_CRASH,
		      "builtins.RuntimeError", "exited with status 3 inside the function");
	expect_failed(harness_result(h, 1, 2, "segfault", ""), REASON_CRASH,
		      "builtins.RuntimeError", "killed by signal 11 (SIGSEGV)");
	assert_true(contains(h->jobs[2].result.err, "in segfault"));
	expect_int(harness_result(h, 0, 3, "add", "I3\nI4\n"), 7);
	expect_int(harness_result(h, 1, 4, "add", "I3\nI4\n"), 7);
	assert_int_equal(h->downs[0], 1);
	harness_free(h);
}

static void output_is_captured_for_its_job(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *r = harness_result(h, 0, 1, "say", "Vhello\n");
	expect_output(r->out, "hello\n");
	expect_output(r->err, "hello to stderr\n");
	assert_false(r->out_cut || r->err_cut);
	assert_null(harness_result(h, 0, 2, "add", "I3\nI4\n")->out);
	harness_free(h);
}

static void memory_can_end_anywhere(void **state)
{
	(void)state;
	static const struct runner_handler nobody = { 0 };
	struct harness *h = harness_new(2);
	int ret = FH_ENOMEM;
	for (unsigned n = 1; ret; n++) {
		struct fh_err err;
		fh_mem_fail_after(n);
		ret = runner_new(&h->config, &nobody, &h->runner, &err);
		assert_true(ret == 0 || ret == FH_ENOMEM);
		assert_true(n < 100);
	}
	fh_mem_fail_after(0);
	runner_free(&h->runner);
	harness_start(h);
	harness_wait_ready(h);
	for (unsigned n = 1; n <= 8; n++) { /* a result is 5 allocations at most */
		harness_run(h, 0, n, "say", "Vhello\n");
		fh_mem_fail_after(n);
		harness_wait(h, h->jobs[n].finished);
		fh_mem_fail_after(0);
		const struct task_result *r = &h->jobs[n].result;
		if (r->state == TASK_FAILED)
			assert_int_equal(r->reason, REASON_WORKER_LOST);
		else
			expect_int(r, 1);
	}
	assert_int_equal(h->downs[0], 0);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_runs_and_its_result_comes_back),
		cmocka_unit_test(an_exception_is_told_with_its_traceback),
		cmocka_unit_test(a_crash_costs_its_own_job_only),
		cmocka_unit_test(output_is_captured_for_its_job),
		cmocka_unit_test(memory_can_end_anywhere),
	};
	return harness_main("runner_basic", tests, sizeof tests / sizeof tests[0]);
}
