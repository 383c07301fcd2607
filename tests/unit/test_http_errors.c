/* Every row of the interface's error columns that the gateway decides, by status and by code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/route.h"
#include "http_rows.h"

static void old_endpoints(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/register_function", "", 422, "" },
		{ "POST", "/register_function", "{", 422, "invalid_request" },
		{ "POST", "/register_function", "[]", 422, "not a JSON object" },
		{ "POST", "/register_function", "null", 422, "not a JSON object" },
		{ "POST", "/register_function", "\"x\"", 422, "not a JSON object" },
		{ "POST", "/register_function", "{}", 422, "/name" },
		{ "POST", "/register_function", "{\"name\":\"f\"}", 422, "/payload" },
		{ "POST", "/register_function", "{" PAY "}", 422, "/name" },
		{ "POST", "/register_function", "{\"name\":1," PAY "}", 422, "/name" },
		{ "POST", "/register_function", "{\"name\":null," PAY "}", 422, "/name" },
		{ "POST", "/register_function", "{\"name\":\"f\",\"payload\":[]}", 422,
		  "/payload" },
		{ "POST", "/register_function", "{\"name\":\"f\",\"payload\":\"\"}", 400,
		  "payload" },
		{ "POST", "/register_function", "{\"name\":\"f\",\"payload\":\"payload\"}", 400,
		  "invalid_payload" },
		{ "POST", "/register_function", "{\"name\":\"f\",\"payload\":\"AAAA\"}", 400,
		  "invalid_payload" },
		{ "POST", "/register_function", "{\"name\":\"f\"," PAY ",\"more\":[1]}", 201,
		  "function_id" },
		{ "POST", "/register_function/", "{\"name\":\"f\"," PAY "}", 201, "function_id" },
		{ "POST", "/execute_function", "7", 422, "not a JSON object" },
		{ "POST", "/execute_function", "{" PAY "}", 422, "/function_id" },
		{ "POST", "/execute_function", "{" FUNC "}", 422, "/payload" },
		{ "POST", "/execute_function", "{\"function_id\":5," PAY "}", 422, "/function_id" },
		{ "POST", "/execute_function", "{" FUNC ",\"payload\":5}", 422, "/payload" },
		{ "POST", "/execute_function", "{\"function_id\":\"f\"," PAY "}", 422, "UUID" },
		{ "POST", "/execute_function", "{\"function_id\":\"\"," PAY "}", 422, "UUID" },
		{ "POST", "/execute_function", "{" FUNC ",\"payload\":\"payload\"}", 400,
		  "invalid_payload" },
		{ "POST", "/execute_function", "{" TASK ",\"priority\":1e9}", 201, "task_id" },
		{ "GET", "/status/1", NULL, 404, "not_found" },
		{ "GET", "/result/1", NULL, 404, "not_found" },
		{ "GET", "/status/", NULL, 404, "not_found" },
		{ "GET", "/result/x/y", NULL, 404, "not_found" },
		{ "GET", "/register_function", NULL, 405, "POST" },
		{ "POST", "/status/" TASK_ID, "{}", 405, "GET, HEAD" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
}

static void what_the_sink_says(void **state)
{
	static const struct {
		int ret;
		struct row row;
	} rows[] = {
		{ FH_ENOTFOUND, { "POST", "/execute_function", "{" TASK "}", 404, "not_found" } },
		/* The function counts before the payload. */
		{ FH_ENOTFOUND,
		  { "POST", "/execute_function", "{" FUNC ",\"payload\":\"\"}", 404,
		    "not_found" } },
		{ FH_EFULL, { "POST", "/execute_function", "{" TASK "}", 503, "queue_full" } },
		{ FH_ENOTFOUND, { "GET", "/status/" UNKNOWN, NULL, 404, "not_found" } },
		{ FH_ENOTFOUND, { "GET", "/result/" UNKNOWN, NULL, 404, "not_found" } },
		{ FH_ENOTFOUND, { "POST", "/v1/tasks", "{" TASK "}", 404, "not_found" } },
		{ FH_EFULL, { "POST", "/v1/tasks", "{" TASK "}", 503, "queue_full" } },
		{ FH_EFULL,
		  { "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "}]}", 503,
		    "queue_full" } },
		{ FH_ENOTFOUND,
		  { "POST", "/v1/tasks:batch",
		    "{" FUNC ",\"group_id\":\"" GROUP_ID "\",\"tasks\":[{" PAY "}]}", 404,
		    "not_found" } },
		{ FH_ENOTFOUND,
		  { "POST", "/v1/tasks:wait", "{\"group_id\":\"" UNKNOWN "\"}", 404,
		    "not_found" } },
		{ FH_ELIMIT,
		  { "POST", "/v1/tasks:wait", "{\"group_id\":\"" UNKNOWN "\"}", 503, "limit" } },
		{ FH_ENOTFOUND, { "GET", "/v1/tasks/" UNKNOWN, NULL, 404, "not_found" } },
		{ FH_ENOTFOUND, { "GET", "/v1/tasks/" UNKNOWN "/result", NULL, 404, "not_found" } },
		{ FH_EGONE, { "GET", "/v1/tasks/" TASK_ID "/result", NULL, 410, "gone" } },
		{ FH_ENOTFOUND, { "GET", "/v1/tasks/" UNKNOWN "/logs", NULL, 404, "not_found" } },
		{ FH_ENOTFOUND, { "DELETE", "/v1/tasks/" UNKNOWN, NULL, 404, "not_found" } },
		{ FH_EFINAL, { "DELETE", "/v1/tasks/" TASK_ID, NULL, 409, "final" } },
		{ FH_EBUSY,
		  { "POST", "/v1/tasks/" TASK_ID ":cancel", "{\"force\":false}", 409, "running" } },
		{ FH_ENOTFOUND, { "GET", "/v1/groups/" UNKNOWN, NULL, 404, "not_found" } },
		{ FH_ENOTFOUND, { "GET", "/v1/functions/nobody", NULL, 404, "not_found" } },
		{ FH_ENOTFOUND, { "GET", "/v1/functions/nobody/payload", NULL, 404, "not_found" } },
		{ FH_ENOMEM, { "GET", "/v1/functions", NULL, 503, "no_memory" } },
		{ FH_ECLOSED, { "POST", "/v1/groups", "{}", 503, "closing" } },
		{ FH_ENOMEM, { "GET", "/v1/stats", NULL, 503, "no_memory" } },
		{ FH_ENOMEM, { "GET", "/v1/workers", NULL, 503, "no_memory" } },
		{ FH_ENOTFOUND, { "GET", "/v1/workers/" WORKER_ID, NULL, 404, "not_found" } },
		{ FH_ENOTFOUND,
		  { "POST", "/v1/workers/" WORKER_ID ":drain", NULL, 404, "not_found" } },
		{ FH_ENOTFOUND,
		  { "POST", "/v1/workers/" WORKER_ID ":resume", NULL, 404, "not_found" } },
		{ FH_ENOTFOUND,
		  { "GET", "/v1/tasks/" UNKNOWN "/explain", NULL, 404, "not_found" } },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		f->ret = rows[i].ret;
		check_rows(f, &rows[i].row, 1);
	}
	/* Where it says when to come back, the answer does too. */
	f->ret = FH_EFULL;
	f->retry_after_s = 7;
	struct response r =
		fixture_request(f, "POST", "/execute_function", JSON_TYPE, "{" TASK "}");
	assert_string_equal(response_header(&r, "Retry-After"), "7");
	assert_non_null(strstr(r.body, "\"retry_after\":7"));
	response_release(&r);
}

static void status_lines_have_their_words(void **state)
{
	static const struct {
		int ret;
		const char *target, *line;
	} rows[] = {
		{ 0, "/v1/stats", "HTTP/1.1 200 OK\r\n" },
		{ 0, "/v1/tasks/" TASK_ID "/result", "HTTP/1.1 202 Accepted\r\n" },
		{ 0, "/nothing", "HTTP/1.1 404 Not Found\r\n" },
		{ FH_EFINAL, "/v1/stats", "HTTP/1.1 409 Conflict\r\n" },
		{ FH_EGONE, "/v1/stats", "HTTP/1.1 410 Gone\r\n" },
		{ FH_ETOOBIG, "/v1/stats", "HTTP/1.1 413 Content Too Large\r\n" },
		{ 0, "/v1/functions?limit=0", "HTTP/1.1 422 Unprocessable Content\r\n" },
		{ FH_EFULL, "/v1/stats", "HTTP/1.1 503 Service Unavailable\r\n" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		f->ret = rows[i].ret;
		struct response r = fixture_request(f, "GET", rows[i].target, "", NULL);
		assert_memory_equal(r.head, rows[i].line, strlen(rows[i].line));
		response_release(&r);
	}
}

static void paths_and_methods(void **state)
{
	static const struct row rows[] = {
		{ "GET", "/nothing", NULL, 404, "not_found" },
		{ "GET", "/v1", NULL, 404, "not_found" },
		{ "GET", "/v1/tasks/", NULL, 404, "not_found" },
		{ "GET", "/v1/tasks/" TASK_ID "/", NULL, 404, "not_found" },
		{ "GET", "/v1/tasks/%ff", NULL, 404, "not_found" },
		{ "GET", "/v1/tasks/%00", NULL, 404, "not_found" },
		{ "GET", "/v1/tasks/%4", NULL, 404, "not_found" },
		{ "GET", "/v1/groups/x", NULL, 404, "not_found" },
		{ "GET", "/v1/tasks/" TASK_ID "/events", NULL, 404, "not_found" }, /* not built */
		{ "GET", "/v1/workers/", NULL, 404, "not_found" },
		{ "GET", "/v1/workers/x", NULL, 404, "not a UUID" },
		{ "POST", "/v1/workers/x:drain", "{}", 404, "not a UUID" },
		{ "POST", "/v1/workers/x:resume", "{}", 404, "not a UUID" },
		{ "POST", "/v1/workers/" WORKER_ID ":stop", "{}", 404,
		  "not_found" }, /* not built */
		{ "GET", "/v1/tasks/x/explain", NULL, 404, "not a UUID" },
		{ "POST", "/v1/tasks/" TASK_ID ":retry", "{}", 404, "not_found" },
		{ "GET", "/openapi.json", NULL, 404, "not_found" },
		{ "DELETE", "/v1/tasks", NULL, 405, "POST" },
		{ "PUT", "/v1/tasks/" TASK_ID, "{}", 405, "GET, HEAD, DELETE" },
		{ "PATCH", "/v1/functions/f", "{}", 405, "GET, HEAD" },
		{ "OPTIONS", "/v1/tasks:batch", NULL, 405, "POST" },
		{ "POST", "/livez", "{}", 405, "GET, HEAD" },
		{ "DELETE", "/v1/functions", NULL, 405, "POST, GET, HEAD" },
		{ "POST", "/v1/workers", "{}", 405, "GET, HEAD" },
		{ "DELETE", "/v1/workers/" WORKER_ID, NULL, 405, "GET, HEAD" },
		{ "GET", "/v1/workers/" WORKER_ID ":drain", NULL, 405, "POST" },
		{ "GET", "/v1/workers/" WORKER_ID ":resume", NULL, 405, "POST" },
		{ "POST", "/v1/tasks/" TASK_ID "/explain", "{}", 405, "GET, HEAD" },
		{ "GET", "/v1/workers?limit=0", NULL, 422, "?limit" },
		{ "GET", "/v1/workers?cursor=x", NULL, 422, "?cursor" },
		{ "GET", "/v1/workers?state=online", NULL, 422, "?state" },
		{ "GET", "/v1/workers?limit=1&limit=1", NULL, 422, "query" },
		{ "GET", "/v1/workers?limit=%zz", NULL, 400, "bad_request" },
		{ "GET", "/v1/functions?limit=0", NULL, 422, "?limit" },
		{ "GET", "/v1/functions?limit=1001", NULL, 422, "?limit" },
		{ "GET", "/v1/functions?limit=+5", NULL, 422, "?limit" },
		{ "GET", "/v1/functions?limit=", NULL, 422, "?limit" },
		{ "GET", "/v1/functions?limit=99999999999999999999", NULL, 422, "?limit" },
		{ "GET", "/v1/functions?cursor=x", NULL, 422, "?cursor" },
		{ "GET", "/v1/functions?cursor=", NULL, 422, "?cursor" },
		{ "GET", "/v1/functions?cursor=8000000000000000", NULL, 422, "?cursor" },
		{ "GET", "/v1/functions?tag=a", NULL, 422, "?tag" },
		{ "GET", "/v1/functions?name=%zz", NULL, 400, "bad_request" },
		{ "GET", "/v1/tasks/" TASK_ID "?wait=x", NULL, 422, "?wait" },
		{ "GET", "/v1/tasks/" TASK_ID "?wait=-1", NULL, 422, "?wait" },
		{ "GET", "/v1/tasks/" TASK_ID "?wait=", NULL, 422, "?wait" },
		{ "GET", "/v1/tasks/" TASK_ID "?wait=0&for=ever", NULL, 422, "?for" },
		{ "GET", "/v1/tasks/" TASK_ID "?color=red", NULL, 422, "?color" },
		{ "GET", "/v1/tasks/" TASK_ID "?wait=0&wait=0", NULL, 422, "query" },
		{ "GET", "/v1/tasks/" TASK_ID "?wait=%zz", NULL, 400, "bad_request" },
		{ "GET", "/v1/tasks/" TASK_ID "/result?for=started", NULL, 422, "?for" },
		{ "GET", "/v1/tasks/" TASK_ID "/logs?stream=both", NULL, 422, "?stream" },
		{ "GET", "/v1/tasks/" TASK_ID "/logs?follow=1", NULL, 422, "?follow" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	struct response r = fixture_request(f, "DELETE", "/v1/tasks", "", NULL);
	assert_string_equal(response_header(&r, "Allow"), "POST");
	response_release(&r);
}

/* What a page in a browser can and cannot send. */
static void web_pages_cannot_run_code(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *host, *more;
		int status;
	} cases[] = {
		{ "127.0.0.1", JSON_TYPE, 201 },
		{ "127.0.0.1:9999", JSON_TYPE, 201 }, /* through a tunnel */
		{ "localhost", JSON_TYPE, 201 },
		{ "LocalHost:80", JSON_TYPE, 201 },
		{ "[::1]:8000", JSON_TYPE, 201 },
		{ "127.9.9.9", JSON_TYPE, 201 },
		{ "evil.example", JSON_TYPE, 403 }, /* a name bent to our address */
		{ "localhost.evil.example", JSON_TYPE, 403 },
		{ "127.0.0.1.evil.example", JSON_TYPE, 403 },
		{ "10.0.0.1", JSON_TYPE, 403 },
		{ "", JSON_TYPE, 403 },
		{ "localhost:x", JSON_TYPE, 403 },
		{ "[::1", JSON_TYPE, 403 },
		{ "[::1]x", JSON_TYPE, 403 },
		{ "user@localhost", JSON_TYPE, 403 },
		{ "localhost:80", JSON_TYPE "Origin: http://localhost:80\r\n", 201 },
		{ "localhost", JSON_TYPE "Origin: http://localhost:3000\r\n", 403 },
		{ "localhost", JSON_TYPE "Origin: http://evil.example\r\n", 403 },
		{ "localhost", JSON_TYPE "Origin: null\r\n", 403 },
		{ "localhost", JSON_TYPE "Origin: \r\n", 403 },
		{ "localhost", JSON_TYPE "Sec-Fetch-Site: cross-site\r\n", 403 },
		{ "localhost", JSON_TYPE "Sec-Fetch-Site: same-site\r\n", 403 },
		{ "localhost", JSON_TYPE "Sec-Fetch-Site: same-origin\r\n", 201 },
		/* what a form or a script may send without asking first */
		{ "localhost", "Content-Type: text/plain\r\n", 415 },
		{ "localhost", "Content-Type: application/x-www-form-urlencoded\r\n", 415 },
		{ "localhost", "Content-Type: multipart/form-data; boundary=x\r\n", 415 },
		{ "localhost", "", 415 },
		{ "localhost", "Content-Type: application/jsonx\r\n", 415 },
		{ "localhost", "Content-Type: text/plain, application/json\r\n", 415 },
		{ "localhost", OCTETS_TYPE, 415 },
		{ "localhost", JSON_TYPE "Content-Encoding: gzip\r\n", 415 },
		{ "localhost", "Content-Type: Application/JSON; charset=utf-8\r\n", 201 },
	};
	static const char body[] = "{" TASK "}";
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct client c;
		client_open(&c, f);
		client_print(&c,
			     "POST /execute_function HTTP/1.1\r\nHost: %s\r\n%s"
			     "Content-Length: %zu\r\n\r\n%s",
			     cases[i].host, cases[i].more, sizeof body - 1, body);
		struct response r = client_read(&c, false);
		if (r.status != cases[i].status)
			fail_msg("%s %s: %d %s", cases[i].host, cases[i].more, r.status, r.body);
		assert_null(response_header(&r, "Access-Control-Allow-Origin"));
		response_release(&r);
		client_close(&c);
	}
}

/* The order of the checks: a request with every fault gets the first one's status. */
static void checks_have_an_order(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	(void)state;
	limits.json_bytes = 60;
	struct fixture *f = fixture_new(&limits);
	static const char large[] =
		"{                                                               }";
	assert_int_equal(fixture_status(f, "POST", "/execute_function", "Origin: http://x\r\n",
					large),
			 413);
	assert_int_equal(fixture_status(f, "POST", "/nothing", "Origin: http://x\r\n", "x"), 403);
	assert_int_equal(fixture_status(f, "POST", "/nothing", "", "x"), 404);
	assert_int_equal(fixture_status(f, "PUT", "/execute_function", "", "x"), 405);
	assert_int_equal(fixture_status(f, "POST", "/execute_function", "", "x"), 415);
	assert_int_equal(fixture_status(f, "POST", "/execute_function", JSON_TYPE, "x"), 422);
	fixture_free(&f);
}

/* What every route that takes a body says of one that is too large, of another type, no JSON, or
 * JSON that is no object: the same everywhere, but the four old routes know no 400 for it. */
static void every_body_is_checked_alike(void **state)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	(void)state;
	limits.json_bytes = 20;
	struct fixture *f = fixture_new(&limits);
	for (size_t i = 0; i < route_count; i++) {
		const struct route *r = &routes[i];
		char target[128], part[] = TASK_ID;
		const char *open = strchr(r->path, '{');
		if (!(r->flags & ROUTE_JSON))
			continue;
		(void)snprintf(target, sizeof target, "%.*s%s%s",
			       open ? (int)(open - r->path) : (int)strlen(r->path), r->path,
			       open ? part : "", open ? strchr(open, '}') + 1 : "");
		const struct row rows[] = {
			{ r->method, target, "{                    }", 413, "too_large" },
			{ r->method, target, "{", r->flags & ROUTE_LEGACY ? 422 : 400,
			  r->flags & ROUTE_LEGACY ? "invalid_request" : "invalid_json" },
			{ r->method, target, "[]", 422, "invalid_request" },
			{ r->method, target, "{\"\":1}", 422, "invalid_request" },
		};
		CHECK(f, rows);
		assert_int_equal(fixture_status(f, r->method, target,
						"Content-Type: text/plain\r\n", "{}"),
				 415);
	}
	assert_int_equal(f->submitted, 0);
	fixture_free(&f);
}

/* Each route, whatever is in its path and body, answers with something that is not 500. */
static void no_route_fails(void **state)
{
	static const char *const bodies[] = { "",     "{}",	      "[]", "{\"ids\":[{}]}",
					      "\xff", "{\"tasks\":5}" };
	struct fixture *f = *state;
	for (size_t i = 0; i < route_count; i++) {
		for (size_t b = 0; b < sizeof bodies / sizeof *bodies; b++) {
			char target[128];
			const char *path = routes[i].path, *part = strchr(path, '{');
			const char *after = part ? strchr(part, '}') + 1 : "";
			(void)snprintf(target, sizeof target, "%.*s%s%s",
				       part ? (int)(part - path) : (int)strlen(path), path,
				       part ? TASK_ID : "", after);
			int status =
				fixture_status(f, routes[i].method, target, JSON_TYPE, bodies[b]);
			if (status == 500 || status < 200)
				fail_msg("%s %s: %d", routes[i].method, target, status);
		}
	}
}

/* The n-th allocation fails, for every n until none does: never more than a 503, nothing leaks. */
static void without_memory_it_is_503(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{" TASK ",\"tags\":{\"a\":\"b\"},\"retry_on\":[\"a.b\"]}",
		  0, "" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "},{" PAY "}]}", 0, "" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"," PAY ",\"description\":\"d\"}", 0,
		  "" },
		{ "POST", "/v1/groups", "{\"name\":\"f\",\"tags\":{\"a\":\"b\"}}", 0, "" },
		{ "POST", "/v1/tasks:wait", "{\"ids\":[\"" TASK_ID "\"],\"wait_s\":1}", 0, "" },
		{ "POST", "/execute_function", "{" TASK "}", 0, "" },
		{ "GET", "/result/" TASK_ID, NULL, 0, "" },
		{ "GET", "/v1/functions/f%20g", NULL, 0, "" },
		{ "GET", "/v1/functions?name=f%20g&limit=1", NULL, 0, "" },
		{ "GET", "/v1/tasks/" TASK_ID "/result?wait=1", NULL, 0, "" },
		{ "GET", "/v1/tasks/" TASK_ID "/explain", NULL, 0, "" },
		{ "GET", "/v1/workers?limit=1", NULL, 0, "" },
		{ "POST", "/v1/workers/" WORKER_ID ":drain", "{}", 0, "" },
	};
	struct fixture *f = *state;
	f->task.state = TASK_FAILED;
	f->task.reason = REASON_TIMEOUT;
	f->function_count = 2;
	f->worker_count = 2;
	blob_free(&f->result.value);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int failed = 0;
		for (unsigned after = 1; after < 200; after++) {
			fh_mem_fail_after(after);
			struct response r = fixture_request(f, rows[i].method, rows[i].target,
							    "Idempotency-Key: k\r\nContent-Type: "
							    "application/json\r\n",
							    rows[i].body);
			fh_mem_fail_after(0);
			f->key[0] = '\0';
			if (r.status >= 500)
				assert_int_equal(r.status, 503);
			failed += r.status == 503 || r.status == 0;
			response_release(&r);
		}
		assert_true(failed > 0);
		assert_true(fixture_status(f, rows[i].method, rows[i].target, JSON_TYPE,
					   rows[i].body) < 300);
	}
}

static int set_up(void **state)
{
	*state = fixture_new(NULL);
	return 0;
}

static int tear_down(void **state)
{
	fixture_free((struct fixture **)state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(old_endpoints, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_sink_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(status_lines_have_their_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(paths_and_methods, set_up, tear_down),
		cmocka_unit_test_setup_teardown(web_pages_cannot_run_code, set_up, tear_down),
		cmocka_unit_test(checks_have_an_order),
		cmocka_unit_test(every_body_is_checked_alike),
		cmocka_unit_test_setup_teardown(no_route_fails, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_memory_it_is_503, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
