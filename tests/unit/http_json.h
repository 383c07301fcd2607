/* Requests and the JSON of their answers. */
#ifndef FARHAND_TESTS_HTTP_JSON_H
#define FARHAND_TESTS_HTTP_JSON_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "http_rows.h"

static inline json_t *parse(const struct response *r)
{
	json_t *value = json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(value);
	return value;
}

/* The member at a path like "tasks.1.id", as text; static memory. */
static inline const char *at(const json_t *value, const char *path)
{
	static char text[256];
	while (*path) {
		char name[64];
		size_t len = strcspn(path, ".");
		(void)snprintf(name, sizeof name, "%.*s", (int)len, path);
		value = json_is_array(value) ? json_array_get(value, (size_t)(*name - '0'))
					     : json_object_get(value, name);
		path += len + (path[len] == '.');
	}
	if (json_is_string(value))
		return json_string_value(value);
	char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	(void)snprintf(text, sizeof text, "%s", dumped ? dumped : "absent");
	fh_free(dumped);
	return text;
}

static inline struct response get(struct fixture *f, const char *target, const char *headers)
{
	return fixture_request(f, "GET", target, headers, NULL);
}

static inline struct response post(struct fixture *f, const char *target, const char *body)
{
	return fixture_request(f, "POST", target, JSON_TYPE, body);
}

static inline void expect_body(struct response r, int status, const char *body)
{
	assert_int_equal(r.status, status);
	assert_string_equal(r.body, body);
	response_release(&r);
}

#endif
