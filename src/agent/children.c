/* What the runner tells of its template and children, as events of the session. Nothing is decided
 * here; a runner that can start no child is told to the owner once for each reason. */
#include <stdio.h>
#include <string.h>

#include "agent/agent_priv.h"
#include "base/mem.h"

static void on_ready(void *ctx, const char *runtime, const char *modules)
{
	struct agent *a = ctx;
	fh_free(a->modules);
	a->modules = modules ? fh_strdup(modules) : NULL; /* without memory: unknown */
	struct session_event event = { .kind = SESSION_EV_READY, .runtime = runtime };
	if (a->broken_why[0])
		agent_log(a, "the workers' Python works again");
	a->broken_why[0] = '\0';
	agent_step(a, &event, NULL);
}

static void on_broken(void *ctx, const char *why)
{
	struct agent *a = ctx;
	bool news = strcmp(a->broken_why, why) != 0;
	(void)snprintf(a->broken_why, sizeof a->broken_why, "%s", why);
	agent_step_kind(a, SESSION_EV_BROKEN);
	if (news)
		agent_log(a, why);
}

static void slot_event(struct agent *a, enum session_event_kind kind, unsigned slot, uint64_t job)
{
	struct session_event event = { .kind = kind, .slot = { .slot = slot, .job = job } };
	agent_step(a, &event, NULL);
}

static void on_slot_ready(void *ctx, unsigned slot)
{
	slot_event(ctx, SESSION_EV_SLOT_READY, slot, 0);
}

static void on_slot_down(void *ctx, unsigned slot)
{
	slot_event(ctx, SESSION_EV_SLOT_DOWN, slot, 0);
}

static void on_started(void *ctx, unsigned slot, uint64_t job)
{
	slot_event(ctx, SESSION_EV_STARTED, slot, job);
}

static void on_printed(void *ctx, unsigned slot, uint64_t job, const uint64_t bytes[2])
{
	struct session_event event = {
		.kind = SESSION_EV_PRINTED,
		.slot = { .slot = slot, .job = job, .printed = { bytes[0], bytes[1] } }
	};
	agent_step(ctx, &event, NULL);
}

static void on_returned(void *ctx, unsigned slot, uint64_t job)
{
	slot_event(ctx, SESSION_EV_RETURNED, slot, job);
}

static uint64_t bytes_of(const struct task_result *r)
{
	const struct blob *blobs[] = { r->value, r->out, r->err };
	uint64_t bytes = 0;
	for (size_t i = 0; i < sizeof blobs / sizeof *blobs; i++)
		bytes += blobs[i] ? blobs[i]->len : 0;
	return bytes;
}

static void on_finished(void *ctx, unsigned slot, uint64_t job, struct task_result *own_result,
			bool retry_match)
{
	struct session_event event = {
		.kind = SESSION_EV_FINISHED,
		.slot = { .slot = slot,
			  .job = job,
			  .state = own_result->state,
			  .reason = own_result->reason,
			  .run_us = own_result->run_us,
			  .bytes = bytes_of(own_result) },
	};
	if (event.slot.state == TASK_COMPLETED && event.slot.run_us == 0)
		event.slot.run_us = 1; /* it was measured: too short to count */
	agent_step(ctx, &event,
		   &(struct cargo){ .result = own_result, .retry_match = retry_match });
	task_result_release(own_result);
}

int agent_start_runner(struct agent *a, const struct agent_config *config, struct fh_err *err)
{
	struct runner_config runner = {
		.base = config->base,
		.slots = config->slots,
		.python = config->python,
		.paths = config->paths,
		.path_count = config->path_count,
		.grace_ms = config->grace_ms,
		.result_max = config->result_max,
		.log_max = config->log_max,
		.recycle_jobs = config->recycle_jobs,
	};
	struct runner_handler handler = {
		.ctx = a,
		.ready = on_ready,
		.slot_ready = on_slot_ready,
		.started = on_started,
		.printed = on_printed,
		.finished = on_finished,
		.returned = on_returned,
		.slot_down = on_slot_down,
		.broken = on_broken,
	};
	return runner_new(&runner, &handler, &a->runner, err);
}
