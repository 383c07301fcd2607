/* Deletes what is old, in the order of finishing, a bounded number of rows a call:
 *
 *  - results: the row of a result is emptied and its payload deleted; `purged_seq` says how far;
 *  - records: the emptied row and the task go; a group counts what is left of it;
 *  - groups without tasks, idempotency rows.
 *
 * Each walk stops at the first row that is not old enough: rows are in the order of finishing, and
 * the times in them are the dispatcher's. Failure modes: none of its own. */
#include "store/sqlite_db.h"

struct finished {
	uint64_t seq;
	struct fh_id task, group;
	enum task_state state;
	int64_t finished_ms;
};

/* The first one behind `after`. FH_ENOTFOUND. */
static int next_finished(struct db *db, uint64_t after, struct finished *ret_finished)
{
	struct query q = query_on(db, SQL_NEXT_FINISHED);
	query_size(&q, after);
	int ret = query_one(&q);
	if (ret)
		return ret;
	ret_finished->seq = query_get_size(&q);
	ret_finished->task = query_get_id(&q);
	ret_finished->group = query_get_id(&q);
	ret_finished->state =
		(enum task_state)query_get_int(&q, TASK_COMPLETED, TASK_STATE_COUNT - 1);
	ret_finished->finished_ms = query_get_ms(&q);
	return query_end(&q, 0);
}

static int run_seq(struct db *db, enum sql sql, uint64_t seq)
{
	struct query q = query_on(db, sql);
	query_size(&q, seq);
	return query_run_one(&q);
}

static int run_id(struct db *db, enum sql sql, const struct fh_id *id)
{
	struct query q = query_on(db, sql);
	query_id(&q, id);
	return query_run_one(&q);
}

static int delete_payload(struct db *db, const struct fh_id *task)
{
	struct query q = query_on(db, SQL_SELECT_PAYLOAD_NO);
	query_id(&q, task);
	int ret = query_one(&q);
	if (ret)
		return ret == FH_ENOTFOUND ? db_fail_damaged(db, "a result names a missing task")
					   : ret;
	uint64_t no = query_get_size(&q);
	ret = query_end(&q, 0);
	return ret ? ret : run_seq(db, SQL_DELETE_PAYLOAD, no);
}

static int purge_result(struct db *db, const struct finished *f)
{
	int ret = run_seq(db, SQL_EMPTY_RESULT, f->seq);
	if (!ret)
		ret = delete_payload(db, &f->task);
	db->server.purged_seq = f->seq;
	return ret;
}

static int purge_record(struct db *db, const struct finished *f)
{
	int ret = f->seq > db->server.purged_seq ? delete_payload(db, &f->task) : 0;
	if (!ret)
		ret = run_seq(db, SQL_DELETE_RESULT, f->seq);
	if (!ret)
		ret = run_id(db, SQL_DELETE_TASK, &f->task);
	if (!ret && !fh_id_is_zero(f->group))
		ret = run_id(db, SQL_GROUP_FORGET, &f->group);
	db->server.counts[f->state]--;
	return ret;
}

/* Purges finished tasks from `after` on: results (the walk moves on by itself) or records (the
 * first row goes each time). */
static int purge_finished(struct db *db, bool records, int64_t before_ms, uint32_t *left,
			  bool *more)
{
	for (;;) {
		struct finished f;
		int ret = next_finished(db, records ? 0 : db->server.purged_seq, &f);
		if (ret || f.finished_ms >= before_ms)
			return ret == FH_ENOTFOUND ? 0 : ret;
		if (*left == 0) {
			*more = true;
			return 0;
		}
		ret = records ? purge_record(db, &f) : purge_result(db, &f);
		if (ret)
			return ret;
		--*left;
	}
}

static int purge_groups(struct db *db, int64_t before_ms, uint32_t *left, bool *more)
{
	for (;;) {
		struct query q = query_on(db, SQL_EMPTY_GROUP);
		query_int(&q, before_ms);
		int ret = query_one(&q);
		if (ret)
			return ret == FH_ENOTFOUND ? 0 : ret;
		struct fh_id id = query_get_id(&q);
		ret = query_end(&q, 0);
		if (ret || *left == 0) {
			*more |= !ret;
			return ret;
		}
		ret = run_id(db, SQL_DELETE_GROUP, &id);
		if (ret)
			return ret;
		db->server.groups--;
		--*left;
	}
}

static int purge_keys(struct db *db, int64_t before_ms, uint32_t *left, bool *more)
{
	for (;;) {
		struct query q = query_on(db, SQL_OLDEST_KEY);
		int ret = query_one(&q);
		if (ret)
			return ret == FH_ENOTFOUND ? 0 : ret;
		uint64_t no = query_get_size(&q);
		int64_t created_ms = query_get_ms(&q);
		ret = query_end(&q, 0);
		if (ret || created_ms >= before_ms)
			return ret;
		if (*left == 0) {
			*more = true;
			return 0;
		}
		ret = run_seq(db, SQL_DELETE_KEY, no);
		if (ret)
			return ret;
		--*left;
	}
}

int db_purge(struct db *db, struct store_purge *call)
{
	uint32_t left = call->max;
	bool more = false;
	int ret = purge_finished(db, false, call->results_before_ms, &left, &more);
	if (!ret)
		ret = purge_finished(db, true, call->records_before_ms, &left, &more);
	if (!ret)
		ret = purge_groups(db, call->records_before_ms, &left, &more);
	if (!ret)
		ret = purge_keys(db, call->keys_before_ms, &left, &more);
	db->dirty |= left < call->max;
	call->ret_more = more;
	return ret;
}
