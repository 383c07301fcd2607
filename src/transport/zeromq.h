/* The transport over ZeroMQ: a dispatcher's ROUTER, and a worker's DEALER that dials out to it. One
 * connection joins a dispatcher and a worker host. What goes over it are the frames of wire/link.h.
 *
 * What ZeroMQ does by itself and what is dangerous in it is switched off or set: no routing ids
 * (they can be taken over), no silent drops (ROUTER_MANDATORY, and a window of bytes above it), no
 * messages of any size, no reconnecting behind our back, no waiting at the end. Without keys both
 * ends keep to loopback addresses; with them, everything is encrypted, each end knows the other's
 * key, and a dispatcher hears nobody whose key is not on its list. */
#ifndef FARHAND_TRANSPORT_ZEROMQ_H
#define FARHAND_TRANSPORT_ZEROMQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "transport/curve.h"
#include "transport/transport.h"

struct event_base;

/* A dispatcher's key, and whom it lets in. */
struct zmq_lock {
	char secret_key[CURVE_KEY_SIZE];
	void *ctx;
	/* The name of the worker with this public key, at most TRANSPORT_NAME_MAX characters, valid
	 * until the next call; NULL: it is not let in. Asked for each frame, so it should be fast.
	 */
	const char *(*name_of)(void *ctx, const char *public_key);
	/* Looks whether the answers of name_of() have changed. Called before each handshake and
	 * each second; true: all peers are asked about anew, and who is not let in any more is
	 * `lost`. */
	bool (*refresh)(void *ctx);
};

/* What a worker needs where there are keys. */
struct zmq_key {
	char server_key[CURVE_KEY_SIZE]; /* the dispatcher's public one */
	struct curve_pair own;
};

/* Listens on `url` ("tcp://HOST:PORT" or "HOST:PORT"; port 0: a free one). Peers get numbers from 1
 * on. `lost` comes when a message cannot be routed any more, or the peer's key is not let in any
 * more; a peer that is merely silent is the caller's to judge.
 *
 * `lock` may be NULL on a loopback address: plain text, and everybody is let in. Else it is copied,
 * and tried out before anything listens: a stranger's key must be refused and a known one let in.
 * FH_EINVAL, FH_ENOTFOUND, FH_EIO with a line in `err`; FH_ENOMEM. */
int transport_zmq_bind(struct event_base *base, const char *url, const struct zmq_lock *lock,
		       struct transport **ret_transport, struct fh_err *err) FH_MUST_USE;

/* Where it listens, with the real port: "tcp://127.0.0.1:5555". Belongs to the transport. */
const char *transport_zmq_url(const struct transport *t);

/* A loop for a worker's end, whose timers keep microseconds: those of an ordinary one go by the
 * kernel's ticks, of which one is up to 4 ms. NULL: no memory. */
struct event_base *transport_zmq_base(void);

/* Dials the first of `url_count` dispatchers, then the next one, and so on, for ever, with growing
 * delays; `connected` and `lost` say how it goes, and close_peer() begins anew. `key` may be NULL
 * where all urls are loopback addresses: plain text. `random` gives fresh bits to spread the
 * delays. Urls and key are copied. A `base` without precise timers (transport_zmq_base()) works,
 * but what is said soon after a frame waits for some milliseconds then. FH_EINVAL, FH_ENOTFOUND,
 * FH_EIO with a line in `err`; FH_ENOMEM. */
int transport_zmq_connect(struct event_base *base, const char *const *urls, size_t url_count,
			  const struct zmq_key *key, uint64_t (*random)(void *env), void *env,
			  struct transport **ret_transport, struct fh_err *err) FH_MUST_USE;

/* The dispatcher that it is connected to, or dials next: "tcp://HOST:PORT". Belongs to the
 * transport. */
const char *transport_zmq_dispatcher(const struct transport *t);

#endif
