/* Functions: registered once by digest, shown by id or by name.
 *
 * Happy path: body -> payload_read() -> CALL_PUT_FUNCTION -> 201, or 200 if it was there already.
 * Failure modes: see body.c and task_in.h; an unknown function is 404. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/digest.h"
#include "http/handlers.h"
#include "http/json_in.h"
#include "http/needs_in.h"
#include "http/render.h"
#include "http/task_in.h"

enum { NAME_MAX_BYTES = 512, DESCRIPTION_MAX = 4096 };

static void take_name(struct json_in *in, const json_t *value, void *target)
{
	struct function_fields *f = target;
	if (json_in_string(in, value, NAME_MAX_BYTES, &f->name) && !*f->name)
		json_in_error(in, "empty");
}

static void take_description(struct json_in *in, const json_t *value, void *target)
{
	struct function_fields *f = target;
	const char *text = json_string_value(value);
	if (text && json_string_length(value) <= DESCRIPTION_MAX)
		f->description = text;
	else
		json_in_error(in, "not a string of at most %d bytes", DESCRIPTION_MAX);
}

static void take_payload(struct json_in *in, const json_t *value, void *target)
{
	struct function_fields *f = target;
	if (json_is_string(value))
		f->payload = value;
	else
		json_in_error(in, "not a string");
}

static void take_serializer(struct json_in *in, const json_t *value, void *target)
{
	struct function_fields *f = target;
	const char *name = json_string_value(value);
	for (int i = 0; name && i < SERIALIZER_COUNT; i++) {
		if (strcmp(name, serializer_name((enum serializer)i)) == 0) {
			f->serializer = (enum serializer)i;
			return;
		}
	}
	json_in_error(in, "not pickle, dill or cloudpickle");
}

static void take_runtime(struct json_in *in, const json_t *value, void *target)
{
	struct function_fields *f = target;
	needs_take_runtime(in, value, &f->needs);
}

static const struct json_field function_fields[] = {
	{ "name", take_name, 1 },
	{ "payload", take_payload, 1 },
	{ "serializer", take_serializer, 1 },
	{ "description", take_description, 1 },
	{ "runtime", take_runtime, 1 },
	{ "source", NULL, 1 },
	{ "entrypoint", NULL, 1 },
	{ "defaults", NULL, 1 },
	{ "public", NULL, 1 },
	{ "max_running", NULL, 1 },
};

/* Without needs the digest is that of a time when there were none. */
static int sum(struct exchange *x, struct function_rec *f)
{
	const char *serializer = serializer_name(f->serializer), *needs = f->defaults.needs;
	struct digest_part parts[] = { { f->name, strlen(f->name) },
				       { serializer, strlen(serializer) },
				       { f->payload->data, f->payload->len },
				       { needs, needs ? strlen(needs) : 0 } };
	return digest_sum(exchange_digest(x), parts, needs ? 4 : 3, f->digest);
}

static int fill(struct exchange *x, struct function_rec *f, struct function_fields *fields)
{
	f->id = exchange_new_id(x);
	f->name = fh_strdup(fields->name);
	f->description = fields->description ? fh_strdup(fields->description) : NULL;
	f->serializer = fields->serializer;
	f->payload_size = f->payload->len;
	f->created_ms = exchange_now_ms(x);
	f->defaults = (struct task_options)TASK_OPTIONS_DEFAULT;
	f->defaults.needs = fields->needs;
	fields->needs = NULL;
	if (!f->name || (fields->description && !f->description))
		return FH_ENOMEM;
	return sum(x, f);
}

void function_submit(struct function_request *r, struct function_fields *fields,
		     void (*finish)(struct exchange *x))
{
	struct function_rec *f = &r->call.function;
	struct fh_err err = { "no memory for the function" };
	int ret = payload_read(fields->payload, &exchange_config(&r->x)->limits, &f->payload,
			       &f->modules, &err);
	if (ret == 0)
		ret = fill(&r->x, f, fields);
	if (ret == FH_ESYNTAX)
		problem_reply(&r->x, PROBLEM_INVALID_PAYLOAD, err.text);
	else if (ret)
		problem_reply(&r->x, problem_of_error(ret), err.text);
	else
		exchange_submit(&r->x, &r->call.call, CALL_PUT_FUNCTION, finish);
}

static void function_put(struct exchange *x)
{
	struct function_request *r = (struct function_request *)x;
	struct text t = { 0 };
	char id[FH_ID_TEXT], digest[65], location[64];
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	fh_id_format(r->call.ret_id, id);
	render_hex(r->call.function.digest, digest);
	text_printf(&t, "{\"function_id\":\"%s\",\"digest\":\"%s\",\"version\":\"%.12s\"}", id,
		    digest, digest);
	(void)snprintf(location, sizeof location, "/v1/functions/%s", id);
	exchange_set_header(x, "Location", location);
	exchange_reply_json(x, r->call.ret_created ? 201 : 200, &t);
}

void function_post(struct exchange *x)
{
	struct function_request *r = (struct function_request *)x;
	struct function_fields f = { 0 };
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	json_t *body = body_object(x);
	if (!body)
		return;
	json_in_object(&in, body, function_fields, sizeof function_fields / sizeof *function_fields,
		       1, &f);
	bool clean = errors.count == 0;
	if (clean && !f.name)
		json_in_missing(&in, "name");
	if (clean && !f.payload)
		json_in_missing(&in, "payload");
	if (errors.count)
		problem_reply_fields(x, &errors);
	else
		function_submit(r, &f, function_put);
	fh_free(f.needs);
	json_decref(body);
}

void function_release(struct exchange *x)
{
	function_rec_release(&((struct function_request *)x)->call.function);
}

/* True if the client has this very version already and is told so. */
static bool reply_unchanged(struct exchange *x, const struct function_rec *f)
{
	char digest[65], tag[72];
	render_hex(f->digest, digest);
	(void)snprintf(tag, sizeof tag, "\"%s\"", digest);
	exchange_set_header(x, "ETag", tag);
	const char *known = exchange_header(x, "If-None-Match");
	if (!known || !strstr(known, tag))
		return false;
	exchange_reply_blob(x, 304, NULL, NULL);
	return true;
}

static void function_got(struct exchange *x)
{
	struct function_query *q = (struct function_query *)x;
	struct text t = { 0 };
	if (q->call.call.ret) {
		problem_reply_call(x, &q->call.call);
		return;
	}
	if (reply_unchanged(x, q->call.ret_function))
		return;
	render_function(&t, q->call.ret_function);
	exchange_reply_json(x, 200, &t);
}

static void payload_got(struct exchange *x)
{
	struct function_query *q = (struct function_query *)x;
	if (q->call.call.ret) {
		problem_reply_call(x, &q->call.call);
		return;
	}
	if (!reply_unchanged(x, q->call.ret_function) &&
	    exchange_may_send(x, q->call.ret_function->payload_size))
		exchange_reply_blob(x, 200, "application/octet-stream",
				    q->call.ret_function->payload);
}

static void query(struct exchange *x, bool want_payload, void (*finish)(struct exchange *x))
{
	struct function_query *q = (struct function_query *)x;
	if (fh_id_parse(x->part, strlen(x->part), &q->call.id))
		q->call.name = x->part;
	q->call.want_payload = want_payload;
	exchange_submit(x, &q->call.call, CALL_GET_FUNCTION, finish);
}

void function_get(struct exchange *x)
{
	query(x, false, function_got);
}

void function_payload_get(struct exchange *x)
{
	query(x, true, payload_got);
}

static uint64_t list_size(const struct call_list_functions *c)
{
	enum { MEMBERS = 512 }; /* of a function, apart from its texts */
	uint64_t size = 0;
	for (uint32_t i = 0; i < c->ret_count; i++) {
		const struct function_rec *f = &c->ret_functions[i];
		size += MEMBERS + strlen(f->name) + (f->description ? strlen(f->description) : 0);
	}
	return size;
}

static void functions_got(struct exchange *x)
{
	const struct call_list_functions *c = &((struct function_list *)x)->call;
	struct text t = { 0 };
	if (c->call.ret) {
		problem_reply_call(x, &c->call);
		return;
	}
	if (!exchange_may_send(x, list_size(c)))
		return;
	text_str(&t, "{\"items\":[");
	for (uint32_t i = 0; i < c->ret_count; i++) {
		if (i)
			text_str(&t, ",");
		render_function(&t, &c->ret_functions[i]);
	}
	page_reply(x, &t, c->ret_more, c->ret_last_no, c->limit, c->name);
}

void functions_get(struct exchange *x)
{
	struct function_list *r = (struct function_list *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	int ret = query_init(&r->query, exchange_target(x));
	if (ret) {
		query_refuse(x, ret);
		return;
	}
	r->call.name = query_get(&r->query, "name");
	page_take(&in, &r->query, &r->call.limit, &r->call.after_no);
	if (errors.count)
		problem_reply_fields(x, &errors);
	else
		exchange_submit(x, &r->call.call, CALL_LIST_FUNCTIONS, functions_got);
}

void function_list_release(struct exchange *x)
{
	query_release(&((struct function_list *)x)->query);
}
