/* Ending one job and no other; taking jobs back; never losing one and never running one twice. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static void run_silently(struct harness *h, unsigned slot, uint64_t job, const char *name,
			 const char *args)
{
	const struct runner_job quiet = { .announce = false };
	assert_int_equal(harness_run_with(h, slot, job, name, pickle_args(args), &quiet), 0);
}

static void a_running_job_is_killed(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "sleep", "");
	harness_wait(h, h->jobs[1].started);
	assert_int_equal(runner_kill(h->runner, 0, 2, REASON_TIMEOUT), FH_ENOTFOUND);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	assert_int_equal(h->finished, 0); /* nothing is called back from inside a call */
	harness_wait(h, h->jobs[1].finished);
	expect_failed(&h->jobs[1].result, REASON_TIMEOUT, "builtins.TimeoutError",
		      "the execution limit was reached");
	assert_null(h->jobs[1].result.value);
	expect_int(harness_result(h, 0, 2, "add", "I3\nI4\n"), 7);
	assert_int_equal(h->downs[0], 1);
	harness_free(h);
}

static void one_that_ignores_sigterm_is_killed_after_the_grace(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.grace_ms = 30;
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "ignore_sigterm", "");
	harness_wait(h, h->jobs[1].started);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_CANCELLED), 0);
	/* Again: it is being killed already, and the first reason stands. */
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	harness_wait(h, h->jobs[1].finished);
	expect_failed(&h->jobs[1].result, REASON_CANCELLED,
		      "concurrent.futures._base.CancelledError", "cancelled");
	expect_int(harness_result(h, 0, 2, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

static void sigterm_comes_first(void **state)
{
	(void)state;
	char path[] = "/tmp/farhand-test-XXXXXX", args[64], text[8] = "";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	(void)snprintf(args, sizeof args, "V%s\n", path);
	harness_run(h, 0, 1, "note_sigterm", args);
	harness_wait(h, h->jobs[1].started);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	harness_wait(h, h->jobs[1].finished);
	/* Either the handler was not yet there, or it has written. */
	if (pread(fd, text, 5, 0) == 5)
		assert_string_equal(text, "noted");
	expect_failed(&h->jobs[1].result, REASON_TIMEOUT, "builtins.TimeoutError", "");
	(void)close(fd);
	(void)unlink(path);
	harness_free(h);
}

static void a_killed_job_cannot_succeed(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "answer_on_sigterm", "");
	harness_wait(h, h->jobs[1].started);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	harness_wait(h, h->jobs[1].finished);
	expect_failed(&h->jobs[1].result, REASON_TIMEOUT, "builtins.TimeoutError", "");
	expect_int(harness_result(h, 0, 2, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

static void what_waits_is_returned_when_the_running_one_is_killed(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "sleep", "");
	for (uint64_t job = 2; job <= 5; job++)
		run_silently(h, 0, job, "add", "I3\nI4\n");
	harness_wait(h, h->jobs[1].started);
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_TIMEOUT), 0);
	harness_wait(h, h->jobs[1].finished);
	for (uint64_t job = 2; job <= 5; job++)
		assert_int_equal(h->jobs[job].returned, 1);
	harness_free(h);
}

static void a_waiting_job_is_cancelled_without_a_kill(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "sleep", "I1\n");
	harness_wait(h, h->jobs[1].started);
	run_silently(h, 0, 2, "add", "I3\nI4\n");
	run_silently(h, 0, 3, "add", "I3\nI4\n");
	assert_int_equal(runner_kill(h->runner, 0, 3, REASON_CANCELLED), 0);
	assert_int_equal(h->finished, 0);
	harness_wait(h, h->jobs[3].finished);
	expect_failed(&h->jobs[3].result, REASON_CANCELLED,
		      "concurrent.futures._base.CancelledError", "before it began");
	assert_int_equal(h->jobs[3].result.started_ms, 0);
	harness_wait(h, h->jobs[1].finished);
	expect_int(&h->jobs[1].result, 1);
	harness_wait(h, h->jobs[2].finished || h->jobs[2].returned);
	assert_int_equal(h->downs[0], 0);
	harness_free(h);
}

static void jobs_are_taken_back(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "sleep", "");
	harness_wait(h, h->jobs[1].started);
	for (uint64_t job = 2; job <= RUNNER_PIPE_MAX; job++)
		run_silently(h, 0, job, "add", "I3\nI4\n");
	struct blob *args = pickle_args("I3\nI4\n");
	assert_int_equal(harness_run_with(h, 0, 90, "add", args, NULL), FH_EAGAIN);
	runner_steal(h->runner, 0);
	assert_int_equal(h->returned, 0);
	harness_wait(h, h->returned == RUNNER_PIPE_MAX - 1);
	runner_steal(h->runner, 0); /* nothing left */
	assert_int_equal(runner_kill(h->runner, 0, 1, REASON_CANCELLED), 0);
	harness_wait(h, h->jobs[1].finished);
	expect_int(harness_result(h, 0, 91, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

/* The function that was sent with a job that is taken back is sent again when it is needed. */
static void a_function_that_was_taken_back_is_sent_again(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "sleep", "F0.05\n");
	harness_wait(h, h->jobs[1].started);
	run_silently(h, 0, 2, "add", "I3\nI4\n");
	runner_steal(h->runner, 0);
	expect_int(harness_result(h, 0, 3, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

static void a_long_job_is_told_late(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	run_silently(h, 0, 1, "add", "I3\nI4\n");
	run_silently(h, 0, 2, "sleep", "");
	run_silently(h, 0, 3, "sleep", "");
	harness_wait(h, h->jobs[2].started);
	expect_int(&h->jobs[1].result, 7);
	assert_int_equal(h->jobs[3].started, 0);
	harness_free(h);
}

/* ---- a storm ----------------------------------------------------------------------------- */

enum { STORM_JOBS = 3000, STORM_SLOTS = 3 };

struct storm {
	uint64_t random, next, kills;
	bool killed[HARNESS_JOBS_MAX]; /* asked for */
};

static struct storm storm;

static uint64_t draw(uint64_t below)
{
	storm.random ^= storm.random << 13;
	storm.random ^= storm.random >> 7;
	storm.random ^= storm.random << 17;
	return storm.random % below;
}

/* After a result, perhaps while the loop is in the middle of something. */
static void storm_acts(struct harness *h, unsigned slot, uint64_t job)
{
	(void)job;
	unsigned target = draw(4) ? slot : (unsigned)draw(STORM_SLOTS);
	for (uint64_t n = draw(6); n > 0 && storm.next < STORM_JOBS; n--) {
		static const struct runner_job quiet = { .announce = false };
		bool loud = draw(3) == 0;
		const char *name = draw(40) == 0 ? "exit_process" : draw(30) ? "add" : "sleep";
		const char *args = strcmp(name, "add") == 0	? "I3\nI4\n"
				   : strcmp(name, "sleep") == 0 ? "F0.001\n"
								: "I0\n";
		int ret = harness_run_with(h, target, storm.next, name, pickle_args(args),
					   loud ? NULL : &quiet);
		if (ret == 0)
			storm.next++;
		else
			assert_true(ret == FH_EAGAIN || ret == FH_ECLOSED);
	}
	if (draw(8) == 0)
		runner_steal(h->runner, (unsigned)draw(STORM_SLOTS));
	if (draw(10) == 0 && storm.next > 40) {
		uint64_t victim = storm.next - 1 - draw(40);
		if (runner_kill(h->runner, (unsigned)draw(STORM_SLOTS), victim,
				draw(2) ? REASON_TIMEOUT : REASON_CANCELLED) == 0)
			storm.killed[victim] = true;
	}
}

static bool settled(const struct harness *h)
{
	return h->finished + h->returned == storm.next - 1;
}

static void every_job_comes_back_once(void **state)
{
	(void)state;
	struct harness *h = harness_new(STORM_SLOTS);
	h->config.recycle_jobs = 50;
	h->config.grace_ms = 20;
	h->on_finished = storm_acts;
	const char *seed = getenv("FARHAND_TEST_SEED");
	storm = (struct storm){ .random = seed ? strtoull(seed, NULL, 10) : 88172645463325252u,
				.next = 1 };
	harness_start(h);
	harness_wait_ready(h);
	while (storm.next < STORM_JOBS) {
		for (unsigned i = 0; i < STORM_SLOTS; i++) {
			if (h->up[i])
				storm_acts(h, i, 0);
		}
		harness_step(h, "the storm", __FILE__, __LINE__);
	}
	h->on_finished = NULL;
	harness_wait(h, settled(h));
	for (uint64_t job = 1; job < storm.next; job++) {
		const struct told *t = &h->jobs[job];
		assert_int_equal(t->finished + t->returned, 1);
		enum task_reason reason = t->result.reason;
		if (!t->finished || reason == REASON_NONE)
			continue;
		if (reason == REASON_CRASH) /* its own doing, or nobody was meant */
			expect_failed(&t->result, REASON_CRASH, "builtins.RuntimeError",
				      "status 0");
		else
			assert_true(storm.killed[job]);
	}
	assert_true(h->running_max <= 1);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_running_job_is_killed),
		cmocka_unit_test(one_that_ignores_sigterm_is_killed_after_the_grace),
		cmocka_unit_test(sigterm_comes_first),
		cmocka_unit_test(a_killed_job_cannot_succeed),
		cmocka_unit_test(what_waits_is_returned_when_the_running_one_is_killed),
		cmocka_unit_test(a_waiting_job_is_cancelled_without_a_kill),
		cmocka_unit_test(jobs_are_taken_back),
		cmocka_unit_test(a_function_that_was_taken_back_is_sent_again),
		cmocka_unit_test(a_long_job_is_told_late),
		cmocka_unit_test(every_job_comes_back_once),
	};
	return harness_main("runner_kill", tests, sizeof tests / sizeof tests[0]);
}
