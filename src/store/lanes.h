/* A sorted table of lanes, looked up by (account, class key). A store embeds `struct lane` as the
 * first member of what it keeps about a lane. A lane is made when it is first used; there are never
 * more than STORE_LANES_MAX: when the table is full, a lane without tasks becomes the new one. One
 * of them is never given to a class with a key. */
#ifndef FARHAND_STORE_LANES_H
#define FARHAND_STORE_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct lane {
	uint32_t account;
	char class_key[STORE_CLASS_KEY_SIZE];
	uint64_t live; /* QUEUED tasks in it, which its store counts */
};

struct lanes {
	struct lane *items[STORE_LANES_MAX]; /* by account, then class key */
	size_t len;
};

/* NULL: there is none. */
struct lane *lanes_find(const struct lanes *l, uint32_t account, const char *class_key);

/* The same; one that is not there is made, `size` zeroed bytes that begin with the lane, or made of
 * one without tasks, and then what follows its first member is as it was. FH_ELIMIT: all have
 * tasks; FH_ENOMEM. */
int lanes_get(struct lanes *l, uint32_t account, const char *class_key, size_t size,
	      struct lane **ret_lane) FH_MUST_USE;

/* Copies its name out: account and class key. */
void lane_name(const struct lane *lane, uint32_t *ret_account,
	       char ret_class_key[STORE_CLASS_KEY_SIZE]);

/* Frees the lanes; what a lane points at is its owner's to release before. */
void lanes_release(struct lanes *l);

#endif
