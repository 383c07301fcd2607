/* What both ends over ZeroMQ share. */
#ifndef FARHAND_TRANSPORT_ZEROMQ_PRIV_H
#define FARHAND_TRANSPORT_ZEROMQ_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "base/err.h"
#include "transport/zeromq.h"

/* A socket with all options set that could surprise. NULL: see zmq_errno(). */
void *zsocket_new(void *zmq, int type, bool ipv6);

/* Its frames are longer by what encryption adds. */
void zsocket_encrypted(void *socket);

/* Makes it one that shows this key, and talks to its dispatcher only. */
void zsocket_key(void *socket, const struct zmq_key *key);

/* Closes at once; what was said last may still leave within a moment. Accepts NULL. */
void zsocket_close(void *socket);

/* Its descriptor for the loop: edge-triggered, so zsocket_readable() decides. */
int zsocket_fd(void *socket);

/* Whether there is something to receive. To be asked after each send, too: ZeroMQ may have taken
 * the edge then. */
bool zsocket_readable(void *socket);

/* zmq_msg_recv() and zmq_send(), never waiting; FH_EAGAIN, FH_ENOTFOUND (no route). */
int zsocket_receive(void *socket, zmq_msg_t *part) FH_MUST_USE;
int zsocket_send(void *socket, const void *data, size_t len, int more) FH_MUST_USE;

/* The event and its value in the first part of what a monitor said; its other part is skipped. */
unsigned zmonitor_event(void *monitor, zmq_msg_t *part, uint32_t *ret_value);

#endif
