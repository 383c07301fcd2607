#include "base/map.h"

#include "base/assert.h"
#include "base/mem.h"

enum { SLOTS_MIN = 16 };

static int init_slots(struct map *m, size_t slots, bool fixed)
{
	struct map_slot *s = fh_calloc(slots, sizeof *s);
	if (!s)
		return FH_ENOMEM;
	*m = (struct map){ .slots = s, .mask = slots - 1, .fixed = fixed };
	return 0;
}

int map_init(struct map *m)
{
	return init_slots(m, SLOTS_MIN, false);
}

int map_init_fixed(struct map *m, size_t max)
{
	size_t slots = SLOTS_MIN;
	while (slots < 2 * max)
		slots *= 2;
	return init_slots(m, slots, true);
}

void map_release(struct map *m)
{
	fh_free(m->slots);
	*m = (struct map){ 0 };
}

/* The slot that holds the key, or the free one where it would go. */
static size_t find(const struct map *m, struct fh_id key)
{
	size_t i = (size_t)fh_id_hash(key) & m->mask;
	while (m->slots[i].value && !fh_id_equal(m->slots[i].key, key))
		i = (i + 1) & m->mask;
	return i;
}

void *map_get(const struct map *m, struct fh_id key)
{
	return m->slots ? m->slots[find(m, key)].value : NULL;
}

static int grow(struct map *m)
{
	struct map bigger;
	if (init_slots(&bigger, 2 * (m->mask + 1), false))
		return FH_ENOMEM;
	for (size_t i = 0; i <= m->mask; i++)
		if (m->slots[i].value)
			bigger.slots[find(&bigger, m->slots[i].key)] = m->slots[i];
	bigger.len = m->len;
	fh_free(m->slots);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, struct fh_id key, void *value)
{
	FH_ASSERT(value != NULL);
	size_t i = find(m, key);
	if (m->slots[i].value)
		return FH_EEXISTS;
	if (2 * (m->len + 1) > m->mask + 1) {
		FH_ASSERT(!m->fixed);
		if (grow(m))
			return FH_ENOMEM;
		i = find(m, key);
	}
	m->slots[i] = (struct map_slot){ key, value };
	m->len++;
	return 0;
}

void *map_remove(struct map *m, struct fh_id key)
{
	if (!m->slots)
		return NULL;
	size_t hole = find(m, key);
	void *value = m->slots[hole].value;
	if (!value)
		return NULL;
	/* Move back every later entry of the run that may not stand behind a hole (Knuth 6.4 R). */
	for (size_t i = (hole + 1) & m->mask; m->slots[i].value; i = (i + 1) & m->mask) {
		size_t home = (size_t)fh_id_hash(m->slots[i].key) & m->mask;
		if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].value = NULL;
	m->len--;
	return value;
}

void *map_next(const struct map *m, size_t *pos)
{
	while (m->slots && *pos <= m->mask) {
		void *value = m->slots[(*pos)++].value;
		if (value)
			return value;
	}
	return NULL;
}
