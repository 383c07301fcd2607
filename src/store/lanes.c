/* Lanes in a sorted array: a binary search finds one, and the order in which a start reports them
 * does not depend on any history. Failure modes: no memory; all lanes have tasks. */
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

struct lane *lanes_find(const struct lanes *l, uint32_t account, const char *class_key)
{
	size_t i = position(l, account, class_key);
	if (i < l->len && compare(l->items[i], account, class_key) == 0)
		return l->items[i];
	return NULL;
}

static bool has_key(const struct lane *lane)
{
	return lane->class_key[0] != '\0';
}

/* As many lanes have a key as may. Who asks for what no worker has keeps a lane for long; with all
 * of them taken, those that ask for nothing would wait too. */
static bool keys_are_full(const struct lanes *l)
{
	size_t count = 0;
	for (size_t i = 0; i < l->len; i++)
		count += has_key(l->items[i]);
	return count >= STORE_LANES_MAX - 1;
}

/* Takes the first lane without tasks out of the table, `with_key`: of those that have one. NULL:
 * there is none. */
static struct lane *take_empty(struct lanes *l, bool with_key)
{
	for (size_t i = 0; i < l->len; i++) {
		struct lane *lane = l->items[i];
		if (lane->live > 0 || (with_key && !has_key(lane)))
			continue;
		l->len--;
		memmove((void *)&l->items[i], (const void *)&l->items[i + 1],
			(l->len - i) * sizeof *l->items);
		return lane;
	}
	return NULL;
}

static void insert(struct lanes *l, struct lane *lane)
{
	size_t i = position(l, lane->account, lane->class_key);
	memmove((void *)&l->items[i + 1], (const void *)&l->items[i],
		(l->len - i) * sizeof *l->items);
	l->items[i] = lane;
	l->len++;
}

int lanes_get(struct lanes *l, uint32_t account, const char *class_key, size_t size,
	      struct lane **ret_lane)
{
	struct lane *lane = lanes_find(l, account, class_key);
	FH_ASSERT_CMP(strlen(class_key), <, STORE_CLASS_KEY_SIZE);
	FH_ASSERT_CMP(size, >=, sizeof *lane);
	if (!lane) {
		bool keys_full = class_key[0] != '\0' && keys_are_full(l);
		bool full = keys_full || l->len == STORE_LANES_MAX;
		lane = full ? take_empty(l, keys_full) : fh_calloc(1, size);
		if (!lane)
			return full ? FH_ELIMIT : FH_ENOMEM;
		lane->account = account;
		memcpy(lane->class_key, class_key, strlen(class_key) + 1);
		insert(l, lane);
	}
	*ret_lane = lane;
	return 0;
}

void lane_name(const struct lane *lane, uint32_t *ret_account,
	       char ret_class_key[STORE_CLASS_KEY_SIZE])
{
	*ret_account = lane->account;
	memcpy(ret_class_key, lane->class_key, sizeof lane->class_key);
}

void lanes_release(struct lanes *l)
{
	for (size_t i = 0; i < l->len; i++)
		fh_free(l->items[i]);
	*l = (struct lanes){ 0 };
}
