/* UTF-8 (RFC 3629), strictly: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef FARHAND_BASE_UTF8_H
#define FARHAND_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The length of the character that begins at `s`, or 0 where none does. `len` > 0 bytes are there.
 */
size_t utf8_char_len(const uint8_t *s, size_t len);

/* How many bytes of `s`, from its start, are whole characters. */
size_t utf8_valid_len(const uint8_t *s, size_t len);

#endif
