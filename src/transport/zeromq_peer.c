/* The peers of a dispatcher's end: known by the routing id that ZeroMQ invented, and by a number of
 * ours that is never used again. Junk costs no memory: of peers that never got a message across
 * only some are remembered. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "transport/zeromq_router_priv.h"

enum { STRANGERS_MAX = 64 }; /* peers that have sent frames and no whole message yet */

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

struct peer *peer_by_rid(const struct router *r, const uint8_t rid[RID_LEN])
{
	return map_get(&r->by_rid, rid_key(rid));
}

struct peer *peer_by_number(const struct router *r, uint64_t number)
{
	return map_get(&r->by_number, number_key(number));
}

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

void peer_forget(struct router *r, struct peer *p)
{
	unlink_peer(r, p);
	p->closed = true;
	if (!p->receiving)
		peer_free(p);
}

void peer_hold(struct peer *p)
{
	p->receiving = true;
}

bool peer_let_go(struct peer *p)
{
	p->receiving = false;
	if (!p->closed)
		return true;
	peer_free(p);
	return false;
}

void peer_lose(struct router *r, struct peer *p)
{
	bool known = p->known;
	unlink_peer(r, p);
	if (!known) {
		peer_free(p);
		return;
	}
	list_push_back(&r->lost, &p->place);
	router_wake(r);
}

static bool add(struct router *r, struct peer *p)
{
	if (wire_link_new(&p->link) || map_put(&r->by_rid, rid_key(p->rid), p))
		return false;
	if (map_put(&r->by_number, number_key(p->number), p) == 0)
		return true;
	(void)map_remove(&r->by_rid, rid_key(p->rid));
	return false;
}

struct peer *peer_new(struct router *r, const uint8_t rid[RID_LEN], const char *key,
		      const char *name)
{
	if (r->stranger_count >= STRANGERS_MAX)
		peer_forget(r, list_entry(r->strangers.next, struct peer, place));
	struct peer *p = fh_calloc(1, sizeof *p);
	if (!p)
		return NULL;
	list_init(&p->dirty);
	list_init(&p->place);
	memcpy(p->rid, rid, RID_LEN);
	memcpy(p->key, key, sizeof p->key);
	(void)snprintf(p->name, sizeof p->name, "%s", name);
	p->number = ++r->last_number;
	if (!add(r, p)) {
		peer_free(p);
		return NULL;
	}
	list_push_back(&r->strangers, &p->place);
	r->stranger_count++;
	return p;
}

void peer_is_known(struct router *r, struct peer *p)
{
	if (p->known)
		return;
	unplace(r, p);
	p->known = true;
}

void peer_place(struct router *r, struct peer *p, struct list *where)
{
	unplace(r, p);
	list_push_back(where, &p->place);
}

void peers_tell_lost(struct router *r)
{
	for (struct list *l; (l = list_pop_front(&r->lost));) {
		struct peer *p = list_entry(l, struct peer, place);
		uint64_t number = p->number;
		peer_free(p);
		if (r->base.handler.lost)
			r->base.handler.lost(r->base.handler.ctx, number);
	}
}

int peers_init(struct router *r)
{
	list_init(&r->dirty);
	list_init(&r->strangers);
	list_init(&r->lost);
	return map_init(&r->by_rid) || map_init(&r->by_number) ? FH_ENOMEM : 0;
}

void peers_release(struct router *r)
{
	size_t pos = 0;
	for (struct peer *p; (p = map_next(&r->by_rid, &pos));)
		peer_free(p);
	for (struct list *l; (l = list_pop_front(&r->lost));)
		peer_free(list_entry(l, struct peer, place));
	map_release(&r->by_rid);
	map_release(&r->by_number);
}
