/* Decides what a client may ask of a task, and within which bounds.
 *
 * Happy path: task_fields_read() steps over the members by the table at the end of this file.
 * Failure modes: everything wrong is noted with its pointer; a payload's faults have their own
 * statuses and are returned. */
#include "http/task_in.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/pickle.h"
#include "http/needs_in.h"

enum {
	RETRIES_MAX = 1000,
	RETRY_CLASSES_MAX = 16,
	CLASS_NAME_MAX = 128,
	FACTOR_MAX = 1000,
};

#define TIMEOUT_MAX_MS INT64_C(4000000000)    /* 46 days; it is kept in 32 bits */
#define BACKOFF_MAX_MS INT64_C(604800000)     /* a week */
#define EXPIRES_MAX_MS INT64_C(315360000000)  /* ten years */
#define DELAY_MAX_MS   INT64_C(3155760000000) /* a hundred years: a later date is a slip */
#define MEM_MAX	       (INT64_C(1) << 50)

void task_fields_init(struct task_fields *f, int64_t now_ms)
{
	*f = (struct task_fields){ .now_ms = now_ms, .options = TASK_OPTIONS_DEFAULT };
}

void task_fields_release(struct task_fields *f)
{
	task_options_release(&f->options);
	fh_free(f->modules);
	f->modules = NULL;
}

static void take_function_id(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	(void)json_in_id(in, value, &f->function_id);
}

static void take_group_id(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	(void)json_in_id(in, value, &f->group_id);
}

static void take_payload(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	if (json_is_string(value))
		f->payload = value;
	else
		json_in_error(in, "not a string");
}

static void take_priority(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	int64_t priority;
	if (json_in_integer(in, value, -100, 100, &priority))
		f->options.priority = (int32_t)priority;
	f->options.said |= TASK_OPTION_PRIORITY;
}

static void take_retries(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	int64_t retries;
	if (json_in_integer(in, value, 0, RETRIES_MAX, &retries))
		f->options.retries = (uint32_t)retries;
	f->options.said |= TASK_OPTION_RETRIES;
}

static void take_timeout(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	int64_t ms;
	if (json_in_seconds(in, value, 1, TIMEOUT_MAX_MS, &ms))
		f->options.timeout_ms = (uint32_t)ms;
}

static void take_at_most_once(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	(void)json_in_bool(in, value, &f->options.at_most_once);
}

static void take_not_before(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	int64_t ms;
	if (!json_in_time(in, value, &ms))
		return;
	if (ms > f->now_ms + DELAY_MAX_MS)
		json_in_error(in, "more than a hundred years from now");
	else
		f->options.not_before_ms = ms;
}

static void take_expires_in(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	int64_t ms;
	if (json_in_seconds(in, value, 1, EXPIRES_MAX_MS, &ms))
		f->options.expires_at_ms = f->now_ms + ms;
}

static void take_tags(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	fh_free(f->options.tags);
	f->options.tags = json_in_tags(in, value);
}

/* A dotted Python name, such as builtins.OSError. */
static bool is_class_name(const char *name)
{
	bool dot = false, start = true;
	size_t len = strlen(name);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)name[i];
		bool digit = c >= '0' && c <= '9';
		bool letter =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
		if (c == '.' ? start : !(letter || (digit && !start)))
			return false;
		start = c == '.';
		dot = dot || start;
	}
	return dot && !start && len <= CLASS_NAME_MAX;
}

struct retry_on_reader {
	uint32_t mask;
	int classes;
	char names[RETRY_CLASSES_MAX * (CLASS_NAME_MAX + 1) + 1];
	size_t len;
};

static void take_retry_on_item(struct json_in *in, const json_t *item, struct retry_on_reader *r)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} kinds[] = { { "exception", RETRY_ON_EXCEPTION },
		      { "timeout", RETRY_ON_TIMEOUT },
		      { "memory", RETRY_ON_MEMORY },
		      { "crash", RETRY_ON_CRASH } };
	const char *name = json_string_value(item);
	for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++) {
		if (strcmp(name, kinds[i].name) == 0) {
			r->mask |= kinds[i].bit;
			return;
		}
	}
	if (!name || !is_class_name(name)) {
		json_in_error(in,
			      "not exception, timeout, memory, crash or a qualified class name");
	} else if (++r->classes > RETRY_CLASSES_MAX) {
		json_in_error(in, "more than %d class names", RETRY_CLASSES_MAX);
	} else {
		r->mask |= RETRY_ON_CLASS;
		r->len += (size_t)snprintf(r->names + r->len, sizeof r->names - r->len, "%s%s",
					   r->len ? "," : "", name);
	}
}

static void take_retry_on(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	struct retry_on_reader r = { 0 };
	size_t index;
	json_t *item;
	if (!json_is_array(value)) {
		json_in_error(in, "not a list");
		return;
	}
	json_array_foreach((json_t *)(uintptr_t)value, index, item)
	{
		size_t before = json_in_element(in, index);
		take_retry_on_item(in, item, &r);
		json_in_leave(in, before);
	}
	fh_free(f->options.retry_classes);
	f->options.retry_classes = r.len ? fh_strdup(r.names) : NULL;
	if (r.len && !f->options.retry_classes)
		json_in_error(in, "no memory for the class names");
	f->options.retry_on = r.mask;
}

static void take_initial(struct json_in *in, const json_t *value, void *target)
{
	struct task_options *o = target;
	int64_t ms;
	if (json_in_seconds(in, value, 0, BACKOFF_MAX_MS, &ms))
		o->backoff_initial_ms = (uint32_t)ms;
}

static void take_max(struct json_in *in, const json_t *value, void *target)
{
	struct task_options *o = target;
	int64_t ms;
	if (json_in_seconds(in, value, 0, BACKOFF_MAX_MS, &ms))
		o->backoff_max_ms = (uint32_t)ms;
}

static void take_factor(struct json_in *in, const json_t *value, void *target)
{
	struct task_options *o = target;
	double factor = json_is_number(value) ? json_number_value(value) : 0;
	if (factor >= 1 && factor <= FACTOR_MAX)
		o->backoff_factor_milli = (uint32_t)(factor * 1000 + 0.5);
	else
		json_in_error(in, "not a number from 1 to %d", FACTOR_MAX);
}

static void take_backoff(struct json_in *in, const json_t *value, void *target)
{
	static const struct json_field fields[] = {
		{ "initial_s", take_initial, 1 },
		{ "factor", take_factor, 1 },
		{ "max_s", take_max, 1 },
	};
	struct task_fields *f = target;
	json_in_object(in, value, fields, sizeof fields / sizeof *fields, 1, &f->options);
}

static void take_mem(struct json_in *in, const json_t *value, void *target)
{
	struct task_options *o = target;
	int64_t bytes;
	if (json_in_integer(in, value, 1, MEM_MAX, &bytes))
		o->mem_bytes = (uint64_t)bytes;
}

static void take_cpus(struct json_in *in, const json_t *value, void *target)
{
	struct task_options *o = target;
	needs_take_cpus(in, value, &o->needs);
}

static void take_resources(struct json_in *in, const json_t *value, void *target)
{
	static const struct json_field fields[] = {
		{ "mem", take_mem, 1 }, { "cpus", take_cpus, 1 }, { "gpus", NULL, 1 },
		{ "nodes", NULL, 1 },	{ "custom", NULL, 1 },
	};
	struct task_fields *f = target;
	json_in_object(in, value, fields, sizeof fields / sizeof *fields, 1, &f->options);
}

static void take_runtime(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	needs_take_runtime(in, value, &f->options.needs);
}

static void take_labels(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	needs_take_labels(in, value, &f->options.needs);
}

static void take_wait_for_worker(struct json_in *in, const json_t *value, void *target)
{
	struct task_fields *f = target;
	(void)json_in_bool(in, value, &f->wait_for_worker);
}

enum {
	ANYWHERE = TASK_ALONE | TASK_IN_BATCH | TASK_DEFAULTS,
	PER_TASK = TASK_ALONE | TASK_IN_BATCH,
};

/* The ones that nearly every task has stand first. */
static const struct json_field task_field_table[] = {
	{ "payload", take_payload, PER_TASK },
	{ "function_id", take_function_id, PER_TASK },
	{ "group_id", take_group_id, TASK_ALONE },
	{ "priority", take_priority, ANYWHERE },
	{ "retries", take_retries, ANYWHERE },
	{ "retry_on", take_retry_on, ANYWHERE },
	{ "backoff", take_backoff, ANYWHERE },
	{ "timeout_s", take_timeout, ANYWHERE },
	{ "resources", take_resources, ANYWHERE },
	{ "runtime", take_runtime, ANYWHERE },
	{ "labels", take_labels, ANYWHERE },
	{ "wait_for_worker", take_wait_for_worker, ANYWHERE },
	{ "tags", take_tags, ANYWHERE },
	{ "not_before", take_not_before, ANYWHERE },
	{ "expires_in", take_expires_in, ANYWHERE },
	{ "at_most_once", take_at_most_once, ANYWHERE },
	{ "args", NULL, 0 },
	{ "kwargs", NULL, 0 },
	{ "depends_on", NULL, 0 },
	{ "cache", NULL, 0 },
	{ "callback_url", NULL, 0 },
	{ "result", NULL, 0 },
};

void task_fields_read(struct json_in *in, const json_t *object, enum task_place place,
		      struct task_fields *f)
{
	json_in_object(in, object, task_field_table,
		       sizeof task_field_table / sizeof *task_field_table, place, f);
}

/* Only these are text; everything else is a number, true, a list or an object. */
static json_t *query_value(const char *name, const char *value)
{
	static const char *const text[] = { "function_id", "group_id", "not_before", "payload",
					    "runtime" };
	json_t *parsed;
	for (size_t i = 0; i < sizeof text / sizeof *text; i++)
		if (strcmp(name, text[i]) == 0)
			return json_string(value);
	return json_read(value, strlen(value), &parsed, NULL) ? NULL : parsed;
}

void task_fields_read_query(struct json_in *in, struct query *q, struct task_fields *f)
{
	json_t *object = json_object();
	for (size_t i = 0; object && i < q->count; i++) {
		json_t *value = query_value(q->items[i].name, q->items[i].value);
		if (!value) {
			size_t before = json_in_member(in, q->items[i].name);
			json_in_error(in, "not JSON");
			json_in_leave(in, before);
		} else if (json_object_set_new(object, q->items[i].name, value)) {
			json_decref(object);
			object = NULL;
		}
		q->items[i].used = true;
	}
	if (object) {
		task_fields_read(in, object, TASK_ALONE, f);
		if (f->payload) {
			size_t before = json_in_member(in, "payload");
			json_in_error(in, "the payload is the body");
			json_in_leave(in, before);
			f->payload = NULL;
		}
	} else {
		json_in_error(in, "no memory to read the query");
	}
	json_decref(object);
}

int payload_check(const struct blob *payload, const struct http_limits *limits, char **ret_modules,
		  struct fh_err *err)
{
	if (payload->len > limits->payload_bytes)
		return fh_err_set(err, FH_ETOOBIG,
				  "the payload has %zu bytes, at most %zu are taken", payload->len,
				  limits->payload_bytes);
	int ret = pickle_modules(payload->data, payload->len, ret_modules);
	if (ret)
		(void)fh_err_set(err, ret, "%s",
				 ret == FH_ESYNTAX
					 ? "the payload is not a whole pickle of protocol 2 to 5"
					 : "no memory for the payload");
	return ret;
}

int payload_read(const json_t *text, const struct http_limits *limits, struct blob **ret_payload,
		 char **ret_modules, struct fh_err *err)
{
	size_t len = json_string_length(text);
	struct blob *payload = blob_new(base64_decoded_max(len));
	if (!payload)
		return fh_err_set(err, FH_ENOMEM, "no memory for the payload");
	int ret = base64_decode(json_string_value(text), len, payload->data, &payload->len);
	if (ret)
		(void)fh_err_set(err, ret, "the payload is not base64");
	else
		ret = payload_check(payload, limits, ret_modules, err);
	if (ret) {
		blob_free(&payload);
		return ret;
	}
	*ret_payload = payload;
	return 0;
}
