/* Decides how values look in JSON. */
#include "http/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "http/rfc3339.h"

enum { ROOM_MIN = 512 };

void text_release(struct text *t)
{
	fh_free(t->data);
	*t = (struct text){ 0 };
}

char *text_reserve(struct text *t, size_t more)
{
	if (t->broken)
		return NULL;
	if (more <= t->room - t->len)
		return t->data + t->len;
	size_t room = t->room < ROOM_MIN ? ROOM_MIN : t->room;
	while (room - t->len < more && room <= SIZE_MAX / 2)
		room *= 2;
	char *data = room - t->len < more ? NULL : fh_realloc(t->data, room);
	if (!data) {
		t->broken = true;
		return NULL;
	}
	t->data = data;
	t->room = room;
	return t->data + t->len;
}

void text_add(struct text *t, const char *s, size_t len)
{
	char *to = text_reserve(t, len);
	if (!to || !len)
		return;
	memcpy(to, s, len);
	t->len += len;
}

void text_str(struct text *t, const char *s)
{
	text_add(t, s, strlen(s));
}

void text_printf(struct text *t, const char *fmt, ...)
{
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof line)
		t->broken = true;
	else
		text_add(t, line, (size_t)len);
}

void text_u64(struct text *t, uint64_t value)
{
	char digits[20];
	size_t at = sizeof digits;
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	text_add(t, digits + at, sizeof digits - at);
}

/* How many bytes from the start need no change. */
static size_t plain_len(const uint8_t *s, size_t len)
{
	size_t i = 0;
	while (i < len && s[i] >= ' ' && s[i] < 0x7F && s[i] != '"' && s[i] != '\\')
		i++;
	return i;
}

/* The longest form of one byte is \u0000. */
static size_t escape(const uint8_t *s, size_t len, char *to, size_t *ret_taken)
{
	static const char hex[] = "0123456789abcdef";
	static const char named[] = "\"\"\\\\\nn\rr\tt\bb\ff";
	*ret_taken = 1;
	for (const char *n = named; *n; n += 2) {
		if (*s == (uint8_t)*n) {
			to[0] = '\\';
			to[1] = n[1];
			return 2;
		}
	}
	if (*s < ' ' || *s == 0x7F) {
		memcpy(to, "\\u00", 4);
		to[4] = hex[*s >> 4];
		to[5] = hex[*s & 15];
		return 6;
	}
	size_t n = utf8_char_len(s, len);
	if (n == 0) {
		memcpy(to, "\xEF\xBF\xBD", 3);
		return 3;
	}
	memcpy(to, s, n);
	*ret_taken = n;
	return n;
}

void text_json(struct text *t, const char *s, size_t len)
{
	const uint8_t *at = (const uint8_t *)s;
	text_add(t, "\"", 1);
	while (len) {
		size_t n = plain_len(at, len);
		if (n) {
			text_add(t, (const char *)at, n);
		} else {
			char *to = text_reserve(t, 6);
			if (!to)
				return;
			t->len += escape(at, len, to, &n);
		}
		at += n;
		len -= n;
	}
	text_add(t, "\"", 1);
}

void text_json_str(struct text *t, const char *s)
{
	if (s)
		text_json(t, s, strlen(s));
	else
		text_add(t, "null", 4);
}

void text_json_id(struct text *t, struct fh_id id)
{
	char *to = fh_id_is_zero(id) ? NULL : text_reserve(t, FH_ID_TEXT + 1);
	if (to) {
		*to = '"';
		fh_id_format(id, to + 1);
		to[FH_ID_TEXT] = '"';
		t->len += FH_ID_TEXT + 1;
	} else {
		text_add(t, "null", 4);
	}
}

void text_json_time(struct text *t, int64_t ms)
{
	char *to = ms > 0 ? text_reserve(t, RFC3339_TEXT + 1) : NULL;
	if (to) {
		*to = '"';
		rfc3339_format(ms, to + 1);
		to[RFC3339_TEXT] = '"';
		t->len += RFC3339_TEXT + 1;
	} else {
		text_add(t, "null", 4);
	}
}

void text_json_base64(struct text *t, const struct blob *b)
{
	if (!b) {
		text_add(t, "null", 4);
		return;
	}
	size_t len = base64_encoded_len(b->len);
	char *to = text_reserve(t, len + 2);
	if (!to)
		return;
	*to = '"';
	base64_encode(b->data, b->len, to + 1);
	to[len + 1] = '"';
	t->len += len + 2;
}
