/* The calls that write what a client or a worker brought: functions, groups, submissions, attempts
 * that are over, workers. Happy path: look, then write; the counters follow in memory and are
 * written with the commit. Failure modes: what store.h says about the call, and then nothing of it
 * was written. */
#include "base/mem.h"
#include "store/op.h"
#include "store/sqlite_db.h"

#include <string.h>

int db_put_function(struct db *db, struct store_put_function *call)
{
	struct query q = query_on(db, SQL_SELECT_FUNCTION_ID);
	query_bytes(&q, call->function->digest, sizeof call->function->digest);
	int ret = query_one(&q);
	if (ret == 0) {
		call->ret_id = query_get_id(&q);
		call->ret_created = false;
		return query_end(&q, 0);
	}
	if (ret != FH_ENOTFOUND)
		return ret;
	struct options_text buffer;
	q = query_on(db, SQL_INSERT_FUNCTION);
	db_bind_function(&q, call->function, &buffer);
	ret = query_run(&q);
	if (ret)
		return ret;
	db->server.functions++;
	db->dirty = true;
	call->ret_id = call->function->id;
	call->ret_created = true;
	return 0;
}

static int read_key(struct query *q, struct store_idempotency *i)
{
	uint8_t fingerprint[sizeof i->fingerprint] = { 0 };
	query_get_bytes(q, fingerprint, sizeof fingerprint);
	if (memcmp(fingerprint, i->fingerprint, sizeof fingerprint) != 0)
		return FH_ECONFLICT;
	i->ret_status = (int)query_get_int(q, INT32_MIN, INT32_MAX);
	if (query_get_text(q, &i->ret_location) || query_get_blob(q, &i->ret_response))
		return FH_ENOMEM;
	return FH_EREPLAY;
}

/* 0: the key is new, or there is none. */
static int check_key(struct db *db, struct store_idempotency *i)
{
	if (!i)
		return 0;
	struct query q = query_on(db, SQL_SELECT_KEY);
	query_int(&q, i->account);
	query_text(&q, i->key);
	int ret = query_one(&q);
	if (ret)
		return ret == FH_ENOTFOUND ? 0 : ret;
	return query_end(&q, read_key(&q, i));
}

static int insert_key(struct db *db, const struct store_idempotency *i)
{
	if (!i)
		return 0;
	struct query q = query_on(db, SQL_INSERT_KEY);
	query_int(&q, i->account);
	query_text(&q, i->key);
	query_bytes(&q, i->fingerprint, sizeof i->fingerprint);
	query_int(&q, i->created_ms);
	query_int(&q, i->status);
	query_text(&q, i->location);
	query_blob(&q, i->response);
	return query_run(&q);
}

static int has_group(struct db *db, const struct fh_id *id)
{
	struct query q = query_on(db, SQL_HAS_GROUP);
	query_id(&q, id);
	int ret = query_one(&q);
	return ret ? ret : query_end(&q, 0);
}

static int insert_group(struct db *db, const struct group_rec *g, uint32_t tasks)
{
	struct query q = query_on(db, SQL_INSERT_GROUP);
	query_id(&q, &g->id);
	query_text(&q, g->name);
	query_text(&q, g->tags);
	query_int(&q, g->account);
	query_int(&q, g->created_ms);
	query_int(&q, tasks);
	int ret = query_run(&q);
	if (ret)
		return ret;
	db->server.groups++;
	db->dirty = true;
	return 0;
}

int db_put_group(struct db *db, struct store_put_group *call)
{
	int ret = check_key(db, call->idempotency);
	if (!ret)
		ret = insert_group(db, call->group, 0);
	return ret ? ret : insert_key(db, call->idempotency);
}

/* Whether the group allows the submission, before anything is written. */
static int check_group(struct db *db, const struct store_submit *call)
{
	if (call->new_group) {
		int ret = has_group(db, &call->new_group->id);
		return ret == 0 ? FH_EEXISTS : ret == FH_ENOTFOUND ? 0 : ret;
	}
	if (call->count == 0 || fh_id_is_zero(call->items[0].task->group_id))
		return 0;
	return has_group(db, &call->items[0].task->group_id);
}

static int write_group(struct db *db, const struct store_submit *call)
{
	if (call->new_group)
		return insert_group(db, call->new_group, call->count);
	if (call->count == 0 || fh_id_is_zero(call->items[0].task->group_id))
		return 0;
	struct query q = query_on(db, SQL_GROUP_ADD);
	query_id(&q, &call->items[0].task->group_id);
	query_int(&q, call->count);
	return query_run_one(&q);
}

static const char *class_of(const struct store_submit_item *item)
{
	return item->class_key ? item->class_key : "";
}

/* The lane of a task, made if it is not there. It stays, whatever becomes of the call. */
static int make_lane(struct db *db, const struct store_submit_item *item,
		     struct claims_lane **ret_lane)
{
	uint32_t account = item->task->account;
	*ret_lane = claims_find_lane(&db->claims, account, class_of(item));
	if (*ret_lane)
		return 0;
	int ret = claims_add_lane(&db->claims, account, class_of(item), ret_lane);
	if (ret)
		return ret;
	struct query q = query_on(db, SQL_PUT_LANE);
	query_int(&q, (*ret_lane)->no);
	query_int(&q, account);
	query_text(&q, class_of(item));
	return query_run(&q);
}

static int insert_rows(struct db *db, const struct task_rec *t, const struct claims_lane *lane,
		       uint64_t payload_no)
{
	struct options_text buffer;
	struct query q = query_on(db, SQL_INSERT_TASK);
	db_bind_task(&q, t, lane, &buffer);
	query_int_or_null(&q, store_due_ms(t) ? 0 : lane->no);
	query_int_or_null(&q, store_due_ms(t));
	query_size(&q, payload_no);
	int ret = query_run(&q);
	if (ret)
		return ret;
	q = query_on(db, SQL_INSERT_PAYLOAD);
	query_size(&q, payload_no);
	query_blob(&q, t->payload);
	return query_run_fresh(&q);
}

/* Memory comes first, because it may fail when nothing else can. */
static int insert_task(struct db *db, const struct store_submit_item *item, uint64_t payload_no)
{
	const struct task_rec *t = item->task;
	struct claims_lane *lane;
	int ret = make_lane(db, item, &lane);
	if (ret)
		return ret;
	struct lane_position position = { -(int64_t)t->options.priority, t->id };
	const struct claim claim = { lane, position.rank, t->group_id, t->payload->len };
	if (item->claim)
		ret = claims_add(&db->claims, t->id, &claim);
	if (ret)
		return ret;
	ret = insert_rows(db, t, lane, payload_no);
	if (ret && item->claim)
		claims_drop(&db->claims, t->id);
	if (ret)
		return ret;
	lane->lane.live++;
	if (!item->claim)
		claims_rewind(lane, position);
	return 0;
}

/* Takes back what insert_task() did. */
static int delete_task(struct db *db, const struct store_submit_item *item, uint64_t payload_no)
{
	const struct task_rec *t = item->task;
	claims_find_lane(&db->claims, t->account, class_of(item))->lane.live--;
	claims_drop(&db->claims, t->id);
	struct query q = query_on(db, SQL_DELETE_TASK);
	query_id(&q, &t->id);
	int ret = query_run(&q);
	if (ret)
		return ret;
	q = query_on(db, SQL_DELETE_PAYLOAD);
	query_size(&q, payload_no);
	return query_run(&q);
}

/* All or none: what fails (an id that is there already, no memory) takes back the tasks before it.
 */
static int insert_tasks(struct db *db, const struct store_submit *call)
{
	uint64_t no = db->server.payload_no;
	uint32_t done = 0;
	int ret = 0;
	for (; done < call->count && !ret; done += !ret)
		ret = insert_task(db, &call->items[done], no + 1 + done);
	for (uint32_t i = 0; i < done && ret && ret != FH_EIO; i++)
		if (delete_task(db, &call->items[i], no + 1 + i))
			return FH_EIO;
	return ret;
}

int db_submit(struct db *db, struct store_submit *call)
{
	int ret = check_key(db, call->idempotency);
	if (!ret && call->only_key)
		return FH_ENOTFOUND;
	if (!ret)
		ret = check_group(db, call);
	if (!ret)
		ret = insert_tasks(db, call);
	if (ret)
		return ret;
	if (write_group(db, call) || insert_key(db, call->idempotency))
		return FH_EIO;
	for (uint32_t i = 0; i < call->count; i++)
		db->server.live_bytes += call->items[i].task->payload->len;
	db->server.counts[TASK_QUEUED] += call->count;
	db->server.payload_no += call->count;
	db->dirty = true;
	return 0;
}

static int retry(struct db *db, const struct store_retry_item *item)
{
	struct db_place place;
	enum task_state state;
	int ret = db_find_place(db, &item->task, &state, &place);
	if (ret)
		return ret;
	struct query q = query_on(db, SQL_RETRY_TASK);
	query_int(&q, item->not_before_ms);
	db_bind_tally(&q, &item->tally);
	query_id(&q, &item->task);
	ret = query_run_one(&q);
	if (ret)
		return ret;
	db->dirty = true;
	if (item->release)
		claims_drop(&db->claims, item->task);
	if (!item->not_before_ms)
		claims_rewind(place.lane, place.position);
	return 0;
}

int db_retry(struct db *db, struct store_retry *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		call->items[i].ret = retry(db, &call->items[i]);
		if (call->items[i].ret == FH_EIO)
			return FH_EIO;
	}
	return 0;
}

/* FH_ENOTFOUND: no row. */
static int has_worker(struct db *db, const struct fh_id *instance)
{
	struct query q = query_on(db, SQL_HAS_WORKER);
	query_id(&q, instance);
	int ret = query_one(&q);
	return ret ? ret : query_end(&q, 0);
}

int db_note_worker(struct db *db, const struct store_note_worker *call)
{
	int ret = has_worker(db, &call->instance);
	if (ret && ret != FH_ENOTFOUND)
		return ret;
	bool known = ret == 0;
	if (known == call->present)
		return 0;
	if (call->present && db->worker_count == STORE_WORKERS_MAX)
		return FH_ELIMIT;
	struct query q = query_on(db, call->present ? SQL_INSERT_WORKER : SQL_DELETE_WORKER);
	query_id(&q, &call->instance);
	ret = query_run_one(&q);
	if (ret)
		return ret;
	db->worker_count += call->present ? 1 : UINT32_MAX;
	db->dirty = true;
	return 0;
}

int db_start(struct db *db, struct store_start *call)
{
	struct db_place place;
	enum task_state state;
	int ret = db_find_place(db, &call->task, &state, &place);
	if (ret)
		return ret;
	struct query q = query_on(db, SQL_START_TASK);
	query_id(&q, &call->task);
	query_int(&q, call->attempt);
	db->dirty = true;
	return query_run_one(&q);
}
