/* A hash table from a 128-bit id to a pointer: open addressing, linear probing, deletion by
 * shifting back, so it needs no tombstones. It borrows what it points at. Iteration order depends
 * on the table's history and must never decide anything. */
#ifndef FARHAND_BASE_MAP_H
#define FARHAND_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/id.h"

struct map_slot {
	struct fh_id key;
	void *value; /* NULL: free */
};

struct map {
	struct map_slot *slots;
	size_t len, mask;
	bool fixed;
};

/* An empty table that grows by itself. FH_ENOMEM. */
int map_init(struct map *m) FH_MUST_USE;

/* A table for at most `max` entries that never allocates again. FH_ENOMEM. */
int map_init_fixed(struct map *m, size_t max) FH_MUST_USE;

void map_release(struct map *m);

/* NULL when the key is not there. */
void *map_get(const struct map *m, struct fh_id key);

/* `value` is not NULL. FH_EEXISTS when the key is there already, FH_ENOMEM when it cannot grow;
 * a fixed table that is full is our own mistake. */
int map_put(struct map *m, struct fh_id key, void *value) FH_MUST_USE;

/* The value that was there, or NULL. */
void *map_remove(struct map *m, struct fh_id key);

/* Steps over all values: start with *pos = 0; NULL at the end. The table must not change meanwhile.
 */
void *map_next(const struct map *m, size_t *pos);

#endif
