/* Decides who is let in, and what happens to a request before its handler.
 *
 * Happy path: http_server_new() -> evhttp accepts -> conn_accept() -> ... -> on_request() ->
 * access_check() -> route_find() -> access_check_type() -> the route's handler.
 * Failure modes: too many connections (they wait in the kernel's backlog until one closes); no
 * descriptors left (the waiting ones are refused with 503, then accepting pauses); a request that
 * was refused by its framing, its Host, its path, its type (a problem). */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include <jansson.h>

#include "base/assert.h"
#include "base/mem.h"
#include "http/access.h"
#include "http/exchange.h"
#include "http/query.h"
#include "http/route.h"

enum { BACKLOG = 1024, ACCEPT_PAUSE_MS = 100, REFUSED_AT_ONCE = 64 };

/* evhttp keeps the argument of its listener's callbacks for itself, so the one for errors finds its
 * server here. */
static struct list servers = { &servers, &servers };

static bool is_request_id(const char *id)
{
	size_t len = strlen(id);
	for (size_t i = 0; i < len; i++)
		if (id[i] <= ' ' || id[i] >= 0x7F || id[i] == '"' || id[i] == '\\')
			return false;
	return len > 0 && len <= REQUEST_ID_MAX;
}

static void set_request_id(struct exchange *x)
{
	const char *given = exchange_header(x, "X-Request-Id");
	if (given && is_request_id(given))
		memcpy(x->request_id, given, strlen(given) + 1);
	else
		fh_id_format(exchange_new_id(x), x->request_id);
}

static void serve(struct exchange *x, const struct route_match *match)
{
	struct frame_fault fault = access_check(x, x->server->host);
	if (fault.kind) {
		problem_reply(x, fault.kind, fault.detail);
		return;
	}
	if (!match->route && match->allow[0]) {
		exchange_set_header(x, "Allow", match->allow);
		problem_reply(x, PROBLEM_METHOD_NOT_ALLOWED, match->allow);
		return;
	}
	if (!match->route) {
		problem_reply(x, PROBLEM_NOT_FOUND, "there is nothing at this path");
		return;
	}
	fault = access_check_type(x, match->route);
	if (fault.kind) {
		problem_reply(x, fault.kind, fault.detail);
		return;
	}
	if (match->part) {
		x->part = query_decode(match->part, match->part_len);
		if (!x->part) {
			problem_reply(x, PROBLEM_NOT_FOUND, "the path is not well escaped");
			return;
		}
	}
	match->route->handle(x);
}

static void on_request(struct evhttp_request *ev, void *arg)
{
	struct http_server *s = arg;
	struct frame_fault fault;
	struct route_match match = { 0 };
	struct conn *c = conn_begin(&s->pool, ev, &fault);
	if (!c)
		return;
	s->requests_total++;
	struct exchange *x = NULL;
	if (!fault.kind) {
		struct exchange probe = { .ev = ev };
		const char *target = exchange_target(&probe);
		route_find(exchange_method(&probe), target, strcspn(target, "?"), &match);
	}
	x = exchange_new(s, c, ev, match.route ? match.route->size : sizeof *x);
	if (!x) {
		conn_reply(c, ev, 503);
		return;
	}
	x->route = match.route;
	set_request_id(x);
	if (fault.kind)
		problem_reply(x, fault.kind, fault.detail);
	else
		serve(x, &match);
	if (!x->call) {
		FH_ASSERT(!x->conn);
		exchange_free(x);
	}
}

static void on_gone(void *ctx, struct exchange *x)
{
	(void)ctx;
	exchange_gone(x);
}

/* New connections wait in the backlog while all places are taken. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct http_server *s = arg;
	(void)base;
	struct bufferevent *bev = conn_accept(&s->pool);
	if (s->bound && s->pool.count >= s->config.limits.connections)
		(void)evconnlistener_disable(s->listener);
	return bev;
}

static void accept_again(struct http_server *s)
{
	if (s->bound && s->pool.count < s->config.limits.connections)
		(void)evconnlistener_enable(s->listener);
}

static void on_conn_closed(void *ctx)
{
	struct http_server *s = ctx;
	if (s->pool.count + 1 == s->config.limits.connections && !s->freeing)
		accept_again(s);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct http_server *s = arg;
	(void)fd;
	(void)what;
	if (s->spare_fd < 0)
		s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	accept_again(s);
}

/* With the spare descriptor a waiting client can be told instead of left hanging. */
static void refuse_waiting(struct http_server *s)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
				     "Connection: close\r\nRetry-After: 1\r\n"
				     "Content-Length: 0\r\n\r\n";
	for (int i = 0; i < REFUSED_AT_ONCE && s->spare_fd >= 0; i++) {
		(void)close(s->spare_fd);
		int fd = accept4(evconnlistener_get_fd(s->listener), NULL, NULL,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			(void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
			(void)close(fd);
		}
		s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
	}
}

/* A listener whose accept fails stays readable: without a pause the loop would spin. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	static const struct timeval pause = { 0, ACCEPT_PAUSE_MS * 1000 };
	int error = errno;
	list_for_each (l, &servers) {
		struct http_server *s = list_entry(l, struct http_server, link);
		if (s->evhttp != arg)
			continue;
		if (error == EMFILE || error == ENFILE)
			refuse_waiting(s);
		if (event_add(s->accept_again, &pause) == 0)
			(void)evconnlistener_disable(listener);
	}
}

static int bind_address(struct http_server *s, const struct addrinfo *a, struct fh_err *err)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	s->listener = evconnlistener_new_bind(s->config.base, NULL, NULL,
					      LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE |
						      LEV_OPT_CLOSE_ON_EXEC,
					      BACKLOG, a->ai_addr, (int)a->ai_addrlen);
	if (!s->listener)
		return fh_err_set(err, FH_EIO, "cannot listen on %s port %u: %s", s->host,
				  s->config.port, strerror(errno));
	int fd = evconnlistener_get_fd(s->listener), on = 1;
	/* Each connection inherits it: an answer that takes two writes must not wait for the
	 * client's delayed acknowledgement of the first, which is 40 ms late. */
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) ||
	    getsockname(fd, (struct sockaddr *)&address, &len)) {
		(void)fh_err_set(err, FH_EIO, "cannot set up the socket: %s", strerror(errno));
		evconnlistener_free(s->listener);
		return FH_EIO;
	}
	s->port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
						      : ((struct sockaddr_in *)&address)->sin_port);
	s->bound = evhttp_bind_listener(s->evhttp, s->listener);
	if (!s->bound) {
		evconnlistener_free(s->listener);
		return fh_err_set(err, FH_ENOMEM, "cannot listen on %s: out of memory", s->host);
	}
	evconnlistener_set_error_cb(s->listener, on_accept_error);
	return 0;
}

static int listen_on(struct http_server *s, struct fh_err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	char port[8];
	(void)evutil_snprintf(port, sizeof port, "%u", s->config.port);
	int ret = getaddrinfo(s->host, port, &hints, &found);
	if (ret)
		return fh_err_set(err, FH_EINVAL, "%s is not an address to listen on: %s", s->host,
				  gai_strerror(ret));
	ret = FH_EINVAL;
	for (const struct addrinfo *a = found; a && ret; a = a->ai_next)
		ret = bind_address(s, a, err);
	freeaddrinfo(found);
	return ret;
}

int http_server_new(const struct http_config *config, struct http_server **ret_server,
		    struct fh_err *err)
{
	struct http_server *s = fh_calloc(1, sizeof *s);
	if (!s)
		return fh_err_set(err, FH_ENOMEM, "no memory for the HTTP server");
	s->config = *config;
	s->spare_fd = -1;
	list_init(&s->exchanges);
	list_push_back(&servers, &s->link);
	json_set_alloc_funcs(fh_malloc, fh_free);
	s->host = fh_strdup(config->host);
	s->evhttp = evhttp_new(config->base);
	s->accept_again = evtimer_new(config->base, on_pause_over, s);
	int ret = conn_pool_init(&s->pool, config->base, &s->config.limits);
	if (ret == 0)
		ret = digest_init(&s->digest);
	if (ret || !s->host || !s->evhttp || !s->accept_again) {
		http_server_free(&s);
		return fh_err_set(err, FH_ENOMEM, "no memory for the HTTP server");
	}
	s->config.host = s->host;
	s->pool.closed = on_conn_closed;
	s->pool.gone = on_gone;
	s->pool.ctx = s;
	evhttp_set_bevcb(s->evhttp, on_accept, s);
	evhttp_set_gencb(s->evhttp, on_request, s);
	evhttp_set_default_content_type(s->evhttp, NULL);
	evhttp_set_allowed_methods(s->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
						      EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						      EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ret = listen_on(s, err);
	if (ret) {
		http_server_free(&s);
		return ret;
	}
	*ret_server = s;
	return 0;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

void http_server_set_ready(struct http_server *s, bool ready)
{
	s->ready = ready;
}

void http_server_close_listener(struct http_server *s)
{
	if (s->bound)
		evhttp_del_accept_socket(s->evhttp, s->bound);
	s->bound = NULL;
	conn_pool_close(&s->pool);
}

size_t http_server_open_requests(const struct http_server *s)
{
	return s->pool.busy;
}

void http_server_free(struct http_server **server)
{
	struct http_server *s = *server;
	if (!s)
		return;
	*server = NULL;
	s->freeing = true;
	conn_pool_release(&s->pool);
	list_for_each_safe (l, &s->exchanges)
		exchange_free(list_entry(l, struct exchange, link));
	if (s->evhttp)
		evhttp_free(s->evhttp);
	if (s->accept_again)
		event_free(s->accept_again);
	if (s->spare_fd >= 0)
		(void)close(s->spare_fd);
	digest_release(&s->digest);
	list_remove(&s->link);
	fh_free(s->host);
	fh_free(s);
}
