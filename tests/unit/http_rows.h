/* Requests and what they are answered with, as tables. */
#ifndef FARHAND_TESTS_HTTP_ROWS_H
#define FARHAND_TESTS_HTTP_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http_fixture.h"

#define UNKNOWN "0190c2a6-9999-7222-8333-444455556666"
#define FUNC	"\"function_id\":\"" FUNCTION_ID "\""
#define PAY	"\"payload\":\"" PICKLE "\""
#define TASK	FUNC "," PAY

struct row {
	const char *method, *target, *body;
	int status;
	const char *says; /* somewhere in the answer */
};

static inline void check_rows(struct fixture *f, const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct row *w = &rows[i];
		struct response r =
			fixture_request(f, w->method, w->target, w->body ? JSON_TYPE : "", w->body);
		if (r.status != w->status || !strstr(r.body, w->says))
			fail_msg("%s %s %s: %d %s", w->method, w->target, w->body ? w->body : "",
				 r.status, r.body);
		if (w->status >= 400) {
			assert_string_equal(response_header(&r, "Content-Type"),
					    "application/problem+json");
			assert_non_null(strstr(r.body, "\"detail\":"));
			assert_non_null(strstr(r.body, "\"request_id\":"));
			assert_non_null(strstr(r.body, "\"instance\":"));
		}
		response_release(&r);
	}
}

#define CHECK(f, rows) check_rows(f, rows, sizeof(rows) / sizeof *(rows))

#endif
