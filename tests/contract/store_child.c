/* The writing process. Eight calls are in flight at any time, so that commits hold several; what
 * was submitted is later retried or finished. */
#include "store_child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "store_fixture.h"

extern char **environ;

enum { SLOTS = 8, TASKS = 3, RING = 512, REPORT_FD = 3 };

struct writer;

struct slot {
	union {
		struct store_op op;
		struct store_submit submit;
		struct store_finish finish;
		struct store_retry retry;
	};
	struct writer *writer;
	bool busy;
	struct task_rec tasks[TASKS];
	struct store_submit_item items[TASKS];
	struct store_finish_item end;
	struct store_retry_item again;
};

struct writer {
	struct fixture f;
	struct slot slots[SLOTS];
	struct fh_id ring[RING]; /* durable, not final */
	unsigned head, len;
	struct task_result result;
	uint64_t turn;
};

static void report(enum report_kind kind, struct fh_id task, uint64_t number, const char *text)
{
	struct report r = { .kind = kind, .task = task, .number = number };
	(void)snprintf(r.text, sizeof r.text, "%s", text);
	FH_ASSERT_CMP(write(REPORT_FD, &r, sizeof r), ==, sizeof r);
}

static void remember(struct writer *w, struct fh_id id)
{
	if (w->len < RING)
		w->ring[(w->head + w->len++) % RING] = id;
}

static struct fh_id take(struct writer *w)
{
	FH_ASSERT_CMP(w->len, >, 0);
	struct fh_id id = w->ring[w->head];
	w->head = (w->head + 1) % RING;
	w->len--;
	return id;
}

static void on_done(struct store_op *op)
{
	struct slot *s = op->owner;
	struct writer *w = s->writer;
	FH_ASSERT_CMP(op->ret, ==, 0);
	s->busy = false;
	if (op->kind == STORE_SUBMIT) {
		for (int i = 0; i < TASKS; i++) {
			report(REPORT_SUBMITTED, s->tasks[i].id, 0, "");
			remember(w, s->tasks[i].id);
		}
	} else if (op->kind == STORE_RETRY) {
		FH_ASSERT_CMP(s->again.ret, ==, 0);
		report(REPORT_RETRIED, s->again.task, s->again.tally.attempt, "");
		remember(w, s->again.task);
	} else {
		FH_ASSERT_CMP(s->end.ret, ==, 0);
		report(REPORT_FINISHED, s->end.task, s->end.ret_finish_seq, "");
	}
}

/* Ids of all children differ. */
static struct fh_id fresh_id(struct writer *w)
{
	struct timespec t;
	uint64_t random;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	FH_ASSERT_CMP(getrandom(&random, sizeof random, 0), ==, sizeof random);
	return fh_id_next(&w->f.ids, (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000,
			  random);
}

static void fill(struct writer *w, struct slot *s)
{
	uint64_t turn = w->turn++;
	s->op = (struct store_op){ .kind = STORE_SUBMIT };
	if (w->len > 50 && turn % 3 == 0) {
		s->end = (struct store_finish_item){ .task = take(w), .result = &w->result };
		s->finish = (struct store_finish){ .op.kind = STORE_FINISH,
						   .items = &s->end,
						   .count = 1 };
	} else if (w->len > 50 && turn % 3 == 1) {
		s->again = (struct store_retry_item){ .task = take(w),
						      .tally.attempt = (uint32_t)turn,
						      .release = true };
		s->retry = (struct store_retry){ .op.kind = STORE_RETRY,
						 .items = &s->again,
						 .count = 1 };
	} else {
		for (int i = 0; i < TASKS; i++) {
			s->tasks[i] = new_task(&w->f);
			s->tasks[i].id = fresh_id(w);
			s->items[i] = (struct store_submit_item){ .task = &s->tasks[i] };
		}
		s->submit = (struct store_submit){ .op.kind = STORE_SUBMIT,
						   .items = s->items,
						   .count = TASKS };
	}
	s->op.done = on_done;
	s->op.owner = s;
	s->writer = w;
	s->busy = true;
	store_submit(w->f.store, &s->op);
}

static void work(struct writer *w)
{
	for (;;) {
		for (int i = 0; i < SLOTS; i++)
			if (!w->slots[i].busy)
				fill(w, &w->slots[i]);
		FH_ASSERT(fixture_wait_wake(&w->f));
		if (store_poll(w->f.store))
			return;
	}
}

void child_main(int argc, char **argv)
{
	static struct writer w;
	struct fh_err err;
	if (argc != 4 || strcmp(argv[1], "child") != 0)
		return;
	struct rlimit size = { .rlim_cur = strtoull(argv[3], NULL, 10) };
	size.rlim_max = size.rlim_cur;
	(void)signal(SIGXFSZ, SIG_IGN);
	FH_ASSERT(size.rlim_cur == 0 || setrlimit(RLIMIT_FSIZE, &size) == 0);
	fixture_init(&w.f, KIND_SQLITE);
	(void)snprintf(w.f.dir, sizeof w.f.dir, "%s", argv[2]);
	if (fixture_open(&w.f, &err)) {
		report(REPORT_FAILED, w.ring[0], 0, err.text);
		exit(1);
	}
	report(REPORT_OPEN, w.ring[0], w.f.recovery.clean, "");
	w.result = (struct task_result){ .state = TASK_COMPLETED, .value = w.f.payload };
	work(&w);
	report(REPORT_FAILED, w.ring[0], 0, store_failure(w.f.store));
	FH_ASSERT_CMP(store_poll(w.f.store), ==, FH_EIO); /* for good */
	store_close(&w.f.store);
	exit(0);
}

pid_t child_start(const char *dir, uint64_t max_file_bytes, int *ret_fd)
{
	int fds[2];
	char bytes[32];
	pid_t pid;
	posix_spawn_file_actions_t actions;
	(void)snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)max_file_bytes);
	char *argv[] = { (char *)(uintptr_t) "test", (char *)(uintptr_t) "child",
			 (char *)(uintptr_t)dir, bytes, NULL };
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, fds[1], REPORT_FD), 0);
	assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
	assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
	(void)close(fds[1]);
	*ret_fd = fds[0];
	return pid;
}

bool child_read(int fd, struct report *ret_report)
{
	ssize_t len;
	do
		len = read(fd, ret_report, sizeof *ret_report);
	while (len < 0 && errno == EINTR);
	assert_true(len == 0 || len == sizeof *ret_report);
	return len > 0;
}
