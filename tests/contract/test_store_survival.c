/* The embedded store in a process that is killed, or whose disk is full: everything that was said
 * is true afterwards. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store_child.h"
#include "store_fixture.h"

static void a_server_in_another_process_is_refused(void **state)
{
	struct fixture *f = *state;
	struct report r;
	int fd, status;
	pid_t pid = child_start(f->dir, 0, &fd);
	assert_true(child_read(fd, &r));
	assert_int_equal(r.kind, REPORT_FAILED);
	assert_mentions(r.text, "another server");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	(void)close(fd);
}

/* What children were told, over several of them. */
struct ledger {
	struct report *reports;
	size_t count, max;
};

static void note(struct ledger *l, const struct report *r)
{
	if (l->count == l->max) {
		l->max = l->max ? 2 * l->max : 1024;
		l->reports = realloc(l->reports, l->max * sizeof *l->reports);
		assert_non_null(l->reports);
	}
	l->reports[l->count++] = *r;
}

/* Everything that was said is true. */
static void check(struct fixture *f, const struct ledger *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct report *r = &l->reports[i];
		struct store_get_task got = get_task(f, r->task, STORE_WANT_RESULT);
		assert_int_equal(got.op.ret, 0);
		if (r->kind == REPORT_FINISHED) {
			assert_int_equal(got.ret_task.state, TASK_COMPLETED);
			assert_int_equal(got.ret_task.finish_seq, r->number);
			assert_blob_equal(got.ret_result.value, "payload");
		}
		if (r->kind == REPORT_RETRIED && got.ret_task.state == TASK_QUEUED)
			assert_true(got.ret_task.tally.attempt >= r->number);
		store_op_release(&got.op);
	}
}

static void a_kill_loses_nothing_that_was_said(void **state)
{
	struct fixture *f = *state;
	struct ledger ledger = { 0 };
	uint32_t generation = f->recovery.generation;
	for (unsigned round = 0; round < 8; round++) {
		struct report r;
		int fd, status;
		fixture_close(f);
		pid_t pid = child_start(f->dir, 0, &fd);
		assert_true(child_read(fd, &r));
		assert_int_equal(r.kind, REPORT_OPEN);
		/* A different number each time, so that the kill falls into different steps. */
		for (unsigned n = 0; n < 100 + 137 * round && child_read(fd, &r); n++)
			note(&ledger, &r);
		assert_int_equal(kill(pid, SIGKILL), 0);
		while (child_read(fd, &r))
			note(&ledger, &r);
		(void)close(fd);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		fixture_restart(f);
		assert_false(f->recovery.clean);
		assert_int_equal(f->recovery.generation, generation + 2);
		generation = f->recovery.generation;
		check(f, &ledger);
	}
	assert_true(ledger.count > 1000);
	free(ledger.reports);
}

static void a_full_disk_ends_the_store(void **state)
{
	struct fixture *f = *state;
	struct ledger ledger = { 0 };
	struct report r;
	int fd, status;
	fixture_close(f);
	pid_t pid = child_start(f->dir, 1 << 20, &fd);
	assert_true(child_read(fd, &r));
	assert_int_equal(r.kind, REPORT_OPEN);
	while (child_read(fd, &r) && r.kind != REPORT_FAILED)
		note(&ledger, &r);
	assert_int_equal(r.kind, REPORT_FAILED);
	assert_mentions(r.text, "farhand.db: ");
	assert_mentions(r.text, strerror(EFBIG));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)close(fd);
	fixture_restart(f);
	assert_false(f->recovery.clean);
	assert_true(ledger.count > 100);
	check(f, &ledger);
	free(ledger.reports);
}

#define TEST(name)                                                                      \
	cmocka_unit_test_prestate_setup_teardown(name, fixture_setup, fixture_teardown, \
						 (void *)(uintptr_t)KIND_SQLITE)

int main(int argc, char **argv)
{
	child_main(argc, argv);
	const struct CMUnitTest tests[] = {
		TEST(a_server_in_another_process_is_refused),
		TEST(a_kill_loses_nothing_that_was_said),
		TEST(a_full_disk_ends_the_store),
	};
	return cmocka_run_group_tests_name("store_survival", tests, NULL, NULL);
}
