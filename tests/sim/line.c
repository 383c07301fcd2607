/* Messages are encoded when they are sent and decoded when they come, by the real codec: so a
 * repeated one is a message of its own, and nothing is shared that a network would not share. */
#include "line.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/codec.h"
#include "world.h"

enum { LATE_US = 500000 }; /* of one that others overtake, at most */

struct packet {
	struct list link;
	int64_t due_us;
	size_t len;
	uint8_t data[];
};

void line_init(struct line *l)
{
	*l = (struct line){ .count = 0 };
	list_init(&l->packets);
}

void line_release(struct line *l)
{
	for (struct list *p; l->packets.next && (p = list_pop_front(&l->packets));)
		fh_free(list_entry(p, struct packet, link));
	l->count = 0;
}

static void insert(struct line *l, struct packet *p)
{
	struct list *before = l->packets.prev;
	while (before != &l->packets && list_entry(before, struct packet, link)->due_us > p->due_us)
		before = before->prev;
	list_insert_after(&p->link, before);
	l->count++;
}

/* Order is kept in each kind. */
static unsigned kind_of(enum wire_type type)
{
	if (type == WIRE_LOG)
		return 2;
	return type == WIRE_ASSIGN || type == WIRE_FUNCTION || type == WIRE_RESULT;
}

/* When it comes: behind those of its kind; but one that is late lets others overtake it. */
static int64_t due_us(struct line *l, struct world *w, int64_t cut_until_us, enum wire_type type,
		      bool late)
{
	const struct net_knobs *net = &w->knobs.net;
	int64_t *last_us = &l->last_us[kind_of(type)];
	int64_t from_us = cut_until_us > w->now_us ? cut_until_us : w->now_us;
	int64_t at = from_us + rng_skewed(&w->rng, net->delay_us);
	if (late)
		return at + rng_skewed(&w->rng, LATE_US);
	if (at < *last_us)
		at = *last_us;
	*last_us = at;
	return at;
}

static void put(struct line *l, struct world *w, int64_t cut_until_us, const struct wire_msg *m,
		bool late)
{
	size_t len = wire_encoded_len(m);
	struct packet *p = fh_malloc(sizeof *p + len);
	FH_ASSERT(p != NULL);
	list_init(&p->link);
	p->len = len;
	p->due_us = due_us(l, w, cut_until_us, m->type, late);
	wire_encode(m, p->data);
	insert(l, p);
}

/* A second HELLO over one connection is a violation, whoever sends it: none comes twice. */
void line_send(struct line *l, struct world *w, int64_t cut_until_us, struct wire_msg *own_msg)
{
	const struct net_knobs *net = &w->knobs.net;
	bool lost = !w->calm &&
		    (rng_chance(&w->rng, net->lose) || (net->lose > 0 && cut_until_us > w->now_us));
	if (!lost)
		put(l, w, cut_until_us, own_msg, !w->calm && rng_chance(&w->rng, net->overtake));
	if (!w->calm && own_msg->type != WIRE_HELLO && rng_chance(&w->rng, net->repeat))
		put(l, w, cut_until_us, own_msg, rng_chance(&w->rng, 500));
	if (lost)
		world_note(w, "a %s is lost", wire_type_name(own_msg->type));
	wire_msg_release(own_msg);
}

bool line_take(struct line *l, int64_t now_us, struct wire_msg *ret_msg)
{
	struct fh_err err;
	if (line_next_us(l) > now_us)
		return false;
	struct packet *p = list_entry(list_pop_front(&l->packets), struct packet, link);
	int ret = wire_decode(p->data, p->len, ret_msg, &err);
	FH_ASSERT_CMP(ret, ==, 0);
	fh_free(p);
	l->count--;
	return true;
}

int64_t line_next_us(const struct line *l)
{
	if (list_empty(&l->packets))
		return INT64_MAX;
	return list_entry(l->packets.next, struct packet, link)->due_us;
}
