/* What a job prints. Happy path: the child takes what is in its pipes at the end of the job and
 * sends it with the result; this file does nothing. While a job runs for long, the pipes are read
 * here, so that endless output never blocks a function; what was read then goes before what the
 * child took. It is all of this one job, because the jobs behind it are returned first. When a
 * child dies, what it left in the pipes is its last job's. Kept is the beginning, up to log_max
 * bytes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "runner/runner_priv.h"

enum {
	LOG_READ = 64 * 1024, /* at once: as much as a pipe holds */
	LOG_ROUNDS = 16,      /* of reading before others have their turn */
	LOG_PIPE = 1 << 20, /* of a job that prints too much; the most that everybody may ask for */
};

void log_init(struct slot *s)
{
	for (int i = 0; i < 2; i++)
		s->logs[i] = (struct log){ .fd = -1 };
}

/* Appends what fits; without memory it counts as cut. */
static void keep(struct log *l, const uint8_t *data, size_t len, size_t max)
{
	size_t room = max - l->len;
	if (len > room) {
		len = room;
		l->cut = true;
	}
	if (len == 0)
		return;
	uint8_t *grown = fh_realloc(l->data, l->len + len);
	if (!grown) {
		l->cut = true;
		return;
	}
	memcpy(grown + l->len, data, len);
	l->data = grown;
	l->len += len;
}

/* False at the end of file. */
static bool read_log(struct slot *s, struct log *l)
{
	struct runner *r = s->r;
	for (unsigned i = 0; i < LOG_ROUNDS; i++) {
		ssize_t n = read(l->fd, r->buffer, LOG_READ);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return true;
		if (n == 0)
			return false;
		keep(l, r->buffer, (size_t)n, r->config.log_max);
	}
	return true;
}

/* Nothing else waits to be told, so it overtakes nothing. */
static void tell_printed(struct slot *s)
{
	const struct runner_handler *h = &s->r->handler;
	const uint64_t bytes[2] = { s->logs[0].len, s->logs[1].len };
	h->printed(h->ctx, s->number, job_first(s)->number, bytes);
}

static void log_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct slot *s = ctx;
	struct log *l = &s->logs[fd == s->logs[1].fd];
	(void)what;
	runner_flush(s->r);
	/* What is behind the first job must not print into what we read as its output. */
	slot_return_unread(s);
	/* If the child has begun one of these meanwhile, the first one's answer is here. */
	slot_receive(s, UINT32_MAX);
	size_t before = l->len;
	bool open = !l->readable || read_log(s, l); /* the job can have ended meanwhile */
	runner_flush(s->r);
	if (l->readable && l->len > before)
		tell_printed(s);
	if (l->readable && (!open || l->cut)) {
		(void)event_del(l->readable);
		l->dropped = open;
		/* If the system refuses, the job goes on more slowly. */
		(void)fcntl(l->fd, F_SETPIPE_SZ, LOG_PIPE);
	}
	runner_flush(s->r);
}

void log_watch(struct slot *s)
{
	for (int i = 0; i < 2; i++) {
		struct log *l = &s->logs[i];
		if (l->dropped)
			l->dropped = read_log(s, l);
		if (l->readable)
			continue;
		l->readable =
			event_new(s->r->config.base, l->fd, EV_READ | EV_PERSIST, log_readable, s);
		if (l->readable && event_add(l->readable, NULL) < 0) {
			event_free(l->readable);
			l->readable = NULL; /* no memory: the next tick tries again */
		}
	}
}

void log_unwatch(struct slot *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->logs[i].readable)
			event_free(s->logs[i].readable);
		s->logs[i].readable = NULL;
		s->logs[i].dropped = false;
	}
}

int log_copy(const struct slot *s, unsigned stream, uint64_t from, uint64_t to,
	     struct blob **ret_blob)
{
	const struct log *l = &s->logs[stream];
	if (from > to || to > l->len)
		return FH_ENOTFOUND;
	*ret_blob = blob_copy(l->data + from, (size_t)(to - from));
	return *ret_blob ? 0 : FH_ENOMEM;
}

void log_drain(struct slot *s)
{
	for (int i = 0; i < 2; i++) {
		if (s->logs[i].fd >= 0)
			(void)read_log(s, &s->logs[i]);
	}
}

static void take(struct log *l, size_t max, struct blob **io_output, bool *io_cut)
{
	if (*io_output && l->len) {
		keep(l, (*io_output)->data, (*io_output)->len, max);
		blob_free(io_output);
	}
	if (l->len) {
		*io_output = blob_copy(l->data, l->len);
		*io_cut |= *io_output == NULL;
	}
	*io_cut |= l->cut;
	fh_free(l->data);
	l->data = NULL;
	l->len = 0;
	l->cut = false;
}

void log_take(struct slot *s, struct task_result *r)
{
	take(&s->logs[0], s->r->config.log_max, &r->out, &r->out_cut);
	take(&s->logs[1], s->r->config.log_max, &r->err, &r->err_cut);
}

void log_close(struct slot *s)
{
	log_unwatch(s);
	for (int i = 0; i < 2; i++) {
		if (s->logs[i].fd >= 0)
			(void)close(s->logs[i].fd);
		fh_free(s->logs[i].data);
	}
	log_init(s);
}
