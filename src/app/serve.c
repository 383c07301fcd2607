/* One process: store, dispatcher, local pool, gateway, on one event loop (the store commits on its
 * own thread).
 *
 * Start: refuse what cannot work, open the store (a new generation is durable), start the pool,
 * listen; `ready` is printed when HTTP is served and the pool's Python answers. Stop (SIGTERM,
 * SIGINT): nothing new is taken, what runs may end within the grace, what is queued stays stored. A
 * second signal stops at once; so does a store that fails, with one line and status 1. Nothing that
 * was accepted is lost in any of these. */
#include "app/serve.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/agent.h"
#include "app/doorway.h"
#include "app/env.h"
#include "app/process.h"
#include "base/assert.h"
#include "dispatch/dispatch.h"
#include "farhand/version.h"
#include "http/http.h"
#include "transport/zeromq.h"

enum {
	TRANSPORT_QUEUE = 1 << 16, /* above slots times hand-ahead: credit fills it, not chance */
	FLUSH_MS = 1000,	   /* for last answers on their way out, at a stop */
};

enum phase { STARTING, SERVING, STOPPING, STOPPED };

struct server {
	const struct serve_options *options;
	struct event_base *base;
	struct event *work, *committed, *timer, *grace;
	struct event *on_term, *on_int;
	int committed_fd;
	int64_t timer_us;
	struct store *store;
	struct transport *dispatcher_end, *worker_end; /* of the local pool */
	struct doorway doorway;			       /* of workers elsewhere */
	struct dispatch *dispatch;
	struct agent *agent;
	struct http_server *http;
	enum phase phase;
	bool flushed;
	int status;
};

/* On the store's thread. */
static void store_wakes(void *ctx)
{
	const struct server *s = ctx;
	uint64_t one = 1;
	ssize_t n;
	do
		n = write(s->committed_fd, &one, sizeof one);
	while (n < 0 && errno == EINTR);
}

static void dispatch_wakes(void *env)
{
	struct server *s = env;
	event_active(s->work, EV_READ, 0);
}

static void end(struct server *s, int status)
{
	if (s->phase == STOPPED)
		return;
	s->phase = STOPPED;
	s->status = status;
	(void)event_base_loopbreak(s->base);
}

static void set_timer(struct server *s)
{
	int64_t next_us = dispatch_next_us(s->dispatch);
	if (next_us == s->timer_us)
		return;
	s->timer_us = next_us;
	(void)event_del(s->timer);
	if (next_us == INT64_MAX)
		return;
	int64_t wait_us = next_us - env_now_us(NULL);
	if (wait_us < 0)
		wait_us = 0;
	struct timeval tv = { wait_us / 1000000, wait_us % 1000000 };
	(void)event_add(s->timer, &tv);
}

static void announce(struct server *s)
{
	s->phase = SERVING;
	http_server_set_ready(s->http, true);
	const struct transport *workers = s->doorway.workers;
	const char *open = strchr(s->options->host, ':') ? "[" : "";
	const char *close = *open ? "]" : "";
	(void)printf("ready http://%s%s%s:%u%s%s\n", open, s->options->host, close,
		     http_server_port(s->http), workers ? " " : "",
		     workers ? transport_zmq_url(workers) : "");
	(void)fflush(stdout);
}

static const char *workers_broken(void *env)
{
	const struct server *s = env;
	return s->agent ? agent_broken_why(s->agent) : NULL;
}

static void look_at_start(struct server *s)
{
	const char *broken = workers_broken(s);
	if (!s->agent || dispatch_has_local_worker(s->dispatch)) {
		announce(s);
	} else if (broken) {
		(void)process_fail(broken);
		end(s, EXIT_FAILURE);
	}
}

static void run(struct server *s)
{
	if (dispatch_run(s->dispatch)) {
		/* Nothing may be said any more, not even to clients that wait. */
		(void)process_fail(store_failure(s->store));
		store_close(&s->store);
		_exit(EXIT_FAILURE);
	}
	if (s->phase == STARTING)
		look_at_start(s);
	if (s->phase == STOPPING && dispatch_idle(s->dispatch))
		end(s, EXIT_SUCCESS);
	else if (s->phase != STOPPED)
		set_timer(s);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	run(arg);
}

static void on_committed(evutil_socket_t fd, short what, void *arg)
{
	uint64_t count;
	(void)what;
	if (read(fd, &count, sizeof count) < 0 && errno != EAGAIN && errno != EINTR)
		fh_assert_fail(__FILE__, __LINE__, "eventfd", strerror(errno));
	run(arg);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	(void)fd;
	(void)what;
	s->timer_us = 0;
	run(s);
}

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	env_log(NULL, "the grace is over: running tasks are ended and will run again");
	end(arg, EXIT_SUCCESS);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	(void)fd;
	(void)what;
	if (s->phase != SERVING) {
		s->flushed = s->phase == STOPPED;
		end(s, EXIT_SUCCESS);
		return;
	}
	env_log(NULL, "stopping: running tasks may end, queued ones stay stored");
	s->phase = STOPPING;
	http_server_set_ready(s->http, false);
	http_server_close_listener(s->http);
	dispatch_drain(s->dispatch);
	struct timeval tv = { s->options->pool.grace_ms / 1000,
			      s->options->pool.grace_ms % 1000 * 1000 };
	(void)event_add(s->grace, &tv);
	dispatch_wakes(s);
}

/* The pool says more than the transport does: that its Python cannot be started. */
static void agent_says(void *ctx, const char *line)
{
	env_log(NULL, line);
	dispatch_wakes(ctx);
}

static int open_store(struct server *s, struct store_recovery *recovery, struct fh_err *err)
{
	struct store_config config = { .wake = store_wakes, .ctx = s, .now_ms = env_wall_ms(NULL) };
	s->committed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->committed_fd < 0)
		return fh_err_set(err, FH_EIO, "eventfd: %s", strerror(errno));
	return store_open_sqlite(s->options->data, &config, &s->store, recovery, err);
}

static int start_dispatch(struct server *s, const struct store_recovery *recovery,
			  struct fh_err *err)
{
	struct dispatch_config config = {
		.limits = CORE_LIMITS_DEFAULT,
		.store = s->store,
		.recovery = recovery,
		.default_timeout_ms = s->options->task_timeout_ms,
		.env = s,
		.now_us = env_now_us,
		.wall_ms = env_wall_ms,
		.random = env_random,
		.wake = dispatch_wakes,
		.workers_broken = workers_broken,
		.log = env_log,
	};
	config.limits.live_max = s->options->queued_max;
	config.limits.live_bytes_max = s->options->queued_bytes_max;
	if (s->options->pool.slots > 0) {
		if (transport_inproc_pair(TRANSPORT_QUEUE, &s->dispatcher_end, &s->worker_end))
			return FH_ENOMEM;
		config.local = s->dispatcher_end;
	}
	if (s->options->bind[0]) {
		int ret = doorway_open(&s->doorway, s->base, s->options, err);
		if (ret)
			return ret;
		config.remote = s->doorway.workers;
	}
	return dispatch_new(&config, &s->dispatch);
}

static int start_agent(struct server *s, struct fh_err *err)
{
	if (s->options->pool.slots == 0)
		return 0;
	struct agent_config config = pool_agent_config(&s->options->pool);
	config.base = s->base;
	config.own_transport = s->worker_end;
	config.ctx = s;
	config.log = agent_says;
	struct fh_id_gen gen = { 0 };
	config.instance = fh_id_next(&gen, (uint64_t)env_wall_ms(NULL), env_random(NULL));
	int ret = agent_new(&config, &s->agent, err);
	if (ret == 0)
		s->worker_end = NULL;
	return ret;
}

static int start_http(struct server *s, struct fh_err *err)
{
	struct http_config config = {
		.base = s->base,
		.host = s->options->host,
		.port = s->options->port,
		.sink = dispatch_sink(s->dispatch),
		.limits = HTTP_LIMITS_DEFAULT,
		.now_ms = env_wall_ms,
		.random = env_random,
		.version = FH_VERSION,
	};
	return http_server_new(&config, &s->http, err);
}

static int make_events(struct server *s)
{
	s->base = event_base_new();
	if (!s->base)
		return FH_ENOMEM;
	s->work = event_new(s->base, -1, EV_PERSIST, on_work, s);
	s->timer = evtimer_new(s->base, on_timer, s);
	s->grace = evtimer_new(s->base, on_grace, s);
	s->on_term = evsignal_new(s->base, SIGTERM, on_signal, s);
	s->on_int = evsignal_new(s->base, SIGINT, on_signal, s);
	if (!s->work || !s->timer || !s->grace || !s->on_term || !s->on_int)
		return FH_ENOMEM;
	return event_add(s->on_term, NULL) || event_add(s->on_int, NULL) ? FH_ENOMEM : 0;
}

static int start_parts(struct server *s, const struct store_recovery *recovery, struct fh_err *err)
{
	s->committed = event_new(s->base, s->committed_fd, EV_READ | EV_PERSIST, on_committed, s);
	if (!s->committed || event_add(s->committed, NULL))
		return FH_ENOMEM;
	int ret = start_dispatch(s, recovery, err);
	if (ret == 0)
		ret = start_agent(s, err);
	return ret ? ret : start_http(s, err);
}

static int start(struct server *s, struct fh_err *err)
{
	struct store_recovery recovery = { 0 };
	int ret = pool_check_paths(&s->options->pool, err);
	if (ret == 0)
		ret = make_events(s);
	if (ret == 0)
		ret = open_store(s, &recovery, err);
	if (ret == 0)
		ret = start_parts(s, &recovery, err);
	if (ret == 0 && recovery.live > 0) {
		char line[128];
		(void)snprintf(line, sizeof line, "%llu accepted task%s not final yet",
			       (unsigned long long)recovery.live,
			       recovery.live == 1 ? " is" : "s are");
		env_log(NULL, line);
	}
	store_recovery_release(&recovery);
	return ret;
}

static void stop_flushing(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;
	(void)fd;
	(void)what;
	s->flushed = true;
}

/* Parked clients get their answer, what is on its way to the disk is still told, and answers on
 * their way out get a moment to leave. */
static void flush_answers(struct server *s)
{
	dispatch_close(s->dispatch);
	struct timeval tv = { FLUSH_MS / 1000, FLUSH_MS % 1000 * 1000 };
	s->flushed = event_base_once(s->base, -1, EV_TIMEOUT, stop_flushing, s, &tv) != 0;
	while (!s->flushed &&
	       (!dispatch_settled(s->dispatch) || http_server_open_requests(s->http) > 0))
		(void)event_base_loop(s->base, EVLOOP_ONCE);
}

static void release(struct server *s)
{
	struct event *events[] = {
		s->work, s->committed, s->timer, s->grace, s->on_term, s->on_int
	};
	/* The pool goes first: what it still runs is not recorded, so it will run again. */
	agent_free(&s->agent);
	if (s->http && s->dispatch)
		flush_answers(s);
	/* Before the calls whose inputs it may still be writing. */
	store_close(&s->store);
	dispatch_free(&s->dispatch);
	http_server_free(&s->http);
	transport_free(&s->dispatcher_end);
	transport_free(&s->worker_end);
	doorway_close(&s->doorway);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i])
			event_free(events[i]);
	if (s->base)
		event_base_free(s->base);
	if (s->committed_fd >= 0)
		(void)close(s->committed_fd);
}

int serve_run(const struct serve_options *options)
{
	struct server s = { .options = options, .committed_fd = -1, .status = EXIT_SUCCESS };
	struct fh_err err = { "" };
	process_prepare();
	int ret = start(&s, &err);
	if (ret) {
		s.status = process_fail(err.text[0] ? err.text : fh_error_text(ret));
	} else {
		dispatch_wakes(&s);
		(void)event_base_dispatch(s.base);
	}
	release(&s);
	return s.status;
}
