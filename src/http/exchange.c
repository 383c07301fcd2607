/* Decides when an exchange lives and how its answer leaves.
 *
 * Happy path: exchange_new() -> the handler -> exchange_submit() -> the sink -> on_done() ->
 * the handler's finish() -> exchange_reply() -> exchange_free().
 * Failure modes: the client leaves (exchange_gone(): the sink is told, the end comes with `done`);
 * no memory for an answer (503 without a body). */
#include "http/exchange.h"

#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include "base/assert.h"
#include "base/mem.h"
#include "http/problem.h"
#include "http/route.h"
#include "http/server.h"
#include "http/text.h"

struct exchange *exchange_new(struct http_server *s, struct conn *c, struct evhttp_request *ev,
			      size_t size)
{
	struct exchange *x = fh_calloc(1, size);
	if (!x)
		return NULL;
	x->server = s;
	x->conn = c;
	x->ev = ev;
	list_push_back(&s->exchanges, &x->link);
	return x;
}

void exchange_free(struct exchange *x)
{
	if (x->parked)
		x->server->parked--;
	if (x->route && x->route->release)
		x->route->release(x);
	list_remove(&x->link);
	fh_free(x->part);
	fh_free(x);
}

const struct http_config *exchange_config(const struct exchange *x)
{
	return &x->server->config;
}

int64_t exchange_now_ms(const struct exchange *x)
{
	return x->server->config.now_ms(x->server->config.ctx);
}

struct fh_id exchange_new_id(const struct exchange *x)
{
	struct http_server *s = x->server;
	uint64_t now_ms = (uint64_t)exchange_now_ms(x);
	/* Random bits are asked for only when they will be used: they cost a system call. */
	uint64_t random = now_ms > s->ids.last_ms ? s->config.random(s->config.ctx) : 0;
	return fh_id_next(&s->ids, now_ms, random);
}

struct digest *exchange_digest(const struct exchange *x)
{
	return &x->server->digest;
}

const char *exchange_header(const struct exchange *x, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(x->ev), name);
}

const char *exchange_method(const struct exchange *x)
{
	switch (evhttp_request_get_command(x->ev)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_HEAD:
		return "HEAD";
	case EVHTTP_REQ_POST:
		return "POST";
	case EVHTTP_REQ_PUT:
		return "PUT";
	case EVHTTP_REQ_DELETE:
		return "DELETE";
	case EVHTTP_REQ_PATCH:
		return "PATCH";
	case EVHTTP_REQ_OPTIONS:
		return "OPTIONS";
	case EVHTTP_REQ_TRACE:
	case EVHTTP_REQ_CONNECT:
	default:
		FH_UNREACHABLE("the framing takes no other method");
	}
}

const char *exchange_target(const struct exchange *x)
{
	return evhttp_request_get_uri(x->ev);
}

size_t exchange_body_len(const struct exchange *x)
{
	return evbuffer_get_length(evhttp_request_get_input_buffer(x->ev));
}

const char *exchange_body(const struct exchange *x)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(x->ev);
	if (evbuffer_get_length(body) == 0)
		return "";
	return (const char *)evbuffer_pullup(body, -1);
}

struct blob *exchange_body_blob(const struct exchange *x)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(x->ev);
	struct blob *blob = blob_new(evbuffer_get_length(body));
	if (blob && blob->len &&
	    evbuffer_copyout(body, blob->data, blob->len) != (ev_ssize_t)blob->len)
		blob_free(&blob);
	return blob;
}

bool exchange_accepts(const struct exchange *x, const char *type)
{
	const char *accept = exchange_header(x, "Accept");
	size_t len = strlen(type);
	for (; accept && *accept; accept += strcspn(accept, ","), accept += strspn(accept, ", "))
		if (strncasecmp(accept, type, len) == 0 && strcspn(accept, " ,;") == len)
			return true;
	return false;
}

static void on_done(struct call *call)
{
	struct exchange *x = call->owner;
	x->call = NULL;
	if (x->conn) {
		x->finish(x);
		FH_ASSERT(!x->conn);
	}
	exchange_free(x);
}

void exchange_submit(struct exchange *x, struct call *call, enum call_kind kind,
		     void (*finish)(struct exchange *x))
{
	const struct call_sink *sink = &x->server->config.sink;
	struct evbuffer *body = evhttp_request_get_input_buffer(x->ev);
	FH_ASSERT(x->conn && !x->call);
	/* Whoever needs it has a copy. */
	(void)evbuffer_drain(body, evbuffer_get_length(body));
	call->kind = kind;
	call->done = on_done;
	call->owner = x;
	list_init(&call->link);
	x->call = call;
	x->finish = finish;
	conn_set_exchange(x->conn, x);
	sink->submit(sink->ctx, call);
}

void exchange_park(struct exchange *x, struct call *call, enum call_kind kind,
		   void (*finish)(struct exchange *x))
{
	if (x->server->parked >= x->server->config.limits.parked) {
		problem_reply_later(x, PROBLEM_LIMIT, "too many requests are waiting", 1);
		return;
	}
	if (conn_watch(x->conn)) {
		problem_reply_later(x, PROBLEM_NO_MEMORY, "the client cannot be watched", 1);
		return;
	}
	x->parked = true;
	x->server->parked++;
	conn_body_done(x->conn);
	exchange_submit(x, call, kind, finish);
}

void exchange_gone(struct exchange *x)
{
	const struct call_sink *sink = &x->server->config.sink;
	x->conn = NULL;
	x->ev = NULL;
	FH_ASSERT(x->call != NULL);
	if (x->server->freeing)
		exchange_free(x);
	else
		sink->abandon(sink->ctx, x->call);
}

void exchange_set_header(struct exchange *x, const char *name, const char *value)
{
	(void)evhttp_add_header(evhttp_request_get_output_headers(x->ev), name, value);
}

/* The client has asked for the head only, or the status has no body. */
static bool has_no_body(const struct exchange *x, int status)
{
	return evhttp_request_get_command(x->ev) == EVHTTP_REQ_HEAD || status == 304;
}

static void send_answer(struct exchange *x, int status, const char *type, size_t len)
{
	char digits[24];
	if (status != 304) {
		(void)evutil_snprintf(digits, sizeof digits, "%zu", len);
		exchange_set_header(x, "Content-Length", digits);
	}
	if (type)
		exchange_set_header(x, "Content-Type", type);
	exchange_set_header(x, "X-Content-Type-Options", "nosniff");
	exchange_set_header(x, "X-Request-Id", x->request_id);
	conn_reply(x->conn, x->ev, status);
	x->conn = NULL;
	x->ev = NULL;
}

bool exchange_may_send(struct exchange *x, uint64_t bytes)
{
	if (conn_may_send(x->conn, bytes))
		return true;
	problem_reply_later(x, PROBLEM_BUSY, "too many large answers are being sent", 1);
	return false;
}

static void free_text(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	fh_free(arg);
}

void exchange_reply(struct exchange *x, int status, const char *type, struct text *own_text)
{
	enum { COPY_MAX = 1024 };
	struct evbuffer *body = evhttp_request_get_output_buffer(x->ev);
	size_t len = own_text->len;
	bool empty = len == 0 || has_no_body(x, status);
	bool copy = len <= COPY_MAX;
	int ret = own_text->broken ? -1 : 0;
	if (ret == 0 && !empty)
		ret = copy ? evbuffer_add(body, own_text->data, len)
			   : evbuffer_add_reference(body, own_text->data, len, free_text,
						    own_text->data);
	if (ret == 0 && !empty && !copy)
		*own_text = (struct text){ 0 };
	text_release(own_text);
	if (ret)
		send_answer(x, 503, NULL, 0);
	else
		send_answer(x, status, type, len);
}

void exchange_reply_json(struct exchange *x, int status, struct text *own_text)
{
	exchange_reply(x, status, "application/json", own_text);
}

static void free_blob(const void *data, size_t len, void *arg)
{
	struct blob *b = arg;
	(void)data;
	(void)len;
	blob_free(&b);
}

void exchange_reply_blob(struct exchange *x, int status, const char *type, struct blob *blob)
{
	struct evbuffer *body = evhttp_request_get_output_buffer(x->ev);
	size_t len = blob ? blob->len : 0;
	if (len && !has_no_body(x, status)) {
		struct blob *ref = blob_ref(blob);
		if (evbuffer_add_reference(body, ref->data, len, free_blob, ref)) {
			blob_free(&ref);
			send_answer(x, 503, NULL, 0);
			return;
		}
	}
	send_answer(x, status, type, len);
}
