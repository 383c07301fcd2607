/* Claims. Happy path: move what is due into its lane, read the lane's index from the cursor on,
 * take what nobody has claimed, leave the cursor at the first row that was not taken. Rows that are
 * claimed already are stepped over once. Failure modes: no memory for the answer, and then nothing
 * is claimed and the cursor is where it was. */
#include "base/mem.h"
#include "base/plant.h"
#include "store/sqlite_db.h"

enum { PROMOTE_MAX = 10000, PROMOTE_STEP = 128 };

struct due {
	struct claims_lane *lane;
	struct lane_position position;
};

static int find_due(struct db *db, int64_t now_ms, struct due *due, int *ret_count)
{
	struct query q = query_on(db, SQL_SCAN_DUE);
	query_int(&q, now_ms);
	query_int(&q, PROMOTE_STEP);
	bool row;
	int ret, count = 0;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		struct due *d = &due[count++];
		d->position.id = query_get_id(&q);
		d->lane = db_read_lane(&q);
		d->position.rank = query_get_int(&q, INT32_MIN, INT32_MAX);
	}
	*ret_count = count;
	return ret ? ret : query_end(&q, 0);
}

/* Moves delayed tasks that are due into their lanes. */
static int promote(struct db *db, int64_t now_ms)
{
	struct due due[PROMOTE_STEP];
	int count = PROMOTE_STEP;
	for (int total = 0; count == PROMOTE_STEP && total < PROMOTE_MAX; total += count) {
		int ret = find_due(db, now_ms, due, &count);
		for (int i = 0; i < count && !ret; i++) {
			struct query q = query_on(db, SQL_READY_TASK);
			query_id(&q, &due[i].position.id);
			ret = query_run_one(&q);
			db->dirty = true;
			claims_rewind(due[i].lane, due[i].position);
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* FH_ENOMEM, FH_EIO. */
static int read_claimed(struct db *db, const struct fh_id *id, struct task_rec *ret_task)
{
	struct query q = query_on(db, SQL_SELECT_CLAIMED);
	query_id(&q, id);
	int ret = query_one(&q);
	if (ret)
		return ret == FH_ENOTFOUND ? db_fail_damaged(db, "an index names a missing task")
					   : ret;
	ret = db_read_task(&q, ret_task);
	if (!ret)
		ret = query_get_blob(&q, &ret_task->payload);
	ret = query_end(&q, ret);
	if (ret)
		task_rec_release(ret_task);
	return ret;
}

static bool fits(const struct store_claim *call, const struct task_rec *t, uint64_t bytes)
{
	return call->ret_count == 0 ||
	       (bytes <= call->max_bytes && t->payload_size <= call->max_bytes - bytes);
}

/* Takes one more task. FH_EAGAIN: the call has what it may have. */
static int take(struct db *db, struct store_claim *call, struct claims_lane *lane,
		const struct fh_id *id, uint64_t *bytes)
{
	struct task_rec *t = &call->ret_tasks[call->ret_count];
	if (call->ret_count == call->max_count)
		return FH_EAGAIN;
	int ret = read_claimed(db, id, t);
	if (ret)
		return ret;
	const struct claim claim = { lane, -(int64_t)t->options.priority, t->group_id,
				     t->payload_size };
	ret = fits(call, t, *bytes) ? claims_add(&db->claims, *id, &claim) : FH_EAGAIN;
	if (ret) {
		task_rec_release(t);
		return ret;
	}
	*bytes += t->payload_size;
	call->ret_count++;
	return 0;
}

static int scan(struct db *db, struct store_claim *call, struct claims_lane *lane)
{
	struct query q = query_on(db, SQL_SCAN_LANE);
	struct lane_position p = lane->cursor;
	query_int(&q, lane->no);
	query_int(&q, p.rank);
	query_id(&q, &p.id);
	uint64_t bytes = 0;
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		struct lane_position at = { .rank = query_get_int(&q, INT32_MIN, INT32_MAX) };
		at.id = query_get_id(&q);
		if (!claims_get(&db->claims, at.id))
			ret = take(db, call, lane, &at.id, &bytes);
		if (ret == FH_EAGAIN) {
			call->ret_more = true;
			call->ret_more_priority = (int32_t)-at.rank;
			lane->cursor = PLANTED(REFILL_SKIPS_TASK) ? lane_position_after(at) : at;
			return query_end(&q, 0);
		}
		if (ret)
			return query_end(&q, ret);
		lane->cursor = lane_position_after(at);
	}
	return ret;
}

int db_claim(struct db *db, struct store_claim *call)
{
	call->ret_more = false;
	call->ret_more_priority = 0;
	uint64_t live = db->server.counts[TASK_QUEUED];
	call->ret_tasks =
		fh_calloc(live < call->max_count ? live : call->max_count, sizeof *call->ret_tasks);
	if (!call->ret_tasks)
		return FH_ENOMEM;
	int ret = promote(db, call->now_ms);
	if (!ret)
		ret = db_first_ms(db, SQL_NEXT_DUE, &call->ret_next_due_ms);
	struct claims_lane *lane = claims_find_lane(&db->claims, call->account, call->class_key);
	if (ret || !lane)
		return ret;
	struct lane_position from = lane->cursor;
	ret = scan(db, call, lane);
	if (ret) {
		lane->cursor = from;
		for (uint32_t i = 0; i < call->ret_count; i++)
			claims_drop(&db->claims, call->ret_tasks[i].id);
	}
	return ret;
}

int db_unclaim(struct db *db, struct store_unclaim *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		const struct claim *claim = claims_get(&db->claims, call->tasks[i]);
		if (!claim)
			continue;
		claims_rewind(claim->lane, (struct lane_position){ claim->rank, call->tasks[i] });
		claims_drop(&db->claims, call->tasks[i]);
	}
	return 0;
}
