/* Decides where a text stops being UTF-8. Eight ASCII bytes at a time, else one character; whatever
 * does not fit table 3-7 of the Unicode standard ends the valid part. */
#include "base/utf8.h"

#include <string.h>

static bool continues(uint8_t b)
{
	return (b & 0xC0) == 0x80;
}

size_t utf8_char_len(const uint8_t *s, size_t len)
{
	uint8_t a = s[0];
	if (a < 0x80)
		return 1;
	if (a < 0xC2 || a > 0xF4 || len < 2)
		return 0;
	if (a < 0xE0)
		return continues(s[1]) ? 2 : 0;
	/* The second byte of the longer forms has its own bounds: overlong, surrogates, too high.
	 */
	uint8_t low = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
	uint8_t high = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
	if (s[1] < low || s[1] > high || len < 3 || !continues(s[2]))
		return 0;
	if (a < 0xF0)
		return 3;
	return len >= 4 && continues(s[3]) ? 4 : 0;
}

size_t utf8_valid_len(const uint8_t *s, size_t len)
{
	size_t i = 0;
	while (i < len) {
		uint64_t eight;
		if (i + sizeof eight <= len) {
			memcpy(&eight, s + i, sizeof eight);
			if (!(eight & 0x8080808080808080u)) {
				i += sizeof eight;
				continue;
			}
		}
		size_t n = utf8_char_len(s + i, len - i);
		if (n == 0)
			break;
		i += n;
	}
	return i;
}
