/* One task: its state, its result, its logs, its cancellation. Reads may wait (`?wait=seconds`).
 *
 * Failure modes: an unknown task is 404, a purged result 410, what is final already cannot be
 * cancelled (409), nor can what runs if it is to be spared (409). */
#include <stdio.h>
#include <string.h>

#include "http/handlers.h"
#include "http/json_in.h"
#include "http/query.h"
#include "http/render.h"

enum {
	WAIT_MAX_MS = 60000,
	RETRY_AFTER_S = 1,
	JSON_BYTE_MAX = 6, /* characters of a byte in a JSON string: \u0000 */
};

/* What a read may ask for in its query. */
struct read_query {
	bool follow_states; /* takes `for` */
	bool stream;	    /* takes `stream` */
};

static void take_wait(struct json_in *in, const char *value, struct task_request *r)
{
	json_t *number;
	int64_t ms = 0;
	if (json_read(value, strlen(value), &number, NULL)) {
		json_in_parameter_error(in, "wait", "not a number of seconds");
		return;
	}
	size_t before = in->errors->count;
	if (json_in_seconds(in, number, 0, INT32_MAX, &ms))
		r->call.wait_ms = ms > WAIT_MAX_MS ? WAIT_MAX_MS : (uint32_t)ms;
	if (in->errors->count > before) {
		in->errors->count = before;
		json_in_parameter_error(in, "wait", "not a number of seconds");
	}
	json_decref(number);
}

static void take_query(struct json_in *in, struct query *q, const struct read_query *takes,
		       struct task_request *r)
{
	const char *wait = query_get(q, "wait");
	const char *what = takes->follow_states ? query_get(q, "for") : NULL;
	const char *stream = takes->stream ? query_get(q, "stream") : NULL;
	if (wait)
		take_wait(in, wait, r);
	if (what && strcmp(what, "started") == 0)
		r->call.wait_for = CALL_FOR_STARTED;
	else if (what && strcmp(what, "finished") != 0)
		json_in_parameter_error(in, "for", "not started or finished");
	if (stream && strcmp(stream, "stdout") == 0)
		r->stream = 1;
	else if (stream && strcmp(stream, "stderr") == 0)
		r->stream = 2;
	else if (stream)
		json_in_parameter_error(in, "stream", "not stdout or stderr");
	const char *unknown = query_unused(q);
	if (unknown)
		json_in_parameter_error(in, unknown, "there is no such parameter");
}

static void read_task(struct exchange *x, const struct read_query *takes, unsigned want,
		      void (*finish)(struct exchange *x))
{
	struct task_request *r = (struct task_request *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	struct query q;
	if (!path_id(x, &r->call.task))
		return;
	int ret = query_init(&q, exchange_target(x));
	if (ret) {
		query_refuse(x, ret);
		return;
	}
	take_query(&in, &q, takes, r);
	r->call.want = want;
	if (errors.count)
		problem_reply_fields(x, &errors);
	else if (r->call.wait_ms)
		exchange_park(x, &r->call.call, CALL_GET_TASK, finish);
	else
		exchange_submit(x, &r->call.call, CALL_GET_TASK, finish);
	query_release(&q);
}

/* True and answered: the client knows what `tag` names. */
static bool reply_known(struct exchange *x, const char *tag)
{
	exchange_set_header(x, "ETag", tag);
	const char *known = exchange_header(x, "If-None-Match");
	if (!known || !strstr(known, tag))
		return false;
	exchange_reply_blob(x, 304, NULL, NULL);
	return true;
}

static void task_got(struct exchange *x)
{
	struct task_request *r = (struct task_request *)x;
	const struct task_rec *task = r->call.ret_task;
	struct text t = { 0 };
	char id[FH_ID_TEXT], tag[96];
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	/* Weak: once the result is purged, its exact times are gone. */
	fh_id_format(task->id, id);
	(void)snprintf(tag, sizeof tag, "W/\"%s-%u-%s\"", id, task->tally.attempt,
		       task_state_name(task->state));
	if (reply_known(x, tag))
		return;
	render_task(&t, task, r->call.ret_result, TASK_FIELDS_RECORD);
	exchange_reply_json(x, 200, &t);
}

void task_get(struct exchange *x)
{
	static const struct read_query takes = { .follow_states = true };
	read_task(x, &takes, 0, task_got);
}

/* A result never changes; so the task's id names each of its two forms. */
static bool reply_unchanged(struct exchange *x, const struct task_rec *task, bool octets)
{
	char id[FH_ID_TEXT], tag[64];
	fh_id_format(task->id, id);
	(void)snprintf(tag, sizeof tag, "\"%s-%s\"", id, octets ? "raw" : "json");
	exchange_set_header(x, "Vary", "Accept");
	return reply_known(x, tag);
}

static void set_state_header(struct exchange *x, const struct task_rec *task)
{
	exchange_set_header(x, "Farhand-State", task_state_name(task->state));
}

/* What the bytes of a result are written with; its reader needs no other library. */
static void set_result_headers(struct exchange *x, const struct task_rec *task)
{
	set_state_header(x, task);
	exchange_set_header(x, "Farhand-Serializer", serializer_name(SERIALIZER_PICKLE));
}

static void result_got(struct exchange *x)
{
	struct task_request *r = (struct task_request *)x;
	const struct task_rec *task = r->call.ret_task;
	const struct task_result *result = r->call.ret_result;
	struct text t = { 0 };
	char seconds[16];
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	set_result_headers(x, task);
	if (!task_state_is_final(task->state)) {
		(void)snprintf(seconds, sizeof seconds, "%d", RETRY_AFTER_S);
		exchange_set_header(x, "Retry-After", seconds);
		render_result(&t, task, NULL);
		exchange_reply_json(x, 202, &t);
		return;
	}
	if (reply_unchanged(x, task, r->octets))
		return;
	if (r->octets) {
		if (!exchange_may_send(x, result && result->value ? result->value->len : 0))
			return;
		exchange_reply_blob(x, 200, "application/octet-stream",
				    result ? result->value : NULL);
		return;
	}
	if (!exchange_may_send(x, render_result_size(result)))
		return;
	render_result(&t, task, result);
	exchange_reply_json(x, 200, &t);
}

void result_get(struct exchange *x)
{
	static const struct read_query takes = { 0 };
	struct task_request *r = (struct task_request *)x;
	r->octets = exchange_accepts(x, "application/octet-stream");
	read_task(x, &takes, CALL_WANT_RESULT, result_got);
}

static void add_stream(struct text *t, const char *name, const struct blob *b, bool cut)
{
	text_printf(t, "\"%s\":", name);
	text_json(t, b ? (const char *)b->data : "", b ? b->len : 0);
	text_printf(t, ",\"%s_truncated\":%s", name, cut ? "true" : "false");
}

static size_t blob_len(const struct blob *b)
{
	return b ? b->len : 0;
}

static void logs_got(struct exchange *x)
{
	static const struct task_result empty;
	struct task_request *r = (struct task_request *)x;
	const struct task_result *logs = r->call.ret_result ? r->call.ret_result : &empty;
	struct text t = { 0 };
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	size_t bytes = blob_len(logs->out) + blob_len(logs->err);
	if (!exchange_may_send(x, r->stream ? bytes : bytes * JSON_BYTE_MAX))
		return;
	set_state_header(x, r->call.ret_task);
	if (r->stream) {
		exchange_reply_blob(x, 200, "text/plain; charset=utf-8",
				    r->stream == 1 ? logs->out : logs->err);
		return;
	}
	text_printf(&t, "{\"state\":\"%s\",", task_state_name(r->call.ret_task->state));
	add_stream(&t, "stdout", logs->out, logs->out_cut);
	text_str(&t, ",");
	add_stream(&t, "stderr", logs->err, logs->err_cut);
	text_str(&t, "}");
	exchange_reply_json(x, 200, &t);
}

void logs_get(struct exchange *x)
{
	static const struct read_query takes = { .stream = true };
	read_task(x, &takes, CALL_WANT_LOGS, logs_got);
}
