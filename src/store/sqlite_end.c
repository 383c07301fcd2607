/* Final states. Happy path: look where the task stands, end its row (which takes it out of every
 * index of what waits), append its result under the next number of finishing, count. A group's
 * counters are added up over neighbours of one group and written when the group changes.
 * Failure modes: the task is not there or final already, and nothing is written for it; counters
 * that a damaged row makes wrong. */
#include "base/mem.h"
#include "store/sqlite_db.h"

int db_group_ends_flush(struct db *db, struct db_group_ends *ends)
{
	struct db_group_ends e = *ends;
	*ends = (struct db_group_ends){ 0 };
	if (fh_id_is_zero(e.group))
		return 0;
	struct query q = query_on(db, SQL_GROUP_END);
	query_id(&q, &e.group);
	query_size(&q, e.counts[TASK_COMPLETED]);
	query_size(&q, e.counts[TASK_FAILED]);
	query_size(&q, e.counts[TASK_CANCELLED]);
	return query_run_one(&q);
}

static int write_end(struct db *db, const struct fh_id *id, const struct db_place *place,
		     const struct task_result *result)
{
	struct query q = query_on(db, SQL_END_TASK);
	query_int(&q, result->state);
	query_size(&q, db->server.finish_seq);
	db_bind_tally(&q, &place->tally);
	query_id(&q, id);
	int ret = query_run_one(&q);
	if (ret)
		return ret;
	q = query_on(db, SQL_INSERT_RESULT);
	query_size(&q, db->server.finish_seq);
	query_id(&q, id);
	query_id_or_null(&q, &place->group);
	db_bind_result(&q, result);
	return query_run_fresh(&q);
}

int db_end_task(struct db *db, const struct fh_id *id, const struct db_place *place,
		const struct task_result *result, struct db_group_ends *ends,
		uint64_t *ret_finish_seq)
{
	if (place->lane->lane.live == 0 || db->server.live_bytes < place->payload_size)
		return db_fail_damaged(db, "there are more queued tasks than were counted");
	db->server.finish_seq++;
	int ret = write_end(db, id, place, result);
	if (!ret && !fh_id_equal(ends->group, place->group))
		ret = db_group_ends_flush(db, ends);
	if (ret)
		return ret;
	ends->group = place->group;
	ends->counts[result->state]++;
	db->server.counts[TASK_QUEUED]--;
	db->server.counts[result->state]++;
	db->server.live_bytes -= place->payload_size;
	place->lane->lane.live--;
	db->dirty = true;
	claims_drop(&db->claims, *id);
	*ret_finish_seq = db->server.finish_seq;
	return 0;
}

/* FH_ENOTFOUND, FH_EFINAL, FH_EIO. */
static int finish(struct db *db, struct store_finish_item *item, struct db_group_ends *ends)
{
	struct db_place place;
	enum task_state state;
	int ret = db_find_place(db, &item->task, &state, &place);
	if (ret)
		return ret;
	place.tally = item->tally;
	return db_end_task(db, &item->task, &place, item->result, ends, &item->ret_finish_seq);
}

int db_finish(struct db *db, struct store_finish *call)
{
	struct db_group_ends ends = { 0 };
	for (uint32_t i = 0; i < call->count; i++) {
		call->items[i].ret = finish(db, &call->items[i], &ends);
		if (call->items[i].ret == FH_EIO)
			return FH_EIO;
	}
	return db_group_ends_flush(db, &ends);
}

int db_cancel(struct db *db, struct store_cancel *call)
{
	struct db_place place;
	struct db_group_ends ends = { 0 };
	if (claims_get(&db->claims, call->task))
		return FH_EBUSY;
	int ret = db_find_place(db, &call->task, &call->ret_state, &place);
	if (ret)
		return ret;
	const struct task_result result = {
		.state = TASK_CANCELLED,
		.reason = REASON_CANCELLED,
		.finished_ms = call->now_ms,
	};
	ret = db_end_task(db, &call->task, &place, &result, &ends, &call->ret_finish_seq);
	if (!ret)
		ret = db_group_ends_flush(db, &ends);
	call->ret_state = TASK_CANCELLED;
	call->ret_group = place.group;
	lane_name(&place.lane->lane, &call->ret_account, call->ret_class_key);
	call->ret_payload_size = place.payload_size;
	return ret;
}

/* Finds which tasks expire, and when the next one will, over what nobody has claimed. The ids come
 * first: a scan must not run over an index that its own updates change. */
static int find_expired(struct db *db, struct store_expire *call)
{
	struct query q = query_on(db, SQL_SCAN_EXPIRING);
	bool row;
	int ret;
	call->ret_next_expiry_ms = 0;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		struct fh_id id = query_get_id(&q);
		int64_t expires_at_ms = query_get_ms(&q);
		if (claims_get(&db->claims, id))
			continue;
		if (expires_at_ms > call->now_ms || call->ret_count == call->max) {
			call->ret_next_expiry_ms = expires_at_ms;
			return query_end(&q, 0);
		}
		call->ret_expired[call->ret_count++].task = id;
	}
	return ret;
}

static int expire(struct db *db, struct store_expired *e, int64_t now_ms,
		  struct db_group_ends *ends)
{
	struct db_place place;
	enum task_state state;
	int ret = db_find_place(db, &e->task, &state, &place);
	if (ret)
		return ret == FH_EIO ? ret : db_fail_damaged(db, "an index names no waiting task");
	const struct task_result result = {
		.state = TASK_FAILED,
		.reason = REASON_EXPIRED,
		.finished_ms = now_ms,
	};
	e->group = place.group;
	lane_name(&place.lane->lane, &e->account, e->class_key);
	e->payload_size = place.payload_size;
	return db_end_task(db, &e->task, &place, &result, ends, &e->finish_seq);
}

int db_expire(struct db *db, struct store_expire *call)
{
	struct db_group_ends ends = { 0 };
	uint64_t live = db->server.counts[TASK_QUEUED];
	call->ret_expired =
		fh_calloc(live < call->max ? live : call->max, sizeof *call->ret_expired);
	if (!call->ret_expired)
		return FH_ENOMEM;
	int ret = find_expired(db, call);
	for (uint32_t i = 0; i < call->ret_count && !ret; i++)
		ret = expire(db, &call->ret_expired[i], call->now_ms, &ends);
	return ret ? ret : db_group_ends_flush(db, &ends);
}
