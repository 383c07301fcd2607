/* Nothing outlives the runner, nor a worker that is killed, whatever the template is doing then. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

enum {
	MARKED_MAX = 64,
	DEADLINE_MS = 60000,
	LOOK_MS = 2, /* between two looks at what cannot be waited for */
};

enum { SLEEPER, DEAF, TEMPLATE, DAEMON, IDLE, PROCESSES };

static bool gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

#define wait_until(condition)                                                      \
	do {                                                                       \
		int left_ms = DEADLINE_MS;                                         \
		for (; !(condition) && left_ms > 0; left_ms -= LOOK_MS)            \
			(void)poll(NULL, 0, LOOK_MS);                              \
		if (left_ms <= 0)                                                  \
			fail_msg("%d: waited too long: %s", __LINE__, #condition); \
	} while (0)

/* ---- a runner with all kinds of processes ------------------------------------------------ */

/* One child that is deaf, one that sleeps and has left a daemon, one that is idle. */
static struct harness *busy_runner(pid_t pids[PROCESSES])
{
	char path[] = "/tmp/farhand-test-XXXXXX", args[64];
	int fd = mkstemp(path);
	assert_true(fd >= 0 && close(fd) == 0);
	struct harness *h = harness_new(3);
	harness_start(h);
	pids[DEAF] = (pid_t)expect_number(harness_result(h, 0, 1, "my_pid", ""));
	pids[SLEEPER] = (pid_t)expect_number(harness_result(h, 1, 2, "my_pid", ""));
	pids[IDLE] = (pid_t)expect_number(harness_result(h, 2, 3, "my_pid", ""));
	pids[TEMPLATE] = (pid_t)expect_number(harness_result(h, 0, 4, "parents_pid", ""));
	harness_run(h, 0, 5, "ignore_sigterm", "");
	(void)snprintf(args, sizeof args, "V%s\n", path);
	harness_run(h, 1, 6, "with_daemon_sleep", args);
	harness_wait(h, h->jobs[5].started && pid_in_file(path) > 1);
	pids[DAEMON] = pid_in_file(path);
	(void)unlink(path);
	return h;
}

static void expect_all_alive(const pid_t pids[PROCESSES])
{
	for (int i = 0; i < PROCESSES; i++)
		assert_false(gone(pids[i]));
}

static void nothing_outlives_the_runner(void **state)
{
	(void)state;
	pid_t pids[PROCESSES];
	struct harness *h = busy_runner(pids);
	expect_all_alive(pids);
	harness_free(h);
	for (int i = 0; i < PROCESSES; i++)
		assert_true(gone(pids[i]));
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void a_stopped_template_does_not_hold_the_end_up(void **state)
{
	(void)state;
	pid_t pids[PROCESSES];
	struct harness *h = busy_runner(pids);
	assert_int_equal(kill(pids[TEMPLATE], SIGSTOP), 0);
	harness_free(h);
	for (int i = 0; i < PROCESSES; i++)
		assert_true(gone(pids[i]));
}

/* ---- the worker itself is killed --------------------------------------------------------- */

/* A process of its own with a busy runner. */
static pid_t busy_worker(pid_t pids[PROCESSES])
{
	int pipes[2];
	size_t size = PROCESSES * sizeof *pids;
	assert_int_equal(pipe(pipes), 0);
	pid_t worker = fork();
	assert_true(worker >= 0);
	if (worker == 0) {
		struct harness *h = busy_runner(pids);
		bool told = write(pipes[1], pids, size) == (ssize_t)size;
		harness_wait(h, !told);
		_exit(1);
	}
	assert_int_equal(close(pipes[1]), 0);
	assert_int_equal(read(pipes[0], pids, size), (int)size);
	assert_int_equal(close(pipes[0]), 0);
	expect_all_alive(pids);
	return worker;
}

static void kill_worker(pid_t worker)
{
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
}

static void nothing_outlives_a_killed_worker(void **state)
{
	(void)state;
	pid_t pids[PROCESSES];
	kill_worker(busy_worker(pids));
	for (int i = 0; i < PROCESSES; i++)
		wait_until(process_ended(pids[i]));
}

/* The idle child sees the end of its socket before the template sees that of its own: it has a dead
 * child to tell of, and nobody to tell. */
static void a_template_that_is_late_still_ends_everything(void **state)
{
	(void)state;
	pid_t pids[PROCESSES];
	pid_t worker = busy_worker(pids);
	assert_int_equal(kill(pids[TEMPLATE], SIGSTOP), 0);
	wait_until(process_state(pids[TEMPLATE]) == 'T');
	kill_worker(worker);
	wait_until(process_state(pids[IDLE]) == 'Z');
	assert_int_equal(kill(pids[TEMPLATE], SIGCONT), 0);
	for (int i = 0; i < PROCESSES; i++)
		wait_until(process_ended(pids[i]));
}

/* ---- at any moment ----------------------------------------------------------------------- */

static bool environment_has(const char *pid, const char *mark)
{
	static char text[1 << 17];
	char path[288];
	(void)snprintf(path, sizeof path, "/proc/%s/environ", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t len = read(fd, text, sizeof text);
	(void)close(fd);
	return len > 0 && memmem(text, (size_t)len, mark, strlen(mark));
}

/* How many processes were started with the mark in their environment. */
static unsigned marked(const char *mark)
{
	unsigned n = 0;
	DIR *dir = opendir("/proc");
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9' && environment_has(e->d_name, mark);
	(void)closedir(dir);
	return n;
}

/* Starts templates and children, and leaves daemons, until it is killed. */
static void restless_worker(const char *mark, int said)
{
	static const char *const names[] = { "add", "leave_daemon", "exit_process" };
	static const char *const args[] = { "I3\nI4\n", "", "I0\n" };
	if (setenv("FARHAND_TEST_MARK", mark, 1) || write(said, "", 1) != 1)
		_exit(1);
	struct harness *h = harness_new(3);
	h->config.recycle_jobs = 4;
	harness_start(h);
	for (uint64_t job = 1; job < HARNESS_JOBS_MAX;) {
		unsigned slot = (unsigned)(job % 3), kind = (unsigned)(job * 7 % 11 % 3);
		if (h->up[slot] &&
		    harness_run_with(h, slot, job, names[kind], pickle_args(args[kind]), NULL) == 0)
			job++;
		harness_step(h, "its end", __FILE__, __LINE__);
	}
	_exit(1);
}

static void nothing_outlives_a_worker_that_is_killed_at_any_moment(void **state)
{
	(void)state;
	enum { ROUNDS = 25, LONGEST_US = 300000 };
	const char *seed = getenv("FARHAND_TEST_SEED");
	uint64_t random = seed ? strtoull(seed, NULL, 10) : 88172645463325252u;
	for (int i = 0; i < ROUNDS; i++) {
		char mark[64], byte;
		int pipes[2];
		(void)snprintf(mark, sizeof mark, "farhand-test-%d-%d", (int)getpid(), i);
		assert_int_equal(pipe(pipes), 0);
		pid_t worker = fork();
		assert_true(worker >= 0);
		if (worker == 0)
			restless_worker(mark, pipes[1]);
		assert_int_equal(read(pipes[0], &byte, 1), 1);
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		const struct timespec t = { 0, (long)(random % LONGEST_US) * 1000 };
		assert_int_equal(ppoll(NULL, 0, &t, NULL), 0);
		kill_worker(worker);
		assert_true(close(pipes[0]) == 0 && close(pipes[1]) == 0);
		wait_until(marked(mark) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_outlives_the_runner),
		cmocka_unit_test(a_stopped_template_does_not_hold_the_end_up),
		cmocka_unit_test(nothing_outlives_a_killed_worker),
		cmocka_unit_test(a_template_that_is_late_still_ends_everything),
		cmocka_unit_test(nothing_outlives_a_worker_that_is_killed_at_any_moment),
	};
	return harness_main("runner_orphans", tests, sizeof tests / sizeof tests[0]);
}
