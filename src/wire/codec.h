/* One message as bytes: its type (a byte), then its fields (fields.h), little endian, without
 * padding. docs/protocol.md has the grammar. A decoder believes nothing: every length is compared
 * with what is there before memory is taken, so a message never costs more memory than it has
 * bytes. */
#ifndef FARHAND_WIRE_CODEC_H
#define FARHAND_WIRE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/msg.h"

enum {
	/* The largest message: a payload or a result of 10 MiB with its texts and output. */
	WIRE_MESSAGE_MAX = 16 << 20,
};

/* How many bytes wire_encode() writes. */
size_t wire_encoded_len(const struct wire_msg *m);

/* Writes the message to `out`, which has room for wire_encoded_len() bytes. */
void wire_encode(const struct wire_msg *m, uint8_t *out);

/* Exactly `len` bytes are one message, which is the caller's then. FH_EPROTO with a line in `err`
 * that says which field of which message is wrong; FH_ENOMEM. */
int wire_decode(const uint8_t *data, size_t len, struct wire_msg *ret_msg,
		struct fh_err *err) FH_MUST_USE;

#endif
