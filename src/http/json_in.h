/* Reading JSON bodies strictly: one pass over an object's members by a table of fields, with all
 * that is wrong collected under its JSON pointer. */
#ifndef FARHAND_HTTP_JSON_IN_H
#define FARHAND_HTTP_JSON_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/id.h"
#include "http/problem.h"

enum { JSON_DEPTH_MAX = 32 };

/* Parses UTF-8 text of any JSON value: no duplicate members, no NUL in strings, at most
 * JSON_DEPTH_MAX deep. FH_ESYNTAX with the place in `err`; FH_ENOMEM. */
int json_read(const char *text, size_t len, json_t **ret_value, struct fh_err *err) FH_MUST_USE;

/* Where in a body the reader is, and what it has found wrong. */
struct json_in {
	struct field_errors *errors;
	char path[FIELD_POINTER_MAX]; /* JSON pointer of the current value; not terminated */
	size_t path_len;
};

struct json_field {
	const char *name;
	/* Called with the path at the value. NULL: the field is known but not built yet. */
	void (*take)(struct json_in *in, const json_t *value, void *target);
	unsigned where; /* mask of the places that take it */
};

/* Notes an error at the current path. */
void json_in_error(struct json_in *in, const char *fmt, ...) FH_PRINTF(2, 3);

/* Notes an error of a parameter of the query; its pointer is `?name`. */
void json_in_parameter_error(struct json_in *in, const char *name, const char *detail);

/* Steps into a member or an element; the value to give to json_in_leave(). */
size_t json_in_member(struct json_in *in, const char *name);
size_t json_in_element(struct json_in *in, size_t index);
void json_in_leave(struct json_in *in, size_t before);

/* Takes every member of `object` by the table; null stands for an absent member. Unknown members,
 * and those whose `where` does not have `place`, are errors. */
void json_in_object(struct json_in *in, const json_t *object, const struct json_field *fields,
		    size_t count, unsigned place, void *target);

/* Notes that a member is missing. */
void json_in_missing(struct json_in *in, const char *name);

/* Values with a range; false: wrong type or outside, noted. */
bool json_in_integer(struct json_in *in, const json_t *value, int64_t min, int64_t max,
		     int64_t *ret_value);
/* A number of seconds, with a fraction if it has one, as milliseconds rounded up. */
bool json_in_seconds(struct json_in *in, const json_t *value, int64_t min_ms, int64_t max_ms,
		     int64_t *ret_ms);
bool json_in_bool(struct json_in *in, const json_t *value, bool *ret_value);
/* A string of at most `max` bytes, without control characters. Borrowed from the value. */
bool json_in_string(struct json_in *in, const json_t *value, size_t max, const char **ret_text);
bool json_in_id(struct json_in *in, const json_t *value, struct fh_id *ret_id);
bool json_in_time(struct json_in *in, const json_t *value, int64_t *ret_ms);

/* An object of strings, as JSON text that the caller frees; NULL with an error noted, or when it is
 * empty. */
char *json_in_tags(struct json_in *in, const json_t *value);

#endif
