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

static int32_t get_i32(struct query *q)
{
	return (int32_t)query_get_int(q, INT32_MIN, INT32_MAX);
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

void db_bind_task(struct query *q, const struct task_rec *t)
{
	const struct task_options *o = &t->options;
	query_id(q, &t->id);
	query_id(q, &t->function_id);
	query_id_or_null(q, &t->group_id);
	query_int(q, t->account);
	query_int(q, -(int64_t)o->priority);
	query_int(q, t->state);
	query_int(q, t->reason);
	query_int(q, t->attempt);
	query_int(q, t->failures);
	query_int(q, t->losses);
	query_int(q, t->started_once);
	query_int(q, t->created_ms);
	query_int(q, store_due_ms(t));
	query_int(q, t->started_ms);
	query_int(q, t->finished_ms);
	query_size(q, t->finish_seq);
	query_size(q, t->payload->len);
	query_size(q, t->result_size);
	query_int(q, o->retries);
	query_int(q, o->retry_on);
	query_text(q, o->retry_classes);
	query_int(q, o->backoff_initial_ms);
	query_int(q, o->backoff_max_ms);
	query_int(q, o->backoff_factor_milli);
	query_int(q, o->timeout_ms);
	query_size(q, o->mem_bytes);
	query_int(q, o->not_before_ms);
	query_int(q, o->expires_at_ms);
	query_int(q, o->at_most_once);
	query_text(q, o->tags);
}

int db_read_task(struct query *q, struct task_rec *ret_task)
{
	struct task_rec t = { 0 };
	struct task_options *o = &t.options;
	t.id = query_get_id(q);
	t.function_id = query_get_id(q);
	t.group_id = query_get_id(q);
	t.account = query_get_u32(q);
	o->priority = (int32_t)-query_get_int(q, -INT32_MAX, INT32_MAX);
	t.state = get_state(q);
	t.reason = get_reason(q);
	t.attempt = query_get_u32(q);
	t.failures = query_get_u32(q);
	t.losses = query_get_u32(q);
	t.started_once = get_bool(q);
	t.created_ms = query_get_ms(q);
	t.not_before_ms = query_get_ms(q);
	t.started_ms = query_get_ms(q);
	t.finished_ms = query_get_ms(q);
	t.finish_seq = query_get_size(q);
	t.payload_size = query_get_size(q);
	t.result_size = query_get_size(q);
	o->retries = query_get_u32(q);
	o->retry_on = query_get_u32(q);
	int ret = query_get_text(q, &o->retry_classes);
	o->backoff_initial_ms = query_get_u32(q);
	o->backoff_max_ms = query_get_u32(q);
	o->backoff_factor_milli = query_get_u32(q);
	o->timeout_ms = query_get_u32(q);
	o->mem_bytes = query_get_size(q);
	o->not_before_ms = query_get_ms(q);
	o->expires_at_ms = query_get_ms(q);
	o->at_most_once = get_bool(q);
	if (query_get_text(q, &o->tags) || ret) {
		task_rec_release(&t);
		return FH_ENOMEM;
	}
	*ret_task = t;
	return 0;
}

void db_bind_function(struct query *q, const struct function_rec *f)
{
	const struct task_options *o = &f->defaults;
	query_id(q, &f->id);
	query_bytes(q, f->digest, sizeof f->digest);
	query_text(q, f->name);
	query_int(q, f->serializer);
	query_text(q, f->description);
	query_int(q, f->created_ms);
	query_size(q, f->payload->len);
	query_int(q, o->priority);
	query_int(q, o->retries);
	query_int(q, o->retry_on);
	query_text(q, o->retry_classes);
	query_int(q, o->backoff_initial_ms);
	query_int(q, o->backoff_max_ms);
	query_int(q, o->backoff_factor_milli);
	query_int(q, o->timeout_ms);
	query_size(q, o->mem_bytes);
	query_int(q, o->not_before_ms);
	query_int(q, o->expires_at_ms);
	query_int(q, o->at_most_once);
	query_text(q, o->tags);
	query_blob(q, f->payload);
}

int db_read_function(struct query *q, struct function_rec *ret_function)
{
	struct function_rec f = { 0 };
	struct task_options *o = &f.defaults;
	f.id = query_get_id(q);
	query_get_bytes(q, f.digest, sizeof f.digest);
	int ret = query_get_text(q, &f.name);
	f.serializer = (enum serializer)query_get_int(q, 0, SERIALIZER_COUNT - 1);
	if (query_get_text(q, &f.description))
		ret = FH_ENOMEM;
	f.created_ms = query_get_ms(q);
	f.payload_size = query_get_size(q);
	o->priority = get_i32(q);
	o->retries = query_get_u32(q);
	o->retry_on = query_get_u32(q);
	if (query_get_text(q, &o->retry_classes))
		ret = FH_ENOMEM;
	o->backoff_initial_ms = query_get_u32(q);
	o->backoff_max_ms = query_get_u32(q);
	o->backoff_factor_milli = query_get_u32(q);
	o->timeout_ms = query_get_u32(q);
	o->mem_bytes = query_get_size(q);
	o->not_before_ms = query_get_ms(q);
	o->expires_at_ms = query_get_ms(q);
	o->at_most_once = get_bool(q);
	if (query_get_text(q, &o->tags) || query_get_blob(q, &f.payload) || ret) {
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

int db_read_result(struct query *q, struct task_result *ret_result)
{
	struct task_result r = { 0 };
	r.state = get_state(q);
	r.reason = get_reason(q);
	r.started_ms = query_get_ms(q);
	r.finished_ms = query_get_ms(q);
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

int db_find_place(struct db *db, const struct fh_id *id, struct db_place *ret_place)
{
	struct query q = query_on(db, SQL_SELECT_PLACE);
	query_id(&q, id);
	int ret = query_one(&q);
	if (ret)
		return ret;
	struct db_place p = { .state = get_state(&q) };
	p.queue = (enum db_queue)query_get_int(&q, QUEUE_NONE, QUEUE_DELAYED);
	p.account = query_get_u32(&q);
	query_get_chars(&q, p.class_key, sizeof p.class_key);
	p.position.rank = query_get_int(&q, INT32_MIN, INT32_MAX);
	p.position.id = *id;
	p.group = query_get_id(&q);
	p.payload_size = query_get_size(&q);
	p.attempt = query_get_u32(&q);
	p.failures = query_get_u32(&q);
	p.losses = query_get_u32(&q);
	*ret_place = p;
	return query_end(&q, 0);
}
