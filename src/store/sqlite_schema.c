/* The schema as a list of steps. Happy path: read whose database it is and of which version, run
 * the missing steps and write the new version in one transaction. Failure modes: somebody else's
 * database and a newer one are left untouched; a step that fails takes back all of them.
 *
 * To change the schema, append a step; never edit one that was released. */
#include "store/sqlite_schema.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "store/sqlite_why.h"

/* Tasks are keyed by the id, which is ordered by time, and have no rowid: an insert goes to the
 * right end of one tree. Payloads and results have numbers given in order, so they are appended
 * too. The indexes of what waits are partial: a final task is in none of them.
 *   lane     a row of `lanes`; there are few, and all are in memory. Of a final task it means
 * nothing rank     the negated priority, because an index reads upwards ready    the lane while the
 * task is in it, else NULL due_ms   when a delayed task will be ready, else NULL options  what
 * differs from the defaults (sqlite_options.c) A row of `results` is written once, with the final
 * state, and stays, emptied, until its task's record goes: it is the order of finishing. */
static const char version_1[] =
	"CREATE TABLE server ("
	" one INTEGER PRIMARY KEY CHECK (one = 1), generation INTEGER NOT NULL,"
	" clean INTEGER NOT NULL, queued INTEGER NOT NULL, queued_bytes INTEGER NOT NULL,"
	" completed INTEGER NOT NULL, failed INTEGER NOT NULL, cancelled INTEGER NOT NULL,"
	" functions INTEGER NOT NULL, groups INTEGER NOT NULL, finish_seq INTEGER NOT NULL,"
	" purged_seq INTEGER NOT NULL, payload_no INTEGER NOT NULL) STRICT;"
	"INSERT INTO server VALUES (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);"

	"CREATE TABLE functions ("
	" no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, digest BLOB NOT NULL UNIQUE,"
	" name TEXT NOT NULL, serializer INTEGER NOT NULL, description TEXT,"
	" created_ms INTEGER NOT NULL, payload_size INTEGER NOT NULL, options TEXT,"
	" retry_classes TEXT, tags TEXT, payload BLOB NOT NULL) STRICT;"
	"CREATE INDEX functions_name ON functions (name);"

	"CREATE TABLE groups ("
	" id BLOB PRIMARY KEY NOT NULL, name TEXT, tags TEXT, account INTEGER NOT NULL,"
	" created_ms INTEGER NOT NULL, total INTEGER NOT NULL,"
	" completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,"
	" cancelled INTEGER NOT NULL DEFAULT 0, records INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX groups_empty ON groups (created_ms) WHERE records = 0;"

	"CREATE TABLE idempotency ("
	" no INTEGER PRIMARY KEY, account INTEGER NOT NULL, key TEXT NOT NULL,"
	" fingerprint BLOB NOT NULL, created_ms INTEGER NOT NULL, status INTEGER NOT NULL,"
	" location TEXT, response BLOB, UNIQUE (account, key)) STRICT;"

	"CREATE TABLE lanes ("
	" no INTEGER PRIMARY KEY, account INTEGER NOT NULL, class_key TEXT NOT NULL) STRICT;"

	"CREATE TABLE tasks ("
	" id BLOB PRIMARY KEY NOT NULL, function_id BLOB NOT NULL, group_id BLOB,"
	" lane INTEGER NOT NULL, rank INTEGER NOT NULL, ready INTEGER,"
	" due_ms INTEGER, state INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT "
	"NULL,"
	" losses INTEGER NOT NULL, started_once INTEGER NOT NULL, created_ms INTEGER NOT NULL,"
	" not_before_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL,"
	" finish_seq INTEGER NOT NULL, payload_no INTEGER NOT NULL, payload_size INTEGER NOT NULL,"
	" options TEXT, retry_classes TEXT, tags TEXT) STRICT, WITHOUT ROWID;"
	"CREATE INDEX tasks_ready ON tasks (ready, rank, id) WHERE ready IS NOT NULL;"
	"CREATE INDEX tasks_delayed ON tasks (due_ms, id, lane, rank)"
	" WHERE due_ms IS NOT NULL;"
	"CREATE INDEX tasks_expiring ON tasks (expires_at_ms, id, state)"
	" WHERE state = 0 AND expires_at_ms > 0;"
	"CREATE TABLE payloads (no INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;"

	"CREATE TABLE results ("
	" finish_seq INTEGER PRIMARY KEY, task_id BLOB NOT NULL, group_id BLOB,"
	" state INTEGER NOT NULL, reason INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
	" finished_ms INTEGER NOT NULL, result_size INTEGER NOT NULL,"
	" deserialize_us INTEGER NOT NULL, run_us INTEGER NOT NULL, serialize_us INTEGER NOT NULL,"
	" runtime TEXT NOT NULL, out_cut INTEGER NOT NULL, err_cut INTEGER NOT NULL,"
	" error_type TEXT, error_message TEXT, traceback TEXT, value BLOB, out BLOB, err BLOB"
	") STRICT;"
	"CREATE INDEX results_of_group ON results (group_id) WHERE group_id IS NOT NULL;";

/* What a fleet needs: what a task needs of a worker, strikes, the workers that may hold tasks. A
 * lane without tasks may become another one, so a task has its account itself. */
static const char version_2[] =
	"ALTER TABLE functions ADD COLUMN needs TEXT;"
	"ALTER TABLE tasks ADD COLUMN needs TEXT;"
	"ALTER TABLE tasks ADD COLUMN strikes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE tasks ADD COLUMN struck_by BLOB;"
	"ALTER TABLE tasks ADD COLUMN struck_by_two INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE tasks ADD COLUMN account INTEGER NOT NULL DEFAULT 0;"
	"UPDATE tasks SET account = (SELECT account FROM lanes WHERE no = lane)"
	" WHERE lane IN (SELECT no FROM lanes WHERE account <> 0);"
	"CREATE TABLE workers (instance BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID;";

const struct schema_step schema_steps[] = { { version_1 }, { version_2 } };
const size_t schema_step_count = sizeof schema_steps / sizeof *schema_steps;

static int failed(sqlite3 *handle, const char *what, struct fh_err *err)
{
	int rc = sqlite3_errcode(handle) & 0xff;
	struct fh_err reason = sqlite_why(handle);
	int ret = rc == SQLITE_NOTADB ? FH_EINVAL : rc == SQLITE_BUSY ? FH_EBUSY : FH_EIO;
	const char *why = rc == SQLITE_BUSY ? "another program has it open" : reason.text;
	return fh_err_set(err, ret, "cannot %s: %s", what, why);
}

/* One number that a PRAGMA or a count answers. */
static int read_number(sqlite3 *handle, const char *sql, int64_t *ret_number, struct fh_err *err)
{
	sqlite3_stmt *stmt = NULL;
	int ret = 0;
	if (sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL) != SQLITE_OK ||
	    sqlite3_step(stmt) != SQLITE_ROW)
		ret = failed(handle, "read the database", err);
	else
		*ret_number = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return ret;
}

static int execute(sqlite3 *handle, const char *sql, const char *what, struct fh_err *err)
{
	return sqlite3_exec(handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
									: failed(handle, what, err);
}

/* Whose it is and of which version; an empty file is ours, version 0. */
static int identify(sqlite3 *handle, int64_t *ret_version, struct fh_err *err)
{
	int64_t application = 0, objects = 0;
	int ret = read_number(handle, "PRAGMA application_id", &application, err);
	if (!ret)
		ret = read_number(handle, "PRAGMA user_version", ret_version, err);
	if (!ret)
		ret = read_number(handle, "SELECT count(*) FROM sqlite_schema", &objects, err);
	if (ret)
		return ret;
	bool empty = application == 0 && *ret_version == 0 && objects == 0;
	if (!empty && (application != SCHEMA_APPLICATION_ID || *ret_version < 1))
		return fh_err_set(err, FH_EINVAL, "it is not a database of Farhand");
	return 0;
}

static int run_steps(sqlite3 *handle, const struct schema_step *steps, size_t from, size_t to,
		     struct fh_err *err)
{
	char text[96];
	int ret = 0;
	for (size_t i = from; i < to && !ret; i++) {
		(void)snprintf(text, sizeof text, "migrate the database to version %zu", i + 1);
		ret = execute(handle, steps[i].sql, text, err);
	}
	(void)snprintf(text, sizeof text, "PRAGMA application_id = %d; PRAGMA user_version = %zu",
		       SCHEMA_APPLICATION_ID, to);
	return ret ? ret : execute(handle, text, "write the version of the database", err);
}

static int check(sqlite3 *handle, size_t count, int64_t *ret_version, struct fh_err *err)
{
	int ret = identify(handle, ret_version, err);
	if (!ret && (uint64_t)*ret_version > count)
		ret = fh_err_set(err, FH_EVERSION,
				 "a newer Farhand wrote it (version %lld, this one knows %zu)",
				 (long long)*ret_version, count);
	return ret;
}

int schema_check(sqlite3 *handle, size_t count, struct fh_err *err)
{
	int64_t version;
	return check(handle, count, &version, err);
}

int schema_migrate(sqlite3 *handle, const struct schema_step *steps, size_t count,
		   struct fh_err *err)
{
	int64_t version = 0;
	int ret = check(handle, count, &version, err);
	if (ret || (uint64_t)version == count)
		return ret;
	ret = execute(handle, "BEGIN IMMEDIATE", "write the database", err);
	if (ret)
		return ret;
	ret = run_steps(handle, steps, (size_t)version, count, err);
	if (!ret)
		ret = execute(handle, "COMMIT", "write the database", err);
	if (ret && !sqlite3_get_autocommit(handle))
		(void)sqlite3_exec(handle, "ROLLBACK", NULL, NULL, NULL);
	return ret;
}
