/* The template: what cannot be started and why, its death, its end. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

static char folder[64];

static int make_folder(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof folder, "/tmp/farhand-test-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

static int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *put_file(const char *name, const char *text, mode_t mode)
{
	static char path[128];
	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	return path;
}

/* A Python that does something of its own before the runner's code. */
static const char *python_that(const struct harness *h, const char *does)
{
	char script[1024];
	(void)snprintf(script, sizeof script, "#!/bin/sh\nexec %s -c \"%s\n$2\"\n", h->python,
		       does);
	return put_file("python", script, 0755);
}

/* The harness starts that one instead of the usual one. */
static void use_python(struct harness *h, const char *python)
{
	(void)snprintf(h->python, sizeof h->python, "%s", python);
}

static void expect_broken(struct harness *h, const char *python, const char *part)
{
	use_python(h, python);
	harness_start(h);
	harness_wait(h, h->broken >= 2); /* it is tried again */
	if (!strstr(h->broken_line, part)) {
		print_error("said: %s\n", h->broken_line);
		fail();
	}
	assert_null(strchr(h->broken_line, '\n'));
	assert_int_equal(h->ready, 0);
	harness_free(h);
}

static void what_cannot_start_says_why(void **state)
{
	(void)state;
	expect_broken(harness_new(1), "/nonexistent/python", "no Python at /nonexistent/python");
	expect_broken(harness_new(1), "no-such-python-here", "no no-such-python-here on the PATH");
	expect_broken(harness_new(1), put_file("plain", "text", 0755), "cannot start");
	expect_broken(harness_new(1), put_file("closed", "#!/bin/sh\n", 0644), "no Python at");
	expect_broken(harness_new(1),
		      put_file("bad", "#!/bin/sh\necho a >&2\necho b c >&2\n", 0755), "b c");
	expect_broken(harness_new(1), put_file("mute", "#!/bin/sh\nexit 4\n", 0755),
		      "ended with status 4");
	expect_broken(harness_new(1), put_file("dead", "#!/bin/sh\nkill -9 $$\n", 0755),
		      "killed by signal 9");
	struct harness *h = harness_new(1);
	expect_broken(h, python_that(h, "import sys; sys.version_info = (3, 8, 1)"),
		      "Python 3.8.1 is too old: 3.9 or newer is needed");
	h = harness_new(1);
	expect_broken(h, python_that(h, "import sys; sys.modules['_ctypes'] = None"), "_ctypes");
	h = harness_new(1);
	expect_broken(h,
		      python_that(h,
				  "import sys, threading, time\n"
				  "class C:\n"
				  "    def find_spec(self, name, *_):\n"
				  "        if name == 'dill': threading.Thread(target=time.sleep,"
				  " args=(60,), daemon=True).start(); import types;"
				  " sys.modules['dill'] = types.ModuleType('dill')\n"
				  "sys.meta_path.insert(0, C())"),
		      "importing dill starts a thread");
}

/* As a sitecustomize can. */
static void a_stdout_of_another_kind_is_left_alone(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	use_python(h, python_that(h, "import codecs, sys\n"
				     "sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)"));
	harness_start(h);
	expect_int(harness_result(h, 0, 1, "say", "Vheard\n"), 1);
	expect_output(h->jobs[1].result.out, "heard\n");
	harness_free(h);
}

static void it_works_as_soon_as_it_can(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	char target[600], link[128];
	(void)snprintf(target, sizeof target, "#!/bin/sh\nexec %s \"$@\"\n", h->python);
	(void)snprintf(link, sizeof link, "%s/later", folder);
	use_python(h, link);
	harness_start(h);
	harness_wait(h, h->broken);
	(void)put_file("later", target, 0755);
	expect_int(harness_result(h, 0, 1, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

static void a_child_that_cannot_start_says_why(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	use_python(h, python_that(h, "import os; os.setsid = None"));
	harness_start(h);
	harness_wait(h, h->broken >= 2);
	assert_non_null(strstr(h->broken_line, "cannot start a child: TypeError"));
	assert_int_equal(h->ready, 1);
	assert_int_equal(h->ups[0], 0);
	harness_free(h);
}

static void without_descriptors_it_is_tried_again(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	struct rlimit all, few;
	harness_start(h);
	harness_wait_ready(h);
	int lowest = dup(0);
	assert_true(lowest >= 0 && close(lowest) == 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	few = (struct rlimit){ (rlim_t)lowest + 1, all.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	harness_run(h, 0, 1, "exit_process", "I1\n");
	harness_run(h, 1, 2, "exit_process", "I1\n");
	harness_wait(h, h->broken && !h->up[0] && !h->up[1]);
	assert_non_null(strstr(h->broken_line, "Too many open files"));
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	expect_int(harness_result(h, 0, 3, "add", "I3\nI4\n"), 7);
	expect_int(harness_result(h, 1, 4, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

static void the_path_is_as_for_a_script(void **state)
{
	(void)state;
	char before[4096];
	assert_non_null(getcwd(before, sizeof before));
	(void)put_file("helper_here.py", "def f():\n    return 5\n", 0644);
	/* Not to be taken for the standard modules by the runner itself. */
	(void)put_file("pickle.py", "raise RuntimeError('the wrong pickle')\n", 0644);
	(void)put_file("socket.py", "raise RuntimeError('the wrong socket')\n", 0644);
	assert_int_equal(chdir(folder), 0);
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	struct runner_function f = { .payload = pickle_reference("helper_here", "f") };
	struct runner_job job = { .job = 1, .function = &f, .payload = pickle_args("") };
	assert_int_equal(runner_run(h->runner, 0, &job), 0);
	blob_free(&f.payload);
	blob_free(&job.payload);
	harness_wait(h, h->jobs[1].finished);
	expect_int(&h->jobs[1].result, 5);
	assert_int_equal(chdir(before), 0);
	harness_free(h);
}

static void its_death_loses_what_runs_and_nothing_else(void **state)
{
	(void)state;
	struct harness *h = harness_new(3);
	char path[128], args[160];
	harness_start(h);
	pid_t other = (pid_t)expect_number(harness_result(h, 1, 1, "my_pid", ""));
	harness_run(h, 1, 2, "sleep", "");
	harness_run(h, 1, 3, "add", "I3\nI4\n");
	harness_wait(h, h->jobs[2].started);
	(void)snprintf(path, sizeof path, "%s/child", folder);
	(void)snprintf(args, sizeof args, "V%s\n", path);
	harness_wait_ready(h);
	harness_run(h, 2, 7, "with_child_sleep", args);
	harness_wait(h, pid_in_file(path) > 1);
	harness_run(h, 0, 4, "kill_the_template", "");
	harness_wait(h, h->jobs[2].finished && h->jobs[4].finished && h->jobs[7].finished);
	expect_failed(&h->jobs[2].result, REASON_WORKER_LOST, "builtins.RuntimeError", "template");
	expect_failed(&h->jobs[4].result, REASON_WORKER_LOST, "builtins.RuntimeError", "template");
	assert_int_equal(h->jobs[3].returned, 1);
	harness_wait(h, h->ready == 2);
	harness_wait(h, process_ended(other) && process_ended(pid_in_file(path)));
	assert_int_equal(h->broken, 1);
	assert_non_null(strstr(h->broken_line, "killed by signal 9"));
	expect_int(harness_result(h, 0, 5, "add", "I3\nI4\n"), 7);
	expect_int(harness_result(h, 1, 6, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

/* Somebody has stopped it: it is continued, and nothing is lost. */
static void a_stopped_template_is_continued(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	h->config.deaf_ms = 3000;
	harness_start(h);
	harness_wait_ready(h);
	pid_t template = (pid_t)expect_number(harness_result(h, 0, 1, "parents_pid", ""));
	harness_run(h, 0, 2, "sleep", "");
	harness_wait(h, h->jobs[2].started);
	assert_int_equal(kill(template, SIGSTOP), 0);
	harness_wait(h, process_state(template) == 'T');
	harness_run(h, 1, 3, "exit_process", "I1\n");
	harness_wait(h, h->jobs[3].finished && h->up[1]);
	expect_failed(&h->jobs[3].result, REASON_CRASH, "builtins.RuntimeError", "status 1");
	expect_int(harness_result(h, 1, 4, "add", "I3\nI4\n"), 7);
	assert_int_equal(h->ready, 1);
	assert_int_equal(h->broken, 0);
	assert_false(h->jobs[2].finished);
	harness_free(h);
}

static void a_template_that_hangs_is_replaced(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	use_python(h, python_that(h, "import signal\n"
				     "def hang(*_):\n"
				     "    while True: pass\n"
				     "signal.signal(signal.SIGUSR1, hang)\n"));
	h->config.deaf_ms = 1000;
	harness_start(h);
	pid_t template = (pid_t)expect_number(harness_result(h, 0, 1, "parents_pid", ""));
	harness_wait_ready(h);
	assert_int_equal(kill(template, SIGUSR1), 0);
	harness_run(h, 0, 2, "sleep", "");
	harness_run(h, 1, 3, "exit_process", "I1\n");
	harness_wait(h, h->broken);
	assert_non_null(strstr(h->broken_line, "did not answer for 1.0 s"));
	assert_true(process_ended(template));
	assert_int_equal(h->jobs[2].finished + h->jobs[2].returned, 1);
	assert_int_equal(h->jobs[3].finished, 1);
	expect_int(harness_result(h, 1, 4, "add", "I3\nI4\n"), 7);
	harness_free(h);
}

static void a_template_that_never_gets_ready_is_replaced(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.deaf_ms = 50;
	expect_broken(h, python_that(h, "import time; time.sleep(3600)"),
		      "the template process was not ready for 0.6 s");
}

/* Somebody has stopped a child before it could serve: no limit of a job would ever end it. */
static void a_child_that_is_stopped_at_its_start_is_continued(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	use_python(h, python_that(h, "import os, signal\n"
				     "os.register_at_fork(after_in_child="
				     "lambda: os.kill(os.getpid(), signal.SIGSTOP))\n"));
	h->config.deaf_ms = 5000;
	harness_start(h);
	expect_int(harness_result(h, 0, 1, "add", "I3\nI4\n"), 7);
	assert_int_equal(h->broken, 0);
	harness_free(h);
}

static void a_child_that_never_serves_is_replaced(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	use_python(h, python_that(h, "import os, signal, time\n"
				     "os.register_at_fork(after_in_child="
				     "lambda: time.sleep(1000))\n"));
	h->config.deaf_ms = 200;
	harness_start(h);
	harness_wait(h, strstr(h->broken_line, "cannot start a child: the runner did not start"));
	harness_free(h);
}

/* One slot, whose child was stopped after job 1. */
static struct harness *with_stopped_child(void)
{
	struct harness *h = harness_new(1);
	h->config.deaf_ms = 5000;
	harness_start(h);
	harness_wait_ready(h);
	pid_t pid = (pid_t)expect_number(harness_result(h, 0, 1, "my_pid", ""));
	assert_int_equal(kill(pid, SIGSTOP), 0);
	harness_wait(h, process_state(pid) == 'T'); /* until then it may still read a job */
	return h;
}

/* Somebody has stopped it while it had nothing to do, so it does not read its next job. */
static void a_child_that_is_stopped_while_idle_is_continued(void **state)
{
	(void)state;
	struct harness *h = with_stopped_child();
	long pid = expect_number(&h->jobs[1].result);
	assert_int_equal(expect_number(harness_result(h, 0, 2, "my_pid", "")), pid);
	assert_int_equal(h->jobs[2].returned, 0);
	harness_free(h);
}

static void a_child_that_reads_no_more_is_replaced(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.deaf_ms = 2000;
	harness_start(h);
	harness_wait_ready(h);
	expect_int(harness_result(h, 0, 1, "hang_afterwards", ""), 1);
	harness_run(h, 0, 2, "add", "I3\nI4\n");
	harness_wait(h, h->jobs[2].returned);
	harness_wait(h, h->ups[0] == 2);
	assert_int_equal(h->downs[0], 1);
	expect_int(harness_result(h, 0, 3, "add", "I3\nI4\n"), 7);
	assert_int_equal(h->broken + h->jobs[2].finished, 0);
	harness_free(h);
}

/* What is taken back and given again, and again, is not read either. */
static void a_stopped_child_whose_jobs_are_stolen_is_continued(void **state)
{
	(void)state;
	struct harness *h = with_stopped_child();
	uint64_t job = 1;
	while (job < 1000 && (job == 1 || !h->jobs[job].finished)) {
		job++;
		harness_run(h, 0, job, "add", "I3\nI4\n");
		for (unsigned i = 0; i < 3; i++)
			harness_step(h, "a while", __FILE__, __LINE__);
		runner_steal(h->runner, 0);
		harness_wait(h, h->jobs[job].finished || h->jobs[job].returned);
	}
	expect_int(&h->jobs[job].result, 7);
	harness_free(h);
}

static void shrink_sockets(int size)
{
	for (int fd = 3; fd < 256; fd++) {
		int type = 0;
		socklen_t len = sizeof type;
		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET)
			(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	}
}

/* A function stays in the socket when its job does not fit: the job behind it is not read. */
static void a_job_behind_a_function_of_another_has_not_begun(void **state)
{
	(void)state;
	struct harness *h = with_stopped_child();
	harness_run(h, 0, 2, "hang_afterwards", "");
	shrink_sockets(5000);
	struct runner_function large = { .id = { "large" }, .payload = blob_new(8192) };
	memset(large.payload->data, '.', large.payload->len);
	struct runner_job refused = { .job = 3, .function = &large, .payload = large.payload };
	assert_int_equal(runner_run(h->runner, 0, &refused), FH_EAGAIN);
	blob_free(&large.payload);
	shrink_sockets(1 << 20);
	harness_run(h, 0, 4, "add", "I3\nI4\n");
	harness_wait(h, h->jobs[4].started || h->jobs[4].returned);
	expect_int(&h->jobs[2].result, 1);
	assert_int_equal(h->jobs[4].started, 0);
	harness_wait(h, h->ups[0] == 2);
	harness_free(h);
}

static void a_runner_can_end_at_any_time(void **state)
{
	(void)state;
	struct harness *h = harness_new(2);
	harness_start(h);
	harness_free(h); /* before the loop ran */
	for (int steps = 1; steps < 12; steps++) {
		h = harness_new(2);
		harness_start(h);
		for (int i = 0; i < steps; i++)
			harness_step(h, "a step", __FILE__, __LINE__);
		harness_free(h);
	}
	h = harness_new(2);
	harness_start(h);
	harness_wait_ready(h);
	harness_run(h, 0, 1, "sleep", "");
	harness_run(h, 0, 2, "sleep", "");
	runner_steal(h->runner, 0); /* told from the loop, which does not come */
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
		IN_FOLDER(what_cannot_start_says_why),
		IN_FOLDER(a_stdout_of_another_kind_is_left_alone),
		IN_FOLDER(it_works_as_soon_as_it_can),
		IN_FOLDER(a_child_that_cannot_start_says_why),
		cmocka_unit_test(without_descriptors_it_is_tried_again),
		IN_FOLDER(the_path_is_as_for_a_script),
		IN_FOLDER(its_death_loses_what_runs_and_nothing_else),
		cmocka_unit_test(a_stopped_template_is_continued),
		IN_FOLDER(a_template_that_hangs_is_replaced),
		IN_FOLDER(a_template_that_never_gets_ready_is_replaced),
		IN_FOLDER(a_child_that_is_stopped_at_its_start_is_continued),
		cmocka_unit_test(a_child_that_is_stopped_while_idle_is_continued),
		cmocka_unit_test(a_child_that_reads_no_more_is_replaced),
		cmocka_unit_test(a_stopped_child_whose_jobs_are_stolen_is_continued),
		cmocka_unit_test(a_job_behind_a_function_of_another_has_not_begun),
		IN_FOLDER(a_child_that_never_serves_is_replaced),
		cmocka_unit_test(a_runner_can_end_at_any_time),
	};
	return harness_main("runner_template", tests, sizeof tests / sizeof tests[0]);
}
