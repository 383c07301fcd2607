/* Reads and resolves an endpoint. Failure modes: no port, a port that is none, an unknown host;
 * each with a line that shows what was given. */
#include "transport/endpoint.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_MAX = 256, PORT_MAX = 65535 };

static bool is_loopback(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, address, sizeof in);
		return ntohl(in.sin_addr.s_addr) >> 24 == 127;
	}
	struct sockaddr_in6 in6;
	memcpy(&in6, address, sizeof in6);
	return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static int bad(struct fh_err *err, const char *text)
{
	return fh_err_set(err, FH_EINVAL, "'%.100s' is not an address: it should be HOST:PORT",
			  text);
}

/* Splits at the last colon, takes brackets off the host. */
static int split(const char *text, char host[HOST_MAX], unsigned *ret_port, struct fh_err *err)
{
	const char *rest = strncmp(text, "tcp://", 6) == 0 ? text + 6 : text;
	const char *colon = strrchr(rest, ':');
	size_t len = colon ? (size_t)(colon - rest) : 0;
	if (len == 0 || len >= HOST_MAX)
		return bad(err, text);
	size_t digits = strspn(colon + 1, "0123456789");
	unsigned long port = strtoul(colon + 1, NULL, 10);
	if (digits == 0 || digits > 5 || colon[1 + digits] || port > PORT_MAX)
		return bad(err, text);
	bool brackets = rest[0] == '[' && rest[len - 1] == ']';
	if (brackets) {
		rest++;
		len -= 2;
	}
	memcpy(host, rest, len);
	host[len] = '\0';
	if (len == 0 || strpbrk(host, "/[] ") || (!brackets && strchr(host, ':')))
		return bad(err, text);
	*ret_port = (unsigned)port;
	return 0;
}

static void write_numeric(struct endpoint *e, const struct addrinfo *a, unsigned port)
{
	char address[INET6_ADDRSTRLEN] = "";
	if (a->ai_family == AF_INET) {
		struct sockaddr_in in;
		memcpy(&in, a->ai_addr, sizeof in);
		(void)inet_ntop(AF_INET, &in.sin_addr, address, sizeof address);
		(void)snprintf(e->numeric, sizeof e->numeric, "tcp://%s:%u", address, port);
		return;
	}
	struct sockaddr_in6 in6;
	memcpy(&in6, a->ai_addr, sizeof in6);
	(void)inet_ntop(AF_INET6, &in6.sin6_addr, address, sizeof address);
	(void)snprintf(e->numeric, sizeof e->numeric, "tcp://[%s]:%u", address, port);
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct fh_err *err)
{
	char host[HOST_MAX];
	unsigned port = 0;
	int ret = split(text, host, &port, err);
	if (ret)
		return ret;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int why = getaddrinfo(host, NULL, &hints, &found);
	if (why)
		return fh_err_set(err, FH_ENOTFOUND, "host '%.100s': %s", host, gai_strerror(why));
	struct endpoint e = { .ipv6 = found->ai_family == AF_INET6, .loopback = true };
	const char *form = strchr(host, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u";
	(void)snprintf(e.url, sizeof e.url, form, host, port);
	write_numeric(&e, found, port);
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		e.loopback = e.loopback && is_loopback(a->ai_addr);
	freeaddrinfo(found);
	*ret_endpoint = e;
	return 0;
}
