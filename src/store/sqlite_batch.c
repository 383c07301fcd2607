/* Group commit: the calls of a batch, one transaction, one fsync.
 *
 *  - BEGIN IMMEDIATE, every call in order, the counters if anything was written, COMMIT. With
 *    synchronous=FULL the commit ends with the fsync of the log. A batch that only read has
 *    nothing to commit and costs no fsync.
 *  - A call that answers an error has written nothing, so it needs no savepoint.
 *  - The checkpoint is a step of its own, after everybody has been told.
 *
 * Failure modes: any error of SQLite ends the batch with FH_EIO; the transaction is not committed,
 * and whether its frames reached the disk before the error is unknown: nobody was told. */
#include <sys/stat.h>

#include "base/assert.h"
#include "store/op.h"
#include "store/sqlite_db.h"

/* 16 MB of log. More would make a start after a crash read more, fewer would write hot pages more
 * often. */
enum { CHECKPOINT_PAGES = 4096 };

int db_begin(struct db *db)
{
	struct query q = query_on(db, SQL_BEGIN);
	return query_run(&q);
}

static int write_server(struct db *db)
{
	const struct db_server *s = &db->server;
	struct query q = query_on(db, SQL_UPDATE_SERVER);
	query_int(&q, s->generation);
	query_int(&q, s->clean);
	query_size(&q, s->counts[TASK_QUEUED]);
	query_size(&q, s->live_bytes);
	query_size(&q, s->counts[TASK_COMPLETED]);
	query_size(&q, s->counts[TASK_FAILED]);
	query_size(&q, s->counts[TASK_CANCELLED]);
	query_size(&q, s->functions);
	query_size(&q, s->groups);
	query_size(&q, s->finish_seq);
	query_size(&q, s->purged_seq);
	query_size(&q, s->payload_no);
	return query_run(&q);
}

/* A file that was deleted or replaced under an open database would take every further commit to
 * nowhere. SQLite knows the absolute path. */
static int check_file(struct db *db)
{
	struct stat st;
	if (stat(sqlite3_db_filename(db->handle, "main"), &st) == 0 && st.st_dev == db->device &&
	    st.st_ino == db->inode)
		return 0;
	return fh_err_set(&db->failure, FH_EIO, "%s: the file was removed or replaced", db->path);
}

int db_commit(struct db *db)
{
	int ret = db->dirty ? check_file(db) : 0;
	if (!ret && db->dirty)
		ret = write_server(db);
	if (ret)
		return ret;
	struct query q = query_on(db, SQL_COMMIT);
	ret = query_run(&q);
	if (ret)
		return ret;
	db->commits += db->dirty;
	db->dirty = false;
	return 0;
}

static int execute(struct db *db, struct store_op *op)
{
	switch (op->kind) {
	case STORE_PUT_FUNCTION:
		return db_put_function(db, (struct store_put_function *)op);
	case STORE_GET_FUNCTION:
		return db_get_function(db, (struct store_get_function *)op);
	case STORE_LIST_FUNCTIONS:
		return db_list_functions(db, (struct store_list_functions *)op);
	case STORE_SUBMIT:
		return db_submit(db, (struct store_submit *)op);
	case STORE_FINISH:
		return db_finish(db, (struct store_finish *)op);
	case STORE_RETRY:
		return db_retry(db, (struct store_retry *)op);
	case STORE_START:
		return db_start(db, (struct store_start *)op);
	case STORE_CLAIM:
		return db_claim(db, (struct store_claim *)op);
	case STORE_TAKE:
		return db_take(db, (struct store_take *)op);
	case STORE_UNCLAIM:
		return db_unclaim(db, (struct store_unclaim *)op);
	case STORE_CANCEL:
		return db_cancel(db, (struct store_cancel *)op);
	case STORE_GET_TASK:
		return db_get_task(db, (struct store_get_task *)op);
	case STORE_GET_TASKS:
		return db_get_tasks(db, (struct store_get_tasks *)op);
	case STORE_LIST_FINISHED:
		return db_list_finished(db, (struct store_list_finished *)op);
	case STORE_PUT_GROUP:
		return db_put_group(db, (struct store_put_group *)op);
	case STORE_GET_GROUP:
		return db_get_group(db, (struct store_get_group *)op);
	case STORE_EXPIRE:
		return db_expire(db, (struct store_expire *)op);
	case STORE_PURGE:
		return db_purge(db, (struct store_purge *)op);
	case STORE_NOTE_WORKER:
		return db_note_worker(db, (struct store_note_worker *)op);
	case STORE_STATS:
		return db_stats(db, (struct store_stats *)op);
	case STORE_OP_COUNT:
		break;
	}
	FH_UNREACHABLE("no such call");
}

/* What stands behind `last` becomes a list of its own. */
static void split(struct list *ops, struct list *last, struct list *ret_rest)
{
	while (ops->prev != last) {
		struct list *link = ops->prev;
		list_remove(link);
		list_push_front(ret_rest, link);
	}
}

int db_commit_batch(struct db *db, struct list *ops, uint64_t max_bytes, struct list *ret_rest,
		    uint64_t *ret_bytes)
{
	list_init(ret_rest);
	*ret_bytes = 0;
	list_for_each (link, ops)
		store_op_reset(list_entry(link, struct store_op, link));
	int ret = db_begin(db);
	if (ret)
		return ret;
	list_for_each (link, ops) {
		struct store_op *op = list_entry(link, struct store_op, link);
		op->ret = execute(db, op);
		if (op->ret == FH_EIO)
			return FH_EIO;
		if (op->ret == FH_ENOMEM)
			store_op_release(op);
		*ret_bytes += store_op_bytes(op);
		if (*ret_bytes > max_bytes) {
			split(ops, link, ret_rest);
			break;
		}
	}
	return db_commit(db);
}

int db_checkpoint(struct db *db)
{
	if (db->wal_pages < CHECKPOINT_PAGES)
		return 0;
	db->wal_pages = 0;
	if (sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) !=
	    SQLITE_OK)
		return db_fail(db, "cannot checkpoint");
	return 0;
}
