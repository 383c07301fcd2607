/* Base64 (RFC 4648, the standard alphabet), as Python reads and writes it. */
#ifndef FARHAND_BASE_BASE64_H
#define FARHAND_BASE_BASE64_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { BASE64_LINE = 76 }; /* characters a line, as codecs.encode(x, "base64") breaks them */

/* Room that decoding `len` characters may need. */
static inline size_t base64_decoded_max(size_t len)
{
	return len / 4 * 3 + 3;
}

/* The exact length of `len` bytes in base64, without line breaks. */
static inline size_t base64_encoded_len(size_t len)
{
	return (len + 2) / 3 * 4;
}

/* The same with a newline after every 76 characters and at the end; 0 for nothing. */
static inline size_t base64_lines_len(size_t len)
{
	size_t chars = base64_encoded_len(len);
	return chars + (chars + BASE64_LINE - 1) / BASE64_LINE;
}

/* Decodes as Python's binascii.a2b_base64() does: what is not in the alphabet is skipped, the first
 * complete padding ends the data. `out` has room for base64_decoded_max(len) bytes.
 * FH_ESYNTAX: the padding is missing, or one character is left over. */
int base64_decode(const char *text, size_t len, uint8_t *out, size_t *ret_len) FH_MUST_USE;

/* Writes base64_encoded_len(len) characters, no terminator. */
void base64_encode(const uint8_t *data, size_t len, char *out);

/* Writes base64_lines_len(len) characters, no terminator. */
void base64_encode_lines(const uint8_t *data, size_t len, char *out);

#endif
