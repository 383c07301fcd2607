/* One connection between a dispatcher and a worker, as a stream of frames. Pure: messages in,
 * frames out, and the other way round; who moves the frames is the transport's affair.
 *
 * - Frames say which version of the protocol they are, in a form that never changes, so that two
 *   versions refuse each other with a sentence.
 * - Many small messages share a frame; a large one goes in pieces of a frame each, and whatever is
 *   small and urgent goes between them, so that a payload never delays a heartbeat or a CANCEL.
 * - Each frame says how many bytes its sender has received in all. What is sent and not received
 *   stays below WIRE_WINDOW, so a slow reader costs its own queue here (whose blobs are shared with
 *   whoever made the messages) and nothing in the transport.
 *
 * - A LOG is a copy of what RESULT brings: it goes when nothing else waits and little is on the
 * way.
 *
 * The order is kept among messages that may be large (ASSIGN, FUNCTION, RESULT and long
 * HEARTBEATs), among LOGs and among all others, not between the three. */
#ifndef FARHAND_WIRE_LINK_H
#define FARHAND_WIRE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/codec.h"
#include "wire/msg.h"

enum {
	WIRE_VERSION = 1,

	/* The largest frame. 64 KiB are copied in 5 us and cross a network of 100 Mbit/s in 5 ms.
	 */
	WIRE_FRAME_MAX = 64 << 10,
	/* Bytes that are sent and not received yet. At 40 ms there and back they still give
	 * 100 MB/s. */
	WIRE_WINDOW = 4 << 20,
	/* A message up to this length that is none of the large kinds is not held back by the
	 * window; a HEARTBEAT is not as long as it fits into a frame. */
	WIRE_URGENT_MAX = 4 << 10,
	/* The same for LOGs: little enough for a slow line, and more than goes unreported. */
	WIRE_LOG_WINDOW = 512 << 10,
	/* Bytes of LOGs that may wait to be sent: as many as a dispatcher keeps in all. */
	WIRE_LOG_QUEUE_MAX = 64 << 20,
	/* Messages that may wait to be sent: far more than credit lets in. */
	WIRE_QUEUE_MAX = 1 << 18,
};

struct wire_link;

/* Takes the message over, always, and says whether to go on: false ends the current
 * wire_link_receive() with 0, because the connection is of no interest any more; the link may be
 * gone by then. */
typedef bool (*wire_deliver_fn)(void *ctx, struct wire_msg *own_msg);

/* FH_ENOMEM. */
int wire_link_new(struct wire_link **ret_link) FH_MUST_USE;

/* Releases what was not sent, too. Nulls the pointer; accepts a pointer to NULL. */
void wire_link_free(struct wire_link **link);

/* Queues the message and zeroes *own_msg. FH_EFULL: too many wait, or too long LOGs; FH_ETOOBIG:
 * more than WIRE_MESSAGE_MAX bytes; FH_ENOMEM. Nothing was taken then. */
int wire_link_send(struct wire_link *link, struct wire_msg *own_msg) FH_MUST_USE;

/* Writes the next frame and gives its length; 0: there is nothing to send, or the window is full.
 * FH_ENOMEM. */
int wire_link_next(struct wire_link *link, uint8_t frame[WIRE_FRAME_MAX],
		   size_t *ret_len) FH_MUST_USE;

/* Whether wire_link_next() would give a frame. */
bool wire_link_pending(const struct wire_link *link);

/* A frame has come. FH_EPROTO: it is not one, or not now; FH_EVERSION: it is of another version of
 * the protocol, answer with wire_link_refusal(); FH_ECLOSED: the other side has refused us;
 * FH_ENOMEM. The line in `err` says it for people. The connection is of no use after an error. */
int wire_link_receive(struct wire_link *link, const uint8_t *frame, size_t len,
		      wire_deliver_fn deliver, void *ctx, struct fh_err *err) FH_MUST_USE;

/* Writes a frame that says why there will be no connection, in the form that all versions read;
 * gives its length. */
size_t wire_link_refusal(uint8_t frame[WIRE_FRAME_MAX], const char *text);

#endif
