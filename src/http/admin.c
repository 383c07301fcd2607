/* What the server says about itself. */
#include <string.h>

#include "http/handlers.h"
#include "http/server.h"
#include "http/text.h"

static void count(struct text *t, const char *name, uint64_t value)
{
	text_printf(t, ",\"%s\":%llu", name, (unsigned long long)value);
}

static void stats_got(struct exchange *x)
{
	struct stats_request *r = (struct stats_request *)x;
	const struct call_stats_values *v = r->call.ret_values;
	const struct http_server *s = x->server;
	struct text t = { 0 };
	if (r->call.call.ret) {
		problem_reply_call(x, &r->call.call);
		return;
	}
	text_str(&t, "{\"tasks\":{");
	for (unsigned i = 0; i < TASK_STATE_COUNT; i++)
		text_printf(&t, "%s\"%s\":%llu", i ? "," : "", task_state_name((enum task_state)i),
			    (unsigned long long)v->counts[i]);
	text_str(&t, "},\"started_at\":");
	text_json_time(&t, v->started_ms);
	count(&t, "generation", v->generation);
	count(&t, "functions", v->functions);
	count(&t, "groups", v->groups);
	count(&t, "queued_max", v->queued_max);
	count(&t, "queued_bytes", v->queued_bytes);
	count(&t, "queued_bytes_max", v->queued_bytes_max);
	count(&t, "workers", v->workers);
	text_str(&t, ",\"workers_broken\":");
	text_json_str(&t, v->workers_broken);
	count(&t, "slots", v->slots);
	count(&t, "slots_busy", v->slots_busy);
	count(&t, "window", v->window);
	count(&t, "window_max", v->window_max);
	count(&t, "waiting_calls", v->waiting_calls);
	count(&t, "accepted_total", v->accepted_total);
	count(&t, "finished_total", v->finished_total);
	count(&t, "rejected_total", v->rejected_total);
	count(&t, "stale_results_total", v->stale_results_total);
	count(&t, "retries_total", v->retries_total);
	count(&t, "lost_total", v->lost_total);
	count(&t, "store_bytes", v->store_bytes);
	count(&t, "store_commits", v->store_commits);
	count(&t, "connections", s->pool.count);
	count(&t, "connections_max", s->config.limits.connections);
	count(&t, "parked", s->parked);
	count(&t, "parked_max", s->config.limits.parked);
	count(&t, "requests_total", s->requests_total);
	text_str(&t, "}");
	exchange_reply_json(x, 200, &t);
}

void stats_get(struct exchange *x)
{
	struct stats_request *r = (struct stats_request *)x;
	exchange_submit(x, &r->call.call, CALL_STATS, stats_got);
}

void version_get(struct exchange *x)
{
	struct text t = { 0 };
	text_str(&t, "{\"name\":\"farhand\",\"version\":");
	text_json_str(&t, exchange_config(x)->version);
	text_str(&t, ",\"api\":\"v1\"}");
	exchange_reply_json(x, 200, &t);
}

void live_get(struct exchange *x)
{
	struct text t = { 0 };
	text_str(&t, "{\"status\":\"ok\"}");
	exchange_reply_json(x, 200, &t);
}

void ready_get(struct exchange *x)
{
	if (x->server->ready)
		live_get(x);
	else
		problem_reply_later(x, PROBLEM_NOT_READY, "it is starting or stopping", 1);
}
