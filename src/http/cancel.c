/* Cancelling a task: DELETE, or POST with a body that may say `{"force": false}`.
 *
 * Happy path: 200, it will not run; or 202, it runs and is being ended.
 * Failure modes: unknown (404); final already, or running and to be spared (409). */
#include "http/handlers.h"
#include "http/json_in.h"
#include "http/text.h"

static void take_force(struct json_in *in, const json_t *value, void *target)
{
	(void)json_in_bool(in, value, target);
}

static void cancelled(struct exchange *x)
{
	struct cancel_request *r = (struct cancel_request *)x;
	struct text t = { 0 };
	if (r->call.call.ret == FH_EBUSY) {
		problem_reply(x, PROBLEM_RUNNING, "the task runs; with force it is ended");
		return;
	}
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	text_str(&t, "{\"id\":");
	text_json_id(&t, r->call.task);
	text_printf(&t, ",\"state\":\"%s\"}", r->call.ret_running ? "RUNNING" : "CANCELLED");
	exchange_reply_json(x, r->call.ret_running ? 202 : 200, &t);
}

void cancel_post(struct exchange *x)
{
	static const struct json_field fields[] = {
		{ "force", take_force, 1 },
		{ "grace_s", NULL, 1 },
		{ "reason", NULL, 1 },
	};
	struct cancel_request *r = (struct cancel_request *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	bool force = true;
	if (!path_id(x, &r->call.task))
		return;
	json_t *body = body_object(x);
	if (!body)
		return;
	json_in_object(&in, body, fields, sizeof fields / sizeof *fields, 1, &force);
	json_decref(body);
	r->call.spare_running = !force;
	if (errors.count)
		problem_reply_fields(x, &errors);
	else
		exchange_submit(x, &r->call.call, CALL_CANCEL, cancelled);
}
