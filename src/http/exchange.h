/* One request and its answer. A handler either answers at once, or submits a call and answers when
 * that is done; each exchange is answered exactly once, unless its client leaves before.
 *
 * A handler's own struct begins with a `struct exchange`; its route says how large it is and how
 * what it owns is released. */
#ifndef FARHAND_HTTP_EXCHANGE_H
#define FARHAND_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/list.h"
#include "http/call.h"
#include "http/http.h"

struct conn;
struct digest;
struct evhttp_request;
struct route;
struct text;

enum { REQUEST_ID_MAX = 64 };

struct exchange {
	struct http_server *server;
	const struct route *route; /* NULL: none has matched */
	struct conn *conn;	   /* NULL once answered, or when the client has left */
	struct evhttp_request *ev; /* the same */
	struct list link;	   /* the server's */
	struct call *call;	   /* while it is in work */
	void (*finish)(struct exchange *x);
	bool parked;
	char request_id[REQUEST_ID_MAX + 1];
	char *part; /* what stood for {...} in the route's path, decoded; or NULL */
};

const struct http_config *exchange_config(const struct exchange *x);
int64_t exchange_now_ms(const struct exchange *x);
struct fh_id exchange_new_id(const struct exchange *x);
struct digest *exchange_digest(const struct exchange *x);

/* A request header, or NULL. Valid until the answer. */
const char *exchange_header(const struct exchange *x, const char *name);

/* "GET", and the target as it came: "/path?query". Valid until the answer. */
const char *exchange_method(const struct exchange *x);
const char *exchange_target(const struct exchange *x);

size_t exchange_body_len(const struct exchange *x);

/* The body as one piece, valid until the answer; NULL without memory. */
const char *exchange_body(const struct exchange *x);

/* A copy of the body; NULL without memory. */
struct blob *exchange_body_blob(const struct exchange *x);

/* Whether the client takes `type` and said so by name ("application/octet-stream"). */
bool exchange_accepts(const struct exchange *x, const char *type);

/* Hands a call to the sink; `finish` is called when it is done, to answer, unless the client has
 * left. The call lies inside the exchange. */
void exchange_submit(struct exchange *x, struct call *call, enum call_kind kind,
		     void (*finish)(struct exchange *x));

/* The same for a call that may take as long as its client wants. Its client is watched. Answers
 * 503 instead if too many are waiting. */
void exchange_park(struct exchange *x, struct call *call, enum call_kind kind,
		   void (*finish)(struct exchange *x));

/* Sets a header of the answer. */
void exchange_set_header(struct exchange *x, const char *name, const char *value);

/* Whether an answer of about that many bytes may be made now; false: it is answered with 503, for
 * too much is on its way to clients that have not read it yet. To be asked before anything large is
 * rendered of what can be asked for again. */
bool exchange_may_send(struct exchange *x, uint64_t bytes);

/* Answers. The text is taken and empty afterwards; a broken one is answered as 503. */
void exchange_reply(struct exchange *x, int status, const char *type, struct text *own_text);
void exchange_reply_json(struct exchange *x, int status, struct text *own_text);

/* Answers with the bytes of a blob; NULL: none. */
void exchange_reply_blob(struct exchange *x, int status, const char *type, struct blob *blob);

/* For the server. `size` is at least that of a struct exchange. NULL without memory. */
struct exchange *exchange_new(struct http_server *s, struct conn *c, struct evhttp_request *ev,
			      size_t size);

/* For the server: nobody answers it any more. */
void exchange_free(struct exchange *x);

/* For the server: its client has left. Ends it, now or when its call is done. */
void exchange_gone(struct exchange *x);

#endif
