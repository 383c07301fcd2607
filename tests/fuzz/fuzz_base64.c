/* Any text, decoded: it stays in its bounds, and what comes out encodes and decodes to itself. */
#include <string.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as promised, so that a byte too many is seen. */
	uint8_t *out = fh_malloc(base64_decoded_max(size));
	size_t len;
	FH_ASSERT(out);
	if (base64_decode((const char *)data, size, out, &len) == 0) {
		FH_ASSERT_CMP(len, <=, base64_decoded_max(size));
		size_t lines_len = base64_lines_len(len), back_len;
		char *lines = fh_malloc(lines_len);
		uint8_t *back = fh_malloc(base64_decoded_max(lines_len));
		FH_ASSERT(lines && back);
		base64_encode_lines(out, len, lines);
		FH_ASSERT(base64_decode(lines, lines_len, back, &back_len) == 0);
		FH_ASSERT(back_len == len && memcmp(back, out, len) == 0);
		fh_free(lines);
		fh_free(back);
	}
	fh_free(out);
	return 0;
}
