/* Lanes in a sorted array: a binary search finds one, and the order in which a start reports them
 * does not depend on any history. Failure modes: no memory. */
#include "store/lanes.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static int compare(const struct lane *lane, uint32_t account, const char *class_key)
{
	if (lane->account != account)
		return lane->account < account ? -1 : 1;
	return strcmp(lane->class_key, class_key);
}

/* The first position whose lane is not smaller. */
static size_t position(const struct lanes *l, uint32_t account, const char *class_key)
{
	size_t low = 0, high = l->len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(l->items[middle], account, class_key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct lane *at(const struct lanes *l, size_t i, uint32_t account, const char *class_key)
{
	if (i < l->len && compare(l->items[i], account, class_key) == 0)
		return l->items[i];
	return NULL;
}

struct lane *lanes_find(const struct lanes *l, uint32_t account, const char *class_key)
{
	return at(l, position(l, account, class_key), account, class_key);
}

static int reserve(struct lanes *l)
{
	if (l->len < l->max)
		return 0;
	size_t max = l->max ? 2 * l->max : 8;
	struct lane **items = fh_realloc((void *)l->items, max * sizeof *items);
	if (!items)
		return FH_ENOMEM;
	l->items = items;
	l->max = max;
	return 0;
}

struct lane *lanes_get(struct lanes *l, uint32_t account, const char *class_key, size_t size)
{
	size_t i = position(l, account, class_key);
	struct lane *lane = at(l, i, account, class_key);
	if (lane)
		return lane;
	FH_ASSERT_CMP(strlen(class_key), <, STORE_CLASS_KEY_SIZE);
	FH_ASSERT_CMP(size, >=, sizeof *lane);
	if (reserve(l))
		return NULL;
	lane = fh_calloc(1, size);
	if (!lane)
		return NULL;
	lane->account = account;
	memcpy(lane->class_key, class_key, strlen(class_key) + 1);
	memmove((void *)&l->items[i + 1], (const void *)&l->items[i],
		(l->len - i) * sizeof *l->items);
	l->items[i] = lane;
	l->len++;
	return lane;
}

void lanes_release(struct lanes *l)
{
	for (size_t i = 0; i < l->len; i++)
		fh_free(l->items[i]);
	fh_free((void *)l->items);
	*l = (struct lanes){ 0 };
}
