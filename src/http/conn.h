/* One client connection, around evhttp's own: what reaches evhttp, how long everything may take,
 * how much of unfinished bodies is in memory, how it is closed.
 *
 * Whatever arrives is held back until it is a whole, well-framed head (or a part of a body); evhttp
 * never sees anything else. A request that is refused here is replaced by a harmless one, so that
 * the refusal takes its turn behind the answers to earlier requests; conn_begin() then says which
 * fault to answer. */
#ifndef FARHAND_HTTP_CONN_H
#define FARHAND_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "http/frame.h"

struct bufferevent;
struct conn;
struct evbuffer;
struct event;
struct event_base;
struct evhttp_request;
struct exchange;

/* All connections of a server, and what they share. */
struct conn_pool {
	struct event_base *base;
	const struct http_limits *limits;
	struct list all;	   /* struct conn */
	struct map by_fd;	   /* struct conn, by descriptor */
	struct list starving;	   /* those that wait for room in `unfinished_bytes` */
	struct event *feed;	   /* there is room again */
	struct evbuffer *scratch;  /* empty between two uses */
	size_t count;		   /* of `all` */
	size_t busy;		   /* requests that are in work or whose answer is being written */
	size_t reserved;	   /* bytes of bodies that were promised room */
	size_t unsent;		   /* bytes of the large answers that are being written */
	bool closing;		   /* answers close their connections */
	void (*closed)(void *ctx); /* a connection has gone: there is room for one more */
	void (*gone)(void *ctx, struct exchange *x); /* its client has gone before the answer */
	void *ctx;
};

/* The caller sets closed, gone and ctx. FH_ENOMEM: release it all the same. */
int conn_pool_init(struct conn_pool *pool, struct event_base *base,
		   const struct http_limits *limits) FH_MUST_USE;

/* Closes all connections at once. */
void conn_pool_release(struct conn_pool *pool);

/* Closes what is idle now, and every other one after its answer. */
void conn_pool_close(struct conn_pool *pool);

/* The bufferevent of a new connection, for evhttp's callback. NULL without memory: then evhttp
 * makes one of its own, and conn_begin() closes the connection with the first request. */
struct bufferevent *conn_accept(struct conn_pool *pool);

/* A request has come out of evhttp. The connection is busy until the answer has left. `ret_fault`
 * has a kind if the request was refused on its way in: answer that. NULL: the connection is closed.
 */
struct conn *conn_begin(struct conn_pool *pool, struct evhttp_request *ev,
			struct frame_fault *ret_fault);

/* What came as the request's body is not kept any more: others may have its room. Otherwise that
 * is so once the answer has left. */
void conn_body_done(struct conn *c);

/* The exchange that `gone` will name; NULL: none any more. */
void conn_set_exchange(struct conn *c, struct exchange *x);

/* From now on a client that leaves is noticed. For answers that take long: it costs two system
 * calls. FH_ENOMEM. */
int conn_watch(struct conn *c) FH_MUST_USE;

/* Whether an answer of that many bytes may be made now. A small one may always, a larger one while
 * all that are being written stay within `unsent_bytes`, or if it is the only one. */
bool conn_may_send(const struct conn *c, uint64_t bytes);

/* Sends the answer whose headers and body are set. Then the connection takes its next request, or
 * is closed if the client, the server or the fault wants that. */
void conn_reply(struct conn *c, struct evhttp_request *ev, int status);

#endif
