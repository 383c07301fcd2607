/* What a task waits for, as its dispatcher tells it. An unknown task is 404. */
#include "base/needs_advice.h"
#include "http/handlers.h"
#include "http/text.h"

static void render_need(struct text *t, const struct call_need *n)
{
	text_printf(t, "{\"why\":\"%s\",\"wanted\":", needs_kind_word(n->kind));
	text_json_str(t, n->wanted);
	text_printf(t, ",\"workers\":%u,\"fitting\":%u,\"text\":", n->workers, n->fitting);
	text_json_str(t, n->text);
	text_str(t, "}");
}

static void render_explanation(struct text *t, struct fh_id task, const struct call_explanation *e)
{
	static const char *const words[CALL_WAITS_FOR_COUNT] = {
#define X(name, word) [CALL_WAITS_FOR_##name] = word,
		CALL_WAITS_FOR(X)
#undef X
	};
	text_str(t, "{\"id\":");
	text_json_id(t, task);
	text_printf(t,
		    ",\"state\":\"%s\",\"waits_for\":\"%s\",\"text\":", task_state_name(e->state),
		    words[e->waits_for]);
	text_json_str(t, e->text);
	text_str(t, ",\"until\":");
	text_json_time(t, e->until_ms);
	text_str(t, ",\"position\":");
	if (e->position_known)
		text_u64(t, e->position);
	else
		text_str(t, "null");
	text_str(t, ",\"worker_id\":");
	text_json_id(t, e->worker);
	text_str(t, ",\"needs\":[");
	for (uint32_t i = 0; i < e->need_count; i++) {
		text_str(t, i ? "," : "");
		render_need(t, &e->needs[i]);
	}
	text_str(t, "]}");
}

static void explained(struct exchange *x)
{
	const struct call_explain *c = &((struct explain_request *)x)->call;
	struct text t = { 0 };
	if (c->call.ret) {
		problem_reply_call(x, &c->call);
		return;
	}
	render_explanation(&t, c->task, c->ret_explanation);
	exchange_reply_json(x, 200, &t);
}

void explain_get(struct exchange *x)
{
	struct explain_request *r = (struct explain_request *)x;
	if (path_id(x, &r->call.task))
		exchange_submit(x, &r->call.call, CALL_EXPLAIN, explained);
}
