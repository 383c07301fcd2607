/* A database of version 1, row by row. */
#include "store_older.h"

#include <sqlite3.h>

#include "store/sqlite_schema.h"
#include "store_fixture.h"

static const char rows[] =
	"INSERT INTO lanes VALUES (1, 0, ''), (2, 7, 'old');"
	"INSERT INTO tasks VALUES"
	" (x'0a000000000000000000000000000000', x'01000000000000000000000000000000', NULL,"
	"  1, -5, 1, NULL, 0, 2, 1, 1, 0, 5, 0, 0, 0, 1, 1, 'retries=3', 'a.B', '{}'),"
	" (x'0b000000000000000000000000000000', x'01000000000000000000000000000000', NULL,"
	"  2, 0, NULL, 9, 0, 1, 0, 0, 1, 5, 9, 0, 0, 2, 1, 'at_most_once=1', NULL, NULL),"
	" (x'0c000000000000000000000000000000', x'01000000000000000000000000000000', NULL,"
	"  2, 0, NULL, NULL, 2, 1, 0, 0, 0, 5, 0, 0, 1, 3, 1, NULL, NULL, NULL);"
	"INSERT INTO payloads VALUES (1, x'01'), (2, x'02'), (3, x'03');"
	"INSERT INTO results (finish_seq, task_id, state, reason, started_ms, finished_ms,"
	" result_size, deserialize_us, run_us, serialize_us, runtime, out_cut, err_cut, value)"
	" VALUES (1, x'0c000000000000000000000000000000', 2, 0, 6, 7, 1, 1, 1, 1, 'cp311', 0, 0,"
	" x'76');"
	"UPDATE server SET queued = 2, queued_bytes = 2, completed = 1, finish_seq = 1,"
	" payload_no = 3, generation = 41";

void make_older_database(const char *path)
{
	sqlite3 *handle;
	struct fh_err err = { "" };
	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	assert_int_equal(schema_migrate(handle, schema_steps, 1, &err), 0);
	assert_int_equal(sqlite3_exec(handle, rows, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
}
