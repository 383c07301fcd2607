/* A binary min-heap of intrusive nodes ordered by (key, id), so that what comes out does not depend
 * on the order in which it went in. Room is reserved ahead: an insertion cannot fail. */
#ifndef FARHAND_STORE_MEM_HEAP_H
#define FARHAND_STORE_MEM_HEAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

struct mem_node {
	int64_t key;
	struct fh_id id;
	size_t at; /* position + 1; 0: in no heap */
};

struct mem_heap {
	struct mem_node **nodes;
	size_t len, max;
};

void mem_heap_release(struct mem_heap *h);

/* Room for at least `max` nodes in all; FH_ENOMEM. */
int mem_heap_reserve(struct mem_heap *h, size_t max) FH_MUST_USE;

/* Precondition: the node is in no heap, and there is room. */
void mem_heap_insert(struct mem_heap *h, struct mem_node *n);

/* Harmless when the node is in no heap. */
void mem_heap_remove(struct mem_heap *h, struct mem_node *n);

/* The smallest, not taken out; NULL when empty. */
struct mem_node *mem_heap_first(const struct mem_heap *h);

#endif
