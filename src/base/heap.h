/* A binary min-heap of intrusive nodes that know their position, so that removing any of them is
 * cheap (as in beanstalkd's heap.c). Equal keys leave in the order they came in, by start number,
 * which keeps a simulation deterministic (as in libuv's timer.c).
 * Memory is taken once, in heap_init(). */
#ifndef FARHAND_BASE_HEAP_H
#define FARHAND_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct heap_node {
	int64_t key;
	uint64_t order;
	size_t at; /* position + 1; 0: in no heap */
};

struct heap {
	struct heap_node **nodes;
	size_t len, max;
	uint64_t next_order;
};

/* Room for `max` nodes; FH_ENOMEM. */
int heap_init(struct heap *h, size_t max) FH_MUST_USE;
void heap_release(struct heap *h);

static inline bool heap_contains(const struct heap_node *n)
{
	return n->at != 0;
}

/* Precondition: the node is in no heap, and the heap is not full. */
void heap_insert(struct heap *h, struct heap_node *n, int64_t key);

/* Harmless when the node is in no heap. */
void heap_remove(struct heap *h, struct heap_node *n);

/* The node with the smallest key, not taken out; NULL when empty. */
struct heap_node *heap_first(const struct heap *h);

#define heap_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

#endif
