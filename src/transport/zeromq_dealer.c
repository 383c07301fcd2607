/* The worker's end: a DEALER that dials out; zeromq_dial.c makes and drops its socket.
 *
 * Happy path: send() queues a message in the link, and at the end of this turn of the loop, or a
 * moment after the last frame, all that was queued leaves in as few frames as possible; a frame
 * that comes is a handful of messages for the handler. Failure modes: a frame that is none, a
 * refusal, no memory: the attempt ends, and another one begins. */
#include <event2/event.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"
#include "transport/zeromq_dealer_priv.h"
#include "transport/zeromq_priv.h"

void dealer_wake(struct dealer *d)
{
	if (d->awake || !d->base.handler.wake)
		return;
	d->awake = true;
	d->base.handler.wake(d->base.handler.ctx);
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
		d->flushed_us = fh_monotonic_us();
	}
	if (ret)
		dealer_end_attempt(d, fh_error_text(ret));
	if (d->state == UP && zsocket_readable(d->socket))
		dealer_wake(d);
}

/* The first frame after a pause leaves with this turn of the loop. */
static void flush_soon(struct dealer *d)
{
	if (event_pending(d->flush, EV_TIMEOUT, NULL))
		return;
	int64_t wait_us = d->flushed_us + DEALER_PACE_US - fh_monotonic_us();
	struct timeval tv = { .tv_usec = wait_us };
	if (wait_us <= 0 || event_add(d->flush, &tv))
		event_active(d->flush, EV_TIMEOUT, 0);
}

static int dealer_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct dealer *d = (struct dealer *)t;
	if (peer != 0 || d->state != UP)
		return FH_ENOTFOUND;
	int ret = wire_link_send(d->link, own_msg);
	if (ret == 0)
		flush_soon(d);
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
	dealer_end_attempt(d, "the connection was given up");
	d->tell_lost = false;
}

/* ---- in ---- */

static bool deliver(void *ctx, struct wire_msg *own_msg)
{
	struct dealer *d = ctx;
	d->delivered++;
	d->delay_ms = DEALER_DELAY_MIN_MS;
	d->base.handler.message(d->base.handler.ctx, 0, own_msg);
	return !d->dropped;
}

static void refuse(struct dealer *d, int why, const struct fh_err *err)
{
	size_t len = wire_link_refusal(d->frame, err->text);
	/* If it cannot be said, nobody is there to read it. */
	if (why != FH_ECLOSED && zsocket_send(d->socket, d->frame, len, 0))
		d->delay_ms = DEALER_DELAY_MAX_MS;
	dealer_end_attempt(d, err->text);
}

static void receive_frame(struct dealer *d, const void *data, size_t len)
{
	struct fh_err err = { "" };
	unsigned delivered = d->delivered;
	d->receiving = true;
	int ret = wire_link_receive(d->link, data, len, deliver, d, &err);
	d->receiving = false;
	bool dropped = d->dropped;
	d->dropped = false;
	if (dropped) {
		wire_link_free(&d->link);
		return;
	}
	if (ret) {
		refuse(d, ret, &err);
		return;
	}
	if (wire_link_pending(d->link))
		flush_soon(d);
	if (d->delivered == delivered && d->base.handler.heard)
		d->base.handler.heard(d->base.handler.ctx, 0);
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
	if (got)
		receive_frame(d, zmq_msg_data(&part), parts == 1 ? zmq_msg_size(&part) : 0);
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
		dealer_wake(d);
	return got;
}

void dealer_on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	(void)fd;
	(void)what;
	if (zsocket_readable(d->socket))
		dealer_wake(d);
}

/* ---- life ---- */

static void dealer_free(struct transport *t)
{
	struct dealer *d = (struct dealer *)t;
	if (d->state == UP)
		on_flush(-1, 0, d);
	dealer_stop(d);
	if (d->flush)
		event_free(d->flush);
	if (d->zmq)
		(void)zmq_ctx_term(d->zmq);
	explicit_bzero(&d->key, sizeof d->key);
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
	if (count == 0 || count > DEALER_URLS_MAX)
		return fh_err_set(err, FH_EINVAL, "a worker needs 1 to %d addresses, not %zu",
				  DEALER_URLS_MAX, count);
	for (size_t i = 0; i < count; i++) {
		int ret = endpoint_parse(urls[i], &d->urls[i], err);
		if (ret)
			return ret;
		if (!d->has_key && !d->urls[i].loopback)
			return fh_err_set(err, FH_EINVAL,
					  "%s is beyond loopback, where a worker needs a key",
					  d->urls[i].url);
	}
	d->url_count = count;
	return 0;
}

static int take_key(struct dealer *d, const struct zmq_key *key, struct fh_err *err)
{
	if (!key)
		return 0;
	if (!curve_is_key(key->server_key) || !curve_is_key(key->own.public_key) ||
	    !curve_is_key(key->own.secret_key))
		return fh_err_set(err, FH_EINVAL, "what is given as a key is not one");
	d->key = *key;
	d->has_key = true;
	return curve_check(err);
}

static int start(struct dealer *d, struct fh_err *err)
{
	d->zmq = zmq_ctx_new();
	if (!d->zmq)
		return fh_err_set(err, FH_EIO, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
	d->flush = event_new(d->loop, -1, 0, on_flush, d);
	return d->flush ? dealer_begin(d) : FH_ENOMEM;
}

const char *transport_zmq_dispatcher(const struct transport *t)
{
	FH_ASSERT(t->ops == &dealer_ops);
	const struct dealer *d = (const struct dealer *)t;
	return d->urls[d->url].url;
}

struct event_base *transport_zmq_base(void)
{
	struct event_config *config = event_config_new();
	if (!config)
		return NULL;
	(void)event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

int transport_zmq_connect(struct event_base *base, const char *const *urls, size_t url_count,
			  const struct zmq_key *key, uint64_t (*random)(void *env), void *env,
			  struct transport **ret_transport, struct fh_err *err)
{
	struct dealer *d = fh_calloc(1, sizeof *d);
	if (!d)
		return FH_ENOMEM;
	d->base.ops = &dealer_ops;
	d->loop = base;
	d->random = random;
	d->env = env;
	int ret = take_key(d, key, err);
	if (ret == 0)
		ret = read_urls(d, urls, url_count, err);
	if (ret == 0)
		ret = start(d, err);
	if (ret) {
		dealer_free(&d->base);
		return ret;
	}
	*ret_transport = &d->base;
	return 0;
}
