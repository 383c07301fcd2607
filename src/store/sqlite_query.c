/* Binding, stepping and reading of prepared statements. Happy path: query_on() resets, parameters
 * and columns are counted by the cursor, query_run() or the last query_next() resets again. Failure
 * modes: a unique value that is there already is an answer; any other error of SQLite, and content
 * that the schema rules out, is the end of the store (db_fail). */
#include "store/sqlite_query.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/sqlite_db.h"

static const char *const texts[SQL_COUNT] = {
#define X(name, text) [SQL_##name] = text,
	SQL_STATEMENTS(X)
#undef X
};

int queries_prepare(struct db *db)
{
	for (int i = 0; i < SQL_COUNT; i++)
		if (sqlite3_prepare_v3(db->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
				       &db->stmts[i], NULL) != SQLITE_OK)
			return db_fail(db, "cannot prepare its statements");
	return 0;
}

void queries_finalize(struct db *db)
{
	for (int i = 0; i < SQL_COUNT; i++) {
		(void)sqlite3_finalize(db->stmts[i]);
		db->stmts[i] = NULL;
	}
}

struct query query_on(struct db *db, enum sql sql)
{
	struct query q = { .db = db, .stmt = db->stmts[sql] };
	FH_ASSERT(!sqlite3_stmt_busy(q.stmt));
	return q;
}

static void bound(struct query *q, int rc)
{
	if (rc != SQLITE_OK && !q->error)
		q->error = rc;
}

void query_int(struct query *q, int64_t v)
{
	bound(q, sqlite3_bind_int64(q->stmt, ++q->param, v));
}

void query_size(struct query *q, uint64_t v)
{
	FH_ASSERT(v <= INT64_MAX);
	query_int(q, (int64_t)v);
}

void query_int_or_null(struct query *q, int64_t v)
{
	if (v)
		query_int(q, v);
	else
		bound(q, sqlite3_bind_null(q->stmt, ++q->param));
}

void query_bytes(struct query *q, const void *data, size_t len)
{
	int at = ++q->param;
	if (data)
		bound(q, sqlite3_bind_blob64(q->stmt, at, data, len, SQLITE_STATIC));
	else
		bound(q, sqlite3_bind_null(q->stmt, at));
}

void query_id(struct query *q, const struct fh_id *id)
{
	query_bytes(q, id->b, sizeof id->b);
}

void query_id_or_null(struct query *q, const struct fh_id *id)
{
	query_bytes(q, fh_id_is_zero(*id) ? NULL : id->b, sizeof id->b);
}

void query_text(struct query *q, const char *text)
{
	bound(q, sqlite3_bind_text(q->stmt, ++q->param, text, -1, SQLITE_STATIC));
}

void query_blob(struct query *q, const struct blob *b)
{
	query_bytes(q, b ? b->data : NULL, b ? b->len : 0);
}

static void reset(struct query *q)
{
	(void)sqlite3_reset(q->stmt); /* repeats the error that step() has returned */
}

/* Binding errors come to light here. */
static int step(struct query *q)
{
	FH_ASSERT_CMP(q->param, ==, sqlite3_bind_parameter_count(q->stmt));
	q->column = 0;
	return q->error ? q->error : sqlite3_step(q->stmt);
}

static int fail_damaged(const struct query *q)
{
	return db_fail_damaged(q->db, "a value is out of range");
}

static int failed(struct query *q, int rc)
{
	int ret;
	if (q->error == SQLITE_CORRUPT) /* the row before; see query_damaged() */
		ret = fail_damaged(q);
	else if (q->error) /* a failed bind leaves no message of its own behind */
		ret = db_fail(q->db, sqlite3_errstr(rc));
	else
		ret = db_fail(q->db, "cannot proceed");
	reset(q);
	return ret;
}

int query_run(struct query *q)
{
	int rc = step(q);
	if (rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE) {
		reset(q);
		return FH_EEXISTS;
	}
	if (rc != SQLITE_DONE)
		return failed(q, rc);
	reset(q);
	return 0;
}

int query_run_one(struct query *q)
{
	int ret = query_run(q);
	if (!ret && sqlite3_changes(q->db->handle) != 1)
		ret = db_fail_damaged(q->db, "a row is missing");
	return ret;
}

int query_run_fresh(struct query *q)
{
	int ret = query_run(q);
	return ret == FH_EEXISTS ? db_fail_damaged(q->db, "a number was given twice") : ret;
}

int query_next(struct query *q, bool *ret_row)
{
	int rc = step(q);
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		return failed(q, rc);
	*ret_row = rc == SQLITE_ROW;
	if (!*ret_row)
		reset(q);
	return 0;
}

int query_one(struct query *q)
{
	bool row;
	int ret = query_next(q, &row);
	return ret ? ret : row ? 0 : FH_ENOTFOUND;
}

int query_end(struct query *q, int ret)
{
	reset(q);
	return q->error ? fail_damaged(q) : ret;
}

void query_damaged(struct query *q)
{
	q->error = SQLITE_CORRUPT;
}

int64_t query_get_int(struct query *q, int64_t min, int64_t max)
{
	int64_t v = sqlite3_column_int64(q->stmt, q->column++);
	if (v >= min && v <= max)
		return v;
	query_damaged(q);
	return 0;
}

uint32_t query_get_u32(struct query *q)
{
	return (uint32_t)query_get_int(q, 0, UINT32_MAX);
}

uint64_t query_get_size(struct query *q)
{
	return (uint64_t)query_get_int(q, 0, INT64_MAX);
}

int64_t query_get_ms(struct query *q)
{
	return query_get_int(q, INT64_MIN, INT64_MAX);
}

struct fh_id query_get_id(struct query *q)
{
	struct fh_id id = { { 0 } };
	if (sqlite3_column_type(q->stmt, q->column) == SQLITE_NULL)
		q->column++;
	else
		query_get_bytes(q, id.b, sizeof id.b);
	return id;
}

void query_get_bytes(struct query *q, void *ret_data, size_t len)
{
	const void *data = sqlite3_column_blob(q->stmt, q->column);
	if (data && (size_t)sqlite3_column_bytes(q->stmt, q->column) == len)
		memcpy(ret_data, data, len);
	else
		query_damaged(q);
	q->column++;
}

void query_get_chars(struct query *q, char *ret_text, size_t size)
{
	const unsigned char *text = sqlite3_column_text(q->stmt, q->column);
	size_t len = (size_t)sqlite3_column_bytes(q->stmt, q->column++);
	*ret_text = '\0';
	if (len >= size || (len && !text)) {
		query_damaged(q);
		return;
	}
	if (len)
		memcpy(ret_text, text, len);
	ret_text[len] = '\0';
}

int query_get_text(struct query *q, char **ret_text)
{
	int column = q->column++;
	*ret_text = NULL;
	if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
		return 0;
	const char *text = (const char *)sqlite3_column_text(q->stmt, column);
	*ret_text = text ? fh_strdup(text) : NULL;
	return *ret_text ? 0 : FH_ENOMEM;
}

int query_get_blob(struct query *q, struct blob **ret_blob)
{
	int column = q->column++;
	*ret_blob = NULL;
	if (sqlite3_column_type(q->stmt, column) == SQLITE_NULL)
		return 0;
	const void *data = sqlite3_column_blob(q->stmt, column);
	size_t len = (size_t)sqlite3_column_bytes(q->stmt, column);
	if (data || len == 0)
		*ret_blob = blob_copy(data, len);
	return *ret_blob ? 0 : FH_ENOMEM;
}
