/* The worker's end: a DEALER that dials out, one socket for each attempt at a connection.
 *
 *   WAITING -timer-> DIALLING -handshake-> UP -gone-> WAITING
 *
 * Happy path: the monitor of the socket tells when the handshake is done, the handler hears
 * `connected`, and frames go both ways. Failure modes: whatever ends a connection, or does not let
 * it come about, drops the socket with all that is queued in it, so that nothing of an old session
 * reaches a new one; the next address is dialled after a delay that doubles and is spread by
 * chance, up to DELAY_MAX_MS. The delay is short again once a frame came over a connection. */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "transport/endpoint.h"
#include "transport/zeromq.h"
#include "transport/zeromq_priv.h"
#include "wire/link.h"

enum {
	DELAY_MIN_MS = 100,
	DELAY_MAX_MS = 5000,
	/* A name that is not resolved any more makes no event at all. */
	DIAL_MAX_MS = 12000,
	URLS_MAX = 16,
};

enum dealer_state { WAITING, DIALLING, UP };

struct dealer {
	struct transport base;
	struct event_base *loop;
	void *zmq, *socket, *monitor;
	struct event *readable, *monitored, *flush, *timer;
	struct wire_link *link; /* while UP */
	enum dealer_state state;
	bool tell_connected, tell_lost;
	bool reached; /* TCP's connection stood in this attempt */
	bool awake, receiving, dropped;
	unsigned delivered; /* in this poll() */
	uint32_t delay_ms;
	unsigned attempts;
	uint64_t (*random)(void *env);
	void *env;
	struct endpoint urls[URLS_MAX];
	size_t url_count, url;
	char last_trouble[512];
	uint8_t frame[WIRE_FRAME_MAX];
};

static void wake(struct dealer *d)
{
	if (d->awake || !d->base.handler.wake)
		return;
	d->awake = true;
	d->base.handler.wake(d->base.handler.ctx);
}

/* One line for each kind of trouble, not one for each attempt. */
static void trouble(struct dealer *d, const char *why)
{
	char line[sizeof d->last_trouble];
	(void)snprintf(line, sizeof line, "dispatcher %s: %s", d->urls[d->url].url, why);
	if (strcmp(line, d->last_trouble) == 0)
		return;
	memcpy(d->last_trouble, line, sizeof line);
	if (d->base.handler.trouble)
		d->base.handler.trouble(d->base.handler.ctx, line);
}

/* ---- attempts ---- */

static void set_timer(struct dealer *d, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	if (event_add(d->timer, &tv))
		fh_assert_fail(__FILE__, __LINE__, "event_add", "a timer that exists");
}

static void free_event(struct event **e)
{
	if (*e)
		event_free(*e);
	*e = NULL;
}

static void drop_socket(struct dealer *d)
{
	free_event(&d->readable);
	free_event(&d->monitored);
	/* First the events end, then their reader: ZeroMQ's thread would wait for ever with an
	 * event that nobody reads, and no later attempt would come about. */
	if (d->socket)
		FH_ASSERT(zmq_socket_monitor(d->socket, NULL, 0) == 0);
	zsocket_close(d->monitor);
	zsocket_close(d->socket);
	d->monitor = d->socket = NULL;
	if (d->receiving)
		d->dropped = true; /* the link is in use below us: receive_one() frees it */
	else
		wire_link_free(&d->link);
}

/* Half to all of the delay. */
static void wait_for_next(struct dealer *d)
{
	uint32_t half = d->delay_ms / 2;
	set_timer(d, half + (uint32_t)(d->random(d->env) % (half + 1)));
	d->delay_ms = d->delay_ms * 2 < DELAY_MAX_MS ? d->delay_ms * 2 : DELAY_MAX_MS;
	d->url = (d->url + 1) % d->url_count;
}

static void end_attempt(struct dealer *d, const char *why)
{
	/* Who has not heard of the connection does not hear of its end. */
	bool was_told = d->state == UP && !d->tell_connected;
	trouble(d, why);
	drop_socket(d);
	d->state = WAITING;
	d->tell_connected = false;
	d->tell_lost = d->tell_lost || was_told;
	if (d->tell_lost)
		wake(d);
	wait_for_next(d);
}

static void came_up(struct dealer *d)
{
	if (d->state != DIALLING)
		return;
	if (wire_link_new(&d->link)) {
		end_attempt(d, "no memory for a connection");
		return;
	}
	(void)event_del(d->timer);
	d->state = UP;
	d->last_trouble[0] = '\0';
	d->tell_connected = true;
	wake(d);
}

static void on_monitored(evutil_socket_t fd, short what, void *ctx);
static void on_readable(evutil_socket_t fd, short what, void *ctx);

static bool watch(struct dealer *d, void *socket, event_callback_fn callback, struct event **ret)
{
	*ret = event_new(d->loop, zsocket_fd(socket), EV_READ | EV_PERSIST, callback, d);
	return *ret && event_add(*ret, NULL) == 0;
}

static bool open_monitor(struct dealer *d)
{
	/* A name of its own: the last attempt's socket may still be on its way out. */
	char url[40];
	(void)snprintf(url, sizeof url, "inproc://monitor-%u", ++d->attempts);
	if (zmq_socket_monitor(d->socket, url, ZMQ_EVENT_ALL))
		return false;
	d->monitor = zmq_socket(d->zmq, ZMQ_PAIR);
	return d->monitor && zmq_connect(d->monitor, url) == 0;
}

static void dial(struct dealer *d)
{
	d->state = DIALLING;
	d->reached = false;
	d->socket = zsocket_new(d->zmq, ZMQ_DEALER, &d->urls[d->url]);
	if (!d->socket || !open_monitor(d) || !watch(d, d->socket, on_readable, &d->readable) ||
	    !watch(d, d->monitor, on_monitored, &d->monitored) ||
	    zmq_connect(d->socket, d->urls[d->url].url)) {
		end_attempt(d, zmq_strerror(zmq_errno()));
		return;
	}
	set_timer(d, DIAL_MAX_MS);
	on_monitored(-1, 0, d); /* what happened before we watched made no edge */
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	(void)fd;
	(void)what;
	if (d->state == WAITING)
		dial(d);
	else
		end_attempt(d, "it does not answer");
}

/* ---- what the monitor says ---- */

static void monitor_event(struct dealer *d, unsigned event)
{
	switch (event) {
	case ZMQ_EVENT_CONNECTED:
		d->reached = true;
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		came_up(d);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		end_attempt(d, "it does not accept this worker's key");
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		end_attempt(d, "what answers there is not a dispatcher of Farhand");
		break;
	case ZMQ_EVENT_CLOSED:
	case ZMQ_EVENT_DISCONNECTED:
		end_attempt(d, d->state == UP ? "the connection is gone"
			       : d->reached   ? "it closed the connection"
					      : "it cannot be reached");
		break;
	default:
		break;
	}
}

/* Two parts: event and value in 16 and 32 bits of this machine, then the endpoint. */
static void on_monitored(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	(void)fd;
	(void)what;
	zmq_msg_t part;
	(void)zmq_msg_init(&part);
	while (d->monitor && zsocket_receive(d->monitor, &part) == 0) {
		uint16_t event;
		FH_ASSERT_CMP(zmq_msg_size(&part), >=, sizeof event);
		memcpy(&event, zmq_msg_data(&part), sizeof event);
		while (zmq_msg_more(&part))
			if (zsocket_receive(d->monitor, &part))
				FH_UNREACHABLE("half a message");
		monitor_event(d, event);
	}
	(void)zmq_msg_close(&part);
}

/* ---- out ---- */

static void on_flush(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	size_t len = 0;
	int ret = 0;
	(void)fd;
	(void)what;
	while (ret == 0 && d->state == UP) {
		ret = wire_link_next(d->link, d->frame, &len);
		if (ret == 0 && len == 0)
			break;
		if (ret == 0)
			ret = zsocket_send(d->socket, d->frame, len, 0);
	}
	if (ret)
		end_attempt(d, fh_error_text(ret));
	if (d->state == UP && zsocket_readable(d->socket))
		wake(d);
}

static int dealer_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct dealer *d = (struct dealer *)t;
	if (peer != 0 || d->state != UP)
		return FH_ENOTFOUND;
	int ret = wire_link_send(d->link, own_msg);
	if (ret == 0)
		event_active(d->flush, EV_TIMEOUT, 0);
	return ret == FH_EFULL ? FH_EAGAIN : ret;
}

static void dealer_close_peer(struct transport *t, uint64_t peer)
{
	struct dealer *d = (struct dealer *)t;
	if (peer != 0 || d->state != UP)
		return;
	on_flush(-1, 0, d);
	if (d->state != UP)
		return;
	end_attempt(d, "the connection was given up");
	d->tell_lost = false;
}

/* ---- in ---- */

static bool deliver(void *ctx, struct wire_msg *own_msg)
{
	struct dealer *d = ctx;
	d->delivered++;
	d->delay_ms = DELAY_MIN_MS;
	d->base.handler.message(d->base.handler.ctx, 0, own_msg);
	return !d->dropped;
}

static void refuse(struct dealer *d, int why, const struct fh_err *err)
{
	size_t len = wire_link_refusal(d->frame, err->text);
	/* If it cannot be said, nobody is there to read it. */
	if (why != FH_ECLOSED && zsocket_send(d->socket, d->frame, len, 0))
		d->delay_ms = DELAY_MAX_MS;
	end_attempt(d, err->text);
}

/* False: nothing is there, or nobody. */
static bool receive_one(struct dealer *d)
{
	zmq_msg_t part;
	(void)zmq_msg_init(&part);
	bool got = d->state == UP && zsocket_receive(d->socket, &part) == 0;
	unsigned parts = got;
	for (; got && zmq_msg_more(&part); parts++)
		if (zsocket_receive(d->socket, &part))
			FH_UNREACHABLE("half a message");
	if (got) {
		struct fh_err err = { "" };
		d->receiving = true;
		int ret = wire_link_receive(d->link, zmq_msg_data(&part),
					    parts == 1 ? zmq_msg_size(&part) : 0, deliver, d, &err);
		d->receiving = false;
		if (d->dropped)
			wire_link_free(&d->link);
		else if (ret)
			refuse(d, ret, &err);
		else if (wire_link_pending(d->link))
			event_active(d->flush, EV_TIMEOUT, 0);
		d->dropped = false;
	}
	(void)zmq_msg_close(&part);
	return got;
}

static bool dealer_poll(struct transport *t, unsigned max)
{
	struct dealer *d = (struct dealer *)t;
	d->awake = false;
	d->delivered = 0;
	if (d->tell_lost) {
		d->tell_lost = false;
		if (d->base.handler.lost)
			d->base.handler.lost(d->base.handler.ctx, 0);
	}
	if (d->tell_connected) {
		d->tell_connected = false;
		if (d->base.handler.connected)
			d->base.handler.connected(d->base.handler.ctx, 0);
	}
	bool got = true;
	for (unsigned frames = 0; got && d->delivered < max && frames < max; frames++)
		got = receive_one(d);
	if (got || d->tell_lost)
		wake(d);
	return got;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	(void)fd;
	(void)what;
	if (zsocket_readable(d->socket))
		wake(d);
}

/* ---- life ---- */

static void dealer_free(struct transport *t)
{
	struct dealer *d = (struct dealer *)t;
	if (d->state == UP)
		on_flush(-1, 0, d);
	drop_socket(d);
	free_event(&d->flush);
	free_event(&d->timer);
	if (d->zmq)
		(void)zmq_ctx_term(d->zmq);
	fh_free(d);
}

static const struct transport_ops dealer_ops = {
	.send = dealer_send,
	.poll = dealer_poll,
	.close_peer = dealer_close_peer,
	.free = dealer_free,
};

static int read_urls(struct dealer *d, const char *const *urls, size_t count, struct fh_err *err)
{
	if (count == 0 || count > URLS_MAX)
		return fh_err_set(err, FH_EINVAL, "a worker needs 1 to %d addresses, not %zu",
				  URLS_MAX, count);
	for (size_t i = 0; i < count; i++) {
		int ret = endpoint_parse(urls[i], &d->urls[i], err);
		if (ret)
			return ret;
		if (!d->urls[i].loopback)
			return fh_err_set(err, FH_EINVAL,
					  "%s is not a loopback address, and workers have no keys "
					  "yet",
					  d->urls[i].url);
	}
	d->url_count = count;
	return 0;
}

static int start(struct dealer *d, struct fh_err *err)
{
	d->zmq = zmq_ctx_new();
	if (!d->zmq)
		return fh_err_set(err, FH_EIO, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
	d->flush = event_new(d->loop, -1, 0, on_flush, d);
	d->timer = event_new(d->loop, -1, 0, on_timer, d);
	if (!d->flush || !d->timer)
		return FH_ENOMEM;
	d->delay_ms = DELAY_MIN_MS;
	set_timer(d, 0);
	return 0;
}

const char *transport_zmq_dispatcher(const struct transport *t)
{
	FH_ASSERT(t->ops == &dealer_ops);
	const struct dealer *d = (const struct dealer *)t;
	return d->urls[d->url].url;
}

int transport_zmq_connect(struct event_base *base, const char *const *urls, size_t url_count,
			  uint64_t (*random)(void *env), void *env,
			  struct transport **ret_transport, struct fh_err *err)
{
	struct dealer *d = fh_calloc(1, sizeof *d);
	if (!d)
		return FH_ENOMEM;
	d->base.ops = &dealer_ops;
	d->loop = base;
	d->random = random;
	d->env = env;
	int ret = read_urls(d, urls, url_count, err);
	if (ret == 0)
		ret = start(d, err);
	if (ret) {
		dealer_free(&d->base);
		return ret;
	}
	*ret_transport = &d->base;
	return 0;
}
