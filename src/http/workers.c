/* Workers: shown page by page or alone, told to take no more tasks, or to take them again.
 *
 * Failure modes: an unknown worker is 404; one that was away too long is unknown. */
#include <string.h>

#include "http/handlers.h"
#include "http/json_in.h"
#include "http/text.h"

static const char *mode_name(enum call_worker_mode mode)
{
	return mode == CALL_WORKER_LOCAL ? "local" : mode == CALL_WORKER_PULL ? "pull" : "push";
}

static const char *state_name(enum call_worker_state state)
{
	return state == CALL_WORKER_ONLINE     ? "online"
	       : state == CALL_WORKER_DRAINING ? "draining"
					       : "lost";
}

/* What is 0 while it is not known. */
static void number(struct text *t, const char *name, uint64_t value)
{
	text_printf(t, ",\"%s\":", name);
	if (value)
		text_u64(t, value);
	else
		text_str(t, "null");
}

static void count(struct text *t, const char *name, uint64_t value)
{
	text_printf(t, ",\"%s\":", name);
	text_u64(t, value);
}

/* "gpu=1,site=lab" as an object. */
static void labels(struct text *t, const char *text)
{
	const char *comma = "";
	text_str(t, ",\"labels\":{");
	for (const char *at = text ? text : ""; *at; comma = ",") {
		size_t len = strcspn(at, ","), name = strcspn(at, "=,");
		size_t value = name < len ? name + 1 : len;
		text_str(t, comma);
		text_json(t, at, name);
		text_str(t, ":");
		text_json(t, at + value, len - value);
		at += len + (at[len] == ',');
	}
	text_str(t, "}");
}

static void render_worker(struct text *t, const struct call_worker *w)
{
	char id[FH_ID_TEXT];
	fh_id_format(w->id, id);
	text_printf(t, "{\"id\":\"%s\",\"host\":", id);
	text_json_str(t, w->host);
	text_str(t, ",\"key_name\":");
	text_json_str(t, w->key_name);
	text_printf(t, ",\"mode\":\"%s\",\"state\":\"%s\",\"runtime\":", mode_name(w->mode),
		    state_name(w->state));
	text_json_str(t, w->runtime);
	count(t, "slots", w->slots);
	count(t, "slots_busy", w->slots_busy);
	count(t, "in_flight", w->in_flight);
	number(t, "cores", w->cores);
	number(t, "mem_bytes", w->mem_bytes);
	labels(t, w->labels);
	text_str(t, ",\"connected_at\":");
	text_json_time(t, w->connected_ms);
	text_str(t, ",\"heard_at\":");
	text_json_time(t, w->heard_ms);
	count(t, "finished_total", w->finished);
	count(t, "failed_total", w->failed);
	text_printf(t, ",\"links\":{\"self\":\"/v1/workers/%s\"}}", id);
}

static uint64_t list_size(const struct call_list_workers *c)
{
	enum { MEMBERS = 512 }; /* of a worker, apart from its texts */
	uint64_t size = 0;
	for (uint32_t i = 0; i < c->ret_count; i++) {
		const struct call_worker *w = &c->ret_workers[i];
		size += MEMBERS + (w->host ? strlen(w->host) : 0);
		size += w->key_name ? strlen(w->key_name) : 0;
		size += w->labels ? 4 * strlen(w->labels) : 0; /* quoted, each name and value */
	}
	return size;
}

static void workers_got(struct exchange *x)
{
	const struct call_list_workers *c = &((struct workers_request *)x)->call;
	struct text t = { 0 };
	if (c->call.ret) {
		problem_reply_call(x, &c->call);
		return;
	}
	if (!exchange_may_send(x, list_size(c)))
		return;
	text_str(&t, "{\"items\":[");
	for (uint32_t i = 0; i < c->ret_count; i++) {
		text_str(&t, i ? "," : "");
		render_worker(&t, &c->ret_workers[i]);
	}
	page_reply(x, &t, c->ret_more, c->ret_last_no, c->limit, NULL);
}

void workers_get(struct exchange *x)
{
	struct workers_request *r = (struct workers_request *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	struct query q;
	int ret = query_init(&q, exchange_target(x));
	if (ret) {
		query_refuse(x, ret);
		return;
	}
	page_take(&in, &q, &r->call.limit, &r->call.after_no);
	if (errors.count)
		problem_reply_fields(x, &errors);
	else
		exchange_submit(x, &r->call.call, CALL_LIST_WORKERS, workers_got);
	query_release(&q);
}

static void reply(struct exchange *x, const struct call *call, const struct call_worker *w)
{
	struct text t = { 0 };
	if (call->ret) {
		problem_reply_call(x, call);
		return;
	}
	render_worker(&t, w);
	exchange_reply_json(x, 200, &t);
}

static void worker_got(struct exchange *x)
{
	const struct call_list_workers *c = &((struct workers_request *)x)->call;
	reply(x, &c->call, c->ret_workers);
}

void worker_get(struct exchange *x)
{
	struct workers_request *r = (struct workers_request *)x;
	r->call.limit = 1;
	if (path_id(x, &r->call.id))
		exchange_submit(x, &r->call.call, CALL_LIST_WORKERS, worker_got);
}

static void ordered(struct exchange *x)
{
	const struct call_order_worker *c = &((struct worker_order *)x)->call;
	reply(x, &c->call, c->ret_worker);
}

/* The body has no fields yet, and may be absent. */
static void order(struct exchange *x, enum call_worker_order what)
{
	struct worker_order *r = (struct worker_order *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	if (!path_id(x, &r->call.id))
		return;
	json_t *body = body_object(x);
	if (!body)
		return;
	json_in_object(&in, body, NULL, 0, 1, NULL);
	json_decref(body);
	r->call.order = what;
	if (errors.count)
		problem_reply_fields(x, &errors);
	else
		exchange_submit(x, &r->call.call, CALL_ORDER_WORKER, ordered);
}

void worker_drain(struct exchange *x)
{
	order(x, CALL_WORKER_DRAIN);
}

void worker_resume(struct exchange *x)
{
	order(x, CALL_WORKER_RESUME);
}
