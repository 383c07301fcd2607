/* The routes, as one table that dispatches and that will describe the interface. */
#ifndef FARHAND_HTTP_ROUTE_H
#define FARHAND_HTTP_ROUTE_H

#include <stddef.h>

struct exchange;

enum route_flag {
	ROUTE_JSON = 1,	  /* takes an application/json body */
	ROUTE_OCTETS = 2, /* takes an application/octet-stream body */
	ROUTE_LEGACY = 4, /* as clients knew it: a slash at the end, `detail` in errors */
	ROUTE_BODY_MAY_BE_ABSENT = 8,
};

struct route {
	const char *method; /* "GET" answers HEAD too */
	const char *path;   /* `{name}` stands for one part of it */
	unsigned flags;
	size_t size; /* of the handler's struct, which begins with a struct exchange */
	void (*handle)(struct exchange *x);
	void (*release)(struct exchange *x); /* what the struct owns; or NULL */
	const char *summary;
};

extern const struct route routes[];
extern const size_t route_count;

enum { ROUTE_ALLOW_MAX = 64 };

struct route_match {
	const struct route *route; /* NULL: none */
	const char *part;	   /* what stood for {name}, as it came; not terminated */
	size_t part_len;
	char allow[ROUTE_ALLOW_MAX]; /* without a route: the methods that the path takes, or "" */
};

/* Finds the route of a method and a path (without query). */
void route_find(const char *method, const char *path, size_t path_len,
		struct route_match *ret_match);

#endif
