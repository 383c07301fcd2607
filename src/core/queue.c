/* Decides the order inside a lane: priority first, then age.
 *
 *  - insert: the list of the priority, at the place that the id says
 *  - head: the front of the highest list; worst: the back of the lowest
 *
 * Nothing here fails: all memory is part of the lane. */
#include "core/queue.h"

#include "base/assert.h"

void queue_init(struct queue *q)
{
	*q = (struct queue){ .count = 0 };
	list_init(&q->pinned);
	for (int i = 0; i < QUEUE_PRIORITIES; i++)
		list_init(&q->by_priority[i]);
}

static struct task *entry(struct list *link)
{
	return list_entry(link, struct task, link);
}

static bool older(const struct list *link, const struct task *t)
{
	return fh_id_compare(entry((struct list *)link)->id, t->id) < 0;
}

/* The link behind which `t` belongs: the youngest of those that are older, or the head. */
static struct list *place_of(struct list *head, const struct task *t)
{
	struct list *from_back = head->prev, *from_front = head;
	for (;;) {
		if (from_back == head || older(from_back, t))
			return from_back;
		if (!older(from_front->next, t))
			return from_front;
		from_back = from_back->prev;
		from_front = from_front->next;
	}
}

void queue_insert(struct queue *q, struct task *t)
{
	FH_ASSERT(t->priority >= PRIORITY_MIN && t->priority <= PRIORITY_MAX);
	unsigned i = (unsigned)(t->priority - PRIORITY_MIN);
	q->count++;
	q->bytes += t->bytes;
	if (t->started_once) {
		list_push_back(&q->pinned, &t->link);
		return;
	}
	list_insert_after(&t->link, place_of(&q->by_priority[i], t));
	q->filled[i / 64] |= UINT64_C(1) << (i % 64);
}

void queue_remove(struct queue *q, struct task *t)
{
	unsigned i = (unsigned)(t->priority - PRIORITY_MIN);
	FH_ASSERT_CMP(q->count, >, 0);
	FH_ASSERT_CMP(q->bytes, >=, t->bytes);
	list_remove(&t->link);
	q->count--;
	q->bytes -= t->bytes;
	if (!t->started_once && list_empty(&q->by_priority[i]))
		q->filled[i / 64] &= ~(UINT64_C(1) << (i % 64));
}

struct task *queue_head(const struct queue *q)
{
	if (!list_empty(&q->pinned))
		return entry(q->pinned.next);
	for (int w = QUEUE_WORDS - 1; w >= 0; w--)
		if (q->filled[w])
			return entry(
				q->by_priority[64 * w + 63 - __builtin_clzll(q->filled[w])].next);
	return NULL;
}

struct task *queue_worst(const struct queue *q)
{
	for (int w = 0; w < QUEUE_WORDS; w++)
		if (q->filled[w])
			return entry(q->by_priority[64 * w + __builtin_ctzll(q->filled[w])].prev);
	return NULL;
}
