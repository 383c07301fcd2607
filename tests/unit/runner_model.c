#include "runner_model.h"

#include <string.h>

#include <event2/event.h>

#include "base/assert.h"
#include "base/mem.h"

struct model_slot {
	bool up;
	struct runner_job jobs[RUNNER_PIPE_MAX];
	unsigned len;
};

struct runner {
	struct runner_config config;
	struct runner_handler handler;
	struct model_slot *slots;
	struct event *echo_event;
	struct blob *echo;
	int answer;
	unsigned steals;
	enum task_reason killed;
};

static struct runner *last;

struct runner *runner_model(void)
{
	return last;
}

static struct runner_job take(struct model_slot *s, unsigned at)
{
	FH_ASSERT_CMP(at, <, s->len);
	struct runner_job job = s->jobs[at];
	memmove(&s->jobs[at], &s->jobs[at + 1], (--s->len - at) * sizeof job);
	blob_free(&job.payload);
	return job;
}

/* Answers what was there when it began, one slot after the other, as children would. */
static void on_echo(evutil_socket_t fd, short what, void *ctx)
{
	struct runner *r = ctx;
	(void)fd;
	(void)what;
	for (unsigned i = 0; i < r->config.slots; i++) {
		for (unsigned n = r->slots[i].len; n > 0; n--) {
			struct runner_job job = take(&r->slots[i], 0);
			struct task_result result = { .state = TASK_COMPLETED,
						      .value = blob_ref(r->echo),
						      .run_us = 1 };
			r->handler.finished(r->handler.ctx, i, job.job, &result, false);
		}
	}
}

/* Its jobs print what they are asked for. */
int runner_output(struct runner *r, unsigned slot, uint64_t job, bool is_error, uint64_t from,
		  uint64_t to, struct blob **ret_blob)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz";
	(void)is_error;
	if (r->slots[slot].len == 0 || r->slots[slot].jobs[0].job != job)
		return FH_ENOTFOUND;
	FH_ASSERT_CMP(to, <, sizeof alphabet);
	*ret_blob = blob_copy(alphabet + from, (size_t)(to - from));
	return *ret_blob ? 0 : FH_ENOMEM;
}

int runner_new(const struct runner_config *config, const struct runner_handler *handler,
	       struct runner **ret_runner, struct fh_err *err)
{
	struct runner *r = fh_calloc(1, sizeof *r);
	if (!r)
		return fh_err_set(err, FH_ENOMEM, "no memory");
	r->config = *config;
	r->handler = *handler;
	r->slots = fh_calloc(config->slots, sizeof *r->slots);
	r->echo_event = event_new(config->base, -1, 0, on_echo, r);
	last = r;
	if (!r->slots || !r->echo_event) {
		runner_free(&r);
		return fh_err_set(err, FH_ENOMEM, "no memory");
	}
	*ret_runner = r;
	return 0;
}

void runner_free(struct runner **runner)
{
	struct runner *r = *runner;
	if (!r)
		return;
	for (unsigned i = 0; r->slots && i < r->config.slots; i++)
		while (r->slots[i].len > 0)
			(void)take(&r->slots[i], 0);
	if (r->echo_event)
		event_free(r->echo_event);
	blob_free(&r->echo);
	fh_free(r->slots);
	fh_free(r);
	*runner = last = NULL;
}

int runner_run(struct runner *r, unsigned slot, const struct runner_job *job)
{
	struct model_slot *s = &r->slots[slot];
	FH_ASSERT(job->job != 0 && job->function->payload != NULL);
	if (r->answer)
		return r->answer;
	if (!s->up)
		return FH_ECLOSED;
	FH_ASSERT_CMP(s->len, <, RUNNER_PIPE_MAX);
	s->jobs[s->len] = *job;
	s->jobs[s->len].function = NULL; /* it is borrowed */
	blob_ref(s->jobs[s->len++].payload);
	if (r->echo)
		event_active(r->echo_event, EV_TIMEOUT, 0);
	return 0;
}

void runner_steal(struct runner *r, unsigned slot)
{
	(void)slot;
	r->steals++;
}

int runner_kill(struct runner *r, unsigned slot, uint64_t job, enum task_reason why)
{
	for (unsigned i = 0; i < r->slots[slot].len; i++)
		if (r->slots[slot].jobs[i].job == job) {
			r->killed = why;
			return 0;
		}
	return FH_ENOTFOUND;
}

void runner_model_ready(struct runner *r)
{
	r->handler.ready(r->handler.ctx, "cp311", "abc,numpy");
	for (unsigned i = 0; i < r->config.slots; i++)
		runner_model_slot(r, i, true);
}

void runner_model_broken(struct runner *r, const char *why)
{
	r->handler.broken(r->handler.ctx, why);
}

void runner_model_slot(struct runner *r, unsigned slot, bool up)
{
	r->slots[slot].up = up;
	(up ? r->handler.slot_ready : r->handler.slot_down)(r->handler.ctx, slot);
}

void runner_model_started(struct runner *r, unsigned slot)
{
	r->handler.started(r->handler.ctx, slot, r->slots[slot].jobs[0].job);
}

void runner_model_printed(struct runner *r, unsigned slot, uint64_t out, uint64_t err)
{
	const uint64_t bytes[2] = { out, err };
	FH_ASSERT_CMP(r->slots[slot].len, >, 0);
	r->handler.printed(r->handler.ctx, slot, r->slots[slot].jobs[0].job, bytes);
}

void runner_model_finish(struct runner *r, unsigned slot, struct task_result *own_result,
			 bool retry_match)
{
	struct runner_job job = take(&r->slots[slot], 0);
	r->handler.finished(r->handler.ctx, slot, job.job, own_result, retry_match);
}

void runner_model_return(struct runner *r, unsigned slot)
{
	struct runner_job job = take(&r->slots[slot], r->slots[slot].len - 1);
	r->handler.returned(r->handler.ctx, slot, job.job);
}

void runner_model_answer(struct runner *r, int answer)
{
	r->answer = answer;
}

void runner_model_echo(struct runner *r, struct blob *value)
{
	r->echo = blob_ref(value);
}

unsigned runner_model_len(const struct runner *r, unsigned slot)
{
	return r->slots[slot].len;
}

const struct runner_job *runner_model_job(const struct runner *r, unsigned slot, unsigned at)
{
	return &r->slots[slot].jobs[at];
}

unsigned runner_model_steals(const struct runner *r)
{
	return r->steals;
}

enum task_reason runner_model_killed(const struct runner *r)
{
	return r->killed;
}
