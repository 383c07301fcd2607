/* What a function may do without harm to the worker and to any other job. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static void expect_healthy(struct harness *h, unsigned slot, uint64_t job)
{
	expect_int(harness_result(h, slot, job, "add", "I3\nI4\n"), 7);
	assert_null(h->jobs[job].result.out);
	assert_null(h->jobs[job].result.err);
}

static void its_descriptors_are_its_own_loss(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	expect_failed(harness_result(h, 0, 1, "close_everything", ""), REASON_CRASH,
		      "builtins.RuntimeError",
		      "the runner exited with status 1 inside the function");
	expect_healthy(h, 0, 2);
	expect_int(harness_result(h, 0, 3, "close_stdout", ""), 1);
	expect_healthy(h, 0, 4);
	expect_failed(harness_result(h, 0, 5, "write_junk_everywhere", ""), REASON_CRASH,
		      "builtins.RuntimeError",
		      "the function has written to a descriptor that is not its own");
	expect_healthy(h, 0, 6);
	expect_int(harness_result(h, 0, 7, "open_in_place_of_stdout", ""), 1);
	expect_int(harness_result(h, 0, 8, "say", "Vheard\n"), 1);
	expect_output(h->jobs[8].result.out, "heard\n");
	harness_free(h);
}

/* Frames that no child of ours would send. */
static void lies_on_its_socket_are_its_own_loss(void **state)
{
	(void)state;
	static const struct {
		const char *function, *args;
	} lies[] = {
		{ "send_frame", "I3\nI0\nI32\n" },  /* HELLO again */
		{ "send_frame", "I4\nI99\nI32\n" }, /* STARTED of another job */
		{ "send_frame", "I4\nI%d\nI31\n" }, /* cut off */
		{ "send_frame", "I5\nI%d\nI64\n" }, /* RESULT without anything */
		{ "send_frame", "I5\nI%d\nI63\n" }, /* cut off */
		{ "send_frame", "I6\nI99\nI32\n" }, /* GIVEN_BACK of another job */
		{ "send_frame", "I7\nI1\nI32\n" },  /* no such kind */
		{ "send_frame", "I5\nI%d\nI100000\n" }, { "send_file", "I%d\nVshort\n" },
		{ "send_file", "I%d\nVpipe\n" },
	};
	struct harness *h = harness_new(2);
	harness_start(h);
	uint64_t job = 1;
	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		char args[64];
		(void)snprintf(args, sizeof args, lies[i].args, (int)job);
		expect_failed(harness_result(h, 0, job++, lies[i].function, args), REASON_CRASH,
			      "builtins.RuntimeError", "the ");
		expect_healthy(h, 0, job++);
	}
	assert_int_equal(h->downs[1], 0);
	harness_free(h);
}

/* Nobody has read it: it can be taken back, and then nothing of it may be looked after. */
static void a_job_that_another_one_begins_has_not_begun(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "begin_another", "I1\nI2\n");
	harness_run(h, 0, 2, "add", "I3\nI4\n");
	harness_wait(h, h->jobs[1].finished);
	harness_wait(h, h->jobs[2].returned);
	assert_int_equal(h->jobs[2].started, 0);
	harness_wait(h, h->ups[0] == 2);
	expect_healthy(h, 0, 3);
	harness_free(h);
}

static bool gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void processes_that_stay_are_ended(void **state)
{
	(void)state;
	static const char *const names[] = { "leave_child", "leave_daemon" };
	struct harness *h = harness_new(1);
	harness_start(h);
	for (uint64_t i = 0; i < 2; i++) {
		unsigned ups = h->ups[0];
		const struct task_result *r = harness_result(h, 0, 1 + i, names[i], "");
		pid_t stray = (pid_t)expect_number(r);
		assert_true(stray > 1);
		harness_wait(h, gone(stray));
		harness_wait(h, h->ups[0] > ups);
	}
	expect_healthy(h, 0, 5);
	/* A command that has ended is nothing that stays. */
	unsigned downs = h->downs[0];
	expect_int(harness_result(h, 0, 6, "run_command", ""), 1);
	expect_output(h->jobs[6].result.out, "said by a command\n");
	expect_healthy(h, 0, 7);
	assert_int_equal(h->downs[0], downs);
	harness_free(h);
}

static void a_forked_copy_does_not_answer(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	for (uint64_t job = 1; job <= 10; job++)
		expect_int(harness_result(h, 0, job, "fork_twice", ""), 1);
	expect_healthy(h, 0, 11);
	harness_free(h);
}

static void threads_that_stay_end_with_the_child(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	expect_int(harness_result(h, 0, 1, "use_thread", ""), 1);
	assert_int_equal(h->downs[0], 0);
	expect_int(harness_result(h, 0, 2, "leave_thread", ""), 1);
	harness_wait(h, h->ups[0] == 2);
	expect_healthy(h, 0, 3);
	harness_free(h);
}

static void what_it_changes_is_put_back(void **state)
{
	(void)state;
	static const char *const changes[] = {
		"directory", "environment", "environ",
		"signals",   "limits",	    "limits of a process",
		"stdout",    "alarm",	    "descriptors",
		"umask",     "recursion",   "stdout to nothing",
		"modules",   "module",	    "all modules",
		"builtins",  "processor",
	};
	struct harness *h = harness_new(1);
	harness_start(h);
	const struct task_result *before = harness_result(h, 0, 1, "surroundings", "");
	assert_int_equal(before->state, TASK_COMPLETED);
	uint64_t job = 2;
	for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
		char args[64];
		(void)snprintf(args, sizeof args, "V%s\n", changes[i]);
		expect_int(harness_result(h, 0, job++, "change", args), 1);
		const struct task_result *after = harness_result(h, 0, job++, "surroundings", "");
		if (after->reason != REASON_NONE)
			expect_failed(after, REASON_NONE, "", changes[i]);
		if (!contains(after->value, "x") || after->value->len != before->value->len ||
		    memcmp(after->value->data, before->value->data, before->value->len) != 0) {
			print_error("after %s: %.*s\nbefore: %.*s\n", changes[i],
				    (int)after->value->len, (const char *)after->value->data,
				    (int)before->value->len, (const char *)before->value->data);
			fail();
		}
		expect_int(harness_result(h, 0, job++, "say", "Vheard\n"), 1);
		expect_output(h->jobs[job - 1].result.out, "heard\n");
	}
	harness_free(h);
}

static void what_it_replaces_is_not_the_runners(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	expect_int(harness_result(h, 0, 1, "tamper", ""), 1);
	expect_healthy(h, 0, 2);
	expect_failed(harness_result(h, 0, 3, "raise_value_error", "Vno good\n"), REASON_EXCEPTION,
		      "builtins.ValueError", "no good");
	expect_failed(harness_result(h, 0, 4, "no_such_function", ""), REASON_UNDECODABLE,
		      "builtins.AttributeError", "no_such_function");
	harness_free(h);
}

static void descriptors_that_it_leaves_open_do_not_add_up(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	for (uint64_t job = 1; job <= 10; job++)
		expect_int(harness_result(h, 0, job, "leak_descriptors", "I500\n"), 1);
	assert_in_range(h->ups[0], 3, 10);
	harness_free(h);
}

static void a_stopped_child_is_its_own_jobs_problem(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	h->config.grace_ms = 20;
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "stop_itself", "");
	harness_wait(h, h->jobs[1].started);
	for (uint64_t job = 2; job < 20; job++)
		expect_healthy(h, 1, job);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	harness_wait(h, h->jobs[1].finished);
	expect_failed(&h->jobs[1].result, REASON_TIMEOUT, "builtins.TimeoutError", "limit");
	expect_healthy(h, 0, 20);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_descriptors_are_its_own_loss),
		cmocka_unit_test(lies_on_its_socket_are_its_own_loss),
		cmocka_unit_test(a_job_that_another_one_begins_has_not_begun),
		cmocka_unit_test(processes_that_stay_are_ended),
		cmocka_unit_test(a_forked_copy_does_not_answer),
		cmocka_unit_test(threads_that_stay_end_with_the_child),
		cmocka_unit_test(what_it_changes_is_put_back),
		cmocka_unit_test(what_it_replaces_is_not_the_runners),
		cmocka_unit_test(descriptors_that_it_leaves_open_do_not_add_up),
		cmocka_unit_test(a_stopped_child_is_its_own_jobs_problem),
	};
	return harness_main("runner_misdeeds", tests, sizeof tests / sizeof tests[0]);
}
