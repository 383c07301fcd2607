/* What only the embedded store promises: who may open the folder, which database, and that damage
 * ends it. */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite_schema.h"
#include "store_fixture.h"
#include "store_older.h"

/* Opens the fixture's folder, which must be refused like this. */
static void assert_refused(struct fixture *f, int code, const char *why)
{
	struct fh_err err = { "" };
	assert_int_equal(fixture_open(f, &err), code);
	assert_mentions(err.text, f->dir);
	assert_mentions(err.text, why);
	assert_null(strchr(err.text, '\n'));
}

static void path_in(const struct fixture *f, const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", f->dir, name);
}

/* Runs SQL on the closed database. */
static void tamper(const struct fixture *f, const char *sql)
{
	sqlite3 *handle;
	char path[128];
	path_in(f, "farhand.db", path);
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}

static mode_t mode_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void a_second_server_is_refused(void **state)
{
	struct fixture *f = *state, second = *f;
	char who[64];
	(void)snprintf(who, sizeof who, "process %ld", (long)getpid());
	assert_refused(&second, FH_EBUSY, who);
	struct task_rec t = new_task(f);
	add_task(f, &t); /* the first one does not notice */
	fixture_restart(f);
}

static void the_folder_is_closed_to_others(void **state)
{
	struct fixture *f = *state;
	char path[128];
	fixture_close(f);
	assert_int_equal(chmod(f->dir, 0755), 0);
	fixture_restart(f);
	struct task_rec t = new_task(f);
	add_task(f, &t);
	assert_int_equal(mode_of(f->dir), 0700);
	static const char *const files[] = { "farhand.db", "farhand.db-wal", "farhand.lock" };
	for (int i = 0; i < 3; i++) {
		path_in(f, files[i], path);
		assert_int_equal(mode_of(path), 0600);
	}
}

static void a_folder_is_made(void **state)
{
	struct fixture *f = *state, made = *f;
	(void)snprintf(made.dir, sizeof made.dir, "%.50s/new", f->dir);
	struct fh_err err;
	assert_int_equal(fixture_open(&made, &err), 0);
	assert_int_equal(mode_of(made.dir), 0700);
	fixture_close(&made);
	remove_dir(made.dir);
	(void)snprintf(made.dir, sizeof made.dir, "%.50s/new/deep", f->dir);
	assert_refused(&made, FH_EIO, "No such file");
}

static void what_is_not_a_folder_is_refused(void **state)
{
	struct fixture *f = *state, other = *f;
	(void)snprintf(other.dir, sizeof other.dir, "%.50s/farhand.lock", f->dir);
	assert_refused(&other, FH_EINVAL, "not a folder");
}

static void somebody_elses_folder_is_refused(void **state)
{
	struct fixture *f = *state;
	fixture_close(f);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(f->dir, 65534, 65534), 0);
	assert_refused(f, FH_EINVAL, "another user");
}

/* The bytes of the database file; the caller frees. */
static char *read_all(const struct fixture *f, size_t *ret_len)
{
	char path[128];
	path_in(f, "farhand.db", path);
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	char *data = malloc(1 << 20);
	assert_non_null(data);
	*ret_len = fread(data, 1, 1 << 20, file);
	(void)fclose(file);
	return data;
}

static void assert_refused_untouched(struct fixture *f, int code, const char *why)
{
	size_t before_len, after_len;
	char *before = read_all(f, &before_len);
	assert_refused(f, code, why);
	char *after = read_all(f, &after_len);
	assert_int_equal(before_len, after_len);
	assert_memory_equal(before, after, before_len);
	free(before);
	free(after);
}

static void a_newer_database_is_refused(void **state)
{
	struct fixture *f = *state;
	fixture_close(f);
	tamper(f, "PRAGMA user_version = 99");
	assert_refused_untouched(f, FH_EVERSION, "a newer Farhand");
	char sql[64];
	(void)snprintf(sql, sizeof sql, "PRAGMA user_version = %zu", schema_step_count);
	tamper(f, sql);
	fixture_restart(f);
}

static void an_older_database_is_served(void **state)
{
	struct fixture *f = *state;
	char path[128];
	fixture_close(f);
	path_in(f, "farhand.db", path);
	assert_int_equal(unlink(path), 0);
	make_older_database(path);
	fixture_restart(f);
	assert_int_equal(f->recovery.generation, 42);
	assert_int_equal(f->recovery.live, 2);
	assert_int_equal(f->recovery.lane_count, 2);
	assert_int_equal(f->recovery.worker_count, 0);
	const struct fh_id ids[] = { id_of(10), id_of(11), id_of(12) };
	struct store_take take = { .op.kind = STORE_TAKE, .tasks = ids, .count = 3, .now_ms = 9 };
	assert_int_equal(fixture_run(f, &take.op), 0);
	assert_int_equal(take.ret_count, 2);
	const struct task_rec *ready = &take.ret_tasks[0], *delayed = &take.ret_tasks[1];
	assert_same_tally(&ready->tally,
			  &(struct task_tally){ .attempt = 2, .failures = 1, .losses = 1 });
	assert_int_equal(ready->options.priority, 5);
	assert_int_equal(ready->options.retries, 3);
	assert_string_equal(ready->options.retry_classes, "a.B");
	assert_string_equal(ready->options.tags, "{}");
	assert_null(ready->options.needs);
	assert_blob_equal(ready->payload, "\1");
	assert_int_equal(delayed->account, 7);
	assert_true(delayed->started_once && delayed->options.at_most_once);
	assert_string_equal(take.ret_class_keys[1], "old");
	store_op_release(&take.op);
	struct store_get_task got = get_task(f, ids[2], STORE_WANT_RESULT);
	assert_int_equal(got.ret_task.account, 7);
	assert_blob_equal(got.ret_result.value, "v");
	store_op_release(&got.op);
	assert_int_equal(finish_task(f, ids[0], "v", NULL), 0);
	fixture_restart(f);
	assert_int_equal(f->recovery.live, 1);
}

static void a_foreign_database_is_refused(void **state)
{
	struct fixture *f = *state;
	fixture_close(f);
	tamper(f, "PRAGMA application_id = 7");
	assert_refused_untouched(f, FH_EINVAL, "not a database of Farhand");
	tamper(f, "PRAGMA application_id = 0; PRAGMA user_version = 0");
	assert_refused_untouched(f, FH_EINVAL, "not a database of Farhand");
}

/* Overwrites the file from `from` on with `byte`. */
static void overwrite(const struct fixture *f, off_t from, size_t len, int byte)
{
	char path[128], data[4096];
	path_in(f, "farhand.db", path);
	memset(data, byte, sizeof data);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (size_t done = 0; done < len; done += sizeof data)
		assert_int_equal(pwrite(fd, data, sizeof data, from + (off_t)done), sizeof data);
	(void)close(fd);
}

static void what_is_no_database_is_refused(void **state)
{
	struct fixture *f = *state;
	fixture_close(f);
	overwrite(f, 0, 4096, 'x');
	assert_refused_untouched(f, FH_EINVAL, "not a database");
}

static void a_damaged_database_is_refused(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	add_task(f, &t);
	fixture_close(f);
	overwrite(f, 4096, 20 * 4096, 0xff);
	assert_refused(f, FH_EIO, "malformed");
}

static void a_counter_that_disagrees_is_damage(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	add_task(f, &t);
	fixture_close(f);
	tamper(f, "UPDATE server SET queued = 2");
	assert_refused(f, FH_EIO, "damaged");
	tamper(f, "DELETE FROM server");
	assert_refused(f, FH_EIO, "counters are missing");
}

static void nonsense_about_lanes_and_workers_is_damage(void **state)
{
	struct fixture *f = *state;
	static const char *const damages[][2] = {
		{ "INSERT INTO workers VALUES (x'00')", "DELETE FROM workers" },
		{ "INSERT INTO lanes VALUES (2, 0, '')", "DELETE FROM lanes" },
		{ "INSERT INTO lanes VALUES (1, 0, printf('%.256c', 'x'))", "DELETE FROM lanes" },
		{ "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 65)"
		  " INSERT INTO lanes SELECT i, i, '' FROM n",
		  "DELETE FROM lanes WHERE no > 64" },
		{ "UPDATE lanes SET class_key = 'key'", "DELETE FROM lanes" },
	};
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
		fixture_close(f);
		tamper(f, damages[i][0]);
		assert_refused(f, FH_EIO, "damaged");
		tamper(f, damages[i][1]);
		fixture_restart(f);
	}
}

/* Waits for the failure, which must name the file and this reason. */
static void assert_fails(struct fixture *f, const char *why)
{
	int ret;
	while ((ret = store_poll(f->store)) == 0)
		assert_true(fixture_wait_wake(f));
	assert_int_equal(ret, FH_EIO);
	assert_mentions(store_failure(f->store), "farhand.db");
	assert_mentions(store_failure(f->store), why);
}

/* A task that no counter knows of cannot end: what is counted would be less than nothing. */
static void a_task_that_was_not_counted_ends_the_store(void **state)
{
	struct fixture *f = *state;
	static const char *const damages[] = { "UPDATE tasks SET payload_size = 8",
					       "UPDATE tasks SET payload_size = 7, ready = NULL;"
					       "UPDATE server SET queued = 0" };
	const struct task_result result = { .state = TASK_COMPLETED };
	struct task_rec t = new_task(f);
	struct store_finish_item item = { .task = t.id, .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	add_task(f, &t);
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
		fixture_close(f);
		tamper(f, damages[i]);
		fixture_restart(f);
		fixture_submit(f, &call.op);
		assert_fails(f, "damaged");
	}
}

static void nonsense_in_a_row_ends_the_store(void **state)
{
	struct fixture *f = *state;
	static const char *const damages[] = {
		"UPDATE tasks SET state = 77",	      "UPDATE tasks SET attempt = -1",
		"UPDATE tasks SET lane = 9",	      "UPDATE tasks SET options = 'retries=x'",
		"UPDATE tasks SET account = -1",      "UPDATE tasks SET strikes = 4294967296",
		"UPDATE tasks SET struck_by = x'00'", "UPDATE tasks SET struck_by_two = 2",
		"UPDATE tasks SET group_id = x'00'"
	};
	struct task_rec t = new_task(f);
	add_task(f, &t);
	for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
		fixture_close(f);
		tamper(f, "CREATE TABLE kept AS SELECT * FROM tasks");
		tamper(f, damages[i]);
		fixture_restart(f);
		struct store_get_task get = { .op.kind = STORE_GET_TASK, .task = t.id };
		struct store_stats later = { .op.kind = STORE_STATS };
		fixture_submit(f, &get.op);
		fixture_submit(f, &later.op);
		assert_fails(f, "damaged");
		assert_int_equal(store_poll(f->store), FH_EIO);
		assert_int_equal(get.op.ret, FH_EIO);
		fixture_close(f);
		tamper(f, "DELETE FROM tasks; INSERT INTO tasks SELECT * FROM kept;"
			  "DROP TABLE kept");
		fixture_restart(f);
	}
}

/* Rows that others name are gone. */
static void a_missing_row_ends_the_store(void **state)
{
	struct fixture *f = *state;
	struct task_rec done = new_task(f), waiting = new_task(f);
	done.group_id = add_group(f);
	add_task(f, &done);
	add_task(f, &waiting);
	assert_int_equal(finish_task(f, done.id, "v", NULL), 0);
	struct store_get_task get = { .op.kind = STORE_GET_TASK, .task = done.id };
	struct store_claim claims = { .op.kind = STORE_CLAIM, .class_key = "", .max_count = 9 };
	struct store_list_finished list = { .op.kind = STORE_LIST_FINISHED,
					    .group = done.group_id,
					    .limit = 9 };
	struct store_purge purge = {
		.op.kind = STORE_PURGE, .now_ms = 9000, .results_before_ms = 9000, .max = 9
	};
	const struct {
		const char *table;
		struct store_op *op;
	} cases[] = { { "results", &get.op },
		      { "payloads", &claims.op },
		      { "tasks WHERE ready IS NULL", &list.op },
		      { "tasks WHERE ready IS NULL", &purge.op } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char sql[256];
		fixture_close(f);
		(void)snprintf(sql, sizeof sql,
			       "CREATE TABLE kept AS SELECT * FROM %s; DELETE FROM %s",
			       cases[i].table, cases[i].table);
		tamper(f, sql);
		fixture_restart(f);
		fixture_submit(f, cases[i].op);
		assert_fails(f, "damaged");
		fixture_close(f);
		(void)snprintf(sql, sizeof sql,
			       "INSERT INTO %.*s SELECT * FROM kept; DROP TABLE kept",
			       (int)strcspn(cases[i].table, " "), cases[i].table);
		tamper(f, sql);
		fixture_restart(f);
	}
	assert_int_equal(fixture_run(f, &get.op), 0); /* all is back */
	store_op_release(&get.op);
}

static void a_removed_file_ends_the_store(void **state)
{
	struct fixture *f = *state;
	char path[128];
	path_in(f, "farhand.db", path);
	assert_int_equal(unlink(path), 0);
	struct task_rec t = new_task(f);
	const struct store_submit_item item = { .task = &t };
	struct store_submit call = { .op.kind = STORE_SUBMIT, .items = &item, .count = 1 };
	(void)stats(f); /* reading goes on */
	fixture_submit(f, &call.op);
	assert_fails(f, "removed or replaced");
}

static void an_opening_without_memory_leaves_nothing(void **state)
{
	struct fixture *f = *state;
	struct fh_err err;
	struct store_note_worker note = { .op.kind = STORE_NOTE_WORKER, .present = true };
	assert_int_equal(fixture_run(f, &note.op), 0);
	fixture_close(f);
	for (unsigned n = 1;; n++) {
		fh_mem_fail_after(n);
		int ret = fixture_open(f, &err);
		fh_mem_fail_after(0);
		if (ret == 0)
			break;
		assert_true(ret == FH_ENOMEM || ret == FH_EIO);
		assert_mentions(err.text, "memory");
		assert_in_range(n, 1, 100);
	}
	assert_int_equal(f->recovery.worker_count, 1);
}

/* Whoever asks for many large results at once gets them in order, and not all in memory at once: a
 * portion ends behind 32 MiB, and the next is read when this one has been taken. */
static void large_reads_come_in_portions(void **state)
{
	enum { READS = 20, VALUE = 10 << 20, PORTION = 4 };
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	struct task_result result = { .state = TASK_COMPLETED, .finished_ms = 2000 };
	struct store_finish_item item = { .task = t.id, .tally.attempt = 1, .result = &result };
	struct store_finish finish = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	struct store_get_task reads[READS] = { 0 };
	add_task(f, &t);
	result.value = blob_new(VALUE);
	assert_non_null(result.value);
	memset(result.value->data, 'x', VALUE);
	assert_int_equal(fixture_run(f, &finish.op), 0);
	unsigned before = f->done;
	for (int i = 0; i < READS; i++) {
		reads[i] = (struct store_get_task){ .op.kind = STORE_GET_TASK,
						    .task = t.id,
						    .want = STORE_WANT_RESULT };
		fixture_submit(f, &reads[i].op);
	}
	for (unsigned at = before; at < before + READS; at = f->done) {
		assert_true(fixture_wait_wake(f));
		assert_int_equal(store_poll(f->store), 0);
		assert_in_range(f->done - at, 0, 2 * PORTION);
		for (; at < f->done; at++) {
			struct store_get_task *read = &reads[at - before];
			assert_int_equal(read->op.ret, 0);
			assert_int_equal(read->ret_result.value->len, VALUE);
			store_op_release(&read->op);
		}
	}
	blob_free(&result.value);
}

#define TEST(name)                                                                      \
	cmocka_unit_test_prestate_setup_teardown(name, fixture_setup, fixture_teardown, \
						 (void *)(uintptr_t)KIND_SQLITE)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_second_server_is_refused),
		TEST(the_folder_is_closed_to_others),
		TEST(a_folder_is_made),
		TEST(what_is_not_a_folder_is_refused),
		TEST(somebody_elses_folder_is_refused),
		TEST(a_newer_database_is_refused),
		TEST(a_foreign_database_is_refused),
		TEST(what_is_no_database_is_refused),
		TEST(a_damaged_database_is_refused),
		TEST(a_counter_that_disagrees_is_damage),
		TEST(nonsense_about_lanes_and_workers_is_damage),
		TEST(an_older_database_is_served),
		TEST(a_task_that_was_not_counted_ends_the_store),
		TEST(nonsense_in_a_row_ends_the_store),
		TEST(a_missing_row_ends_the_store),
		TEST(a_removed_file_ends_the_store),
		TEST(large_reads_come_in_portions),
		TEST(an_opening_without_memory_leaves_nothing),
	};
	return cmocka_run_group_tests_name("store_sqlite", tests, NULL, NULL);
}
