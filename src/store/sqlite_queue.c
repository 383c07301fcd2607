/* Claims. Happy path: move what is due into its lane, read the lane's index from the cursor on,
 * take what nobody has claimed, leave the cursor at the first row that was not taken. Rows that are
 * claimed already are stepped over once. Failure modes: no memory for the answer, and then nothing
 * is claimed and the cursor is where it was. */
#include "base/mem.h"
#include "base/plant.h"
#include "store/sqlite_db.h"

#include <string.h>

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

static int make_ready(struct db *db, struct claims_lane *lane, struct lane_position p)
{
	struct query q = query_on(db, SQL_READY_TASK);
	query_id(&q, &p.id);
	db->dirty = true;
	claims_rewind(lane, p);
	return query_run_one(&q);
}

/* Moves delayed tasks that are due into their lanes. */
static int promote(struct db *db, int64_t now_ms)
{
	struct due due[PROMOTE_STEP];
	int count = PROMOTE_STEP;
	for (int total = 0; count == PROMOTE_STEP && total < PROMOTE_MAX; total += count) {
		int ret = find_due(db, now_ms, due, &count);
		for (int i = 0; i < count && !ret; i++)
			ret = make_ready(db, due[i].lane, due[i].position);
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

static int add_claim(struct db *db, struct claims_lane *lane, const struct task_rec *t)
{
	const struct claim claim = { lane, -(int64_t)t->options.priority, t->group_id,
				     t->payload_size };
	return claims_add(&db->claims, t->id, &claim);
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
	ret = fits(call, t, *bytes) ? add_claim(db, lane, t) : FH_EAGAIN;
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

static void drop_claims(struct db *db, const struct task_rec *tasks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		claims_drop(&db->claims, tasks[i].id);
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
		drop_claims(db, call->ret_tasks, call->ret_count);
	}
	return ret;
}

/* One of the named tasks, if it can be taken. FH_ENOMEM, FH_EIO. */
static int take_named(struct db *db, struct store_take *call, const struct fh_id *id)
{
	struct task_rec *t = &call->ret_tasks[call->ret_count];
	struct db_place place;
	enum task_state state;
	if (claims_get(&db->claims, *id))
		return 0;
	int ret = db_find_place(db, id, &state, &place);
	if (ret == FH_ENOTFOUND || ret == FH_EFINAL)
		return 0;
	if (ret || place.due_ms > call->now_ms)
		return ret;
	ret = read_claimed(db, id, t);
	if (ret)
		return ret;
	ret = add_claim(db, place.lane, t);
	if (ret) {
		task_rec_release(t);
		return ret;
	}
	memcpy(call->ret_class_keys[call->ret_count++], place.lane->lane.class_key,
	       sizeof *call->ret_class_keys);
	return place.due_ms ? make_ready(db, place.lane, place.position) : 0;
}

int db_take(struct db *db, struct store_take *call)
{
	uint64_t live = db->server.counts[TASK_QUEUED];
	size_t max = live < call->count ? live : call->count;
	call->ret_tasks = fh_calloc(max, sizeof *call->ret_tasks);
	call->ret_class_keys = fh_calloc(max, sizeof *call->ret_class_keys);
	int ret = call->ret_tasks && call->ret_class_keys ? 0 : FH_ENOMEM;
	for (uint32_t i = 0; i < call->count && !ret; i++)
		ret = take_named(db, call, &call->tasks[i]);
	if (ret)
		drop_claims(db, call->ret_tasks, call->ret_count);
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
