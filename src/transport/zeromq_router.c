/* The dispatcher's end: a ROUTER, whose peers are named by the routing ids that ZeroMQ invents.
 *
 * Happy path: a frame from an unknown id makes a peer; send() queues a message in the peer's link,
 * and at the end of this turn of the loop all that was queued leaves in as few frames as possible.
 *
 * Failure modes: a peer that cannot be routed to is lost; frames that are none close their peer,
 * after a refusal that its side can log. A peer that never gets a message across is forgotten when
 * there are many of them, so junk costs no memory. An id that a peer chose for itself is ignored:
 * it could be somebody else's. */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "transport/endpoint.h"
#include "transport/zeromq.h"
#include "transport/zeromq_priv.h"
#include "wire/link.h"

enum {
	RID_LEN = 5, /* a zero byte, which no peer may choose, and a number */
	/* Peers that have sent frames and no whole message yet. */
	STRANGERS_MAX = 64,
};

struct peer {
	uint64_t number;
	uint8_t rid[RID_LEN];
	struct wire_link *link;
	struct list dirty; /* in router.dirty while it may have frames to send */
	struct list place; /* in router.strangers, router.lost, or in none */
	bool known;	   /* a message was delivered */
	bool receiving, closed;
};

struct router {
	struct transport base;
	void *zmq, *socket;
	struct event *readable, *flush;
	struct map by_rid, by_number;
	struct list dirty, strangers, lost;
	unsigned stranger_count;
	uint64_t last_number;
	unsigned delivered;  /* in this poll() */
	struct peer *source; /* of the frame that is being received */
	bool awake;
	char url[80];
	uint8_t frame[WIRE_FRAME_MAX];
};

static struct fh_id rid_key(const uint8_t rid[RID_LEN])
{
	struct fh_id key = { { 0 } };
	memcpy(key.b, rid, RID_LEN);
	return key;
}

static struct fh_id number_key(uint64_t number)
{
	struct fh_id key = { { 0 } };
	memcpy(key.b, &number, sizeof number);
	return key;
}

static void wake(struct router *r)
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

/* ---- peers ---- */

static void unplace(struct router *r, struct peer *p)
{
	if (!p->known && !list_empty(&p->place))
		r->stranger_count--;
	list_remove(&p->place);
}

/* From here on its id means nobody. */
static void unlink_peer(struct router *r, struct peer *p)
{
	unplace(r, p);
	list_remove(&p->dirty);
	(void)map_remove(&r->by_rid, rid_key(p->rid));
	(void)map_remove(&r->by_number, number_key(p->number));
}

static void peer_free(struct peer *p)
{
	wire_link_free(&p->link);
	fh_free(p);
}

static void forget(struct router *r, struct peer *p)
{
	unlink_peer(r, p);
	p->closed = true;
	if (!p->receiving)
		peer_free(p);
}

static void lose(struct router *r, struct peer *p)
{
	bool known = p->known;
	unlink_peer(r, p);
	if (!known) {
		peer_free(p);
		return;
	}
	list_push_back(&r->lost, &p->place);
	wake(r);
}

static struct peer *peer_new(struct router *r, const uint8_t rid[RID_LEN])
{
	if (r->stranger_count >= STRANGERS_MAX)
		forget(r, list_entry(r->strangers.next, struct peer, place));
	struct peer *p = fh_calloc(1, sizeof *p);
	if (!p)
		return NULL;
	list_init(&p->dirty);
	list_init(&p->place);
	memcpy(p->rid, rid, RID_LEN);
	p->number = ++r->last_number;
	if (wire_link_new(&p->link) || map_put(&r->by_rid, rid_key(rid), p)) {
		peer_free(p);
		return NULL;
	}
	if (map_put(&r->by_number, number_key(p->number), p)) {
		(void)map_remove(&r->by_rid, rid_key(rid));
		peer_free(p);
		return NULL;
	}
	list_push_back(&r->strangers, &p->place);
	r->stranger_count++;
	return p;
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
			lose(r, p);
	}
	if (zsocket_readable(r->socket))
		wake(r);
}

static int router_send(struct transport *t, uint64_t number, struct wire_msg *own_msg)
{
	struct router *r = (struct router *)t;
	struct peer *p = map_get(&r->by_number, number_key(number));
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
	struct peer *p = map_get(&r->by_number, number_key(number));
	if (!p)
		return;
	/* What was said last may be the reason. Nothing depends on its arrival. */
	(void)flush_peer(r, p);
	forget(r, p);
}

/* ---- in ---- */

static bool deliver(void *ctx, struct wire_msg *own_msg)
{
	struct router *r = ctx;
	struct peer *p = r->source;
	if (!p->known) {
		unplace(r, p);
		p->known = true;
	}
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
		lose(r, p);
	else
		forget(r, p);
}

static void receive_frame(struct router *r, struct peer *p, const void *data, size_t len)
{
	struct fh_err err = { "" };
	r->source = p;
	p->receiving = true;
	int ret = wire_link_receive(p->link, data, len, deliver, r, &err);
	p->receiving = false;
	r->source = NULL;
	if (p->closed) {
		peer_free(p);
		return;
	}
	if (ret)
		refuse(r, p, ret, &err);
	else if (wire_link_pending(p->link))
		mark_dirty(r, p);
}

static void take_frame(struct router *r, const uint8_t *rid, size_t rid_len, const void *data,
		       size_t len)
{
	if (rid_len != RID_LEN || rid[0] != 0)
		return;
	struct peer *p = map_get(&r->by_rid, rid_key(rid));
	if (!p)
		p = peer_new(r, rid);
	if (p)
		receive_frame(r, p, data, len);
	else
		trouble(r, "no memory for a worker's connection");
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
		take_frame(r, zmq_msg_data(&rid), zmq_msg_size(&rid), zmq_msg_data(&part),
			   parts == 1 ? zmq_msg_size(&part) : 0);
	(void)zmq_msg_close(&rid);
	(void)zmq_msg_close(&part);
	return got;
}

static void tell_lost(struct router *r)
{
	for (struct list *l; (l = list_pop_front(&r->lost));) {
		struct peer *p = list_entry(l, struct peer, place);
		uint64_t number = p->number;
		peer_free(p);
		if (r->base.handler.lost)
			r->base.handler.lost(r->base.handler.ctx, number);
	}
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
	tell_lost(r);
	if (got)
		wake(r);
	return got;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct router *r = ctx;
	(void)fd;
	(void)what;
	if (zsocket_readable(r->socket))
		wake(r);
}

/* ---- life ---- */

static void router_free(struct transport *t)
{
	struct router *r = (struct router *)t;
	if (r->socket) {
		on_flush(-1, 0, r);
		zsocket_close(r->socket);
	}
	size_t pos = 0;
	for (struct peer *p; (p = map_next(&r->by_rid, &pos));)
		peer_free(p);
	for (struct list *l; (l = list_pop_front(&r->lost));)
		peer_free(list_entry(l, struct peer, place));
	map_release(&r->by_rid);
	map_release(&r->by_number);
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
	.free = router_free,
};

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
		 struct fh_err *err)
{
	list_init(&r->dirty);
	list_init(&r->strangers);
	list_init(&r->lost);
	if (map_init(&r->by_rid) || map_init(&r->by_number))
		return FH_ENOMEM;
	r->zmq = zmq_ctx_new();
	r->socket = r->zmq ? zsocket_new(r->zmq, ZMQ_ROUTER, e) : NULL;
	if (!r->socket)
		return fh_err_set(err, FH_EIO, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
	int ret = listen_on(r, e, err);
	if (ret)
		return ret;
	r->flush = event_new(base, -1, 0, on_flush, r);
	r->readable = event_new(base, zsocket_fd(r->socket), EV_READ | EV_PERSIST, on_readable, r);
	return r->flush && r->readable && event_add(r->readable, NULL) == 0 ? 0 : FH_ENOMEM;
}

int transport_zmq_bind(struct event_base *base, const char *url, struct transport **ret_transport,
		       struct fh_err *err)
{
	struct endpoint e;
	int ret = endpoint_parse(url, &e, err);
	if (ret)
		return ret;
	if (!e.loopback)
		return fh_err_set(err, FH_EINVAL,
				  "%s is not a loopback address, and workers have no keys yet",
				  e.url);
	struct router *r = fh_calloc(1, sizeof *r);
	if (!r)
		return FH_ENOMEM;
	r->base.ops = &router_ops;
	ret = start(r, base, &e, err);
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
