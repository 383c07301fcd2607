#include "base/heap.h"

#include "base/assert.h"
#include "base/mem.h"

int heap_init(struct heap *h, size_t max)
{
	struct heap_node **nodes = fh_calloc(max, sizeof(struct heap_node *));
	if (!nodes)
		return FH_ENOMEM;
	*h = (struct heap){ .nodes = nodes, .max = max };
	return 0;
}

void heap_release(struct heap *h)
{
	fh_free((void *)h->nodes);
	*h = (struct heap){ 0 };
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
	return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void place(struct heap *h, size_t i, struct heap_node *n)
{
	h->nodes[i] = n;
	n->at = i + 1;
}

static void sift_up(struct heap *h, size_t i, struct heap_node *n)
{
	while (i > 0 && before(n, h->nodes[(i - 1) / 2])) {
		place(h, i, h->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(h, i, n);
}

static void sift_down(struct heap *h, size_t i, struct heap_node *n)
{
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->len)
			break;
		if (child + 1 < h->len && before(h->nodes[child + 1], h->nodes[child]))
			child++;
		if (!before(h->nodes[child], n))
			break;
		place(h, i, h->nodes[child]);
		i = child;
	}
	place(h, i, n);
}

void heap_insert(struct heap *h, struct heap_node *n, int64_t key)
{
	FH_ASSERT_CMP(n->at, ==, 0);
	FH_ASSERT_CMP(h->len, <, h->max);
	n->key = key;
	n->order = h->next_order++;
	sift_up(h, h->len++, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
	if (!n->at)
		return;
	size_t i = n->at - 1;
	FH_ASSERT(i < h->len && h->nodes[i] == n);
	n->at = 0;
	struct heap_node *last = h->nodes[--h->len];
	if (last == n)
		return;
	if (i > 0 && before(last, h->nodes[(i - 1) / 2]))
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->len ? h->nodes[0] : NULL;
}
