/* Waiting for many tasks at once, by group or by a list of ids, from a cursor on.
 *
 * Happy path: body -> CALL_WAIT, parked -> the tasks that are final, in the order of finishing,
 * with their results if asked for; how many are pending; the cursor to go on from.
 * Failure modes: an unknown group or task is 404; time that runs out is 200 with an empty list. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "http/handlers.h"
#include "http/json_in.h"
#include "http/query.h"
#include "http/render.h"

enum { IDS_MAX = 10000, WAIT_MAX_MS = 60000, BYTES_MAX = 64 << 20, BYTES_DEFAULT = 8 << 20 };

struct wait_fields {
	struct call_wait *call;
	const json_t *ids;
	unsigned fields; /* 0: not said */
	bool results;
};

static void take_group_id(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	(void)json_in_id(in, value, &f->call->group);
}

static void take_ids(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	if (json_is_array(value) && json_array_size(value) > 0 && json_array_size(value) <= IDS_MAX)
		f->ids = value;
	else
		json_in_error(in, "not a list of 1 to %d ids", IDS_MAX);
}

static void take_cursor(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	const char *text = json_string_value(value);
	if (!text || !cursor_parse(text, &f->call->after_seq))
		json_in_error(in, "not a cursor that this server has given");
}

static void take_mode(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	const char *mode = json_string_value(value);
	if (mode && strcmp(mode, "all") == 0)
		f->call->all = true;
	else if (!mode || strcmp(mode, "any") != 0)
		json_in_error(in, "not any or all");
}

static void take_wait_s(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	int64_t ms;
	if (json_in_seconds(in, value, 0, WAIT_MAX_MS, &ms))
		f->call->wait_ms = (uint32_t)ms;
}

static void take_results(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	(void)json_in_bool(in, value, &f->results);
}

static void take_max_bytes(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	int64_t bytes;
	if (json_in_integer(in, value, 1, BYTES_MAX, &bytes))
		f->call->max_bytes = (uint64_t)bytes;
}

static void take_fields(struct json_in *in, const json_t *value, void *target)
{
	struct wait_fields *f = target;
	size_t index;
	json_t *item;
	if (!json_is_array(value)) {
		json_in_error(in, "not a list of names");
		return;
	}
	json_array_foreach((json_t *)(uintptr_t)value, index, item)
	{
		const char *name = json_string_value(item);
		unsigned bit = name ? render_task_field(name) : 0;
		size_t before = json_in_element(in, index);
		if (!bit)
			json_in_error(in, "not a field of a task");
		json_in_leave(in, before);
		f->fields |= bit;
	}
}

static const struct json_field wait_fields[] = {
	{ "group_id", take_group_id, 1 },   { "ids", take_ids, 1 },
	{ "since_cursor", take_cursor, 1 }, { "mode", take_mode, 1 },
	{ "wait_s", take_wait_s, 1 },	    { "include_results", take_results, 1 },
	{ "max_bytes", take_max_bytes, 1 }, { "fields", take_fields, 1 },
};

/* A task that is named twice is waited for once. */
static int add_id(struct wait_request *r, struct map *seen, struct fh_id id)
{
	int ret = map_put(seen, id, r);
	if (ret == 0)
		r->ids[r->call.task_count++] = id;
	return ret == FH_EEXISTS ? 0 : ret;
}

static int read_ids(struct wait_request *r, struct json_in *in, const json_t *ids)
{
	struct map seen = { 0 };
	struct fh_id id;
	size_t index;
	json_t *item;
	r->ids = fh_calloc(json_array_size(ids), sizeof *r->ids);
	int ret = r->ids ? map_init(&seen) : FH_ENOMEM;
	size_t before = json_in_member(in, "ids");
	for (index = 0; ret == 0 && index < json_array_size(ids); index++) {
		item = json_array_get(ids, index);
		size_t at = json_in_element(in, index);
		if (json_in_id(in, item, &id))
			ret = add_id(r, &seen, id);
		json_in_leave(in, at);
	}
	json_in_leave(in, before);
	map_release(&seen);
	r->call.tasks = r->ids;
	return ret;
}

static void waited(struct exchange *x)
{
	struct wait_request *r = (struct wait_request *)x;
	struct text t = { 0 };
	uint64_t size = 0;
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	for (uint32_t i = 0; i < r->call.ret_count; i++)
		size += render_task_size(r->call.ret_views[i].task, r->call.ret_views[i].result,
					 r->fields);
	if (!exchange_may_send(x, size))
		return;
	text_str(&t, "{\"done\":[");
	for (uint32_t i = 0; i < r->call.ret_count; i++) {
		if (i)
			text_str(&t, ",");
		render_task(&t, r->call.ret_views[i].task, r->call.ret_views[i].result, r->fields);
	}
	text_str(&t, "],\"pending_count\":");
	text_u64(&t, r->call.ret_pending);
	text_printf(&t, ",\"cursor\":\"%" PRIx64 "\"}", r->call.ret_cursor);
	exchange_reply_json(x, 200, &t);
}

/* `result` and `error` are left out unless asked for, whatever `fields` says. */
static void choose_fields(struct wait_request *r, const struct wait_fields *f)
{
	r->fields = f->fields ? f->fields : TASK_FIELDS_ALL;
	if (f->results)
		r->call.want = CALL_WANT_RESULT;
	else
		r->fields &= ~(unsigned)TASK_FIELDS_RESULT;
}

void wait_post(struct exchange *x)
{
	struct wait_request *r = (struct wait_request *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	struct wait_fields f = { .call = &r->call };
	json_t *body = body_object(x);
	int ret = 0;
	if (!body)
		return;
	r->call.limit = IDS_MAX;
	r->call.max_bytes = BYTES_DEFAULT;
	json_in_object(&in, body, wait_fields, sizeof wait_fields / sizeof *wait_fields, 1, &f);
	if (f.ids)
		ret = read_ids(r, &in, f.ids);
	if (!errors.count && !f.ids == fh_id_is_zero(r->call.group))
		json_in_error(&in, "exactly one of ids and group_id is needed");
	json_decref(body);
	choose_fields(r, &f);
	if (ret)
		problem_reply_later(x, PROBLEM_NO_MEMORY, "no memory for the ids", 1);
	else if (errors.count)
		problem_reply_fields(x, &errors);
	else if (r->call.wait_ms)
		exchange_park(x, &r->call.call, CALL_WAIT, waited);
	else
		exchange_submit(x, &r->call.call, CALL_WAIT, waited);
}

void wait_release(struct exchange *x)
{
	fh_free(((struct wait_request *)x)->ids);
}
