/* The four endpoints that clients use since before there was a versioned interface. They stay as
 * they are: what is missing or of the wrong type is 422, unknown members are ignored, a result is
 * always a string of base64 in lines, a failure is the pickled exception itself. A module that is
 * missing on every worker is found out by the task, which fails.
 *
 * Failure modes: as the checks stand in the code, in that order. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/pickle.h"
#include "http/handlers.h"
#include "http/json_in.h"
#include "http/render.h"
#include "http/task_in.h"
#include "http/text.h"

/* A member that must be a string; NULL: the exchange is answered. */
static const json_t *string_member(struct exchange *x, const json_t *body, const char *name)
{
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	const json_t *value = json_object_get(body, name);
	if (json_is_string(value))
		return value;
	size_t before = json_in_member(&in, name);
	json_in_error(&in, value ? "not a string" : "missing");
	json_in_leave(&in, before);
	problem_reply_fields(x, &errors);
	return NULL;
}

static void registered(struct exchange *x)
{
	struct function_request *r = (struct function_request *)x;
	struct text t = { 0 };
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	text_str(&t, "{\"function_id\":");
	text_json_id(&t, r->call.ret_id);
	text_str(&t, "}");
	exchange_reply_json(x, r->call.ret_created ? 201 : 200, &t);
}

void legacy_register(struct exchange *x)
{
	json_t *body = body_object(x);
	if (!body)
		return;
	const json_t *name = string_member(x, body, "name");
	const json_t *payload = name ? string_member(x, body, "payload") : NULL;
	struct function_fields f = { .name = json_string_value(name),
				     .payload = payload,
				     .serializer = SERIALIZER_DILL };
	if (payload)
		function_submit((struct function_request *)x, &f, registered);
	json_decref(body);
}

static void executed(struct exchange *x)
{
	struct submit_request *r = (struct submit_request *)x;
	struct text t = { 0 };
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	text_str(&t, "{\"task_id\":");
	text_json_id(&t, r->single_id);
	text_str(&t, "}");
	exchange_reply_json(x, 201, &t);
}

/* The payload is no pickle; but an unknown function counts first, and only the sink knows them. */
static void function_looked_up(struct exchange *x)
{
	struct legacy_request *r = (struct legacy_request *)x;
	if (r->lookup.call.ret)
		problem_reply_call(x, &r->lookup.call);
	else
		problem_reply(x, PROBLEM_INVALID_PAYLOAD, r->err.text);
}

static void execute_checked(struct legacy_request *r, struct task_fields *f)
{
	struct exchange *x = &r->submit.x;
	struct blob *payload = NULL;
	r->err = (struct fh_err){ "no memory for the task" };
	int ret = payload_read(f->payload, &exchange_config(x)->limits, &payload, &f->modules,
			       &r->err);
	r->submit.call.modules_anywhere = true;
	if (ret == 0)
		ret = submit_single(&r->submit, f, payload, NULL, executed);
	if (ret == FH_ESYNTAX) {
		r->lookup.id = f->function_id;
		exchange_submit(x, &r->lookup.call, CALL_GET_FUNCTION, function_looked_up);
	} else if (ret) {
		problem_reply(x, problem_of_error(ret), r->err.text);
	}
}

void legacy_execute(struct exchange *x)
{
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	struct task_fields f;
	json_t *body = body_object(x);
	if (!body)
		return;
	task_fields_init(&f, exchange_now_ms(x));
	const json_t *function_id = string_member(x, body, "function_id");
	f.payload = function_id ? string_member(x, body, "payload") : NULL;
	if (f.payload) {
		size_t before = json_in_member(&in, "function_id");
		bool ok = json_in_id(&in, function_id, &f.function_id);
		json_in_leave(&in, before);
		if (ok)
			execute_checked((struct legacy_request *)x, &f);
		else
			problem_reply_fields(x, &errors);
	}
	task_fields_release(&f);
	json_decref(body);
}

/* The old interface has four states; what was cancelled has failed. */
static const char *old_state(enum task_state state)
{
	return task_state_name(state == TASK_CANCELLED ? TASK_FAILED : state);
}

static void status_got(struct exchange *x)
{
	struct task_request *r = (struct task_request *)x;
	struct text t = { 0 };
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	text_str(&t, "{\"task_id\":");
	text_json_id(&t, r->call.ret_task->id);
	text_printf(&t, ",\"status\":\"%s\"}", old_state(r->call.ret_task->state));
	exchange_reply_json(x, 200, &t);
}

/* A failure must decode with the standard library alone. */
static struct blob *failure(const struct task_rec *task, const struct task_result *result)
{
	char text[1024];
	const char *reason = task_reason_name(task->reason);
	const char *message = result && result->error_message ? result->error_message : "";
	(void)snprintf(text, sizeof text, "%s%s%s", reason ? reason : "failed",
		       *message ? ": " : "", message);
	switch (task->reason) {
	case REASON_CANCELLED:
		return pickle_exception("concurrent.futures._base", "CancelledError", text);
	case REASON_TIMEOUT:
	case REASON_EXPIRED:
		return pickle_exception("builtins", "TimeoutError", text);
	case REASON_MEMORY:
		return pickle_exception("builtins", "MemoryError", text);
	default:
		return pickle_exception("builtins", "RuntimeError", text);
	}
}

static void add_value(struct text *t, const struct blob *value)
{
	size_t len = base64_lines_len(value->len);
	char *lines = fh_malloc(len);
	if (lines) {
		base64_encode_lines(value->data, value->len, lines);
		text_json(t, lines, len);
	} else {
		t->broken = true;
	}
	fh_free(lines);
}

static void result_got(struct exchange *x)
{
	struct task_request *r = (struct task_request *)x;
	const struct task_rec *task = r->call.ret_task;
	const struct task_result *result = r->call.ret_result;
	struct text t = { 0 };
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	if (!exchange_may_send(x, render_result_size(r->call.ret_result)))
		return;
	text_str(&t, "{\"task_id\":");
	text_json_id(&t, task->id);
	text_printf(&t, ",\"status\":\"%s\",\"result\":", old_state(task->state));
	if (!task_state_is_final(task->state)) {
		text_str(&t, "\"None\"");
	} else {
		struct blob *value = blob_ref(result ? result->value : NULL);
		if (!value)
			value = failure(task, result);
		if (value)
			add_value(&t, value);
		else
			t.broken = true;
		blob_free(&value);
	}
	text_str(&t, "}");
	exchange_reply_json(x, 200, &t);
}

static void read_task(struct exchange *x, unsigned want, void (*finish)(struct exchange *x))
{
	struct task_request *r = (struct task_request *)x;
	r->call.want = want;
	if (path_id(x, &r->call.task))
		exchange_submit(x, &r->call.call, CALL_GET_TASK, finish);
}

void legacy_status(struct exchange *x)
{
	read_task(x, 0, status_got);
}

void legacy_result(struct exchange *x)
{
	read_task(x, CALL_WANT_RESULT, result_got);
}
