/* Lists come in pages: `?limit=` of them, behind `?cursor=`; `next_cursor` and a Link lead on. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "http/handlers.h"
#include "http/json_in.h"
#include "http/route.h"
#include "http/text.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

void page_take(struct json_in *in, struct query *q, uint32_t *ret_limit, uint64_t *ret_after)
{
	const char *limit = query_get(q, "limit"), *cursor = query_get(q, "cursor");
	*ret_limit = LIMIT_DEFAULT;
	if (limit) {
		size_t digits = strspn(limit, "0123456789");
		unsigned long n = digits <= 4 && !limit[digits] ? strtoul(limit, NULL, 10) : 0;
		*ret_limit = (uint32_t)n;
	}
	if (*ret_limit < 1 || *ret_limit > LIMIT_MAX)
		json_in_parameter_error(in, "limit", "not a number from 1 to 1000");
	if (cursor && !cursor_parse(cursor, ret_after))
		json_in_parameter_error(in, "cursor", "not a cursor that this server has given");
	const char *unknown = query_unused(q);
	if (unknown)
		json_in_parameter_error(in, unknown, "there is no such parameter");
}

/* A name is written so that it stands in a query whatever it holds. */
static void set_link(struct exchange *x, uint64_t last_no, uint32_t limit, const char *name)
{
	struct text t = { 0 };
	text_printf(&t, "<%s?cursor=%" PRIx64 "&limit=%u", x->route->path, last_no, limit);
	text_str(&t, name ? "&name=" : "");
	for (const char *at = name ? name : ""; *at; at++) {
		if (isalnum((unsigned char)*at))
			text_add(&t, at, 1);
		else
			text_printf(&t, "%%%02X", (unsigned char)*at);
	}
	text_add(&t, ">; rel=\"next\"", sizeof ">; rel=\"next\"");
	if (!t.broken)
		exchange_set_header(x, "Link", t.data);
	text_release(&t);
}

void page_reply(struct exchange *x, struct text *t, bool more, uint64_t last_no, uint32_t limit,
		const char *name)
{
	text_str(t, "],\"next_cursor\":");
	if (more) {
		text_printf(t, "\"%" PRIx64 "\"}", last_no);
		set_link(x, last_no, limit, name);
	} else {
		text_str(t, "null}");
	}
	exchange_reply_json(x, 200, t);
}
