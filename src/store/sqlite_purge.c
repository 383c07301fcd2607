/* Deletes what is old, in the order of finishing, a bounded number of rows a call:
 *
 *  - results: the row of a result is emptied and its payload deleted; `purged_seq` says how far;
 *  - records: the emptied row and the task go; a group counts what is left of it;
 *  - groups without tasks, idempotency rows.
 *
 * Each walk stops at the first row that is not old enough. A row with a time that is still to come
 * was written by a wall clock that was ahead; it is older than the rows behind it, so it goes with
 * the first of them that is old enough. To look on for that one is part of the bounded step.
 * Failure modes: none of its own. */
#include "store/sqlite_db.h"

struct purge {
	struct db *db;
	int64_t now_ms;
	uint32_t left; /* rows that may be deleted or looked at */
	bool more;
};

struct finished {
	uint64_t seq;
	struct fh_id task, group;
	enum task_state state;
	int64_t finished_ms;
};

/* Number and time of the first row behind `after`. FH_ENOTFOUND. */
static int next_row(struct db *db, enum sql sql, uint64_t after, uint64_t *ret_no, int64_t *ret_ms)
{
	struct query q = query_on(db, sql);
	query_size(&q, after);
	int ret = query_one(&q);
	if (ret)
		return ret;
	*ret_no = query_get_size(&q);
	*ret_ms = query_get_ms(&q);
	return query_end(&q, 0);
}

/* From row `no`, whose time is still to come: whether one behind it is old enough. */
static int look_on(struct purge *p, enum sql sql, struct db_purge_walk *w, uint64_t no,
		   int64_t before_ms)
{
	if (w->seen < no)
		w->seen = no;
	for (; p->left > 0; p->left--) {
		uint64_t next;
		int64_t ms;
		int ret = next_row(p->db, sql, w->seen, &next, &ms);
		if (ret == FH_ENOTFOUND)
			w->seen = 0; /* from the start again: their times may have come by then */
		if (ret)
			return ret == FH_ENOTFOUND ? 0 : ret;
		if (ms < before_ms)
			w->old = next;
		if (ms <= p->now_ms)
			return 0;
		w->seen = next;
	}
	p->more = true;
	return 0;
}

/* Whether row `no` goes now. */
static int goes(struct purge *p, enum sql sql, struct db_purge_walk *w, uint64_t no, int64_t ms,
		int64_t before_ms, bool *ret_goes)
{
	int ret = 0;
	if (no > w->old && ms > p->now_ms)
		ret = look_on(p, sql, w, no, before_ms);
	*ret_goes = no <= w->old || ms < before_ms;
	if (!*ret_goes || ret)
		return ret;
	if (p->left == 0) {
		p->more = true;
		*ret_goes = false;
		return 0;
	}
	p->left--;
	return 0;
}

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

/* Purges finished tasks: results (the walk moves on by itself) or records (the first row goes each
 * time). */
static int purge_finished(struct purge *p, bool records, int64_t before_ms)
{
	struct db *db = p->db;
	struct db_purge_walk *w = records ? &db->records : &db->results;
	for (;;) {
		struct finished f;
		bool go;
		int ret = next_finished(db, records ? 0 : db->server.purged_seq, &f);
		if (ret)
			return ret == FH_ENOTFOUND ? 0 : ret;
		ret = goes(p, SQL_NEXT_FINISHED_MS, w, f.seq, f.finished_ms, before_ms, &go);
		if (ret || !go)
			return ret;
		ret = records ? purge_record(db, &f) : purge_result(db, &f);
		if (ret)
			return ret;
	}
}

static int purge_groups(struct purge *p, int64_t before_ms)
{
	struct db *db = p->db;
	for (;;) {
		struct query q = query_on(db, SQL_EMPTY_GROUP);
		query_int(&q, before_ms);
		int ret = query_one(&q);
		if (ret)
			return ret == FH_ENOTFOUND ? 0 : ret;
		struct fh_id id = query_get_id(&q);
		ret = query_end(&q, 0);
		if (ret || p->left == 0) {
			p->more |= !ret;
			return ret;
		}
		ret = run_id(db, SQL_DELETE_GROUP, &id);
		if (ret)
			return ret;
		db->server.groups--;
		p->left--;
	}
}

static int purge_keys(struct purge *p, int64_t before_ms)
{
	for (;;) {
		uint64_t no;
		int64_t created_ms;
		bool go;
		int ret = next_row(p->db, SQL_NEXT_KEY_MS, 0, &no, &created_ms);
		if (ret)
			return ret == FH_ENOTFOUND ? 0 : ret;
		ret = goes(p, SQL_NEXT_KEY_MS, &p->db->keys, no, created_ms, before_ms, &go);
		if (ret || !go)
			return ret;
		ret = run_seq(p->db, SQL_DELETE_KEY, no);
		if (ret)
			return ret;
	}
}

int db_purge(struct db *db, struct store_purge *call)
{
	struct purge p = { .db = db, .now_ms = call->now_ms, .left = call->max };
	int ret = purge_finished(&p, false, call->results_before_ms);
	if (!ret)
		ret = purge_finished(&p, true, call->records_before_ms);
	if (!ret)
		ret = purge_groups(&p, call->records_before_ms);
	if (!ret)
		ret = purge_keys(&p, call->keys_before_ms);
	db->dirty |= p.left < call->max;
	call->ret_more = p.more;
	return ret;
}
