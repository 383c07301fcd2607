/* The clients of http_fixture.h: bytes out, responses in. */
#include "http_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"

void client_open(struct client *c, struct fixture *f)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(http_server_port(f->server)),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const int on = 1;
	*c = (struct client){ .f = f };
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FH_ASSERT(connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0);
	FH_ASSERT(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		(void)close(c->fd);
	c->fd = -1;
	free(c->data);
	c->data = NULL;
}

/* Takes what is there; never blocks. */
static void receive(struct client *c)
{
	for (;;) {
		if (c->room - c->len < 65536)
			c->data = realloc(c->data, c->room = 2 * c->room + 262144);
		ssize_t n = recv(c->fd, c->data + c->len, c->room - c->len - 1, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			c->closed = true;
			break;
		}
		c->len += (size_t)n;
	}
	c->data[c->len] = '\0';
}

void client_send(struct client *c, const void *data, size_t len)
{
	const char *at = data;
	int64_t until_ms = fixture_clock() + FIXTURE_WAIT_MS;
	while (len) {
		ssize_t n = send(c->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return; /* the server has closed: what it said is read later */
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		if (len)
			fixture_turn(c->f, until_ms, "the server reads");
	}
}

void client_print(struct client *c, const char *fmt, ...)
{
	char text[16384];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	FH_ASSERT(len >= 0 && (size_t)len < sizeof text);
	client_send(c, text, (size_t)len);
}

static char *copy(const char *from, size_t len)
{
	char *to = malloc(len + 1);
	memcpy(to, from, len);
	to[len] = '\0';
	return to;
}

const char *response_header(const struct response *r, const char *name)
{
	static char value[512];
	size_t len = strlen(name);
	for (const char *line = r->head; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " ");
		size_t end = strcspn(line, "\r");
		while (end && line[end - 1] == ' ')
			end--;
		(void)snprintf(value, sizeof value, "%.*s", (int)end, line);
		return value;
	}
	return NULL;
}

/* Whether a whole response is there; 100 Continue is one. */
static bool complete(struct client *c, bool head_only, struct response *r)
{
	receive(c);
	char *end = c->data ? strstr(c->data, "\r\n\r\n") : NULL;
	if (!end)
		return c->closed;
	struct response found = { .head = copy(c->data, (size_t)(end - c->data)) };
	const char *length = response_header(&found, "Content-Length");
	found.body_len = length && !head_only ? strtoul(length, NULL, 10) : 0;
	found.status = (int)strtol(found.head + strlen("HTTP/1.1 "), NULL, 10);
	size_t total = (size_t)(end - c->data) + 4 + found.body_len;
	if (c->len < total) {
		free(found.head);
		FH_ASSERT(!c->closed);
		return false;
	}
	found.body = copy(end + 4, found.body_len);
	c->len -= total;
	memmove(c->data, c->data + total, c->len + 1);
	*r = found;
	return true;
}

struct response client_read(struct client *c, bool head_only)
{
	struct response r = { 0 };
	fixture_until(c->f, complete(c, head_only, &r));
	return r;
}

void response_release(struct response *r)
{
	free(r->head);
	free(r->body);
	*r = (struct response){ 0 };
}

struct response fixture_request(struct fixture *f, const char *method, const char *target,
				const char *headers, const char *body)
{
	struct client c;
	client_open(&c, f);
	client_print(&c, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s", method, target, headers);
	if (body)
		client_print(&c, "Content-Length: %zu\r\n", strlen(body));
	client_send(&c, "\r\n", 2);
	if (body)
		client_send(&c, body, strlen(body));
	struct response r = client_read(&c, strcmp(method, "HEAD") == 0);
	client_close(&c);
	return r;
}

int fixture_status(struct fixture *f, const char *method, const char *target, const char *headers,
		   const char *body)
{
	struct response r = fixture_request(f, method, target, headers, body);
	int status = r.status;
	response_release(&r);
	return status;
}
