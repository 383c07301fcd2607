/* Decides when a connection has had its time, and how it ends.
 *
 * Happy path: evhttp accepts -> conn_accept() -> bytes (conn_input.c) -> evhttp calls the server ->
 * conn_begin() -> conn_reply() -> on_answered() -> the next request.
 *
 * Failure modes:
 *  - A client that is slow with a head, a body or the next request: closed when `due` has passed.
 *    One that does not read its answer: closed by the bufferevent's write timeout.
 *  - Clients that do not read large answers: further ones are not made (conn_may_send()).
 *  - A client that leaves while its request is parked: on_left() closes, on_closed() tells.
 *  - No memory for a connection: it is closed.
 *
 * evhttp ends the process if it is given bytes while a request is in work. So its bufferevent's
 * EV_READ is switched on only while `busy` is false, and off while an answer is written. */
#include "http/conn_priv.h"

#include <string.h>
#include <sys/socket.h>

#include <event2/http.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/mem.h"

static int64_t now_ms(void)
{
	return fh_monotonic_us() / 1000;
}

static void arm(struct conn *c, int64_t in_ms)
{
	struct timeval tv = { (time_t)(in_ms / 1000), (suseconds_t)(in_ms % 1000 * 1000) };
	if (event_add(c->timer, &tv) == 0)
		c->timer_ms = now_ms() + in_ms;
}

/* The timer is left alone where it fires early enough: most deadlines never come. */
void conn_set_due(struct conn *c, uint64_t in_ms)
{
	c->due_ms = now_ms() + (int64_t)in_ms;
	if (!c->timer_ms || c->timer_ms > c->due_ms)
		arm(c, (int64_t)in_ms);
}

/* With `body_rate` a client has one second for so many bytes. */
void conn_set_body_due(struct conn *c)
{
	const struct http_limits *limits = c->pool->limits;
	uint64_t bytes = c->head.chunked ? c->head.body_limit : c->head.body_len;
	conn_set_due(c, limits->body_ms + bytes / limits->body_rate * 1000);
}

static struct fh_id fd_key(evutil_socket_t fd)
{
	struct fh_id key = { 0 };
	memcpy(key.b, &fd, sizeof fd);
	return key;
}

static void stop_watching(struct conn *c)
{
	if (c->left)
		event_free(c->left);
	c->left = NULL;
}

static void count_unsent(struct conn *c, size_t len)
{
	c->pool->unsent = c->pool->unsent - c->unsent + len;
	c->unsent = len;
}

/* Our part of a connection; its evhttp_connection is being freed by evhttp. */
static void forget(struct conn *c)
{
	struct conn_pool *pool = c->pool;
	conn_release_room(c);
	count_unsent(c, 0);
	stop_watching(c);
	if (c->busy)
		pool->busy--;
	if (c->evcon)
		(void)map_remove(&pool->by_fd, fd_key(bufferevent_getfd(c->bev)));
	list_remove(&c->link);
	list_remove(&c->starving);
	pool->count--;
	(void)evbuffer_remove_cb(bufferevent_get_input(c->bev), conn_on_input, c);
	(void)bufferevent_decref(c->bev);
	evbuffer_free(c->raw);
	event_free(c->timer);
	fh_free(c);
	pool->closed(pool->ctx);
}

static void on_closed(struct evhttp_connection *evcon, void *arg)
{
	struct conn *c = arg;
	(void)evcon;
	if (c->exchange)
		c->pool->gone(c->pool->ctx, c->exchange);
	forget(c);
}

/* evhttp frees its connection, tells on_closed(), and gives up the bufferevent. */
static void close_now(struct conn *c)
{
	evhttp_connection_free(c->evcon);
}

/* evhttp shows its connection to nobody before the first whole request, but it is the argument of
 * the callbacks that it has set; so the end of a connection is noticed from its start. There is
 * none if evhttp has given up on it at once. */
static bool find_evcon(struct conn *c)
{
	void *arg = NULL;
	bufferevent_getcb(c->bev, NULL, NULL, NULL, &arg);
	if (!arg)
		return false;
	c->evcon = arg;
	FH_ASSERT(evhttp_connection_get_bufferevent(c->evcon) == c->bev);
	if (map_put(&c->pool->by_fd, fd_key(bufferevent_getfd(c->bev)), c)) {
		evhttp_connection_free(c->evcon);
		c->evcon = NULL;
		return false;
	}
	evhttp_connection_set_closecb(c->evcon, on_closed, c);
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	(void)fd;
	(void)what;
	c->timer_ms = 0;
	if (!c->evcon) {
		if (find_evcon(c))
			conn_set_due(c, c->pool->limits->idle_ms);
		else
			forget(c);
		return;
	}
	if (!c->due_ms)
		return;
	int64_t left_ms = c->due_ms - now_ms();
	if (left_ms > 0)
		arm(c, left_ms);
	else
		close_now(c);
}

int conn_pool_init(struct conn_pool *pool, struct event_base *base,
		   const struct http_limits *limits)
{
	*pool = (struct conn_pool){ .base = base, .limits = limits };
	list_init(&pool->all);
	list_init(&pool->starving);
	pool->feed = event_new(base, -1, 0, conn_on_feed, pool);
	pool->scratch = evbuffer_new();
	return pool->feed && pool->scratch ? map_init(&pool->by_fd) : FH_ENOMEM;
}

struct bufferevent *conn_accept(struct conn_pool *pool)
{
	struct conn *c = fh_calloc(1, sizeof *c);
	struct bufferevent *bev = bufferevent_socket_new(pool->base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct timeval write_tv = { pool->limits->write_ms / 1000,
				    pool->limits->write_ms % 1000 * 1000 };
	if (!c || !bev)
		goto fail;
	*c = (struct conn){ .pool = pool, .bev = bev };
	list_init(&c->link);
	list_init(&c->starving);
	c->raw = evbuffer_new();
	c->timer = evtimer_new(pool->base, on_timer, c);
	if (!c->raw || !c->timer || !evbuffer_add_cb(bufferevent_get_input(bev), conn_on_input, c))
		goto fail;
	bufferevent_incref(bev);
	bufferevent_set_timeouts(bev, NULL, &write_tv);
	(void)bufferevent_set_max_single_read(bev, READ_MAX);
	(void)bufferevent_set_max_single_write(bev, WRITE_MAX);
	conn_set_read_room(c, 0);
	list_push_back(&pool->all, &c->link);
	pool->count++;
	event_active(c->timer, EV_TIMEOUT, 0);
	return bev;
fail:
	if (c && c->timer)
		event_free(c->timer);
	if (c && c->raw)
		evbuffer_free(c->raw);
	if (bev)
		bufferevent_free(bev);
	fh_free(c);
	return NULL;
}

void conn_pool_close(struct conn_pool *pool)
{
	pool->closing = true;
	list_for_each_safe (l, &pool->all) {
		struct conn *c = list_entry(l, struct conn, link);
		if (c->evcon && !c->busy && !c->begun && c->phase == CONN_HEAD)
			close_now(c);
	}
}

void conn_pool_release(struct conn_pool *pool)
{
	list_for_each_safe (l, &pool->all) {
		struct conn *c = list_entry(l, struct conn, link);
		if (c->evcon || find_evcon(c))
			close_now(c);
		else
			forget(c);
	}
	if (pool->feed)
		event_free(pool->feed);
	if (pool->scratch)
		evbuffer_free(pool->scratch);
	map_release(&pool->by_fd);
}

struct conn *conn_begin(struct conn_pool *pool, struct evhttp_request *ev,
			struct frame_fault *ret_fault)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
	struct conn *c = map_get(&pool->by_fd, fd_key(bufferevent_getfd(bev)));
	if (!c) {
		evhttp_connection_free(evcon);
		return NULL;
	}
	FH_ASSERT(c->evcon == evcon && !c->busy);
	c->busy = true;
	pool->busy++;
	c->due_ms = 0;
	*ret_fault = (struct frame_fault){ 0 };
	if (++c->taken == c->fault_at) {
		*ret_fault = c->fault;
		c->fault_at = 0;
	}
	return c;
}

void conn_body_done(struct conn *c)
{
	conn_release_room(c);
}

void conn_set_exchange(struct conn *c, struct exchange *x)
{
	c->exchange = x;
}

static void on_left(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	close_now(arg);
}

int conn_watch(struct conn *c)
{
	FH_ASSERT(c->busy && !c->left);
	c->left = event_new(c->pool->base, bufferevent_getfd(c->bev), EV_CLOSED, on_left, c);
	if (c->left && event_add(c->left, NULL) == 0)
		return 0;
	stop_watching(c);
	return FH_ENOMEM;
}

/* The last byte of the answer is with the kernel; evhttp reads the next request, or closes. */
static void on_answered(struct evhttp_request *ev, void *arg)
{
	struct conn *c = arg;
	(void)ev;
	c->busy = false;
	c->pool->busy--;
	c->begun = false;
	count_unsent(c, 0);
	conn_release_room(c);
	if (c->phase == CONN_LINGER) {
		if (c->taken == c->shown)
			(void)shutdown(bufferevent_getfd(c->bev), SHUT_WR);
		conn_set_due(c, LINGER_MS);
	} else if (c->phase == CONN_HEAD) {
		conn_set_due(c, c->pool->limits->idle_ms);
	} else {
		conn_set_body_due(c);
	}
	conn_resume(c);
}

bool conn_may_send(const struct conn *c, uint64_t bytes)
{
	size_t max = c->pool->limits->unsent_bytes, unsent = c->pool->unsent;
	return bytes <= ANSWER_SMALL || unsent == 0 || (unsent <= max && bytes <= max - unsent);
}

/* The words of RFC 9110 and 6585 where evhttp has older ones or none; NULL: it knows them. */
static const char *reason_phrase(int status)
{
	switch (status) {
	case 413:
		return "Content Too Large";
	case 414:
		return "URI Too Long";
	case 422:
		return "Unprocessable Content";
	case 431:
		return "Request Header Fields Too Large";
	default:
		return NULL;
	}
}

void conn_reply(struct conn *c, struct evhttp_request *ev, int status)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(ev);
	size_t len = evbuffer_get_length(evhttp_request_get_output_buffer(ev));
	FH_ASSERT(c->busy);
	count_unsent(c, len > ANSWER_SMALL ? len : 0);
	stop_watching(c);
	c->exchange = NULL;
	/* evhttp would close at once, and with unread bytes that resets the connection before the
	 * client has read its answer. It does not know the word with a space behind it; clients do.
	 */
	if (c->linger && c->taken == c->shown)
		(void)evhttp_add_header(headers, "Connection", "close ");
	else if (c->pool->closing)
		(void)evhttp_add_header(headers, "Connection", "close");
	evhttp_request_set_on_complete_cb(ev, on_answered, c);
	evhttp_send_reply(ev, status, reason_phrase(status), NULL);
	(void)bufferevent_disable(c->bev, EV_READ);
}
