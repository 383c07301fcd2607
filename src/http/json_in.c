/* Decides whether a value is what a field takes.
 *
 * Happy path: json_read() -> json_in_object() -> the take() of each member's field.
 * Failure modes: each error is noted with its pointer and reading goes on, so that a client sees
 * all of them at once. */
#include "http/json_in.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/rfc3339.h"

enum { TAGS_MAX = 64, TAG_NAME_MAX = 128, TAG_VALUE_MAX = 1024 };

/* Jansson recurses once a level and has a limit of its own that is far higher than anybody needs;
 * so the levels are counted first. Strings are skipped, anything else malformed is left to it. */
static bool too_deep(const char *text, size_t len)
{
	int depth = 0;
	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '"':
			for (i++; i < len && text[i] != '"'; i++)
				if (text[i] == '\\')
					i++;
			break;
		case '{':
		case '[':
			if (++depth > JSON_DEPTH_MAX)
				return true;
			break;
		case '}':
		case ']':
			depth--;
			break;
		default:
			break;
		}
	}
	return false;
}

int json_read(const char *text, size_t len, json_t **ret_value, struct fh_err *err)
{
	json_error_t error;
	if (too_deep(text, len))
		return fh_err_set(err, FH_ESYNTAX, "nested deeper than %d levels", JSON_DEPTH_MAX);
	const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
	json_t *value = json_loadb(text, len, flags, &error);
	/* An integer beyond 64 bits is no mistake of syntax: read as a real, it is out of the range
	 * of its field, which can so be named. */
	if (!value && json_error_code(&error) == json_error_numeric_overflow)
		value = json_loadb(text, len, flags | JSON_DECODE_INT_AS_REAL, &error);
	if (value) {
		*ret_value = value;
		return 0;
	}
	if (json_error_code(&error) == json_error_out_of_memory)
		return fh_err_set(err, FH_ENOMEM, "no memory to read the body");
	return fh_err_set(err, FH_ESYNTAX, "%s (line %d, column %d)", error.text, error.line,
			  error.column);
}

void json_in_error(struct json_in *in, const char *fmt, ...)
{
	struct field_errors *e = in->errors;
	if (e->count < FIELD_ERRORS_MAX) {
		va_list ap;
		va_start(ap, fmt);
		(void)vsnprintf(e->items[e->count].detail, FIELD_DETAIL_MAX, fmt, ap);
		va_end(ap);
		memcpy(e->items[e->count].pointer, in->path, in->path_len);
		e->items[e->count].pointer[in->path_len] = '\0';
	}
	e->count++;
}

void json_in_parameter_error(struct json_in *in, const char *name, const char *detail)
{
	struct field_errors *e = in->errors;
	json_in_error(in, "%s", detail);
	if (e->count <= FIELD_ERRORS_MAX)
		(void)snprintf(e->items[e->count - 1].pointer, FIELD_POINTER_MAX, "?%s", name);
}

/* A path that does not fit is cut: it is for people. */
static void push(struct json_in *in, const char *text, size_t len)
{
	size_t room = sizeof in->path - 1 - in->path_len;
	if (len > room)
		len = room;
	memcpy(in->path + in->path_len, text, len);
	in->path_len += len;
}

size_t json_in_member(struct json_in *in, const char *name)
{
	size_t before = in->path_len;
	push(in, "/", 1);
	for (; *name; name++) { /* RFC 6901 */
		size_t plain = strcspn(name, "~/");
		push(in, name, plain);
		name += plain;
		if (!*name)
			break;
		push(in, *name == '~' ? "~0" : "~1", 2);
	}
	return before;
}

size_t json_in_element(struct json_in *in, size_t index)
{
	size_t before = in->path_len, at = 20;
	char digits[20];
	do
		digits[--at] = (char)('0' + index % 10);
	while (index /= 10);
	push(in, "/", 1);
	push(in, digits + at, sizeof digits - at);
	return before;
}

void json_in_leave(struct json_in *in, size_t before)
{
	in->path_len = before;
}

static void take_member(struct json_in *in, const char *name, const json_t *value,
			const struct json_field *fields, size_t count, unsigned place, void *target)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].name, name) != 0)
			continue;
		if (!fields[i].take)
			json_in_error(in, "%s is not built yet", name);
		else if (!(fields[i].where & place))
			json_in_error(in, "%s does not belong here", name);
		else
			fields[i].take(in, value, target);
		return;
	}
	json_in_error(in, "there is no such field");
}

void json_in_object(struct json_in *in, const json_t *object, const struct json_field *fields,
		    size_t count, unsigned place, void *target)
{
	const char *name;
	json_t *value;
	if (!json_is_object(object)) {
		json_in_error(in, "not an object");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
	{
		if (json_is_null(value))
			continue;
		size_t before = json_in_member(in, name);
		take_member(in, name, value, fields, count, place, target);
		json_in_leave(in, before);
	}
}

void json_in_missing(struct json_in *in, const char *name)
{
	size_t before = json_in_member(in, name);
	json_in_error(in, "missing");
	json_in_leave(in, before);
}

/* As in JSON Schema, 2.0 is an integer; beyond 2^53 a real does not say which one. */
static bool whole_number(const json_t *value, int64_t *ret_integer)
{
	double real = json_real_value(value);
	if (json_is_integer(value))
		*ret_integer = json_integer_value(value);
	else if (json_is_real(value) && floor(real) == real && fabs(real) <= 0x1p53)
		*ret_integer = (int64_t)real;
	else
		return false;
	return true;
}

bool json_in_integer(struct json_in *in, const json_t *value, int64_t min, int64_t max,
		     int64_t *ret_value)
{
	int64_t integer;
	if (!whole_number(value, &integer) || integer < min || integer > max) {
		json_in_error(in, "not an integer from %lld to %lld", (long long)min,
			      (long long)max);
		return false;
	}
	*ret_value = integer;
	return true;
}

bool json_in_seconds(struct json_in *in, const json_t *value, int64_t min_ms, int64_t max_ms,
		     int64_t *ret_ms)
{
	double ms = json_is_number(value) ? ceil(json_number_value(value) * 1000) : -1;
	if (!(ms >= (double)min_ms && ms <= (double)max_ms)) {
		json_in_error(in, "not a number of seconds from %g to %g", (double)min_ms / 1000,
			      (double)max_ms / 1000);
		return false;
	}
	*ret_ms = (int64_t)ms;
	return true;
}

bool json_in_bool(struct json_in *in, const json_t *value, bool *ret_value)
{
	if (!json_is_boolean(value)) {
		json_in_error(in, "not true or false");
		return false;
	}
	*ret_value = json_is_true(value);
	return true;
}

bool json_in_string(struct json_in *in, const json_t *value, size_t max, const char **ret_text)
{
	const char *text = json_string_value(value);
	if (!text) {
		json_in_error(in, "not a string");
		return false;
	}
	if (json_string_length(value) > max) {
		json_in_error(in, "longer than %zu bytes", max);
		return false;
	}
	for (const char *c = text; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7F) {
			json_in_error(in, "has a control character");
			return false;
		}
	}
	*ret_text = text;
	return true;
}

bool json_in_id(struct json_in *in, const json_t *value, struct fh_id *ret_id)
{
	const char *text = json_string_value(value);
	if (!text || fh_id_parse(text, json_string_length(value), ret_id)) {
		json_in_error(in, "not a UUID");
		return false;
	}
	return true;
}

bool json_in_time(struct json_in *in, const json_t *value, int64_t *ret_ms)
{
	const char *text = json_string_value(value);
	if (!text || rfc3339_parse(text, json_string_length(value), ret_ms)) {
		json_in_error(in, "not a time like 2030-01-31T12:00:00Z");
		return false;
	}
	return true;
}

static bool check_tag(struct json_in *in, const char *name, const json_t *value)
{
	const char *text;
	size_t before = json_in_member(in, name);
	bool ok = json_in_string(in, value, TAG_VALUE_MAX, &text);
	if (ok && (!*name || strlen(name) > TAG_NAME_MAX)) {
		json_in_error(in, "a tag's name has 1 to %d bytes", TAG_NAME_MAX);
		ok = false;
	}
	json_in_leave(in, before);
	return ok;
}

char *json_in_tags(struct json_in *in, const json_t *value)
{
	const char *name;
	json_t *tag;
	bool ok = true;
	if (!json_is_object(value) || json_object_size(value) > TAGS_MAX) {
		json_in_error(in, "not an object of at most %d strings", TAGS_MAX);
		return NULL;
	}
	json_object_foreach((json_t *)(uintptr_t)value, name, tag) ok =
		check_tag(in, name, tag) && ok;
	if (!ok || json_object_size(value) == 0)
		return NULL;
	char *text = json_dumps(value, JSON_COMPACT);
	if (!text)
		json_in_error(in, "no memory for the tags");
	return text;
}
