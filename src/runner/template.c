/* The template: the process that has imported everything and forks, signals and reaps the children.
 *
 * Happy path: spawn with two descriptors of ours (control socket, the pipe of what it prints), send
 * CONFIG, wait for READY, then commands go one way and FORKED and EXITED come the other.
 *
 * Failure modes: it cannot be started, or ends before READY: `broken` with the clearest line there
 * is, and again later. It ends afterwards: the children die with it (PDEATHSIG), what they ran is
 * WORKER_LOST, what they had not read is returned, and all starts anew. It does not answer: it is
 * continued, for somebody may have stopped it, which costs nothing; then it is killed, which is
 * noticed as any end of it is. Its warm children run their jobs meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "runner/runner_priv.h"

enum control_kind {
	CONTROL_CONFIG = 1,
	CONTROL_FORK,
	CONTROL_KILL,
	CONTROL_PING,
	CONTROL_READY = 11,
	CONTROL_BROKEN,
	CONTROL_FORKED,
	CONTROL_FORK_FAILED,
	CONTROL_EXITED,
	CONTROL_PONG,
};

/* As struct CONTROL in runner.py; a text may follow. READY has the longest one: the runtime and,
 * behind a newline, the names of modules. */
struct control {
	uint32_t kind, child;
	int64_t value;
};

enum { CONTROL_TEXT_MAX = 64 * 1024 + 64 };

static int send_control(int fd, struct control head, struct iovec body, const int *fds,
			size_t fd_count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(CHILD_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec parts[2] = { { &head, sizeof head }, body };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };
	if (fd_count) {
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		struct cmsghdr *rights = CMSG_FIRSTHDR(&m);
		rights->cmsg_level = SOL_SOCKET;
		rights->cmsg_type = SCM_RIGHTS;
		rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
	}
	ssize_t n;
	do
		n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? 0 : errno == EAGAIN ? FH_EAGAIN : FH_EIO;
}

int template_fork(struct runner *r, uint32_t child, const int fds[CHILD_FDS])
{
	struct control head = { CONTROL_FORK, child, 0 };
	return send_control(r->template.control, head, (struct iovec){ 0 }, fds, CHILD_FDS);
}

void template_kill(struct runner *r, uint32_t child, int signal_number)
{
	struct control head = { CONTROL_KILL, child, signal_number };
	if (!r->template.ready) /* gone, and its children with it */
		return;
	/* The socket is full or broken only when the template hangs or is gone: then its end,
	 * which we bring about here, is what ends the child. */
	int ret = send_control(r->template.control, head, (struct iovec){ 0 }, NULL, 0);
	if (ret && signal_number != SIGCONT) /* which is said again at the next pulse */
		(void)kill(r->template.pid, SIGKILL);
}

static int send_config(struct runner *r)
{
	struct {
		uint64_t result_max, log_max;
	} numbers = { r->config.result_max, r->config.log_max };
	size_t len = sizeof numbers;
	for (size_t i = 0; i < r->config.path_count; i++)
		len += strlen(r->paths[i]) + 1;
	if (len > FRAME_INLINE_MAX)
		return FH_EINVAL;
	memcpy(r->buffer, &numbers, sizeof numbers);
	size_t at = sizeof numbers;
	for (size_t i = 0; i < r->config.path_count; i++) {
		size_t n = strlen(r->paths[i]) + 1;
		memcpy(r->buffer + at, r->paths[i], n);
		at += n;
	}
	struct control head = { CONTROL_CONFIG, 0, 0 };
	return send_control(r->template.control, head, (struct iovec){ r->buffer, len }, NULL, 0);
}

/* ---- what it prints ---------------------------------------------------------------------- */

/* Reads what is there and keeps its end; false at the end of file. */
static bool read_output(struct template *t)
{
	char part[sizeof t->text / 2];
	for (;;) {
		ssize_t n = read(t->output, part, sizeof part);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return true;
		if (n == 0)
			return false;
		size_t len = (size_t)n;
		if (t->text_len + len > sizeof t->text) {
			size_t drop = t->text_len + len - sizeof t->text;
			memmove(t->text, t->text + drop, t->text_len - drop);
			t->text_len -= drop;
		}
		memcpy(t->text + t->text_len, part, len);
		t->text_len += len;
	}
}

static void output_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct runner *r = ctx;
	(void)fd;
	(void)what;
	if (!read_output(&r->template))
		(void)event_del(r->template.output_readable);
}

void text_last_line(const char *text, size_t len, char line[256])
{
	while (len > 0 && strchr(" \r\n\t", text[len - 1]))
		len--;
	size_t begin = len;
	while (begin > 0 && text[begin - 1] != '\n')
		begin--;
	if (len == begin)
		line[0] = 0;
	else
		(void)snprintf(line, 256, "%.*s", (int)(len - begin), text + begin);
}

/* ---- its end ----------------------------------------------------------------------------- */

static void close_all(struct template *t)
{
	if (t->control_readable)
		event_free(t->control_readable);
	if (t->output_readable)
		event_free(t->output_readable);
	if (t->control >= 0)
		(void)close(t->control);
	if (t->output >= 0)
		(void)close(t->output);
	*t = (struct template){ .control = -1, .output = -1 };
}

static int reap(pid_t pid)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return 0; /* somebody else has reaped it: no status */
	}
	return status;
}

/* Waits until the pipe of what it prints has no writer any more: it is gone then. */
static void wait_for_end(struct template *t)
{
	uint64_t until = runner_now() + RUNNER_END_MS;
	for (;;) {
		uint64_t now = runner_now();
		struct pollfd p = { .fd = t->output, .events = POLLIN };
		if (now >= until || (poll(&p, 1, (int)(until - now)) < 0 && errno != EINTR))
			return;
		if (p.revents && !read_output(t))
			return;
	}
}

void template_end(struct runner *r)
{
	struct template *t = &r->template;
	if (t->pid == 0) {
		close_all(t);
		return;
	}
	/* It sees the end of its control socket, kills and reaps everything below it and ends;
	 * before READY there is nothing below it. */
	if (t->ready) {
		(void)shutdown(t->control, SHUT_RDWR);
		(void)kill(t->pid, SIGCONT);
		wait_for_end(t);
	}
	(void)kill(t->pid, SIGKILL);
	(void)reap(t->pid);
	close_all(t);
}

/* What is to be told of its end. */
static void describe_end(const struct template *t, int status, const char *why, char line[320])
{
	char last[256] = "";
	text_last_line(t->text, t->text_len, last);
	if (why || t->why[0])
		(void)snprintf(line, 320, "%s", why ? why : t->why);
	else if (WIFSIGNALED(status))
		(void)snprintf(line, 320, "it was killed by signal %d%s%s", WTERMSIG(status),
			       last[0] ? ": " : "", last);
	else if (last[0])
		(void)snprintf(line, 320, "%s", last);
	else
		(void)snprintf(line, 320, "it ended with status %d", WEXITSTATUS(status));
}

/* It has ended, or nobody knows what it says: its children are lost. They die with it, not so the
 * rest of their process groups, whose numbers are nobody else's as long as one process is left. */
static void template_lost(struct runner *r, const char *why)
{
	struct template *t = &r->template;
	char line[320], text[600];
	t->ready = false;
	(void)kill(t->pid, SIGKILL);
	int status = reap(t->pid);
	for (unsigned i = 0; i < r->config.slots; i++) {
		if (r->slots[i].pid > 0)
			(void)kill(-r->slots[i].pid, SIGKILL);
	}
	(void)read_output(t);
	describe_end(t, status, why, line);
	(void)snprintf(text, sizeof text, "%s: %s", r->python, line);
	close_all(t);
	for (unsigned i = 0; i < r->config.slots; i++)
		slot_ended(&r->slots[i], 0, true);
	r->handler.broken(r->handler.ctx, text);
	runner_retry_later(r);
}

void template_pulse(struct runner *r)
{
	struct template *t = &r->template;
	if (t->pid == 0)
		return;
	if (t->ready && !t->asked) {
		/* Into a full socket it does not fit, and then the answer is due all the same; a
		 * broken one tells of the end by itself. */
		(void)send_control(t->control, (struct control){ CONTROL_PING, 0, 0 },
				   (struct iovec){ 0 }, NULL, 0);
		t->asked = true;
		t->silent = 0;
		return;
	}
	unsigned limit = t->ready ? RUNNER_DEAF_PULSES : RUNNER_START_PULSES;
	if (++t->silent == limit / 2)
		(void)kill(t->pid, SIGCONT);
	if (t->silent < limit)
		return;
	uint64_t silent_ms = (uint64_t)r->config.deaf_ms / RUNNER_DEAF_PULSES * limit;
	(void)snprintf(t->why, sizeof t->why, "the template process %s for %.1f s and was killed",
		       t->ready ? "did not answer" : "was not ready", (double)silent_ms / 1000);
	(void)kill(t->pid, SIGKILL);
}

/* ---- what it says ------------------------------------------------------------------------ */

static struct slot *slot_of(struct runner *r, uint32_t child)
{
	for (unsigned i = 0; i < r->config.slots; i++) {
		struct slot *s = &r->slots[i];
		if (s->state != SLOT_EMPTY && s->child == child)
			return s;
	}
	return NULL;
}

static void template_ready(struct runner *r, const char *text)
{
	size_t len = strcspn(text, "\n");
	const char *modules = text[len] && text[len + 1] ? text + len + 1 : NULL;
	r->template.ready = true;
	r->template.asked = false;
	(void)snprintf(r->runtime, sizeof r->runtime, "%.*s", (int)(len < 7 ? len : 7), text);
	r->handler.ready(r->handler.ctx, r->runtime, modules);
	for (unsigned i = 0; i < r->config.slots; i++)
		slot_fork(&r->slots[i]);
}

/* False: the template is gone by now. */
static bool hear(struct runner *r, const struct control *c, const char *text)
{
	struct slot *s = slot_of(r, c->child);
	switch (c->kind) {
	case CONTROL_READY:
		template_ready(r, text);
		return true;
	case CONTROL_BROKEN:
		template_lost(r, text);
		return false;
	case CONTROL_FORKED:
		if (s)
			slot_forked(s, (pid_t)c->value);
		return true;
	case CONTROL_FORK_FAILED:
		if (s)
			slot_fork_failed(s, text);
		return true;
	case CONTROL_EXITED:
		if (s)
			slot_ended(s, (int)c->value, false);
		return true;
	case CONTROL_PONG:
		r->template.asked = false;
		return true;
	default:
		template_lost(r, "the template process does not keep to its protocol");
		return false;
	}
}

static void control_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct runner *r = ctx;
	struct {
		struct control head;
		char text[CONTROL_TEXT_MAX + 1];
	} message;
	(void)what;
	runner_flush(r);
	for (unsigned i = 0; i < RUNNER_MESSAGES_AT_ONCE; i++) {
		ssize_t n = recv(fd, &message, sizeof message - 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			break;
		if (n < (ssize_t)sizeof message.head) {
			template_lost(r, NULL);
			break;
		}
		((char *)&message)[n] = 0;
		if (!hear(r, &message.head, message.text))
			break;
	}
	runner_flush(r);
}

/* ---- its start --------------------------------------------------------------------------- */

static int start(struct runner *r, struct fh_err *err)
{
	struct template *t = &r->template;
	int sockets[2] = { -1, -1 }, pipes[2] = { -1, -1 };
	int ret = FH_EIO;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0 ||
	    pipe2(pipes, O_CLOEXEC) < 0 || fcntl(pipes[0], F_SETFL, O_NONBLOCK) < 0) {
		(void)fh_err_set(err, FH_EIO, "cannot start %s: %s", r->python, strerror(errno));
		goto out;
	}
	t->control_readable =
		event_new(r->config.base, sockets[0], EV_READ | EV_PERSIST, control_readable, r);
	t->output_readable =
		event_new(r->config.base, pipes[0], EV_READ | EV_PERSIST, output_readable, r);
	if (!t->control_readable || !t->output_readable ||
	    event_add(t->control_readable, NULL) < 0 || event_add(t->output_readable, NULL) < 0) {
		ret = fh_err_set(err, FH_ENOMEM, "cannot start %s: out of memory", r->python);
		goto out;
	}
	ret = spawn_python(r->python, pipes[1], sockets[1], r->modules, &t->pid, err);
	if (ret)
		goto out;
	t->control = sockets[0];
	t->output = pipes[0];
	sockets[0] = pipes[0] = -1;
	ret = send_config(r);
	if (ret)
		(void)fh_err_set(err, ret, "cannot start %s: the paths are too long", r->python);
out:
	if (ret && t->pid == 0) { /* the events watch what is closed next */
		close_all(t);
	}
	for (int i = 0; i < 2; i++) {
		if (sockets[i] >= 0)
			(void)close(sockets[i]);
		if (pipes[i] >= 0)
			(void)close(pipes[i]);
	}
	return ret;
}

void template_start(struct runner *r)
{
	struct fh_err err = { "" };
	FH_ASSERT(r->template.pid == 0);
	r->template = (struct template){ .control = -1, .output = -1 };
	if (start(r, &err) == 0)
		return;
	template_end(r);
	r->handler.broken(r->handler.ctx, err.text);
	runner_retry_later(r);
}
