/* The query of a target, decoded: `?name=value&...`. */
#ifndef FARHAND_HTTP_QUERY_H
#define FARHAND_HTTP_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { QUERY_MAX = 32 };

struct query_item {
	const char *name, *value; /* an absent value is "" */
	bool used;
};

struct query {
	char *text;
	size_t count;
	struct query_item items[QUERY_MAX];
};

/* Reads what stands behind the `?` of a target; an absent query is empty. FH_ESYNTAX: an escape is
 * malformed, or its text is not UTF-8. FH_EEXISTS: a name stands there twice. FH_ELIMIT: too many.
 * FH_ENOMEM. */
int query_init(struct query *q, const char *target) FH_MUST_USE;
void query_release(struct query *q);

/* The value of a name, or NULL; it counts as used. */
const char *query_get(struct query *q, const char *name);

/* Reads a position as the server writes it into its answers: hexadecimal. False: it is none. */
bool cursor_parse(const char *text, uint64_t *ret_position);

/* A name that nobody has asked for; NULL if there is none. */
const char *query_unused(const struct query *q);

/* Takes the %-escapes out of a part of a path. NULL: malformed, not UTF-8, or no memory. The caller
 * frees it with fh_free(). */
char *query_decode(const char *text, size_t len);

#endif
