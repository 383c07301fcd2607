/* Identifiers: UUIDs of version 7 (RFC 9562): 48 bits of Unix milliseconds, then bits that make it
 * unique. They sort by creation time as bytes, which keeps the store's inserts at one end of its
 * tree. A generator never goes backwards and counts up inside a millisecond, so the ids of one
 * generator are in strictly increasing order. */
#ifndef FARHAND_BASE_ID_H
#define FARHAND_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct fh_id {
	uint8_t b[16];
};

enum { FH_ID_TEXT = 37 }; /* 36 characters and the terminator */

struct fh_id_gen {
	uint64_t last_ms;
	uint64_t high; /* the 12 bits behind the time, counted as the top of `low` */
	uint64_t low;  /* the 62 bits behind the variant */
};

static inline bool fh_id_equal(struct fh_id a, struct fh_id b)
{
	return memcmp(a.b, b.b, sizeof a.b) == 0;
}

static inline int fh_id_compare(struct fh_id a, struct fh_id b)
{
	return memcmp(a.b, b.b, sizeof a.b);
}

static inline bool fh_id_is_zero(struct fh_id a)
{
	static const struct fh_id zero;
	return fh_id_equal(a, zero);
}

/* The next id. `now_ms` is Unix time; `random` are 64 fresh random bits, used when the millisecond
 * changes. A clock that goes back is ignored. */
struct fh_id fh_id_next(struct fh_id_gen *gen, uint64_t now_ms, uint64_t random);

/* The Unix milliseconds in an id. */
uint64_t fh_id_time_ms(struct fh_id id);

/* Writes 36 lower-case characters with hyphens and a NUL. */
void fh_id_format(struct fh_id id, char text[FH_ID_TEXT]);

/* Any UUID with hyphens, upper or lower case, of exactly `len` = 36 characters; FH_EINVAL
 * otherwise. */
int fh_id_parse(const char *text, size_t len, struct fh_id *ret_id) FH_MUST_USE;

/* A hash for tables. Ids of one millisecond differ in their last bytes only, which are the top bits
 * of what is loaded here, while a table looks at the low bits of the hash: so both are mixed down
 * (the finaliser of MurmurHash3). A single multiplication put a whole batch into one slot. */
static inline uint64_t fh_id_hash(struct fh_id id)
{
	uint64_t high, low;
	memcpy(&high, id.b, 8);
	memcpy(&low, id.b + 8, 8);
	uint64_t h = low ^ (high * 0x9E3779B97F4A7C15u);
	h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCDu;
	h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53u;
	return h ^ (h >> 33);
}

#endif
