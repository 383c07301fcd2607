/* One worker process: an agent over a connection that it dials.
 *
 * Start: refuse what cannot work, dial, start Python; `ready` is printed with the first WELCOME.
 * After that neither a dispatcher that is gone nor a Python that breaks ends it. Stop (SIGTERM,
 * SIGINT): takes no more, what runs may end within the grace, results are acknowledged; then it
 * says BYE. A second signal, or the end of the grace, ends at once what still runs, and BYE sends
 * it elsewhere. A dispatcher that refuses this worker ends it with one line and status 1; so does a
 * Python that cannot be started at all. */
#include "app/worker.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "app/env.h"
#include "app/key_file.h"
#include "app/process.h"
#include "transport/zeromq.h"
#include "worker/session.h"

enum { URLS_MAX = 16, URL_TEXT_MAX = 4096, HOST_NAME_MAX_LEN = 256 };

enum phase { WORKING, DRAINING, STOPPED };

struct worker {
	const struct worker_options *options;
	struct event_base *base;
	struct event *on_term, *on_int, *grace;
	struct transport *transport; /* the agent's, once there is one */
	struct agent *agent;
	enum phase phase;
	bool announced;
	int status;
};

static void end(struct worker *w, int status)
{
	if (w->phase == STOPPED)
		return;
	w->phase = STOPPED;
	w->status = status;
	(void)event_base_loopbreak(w->base);
}

/* ---- what the agent tells ---- */

static void on_log(void *ctx, const char *line)
{
	struct worker *w = ctx;
	struct agent_stats stats = { .broken = false };
	if (w->agent)
		agent_stats(w->agent, &stats);
	if (stats.broken && !stats.runtime[0])
		end(w, process_fail(line));
	else
		env_log(NULL, line);
}

static void on_welcomed(void *ctx)
{
	struct worker *w = ctx;
	if (w->announced) {
		env_log(NULL, "the dispatcher is back");
		return;
	}
	w->announced = true;
	(void)printf("ready %s\n", transport_zmq_dispatcher(w->transport));
	(void)fflush(stdout);
}

static void on_drained(void *ctx)
{
	end(ctx, EXIT_SUCCESS);
}

static void on_refused(void *ctx, const char *why)
{
	char line[320];
	(void)snprintf(line, sizeof line, "the dispatcher refuses this worker: %s", why);
	end(ctx, process_fail(line));
}

/* ---- the way out ---- */

static void on_grace(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	env_log(NULL, "the grace is over: what runs is ended and will run elsewhere");
	end(arg, EXIT_SUCCESS);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	(void)fd;
	(void)what;
	if (w->phase != WORKING) {
		end(w, EXIT_SUCCESS);
		return;
	}
	uint32_t grace_ms = w->options->pool.grace_ms;
	struct timeval tv = { grace_ms / 1000, (suseconds_t)(grace_ms % 1000) * 1000 };
	env_log(NULL, "stopping: running tasks may end, nothing more is taken");
	w->phase = DRAINING;
	if (event_add(w->grace, &tv))
		end(w, EXIT_SUCCESS);
	else
		agent_drain(w->agent);
}

/* ---- life ---- */

static int make_events(struct worker *w)
{
	w->base = transport_zmq_base();
	if (!w->base)
		return FH_ENOMEM;
	w->grace = evtimer_new(w->base, on_grace, w);
	w->on_term = evsignal_new(w->base, SIGTERM, on_signal, w);
	w->on_int = evsignal_new(w->base, SIGINT, on_signal, w);
	if (!w->grace || !w->on_term || !w->on_int)
		return FH_ENOMEM;
	return event_add(w->on_term, NULL) || event_add(w->on_int, NULL) ? FH_ENOMEM : 0;
}

static int read_key(const struct worker_options *o, struct zmq_key *ret_key, struct fh_err *err)
{
	process_holds_secrets();
	memcpy(ret_key->server_key, o->server_key, CURVE_KEY_SIZE);
	return key_file_read(o->key_file, &ret_key->own, err);
}

static int dial(struct worker *w, struct fh_err *err)
{
	char text[URL_TEXT_MAX], *rest = text, *url;
	const char *urls[URLS_MAX];
	size_t count = 0, len = strlen(w->options->urls);
	if (len >= sizeof text)
		return fh_err_set(err, FH_EINVAL, "the addresses are too long");
	memcpy(text, w->options->urls, len + 1);
	while ((url = strsep(&rest, ","))) {
		if (count == URLS_MAX)
			return fh_err_set(err, FH_EINVAL, "more than %d addresses", URLS_MAX);
		urls[count++] = url;
	}
	struct zmq_key key;
	bool has_key = w->options->key_file != NULL;
	int ret = has_key ? read_key(w->options, &key, err) : 0;
	if (ret == 0)
		ret = transport_zmq_connect(w->base, urls, count, has_key ? &key : NULL, env_random,
					    NULL, &w->transport, err);
	explicit_bzero(&key, sizeof key);
	return ret;
}

static int start_agent(struct worker *w, struct fh_err *err)
{
	char host[HOST_NAME_MAX_LEN] = "";
	struct fh_id_gen gen = { 0 };
	struct agent_config config = pool_agent_config(&w->options->pool);
	if (gethostname(host, sizeof host - 1) == 0 && host[0])
		config.host = host;
	if (w->options->has.labels[0])
		config.labels = w->options->has.labels;
	config.base = w->base;
	config.own_transport = w->transport;
	config.instance = fh_id_next(&gen, (uint64_t)env_wall_ms(NULL), env_random(NULL));
	config.mode = w->options->mode;
	config.ahead = session_ahead_elsewhere(config.mode);
	config.ctx = w;
	config.log = on_log;
	config.welcomed = on_welcomed;
	config.drained = on_drained;
	config.refused = on_refused;
	return agent_new(&config, &w->agent, err);
}

static void release(struct worker *w)
{
	struct event *events[] = { w->grace, w->on_term, w->on_int };
	if (w->agent)
		agent_free(&w->agent);
	else
		transport_free(&w->transport);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		if (events[i])
			event_free(events[i]);
	if (w->base)
		event_base_free(w->base);
}

int worker_run(const struct worker_options *options)
{
	struct worker w = { .options = options, .status = EXIT_SUCCESS };
	struct fh_err err = { "" };
	process_prepare();
	int ret = pool_check_paths(&options->pool, &err);
	if (ret == 0)
		ret = make_events(&w);
	if (ret == 0)
		ret = dial(&w, &err);
	if (ret == 0)
		ret = start_agent(&w, &err);
	if (ret)
		w.status = process_fail(err.text[0] ? err.text : fh_error_text(ret));
	else
		(void)event_base_dispatch(w.base);
	release(&w);
	return w.status;
}
