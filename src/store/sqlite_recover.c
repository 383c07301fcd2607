/* What a start finds.
 *
 *  - the counters of the last commit;
 *  - the lanes, from the indexes of what waits. Their rows are counted anyway, so the number of
 *    live tasks is compared with its counter: a difference is damage that must not go unnoticed;
 *  - a new generation, durable before anything else is said.
 *
 * It reads the small indexes, never the tasks: 1,000,000 of them cost a fraction of a second.
 * Failure modes: an I/O error, a counter that disagrees. */
#include <string.h>

#include "base/plant.h"
#include "store/sqlite_db.h"

struct found_lane {
	struct lane lane;
	uint64_t ready;
	int64_t top_rank;
};

static int read_server(struct db *db)
{
	struct db_server *s = &db->server;
	struct query q = query_on(db, SQL_SELECT_SERVER);
	int ret = query_one(&q);
	if (ret)
		return ret == FH_ENOTFOUND ? db_fail_damaged(db, "its counters are missing") : ret;
	s->generation = query_get_u32(&q);
	s->clean = query_get_int(&q, 0, 1) != 0;
	s->counts[TASK_QUEUED] = query_get_size(&q);
	s->live_bytes = query_get_size(&q);
	s->counts[TASK_COMPLETED] = query_get_size(&q);
	s->counts[TASK_FAILED] = query_get_size(&q);
	s->counts[TASK_CANCELLED] = query_get_size(&q);
	s->functions = query_get_size(&q);
	s->groups = query_get_size(&q);
	s->finish_seq = query_get_size(&q);
	s->purged_seq = query_get_size(&q);
	s->payload_no = query_get_size(&q);
	return query_end(&q, 0);
}

/* The lane that the first two columns of a row name. */
static struct found_lane *row_lane(struct query *q, struct lanes *lanes)
{
	uint32_t account = query_get_u32(q);
	char class_key[STORE_CLASS_KEY_SIZE];
	query_get_chars(q, class_key, sizeof class_key);
	return (struct found_lane *)lanes_get(lanes, account, class_key, sizeof(struct found_lane));
}

static int find_ready(struct db *db, struct lanes *lanes, uint64_t *live)
{
	struct query q = query_on(db, SQL_COUNT_READY);
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		struct found_lane *lane = row_lane(&q, lanes);
		if (!lane)
			return query_end(&q, db_fail(db, fh_error_text(FH_ENOMEM)));
		lane->ready = query_get_size(&q);
		lane->top_rank = query_get_int(&q, INT32_MIN, INT32_MAX);
		*live += lane->ready;
	}
	return ret;
}

static int find_delayed(struct db *db, struct lanes *lanes, uint64_t *live)
{
	struct query q = query_on(db, SQL_SCAN_DELAYED);
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		if (!row_lane(&q, lanes))
			return query_end(&q, db_fail(db, fh_error_text(FH_ENOMEM)));
		++*live;
	}
	return ret;
}

static int find_lanes(struct db *db, struct store_recovery *r)
{
	struct lanes lanes = { 0 };
	uint64_t live = 0;
	int ret = find_ready(db, &lanes, &live);
	if (!ret)
		ret = find_delayed(db, &lanes, &live);
	for (size_t i = 0; !ret && i < lanes.len && r->lane_count < STORE_LANES_MAX; i++) {
		const struct found_lane *from = (const struct found_lane *)lanes.items[i];
		struct store_lane *to = &r->lanes[r->lane_count++];
		to->account = from->lane.account;
		memcpy(to->class_key, from->lane.class_key, sizeof to->class_key);
		to->ready = from->ready;
		to->top_priority = (int32_t)-from->top_rank;
	}
	lanes_release(&lanes);
	if (!ret && live != db->server.counts[TASK_QUEUED])
		ret = db_fail_damaged(db, "the number of queued tasks disagrees with its counter");
	return ret;
}

static int raise_generation(struct db *db)
{
	if (db->server.generation == UINT32_MAX)
		return db_fail_damaged(db, "the generations are used up");
	db->server.generation++;
	db->server.clean = false;
	db->dirty = !PLANTED(GENERATION_NOT_DURABLE);
	int ret = db_begin(db);
	return ret ? ret : db_commit(db);
}

int db_recover(struct db *db, struct store_recovery *ret_recovery)
{
	struct store_recovery r = { 0 };
	int ret = read_server(db);
	if (!ret)
		ret = find_lanes(db, &r);
	if (!ret)
		ret = db_first_ms(db, SQL_NEXT_DUE, &r.next_due_ms);
	if (!ret)
		ret = db_first_ms(db, SQL_NEXT_EXPIRY, &r.next_expiry_ms);
	r.clean = db->server.clean;
	if (!ret)
		ret = raise_generation(db);
	if (ret)
		return ret;
	r.generation = db->server.generation;
	r.live = db->server.counts[TASK_QUEUED];
	r.live_bytes = db->server.live_bytes;
	db->commits = 0;
	*ret_recovery = r;
	return 0;
}
