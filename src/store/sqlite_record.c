/* Records as rows: one function binds and one reads the columns of a list in sqlite_sql.h, in its
 * order. Failure modes: no memory while reading (nothing is left over); values that make no sense
 * are noted in the query. */
#include "base/mem.h"
#include "store/op.h"
#include "store/sqlite_db.h"

#include <string.h>

static bool get_bool(struct query *q)
{
	return query_get_int(q, 0, 1) != 0;
}

static enum task_state get_state(struct query *q)
{
	int64_t state = query_get_int(q, 0, TASK_STATE_COUNT - 1);
	return (enum task_state)state;
}

static enum task_reason get_reason(struct query *q)
{
	return (enum task_reason)query_get_int(q, 0, REASON_COUNT - 1);
}

struct claims_lane *db_read_lane(struct query *q)
{
	struct claims_lane *lane = claims_lane_by_no(&q->db->claims, query_get_size(q));
	if (!lane)
		query_damaged(q);
	return lane;
}

static void bind_options(struct query *q, const struct task_options *o, struct options_text *buffer)
{
	query_text(q, options_write(o, buffer));
	query_text(q, o->retry_classes);
	query_text(q, o->needs);
	query_text(q, o->tags);
}

static int read_options(struct query *q, struct task_options *ret_options)
{
	struct options_text buffer;
	query_get_chars(q, buffer.text, sizeof buffer.text);
	if (options_read(buffer.text, ret_options))
		query_damaged(q);
	if (query_get_text(q, &ret_options->retry_classes) ||
	    query_get_text(q, &ret_options->needs))
		return FH_ENOMEM;
	return query_get_text(q, &ret_options->tags);
}

void db_bind_tally(struct query *q, const struct task_tally *tally)
{
	query_int(q, tally->attempt);
	query_int(q, tally->failures);
	query_int(q, tally->losses);
	query_int(q, tally->strikes);
	query_id_or_null(q, &tally->struck_by);
	query_int(q, tally->struck_by_two);
}

static struct task_tally read_tally(struct query *q)
{
	struct task_tally tally = { .attempt = query_get_u32(q) };
	tally.failures = query_get_u32(q);
	tally.losses = query_get_u32(q);
	tally.strikes = query_get_u32(q);
	tally.struck_by = query_get_id(q);
	tally.struck_by_two = get_bool(q);
	return tally;
}

/* Priority and expiry are columns, so the options are written without them. */
void db_bind_task(struct query *q, const struct task_rec *t, const struct claims_lane *lane,
		  struct options_text *buffer)
{
	struct task_options rest = t->options;
	rest.priority = 0;
	rest.expires_at_ms = 0;
	query_id(q, &t->id);
	query_id(q, &t->function_id);
	query_id_or_null(q, &t->group_id);
	query_int(q, t->account);
	query_int(q, lane->no);
	query_int(q, -(int64_t)t->options.priority);
	query_int(q, t->state);
	db_bind_tally(q, &t->tally);
	query_int(q, t->started_once);
	query_int(q, t->created_ms);
	query_int(q, store_due_ms(t));
	query_int(q, t->options.expires_at_ms);
	query_size(q, t->finish_seq);
	query_size(q, t->payload->len);
	bind_options(q, &rest, buffer);
}

int db_read_task(struct query *q, struct task_rec *ret_task)
{
	struct task_rec t = { .id = query_get_id(q) };
	t.function_id = query_get_id(q);
	t.group_id = query_get_id(q);
	t.account = query_get_u32(q);
	(void)db_read_lane(q); /* it must be one, whatever became of it since */
	int64_t rank = query_get_int(q, -INT32_MAX, INT32_MAX);
	t.state = get_state(q);
	t.tally = read_tally(q);
	t.started_once = get_bool(q);
	t.created_ms = query_get_ms(q);
	t.not_before_ms = query_get_ms(q);
	int64_t expires_at_ms = query_get_ms(q);
	t.finish_seq = query_get_size(q);
	t.payload_size = query_get_size(q);
	if (read_options(q, &t.options)) {
		task_rec_release(&t);
		return FH_ENOMEM;
	}
	t.options.priority = (int32_t)-rank;
	t.options.expires_at_ms = expires_at_ms;
	*ret_task = t;
	return 0;
}

void db_bind_function(struct query *q, const struct function_rec *f, struct options_text *buffer)
{
	query_id(q, &f->id);
	query_bytes(q, f->digest, sizeof f->digest);
	query_text(q, f->name);
	query_int(q, f->serializer);
	query_text(q, f->description);
	query_int(q, f->created_ms);
	query_size(q, f->payload->len);
	bind_options(q, &f->defaults, buffer);
	query_blob(q, f->payload);
}

int db_read_function(struct query *q, struct function_rec *ret_function)
{
	struct function_rec f = { .id = query_get_id(q) };
	query_get_bytes(q, f.digest, sizeof f.digest);
	int ret = query_get_text(q, &f.name);
	f.serializer = (enum serializer)query_get_int(q, 0, SERIALIZER_COUNT - 1);
	if (!ret)
		ret = query_get_text(q, &f.description);
	f.created_ms = query_get_ms(q);
	f.payload_size = query_get_size(q);
	if (ret || read_options(q, &f.defaults) || query_get_blob(q, &f.payload)) {
		function_rec_release(&f);
		return FH_ENOMEM;
	}
	*ret_function = f;
	return 0;
}

void db_bind_result(struct query *q, const struct task_result *r)
{
	query_int(q, r->state);
	query_int(q, r->reason);
	query_int(q, r->started_ms);
	query_int(q, r->finished_ms);
	query_size(q, r->value ? r->value->len : 0);
	query_int(q, r->deserialize_us);
	query_int(q, r->run_us);
	query_int(q, r->serialize_us);
	query_text(q, r->runtime);
	query_int(q, r->out_cut);
	query_int(q, r->err_cut);
	query_text(q, r->error_type);
	query_text(q, r->error_message);
	query_text(q, r->traceback);
	query_blob(q, r->value);
	query_blob(q, r->out);
	query_blob(q, r->err);
}

int db_read_result(struct query *q, struct task_rec *t, struct task_result *ret_result)
{
	struct task_result r = { .state = get_state(q) };
	if (r.state != t->state)
		query_damaged(q);
	t->reason = r.reason = get_reason(q);
	t->started_ms = r.started_ms = query_get_ms(q);
	t->finished_ms = r.finished_ms = query_get_ms(q);
	t->result_size = query_get_size(q);
	r.deserialize_us = query_get_u32(q);
	r.run_us = query_get_u32(q);
	r.serialize_us = query_get_u32(q);
	query_get_chars(q, r.runtime, sizeof r.runtime);
	r.out_cut = get_bool(q);
	r.err_cut = get_bool(q);
	if (query_get_text(q, &r.error_type) || query_get_text(q, &r.error_message) ||
	    query_get_text(q, &r.traceback) || query_get_blob(q, &r.value) ||
	    query_get_blob(q, &r.out) || query_get_blob(q, &r.err)) {
		task_result_release(&r);
		return FH_ENOMEM;
	}
	*ret_result = r;
	return 0;
}

int db_read_group(struct query *q, struct group_rec *ret_group)
{
	struct group_rec g = { .id = query_get_id(q) };
	if (query_get_text(q, &g.name) || query_get_text(q, &g.tags)) {
		group_rec_release(&g);
		return FH_ENOMEM;
	}
	g.account = query_get_u32(q);
	g.created_ms = query_get_ms(q);
	g.total = query_get_size(q);
	uint64_t ended = 0;
	for (int state = TASK_COMPLETED; state < TASK_STATE_COUNT; state++) {
		g.counts[state] = query_get_size(q);
		ended += g.counts[state];
	}
	g.counts[TASK_QUEUED] = g.total - ended;
	*ret_group = g;
	return 0;
}

static int read_place(struct db *db, const struct fh_id *id, enum task_state *ret_state,
		      struct db_place *ret_place)
{
	struct query q = query_on(db, SQL_SELECT_PLACE);
	query_id(&q, id);
	int ret = query_one(&q);
	if (ret)
		return ret;
	*ret_state = get_state(&q);
	ret_place->lane = db_read_lane(&q);
	ret_place->position.rank = query_get_int(&q, INT32_MIN, INT32_MAX);
	ret_place->position.id = *id;
	ret_place->due_ms = query_get_ms(&q);
	ret_place->group = query_get_id(&q);
	ret_place->payload_size = query_get_size(&q);
	ret_place->tally = read_tally(&q);
	return query_end(&q, task_state_is_final(*ret_state) ? FH_EFINAL : 0);
}

int db_find_place(struct db *db, const struct fh_id *id, enum task_state *ret_state,
		  struct db_place *ret_place)
{
	const struct claim *claim = claims_get(&db->claims, *id);
	if (!claim)
		return read_place(db, id, ret_state, ret_place);
	*ret_state = TASK_QUEUED;
	*ret_place = (struct db_place){
		.lane = claim->lane,
		.position = { claim->rank, *id },
		.group = claim->group,
		.payload_size = claim->payload_size,
	};
	return 0;
}
