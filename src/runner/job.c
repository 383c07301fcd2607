/* The jobs of a slot: a ring in the order in which they were given, which is the order in which the
 * child runs and answers them. Happy path: RESULT answers the first of the ring.
 *
 * Ending one job, and no other, needs no handshake. (1) What the child has not read is taken back.
 * (2) What it has sent is received. (3) If the job's answer is not there, the child has not sent it
 * by now, and it reads its next job only after that: but there is none any more, and none is given
 * to it. So the signal meets this job, or an idle child.
 *
 * Failure modes: whatever a child of ours would not send condemns the child: it is killed, and the
 * job that it was running is its crash. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "runner/runner_priv.h"

struct job *job_first(struct slot *s)
{
	return s->count ? &s->jobs[s->head] : NULL;
}

bool job_is_unread(struct slot *s, const struct job *j)
{
	return channel_is_unread(&s->channel, j->number, j->clock);
}

static void becomes_first(struct slot *s)
{
	s->head_since = runner_now();
	s->head_since_unix = runner_unix_now();
	if (!s->unread_since)
		s->unread_since = s->head_since;
}

void job_push(struct slot *s, const struct runner_job *job, bool in_file)
{
	FH_ASSERT_CMP(s->count, <, RUNNER_PIPE_MAX);
	s->jobs[(s->head + s->count++) % RUNNER_PIPE_MAX] =
		(struct job){ .number = job->job,
			      .clock = s->channel.clock,
			      .mem_bytes = job->mem_bytes,
			      .in_file = in_file };
	if (s->count == 1)
		becomes_first(s);
	s->given++;
	runner_watch(s->r);
}

static struct job pop_first(struct slot *s)
{
	struct job j = s->jobs[s->head];
	if (j.in_file)
		channel_free_region(&s->channel);
	s->head = (s->head + 1) % RUNNER_PIPE_MAX;
	if (--s->count > 0)
		becomes_first(s);
	return j;
}

/* ---- back to the caller ------------------------------------------------------------------ */

/* Takes a job out from anywhere in the ring; false if it is not there. */
static bool remove_job(struct slot *s, uint64_t number)
{
	unsigned at = 0;
	while (at < s->count && s->jobs[(s->head + at) % RUNNER_PIPE_MAX].number != number)
		at++;
	if (at == s->count)
		return false;
	if (at == 0) {
		(void)pop_first(s);
		return true;
	}
	if (s->jobs[(s->head + at) % RUNNER_PIPE_MAX].in_file)
		channel_free_region(&s->channel);
	for (s->count--; at < s->count; at++)
		s->jobs[(s->head + at) % RUNNER_PIPE_MAX] =
			s->jobs[(s->head + at + 1) % RUNNER_PIPE_MAX];
	return true;
}

/* Takes the unread jobs out; returns how many. They need not be the last ones of the ring: while
 * they are taken from the front of the socket, the child may read one that lies behind them. */
static unsigned take_unread(struct slot *s, uint64_t taken[RUNNER_PIPE_MAX])
{
	unsigned n = 0;
	while (s->count > 0 && channel_take_back(&s->channel, &taken[n]) == 0) {
		if (remove_job(s, taken[n]))
			n++;
	}
	s->given -= n;
	return n;
}

void slot_return_unread(struct slot *s)
{
	uint64_t taken[RUNNER_PIPE_MAX];
	unsigned n = take_unread(s, taken);
	for (unsigned i = 0; i < n; i++)
		runner_emit(s, EVENT_RETURNED, taken[i], NULL, false);
}

void slot_return_all(struct slot *s)
{
	while (s->count > 0)
		runner_emit(s, EVENT_RETURNED, pop_first(s).number, NULL, false);
}

/* ---- ends -------------------------------------------------------------------------------- */

/* The exception that a client raises for it. */
static const char *type_of(enum task_reason reason)
{
	switch (reason) {
	case REASON_TIMEOUT:
		return "builtins.TimeoutError";
	case REASON_MEMORY:
		return "builtins.MemoryError";
	case REASON_CANCELLED:
		return "concurrent.futures._base.CancelledError";
	default:
		return "builtins.RuntimeError";
	}
}

static const char *message_of(enum task_reason why)
{
	switch (why) {
	case REASON_TIMEOUT:
		return "the execution limit was reached";
	case REASON_MEMORY:
		return "the memory limit was reached";
	case REASON_CANCELLED:
		return "cancelled while it ran";
	default:
		return "the runner was ended";
	}
}

/* A result for a job that ended without the child's word. Without memory it stays without texts:
 * state and reason are what counts. */
static struct task_result failure(const struct slot *s, enum task_reason reason,
				  const char *message)
{
	struct task_result r = {
		.state = reason == REASON_CANCELLED ? TASK_CANCELLED : TASK_FAILED,
		.reason = reason,
		.started_ms = s->head_since_unix,
	};
	r.error_type = fh_strdup(type_of(reason));
	r.error_message = fh_strdup(message);
	return r;
}

/* The one way out of the ring for a job that has ended. */
static void finish_first(struct slot *s, struct task_result *own_result, bool retry_match)
{
	log_unwatch(s);
	log_take(s, own_result);
	struct job j = pop_first(s);
	memcpy(own_result->runtime, s->r->runtime, sizeof own_result->runtime);
	own_result->finished_ms = runner_unix_now();
	runner_emit(s, EVENT_FINISHED, j.number, own_result, retry_match);
}

void slot_fail_first(struct slot *s, enum task_reason reason, const char *message)
{
	struct task_result r = failure(s, reason, message ? message : message_of(reason));
	finish_first(s, &r, false);
}

int slot_kill(struct slot *s, uint64_t job, enum task_reason why, bool at_once)
{
	bool held = false;
	for (unsigned i = 0; i < s->count; i++)
		held |= s->jobs[(s->head + i) % RUNNER_PIPE_MAX].number == job;
	if (!held)
		return FH_ENOTFOUND;
	if (s->killed != REASON_NONE)
		return 0; /* it is being killed already; what waited behind it was returned */
	uint64_t taken[RUNNER_PIPE_MAX];
	unsigned n = take_unread(s, taken);
	for (unsigned i = 0; i < n; i++) {
		if (taken[i] != job) {
			runner_emit(s, EVENT_RETURNED, taken[i], NULL, false);
			continue;
		}
		struct task_result r = failure(s, why, "cancelled before it began");
		r.started_ms = 0;
		runner_emit(s, EVENT_FINISHED, job, &r, false);
	}
	slot_receive(s, UINT32_MAX);
	if (!job_first(s) || job_first(s)->number != job)
		return 0; /* it was taken back, or has just finished */
	s->killed = why;
	s->state = SLOT_ENDING;
	uint32_t grace_ms = s->r->config.grace_ms;
	struct timeval grace = { grace_ms / 1000, (suseconds_t)(grace_ms % 1000) * 1000 };
	/* Without memory for the timer there is no grace. */
	at_once = at_once || grace_ms == 0 || event_add(s->grace, &grace) < 0;
	template_kill(s->r, s->child, at_once ? SIGKILL : SIGTERM);
	return 0;
}

static void condemn(struct slot *s, const char *why)
{
	if (s->condemned)
		return;
	s->condemned = why;
	s->state = SLOT_ENDING;
	template_kill(s->r, s->child, SIGKILL);
}

/* ---- what the child says ----------------------------------------------------------------- */

static void hello(struct slot *s)
{
	if (s->state != SLOT_STARTING && s->state != SLOT_FORKING) {
		condemn(s, "the runner said hello twice");
		return;
	}
	s->state = SLOT_READY;
	s->greeted = s->announced = true;
	s->r->retry_ms = 0;
	runner_emit(s, EVENT_UP, 0, NULL, false);
}

static void began(struct slot *s, const struct frame *f)
{
	struct job *j = job_first(s);
	if (!j || j->number != f->job || j->said || job_is_unread(s, j)) {
		condemn(s, "the runner began a job that it did not have");
		return;
	}
	j->said = true;
	j->resident_bytes = f->bytes;
	if (j->begun)
		return;
	j->begun = true;
	runner_emit(s, EVENT_STARTED, j->number, NULL, false);
}

/* The job was read, but its function or its arguments were not there. */
static void given_back(struct slot *s, const struct frame *f)
{
	struct job *j = job_first(s);
	if (!j || j->number != f->job || j->said) {
		condemn(s, "the runner gave a job back that it did not have");
		return;
	}
	if (f->bytes)
		s->state = SLOT_ENDING;
	s->given--;
	if (s->killed != REASON_NONE)
		slot_fail_first(s, s->killed, NULL);
	else
		runner_emit(s, EVENT_RETURNED, pop_first(s).number, NULL, false);
	if (f->bytes)
		slot_leaving(s);
}

/* Reads exactly; never maps: a child could make the file shorter meanwhile. */
static int read_exactly(int file, uint8_t *data, size_t len, off_t offset)
{
	while (len > 0) {
		ssize_t n = pread(file, data, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FH_EPROTO;
		data += n;
		len -= (size_t)n;
		offset += n;
	}
	return 0;
}

/* The sections of an answer that came in a file. */
static int read_file(const struct frame *f, int file, struct task_result *ret_result)
{
	size_t value_len = (size_t)f->answer.value_len;
	/* Only a file in memory has seals: reading it never waits for anything. */
	if (fcntl(file, F_GET_SEALS) < 0)
		return FH_EPROTO;
	struct blob *value = value_len ? blob_new(value_len) : NULL;
	uint8_t *rest = fh_malloc(f->rest_len);
	int ret = (value_len && !value) || !rest ? FH_ENOMEM : 0;
	if (ret == 0 && value)
		ret = read_exactly(file, value->data, value_len, 0);
	if (ret == 0)
		ret = read_exactly(file, rest, f->rest_len, (off_t)value_len);
	if (ret == 0)
		ret = frame_result(f, value, rest, ret_result);
	blob_free(&value);
	fh_free(rest);
	return ret;
}

static int read_inline(const struct frame *f, const uint8_t *data, struct task_result *ret_result)
{
	const uint8_t *sections = data + sizeof f->answer;
	size_t value_len = (size_t)f->answer.value_len;
	struct blob *value = NULL;
	if (value_len) {
		value = blob_copy(sections, value_len);
		if (!value)
			return FH_ENOMEM;
	}
	int ret = frame_result(f, value, sections + value_len, ret_result);
	blob_free(&value);
	return ret;
}

/* The signal did not end the process: the function has caught it and returned. */
static void finish_killed(struct slot *s, struct task_result *own_result)
{
	struct task_result r = failure(s, s->killed, message_of(s->killed));
	r.out = blob_ref(own_result->out);
	r.err = blob_ref(own_result->err);
	r.out_cut = own_result->out_cut;
	r.err_cut = own_result->err_cut;
	task_result_release(own_result);
	(void)event_del(s->grace);
	template_kill(s->r, s->child, SIGKILL);
	finish_first(s, &r, false);
}

static void answered(struct slot *s, const struct frame *f, const uint8_t *data, int file)
{
	struct job *j = job_first(s);
	if (!j || j->number != f->job) {
		condemn(s, "the runner answered a job that it did not have");
		return;
	}
	struct task_result r = { 0 };
	int ret = file < 0 ? read_inline(f, data, &r) : read_file(f, file, &r);
	if (ret == FH_EPROTO) {
		condemn(s, "the runner's answer was shorter than it said");
		return;
	}
	bool leaving = f->answer.flags & FRAME_LEAVING;
	if (leaving)
		s->state = SLOT_ENDING;
	if (s->killed != REASON_NONE) {
		finish_killed(s, &r);
		leaving = true;
	} else if (ret) {
		slot_fail_first(s, REASON_WORKER_LOST, "the worker had no memory for the result");
	} else {
		finish_first(s, &r, f->answer.flags & FRAME_RETRY_MATCH);
	}
	if (leaving)
		slot_leaving(s);
}

void slot_receive(struct slot *s, unsigned max)
{
	struct runner *r = s->r;
	for (unsigned i = 0; i < max && !s->condemned && s->channel.own >= 0; i++) {
		size_t len;
		int file;
		struct frame f;
		int ret = channel_receive(&s->channel, r->buffer, FRAME_MESSAGE_MAX, &len, &file);
		if (ret == FH_EAGAIN || ret == FH_ENOMEM)
			return;
		s->unread_since = 0;
		s->silent = 0;
		if (ret == 0)
			ret = frame_decode(r->buffer, len, file >= 0, &r->bounds, &f);
		else
			file = -1;
		if (ret)
			condemn(s, "something that is no answer came on the runner's socket: the "
				   "function has written to a descriptor that is not its own");
		else if (f.kind == FRAME_HELLO)
			hello(s);
		else if (f.kind == FRAME_STARTED)
			began(s, &f);
		else if (f.kind == FRAME_GIVEN_BACK)
			given_back(s, &f);
		else
			answered(s, &f, r->buffer, file);
		if (file >= 0)
			(void)close(file);
	}
}
