/* Many tasks in one request, all with one fsync.
 *
 * Happy path: body -> every task's fields and payload -> one CALL_SUBMIT -> render() -> 200 with an
 * id or a problem for each task, in their order.
 * Failure modes: one wrong field refuses the whole request (422 with pointers), for that is a
 * mistake of the program. A payload that is no pickle or too large, and a function that is not
 * known, concern their task alone: the others are accepted. */
#include <string.h>

#include "base/mem.h"
#include "http/handlers.h"
#include "http/idempotency.h"
#include "http/json_in.h"
#include "http/problem.h"
#include "http/task_in.h"
#include "http/text.h"

enum { TASKS_MAX = 10000, ITEM_TEXT = 46 };

struct batch_fields {
	struct fh_id function_id, group_id;
	const json_t *defaults, *tasks;
};

static void take_function_id(struct json_in *in, const json_t *value, void *target)
{
	struct batch_fields *f = target;
	(void)json_in_id(in, value, &f->function_id);
}

static void take_group_id(struct json_in *in, const json_t *value, void *target)
{
	struct batch_fields *f = target;
	(void)json_in_id(in, value, &f->group_id);
}

static void take_defaults(struct json_in *in, const json_t *value, void *target)
{
	struct batch_fields *f = target;
	(void)in;
	f->defaults = value;
}

static void take_tasks(struct json_in *in, const json_t *value, void *target)
{
	struct batch_fields *f = target;
	if (json_is_array(value) && json_array_size(value) > 0 &&
	    json_array_size(value) <= TASKS_MAX)
		f->tasks = value;
	else
		json_in_error(in, "not a list of 1 to %d tasks", TASKS_MAX);
}

static const struct json_field batch_fields[] = {
	{ "function_id", take_function_id, 1 },
	{ "group_id", take_group_id, 1 },
	{ "defaults", take_defaults, 1 },
	{ "tasks", take_tasks, 1 },
};

/* Everything that is needed while the tasks are read. */
struct batch {
	struct submit_request *r;
	struct json_in in;
	struct field_errors errors;
	struct batch_fields fields;
	struct task_fields defaults;
};

static void refuse_slot(struct batch_slot *slot, int ret, const struct fh_err *err)
{
	slot->problem = ret == FH_ESYNTAX ? PROBLEM_INVALID_PAYLOAD : problem_of_error(ret);
	slot->detail = fh_strdup(err->text);
}

/* The task becomes an item of the call, unless its payload is refused. */
static void add_task(struct batch *b, size_t index, struct task_fields *f)
{
	struct submit_request *r = b->r;
	struct batch_slot *slot = &r->slots[index];
	struct fh_err err = { "" };
	struct blob *payload;
	int ret = payload_read(f->payload, &exchange_config(&r->x)->limits, &payload, &f->modules,
			       &err);
	if (ret) {
		refuse_slot(slot, ret, &err);
		return;
	}
	f->group_id = b->fields.group_id;
	submit_fill(&r->x, &r->call.items[r->call.count++], f, payload);
}

static int read_task(struct batch *b, size_t index, const json_t *task)
{
	struct task_fields f = b->defaults;
	size_t before = json_in_element(&b->in, index);
	size_t errors = b->errors.count;
	f.options = (struct task_options){ 0 };
	int ret = task_options_copy(&f.options, &b->defaults.options);
	if (ret)
		return ret;
	task_fields_read(&b->in, task, TASK_IN_BATCH, &f);
	if (b->errors.count == errors && !f.payload)
		json_in_missing(&b->in, "payload");
	if (b->errors.count == errors && fh_id_is_zero(f.function_id))
		json_in_missing(&b->in, "function_id");
	if (b->errors.count == 0)
		add_task(b, index, &f);
	task_fields_release(&f);
	json_in_leave(&b->in, before);
	return 0;
}

static int read_tasks(struct batch *b)
{
	struct submit_request *r = b->r;
	size_t count = json_array_size(b->fields.tasks), index;
	json_t *task;
	int ret = 0;
	r->call.items = fh_calloc(count, sizeof *r->call.items);
	r->slots = fh_calloc(count, sizeof *r->slots);
	if (!r->call.items || !r->slots)
		return FH_ENOMEM;
	r->slot_count = count;
	size_t before = json_in_member(&b->in, "tasks");
	json_array_foreach((json_t *)(uintptr_t)b->fields.tasks, index, task)
	{
		ret = read_task(b, index, task);
		if (ret || b->errors.count > FIELD_ERRORS_MAX)
			break;
	}
	json_in_leave(&b->in, before);
	return ret;
}

static void read_batch(struct batch *b, const json_t *body)
{
	json_in_object(&b->in, body, batch_fields, sizeof batch_fields / sizeof *batch_fields, 1,
		       &b->fields);
	if (!b->fields.tasks && !b->errors.count)
		json_in_missing(&b->in, "tasks");
	if (b->fields.defaults) {
		size_t before = json_in_member(&b->in, "defaults");
		task_fields_read(&b->in, b->fields.defaults, TASK_DEFAULTS, &b->defaults);
		json_in_leave(&b->in, before);
	}
	b->defaults.function_id = b->fields.function_id;
}

static void render_problem(struct text *t, enum problem_kind kind, const char *detail,
			   const struct problem_unfit *unfit)
{
	text_str(t, "{\"problem\":{");
	problem_members(t, kind, detail, unfit);
	text_str(t, "}}");
}

/* Why the other side has left the item out. */
static void render_refusal(struct text *t, const struct call_submit_item *item)
{
	enum problem_kind kind = problem_of_error(item->ret);
	if (!item->unfit) {
		render_problem(t, kind, "no such function", NULL);
		return;
	}
	struct problem_unfit unfit = { item->unfit->advice.text, item->unfit->lacking };
	render_problem(t, kind, item->unfit->detail.text, &unfit);
}

static void render_slots(struct text *t, const struct submit_request *r)
{
	const struct call_submit_item *item = r->call.items;
	(void)text_reserve(t, ITEM_TEXT * r->slot_count + 64);
	text_str(t, "{\"group_id\":");
	text_json_id(t, r->call.count ? item->task.group_id : (struct fh_id){ 0 });
	text_str(t, ",\"tasks\":[");
	for (size_t i = 0; i < r->slot_count; i++) {
		const struct batch_slot *slot = &r->slots[i];
		if (i)
			text_add(t, ",", 1);
		if (slot->problem) {
			render_problem(t, slot->problem, slot->detail, NULL);
			continue;
		}
		if (item->ret) {
			render_refusal(t, item);
		} else {
			text_add(t, "{\"id\":", 6);
			text_json_id(t, item->task.id);
			text_add(t, "}", 1);
		}
		item++;
	}
	text_str(t, "]}");
}

static void render(struct call_submit *c)
{
	struct submit_request *r = c->call.owner;
	struct text t = { 0 };
	render_slots(&t, r);
	if (!t.broken)
		c->idempotency.body = blob_copy(t.data, t.len);
	text_release(&t);
}

static void submit(struct submit_request *r)
{
	struct text t = { 0 };
	if (r->call.count == 0) { /* there is nothing to accept */
		render_slots(&t, r);
		exchange_reply_json(&r->x, 200, &t);
		return;
	}
	r->call.idempotency.status = 200;
	r->call.render = render;
	exchange_submit(&r->x, &r->call.call, CALL_SUBMIT, submit_reply);
}

/* Tasks without a group make one, so that they can be waited for together. */
static void choose_group(struct batch *b)
{
	struct submit_request *r = b->r;
	if (!fh_id_is_zero(b->fields.group_id))
		return;
	r->group.id = exchange_new_id(&r->x);
	r->group.created_ms = b->defaults.now_ms;
	r->call.new_group = &r->group;
	b->fields.group_id = r->group.id;
}

void batch_post(struct exchange *x)
{
	struct submit_request *r = (struct submit_request *)x;
	struct batch b = { .r = r };
	b.in.errors = &b.errors;
	json_t *body = body_object(x);
	if (!body)
		return;
	task_fields_init(&b.defaults, exchange_now_ms(x));
	read_batch(&b, body);
	int ret = 0;
	if (b.fields.tasks && b.errors.count <= FIELD_ERRORS_MAX) {
		choose_group(&b);
		ret = read_tasks(&b);
	}
	if (ret)
		problem_reply_later(x, PROBLEM_NO_MEMORY, "no memory for the tasks", 1);
	else if (b.errors.count)
		problem_reply_fields(x, &b.errors);
	else if (idempotency_read(x, &r->call.idempotency))
		submit(r);
	task_fields_release(&b.defaults);
	json_decref(body);
}
