/* What a start finds.
 *
 *  - the counters of the last commit;
 *  - the workers that were noted;
 *  - the lanes, from the indexes of what waits. Their rows are counted anyway, so the number of
 *    live tasks is compared with its counter: a difference is damage that must not go unnoticed;
 *  - a new generation, durable before anything else is said.
 *
 * It reads the small indexes, never the tasks: 1,000,000 of them cost a fraction of a second.
 * Failure modes: an I/O error, a counter that disagrees. */
#include <string.h>

#include "base/mem.h"
#include "base/plant.h"
#include "store/sqlite_db.h"

/* What waits in a lane, by its number. */
struct found {
	uint64_t ready, delayed;
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

static int read_lanes(struct db *db)
{
	struct query q = query_on(db, SQL_SCAN_LANES);
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		char class_key[STORE_CLASS_KEY_SIZE];
		struct claims_lane *lane;
		uint64_t no = query_get_size(&q);
		uint32_t account = query_get_u32(&q);
		query_get_chars(&q, class_key, sizeof class_key);
		if (claims_find_lane(&db->claims, account, class_key)) {
			query_damaged(&q);
			break;
		}
		if (claims_add_lane(&db->claims, account, class_key, &lane))
			return query_end(&q, db_fail(db, fh_error_text(FH_ENOMEM)));
		if (lane->no != no) { /* a gap, or one too many, which became another one */
			query_damaged(&q);
			break;
		}
	}
	return ret ? ret : query_end(&q, 0);
}

static int count_ready(struct db *db, struct found *found)
{
	struct query q = query_on(db, SQL_COUNT_READY);
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		const struct claims_lane *lane = db_read_lane(&q);
		if (!lane)
			break;
		found[lane->no - 1].ready = query_get_size(&q);
		found[lane->no - 1].top_rank = query_get_int(&q, INT32_MIN, INT32_MAX);
	}
	return ret ? ret : query_end(&q, 0);
}

static int count_delayed(struct db *db, struct found *found)
{
	struct query q = query_on(db, SQL_SCAN_DELAYED);
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		const struct claims_lane *lane = db_read_lane(&q);
		if (!lane)
			break;
		found[lane->no - 1].delayed++;
	}
	return ret ? ret : query_end(&q, 0);
}

/* In the order of (account, class key). Returns the number of live tasks. */
static uint64_t report_lanes(struct db *db, const struct found *found, struct store_recovery *r)
{
	uint64_t live = 0;
	for (size_t i = 0; i < db->claims.lanes.len; i++) {
		struct claims_lane *lane = (struct claims_lane *)(void *)db->claims.lanes.items[i];
		const struct found *f = &found[lane->no - 1];
		lane->lane.live = f->ready + f->delayed;
		live += lane->lane.live;
		if (lane->lane.live == 0)
			continue;
		struct store_lane *to = &r->lanes[r->lane_count++];
		to->account = lane->lane.account;
		memcpy(to->class_key, lane->lane.class_key, sizeof to->class_key);
		to->live = lane->lane.live;
		to->ready = f->ready;
		to->top_priority = (int32_t)-f->top_rank;
	}
	return live;
}

static int find_lanes(struct db *db, struct store_recovery *r)
{
	int ret = read_lanes(db);
	if (ret)
		return ret;
	struct found *found = fh_calloc(db->claims.lanes.len, sizeof *found);
	if (!found)
		return db_fail(db, fh_error_text(FH_ENOMEM));
	ret = count_ready(db, found);
	if (!ret)
		ret = count_delayed(db, found);
	if (!ret && report_lanes(db, found, r) != db->server.counts[TASK_QUEUED])
		ret = db_fail_damaged(db, "the number of queued tasks disagrees with its counter");
	fh_free(found);
	return ret;
}

static int read_workers(struct db *db, struct store_recovery *r)
{
	struct query q = query_on(db, SQL_SCAN_WORKERS);
	size_t max = 0;
	bool row;
	int ret;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		if (r->worker_count == max) {
			max = max ? 2 * max : 64;
			struct fh_id *workers = fh_realloc(r->workers, max * sizeof *workers);
			if (!workers)
				return query_end(&q, db_fail(db, fh_error_text(FH_ENOMEM)));
			r->workers = workers;
		}
		r->workers[r->worker_count++] = query_get_id(&q);
	}
	db->worker_count = r->worker_count;
	return ret ? ret : query_end(&q, 0);
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
	if (!ret)
		ret = read_workers(db, &r);
	r.clean = db->server.clean;
	if (!ret)
		ret = raise_generation(db);
	if (ret) {
		store_recovery_release(&r);
		return ret;
	}
	r.generation = db->server.generation;
	r.live = db->server.counts[TASK_QUEUED];
	r.live_bytes = db->server.live_bytes;
	db->commits = 0;
	*ret_recovery = r;
	return 0;
}
