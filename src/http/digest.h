/* SHA-256 over several pieces. */
#ifndef FARHAND_HTTP_DIGEST_H
#define FARHAND_HTTP_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { DIGEST_LEN = 32 };

struct digest {
	void *md, *ctx; /* OpenSSL's, fetched once: looking an algorithm up costs more than a sum */
};

struct digest_part {
	const void *data;
	size_t len;
};

int digest_init(struct digest *d) FH_MUST_USE; /* FH_ENOMEM */
void digest_release(struct digest *d);

/* The sum over each part's length and bytes, so that ("a", "bc") is not ("ab", "c"). FH_ENOMEM. */
int digest_sum(struct digest *d, const struct digest_part *parts, size_t count,
	       uint8_t ret_sum[DIGEST_LEN]) FH_MUST_USE;

#endif
