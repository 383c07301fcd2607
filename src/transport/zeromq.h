/* The transport over ZeroMQ: a dispatcher's ROUTER, and a worker's DEALER that dials out to it. One
 * connection joins a dispatcher and a worker host. What goes over it are the frames of wire/link.h.
 *
 * What ZeroMQ does by itself and what is dangerous in it is switched off or set: no routing ids
 * (they can be taken over), no silent drops (ROUTER_MANDATORY, and a window of bytes above it), no
 * messages of any size, no reconnecting behind our back, no waiting at the end. Until there are
 * keys, both ends keep to loopback addresses. */
#ifndef FARHAND_TRANSPORT_ZEROMQ_H
#define FARHAND_TRANSPORT_ZEROMQ_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "transport/transport.h"

struct event_base;

/* Listens on `url` ("tcp://HOST:PORT" or "HOST:PORT"; port 0: a free one). Peers get numbers from 1
 * on. `lost` comes when a message cannot be routed any more; a peer that is merely silent is the
 * caller's to judge. FH_EINVAL, FH_ENOTFOUND, FH_EIO with a line in `err`; FH_ENOMEM. */
int transport_zmq_bind(struct event_base *base, const char *url, struct transport **ret_transport,
		       struct fh_err *err) FH_MUST_USE;

/* Where it listens, with the real port: "tcp://127.0.0.1:5555". Belongs to the transport. */
const char *transport_zmq_url(const struct transport *t);

/* Dials the first of `url_count` dispatchers, then the next one, and so on, for ever, with growing
 * delays; `connected` and `lost` say how it goes, and close_peer() begins anew. `random` gives
 * fresh bits to spread the delays. The urls are copied. FH_EINVAL, FH_ENOTFOUND, FH_EIO with a line
 * in `err`; FH_ENOMEM. */
int transport_zmq_connect(struct event_base *base, const char *const *urls, size_t url_count,
			  uint64_t (*random)(void *env), void *env,
			  struct transport **ret_transport, struct fh_err *err) FH_MUST_USE;

/* The dispatcher that it is connected to, or dials next: "tcp://HOST:PORT". Belongs to the
 * transport. */
const char *transport_zmq_dispatcher(const struct transport *t);

#endif
