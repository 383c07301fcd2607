/* The agent's life, and its way from events to steps.
 *
 * Happy path: a message, a callback of the runner or the timer becomes one event of the session;
 * the actions of that step are performed (perform.c) before anything else happens; then the timer
 * is set to when the session wants its next TICK.
 *
 * Failure modes: what the runner refuses comes back to the session as an event of its own, after
 * the actions of the step that asked for it. A transport that is gone, or a runner that cannot
 * start children, is the session's to deal with; the owner gets a line to log. */
#include "agent/agent.h"

#include <string.h>

#include "agent/agent_priv.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
	POLL_MAX = 256, /* messages between two looks at the children's sockets */
};

_Static_assert((int)SESSION_PIPE_MAX == (int)RUNNER_PIPE_MAX, "one pipe, two names");

static int64_t now_us(const struct agent *a)
{
	return a->config.now_us ? a->config.now_us(a->config.ctx) : fh_monotonic_us();
}

void agent_log(struct agent *a, const char *line)
{
	if (a->config.log)
		a->config.log(a->config.ctx, line);
}

/* ---- steps ---- */

static void set_timer(struct agent *a, int64_t now)
{
	int64_t at = session_next_us(a->session);
	if (at >= a->timer_us)
		return;
	int64_t wait = at > now ? at - now : 0;
	struct timeval tv = { .tv_sec = wait / 1000000, .tv_usec = wait % 1000000 };
	/* Without memory for it the timer keeps its old time, and the next step tries again. */
	if (event_add(a->timer, &tv) == 0)
		a->timer_us = at;
}

/* The runner did not take the job. EAGAIN, ECLOSED: the session finds another place. Anything else
 * is this host's trouble, which costs an attempt and not the task. */
static void tell_refused(struct agent *a, struct parcel *p, int64_t now)
{
	struct session_event event = { .kind = SESSION_EV_REFUSED,
				       .slot = { .slot = p->slot, .job = p->job } };
	struct cargo cargo = { 0 };
	struct task_result result = { 0 };
	list_remove(&p->refused);
	if (p->why != FH_EAGAIN && p->why != FH_ECLOSED) {
		result = agent_made_result(TASK_FAILED, REASON_WORKER_LOST, "builtins.OSError",
					   "the worker could not pass the task to a child");
		event.kind = SESSION_EV_FINISHED;
		event.slot.state = result.state;
		event.slot.reason = result.reason;
		cargo.result = &result;
	}
	session_step(a->session, &event, now, &a->out);
	agent_perform(a, &cargo);
	task_result_release(&result);
}

void agent_step(struct agent *a, const struct session_event *event, struct cargo *cargo)
{
	static const struct session_event tick = { .kind = SESSION_EV_TICKED };
	int64_t now = now_us(a);
	session_step(a->session, event, now, &a->out);
	agent_perform(a, cargo);
	for (;;) {
		if (a->out.more) {
			session_step(a->session, &tick, now, &a->out);
			agent_perform(a, NULL);
		} else if (!list_empty(&a->refused)) {
			tell_refused(a, list_entry(a->refused.next, struct parcel, refused), now);
		} else {
			break;
		}
	}
	if (!a->drained_told && session_is_drained(a->session))
		event_active(a->work, EV_TIMEOUT, 0);
	set_timer(a, now);
}

void agent_step_kind(struct agent *a, enum session_event_kind kind)
{
	struct session_event event = { .kind = kind };
	agent_step(a, &event, NULL);
}

/* ---- from the loop ---- */

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct agent *a = ctx;
	(void)fd;
	(void)what;
	a->timer_us = INT64_MAX;
	agent_step_kind(a, SESSION_EV_TICKED);
}

static void on_work(evutil_socket_t fd, short what, void *ctx)
{
	struct agent *a = ctx;
	(void)fd;
	(void)what;
	if (transport_poll(a->transport, POLL_MAX))
		event_active(a->work, EV_TIMEOUT, 0);
	if (a->refusal[0] && !a->refusal_told) {
		a->refusal_told = true;
		if (a->config.refused)
			a->config.refused(a->config.ctx, a->refusal);
	}
	if (a->drained_told || !session_is_drained(a->session))
		return;
	a->drained_told = true;
	if (a->config.drained)
		a->config.drained(a->config.ctx);
}

/* ---- from the transport ---- */

static bool is_welcomed(const struct agent *a)
{
	struct session_stats stats;
	session_stats(a->session, &stats);
	return stats.welcomed;
}

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct agent *a = ctx;
	(void)peer;
	struct session_event event = { .kind = SESSION_EV_RECEIVED, .message = own_msg };
	bool welcome = own_msg->type == WIRE_WELCOME;
	agent_step(a, &event, &(struct cargo){ .message = own_msg });
	wire_msg_release(own_msg);
	if (welcome && a->config.welcomed && is_welcomed(a))
		a->config.welcomed(a->config.ctx);
}

static void on_heard(void *ctx, uint64_t peer)
{
	(void)peer;
	agent_step_kind(ctx, SESSION_EV_HEARD);
}

static void on_connected(void *ctx, uint64_t peer)
{
	(void)peer;
	agent_step_kind(ctx, SESSION_EV_CONNECTED);
}

static void on_lost(void *ctx, uint64_t peer)
{
	struct agent *a = ctx;
	(void)peer;
	agent_log(a, "the dispatcher is gone");
	agent_step_kind(a, SESSION_EV_DISCONNECTED);
}

static void on_trouble(void *ctx, const char *line)
{
	agent_log(ctx, line);
}

static void on_wake(void *ctx)
{
	struct agent *a = ctx;
	event_active(a->work, EV_TIMEOUT, 0);
}

/* ---- life ---- */

static int keep_tables(struct agent *a, const struct agent_config *config)
{
	a->host = config->host ? fh_strdup(config->host) : NULL;
	a->labels = config->labels ? fh_strdup(config->labels) : NULL;
	if ((config->host && !a->host) || (config->labels && !a->labels))
		return FH_ENOMEM;
	uint32_t jobs = session_job_count_max(a->session);
	a->parcels = fh_calloc(jobs, sizeof *a->parcels);
	a->functions = fh_calloc(session_function_count_max(a->session), sizeof *a->functions);
	return a->parcels && a->functions ? 0 : FH_ENOMEM;
}

int agent_new(const struct agent_config *config, struct agent **ret_agent, struct fh_err *err)
{
	struct agent *a = fh_calloc(1, sizeof *a);
	if (!a)
		return fh_err_set(err, FH_ENOMEM, "no memory for the agent");
	a->config = *config;
	a->config.own_transport = NULL;
	a->config.python = NULL;
	a->config.paths = NULL;
	a->config.host = a->config.labels = NULL;
	a->timer_us = INT64_MAX;
	list_init(&a->refused);

	struct session_config session = { .slots = config->slots, .ahead = config->ahead };
	int ret = session_new(&session, &a->session);
	if (ret == FH_EINVAL)
		(void)fh_err_set(err, ret, "a worker has 1 to %d slots, not %u", SESSION_SLOTS_MAX,
				 config->slots);
	if (ret)
		goto fail;
	ret = keep_tables(a, config);
	a->work = event_new(config->base, -1, 0, on_work, a);
	a->timer = event_new(config->base, -1, 0, on_timer, a);
	if (!a->work || !a->timer)
		ret = FH_ENOMEM;
	if (!ret)
		ret = agent_start_runner(a, config, err);
	if (ret)
		goto fail;

	a->transport = config->own_transport;
	a->transport->handler = (struct transport_handler){
		.ctx = a,
		.connected = on_connected,
		.message = on_message,
		.heard = on_heard,
		.lost = on_lost,
		.wake = on_wake,
		.trouble = on_trouble,
	};
	event_active(a->work, EV_TIMEOUT, 0);
	*ret_agent = a;
	return 0;
fail:
	if (ret == FH_ENOMEM)
		(void)fh_err_set(err, ret, "no memory for the agent");
	agent_free(&a);
	return ret;
}

static void release_kept(struct agent *a)
{
	for (uint32_t i = 0; a->parcels && i < session_job_count_max(a->session); i++)
		agent_parcel_release(&a->parcels[i]);
	for (uint32_t i = 0; a->functions && i < session_function_count_max(a->session); i++)
		agent_function_release(&a->functions[i]);
	fh_free(a->parcels);
	fh_free(a->functions);
}

void agent_free(struct agent **agent)
{
	struct agent *a = *agent;
	if (!a)
		return;
	*agent = NULL;
	if (a->runner)
		runner_free(&a->runner);
	if (a->transport && is_welcomed(a))
		agent_say_bye(a); /* and it is true: nothing runs any more */
	transport_free(&a->transport);
	if (a->session)
		release_kept(a);
	session_free(&a->session);
	fh_free(a->host);
	fh_free(a->labels);
	fh_free(a->modules);
	if (a->work)
		event_free(a->work);
	if (a->timer)
		event_free(a->timer);
	fh_free(a);
}

void agent_drain(struct agent *a)
{
	agent_step_kind(a, SESSION_EV_DRAINED);
}

unsigned agent_slots_busy(const struct agent *a)
{
	struct session_stats stats;
	session_stats(a->session, &stats);
	return stats.slots_busy;
}

const char *agent_broken_why(const struct agent *a)
{
	return a->broken_why[0] ? a->broken_why : NULL;
}

void agent_stats(const struct agent *a, struct agent_stats *ret_stats)
{
	struct session_stats stats;
	session_stats(a->session, &stats);
	*ret_stats = (struct agent_stats){
		.broken = stats.broken,
		.slots = stats.slots,
		.slots_up = stats.slots_up,
		.slots_busy = stats.slots_busy,
		.waiting = stats.waiting,
		.unacknowledged = stats.unacknowledged,
		.finished = stats.finished,
	};
	memcpy(ret_stats->runtime, stats.runtime, sizeof stats.runtime);
	memcpy(ret_stats->broken_why, a->broken_why, sizeof a->broken_why);
}
