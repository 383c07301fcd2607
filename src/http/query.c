/* Decides what a query says. Failure modes: see the header; nothing is guessed. */
#include "http/query.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* In place; the new length, or -1. No NUL may come out of it. */
static long decode(char *text, size_t len, bool plus)
{
	char *to = text;
	for (size_t i = 0; i < len; i++, to++) {
		*to = plus && text[i] == '+' ? ' ' : text[i];
		if (text[i] != '%')
			continue;
		int high = i + 2 < len ? hex(text[i + 1]) : -1;
		int low = i + 2 < len ? hex(text[i + 2]) : -1;
		if (high < 0 || low < 0 || high + low == 0)
			return -1;
		*to = (char)(high << 4 | low);
		i += 2;
	}
	size_t out = (size_t)(to - text);
	return utf8_valid_len((const uint8_t *)text, out) == out ? (long)out : -1;
}

static char *copy(const char *text, size_t len)
{
	char *c = fh_malloc(len + 1);
	if (c) {
		memcpy(c, text, len);
		c[len] = '\0';
	}
	return c;
}

char *query_decode(const char *text, size_t len)
{
	char *part = copy(text, len);
	long out = part ? decode(part, len, false) : -1;
	if (out < 0) {
		fh_free(part);
		return NULL;
	}
	part[out] = '\0';
	return part;
}

static int add(struct query *q, char *item, size_t len)
{
	char *equals = memchr(item, '=', len);
	size_t name_len = equals ? (size_t)(equals - item) : len;
	long name_out = decode(item, name_len, true);
	long value_out = equals ? decode(equals + 1, len - name_len - 1, true) : 0;
	if (name_out < 0 || value_out < 0)
		return FH_ESYNTAX;
	item[name_out] = '\0';
	if (equals)
		equals[1 + value_out] = '\0';
	for (size_t i = 0; i < q->count; i++)
		if (strcmp(q->items[i].name, item) == 0)
			return FH_EEXISTS;
	if (q->count == QUERY_MAX)
		return FH_ELIMIT;
	q->items[q->count++] = (struct query_item){ item, equals ? equals + 1 : "", false };
	return 0;
}

int query_init(struct query *q, const char *target)
{
	const char *mark = strchr(target, '?');
	*q = (struct query){ 0 };
	if (!mark || mark[1] == '\0')
		return 0;
	q->text = copy(mark + 1, strlen(mark + 1));
	int ret = q->text ? 0 : FH_ENOMEM;
	for (char *at = q->text; ret == 0 && at;) {
		size_t len = strcspn(at, "&");
		char *next = at[len] ? at + len + 1 : NULL;
		at[len] = '\0';
		if (len)
			ret = add(q, at, len);
		at = next;
	}
	if (ret)
		query_release(q);
	return ret;
}

void query_release(struct query *q)
{
	fh_free(q->text);
	*q = (struct query){ 0 };
}

const char *query_get(struct query *q, const char *name)
{
	for (size_t i = 0; i < q->count; i++) {
		if (strcmp(q->items[i].name, name) == 0) {
			q->items[i].used = true;
			return q->items[i].value;
		}
	}
	return NULL;
}

const char *query_unused(const struct query *q)
{
	for (size_t i = 0; i < q->count; i++)
		if (!q->items[i].used)
			return q->items[i].name;
	return NULL;
}

bool cursor_parse(const char *text, uint64_t *ret_position)
{
	size_t len = strlen(text);
	if (len == 0 || len > 16 || strspn(text, "0123456789abcdef") != len)
		return false;
	uint64_t position = strtoull(text, NULL, 16);
	if (position > INT64_MAX) /* the store counts no further */
		return false;
	*ret_position = position;
	return true;
}
