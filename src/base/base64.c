/* Decides which bytes a text stands for.
 *
 * Happy path: four characters of the alphabet at a time become three bytes; the first character
 * that is anything else (a newline, padding, junk) goes through the slow loop, and behind it the
 * fast one starts again.
 * Failure modes: a text whose end is not a whole group and not padded is refused, as Python does.
 */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or 64 for what is not in the alphabet. */
#define NONE 64
static const uint8_t values[256] = {
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, 62,   NONE,
	NONE, NONE, 63,	  52,	53,   54,   55,	  56,	57,   58,   59,	  60,	61,   NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, 0,    1,	  2,	3,    4,    5,	  6,	7,    8,    9,
	10,   11,   12,	  13,	14,   15,   16,	  17,	18,   19,   20,	  21,	22,   23,   24,
	25,   NONE, NONE, NONE, NONE, NONE, NONE, 26,	27,   28,   29,	  30,	31,   32,   33,
	34,   35,   36,	  37,	38,   39,   40,	  41,	42,   43,   44,	  45,	46,   47,   48,
	49,   50,   51,	  NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
	NONE,
};

/* Whole groups of four clean characters; returns how many characters it took. */
static size_t decode_groups(const uint8_t *in, size_t len, uint8_t **out)
{
	uint8_t *to = *out;
	size_t i = 0;
	for (; i + 4 <= len; i += 4) {
		uint32_t a = values[in[i]], b = values[in[i + 1]];
		uint32_t c = values[in[i + 2]], d = values[in[i + 3]];
		if ((a | b | c | d) & NONE)
			break;
		uint32_t bits = a << 18 | b << 12 | c << 6 | d;
		*to++ = (uint8_t)(bits >> 16);
		*to++ = (uint8_t)(bits >> 8);
		*to++ = (uint8_t)bits;
	}
	*out = to;
	return i;
}

int base64_decode(const char *text, size_t len, uint8_t *out, size_t *ret_len)
{
	const uint8_t *in = (const uint8_t *)text;
	uint8_t *to = out;
	uint32_t bits = 0;
	unsigned filled = 0; /* characters of the current group */
	unsigned pads = 0;
	for (size_t i = 0; i < len; i++) {
		if (filled == 0) {
			i += decode_groups(in + i, len - i, &to);
			if (i == len)
				break;
		}
		if (in[i] == '=') {
			if (filled >= 2 && filled + ++pads >= 4) {
				filled = 0;
				break;
			}
			continue;
		}
		uint32_t value = values[in[i]];
		if (value == NONE)
			continue;
		pads = 0;
		bits = bits << 6 | value;
		filled = (filled + 1) % 4;
		/* A byte leaves as soon as its eight bits are there. */
		static const unsigned spare[4] = { 0, 0, 4, 2 };
		if (filled != 1)
			*to++ = (uint8_t)(bits >> spare[filled]);
	}
	if (filled != 0)
		return FH_ESYNTAX;
	*ret_len = (size_t)(to - out);
	return 0;
}

static char *encode_group(const uint8_t *in, size_t len, char *out)
{
	uint32_t bits = (uint32_t)in[0] << 16;
	if (len > 1)
		bits |= (uint32_t)in[1] << 8;
	if (len > 2)
		bits |= in[2];
	out[0] = alphabet[bits >> 18];
	out[1] = alphabet[bits >> 12 & 63];
	out[2] = len > 1 ? alphabet[bits >> 6 & 63] : '=';
	out[3] = len > 2 ? alphabet[bits & 63] : '=';
	return out + 4;
}

void base64_encode(const uint8_t *data, size_t len, char *out)
{
	for (; len > 3; data += 3, len -= 3)
		out = encode_group(data, 3, out);
	if (len)
		(void)encode_group(data, len, out);
}

void base64_encode_lines(const uint8_t *data, size_t len, char *out)
{
	enum { LINE_BYTES = BASE64_LINE / 4 * 3 };
	while (len) {
		size_t n = len < LINE_BYTES ? len : LINE_BYTES;
		base64_encode(data, n, out);
		out += base64_encoded_len(n);
		*out++ = '\n';
		data += n;
		len -= n;
	}
}
