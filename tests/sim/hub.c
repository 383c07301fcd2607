/* Links come and go beside the dispatcher. Each poll takes a random portion of each link.
 *
 * A link is free again when both sides have given up their ends. A side that gives its end up is
 * noticed by the other one when the end is freed: a while later, or never, until the other one
 * gives up, too. */
#include "hub.h"

#include "base/assert.h"
#include "base/mem.h"
#include "line.h"
#include "oracle.h"
#include "world.h"

enum { LINKS_MAX = 64, QUEUE_MAX = 4096, PEERS_MAX = 1 << 16 };

struct hub;

struct link {
	struct hub *hub;
	uint64_t peer, number;
	uint32_t host;
	struct transport *near, *far; /* NULL: freed */
	bool left, closed;	      /* by the host; by the dispatcher */
	bool broken;		      /* the dispatcher is about to notice */
	int64_t far_us, near_us;      /* when an end that was given up is freed */
	uint64_t assigns;	      /* that the dispatcher has said */
	struct line lines[HUB_WAYS];
};

struct hub {
	struct transport base;
	struct world *w;
	uint64_t last_peer;
	uint64_t *numbers; /* of the process behind each link that there was */
	struct link links[LINKS_MAX];
	int64_t cut_until_us[HOSTS_MAX][HUB_WAYS];
	int64_t shut_until_us; /* nobody listens */
};

static bool in_use(const struct link *l)
{
	return l->near || l->far;
}

/* The link that this side still has. */
static struct link *find(const struct hub *h, uint64_t peer, enum hub_way from)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		const struct link *l = &h->links[i];
		if (in_use(l) && l->peer == peer && !(from == HUB_UP ? l->left : l->closed))
			return (struct link *)l;
	}
	return NULL;
}

/* ---- sending ---- */

static bool is_full(struct hub *h)
{
	return !h->w->calm && rng_chance(&h->w->rng, h->w->knobs.net.full);
}

static int put_on_line(struct hub *h, struct link *l, enum hub_way way, struct wire_msg *own_msg)
{
	struct transport *from = way == HUB_UP ? l->far : l->near;
	struct transport *to = way == HUB_UP ? l->near : l->far;
	if (h->w->knobs.local)
		return transport_send(from, way == HUB_DOWN, own_msg);
	if (l->lines[way].count >= QUEUE_MAX / 2 || is_full(h))
		return FH_EAGAIN;
	if (!to)
		wire_msg_release(own_msg);
	else
		line_send(&l->lines[way], h->w, h->cut_until_us[l->host][way], own_msg);
	return 0;
}

static int hub_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct hub *h = (struct hub *)t;
	struct link *l = find(h, peer, HUB_DOWN);
	FH_ASSERT_CMP(peer, <=, h->last_peer);
	/* Also into a void: its token is out. */
	oracle_said(h->w->oracle, h->numbers[peer], peer, own_msg);
	if (!l)
		return FH_ENOTFOUND;
	l->assigns += own_msg->type == WIRE_ASSIGN;
	return put_on_line(h, l, HUB_DOWN, own_msg);
}

int hub_send_up(struct hub *h, uint64_t peer, struct wire_msg *own_msg)
{
	struct link *l = find(h, peer, HUB_UP);
	return l ? put_on_line(h, l, HUB_UP, own_msg) : FH_ENOTFOUND;
}

uint64_t hub_assigns(const struct hub *h, uint64_t peer)
{
	return find(h, peer, HUB_UP)->assigns;
}

/* ---- flowing ---- */

static void flow(struct hub *h, struct link *l, enum hub_way way)
{
	struct transport *from = way == HUB_UP ? l->far : l->near;
	struct transport *to = way == HUB_UP ? l->near : l->far;
	struct wire_msg m;
	while (line_take(&l->lines[way], h->w->now_us, &m))
		if (!from || !to || transport_send(from, way == HUB_DOWN, &m))
			wire_msg_release(&m);
}

static void free_near(struct link *l)
{
	line_release(&l->lines[HUB_DOWN]);
	transport_free(&l->near);
}

static void free_far(struct link *l)
{
	line_release(&l->lines[HUB_UP]);
	transport_free(&l->far);
}

static void reap(struct hub *h, struct link *l)
{
	bool both = l->left && l->closed;
	if (l->near && l->closed && (both || l->near_us <= h->w->now_us))
		free_near(l);
	if (l->far && l->left && (both || l->far_us <= h->w->now_us))
		free_far(l);
}

void hub_flow(struct hub *h)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		struct link *l = &h->links[i];
		if (!in_use(l))
			continue;
		flow(h, l, HUB_UP);
		flow(h, l, HUB_DOWN);
		reap(h, l);
	}
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t hub_next_us(const struct hub *h)
{
	int64_t at = INT64_MAX;
	for (int i = 0; i < LINKS_MAX; i++) {
		const struct link *l = &h->links[i];
		if (!in_use(l))
			continue;
		at = sooner(at, line_next_us(&l->lines[HUB_UP]));
		at = sooner(at, line_next_us(&l->lines[HUB_DOWN]));
		if (l->far && l->left)
			at = sooner(at, l->far_us);
		if (l->near && l->closed)
			at = sooner(at, l->near_us);
	}
	return at;
}

/* ---- the dispatcher's transport ---- */

/* When the other side notices that an end was given up. */
static int64_t notice_us(struct hub *h)
{
	struct world *w = h->w;
	if (w->knobs.local)
		return w->now_us;
	if (!w->calm && rng_chance(&w->rng, w->knobs.net.unnoticed))
		return INT64_MAX;
	return w->now_us + rng_skewed(&w->rng, 4 * w->knobs.net.delay_us + 1);
}

static void near_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct link *l = ctx;
	const struct transport_handler *up = &l->hub->base.handler;
	(void)peer;
	if (l->closed || !up->message) {
		wire_msg_release(own_msg);
		return;
	}
	oracle_heard(l->hub->w->oracle, l->number, l->peer, own_msg);
	up->message(up->ctx, l->peer, own_msg);
	oracle_answered(l->hub->w->oracle);
}

static void near_lost(void *ctx, uint64_t peer)
{
	struct link *l = ctx;
	const struct transport_handler *up = &l->hub->base.handler;
	(void)peer;
	if (!l->closed && up->lost)
		up->lost(up->ctx, l->peer);
	l->closed = true;
	l->near_us = l->broken ? notice_us(l->hub) : l->hub->w->now_us;
}

static void near_wake(void *ctx)
{
	struct link *l = ctx;
	l->hub->w->woken = true;
}

static bool hub_poll(struct transport *t, unsigned max)
{
	struct hub *h = (struct hub *)t;
	bool more = false;
	uint32_t first = rng_below(&h->w->rng, LINKS_MAX);
	(void)max;
	for (uint32_t i = 0; i < LINKS_MAX; i++) {
		struct link *l = &h->links[(first + i) % LINKS_MAX];
		if (l->near && l->broken && !l->closed)
			near_lost(l, 1);
		else if (l->near && !l->closed)
			more |= transport_poll(l->near, 1 + rng_skewed(&h->w->rng, 64));
	}
	return more;
}

static void close_near(struct hub *h, struct link *l)
{
	l->closed = true;
	l->near_us = notice_us(h);
}

static void hub_close_peer(struct transport *t, uint64_t peer)
{
	struct hub *h = (struct hub *)t;
	struct link *l = find(h, peer, HUB_DOWN);
	if (l)
		close_near(h, l);
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
	h->numbers = fh_calloc(PEERS_MAX, sizeof *h->numbers);
	FH_ASSERT(h->numbers != NULL);
	return h;
}

void hub_free(struct hub **h)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		free_near(&(*h)->links[i]);
		free_far(&(*h)->links[i]);
	}
	fh_free((*h)->numbers);
	fh_free(*h);
	*h = NULL;
}

struct transport *hub_transport(struct hub *h)
{
	return &h->base;
}

/* ---- links ---- */

static bool may_connect(const struct hub *h, uint32_t host)
{
	int64_t now_us = h->w->now_us;
	return h->shut_until_us <= now_us && h->cut_until_us[host][HUB_UP] <= now_us &&
	       h->cut_until_us[host][HUB_DOWN] <= now_us;
}

struct transport *hub_connect(struct hub *h, uint32_t host, uint64_t number, uint64_t *ret_peer)
{
	for (int i = 0; i < LINKS_MAX && may_connect(h, host); i++) {
		struct link *l = &h->links[i];
		if (in_use(l))
			continue;
		*l = (struct link){
			.hub = h, .peer = ++h->last_peer, .host = host, .number = number
		};
		line_init(&l->lines[HUB_UP]);
		line_init(&l->lines[HUB_DOWN]);
		int ret = transport_inproc_pair(QUEUE_MAX, &l->near, &l->far);
		FH_ASSERT_CMP(ret, ==, 0);
		l->near->handler = (struct transport_handler){
			.ctx = l, .message = near_message, .lost = near_lost, .wake = near_wake
		};
		FH_ASSERT_CMP(l->peer, <, PEERS_MAX);
		h->numbers[l->peer] = number;
		*ret_peer = l->peer;
		return l->far;
	}
	return NULL;
}

void hub_leave(struct hub *h, uint64_t peer, struct transport **far)
{
	struct link *l = find(h, peer, HUB_UP);
	*far = NULL;
	FH_ASSERT(l != NULL);
	l->far->handler = (struct transport_handler){ 0 };
	l->left = true;
	l->far_us = notice_us(h);
	reap(h, l);
}

void hub_break(struct hub *h, uint32_t host)
{
	for (int i = 0; i < LINKS_MAX; i++) {
		struct link *l = &h->links[i];
		if (!in_use(l) || l->closed || l->host != host)
			continue;
		l->broken = true;
		h->w->woken = true;
	}
}

void hub_cut(struct hub *h, uint32_t host, enum hub_way way, int64_t until_us)
{
	if (until_us > h->cut_until_us[host][way])
		h->cut_until_us[host][way] = until_us;
}

void hub_break_all(struct hub *h, int64_t until_us)
{
	h->shut_until_us = until_us;
	for (int i = 0; i < LINKS_MAX; i++) {
		struct link *l = &h->links[i];
		if (!in_use(l) || l->closed)
			continue;
		close_near(h, l);
		l->near->handler = (struct transport_handler){ 0 };
		reap(h, l);
	}
}

void hub_heal(struct hub *h)
{
	int64_t now_us = h->w->now_us;
	h->shut_until_us = now_us;
	for (int i = 0; i < HOSTS_MAX; i++)
		for (int way = 0; way < HUB_WAYS; way++)
			h->cut_until_us[i][way] = now_us;
	for (int i = 0; i < LINKS_MAX; i++)
		h->links[i].far_us = h->links[i].near_us = now_us;
}
