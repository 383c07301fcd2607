/* A sorted table of lanes, looked up by (account, class key). A store embeds `struct lane` as the
 * first member of what it keeps about a lane. Lanes are few (one a class of need and account), are
 * made when they are first used and live as long as the table. */
#ifndef FARHAND_STORE_LANES_H
#define FARHAND_STORE_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct lane {
	uint32_t account;
	char class_key[STORE_CLASS_KEY_SIZE];
};

struct lanes {
	struct lane **items; /* by account, then class key */
	size_t len, max;
};

/* NULL: it was never used. */
struct lane *lanes_find(const struct lanes *l, uint32_t account, const char *class_key);

/* The same; one that was never used is made, `size` zeroed bytes that begin with the lane. NULL
 * without memory. */
struct lane *lanes_get(struct lanes *l, uint32_t account, const char *class_key, size_t size);

/* Frees lanes and table; what a lane points at is its owner's to release before. */
void lanes_release(struct lanes *l);

#endif
