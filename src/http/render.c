/* Decides which members the objects of the interface have. A member without a value is null, so
 * that an object always has the same ones. */
#include "http/render.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/needs.h"

unsigned render_task_field(const char *name)
{
	static const char *const names[TASK_FIELD_COUNT] = {
#define X(name) [TASK_FIELD_##name] = #name,
		TASK_FIELDS(X)
#undef X
	};
	for (unsigned i = 0; i < TASK_FIELD_COUNT; i++)
		if (strcmp(name, names[i]) == 0)
			return 1u << i;
	return 0;
}

static void seconds(struct text *t, const char *name, int64_t us)
{
	if (us >= 0)
		text_printf(t, "\"%s\":%.6f", name, (double)us / 1e6);
	else
		text_printf(t, "\"%s\":null", name);
}

/* -1: not known (yet). A result says exactly how long each step took; without it, what runs is all
 * between start and end. */
static void timings(struct text *t, const struct task_rec *task, const struct task_result *result)
{
	int64_t run_us = task->started_ms && task->finished_ms
				 ? (task->finished_ms - task->started_ms) * 1000
				 : -1;
	bool exact = result && result->started_ms;
	text_str(t, "{");
	seconds(t, "queue_s", task->started_ms ? (task->started_ms - task->created_ms) * 1000 : -1);
	text_str(t, ",");
	seconds(t, "deserialize_s", exact ? (int64_t)result->deserialize_us : -1);
	text_str(t, ",");
	seconds(t, "run_s", exact ? (int64_t)result->run_us : run_us);
	text_str(t, ",");
	seconds(t, "serialize_s", exact ? (int64_t)result->serialize_us : -1);
	text_str(t, "}");
}

static void links(struct text *t, const struct task_rec *task)
{
	char id[FH_ID_TEXT], function[FH_ID_TEXT];
	fh_id_format(task->id, id);
	fh_id_format(task->function_id, function);
	text_printf(t,
		    "{\"self\":\"/v1/tasks/%s\",\"result\":\"/v1/tasks/%s/result\","
		    "\"logs\":\"/v1/tasks/%s/logs\",\"function\":\"/v1/functions/%s\"}",
		    id, id, id, function);
}

/* Only a failed task has one; `payload` is the pickled exception. */
static void error(struct text *t, const struct task_rec *task, const struct task_result *result,
		  bool payload)
{
	if (!result || task->state != TASK_FAILED) {
		text_str(t, "null");
		return;
	}
	text_str(t, "{\"type\":");
	text_json_str(t, result->error_type);
	text_str(t, ",\"message\":");
	text_json_str(t, result->error_message);
	text_str(t, ",\"traceback\":");
	text_json_str(t, result->traceback);
	if (payload) {
		text_str(t, ",\"payload\":");
		text_json_base64(t, result->value);
	}
	text_str(t, "}");
}

/* Where the task ran, or has to run. */
static void runtime(struct text *t, const char *name)
{
	text_json_str(t, *name ? name : NULL);
}

static void resources(struct text *t, uint32_t cores, uint64_t mem_bytes)
{
	text_str(t, "{");
	if (cores)
		text_printf(t, "\"cpus\":%u%s", cores, mem_bytes ? "," : "");
	if (mem_bytes)
		text_printf(t, "\"mem\":%llu", (unsigned long long)mem_bytes);
	text_str(t, "}");
}

/* From a list such as "gpu=1,site"; null stands for any value. */
static void labels(struct text *t, const char *list)
{
	const char *separator = "";
	text_str(t, "{");
	while (*list) {
		size_t len = strcspn(list, ","), name_len = strcspn(list, "=,");
		text_str(t, separator);
		text_json(t, list, name_len);
		text_str(t, ":");
		if (name_len < len)
			text_json(t, list + name_len + 1, len - name_len - 1);
		else
			text_str(t, "null");
		list += len + (list[len] == ',');
		separator = ",";
	}
	text_str(t, "}");
}

static void tags(struct text *t, const char *json)
{
	text_str(t, json ? json : "{}");
}

/* The members that say what a task needs of a worker. */
static void needs_member(struct text *t, enum task_field field, const struct task_options *o,
			 const char *ran_on)
{
	struct needs n = { 0 };
	if (o->needs && needs_parse(o->needs, &n))
		n = (struct needs){ 0 }; /* another version's; it is no reason to show no task */
	switch (field) {
	case TASK_FIELD_runtime:
		runtime(t, ran_on && *ran_on ? ran_on : n.runtime);
		break;
	case TASK_FIELD_resources:
		resources(t, n.cores, o->mem_bytes);
		break;
	case TASK_FIELD_labels:
		labels(t, n.labels);
		break;
	default:
		FH_UNREACHABLE("not a member about needs");
	}
}

/* The members that are times; false: the field is none of them. */
static bool task_time(struct text *t, enum task_field field, const struct task_rec *task)
{
	switch (field) {
	case TASK_FIELD_created_at:
	case TASK_FIELD_queued_at:
		text_json_time(t, task->created_ms);
		return true;
	case TASK_FIELD_not_before:
		text_json_time(t, task->options.not_before_ms);
		return true;
	case TASK_FIELD_started_at:
		text_json_time(t, task->started_ms);
		return true;
	case TASK_FIELD_finished_at:
		text_json_time(t, task->finished_ms);
		return true;
	case TASK_FIELD_expires_at:
		text_json_time(t, task->options.expires_at_ms);
		return true;
	default:
		return false;
	}
}

static void task_member(struct text *t, enum task_field field, const struct task_rec *task,
			const struct task_result *result)
{
	const struct task_options *o = &task->options;
	if (task_time(t, field, task))
		return;
	switch (field) {
	case TASK_FIELD_id:
		text_json_id(t, task->id);
		break;
	case TASK_FIELD_function_id:
		text_json_id(t, task->function_id);
		break;
	case TASK_FIELD_function_name:
		text_json_str(t, task->function_name);
		break;
	case TASK_FIELD_group_id:
		text_json_id(t, task->group_id);
		break;
	case TASK_FIELD_state:
		text_json_str(t, task_state_name(task->state));
		break;
	case TASK_FIELD_reason:
		text_json_str(t, task_reason_name(task->reason));
		break;
	case TASK_FIELD_attempt:
		text_u64(t, task->tally.attempt);
		break;
	case TASK_FIELD_priority:
		text_printf(t, "%d", o->priority);
		break;
	case TASK_FIELD_runtime:
	case TASK_FIELD_resources:
	case TASK_FIELD_labels:
		needs_member(t, field, o, result ? result->runtime : NULL);
		break;
	case TASK_FIELD_tags:
		tags(t, o->tags);
		break;
	case TASK_FIELD_timings:
		timings(t, task, result);
		break;
	case TASK_FIELD_result_size:
		text_u64(t, task->result_size);
		break;
	case TASK_FIELD_links:
		links(t, task);
		break;
	case TASK_FIELD_result:
		text_json_base64(t, result ? result->value : NULL);
		break;
	case TASK_FIELD_error:
		error(t, task, result, false);
		break;
	case TASK_FIELD_worker_id: /* not kept yet */
	case TASK_FIELD_COUNT:
	default:
		text_str(t, "null");
		break;
	}
}

void render_task(struct text *t, const struct task_rec *task, const struct task_result *result,
		 unsigned fields)
{
	static const char *const heads[TASK_FIELD_COUNT] = {
#define X(name) [TASK_FIELD_##name] = ",\"" #name "\":",
		TASK_FIELDS(X)
#undef X
	};
	bool first = true;
	text_str(t, "{");
	for (unsigned i = 0; i < TASK_FIELD_COUNT; i++) {
		if (!(fields & 1u << i))
			continue;
		text_str(t, heads[i] + first);
		first = false;
		task_member(t, (enum task_field)i, task, result);
	}
	text_str(t, "}");
}

static size_t text_size(const char *s)
{
	return s ? strlen(s) : 0;
}

static size_t value_size(const struct task_result *result)
{
	return result->value ? base64_encoded_len(result->value->len) : 0;
}

static size_t error_size(const struct task_result *result)
{
	return text_size(result->error_type) + text_size(result->error_message) +
	       text_size(result->traceback);
}

uint64_t render_task_size(const struct task_rec *task, const struct task_result *result,
			  unsigned fields)
{
	enum { MEMBER = 40 }; /* a name and a short value */
	uint64_t size = (uint64_t)__builtin_popcount(fields) * MEMBER;
	if (fields & TASK_FIELD_BIT(tags))
		size += text_size(task->options.tags);
	if (fields & TASK_FIELD_BIT(labels))
		size += text_size(task->options.needs);
	if (result && fields & TASK_FIELD_BIT(result))
		size += value_size(result);
	if (result && fields & TASK_FIELD_BIT(error))
		size += error_size(result);
	return size;
}

uint64_t render_result_size(const struct task_result *result)
{
	if (!result)
		return 0;
	/* The value of a failure is written twice, see error(). */
	return value_size(result) * (result->state == TASK_FAILED ? 2 : 1) + error_size(result);
}

void render_result(struct text *t, const struct task_rec *task, const struct task_result *result)
{
	text_str(t, "{\"state\":");
	text_json_str(t, task_state_name(task->state));
	text_str(t, ",\"reason\":");
	text_json_str(t, task_reason_name(task->reason));
	text_str(t, ",\"result\":");
	text_json_base64(t, result ? result->value : NULL);
	text_str(t, ",\"error\":");
	error(t, task, result, true);
	text_str(t, "}");
}

void render_hex(const uint8_t digest[32], char text[65])
{
	for (int i = 0; i < 32; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

void render_function(struct text *t, const struct function_rec *f)
{
	char id[FH_ID_TEXT], digest[65];
	fh_id_format(f->id, id);
	render_hex(f->digest, digest);
	text_printf(t, "{\"id\":\"%s\",\"name\":", id);
	text_json_str(t, f->name);
	text_printf(t, ",\"serializer\":\"%s\",\"digest\":\"%s\",\"version\":\"%.12s\"",
		    serializer_name(f->serializer), digest, digest);
	text_str(t, ",\"description\":");
	text_json_str(t, f->description);
	text_str(t, ",\"runtime\":");
	needs_member(t, TASK_FIELD_runtime, &f->defaults, NULL);
	text_printf(t,
		    ",\"payload_size\":%llu,\"created_at\":", (unsigned long long)f->payload_size);
	text_json_time(t, f->created_ms);
	text_printf(t,
		    ",\"links\":{\"self\":\"/v1/functions/%s\","
		    "\"payload\":\"/v1/functions/%s/payload\"}}",
		    id, id);
}

void render_group(struct text *t, const struct group_rec *g)
{
	text_str(t, "{\"id\":");
	text_json_id(t, g->id);
	text_str(t, ",\"name\":");
	text_json_str(t, g->name);
	text_str(t, ",\"tags\":");
	tags(t, g->tags);
	text_str(t, ",\"created_at\":");
	text_json_time(t, g->created_ms);
	text_str(t, ",\"total\":");
	text_u64(t, g->total);
	text_str(t, ",\"counts\":{");
	for (unsigned i = 0; i < TASK_STATE_COUNT; i++) {
		text_printf(t, "%s\"%s\":%llu", i ? "," : "", task_state_name((enum task_state)i),
			    (unsigned long long)g->counts[i]);
	}
	text_str(t, "}}");
}
