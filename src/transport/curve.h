/* Keys of CURVE, ZeroMQ's encryption: pairs of 32 bytes, written as 40 characters (Z85). Quotes and
 * backslashes are not among those, everything else that a shell may take amiss is. */
#ifndef FARHAND_TRANSPORT_CURVE_H
#define FARHAND_TRANSPORT_CURVE_H

#include <stdbool.h>

#include "base/err.h"

enum { CURVE_KEY_LEN = 40, CURVE_KEY_SIZE = CURVE_KEY_LEN + 1 };

struct curve_pair {
	char public_key[CURVE_KEY_SIZE];
	char secret_key[CURVE_KEY_SIZE];
};

/* Whether ZeroMQ was built with it. FH_EIO with a line. */
int curve_check(struct fh_err *err) FH_MUST_USE;

/* A new pair; no key begins with a hyphen, so none looks like a flag. FH_EIO with a line. */
int curve_pair_new(struct curve_pair *ret_pair, struct fh_err *err) FH_MUST_USE;

/* The pair that the secret key belongs to. FH_EINVAL: it is none. */
int curve_pair_of(const char *secret_key, struct curve_pair *ret_pair) FH_MUST_USE;

/* Whether the text is a key: 40 characters of Z85. */
bool curve_is_key(const char *text);

/* Overwrites the pair, in a way that no compiler leaves out. */
void curve_pair_wipe(struct curve_pair *pair);

#endif
