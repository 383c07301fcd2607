/* The SQLite database from inside: what is open, and the calls on it. Used by one thread at a time:
 * by the opener until the store thread runs, then by the store thread alone.
 *
 * Every function that returns FH_EIO has written the reason to `db->failure`: the medium has
 * failed, the transaction must not be committed and nothing of it may be said. Everything else is
 * an answer about one call, which has then written nothing. */
#ifndef FARHAND_STORE_SQLITE_DB_H
#define FARHAND_STORE_SQLITE_DB_H

#include <sys/types.h>

#include "store/claims.h"
#include "store/sqlite_options.h"
#include "store/sqlite_query.h"
#include "store/store.h"

enum { DB_PAGE_SIZE = 4096 };

/* The one row of the table `server`, written with every commit that changed something. */
struct db_server {
	uint32_t generation;
	bool clean;
	uint64_t counts[TASK_STATE_COUNT];
	uint64_t live_bytes;
	uint64_t functions, groups;
	uint64_t finish_seq; /* the last one that was given */
	uint64_t purged_seq; /* results up to this one are gone */
	uint64_t payload_no; /* the last one that was given */
};

/* Where a purge of rows, in the order of writing, stands: it may go on up to `old`; what is behind
 * that up to `seen` was dated by a clock that was ahead. */
struct db_purge_walk {
	uint64_t old, seen;
};

struct db {
	sqlite3 *handle;
	char *path;
	int lock_fd; /* -1: none */
	dev_t device;
	ino_t inode;
	sqlite3_stmt *stmts[SQL_COUNT];
	struct claims claims;
	struct db_server server;
	uint32_t worker_count; /* rows of `workers` */
	struct db_purge_walk results, records, keys;
	bool dirty;	  /* this transaction has written something */
	int wal_pages;	  /* in the write-ahead log after the last commit */
	uint64_t commits; /* since start */
	struct fh_err failure;
};

/* sqlite_open.c */

/* See store_open_sqlite(). The generation is durable when this returns. */
int db_open(struct db *db, const char *dir, struct store_recovery *ret_recovery,
	    struct fh_err *err) FH_MUST_USE;
/* Closes what is open; `orderly` records it. After a failure nothing more is written. */
void db_close(struct db *db, bool orderly);
/* sqlite_recover.c: reads what the last commit left and raises the generation. */
int db_recover(struct db *db, struct store_recovery *ret_recovery) FH_MUST_USE;
/* Writes "<path>: <what>: <why>" to db->failure. Returns FH_EIO. */
int db_fail(struct db *db, const char *what);
/* The same for a database whose content makes no sense. */
int db_fail_damaged(struct db *db, const char *what);

/* sqlite_batch.c */

/* Executes the calls in order as one transaction and makes it durable, until those that read have
 * brought more than `max_bytes` into memory (`ret_bytes`); the others are moved to `ret_rest`.
 * FH_EIO: none of it counts. */
int db_commit_batch(struct db *db, struct list *ops, uint64_t max_bytes, struct list *ret_rest,
		    uint64_t *ret_bytes) FH_MUST_USE;
/* Begins and commits a transaction. */
int db_begin(struct db *db) FH_MUST_USE;
int db_commit(struct db *db) FH_MUST_USE;
/* Moves the write-ahead log into the database when it is long. Call it when everybody has been
 * told: it takes milliseconds. */
int db_checkpoint(struct db *db) FH_MUST_USE;

/* sqlite_record.c: records to parameters, columns to records. FH_ENOMEM; nothing is left over. */

void db_bind_tally(struct query *q, const struct task_tally *tally);
/* `buffer` holds a text that is bound. */
void db_bind_task(struct query *q, const struct task_rec *t, const struct claims_lane *lane,
		  struct options_text *buffer);
void db_bind_function(struct query *q, const struct function_rec *f, struct options_text *buffer);
void db_bind_result(struct query *q, const struct task_result *r);
/* Without what the row of a result says: reason, times, size. */
int db_read_task(struct query *q, struct task_rec *ret_task) FH_MUST_USE;
int db_read_function(struct query *q, struct function_rec *ret_function) FH_MUST_USE;
/* `t` is the final task of this result and gets the rest of its record. */
int db_read_result(struct query *q, struct task_rec *t, struct task_result *ret_result) FH_MUST_USE;
int db_read_group(struct query *q, struct group_rec *ret_group) FH_MUST_USE;

/* The next column as a lane; NULL is noted in the query as damage. */
struct claims_lane *db_read_lane(struct query *q);

/* Where a QUEUED task stands: what every transition has to know. */
struct db_place {
	struct claims_lane *lane;
	struct lane_position position;
	struct fh_id group;
	uint64_t payload_size;
	/* Not known of a claimed task: */
	int64_t due_ms; /* 0: ready */
	struct task_tally tally;
};
/* From its claim, else from its row. FH_ENOTFOUND; FH_EFINAL, and only the state is set; FH_EIO. */
int db_find_place(struct db *db, const struct fh_id *id, enum task_state *ret_state,
		  struct db_place *ret_place) FH_MUST_USE;

/* sqlite_end.c: final states */

/* What is still to be added to a group's row; flushed when the group changes. */
struct db_group_ends {
	struct fh_id group;
	uint64_t counts[TASK_STATE_COUNT];
};
int db_group_ends_flush(struct db *db, struct db_group_ends *ends) FH_MUST_USE;
/* Records a final state. `place` has the new tally. */
int db_end_task(struct db *db, const struct fh_id *id, const struct db_place *place,
		const struct task_result *result, struct db_group_ends *ends,
		uint64_t *ret_finish_seq) FH_MUST_USE;

int db_finish(struct db *db, struct store_finish *call) FH_MUST_USE;
int db_cancel(struct db *db, struct store_cancel *call) FH_MUST_USE;
int db_expire(struct db *db, struct store_expire *call) FH_MUST_USE;

/* sqlite_write.c */
int db_put_function(struct db *db, struct store_put_function *call) FH_MUST_USE;
int db_put_group(struct db *db, struct store_put_group *call) FH_MUST_USE;
int db_submit(struct db *db, struct store_submit *call) FH_MUST_USE;
int db_retry(struct db *db, struct store_retry *call) FH_MUST_USE;
int db_start(struct db *db, struct store_start *call) FH_MUST_USE;
int db_note_worker(struct db *db, const struct store_note_worker *call) FH_MUST_USE;

/* sqlite_queue.c */
int db_claim(struct db *db, struct store_claim *call) FH_MUST_USE;
int db_take(struct db *db, struct store_take *call) FH_MUST_USE;
int db_unclaim(struct db *db, struct store_unclaim *call) FH_MUST_USE;

/* sqlite_purge.c */
int db_purge(struct db *db, struct store_purge *call) FH_MUST_USE;

/* sqlite_read.c */

/* The time in the first column of the first row; 0 when there is none. */
int db_first_ms(struct db *db, enum sql sql, int64_t *ret_ms) FH_MUST_USE;
int db_get_function(struct db *db, struct store_get_function *call) FH_MUST_USE;
int db_list_functions(struct db *db, struct store_list_functions *call) FH_MUST_USE;
int db_get_task(struct db *db, struct store_get_task *call) FH_MUST_USE;
int db_get_tasks(struct db *db, struct store_get_tasks *call) FH_MUST_USE;
int db_list_finished(struct db *db, struct store_list_finished *call) FH_MUST_USE;
int db_get_group(struct db *db, struct store_get_group *call) FH_MUST_USE;
int db_stats(struct db *db, struct store_stats *call) FH_MUST_USE;

#endif
