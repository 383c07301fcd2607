/* One task: from a JSON body, or from a body that is the payload itself.
 *
 * Happy path: body -> task_fields_read() -> payload_read() -> CALL_SUBMIT -> render() -> 201.
 * Failure modes: wrong fields (422), no pickle (400), an unknown function or group (404), a full
 * queue (503); the answer is rendered before anything is stored, and stored with the task. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/access.h"
#include "http/handlers.h"
#include "http/idempotency.h"
#include "http/json_in.h"
#include "http/query.h"
#include "http/render.h"
#include "http/task_in.h"

void submit_fill(struct exchange *x, struct call_submit_item *item, struct task_fields *own_fields,
		 struct blob *own_payload)
{
	struct task_rec *task = &item->task;
	task->id = exchange_new_id(x);
	task->function_id = own_fields->function_id;
	task->group_id = own_fields->group_id;
	task->options = own_fields->options;
	task->state = TASK_QUEUED;
	task->created_ms = own_fields->now_ms;
	task->payload = own_payload;
	task->payload_size = own_payload->len;
	own_fields->options = (struct task_options){ 0 };
	item->modules = own_fields->modules;
	own_fields->modules = NULL;
	item->wait_for_worker = own_fields->wait_for_worker;
}

void submit_release(struct exchange *x)
{
	struct submit_request *r = (struct submit_request *)x;
	for (uint32_t i = 0; i < r->call.count; i++) {
		task_rec_release(&r->call.items[i].task);
		fh_free(r->call.items[i].modules);
	}
	for (size_t i = 0; i < r->slot_count; i++)
		fh_free(r->slots[i].detail);
	fh_free(r->call.items);
	fh_free(r->slots);
	group_rec_release(&r->group);
	idempotency_release(&r->call.idempotency);
}

static void render_single(struct call_submit *c)
{
	const struct task_rec *task = &c->items[0].task;
	char id[FH_ID_TEXT], location[64];
	struct text t = { 0 };
	fh_id_format(task->id, id);
	(void)snprintf(location, sizeof location, "/v1/tasks/%s", id);
	c->idempotency.status = 201;
	c->idempotency.location = fh_strdup(location);
	render_task(&t, task, NULL, TASK_FIELDS_RECORD);
	if (!t.broken)
		c->idempotency.body = blob_copy(t.data, t.len);
	text_release(&t);
}

/* 201, or 202 for a client that prefers to hear that its task is only under way (RFC 7240). */
static void reply_created(struct exchange *x, struct call_idempotency *own)
{
	const char *prefer = exchange_header(x, "Prefer");
	if (prefer && strcasestr(prefer, "respond-async") && own->status == 201) {
		exchange_set_header(x, "Preference-Applied", "respond-async");
		own->status = 202;
	}
	idempotency_reply(x, own);
}

void submit_reply(struct exchange *x)
{
	struct submit_request *r = (struct submit_request *)x;
	if (r->call.call.ret)
		problem_reply_call(x, &r->call.call);
	else
		reply_created(x, &r->call.idempotency);
}

int submit_single(struct submit_request *r, struct task_fields *own_fields,
		  struct blob *own_payload, void (*render)(struct call_submit *c),
		  void (*finish)(struct exchange *x))
{
	r->call.items = fh_calloc(1, sizeof *r->call.items);
	if (!r->call.items) {
		blob_free(&own_payload);
		return FH_ENOMEM;
	}
	r->call.count = 1;
	r->call.single = true;
	r->call.render = render;
	submit_fill(&r->x, &r->call.items[0], own_fields, own_payload);
	r->single_id = r->call.items[0].task.id;
	exchange_submit(&r->x, &r->call.call, CALL_SUBMIT, finish);
	return 0;
}

/* What remains to be checked once the fields are right: key, payload. */
static void submit_checked(struct submit_request *r, struct task_fields *own_fields,
			   struct blob *own_raw)
{
	const struct http_limits *limits = &exchange_config(&r->x)->limits;
	struct fh_err err = { "no memory for the task" };
	struct blob *payload = own_raw;
	if (!idempotency_read(&r->x, &r->call.idempotency)) {
		blob_free(&payload);
		return;
	}
	int ret = payload ? payload_check(payload, limits, &own_fields->modules, &err)
			  : payload_read(own_fields->payload, limits, &payload,
					 &own_fields->modules, &err);
	if (ret)
		blob_free(&payload);
	else
		ret = submit_single(r, own_fields, payload, render_single, submit_reply);
	if (ret == FH_ESYNTAX)
		problem_reply(&r->x, PROBLEM_INVALID_PAYLOAD, err.text);
	else if (ret)
		problem_reply(&r->x, problem_of_error(ret), err.text);
}

static void post_json(struct submit_request *r)
{
	struct task_fields f;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	json_t *body = body_object(&r->x);
	if (!body)
		return;
	task_fields_init(&f, exchange_now_ms(&r->x));
	task_fields_read(&in, body, TASK_ALONE, &f);
	bool clean = errors.count == 0;
	if (clean && fh_id_is_zero(f.function_id))
		json_in_missing(&in, "function_id");
	if (clean && !f.payload)
		json_in_missing(&in, "payload");
	if (errors.count)
		problem_reply_fields(&r->x, &errors);
	else
		submit_checked(r, &f, NULL);
	task_fields_release(&f);
	json_decref(body);
}

static void post_octets(struct submit_request *r)
{
	struct task_fields f;
	struct query q;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	int ret = query_init(&q, exchange_target(&r->x));
	if (ret) {
		query_refuse(&r->x, ret);
		return;
	}
	task_fields_init(&f, exchange_now_ms(&r->x));
	task_fields_read_query(&in, &q, &f);
	if (fh_id_is_zero(f.function_id) && !errors.count)
		json_in_missing(&in, "function_id");
	struct blob *body = errors.count ? NULL : exchange_body_blob(&r->x);
	if (errors.count)
		problem_reply_fields(&r->x, &errors);
	else if (!body)
		problem_reply_later(&r->x, PROBLEM_NO_MEMORY, "no memory for the payload", 1);
	else
		submit_checked(r, &f, body);
	task_fields_release(&f);
	query_release(&q);
}

void task_post(struct exchange *x)
{
	struct submit_request *r = (struct submit_request *)x;
	if (access_is_type(x, "application/octet-stream"))
		post_octets(r);
	else
		post_json(r);
}
