/* Idempotency rows in memory: a table by the hash of (account, key) with a chain behind each hash.
 * Happy path: check before a call does anything, put the row as the last step that can fail.
 * Failure modes: a key that is known (FH_EREPLAY, FH_ECONFLICT), no memory. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "store/mem_priv.h"

/* FNV-1a, folded to 16 bits: a few thousand keys already share some, so that chains are no rare
 * case that no test sees. */
static struct fh_id hash(uint32_t account, const char *key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ account;
	for (; *key; key++)
		h = (h ^ (uint8_t)*key) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h ^= h >> 16;
	return (struct fh_id){ { (uint8_t)(h >> 8), (uint8_t)h } };
}

static struct mem_key *find(const struct mem *m, uint32_t account, const char *key)
{
	struct mem_key *k = map_get(&m->keys, hash(account, key));
	while (k && (k->account != account || strcmp(k->key, key) != 0))
		k = k->next;
	return k;
}

int mem_key_check(const struct mem *m, struct store_idempotency *i)
{
	const struct mem_key *k = i ? find(m, i->account, i->key) : NULL;
	if (!k)
		return 0;
	if (memcmp(k->fingerprint, i->fingerprint, sizeof k->fingerprint) != 0)
		return FH_ECONFLICT;
	char *location = k->location ? fh_strdup(k->location) : NULL;
	if (k->location && !location)
		return FH_ENOMEM;
	i->ret_status = k->status;
	i->ret_location = location;
	i->ret_response = blob_ref(k->response);
	return FH_EREPLAY;
}

void mem_key_free(struct mem_key **key)
{
	struct mem_key *k = *key;
	*key = NULL;
	if (!k)
		return;
	fh_free(k->key);
	fh_free(k->location);
	blob_free(&k->response);
	fh_free(k);
}

/* A row that is in no table yet; NULL without memory. */
static struct mem_key *row(const struct store_idempotency *i)
{
	struct mem_key *k = fh_calloc(1, sizeof *k);
	if (!k)
		return NULL;
	list_init(&k->link);
	k->account = i->account;
	memcpy(k->fingerprint, i->fingerprint, sizeof k->fingerprint);
	k->created_ms = i->created_ms;
	k->status = i->status;
	k->key = fh_strdup(i->key);
	k->location = i->location ? fh_strdup(i->location) : NULL;
	k->response = blob_ref(i->response);
	if (!k->key || (i->location && !k->location))
		mem_key_free(&k);
	return k;
}

/* The map holds the first row of a chain. */
static int enter(struct mem *m, struct mem_key *k)
{
	struct mem_key *first = map_get(&m->keys, hash(k->account, k->key));
	if (first) {
		k->next = first->next;
		first->next = k;
	} else if (map_put(&m->keys, hash(k->account, k->key), k)) {
		return FH_ENOMEM;
	}
	list_push_back(&m->key_list, &k->link);
	return 0;
}

int mem_key_put(struct mem *m, const struct store_idempotency *i)
{
	struct mem_key *k = i ? row(i) : NULL;
	if (!k)
		return i ? FH_ENOMEM : 0;
	if (PLANTED(IDEMPOTENCY_APART)) {
		list_push_back(&m->keys_apart, &k->link);
		return 0;
	}
	int ret = enter(m, k);
	if (ret)
		mem_key_free(&k);
	return ret;
}

void mem_key_put_apart(struct mem *m)
{
	for (struct list *link; (link = list_pop_front(&m->keys_apart)) != NULL;) {
		struct mem_key *k = list_entry(link, struct mem_key, link);
		if (enter(m, k))
			mem_key_free(&k);
	}
}

void mem_key_forget(struct mem *m, struct mem_key **key)
{
	struct mem_key *k = *key;
	struct mem_key *first = map_get(&m->keys, hash(k->account, k->key));
	FH_ASSERT(first != NULL);
	if (first == k) {
		(void)map_remove(&m->keys, hash(k->account, k->key));
		if (k->next && map_put(&m->keys, hash(k->account, k->key), k->next))
			FH_UNREACHABLE("a map has room for what was just removed");
	} else {
		while (first->next != k)
			first = first->next;
		first->next = k->next;
	}
	list_remove(&k->link);
	mem_key_free(key);
}
