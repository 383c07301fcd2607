/* The dispatcher's end: a ROUTER, whose peers are named by the routing ids that ZeroMQ invents.
 *
 * Happy path: a frame from an unknown id makes a peer; send() queues a message in the peer's link,
 * and at the end of this turn of the loop all that was queued leaves in as few frames as possible.
 *
 * Failure modes: a peer that cannot be routed to is lost; frames that are none close their peer,
 * after a refusal that its side can log. An id that a peer chose for itself is ignored: it could be
 * somebody else's. Where there are keys, a frame of nobody who is let in is dropped before it makes
 * a peer. */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "transport/endpoint.h"
#include "transport/zeromq_priv.h"
#include "transport/zeromq_router_priv.h"

void router_wake(struct router *r)
{
	if (r->awake || !r->base.handler.wake)
		return;
	r->awake = true;
	r->base.handler.wake(r->base.handler.ctx);
}

static void trouble(struct router *r, const char *line)
{
	if (r->base.handler.trouble)
		r->base.handler.trouble(r->base.handler.ctx, line);
}

/* ---- out ---- */

static int send_frame(struct router *r, const struct peer *p, size_t len)
{
	int ret = zsocket_send(r->socket, p->rid, RID_LEN, ZMQ_SNDMORE);
	return ret ? ret : zsocket_send(r->socket, r->frame, len, 0);
}

/* All that the peer's link gives now; an error means that the peer is of no use. */
static int flush_peer(struct router *r, struct peer *p)
{
	for (;;) {
		size_t len;
		int ret = wire_link_next(p->link, r->frame, &len);
		if (ret || len == 0)
			return ret;
		ret = send_frame(r, p, len);
		if (ret)
			return ret;
	}
}

static void mark_dirty(struct router *r, struct peer *p)
{
	if (!list_empty(&p->dirty))
		return;
	list_push_back(&r->dirty, &p->dirty);
	event_active(r->flush, EV_TIMEOUT, 0);
}

static void on_flush(evutil_socket_t fd, short what, void *ctx)
{
	struct router *r = ctx;
	(void)fd;
	(void)what;
	for (struct list *l; (l = list_pop_front(&r->dirty));) {
		struct peer *p = list_entry(l, struct peer, dirty);
		if (flush_peer(r, p))
			peer_lose(r, p);
	}
	if (zsocket_readable(r->socket))
		router_wake(r);
}

static int router_send(struct transport *t, uint64_t number, struct wire_msg *own_msg)
{
	struct router *r = (struct router *)t;
	struct peer *p = peer_by_number(r, number);
	if (!p)
		return FH_ENOTFOUND;
	int ret = wire_link_send(p->link, own_msg);
	if (ret == 0)
		mark_dirty(r, p);
	return ret == FH_EFULL ? FH_EAGAIN : ret;
}

static void router_close_peer(struct transport *t, uint64_t number)
{
	struct router *r = (struct router *)t;
	struct peer *p = peer_by_number(r, number);
	if (!p)
		return;
	/* What was said last may be the reason. Nothing depends on its arrival. */
	(void)flush_peer(r, p);
	peer_forget(r, p);
}

static const char *router_peer_name(const struct transport *t, uint64_t number)
{
	const struct router *r = (const struct router *)t;
	const struct peer *p = peer_by_number(r, number);
	return p && p->name[0] ? p->name : NULL;
}

/* ---- in ---- */

static bool deliver(void *ctx, struct wire_msg *own_msg)
{
	struct router *r = ctx;
	struct peer *p = r->source;
	peer_is_known(r, p);
	r->delivered++;
	r->base.handler.message(r->base.handler.ctx, p->number, own_msg);
	return !p->closed;
}

static void refuse(struct router *r, struct peer *p, int why, const struct fh_err *err)
{
	char line[sizeof err->text + 64];
	(void)snprintf(line, sizeof line, "a worker's connection was refused: %s", err->text);
	trouble(r, line);
	if (why != FH_ECLOSED)
		(void)send_frame(r, p, wire_link_refusal(r->frame, err->text));
	if (p->known)
		peer_lose(r, p);
	else
		peer_forget(r, p);
}

static void receive_frame(struct router *r, struct peer *p, const void *data, size_t len)
{
	struct fh_err err = { "" };
	unsigned delivered = r->delivered;
	r->source = p;
	peer_hold(p);
	int ret = wire_link_receive(p->link, data, len, deliver, r, &err);
	r->source = NULL;
	if (!peer_let_go(p))
		return;
	if (ret) {
		refuse(r, p, ret, &err);
		return;
	}
	if (wire_link_pending(p->link))
		mark_dirty(r, p);
	if (p->known && r->delivered == delivered && r->base.handler.heard)
		r->base.handler.heard(r->base.handler.ctx, p->number);
}

/* A peer whose frames come under another key is another peer. */
static struct peer *find_peer(struct router *r, const uint8_t *rid, const char *key,
			      const char *name)
{
	struct peer *p = peer_by_rid(r, rid);
	if (p && strcmp(p->key, key) != 0) {
		peer_lose(r, p);
		p = NULL;
	}
	if (!p)
		p = peer_new(r, rid, key, name);
	if (!p)
		trouble(r, "no memory for a worker's connection");
	return p;
}

static void take_frame(struct router *r, zmq_msg_t *rid, zmq_msg_t *part, bool alone)
{
	char key[CURVE_KEY_SIZE];
	const char *name = guard_name(&r->guard, part, key);
	const uint8_t *id = zmq_msg_data(rid);
	if (!name || zmq_msg_size(rid) != RID_LEN || id[0] != 0)
		return;
	struct peer *p = find_peer(r, id, key, name);
	if (p)
		receive_frame(r, p, zmq_msg_data(part), alone ? zmq_msg_size(part) : 0);
}

/* One message of ZeroMQ: the routing id, then one part, which is a frame. False: there is none. */
static bool receive_one(struct router *r)
{
	zmq_msg_t rid, part;
	(void)zmq_msg_init(&rid);
	(void)zmq_msg_init(&part);
	bool got = zsocket_receive(r->socket, &rid) == 0;
	unsigned parts = 0;
	for (bool more = got && zmq_msg_more(&rid); more; more = zmq_msg_more(&part), parts++)
		if (zsocket_receive(r->socket, &part))
			FH_UNREACHABLE("half a message");
	if (got)
		take_frame(r, &rid, &part, parts == 1);
	(void)zmq_msg_close(&rid);
	(void)zmq_msg_close(&part);
	return got;
}

/* The list has changed: whoever is not on it any more is told so, and lost. */
static void look_again(void *ctx)
{
	struct router *r = ctx;
	struct list out;
	size_t pos = 0;
	const struct fh_err err = { "the key is not on the list any more" };
	list_init(&out);
	for (struct peer *p; (p = map_next(&r->by_rid, &pos));)
		if (!guard_knows(&r->guard, p->key))
			peer_place(r, p, &out);
	for (struct list *l; (l = list_pop_front(&out));)
		refuse(r, list_entry(l, struct peer, place), FH_EPROTO, &err);
}

static bool router_poll(struct transport *t, unsigned max)
{
	struct router *r = (struct router *)t;
	r->awake = false;
	r->delivered = 0;
	bool got = true;
	/* A frame without messages counts, too: nobody may keep us here with them. */
	for (unsigned frames = 0; got && r->delivered < max && frames < max; frames++)
		got = receive_one(r);
	peers_tell_lost(r);
	if (got)
		router_wake(r);
	return got;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct router *r = ctx;
	(void)fd;
	(void)what;
	if (zsocket_readable(r->socket))
		router_wake(r);
}

/* ---- life ---- */

static void router_free(struct transport *t)
{
	struct router *r = (struct router *)t;
	if (r->socket) {
		on_flush(-1, 0, r);
		zsocket_close(r->socket);
	}
	guard_close(&r->guard);
	peers_release(r);
	if (r->readable)
		event_free(r->readable);
	if (r->flush)
		event_free(r->flush);
	if (r->zmq)
		(void)zmq_ctx_term(r->zmq);
	fh_free(r);
}

static const struct transport_ops router_ops = {
	.send = router_send,
	.poll = router_poll,
	.close_peer = router_close_peer,
	.peer_name = router_peer_name,
	.free = router_free,
};

static int zmq_failed(struct fh_err *err)
{
	return fh_err_set(err, FH_EIO, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
}

static void guard_says(void *ctx, const char *line)
{
	trouble(ctx, line);
}

/* The guard stands before there is a socket, and is tried out before that listens. */
static int make_socket(struct router *r, const struct endpoint *e, const struct zmq_lock *lock,
		       struct fh_err *err)
{
	int ret = lock ? guard_open(&r->guard, r->zmq, lock, err) : 0;
	if (ret)
		return ret;
	r->socket = zsocket_new(r->zmq, ZMQ_ROUTER, e->ipv6);
	if (!r->socket)
		return zmq_failed(err);
	if (!lock)
		return 0;
	ret = guard_socket(&r->guard, r->socket, err);
	if (ret == 0)
		ret = guard_try_out(&r->guard, r->zmq, r->socket, err);
	r->guard.ctx = r;
	r->guard.trouble = guard_says;
	r->guard.changed = look_again;
	return ret;
}

static int listen_on(struct router *r, const struct endpoint *e, struct fh_err *err)
{
	if (zmq_bind(r->socket, e->numeric))
		return fh_err_set(err, FH_EIO, "cannot listen on %s: %s", e->numeric,
				  zmq_strerror(zmq_errno()));
	size_t len = sizeof r->url;
	FH_ASSERT(zmq_getsockopt(r->socket, ZMQ_LAST_ENDPOINT, r->url, &len) == 0);
	return 0;
}

static int start(struct router *r, struct event_base *base, const struct endpoint *e,
		 const struct zmq_lock *lock, struct fh_err *err)
{
	if (peers_init(r))
		return FH_ENOMEM;
	r->zmq = zmq_ctx_new();
	if (!r->zmq)
		return zmq_failed(err);
	int ret = make_socket(r, e, lock, err);
	if (ret == 0)
		ret = listen_on(r, e, err);
	if (ret == 0 && lock)
		ret = guard_watch(&r->guard, base);
	if (ret)
		return ret;
	r->flush = event_new(base, -1, 0, on_flush, r);
	r->readable = event_new(base, zsocket_fd(r->socket), EV_READ | EV_PERSIST, on_readable, r);
	return r->flush && r->readable && event_add(r->readable, NULL) == 0 ? 0 : FH_ENOMEM;
}

int transport_zmq_bind(struct event_base *base, const char *url, const struct zmq_lock *lock,
		       struct transport **ret_transport, struct fh_err *err)
{
	struct endpoint e;
	int ret = endpoint_parse(url, &e, err);
	if (ret)
		return ret;
	if (!lock && !e.loopback)
		return fh_err_set(err, FH_EINVAL, "%s is beyond loopback, where workers need keys",
				  e.url);
	struct router *r = fh_calloc(1, sizeof *r);
	if (!r)
		return FH_ENOMEM;
	r->base.ops = &router_ops;
	ret = start(r, base, &e, lock, err);
	if (ret) {
		router_free(&r->base);
		return ret;
	}
	*ret_transport = &r->base;
	return 0;
}

const char *transport_zmq_url(const struct transport *t)
{
	FH_ASSERT(t->ops == &router_ops);
	return ((const struct router *)t)->url;
}
