/* Moves whole messages between a dispatcher and its workers. One table of calls: in-process, and
 * ZeroMQ (zeromq.h). What it never does: interpret a message, wait, or call back from inside
 * send(): messages are delivered by poll() only, so nobody is re-entered.
 *
 * A peer number names the other end of one connection of this transport; it is never reused while
 * the transport lives. The worker's end knows one peer, number 0: its dispatcher. */
#ifndef FARHAND_TRANSPORT_TRANSPORT_H
#define FARHAND_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/msg.h"

struct transport;

enum { TRANSPORT_NAME_MAX = 64 }; /* of a peer's key */

/* Who sets it on a worker's end polls once: a connection that was there before woke nobody. */
struct transport_handler {
	void *ctx;
	/* There is a connection; its first message comes after this. On a worker's end only: to a
	 * dispatcher a worker's first message is news enough. May be NULL. */
	void (*connected)(void *ctx, uint64_t peer);
	/* One message; the handler owns it from now on (takes what it needs, releases the rest). */
	void (*message)(void *ctx, uint64_t peer, struct wire_msg *own_msg);
	/* A part of a long message has come, or word of how much the other side has: a sign of life
	 * where a slow line is busy with what is large. May be NULL. */
	void (*heard)(void *ctx, uint64_t peer);
	/* The connection is gone; nothing more comes from this peer. May be NULL. */
	void (*lost)(void *ctx, uint64_t peer);
	/* There is something to poll(); called at most once until the next poll(). It may be called
	 * from inside send() of the other end, so it only schedules. */
	void (*wake)(void *ctx);
	/* One line for the log: a connection that was refused or does not come about. May be NULL.
	 */
	void (*trouble)(void *ctx, const char *line);
};

struct transport_ops {
	/* Takes the message over on success and zeroes *own_msg; otherwise nothing was taken.
	 * FH_ENOTFOUND: no such peer; FH_EAGAIN: its queue is full; FH_ETOOBIG; FH_ENOMEM. */
	int (*send)(struct transport *t, uint64_t peer, struct wire_msg *own_msg) FH_MUST_USE;
	/* Delivers what has come, at most `max` messages; true if more is waiting. */
	bool (*poll)(struct transport *t, unsigned max);
	/* Drops the connection to a peer, after what was sent to it as far as it can leave at once;
	 * its `lost` is not called. A worker's end tries to connect again by itself. */
	void (*close_peer)(struct transport *t, uint64_t peer);
	void (*free)(struct transport *t);
	/* The name under which the peer's key is let in: what the peer has proved to be. NULL:
	 * there are no keys, or no such peer. Valid as long as the peer. May be NULL: always
	 * NULL. */
	const char *(*peer_name)(const struct transport *t, uint64_t peer);
};

/* The first member of every transport. */
struct transport {
	const struct transport_ops *ops;
	struct transport_handler handler;
};

static inline FH_MUST_USE
int transport_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	return t->ops->send(t, peer, own_msg);
}

static inline bool transport_poll(struct transport *t, unsigned max)
{
	return t->ops->poll(t, max);
}

static inline void transport_close_peer(struct transport *t, uint64_t peer)
{
	t->ops->close_peer(t, peer);
}

static inline const char *transport_peer_name(const struct transport *t, uint64_t peer)
{
	return t->ops->peer_name ? t->ops->peer_name(t, peer) : NULL;
}

/* Nulls the pointer; accepts a pointer to NULL. */
static inline void transport_free(struct transport **t)
{
	if (*t)
		(*t)->ops->free(*t);
	*t = NULL;
}

/* Two connected ends in one process; on the dispatcher's end the worker is peer 1. Messages move by
 * pointer. Each queue holds at most `queue_max` messages. Freeing one end makes the other `lost`.
 * FH_ENOMEM. */
int transport_inproc_pair(unsigned queue_max, struct transport **ret_dispatcher,
			  struct transport **ret_worker) FH_MUST_USE;

#endif
