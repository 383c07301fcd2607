/* Every operation on a file goes wrong once. A scenario is run again and again; in run n the n-th
 * operation fails, or the disk is full there, or the power is cut there. Whatever happens: what was
 * said to be durable is there afterwards, nothing is said after a failure, and the store opens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault_vfs.h"
#include "store_fixture.h"
#include "store_older.h"

enum { ROUNDS = 6, TASKS = 4, WORKERS = 3 };

/* What a run was told. */
struct run {
	struct fh_id submitted[ROUNDS * TASKS];
	unsigned submitted_count;
	struct fh_id finished[ROUNDS];
	uint64_t finish_seqs[ROUNDS];
	unsigned finished_count;
	enum { FORGOTTEN, NOTED, EITHER } workers[WORKERS];
	bool opened, failed;
};

/* What becomes of the workers, round by round. */
static const struct {
	unsigned worker;
	bool present;
} notes[ROUNDS] = {
	{ 0, true }, { 1, true }, { 0, false }, { 2, true }, { 1, false }, { 0, true }
};

/* A scenario begins with nothing, or with a database of an older version. */
enum start { START_EMPTY, START_OLDER };

/* Like fixture_run(), but the store may fail: false. */
static bool run_call(struct fixture *f, struct store_op *op)
{
	unsigned before = f->done;
	fixture_submit(f, op);
	for (;;) {
		int ret = store_poll(f->store);
		if (f->done > before) {
			assert_int_equal(op->ret, 0);
			return true;
		}
		if (ret) {
			assert_int_equal(ret, FH_EIO);
			assert_non_null(strstr(store_failure(f->store), "farhand.db"));
			return false;
		}
		assert_true(fixture_wait_wake(f));
	}
}

static bool submit_some(struct fixture *f, struct run *r, struct blob *payload)
{
	struct task_rec tasks[TASKS];
	struct store_submit_item items[TASKS] = { 0 };
	for (int i = 0; i < TASKS; i++) {
		tasks[i] = new_task(f);
		tasks[i].payload = payload;
		items[i].task = &tasks[i];
	}
	struct store_submit call = { .op.kind = STORE_SUBMIT, .items = items, .count = TASKS };
	if (!run_call(f, &call.op))
		return false;
	for (int i = 0; i < TASKS; i++)
		r->submitted[r->submitted_count++] = tasks[i].id;
	return true;
}

static bool finish_one(struct fixture *f, struct run *r, unsigned round)
{
	const struct task_result result = { .state = TASK_COMPLETED, .value = f->payload };
	struct store_finish_item item = { .task = r->submitted[round * TASKS], .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	if (!run_call(f, &call.op))
		return false;
	assert_int_equal(item.ret, 0);
	r->finished[r->finished_count] = item.task;
	r->finish_seqs[r->finished_count++] = item.ret_finish_seq;
	return true;
}

static bool note_one(struct fixture *f, struct run *r, unsigned round)
{
	unsigned i = notes[round].worker;
	struct store_note_worker call = { .op.kind = STORE_NOTE_WORKER,
					  .instance = id_of((uint8_t)(i + 1)),
					  .present = notes[round].present };
	r->workers[i] = EITHER;
	if (!run_call(f, &call.op))
		return false;
	r->workers[i] = call.present ? NOTED : FORGOTTEN;
	return true;
}

/* Opens a new store, works, closes it. */
static void scenario(struct fixture *f, struct run *r, struct blob *payload)
{
	struct fh_err err = { "" };
	*r = (struct run){ 0 };
	int ret = fixture_open(f, &err);
	if (ret) {
		assert_int_equal(ret, FH_EIO);
		assert_non_null(strstr(err.text, f->dir));
		return;
	}
	r->opened = true;
	for (unsigned round = 0; round < ROUNDS && !r->failed; round++)
		r->failed = !submit_some(f, r, payload) || !note_one(f, r, round) ||
			    !finish_one(f, r, round);
	if (r->failed) {
		struct store_stats late = { .op.kind = STORE_STATS };
		assert_false(run_call(f, &late.op)); /* for good */
	}
	fixture_close(f);
}

static bool remembers(const struct fixture *f, unsigned worker)
{
	for (uint32_t i = 0; i < f->recovery.worker_count; i++)
		if (fh_id_equal(f->recovery.workers[i], id_of((uint8_t)(worker + 1))))
			return true;
	return false;
}

/* What the older version has left is there. */
static void assert_older_is_kept(struct fixture *f)
{
	struct store_get_task got = get_task(f, id_of(12), STORE_WANT_RESULT);
	assert_int_equal(got.ret_task.account, 7);
	assert_blob_equal(got.ret_result.value, "v");
	store_op_release(&got.op);
	got = get_task(f, id_of(10), 0);
	assert_int_equal(got.ret_task.tally.attempt, 2);
	store_op_release(&got.op);
}

static void assert_said_is_true(struct fixture *f, const struct run *r, enum start start)
{
	struct fh_err err = { "" };
	if (fixture_open(f, &err))
		fail_msg("%s", err.text);
	if (start == START_OLDER)
		assert_older_is_kept(f);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_true(r->workers[i] == EITHER || remembers(f, i) == (r->workers[i] == NOTED));
	for (unsigned i = 0; i < r->submitted_count; i++) {
		struct store_get_task got = get_task(f, r->submitted[i], 0);
		assert_int_equal(got.op.ret, 0);
		store_op_release(&got.op);
	}
	for (unsigned i = 0; i < r->finished_count; i++) {
		struct store_get_task got = get_task(f, r->finished[i], STORE_WANT_RESULT);
		assert_int_equal(got.ret_task.state, TASK_COMPLETED);
		assert_int_equal(got.ret_task.finish_seq, r->finish_seqs[i]);
		assert_blob_equal(got.ret_result.value, "payload");
		store_op_release(&got.op);
	}
	struct store_stats s = stats(f);
	uint64_t finished = r->finished_count + (start == START_OLDER);
	assert_in_range(s.ret_counts[TASK_COMPLETED], finished, finished + 1);
	fixture_close(f);
}

/* One run in a folder of its own. Returns how many operations it had. */
static uint64_t attempt(struct fixture *f, enum start start, struct blob *payload, enum fault fault,
			uint64_t n)
{
	struct run r;
	char path[128];
	make_dir(f->dir);
	(void)snprintf(path, sizeof path, "%s/farhand.db", f->dir);
	if (start == START_OLDER)
		make_older_database(path);
	fault_vfs_plan(fault, n);
	scenario(f, &r, payload);
	uint64_t count = fault_vfs_count();
	bool happened = fault_vfs_happened();
	if (fault == FAULT_CUT)
		fault_vfs_settle(n);
	fault_vfs_plan(FAULT_NONE, 0);
	/* A fault before the last answer has ended the store, one behind it may be the closing's.
	 */
	if (happened && r.opened && r.finished_count == ROUNDS)
		assert_false(r.failed);
	if (r.opened && r.finished_count < ROUNDS)
		assert_true(r.failed && happened);
	assert_said_is_true(f, &r, start);
	remove_dir(f->dir);
	return count;
}

/* At most `runs` of them, or a share of that (a percentage in FAULT_SHARE), evenly spread. */
static void go_through(struct fixture *f, enum start start, struct blob *payload, enum fault fault,
		       uint64_t runs)
{
	const char *share = getenv("FAULT_SHARE");
	uint64_t count = attempt(f, start, payload, FAULT_NONE, 0);
	if (share)
		runs = runs * strtoull(share, NULL, 10) / 100 + 1;
	uint64_t step = count <= runs ? 1 : count / runs;
	assert_true(count > 50);
	for (uint64_t n = 1; n <= count; n += step)
		(void)attempt(f, start, payload, fault, n);
	print_message("%llu operations, one in %llu tried\n", (unsigned long long)count,
		      (unsigned long long)step);
}

static int setup(void **state)
{
	static struct fixture f;
	fixture_init(&f, KIND_SQLITE);
	fault_vfs_install();
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	fault_vfs_remove();
	(void)close(f->wake_fd);
	blob_free(&f->payload);
	return 0;
}

static void an_io_error_loses_nothing_that_was_said(void **state)
{
	struct fixture *f = *state;
	go_through(f, START_EMPTY, f->payload, FAULT_ERROR, 1000);
}

static void a_full_disk_loses_nothing_that_was_said(void **state)
{
	struct fixture *f = *state;
	go_through(f, START_EMPTY, f->payload, FAULT_FULL, 1000);
}

static void a_power_cut_loses_nothing_that_was_said(void **state)
{
	struct fixture *f = *state;
	go_through(f, START_EMPTY, f->payload, FAULT_CUT, 1000);
}

/* Payloads so large that the log is moved into the database while the store serves. */
static void a_power_cut_in_a_checkpoint_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct blob *big = blob_new(1 << 20);
	assert_non_null(big);
	memset(big->data, 'x', big->len);
	go_through(f, START_EMPTY, big, FAULT_CUT, 10);
	go_through(f, START_EMPTY, big, FAULT_ERROR, 10);
	blob_free(&big);
}

static void a_fault_in_a_migration_loses_nothing(void **state)
{
	struct fixture *f = *state;
	go_through(f, START_OLDER, f->payload, FAULT_CUT, 200);
	go_through(f, START_OLDER, f->payload, FAULT_ERROR, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_io_error_loses_nothing_that_was_said, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_loses_nothing_that_was_said, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_power_cut_loses_nothing_that_was_said, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_power_cut_in_a_checkpoint_loses_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_fault_in_a_migration_loses_nothing, setup,
						teardown),
	};
	/* What is durable is decided here and not by the disk: memory is faster. */
	if (access("/dev/shm", W_OK) == 0)
		assert_int_equal(setenv("TMPDIR", "/dev/shm", 0), 0);
	return cmocka_run_group_tests_name("store_faults", tests, NULL, NULL);
}
