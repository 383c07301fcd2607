/* Every statement that the SQLite store runs while it serves, prepared once, and a cursor over one
 * of them that binds and reads in order, so that no number of a column stands anywhere.
 *
 *   struct query q = query_on(db, SQL_DELETE_TASK);
 *   query_id(&q, &id);
 *   ret = query_run(&q);
 *
 * What is bound is borrowed until the query has ended. */
#ifndef FARHAND_STORE_SQLITE_QUERY_H
#define FARHAND_STORE_SQLITE_QUERY_H

#include <sqlite3.h>

#include "store/sqlite_sql.h"
#include "store/store.h"

struct db;

struct query {
	struct db *db;
	sqlite3_stmt *stmt;
	int param, column; /* bound and read so far */
	int error;	   /* the first failed bind, or what was read and makes no sense */
};

/* Prepares all of them. FH_EIO, with the failure in db. */
int queries_prepare(struct db *db) FH_MUST_USE;
void queries_finalize(struct db *db);

struct query query_on(struct db *db, enum sql sql);

/* The next parameter. NULL pointers bind NULL. */
void query_int(struct query *q, int64_t v);
void query_size(struct query *q, uint64_t v);
void query_id(struct query *q, const struct fh_id *id);
void query_text(struct query *q, const char *text);
void query_bytes(struct query *q, const void *data, size_t len);
void query_blob(struct query *q, const struct blob *b);
/* Zero binds NULL. */
void query_int_or_null(struct query *q, int64_t v);
void query_id_or_null(struct query *q, const struct fh_id *id);

/* Runs a statement without rows. FH_EEXISTS: a unique value is there already; FH_EIO: fatal. */
int query_run(struct query *q) FH_MUST_USE;

/* The same for one row that must be there: without it the database is damaged, fatal. */
int query_run_one(struct query *q) FH_MUST_USE;

/* The same for numbers that the store itself has given: one that is there already is damage, fatal.
 */
int query_run_fresh(struct query *q) FH_MUST_USE;

/* The next row, read from its first column on; without one the query has ended. FH_EIO: fatal. */
int query_next(struct query *q, bool *ret_row) FH_MUST_USE;

/* The next column. What the schema rules out (a number out of range, a blob of another length) is
 * reported by query_end(); until then the value is zero. */
int64_t query_get_int(struct query *q, int64_t min, int64_t max);
uint32_t query_get_u32(struct query *q);
uint64_t query_get_size(struct query *q);
int64_t query_get_ms(struct query *q);
struct fh_id query_get_id(struct query *q); /* NULL is the zero id */
void query_get_bytes(struct query *q, void *ret_data, size_t len);
/* Copies at most `size` - 1 characters and the terminator; NULL is "". */
void query_get_chars(struct query *q, char *ret_text, size_t size);
/* Copies that belong to the caller; NULL for NULL. FH_ENOMEM. */
int query_get_text(struct query *q, char **ret_text) FH_MUST_USE;
int query_get_blob(struct query *q, struct blob **ret_blob) FH_MUST_USE;

/* Notes that what was read makes no sense. */
void query_damaged(struct query *q);

/* Exactly one row; the query has ended when it is not there: FH_ENOTFOUND, FH_EIO. */
int query_one(struct query *q) FH_MUST_USE;

/* Ends a query that may have rows left. Returns `ret`, what became of reading them, or FH_EIO if a
 * value made no sense; fatal. */
int query_end(struct query *q, int ret) FH_MUST_USE;

#endif
