/* What jobs print: whole, bounded, in order, of the right job; it never holds a function up. */
#include <stdio.h>
#include <string.h>

#include "harness.h"

static void every_way_to_print_is_captured(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *r = harness_result(h, 0, 1, "say_everywhere", "");
	expect_int(r, 1);
	assert_true(contains(r->out, "python\n"));
	assert_true(contains(r->out, "c\n"));
	assert_true(contains(r->out, "descriptor\n"));
	assert_true(contains(r->out, "command\n"));
	assert_true(contains(r->out, "unflushed"));
	assert_null(r->err);
	expect_int(harness_result(h, 0, 2, "say_on_deletion", ""), 1);
	expect_output(h->jobs[2].result.out, "deleted\n");
	assert_true(contains(h->jobs[2].result.err, "raised while deleted"));
	assert_null(harness_result(h, 0, 3, "add", "I3\nI4\n")->out);
	harness_free(h);
}

static void much_output_is_cut_and_does_not_block(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.log_max = 100000;
	harness_start(h);
	const struct task_result *r = harness_result(h, 0, 1, "say_much", "I3000\nVx\n");
	expect_int(r, 1);
	assert_int_equal(r->out->len, 100000);
	assert_memory_equal(r->out->data, "begin x", 7);
	assert_true(r->out_cut);
	assert_false(r->err_cut);
	/* As much as the bound is not cut. */
	r = harness_result(h, 0, 2, "say_much", "I97\nVy\n");
	assert_int_equal(r->out->len, 6 + 97 * 1024 + 4);
	assert_memory_equal(r->out->data + r->out->len - 5, "yend\n", 5);
	assert_false(r->out_cut);
	/* Much more than a pipe holds. */
	r = harness_result(h, 0, 4, "say_much", "I30000\nVz\n");
	assert_int_equal(r->out->len, 100000);
	assert_null(harness_result(h, 0, 3, "add", "I3\nI4\n")->out);
	harness_free(h);
}

static void endless_output_ends_with_the_job(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.log_max = 1000;
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "say_for_ever", "");
	/* What waits behind it is returned rather than held up, or mixed with. */
	harness_run(h, 0, 2, "add", "I3\nI4\n");
	harness_wait(h, h->jobs[2].returned);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	harness_wait(h, h->jobs[1].finished);
	expect_failed(&h->jobs[1].result, REASON_TIMEOUT, "builtins.TimeoutError", "");
	assert_int_equal(h->jobs[1].result.out->len, 1000);
	assert_memory_equal(h->jobs[1].result.out->data, "endless \nendless \n", 18);
	assert_true(h->jobs[1].result.out_cut);
	harness_free(h);
}

static void output_of_a_lost_child_is_its_jobs(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *r = harness_result(h, 0, 1, "say_then_crash", "Vlast words\n");
	expect_failed(r, REASON_CRASH, "builtins.RuntimeError", "status 1");
	expect_output(r->out, "last words\n");
	harness_wait(h, h->up[0]);
	harness_run(h, 0, 2, "say_then_sleep", "Vhello\n");
	harness_wait(h, h->jobs[2].started);
	assert_int_equal(runner_kill(h->runner, 0, 2, REASON_CANCELLED), 0);
	harness_wait(h, h->jobs[2].finished);
	harness_free(h);
}

static void expect_part(struct harness *h, uint64_t from, uint64_t to, const char *text)
{
	struct blob *part;
	assert_int_equal(runner_output(h->runner, 0, 1, false, from, to, &part), 0);
	expect_output(part, text);
	blob_free(&part);
}

static void what_runs_shows_what_it_has_printed(void **state)
{
	(void)state;
	struct blob *part;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "say_then_sleep", "Vhello\n");
	harness_wait(h, h->jobs[1].printed[0] == 6);
	assert_int_equal(h->jobs[1].printed[1], 0);
	expect_part(h, 0, 6, "hello\n");
	expect_part(h, 1, 3, "el");
	assert_int_equal(runner_output(h->runner, 0, 1, false, 0, 7, &part), FH_ENOTFOUND);
	assert_int_equal(runner_output(h->runner, 0, 1, false, 2, 1, &part), FH_ENOTFOUND);
	assert_int_equal(runner_output(h->runner, 0, 1, true, 0, 1, &part), FH_ENOTFOUND);
	assert_int_equal(runner_output(h->runner, 0, 2, false, 0, 1, &part), FH_ENOTFOUND);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_CANCELLED), 0);
	harness_wait(h, h->jobs[1].finished);
	expect_output(h->jobs[1].result.out, "hello\n");
	assert_int_equal(runner_output(h->runner, 0, 1, false, 0, 6, &part), FH_ENOTFOUND);
	harness_free(h);
}

/* Jobs that share the pipe keep their output apart. */
static void output_is_of_the_right_job(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	for (uint64_t job = 1; job <= RUNNER_PIPE_MAX; job++) {
		static const struct runner_job quiet = { .announce = false };
		char args[32];
		(void)snprintf(args, sizeof args, "Vjob %d\n", (int)job);
		assert_int_equal(harness_run_with(h, 0, job, "say", pickle_args(args), &quiet), 0);
	}
	/* On a busy machine one may take long, and those behind it are returned. */
	harness_wait(h, h->finished + h->returned == RUNNER_PIPE_MAX);
	assert_true(h->finished > 0);
	for (uint64_t job = 1; job <= RUNNER_PIPE_MAX; job++) {
		char text[64];
		if (h->jobs[job].returned)
			continue;
		(void)snprintf(text, sizeof text, "job %d\n", (int)job);
		expect_output(h->jobs[job].result.out, text);
		(void)snprintf(text, sizeof text, "job %d to stderr\n", (int)job);
		expect_output(h->jobs[job].result.err, text);
	}
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_to_print_is_captured),
		cmocka_unit_test(much_output_is_cut_and_does_not_block),
		cmocka_unit_test(endless_output_ends_with_the_job),
		cmocka_unit_test(output_of_a_lost_child_is_its_jobs),
		cmocka_unit_test(what_runs_shows_what_it_has_printed),
		cmocka_unit_test(output_is_of_the_right_job),
	};
	return harness_main("runner_output", tests, sizeof tests / sizeof tests[0]);
}
