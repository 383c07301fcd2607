/* The life of a slot's child, from the request to fork it until it is reaped (see enum slot_state).
 *
 * Happy path: a socket pair and two pipes are made here and handed to the template; the child says
 * HELLO; it serves until it was given `recycle_jobs` jobs, ends by itself and is replaced.
 *
 * Failure modes: it cannot be forked or dies before it had a job: again after a growing delay. It
 * dies under a job: what came from it counts, what it has not read is returned, the one between is
 * its crash, or what it was killed for. It sends what no child of ours would: it is killed. It is
 * stopped, or hangs, before it serves, between two jobs or on its way out: no job's limit ends it
 * then, so it is continued, which costs nothing, and then killed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "runner/runner_priv.h"

static void child_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct slot *s = ctx;
	(void)fd;
	(void)what;
	runner_flush(s->r);
	slot_receive(s, RUNNER_MESSAGES_AT_ONCE);
	runner_flush(s->r);
}

static void grace_over(evutil_socket_t fd, short what, void *ctx)
{
	struct slot *s = ctx;
	(void)fd;
	(void)what;
	template_kill(s->r, s->child, SIGKILL);
}

int slot_init(struct slot *s, struct runner *r, unsigned number)
{
	*s = (struct slot){ .r = r, .number = number };
	channel_init(&s->channel);
	log_init(s);
	s->grace = evtimer_new(r->config.base, grace_over, s);
	return s->grace ? 0 : FH_ENOMEM;
}

static void close_all(struct slot *s)
{
	if (s->readable)
		event_free(s->readable);
	s->readable = NULL;
	if (s->grace)
		(void)event_del(s->grace);
	channel_close(&s->channel);
	log_close(s);
}

void slot_release(struct slot *s)
{
	if (!s->r)
		return;
	close_all(s);
	if (s->grace)
		event_free(s->grace);
	s->grace = NULL;
}

/* ---- its start --------------------------------------------------------------------------- */

/* The pipes: ours and the child's reading end are the same one, so that either may read. */
static int open_pipes(struct slot *s, int fds[CHILD_FDS])
{
	for (int i = 0; i < 2; i++) {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) < 0)
			return FH_EIO;
		s->logs[i].fd = ends[0];
		fds[2 + 2 * i] = ends[0];
		fds[3 + 2 * i] = ends[1];
		if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
			return FH_EIO;
	}
	return 0;
}

static int request_child(struct slot *s)
{
	struct runner *r = s->r;
	int fds[CHILD_FDS] = { -1, -1, -1, -1, -1, -1 };
	int ret = channel_open(&s->channel);
	if (ret == 0)
		ret = open_pipes(s, fds);
	if (ret == 0) {
		fds[0] = s->channel.childs;
		fds[1] = s->channel.childs_file;
		s->readable = event_new(r->config.base, s->channel.own, EV_READ | EV_PERSIST,
					child_readable, s);
		if (!s->readable || event_add(s->readable, NULL) < 0)
			ret = FH_ENOMEM;
	}
	if (ret == 0)
		ret = template_fork(r, s->child, fds);
	for (int i = 3; i < CHILD_FDS; i += 2) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	return ret;
}

void slot_fork(struct slot *s)
{
	struct runner *r = s->r;
	if (s->state != SLOT_EMPTY || !r->template.ready)
		return;
	s->child = ++r->next_child;
	s->given = 0;
	s->killed = REASON_NONE;
	s->condemned = NULL;
	s->greeted = false;
	s->silent = 0;
	s->unread_since = 0;
	s->state = SLOT_FORKING;
	if (request_child(s))
		slot_fork_failed(s, strerror(errno));
}

void slot_forked(struct slot *s, pid_t pid)
{
	s->pid = pid;
	if (s->state == SLOT_FORKING)
		s->state = SLOT_STARTING;
}

void slot_fork_failed(struct slot *s, const char *why)
{
	char text[256];
	close_all(s);
	s->state = SLOT_EMPTY;
	s->pid = 0;
	(void)snprintf(text, sizeof text, "%s: cannot start a child: %s", s->r->python, why);
	s->r->handler.broken(s->r->handler.ctx, text);
	runner_retry_later(s->r);
}

/* ---- its end ----------------------------------------------------------------------------- */

static void describe_death(int status, const char *where, char text[128])
{
	if (!WIFSIGNALED(status)) {
		(void)snprintf(text, 128, "the runner exited with status %d%s", WEXITSTATUS(status),
			       where);
		return;
	}
	int number = WTERMSIG(status);
	const char *name = sigabbrev_np(number);
	(void)snprintf(text, 128, "the runner was killed by signal %d (SIG%s)%s", number,
		       name ? name : "?",
		       number == SIGKILL ? ", perhaps because memory ran out" : "");
}

static void tell_down(struct slot *s)
{
	if (!s->announced)
		return;
	s->announced = false;
	runner_emit(s, EVENT_DOWN, 0, NULL, false);
}

void slot_leaving(struct slot *s)
{
	s->state = SLOT_ENDING;
	slot_return_unread(s);
	if (s->count == 0)
		tell_down(s);
}

static void settle_first(struct slot *s, int status, bool lost)
{
	char text[128];
	if (s->killed != REASON_NONE) {
		slot_fail_first(s, s->killed, NULL);
	} else if (s->condemned) {
		slot_fail_first(s, REASON_CRASH, s->condemned);
	} else if (lost) {
		slot_fail_first(s, REASON_WORKER_LOST, "the template process of the runners ended");
	} else {
		describe_death(status, " inside the function", text);
		slot_fail_first(s, REASON_CRASH, text);
	}
}

/* It has not come as far as HELLO. */
static void tell_bad_start(struct slot *s, int status)
{
	char death[128], line[256];
	describe_death(status, "", death);
	struct log *l = &s->logs[1];
	text_last_line((const char *)l->data, l->len, line);
	slot_fork_failed(s, s->condemned ? s->condemned : line[0] ? line : death);
}

void slot_ended(struct slot *s, int status, bool lost)
{
	struct runner *r = s->r;
	if (s->state == SLOT_EMPTY)
		return;
	bool idle = s->state == SLOT_READY && s->given == 0;
	s->state = SLOT_ENDING; /* callbacks meanwhile find it closed */
	slot_receive(s, UINT32_MAX);
	log_drain(s);
	slot_return_unread(s);
	if (s->count > 0)
		settle_first(s, status, lost);
	/* Read although the first one's answer was not yet sent: has not begun. */
	slot_return_all(s);
	if (!s->greeted && !lost) {
		tell_bad_start(s, status);
		return;
	}
	close_all(s);
	s->state = SLOT_EMPTY;
	s->pid = 0;
	tell_down(s);
	if (idle) /* somebody else has ended it: not at once, or the two would race for ever */
		runner_retry_later(r);
	else
		slot_fork(s);
}

/* ---- a child that does not move on ------------------------------------------------------- */

static bool first_is_unread(struct slot *s)
{
	const struct job *j = job_first(s);
	return j && !j->begun && job_is_unread(s, j);
}

/* It serves, and has left its next job unread for a pulse at least. */
static bool is_deaf(struct slot *s)
{
	uint32_t pulse_ms = s->r->config.deaf_ms / RUNNER_DEAF_PULSES;
	return s->state == SLOT_READY && first_is_unread(s) &&
	       runner_now() >= s->unread_since + pulse_ms;
}

static void end_deaf(struct slot *s)
{
	s->state = SLOT_ENDING; /* what is returned shall not come back to it */
	slot_return_unread(s);
	if (s->count > 0) { /* it has read one just now, which a callback may have killed */
		s->silent = 0;
		if (s->killed == REASON_NONE && !s->condemned)
			s->state = SLOT_READY;
		return;
	}
	tell_down(s);
	template_kill(s->r, s->child, SIGKILL);
}

void slot_pulse(struct slot *s)
{
	bool deaf = is_deaf(s);
	bool kill_is_due = evtimer_pending(s->grace, NULL);
	if (!deaf && s->state != SLOT_STARTING && (s->state != SLOT_ENDING || kill_is_due)) {
		s->silent = 0;
		return;
	}
	if (++s->silent > 1 || deaf) /* somebody may have stopped it, and may do so again */
		template_kill(s->r, s->child, SIGCONT);
	if (deaf && s->silent >= RUNNER_DEAF_PULSES)
		end_deaf(s);
	if (s->silent != RUNNER_START_PULSES)
		return;
	if (!s->greeted)
		s->condemned = "the runner did not start in time";
	template_kill(s->r, s->child, SIGKILL);
}

/* ---- the look at a busy slot ------------------------------------------------------------- */

void slot_tick(struct slot *s, uint64_t now, bool memory)
{
	struct job *j = job_first(s);
	if (!j || now < s->head_since + RUNNER_LONG_MS)
		return;
	if (!j->begun && !job_is_unread(s, j)) {
		j->begun = true;
		runner_emit(s, EVENT_STARTED, j->number, NULL, false);
		j = job_first(s); /* the caller may have done anything */
	}
	if (!j || !j->begun)
		return;
	log_watch(s);
	if (memory && j->mem_bytes && limit_exceeded(s->pid, j->resident_bytes + j->mem_bytes))
		(void)!slot_kill(s, j->number, REASON_MEMORY, true);
}
