/* Links come and go beside the dispatcher: one that breaks is told of when the dispatcher polls,
 * and only then its place can be taken again. Each poll takes a random portion of each link. */
#include "hub.h"

#include "base/assert.h"
#include "base/mem.h"
#include "oracle.h"
#include "world.h"

enum { LINKS_MAX = 8, QUEUE_MAX = 4096 };

struct hub;

struct link {
	struct hub *hub;
	uint64_t peer;
	struct transport *near; /* NULL: not in use */
	bool closed;		/* by the dispatcher; freed after the poll */
	bool lost;
};

struct hub {
	struct transport base;
	struct world *w;
	uint64_t last_peer;
	struct link links[LINKS_MAX];
	bool polling;
};

static struct link *find(const struct hub *h, uint64_t peer)
{
	for (int i = 0; i < LINKS_MAX; i++)
		if (h->links[i].near && !h->links[i].closed && h->links[i].peer == peer)
			return (struct link *)&h->links[i];
	return NULL;
}

static void reap(struct hub *h)
{
	for (int i = 0; i < LINKS_MAX && !h->polling; i++)
		if (h->links[i].near && (h->links[i].closed || h->links[i].lost))
			transport_free(&h->links[i].near);
}

static int hub_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct hub *h = (struct hub *)t;
	struct link *l = find(h, peer);
	if (own_msg->type == WIRE_ASSIGN) /* also into a void: its token is out */
		oracle_assigned(h->w->oracle, peer, &own_msg->assign);
	if (!l)
		return FH_ENOTFOUND;
	return transport_send(l->near, 1, own_msg);
}

static bool hub_poll(struct transport *t, unsigned max)
{
	struct hub *h = (struct hub *)t;
	bool more = false;
	uint32_t first = rng_below(&h->w->rng, LINKS_MAX);
	(void)max;
	h->polling = true;
	for (uint32_t i = 0; i < LINKS_MAX; i++) {
		struct link *l = &h->links[(first + i) % LINKS_MAX];
		if (l->near && !l->closed && !l->lost)
			more |= transport_poll(l->near, 1 + rng_skewed(&h->w->rng, 64));
	}
	h->polling = false;
	reap(h);
	return more;
}

static void hub_close_peer(struct transport *t, uint64_t peer)
{
	struct hub *h = (struct hub *)t;
	struct link *l = find(h, peer);
	if (!l)
		return;
	transport_close_peer(l->near, 1);
	l->closed = true;
	reap(h);
}

static void hub_free_op(struct transport *t)
{
	(void)t;
}

static const struct transport_ops hub_ops = {
	.send = hub_send,
	.poll = hub_poll,
	.close_peer = hub_close_peer,
	.free = hub_free_op,
};

struct hub *hub_new(struct world *w)
{
	struct hub *h = fh_calloc(1, sizeof *h);
	FH_ASSERT(h != NULL);
	h->base.ops = &hub_ops;
	h->w = w;
	return h;
}

void hub_free(struct hub **h)
{
	hub_break_all(*h);
	fh_free(*h);
	*h = NULL;
}

struct transport *hub_transport(struct hub *h)
{
	return &h->base;
}

static void near_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct link *l = ctx;
	const struct transport_handler *up = &l->hub->base.handler;
	(void)peer;
	if (l->closed || !up->message)
		wire_msg_release(own_msg);
	else
		up->message(up->ctx, l->peer, own_msg);
}

static void near_lost(void *ctx, uint64_t peer)
{
	struct link *l = ctx;
	const struct transport_handler *up = &l->hub->base.handler;
	(void)peer;
	l->lost = true;
	if (!l->closed && up->lost)
		up->lost(up->ctx, l->peer);
}

static void near_wake(void *ctx)
{
	struct link *l = ctx;
	l->hub->w->woken = true;
}

struct transport *hub_connect(struct hub *h, uint64_t *ret_peer)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		struct link *l = &h->links[i];
		struct transport *far;
		if (l->near)
			continue;
		*l = (struct link){ .hub = h, .peer = ++h->last_peer };
		int ret = transport_inproc_pair(QUEUE_MAX, &l->near, &far);
		FH_ASSERT_CMP(ret, ==, 0);
		l->near->handler = (struct transport_handler){
			.ctx = l, .message = near_message, .lost = near_lost, .wake = near_wake
		};
		*ret_peer = l->peer;
		return far;
	}
	return NULL;
}

bool hub_has(const struct hub *h, uint64_t peer)
{
	return find(h, peer) != NULL;
}

void hub_break_all(struct hub *h)
{
	for (int i = 0; i < LINKS_MAX; i++)
		transport_free(&h->links[i].near);
}
