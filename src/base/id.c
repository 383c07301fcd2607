#include "base/id.h"

#define LOW_BITS 62u
#define LOW_MASK ((UINT64_C(1) << LOW_BITS) - 1)

/* Layout: 48 bits time, 4 bits version (7), 12 bits `high`, 2 bits variant (10), 62 bits `low`.
 * A fresh millisecond draws `low` at random with its top bit clear and `high` zero, which leaves
 * more than 2^61 increments before `high` counts up: it cannot run out inside a millisecond. */
struct fh_id fh_id_next(struct fh_id_gen *gen, uint64_t now_ms, uint64_t random)
{
	if (now_ms > gen->last_ms) {
		gen->last_ms = now_ms;
		gen->high = 0;
		gen->low = random & (LOW_MASK >> 1);
	} else if (++gen->low > LOW_MASK) {
		gen->low = 0;
		if (++gen->high > 0xFFF) {
			gen->high = 0;
			gen->last_ms++;
		}
	}
	uint64_t head = (gen->last_ms << 16) | 0x7000u | gen->high;
	uint64_t tail = (UINT64_C(2) << LOW_BITS) | gen->low;
	struct fh_id id;
	for (int i = 0; i < 8; i++) {
		id.b[i] = (uint8_t)(head >> (56 - 8 * i));
		id.b[8 + i] = (uint8_t)(tail >> (56 - 8 * i));
	}
	return id;
}

uint64_t fh_id_time_ms(struct fh_id id)
{
	uint64_t ms = 0;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id.b[i];
	return ms;
}

static bool hyphen_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void fh_id_format(struct fh_id id, char text[FH_ID_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	for (int i = 0; i < 16; i++) {
		if (hyphen_before(i))
			*text++ = '-';
		*text++ = digits[id.b[i] >> 4];
		*text++ = digits[id.b[i] & 15];
	}
	*text = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int fh_id_parse(const char *text, size_t len, struct fh_id *ret_id)
{
	struct fh_id id;
	if (len != FH_ID_TEXT - 1)
		return FH_EINVAL;
	for (int i = 0; i < 16; i++) {
		if (hyphen_before(i) && *text++ != '-')
			return FH_EINVAL;
		int high = digit(text[0]);
		if (high < 0)
			return FH_EINVAL;
		int low = digit(text[1]);
		if (low < 0)
			return FH_EINVAL;
		id.b[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	*ret_id = id;
	return 0;
}
