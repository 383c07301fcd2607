/* Migration: missing steps run in order and together, nothing that is not ours is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "store/sqlite_schema.h"
#include "store/sqlite_sql.h"

/* Versions as they might follow: a new column with a value for old rows, then a renamed table. */
static const struct schema_step steps[] = {
	{ "CREATE TABLE thing (a INTEGER); INSERT INTO thing VALUES (1)" },
	{ "ALTER TABLE thing ADD COLUMN b INTEGER DEFAULT 5" },
	{ "ALTER TABLE thing RENAME TO item" },
};
static const struct schema_step broken[] = {
	{ "CREATE TABLE thing (a INTEGER); INSERT INTO thing VALUES (1)" },
	{ "ALTER TABLE thing ADD COLUMN b INTEGER DEFAULT 5" },
	{ "ALTER TABLE thing RENAME TO item; INSERT INTO nowhere VALUES (1)" },
};

static int setup(void **state)
{
	return sqlite3_open(":memory:", (sqlite3 **)state);
}

static int teardown(void **state)
{
	return sqlite3_close(*state);
}

static void run(sqlite3 *db, const char *sql)
{
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return n;
}

static void an_empty_database_gets_all_steps(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	assert_int_equal(schema_check(db, 3, &err), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema"), 0);
	assert_int_equal(schema_migrate(db, steps, 3, &err), 0);
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	assert_int_equal(number(db, "PRAGMA application_id"), SCHEMA_APPLICATION_ID);
	assert_int_equal(number(db, "SELECT b FROM item"), 5);
	assert_int_equal(schema_migrate(db, steps, 3, &err), 0); /* nothing to do */
	assert_int_equal(number(db, "SELECT count(*) FROM item"), 1);
}

static void an_older_database_keeps_its_rows(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	assert_int_equal(schema_migrate(db, steps, 1, &err), 0);
	run(db, "INSERT INTO thing VALUES (2)");
	assert_int_equal(schema_migrate(db, steps, 3, &err), 0);
	assert_int_equal(number(db, "SELECT sum(a * b) FROM item"), 15);
}

static void a_step_that_fails_takes_back_all(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	assert_int_equal(schema_migrate(db, steps, 1, &err), 0);
	assert_int_equal(schema_migrate(db, broken, 3, &err), FH_EIO);
	assert_non_null(strstr(err.text, "to version 3"));
	assert_non_null(strstr(err.text, "nowhere"));
	assert_int_equal(number(db, "PRAGMA user_version"), 1);
	assert_int_equal(number(db, "SELECT count(*) FROM pragma_table_info('thing')"), 1);
	assert_int_equal(schema_migrate(db, steps, 3, &err), 0);
}

static void a_newer_database_is_left_alone(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	assert_int_equal(schema_migrate(db, steps, 3, &err), 0);
	assert_int_equal(schema_check(db, 2, &err), FH_EVERSION);
	assert_int_equal(schema_migrate(db, steps, 2, &err), FH_EVERSION);
	assert_non_null(strstr(err.text, "version 3, this one knows 2"));
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
}

static void somebody_elses_database_is_left_alone(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	static const char *const theirs[] = {
		"CREATE TABLE theirs (a)",
		"PRAGMA user_version = 1",
		"PRAGMA user_version = 0; PRAGMA application_id = 5",
	};
	for (int i = 0; i < 3; i++) {
		run(db, theirs[i]);
		assert_int_equal(schema_migrate(db, steps, 3, &err), FH_EINVAL);
		assert_non_null(strstr(err.text, "not a database of Farhand"));
	}
	assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema"), 1);
}

static void the_real_steps_make_the_real_schema(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	assert_int_equal(schema_migrate(db, schema_steps, schema_step_count, &err), 0);
	assert_int_equal(number(db, "PRAGMA user_version"), (int64_t)schema_step_count);
	assert_int_equal(number(db, "SELECT count(*) FROM server"), 1);
}

/* A database of version 1 as it was written, with what each column of it may hold. */
static const char rows_1[] =
	"INSERT INTO lanes VALUES (1, 0, ''), (2, 7, 'old');"
	"INSERT INTO functions (id, digest, name, serializer, created_ms, payload_size, payload,"
	" tags) VALUES (x'01', x'02', 'f', 0, 5, 1, x'03', '{}');"
	"INSERT INTO tasks VALUES (x'0a', x'01', NULL, 1, 0, 1, NULL, 0, 1, 2, 3, 0, 5, 0, 0, 0, 1,"
	" 1, 'retries=3', 'a.B', '{}'), (x'0b', x'01', NULL, 2, 0, NULL, 9, 0, 0, 0, 0, 1, 5, 9, 0,"
	" 0, 2, 1, NULL, NULL, NULL);"
	"INSERT INTO payloads VALUES (1, x'04'), (2, x'05');"
	"UPDATE server SET queued = 2, queued_bytes = 2, functions = 1, payload_no = 2";

static void version_2_keeps_what_version_1_wrote(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	static const char *const truths[] = {
		"SELECT queued = 2 AND payload_no = 2 FROM server",
		"SELECT count(*) = 2 FROM lanes",
		"SELECT tags = '{}' AND needs IS NULL FROM functions",
		"SELECT account = 0 AND strikes = 0 AND struck_by_two = 0 FROM tasks WHERE ready",
		"SELECT attempt = 1 AND failures = 2 AND losses = 3 FROM tasks WHERE ready",
		"SELECT struck_by IS NULL AND needs IS NULL FROM tasks WHERE ready",
		"SELECT retry_classes = 'a.B' AND tags = '{}' FROM tasks WHERE ready",
		"SELECT account = 7 AND started_once = 1 FROM tasks WHERE due_ms = 9",
		"SELECT count(*) = 0 FROM workers",
		"SELECT min(integrity_check) = 'ok' FROM pragma_integrity_check",
	};
	assert_int_equal(schema_migrate(db, schema_steps, 1, &err), 0);
	run(db, rows_1);
	assert_int_equal(schema_migrate(db, schema_steps, 2, &err), 0);
	for (size_t i = 0; i < sizeof truths / sizeof *truths; i++)
		if (number(db, truths[i]) != 1)
			fail_msg("not so: %s", truths[i]);
	assert_int_equal(number(db, "PRAGMA user_version"), 2);
}

/* "SCAN t" walks a table, "SCAN t USING COVERING INDEX" a partial index: what waits and no more. */
static void assert_uses_an_index(sqlite3 *db, const char *sql)
{
	char explain[1024];
	sqlite3_stmt *stmt;
	(void)snprintf(explain, sizeof explain, "EXPLAIN QUERY PLAN %s", sql);
	assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(stmt, 3);
		if (strcmp(line, "SCAN server") == 0 || strcmp(line, "SCAN lanes") == 0 ||
		    strcmp(line, "SCAN workers") == 0)
			continue; /* one row; few; once, by its key */
		bool walks = strncmp(line, "SCAN ", 5) == 0 && !strstr(line, "COVERING INDEX");
		if (strcmp(line, "SCAN idempotency") == 0)
			walks = !strstr(sql, "ORDER BY no LIMIT 1");
		if (walks || strstr(line, "TEMP B-TREE"))
			fail_msg("%s: %s", sql, line);
	}
	(void)sqlite3_finalize(stmt);
}

static void every_statement_uses_an_index(void **state)
{
	sqlite3 *db = *state;
	struct fh_err err = { "" };
	static const char *const texts[] = {
#define X(name, text) text,
		SQL_STATEMENTS(X)
#undef X
	};
	assert_int_equal(schema_migrate(db, schema_steps, schema_step_count, &err), 0);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_uses_an_index(db, texts[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_database_gets_all_steps),
		TEST(an_older_database_keeps_its_rows),
		TEST(a_step_that_fails_takes_back_all),
		TEST(a_newer_database_is_left_alone),
		TEST(somebody_elses_database_is_left_alone),
		TEST(the_real_steps_make_the_real_schema),
		TEST(version_2_keeps_what_version_1_wrote),
		TEST(every_statement_uses_an_index),
	};
	return cmocka_run_group_tests_name("store_schema", tests, NULL, NULL);
}
