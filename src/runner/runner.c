/* The calls of runner.h, and the order in which the caller hears of what happens. Happy path: a
 * handler of the loop tells the caller directly. What happens inside a call of the caller's waits
 * in a ring and is delivered from the loop, and whatever happens behind it waits there too, so that
 * nobody is re-entered and nothing overtakes. */
#include "runner/runner.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "runner/embedded.h"
#include "runner/runner_priv.h"

enum {
	/* Events of one slot that can wait: each of its jobs begins and ends once, as runner_run()
	 * counts what waits; a child goes down and the next one comes up. */
	EVENTS_PER_SLOT = 2 * RUNNER_PIPE_MAX + 4,
};

uint64_t runner_now(void)
{
	return (uint64_t)fh_monotonic_us() / 1000;
}

int64_t runner_unix_now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- events ------------------------------------------------------------------------------ */

static void deliver(struct runner *r, struct runner_event *e)
{
	const struct runner_handler *h = &r->handler;
	switch (e->kind) {
	case EVENT_STARTED:
		h->started(h->ctx, e->slot, e->job);
		break;
	case EVENT_FINISHED:
		h->finished(h->ctx, e->slot, e->job, &e->result, e->retry_match);
		break;
	case EVENT_RETURNED:
		h->returned(h->ctx, e->slot, e->job);
		break;
	case EVENT_UP:
		h->slot_ready(h->ctx, e->slot);
		break;
	case EVENT_DOWN:
		h->slot_down(h->ctx, e->slot);
		break;
	}
}

void runner_emit(struct slot *s, enum runner_event_kind kind, uint64_t job,
		 struct task_result *own_result, bool retry_match)
{
	struct runner *r = s->r;
	struct runner_event e = {
		.kind = kind, .slot = s->number, .job = job, .retry_match = retry_match
	};
	if (own_result)
		e.result = *own_result;
	if (!r->in_call && r->events_len == 0) {
		deliver(r, &e);
		return;
	}
	FH_ASSERT_CMP(r->events_len, <, r->events_max);
	r->events[(r->events_head + r->events_len++) % r->events_max] = e;
	s->queued++;
	if (r->events_len == 1)
		event_active(r->deferred, EV_TIMEOUT, 0);
}

void runner_flush(struct runner *r)
{
	while (r->events_len > 0) {
		struct runner_event e = r->events[r->events_head];
		r->events_head = (r->events_head + 1) % r->events_max;
		r->events_len--;
		r->slots[e.slot].queued--;
		deliver(r, &e);
	}
}

static void deferred(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	runner_flush(ctx);
}

/* ---- timers ------------------------------------------------------------------------------ */

void runner_watch(struct runner *r)
{
	const struct timeval soon = { 0, RUNNER_TICK_MS * 1000 };
	if (!evtimer_pending(r->tick, NULL))
		(void)evtimer_add(r->tick, &soon); /* no memory: the next job tries again */
}

static void tick(evutil_socket_t fd, short what, void *ctx)
{
	struct runner *r = ctx;
	bool busy = false, memory = ++r->ticks % RUNNER_MEMORY_TICKS == 0;
	uint64_t now = runner_now();
	(void)fd;
	(void)what;
	runner_flush(r);
	for (unsigned i = 0; i < r->config.slots; i++) {
		slot_tick(&r->slots[i], now, memory);
		busy |= r->slots[i].count > 0;
	}
	runner_flush(r);
	if (busy)
		runner_watch(r);
}

void runner_retry_later(struct runner *r)
{
	if (evtimer_pending(r->retry, NULL))
		return;
	r->retry_ms = r->retry_ms ? r->retry_ms * 2 : RUNNER_RETRY_MIN_MS;
	if (r->retry_ms > RUNNER_RETRY_MAX_MS)
		r->retry_ms = RUNNER_RETRY_MAX_MS;
	struct timeval later = { r->retry_ms / 1000, (suseconds_t)(r->retry_ms % 1000) * 1000 };
	(void)evtimer_add(r->retry, &later);
}

static void retry(evutil_socket_t fd, short what, void *ctx)
{
	struct runner *r = ctx;
	(void)fd;
	(void)what;
	runner_flush(r);
	if (r->template.pid == 0)
		template_start(r);
	for (unsigned i = 0; i < r->config.slots; i++)
		slot_fork(&r->slots[i]);
	runner_flush(r);
}

static void pulse(evutil_socket_t fd, short what, void *ctx)
{
	struct runner *r = ctx;
	(void)fd;
	(void)what;
	runner_flush(r);
	template_pulse(r);
	for (unsigned i = 0; i < r->config.slots; i++)
		slot_pulse(&r->slots[i]);
	runner_flush(r);
}

/* ---- life -------------------------------------------------------------------------------- */

static int copy_config(struct runner *r, const struct runner_config *config)
{
	r->config = *config;
	r->python = fh_strdup(config->python);
	r->paths = fh_calloc(config->path_count, sizeof *r->paths);
	if (!r->python || !r->paths)
		return FH_ENOMEM;
	for (size_t i = 0; i < config->path_count; i++) {
		r->paths[i] = fh_strdup(config->paths[i]);
		if (!r->paths[i])
			return FH_ENOMEM;
	}
	r->config.python = r->python;
	r->config.paths = (const char *const *)r->paths;
	if (r->config.deaf_ms == 0)
		r->config.deaf_ms = RUNNER_DEAF_MS;
	r->bounds = (struct frame_bounds){ config->result_max, config->log_max };
	return 0;
}

static int open_modules(struct runner *r, struct fh_err *err)
{
	r->modules = memfd_create("farhand-runner", MFD_CLOEXEC);
	if (r->modules < 0 ||
	    write(r->modules, runner_modules, runner_modules_len) != (ssize_t)runner_modules_len)
		return fh_err_set(err, FH_EIO, "cannot hold the runner's code: %s",
				  strerror(errno));
	return 0;
}

static int init_parts(struct runner *r)
{
	unsigned slots = r->config.slots;
	r->slots = fh_calloc(slots, sizeof *r->slots);
	r->buffer = fh_malloc(FRAME_MESSAGE_MAX);
	r->events_max = (size_t)slots * EVENTS_PER_SLOT;
	r->events = fh_calloc(r->events_max, sizeof *r->events);
	r->tick = evtimer_new(r->config.base, tick, r);
	r->retry = evtimer_new(r->config.base, retry, r);
	r->deferred = evtimer_new(r->config.base, deferred, r);
	r->pulse = event_new(r->config.base, -1, EV_PERSIST, pulse, r);
	if (!r->slots || !r->buffer || !r->events || !r->tick || !r->retry || !r->deferred ||
	    !r->pulse)
		return FH_ENOMEM;
	uint32_t pulse_ms = r->config.deaf_ms / RUNNER_DEAF_PULSES;
	const struct timeval beat = { pulse_ms / 1000, (suseconds_t)(pulse_ms % 1000) * 1000 };
	if (evtimer_add(r->pulse, &beat) < 0)
		return FH_ENOMEM;
	for (unsigned i = 0; i < slots; i++) {
		if (slot_init(&r->slots[i], r, i))
			return FH_ENOMEM;
	}
	event_active(r->retry, EV_TIMEOUT, 0);
	return 0;
}

int runner_new(const struct runner_config *config, const struct runner_handler *handler,
	       struct runner **ret_runner, struct fh_err *err)
{
	FH_ASSERT_CMP(config->slots, >, 0);
	struct runner *r = fh_calloc(1, sizeof *r);
	if (!r)
		return fh_err_set(err, FH_ENOMEM, "%s", fh_error_text(FH_ENOMEM));
	r->modules = r->template.control = r->template.output = -1;
	r->handler = *handler;
	int ret = copy_config(r, config);
	if (ret == 0)
		ret = init_parts(r);
	if (ret)
		(void)fh_err_set(err, ret, "%s", fh_error_text(ret));
	else
		ret = open_modules(r, err);
	if (ret) {
		runner_free(&r);
		return ret;
	}
	*ret_runner = r;
	return 0;
}

void runner_free(struct runner **r_)
{
	struct runner *r = *r_;
	*r_ = NULL;
	if (!r)
		return;
	template_end(r);
	for (unsigned i = 0; r->slots && i < r->config.slots; i++)
		slot_release(&r->slots[i]);
	for (; r->events_len > 0; r->events_len--) {
		task_result_release(&r->events[r->events_head].result);
		r->events_head = (r->events_head + 1) % r->events_max;
	}
	struct event *const timers[] = { r->tick, r->retry, r->deferred, r->pulse };
	for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
		if (timers[i])
			event_free(timers[i]);
	}
	for (size_t i = 0; r->paths && i < r->config.path_count; i++)
		fh_free(r->paths[i]);
	if (r->modules >= 0)
		(void)close(r->modules);
	fh_free(r->paths);
	fh_free(r->python);
	fh_free(r->slots);
	fh_free(r->buffer);
	fh_free(r->events);
	fh_free(r);
}

/* ---- calls ------------------------------------------------------------------------------- */

int runner_run(struct runner *r, unsigned slot, const struct runner_job *job)
{
	FH_ASSERT_CMP(slot, <, r->config.slots);
	FH_ASSERT(job->job != 0);
	struct slot *s = &r->slots[slot];
	uint32_t recycle_jobs = r->config.recycle_jobs;
	if (s->state != SLOT_READY || (recycle_jobs && s->given >= recycle_jobs))
		return FH_ECLOSED;
	if (s->count + s->queued >= RUNNER_PIPE_MAX)
		return FH_EAGAIN;
	struct frame_request head = { .job = job->job, .bytes = job->mem_bytes };
	if (job->announce || job->mem_bytes)
		head.flags |= FRAME_ANNOUNCE;
	if (s->given + 1 == recycle_jobs)
		head.flags |= FRAME_LAST;
	bool in_file;
	int ret = channel_send(&s->channel, job->function, head, job->retry_classes, job->payload,
			       &in_file);
	if (ret == 0)
		job_push(s, job, in_file);
	return ret;
}

int runner_output(struct runner *r, unsigned slot, uint64_t job, bool is_error, uint64_t from,
		  uint64_t to, struct blob **ret_blob)
{
	FH_ASSERT_CMP(slot, <, r->config.slots);
	struct slot *s = &r->slots[slot];
	const struct job *first = job_first(s);
	if (!first || first->number != job)
		return FH_ENOTFOUND;
	return log_copy(s, is_error, from, to, ret_blob);
}

void runner_steal(struct runner *r, unsigned slot)
{
	FH_ASSERT_CMP(slot, <, r->config.slots);
	bool outer = r->in_call;
	r->in_call = true;
	slot_return_unread(&r->slots[slot]);
	r->in_call = outer;
}

int runner_kill(struct runner *r, unsigned slot, uint64_t job, enum task_reason why)
{
	FH_ASSERT_CMP(slot, <, r->config.slots);
	bool outer = r->in_call;
	r->in_call = true;
	int ret = slot_kill(&r->slots[slot], job, why, false);
	r->in_call = outer;
	return ret;
}
