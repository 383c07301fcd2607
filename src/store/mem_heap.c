/* The textbook heap; base/heap.h breaks ties by the order of insertion, a lane must break them by
 * id. Happy path: reserve, insert, first, remove, each O(log n). Failure modes: only reserve(). */
#include "store/mem_heap.h"

#include <stdbool.h>

#include "base/assert.h"
#include "base/mem.h"

void mem_heap_release(struct mem_heap *h)
{
	fh_free((void *)h->nodes);
	*h = (struct mem_heap){ 0 };
}

int mem_heap_reserve(struct mem_heap *h, size_t max)
{
	if (max <= h->max)
		return 0;
	size_t wanted = max < 2 * h->max ? 2 * h->max : max;
	struct mem_node **nodes = fh_realloc((void *)h->nodes, wanted * sizeof *nodes);
	if (!nodes)
		return FH_ENOMEM;
	h->nodes = nodes;
	h->max = wanted;
	return 0;
}

static bool before(const struct mem_node *a, const struct mem_node *b)
{
	return a->key != b->key ? a->key < b->key : fh_id_compare(a->id, b->id) < 0;
}

static void place(struct mem_heap *h, size_t i, struct mem_node *n)
{
	h->nodes[i] = n;
	n->at = i + 1;
}

static void sift_up(struct mem_heap *h, size_t i, struct mem_node *n)
{
	while (i > 0 && before(n, h->nodes[(i - 1) / 2])) {
		place(h, i, h->nodes[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(h, i, n);
}

static void sift_down(struct mem_heap *h, size_t i, struct mem_node *n)
{
	for (size_t child; (child = 2 * i + 1) < h->len; i = child) {
		if (child + 1 < h->len && before(h->nodes[child + 1], h->nodes[child]))
			child++;
		if (!before(h->nodes[child], n))
			break;
		place(h, i, h->nodes[child]);
	}
	place(h, i, n);
}

void mem_heap_insert(struct mem_heap *h, struct mem_node *n)
{
	FH_ASSERT_CMP(n->at, ==, 0);
	FH_ASSERT_CMP(h->len, <, h->max);
	sift_up(h, h->len++, n);
}

void mem_heap_remove(struct mem_heap *h, struct mem_node *n)
{
	if (!n->at)
		return;
	size_t i = n->at - 1;
	FH_ASSERT(i < h->len && h->nodes[i] == n);
	n->at = 0;
	struct mem_node *last = h->nodes[--h->len];
	if (last == n)
		return;
	if (i > 0 && before(last, h->nodes[(i - 1) / 2]))
		sift_up(h, i, last);
	else
		sift_down(h, i, last);
}

struct mem_node *mem_heap_first(const struct mem_heap *h)
{
	return h->len ? h->nodes[0] : NULL;
}
