/* Decides whether a request may reach its route. Failure modes: 403 and 415. */
#include "http/access.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "http/exchange.h"
#include "http/route.h"

static const struct frame_fault none = { 0 };

static bool is_loopback(const char *host)
{
	struct in_addr four;
	struct in6_addr six;
	if (inet_pton(AF_INET, host, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

/* Takes the port off "name:port" and the brackets off "[::1]:port". Any port will do: a tunnel may
 * end at another one than ours, and a page cannot choose the name together with it. */
static bool host_name(const char *value, char *name, size_t room)
{
	const char *end;
	if (*value == '[') {
		value++;
		end = strchr(value, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return false;
	} else {
		end = value + strcspn(value, ":");
	}
	size_t len = (size_t)(end - value);
	const char *port = *end == ']' ? end + 1 : end;
	if (*port == ':' && strspn(port + 1, "0123456789") != strlen(port + 1))
		return false;
	if (len == 0 || len >= room)
		return false;
	memcpy(name, value, len);
	name[len] = '\0';
	return true;
}

static bool is_our_host(const char *value, const char *listen_host)
{
	char name[256];
	if (!host_name(value, name, sizeof name))
		return false;
	return strcasecmp(name, "localhost") == 0 || strcasecmp(name, listen_host) == 0 ||
	       is_loopback(name);
}

/* A page that was served from here names the same host and port in both headers. */
static bool is_our_origin(const char *origin, const char *host)
{
	static const char *const schemes[] = { "http://", "https://" };
	for (size_t i = 0; i < 2; i++) {
		size_t len = strlen(schemes[i]);
		if (strncasecmp(origin, schemes[i], len) == 0)
			return strcasecmp(origin + len, host) == 0;
	}
	return false;
}

struct frame_fault access_check(const struct exchange *x, const char *listen_host)
{
	const char *host = exchange_header(x, "Host");
	const char *origin = exchange_header(x, "Origin");
	const char *site = exchange_header(x, "Sec-Fetch-Site");
	if (!host || !is_our_host(host, listen_host))
		return (struct frame_fault){ PROBLEM_FORBIDDEN_HOST,
					     "the Host header names neither the address that the "
					     "server listens on nor a loopback address" };
	if (origin && !is_our_origin(origin, host))
		return (struct frame_fault){
			PROBLEM_FORBIDDEN_ORIGIN,
			"the request comes from a web page of another origin"
		};
	if (site && strcasecmp(site, "same-origin") != 0 && strcasecmp(site, "none") != 0)
		return (struct frame_fault){ PROBLEM_FORBIDDEN_ORIGIN,
					     "the request comes from a web page of another site" };
	return none;
}

bool access_is_type(const struct exchange *x, const char *type)
{
	const char *value = exchange_header(x, "Content-Type");
	size_t len = strlen(type);
	return value && strncasecmp(value, type, len) == 0 && strcspn(value, " \t;") == len;
}

struct frame_fault access_check_type(const struct exchange *x, const struct route *route)
{
	const char *coding = exchange_header(x, "Content-Encoding");
	const char *type = exchange_header(x, "Content-Type");
	if (!(route->flags & (ROUTE_JSON | ROUTE_OCTETS)))
		return none;
	if (coding && strcasecmp(coding, "identity") != 0)
		return (struct frame_fault){ PROBLEM_UNSUPPORTED_TYPE,
					     "compressed bodies are not taken" };
	if (!type && exchange_body_len(x) == 0)
		return none;
	if (!type)
		return (struct frame_fault){ PROBLEM_UNSUPPORTED_TYPE,
					     "the request has a body and no Content-Type" };
	if (route->flags & ROUTE_JSON && access_is_type(x, "application/json"))
		return none;
	if (route->flags & ROUTE_OCTETS && access_is_type(x, "application/octet-stream"))
		return none;
	return (struct frame_fault){ PROBLEM_UNSUPPORTED_TYPE,
				     route->flags & ROUTE_OCTETS
					     ? "the Content-Type is application/json or "
					       "application/octet-stream"
					     : "the Content-Type is application/json" };
}
