/* What bodies must be like: JSON, fields, types, ranges, numbers of things. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http_rows.h"

static void what_is_no_json_object(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{} x", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":1,\"a\":2}", 400, "duplicate" },
		{ "POST", "/v1/tasks", "{\"a\":\"\xff\"}", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":\"\\u0000\"}", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":\"\\ud800\"}", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":NaN}", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":Infinity}", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":1e999}", 400, "invalid_json" },
		{ "POST", "/v1/tasks", "{\"a\":99999999999999999999}", 422, "/a" },
		{ "POST", "/v1/tasks:wait",
		  "{\"group_id\":\"" GROUP_ID "\",\"max_bytes\":-99999999999999999999}", 422,
		  "/max_bytes" },
		{ "POST", "/v1/tasks",
		  "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", 400,
		  "nested deeper" },
		{ "POST", "/v1/tasks", "[]", 422, "not a JSON object" },
		{ "POST", "/v1/tasks", "{}", 422, "/function_id" },
		{ "POST", "/v1/tasks", "{" FUNC "}", 422, "/payload" },
		{ "POST", "/v1/tasks", "{" FUNC ",\"payload\":null}", 422, "/payload" },
		{ "POST", "/v1/tasks", "{\"function_id\":\"f\"," PAY "}", 422, "UUID" },
		{ "POST", "/v1/tasks", "{" FUNC ",\"payload\":\"AAAA\"}", 400, "invalid_payload" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	assert_int_equal(f->submitted, 0);
}

static void fields_have_types_and_ranges(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{" TASK ",\"color\":1}", 422, "/color" },
		{ "POST", "/v1/tasks", "{" TASK ",\"a/b~c\":1}", 422, "/a~1b~0c" },
		{ "POST", "/v1/tasks", "{" TASK ",\"args\":[]}", 422, "args is not built yet" },
		{ "POST", "/v1/tasks", "{" TASK ",\"depends_on\":[]}", 422, "/depends_on" },
		{ "POST", "/v1/tasks", "{" TASK ",\"cache\":true}", 422, "/cache" },
		{ "POST", "/v1/tasks", "{" TASK ",\"callback_url\":\"\"}", 422, "/callback_url" },
		{ "POST", "/v1/tasks", "{" TASK ",\"result\":{}}", 422, "/result" },
		{ "POST", "/v1/tasks", "{" TASK ",\"priority\":101}", 422, "-100 to 100" },
		{ "POST", "/v1/tasks", "{" TASK ",\"priority\":1.5}", 422, "/priority" },
		{ "POST", "/v1/tasks", "{" TASK ",\"priority\":18446744073709551616}", 422,
		  "/priority" },
		/* Only what is wrong is named, although all of it is read as reals. */
		{ "POST", "/v1/tasks", "{" TASK ",\"retries\":7,\"priority\":-9223372036854775809}",
		  422,
		  "\"errors\":[{\"pointer\":\"/priority\",\"detail\":\"not an integer from -100 "
		  "to 100\"}]" },
		{ "POST", "/v1/tasks", "{" TASK ",\"priority\":\"1\"}", 422, "/priority" },
		{ "POST", "/v1/tasks", "{" TASK ",\"retries\":-1}", 422, "/retries" },
		{ "POST", "/v1/tasks", "{" TASK ",\"timeout_s\":0}", 422, "/timeout_s" },
		{ "POST", "/v1/tasks", "{" TASK ",\"timeout_s\":-0.5}", 422, "/timeout_s" },
		{ "POST", "/v1/tasks", "{" TASK ",\"timeout_s\":1e300}", 422, "/timeout_s" },
		{ "POST", "/v1/tasks", "{" TASK ",\"expires_in\":-1}", 422, "/expires_in" },
		{ "POST", "/v1/tasks", "{" TASK ",\"not_before\":\"tomorrow\"}", 422,
		  "/not_before" },
		{ "POST", "/v1/tasks", "{" TASK ",\"not_before\":5}", 422, "/not_before" },
		/* the tests' clock stands at 2027-01-15T08:00:00Z */
		{ "POST", "/v1/tasks", "{" TASK ",\"not_before\":\"2127-01-16T08:00:00.001Z\"}",
		  422, "a hundred years" },
		{ "POST", "/v1/tasks",
		  "{" TASK ",\"not_before\":\"9999-12-31T23:59:60.999-23:59\"}", 422,
		  "a hundred years" },
		{ "POST", "/v1/tasks", "{" TASK ",\"not_before\":\"10000-01-01T00:00:00Z\"}", 422,
		  "/not_before" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	assert_int_equal(f->submitted, 0);
}

static void fields_have_structure(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{" TASK ",\"at_most_once\":1}", 422, "/at_most_once" },
		{ "POST", "/v1/tasks", "{" TASK ",\"group_id\":\"x\"}", 422, "/group_id" },
		{ "POST", "/v1/tasks", "{" TASK ",\"backoff\":1}", 422, "/backoff" },
		{ "POST", "/v1/tasks", "{" TASK ",\"backoff\":{\"factor\":0.5}}", 422,
		  "/backoff/factor" },
		{ "POST", "/v1/tasks", "{" TASK ",\"backoff\":{\"initial_s\":-1}}", 422,
		  "/backoff/initial_s" },
		{ "POST", "/v1/tasks", "{" TASK ",\"backoff\":{\"jitter\":1}}", 422,
		  "/backoff/jitter" },
		{ "POST", "/v1/tasks", "{" TASK ",\"resources\":{\"gpus\":1}}", 422,
		  "gpus is not built yet" },
		{ "POST", "/v1/tasks", "{" TASK ",\"resources\":{\"mem\":0}}", 422,
		  "/resources/mem" },
		{ "POST", "/v1/tasks", "{" TASK ",\"resources\":{\"mem\":\"8G\"}}", 422,
		  "/resources/mem" },
		{ "POST", "/v1/tasks", "{" TASK ",\"tags\":{\"a\":1}}", 422, "/tags/a" },
		{ "POST", "/v1/tasks", "{" TASK ",\"tags\":[]}", 422, "/tags" },
		{ "POST", "/v1/tasks", "{" TASK ",\"tags\":{\"\":\"x\"}}", 422, "/tags/" },
		{ "POST", "/v1/tasks", "{" TASK ",\"retry_on\":\"crash\"}", 422, "/retry_on" },
		{ "POST", "/v1/tasks", "{" TASK ",\"retry_on\":[\"crash\",\"a,b.c\"]}", 422,
		  "/retry_on/1" },
		{ "POST", "/v1/tasks", "{" TASK ",\"retry_on\":[\"OSError\"]}", 422,
		  "/retry_on/0" },
		{ "POST", "/v1/tasks", "{" TASK ",\"retry_on\":[\"a..b\"]}", 422, "/retry_on/0" },
		{ "POST", "/v1/tasks", "{" TASK ",\"retry_on\":[3]}", 422, "/retry_on/0" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	assert_int_equal(f->submitted, 0);
}

static void functions_groups_and_cancels(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/functions", "{" PAY "}", 422, "/name" },
		{ "POST", "/v1/functions", "{\"name\":\"\"," PAY "}", 422, "/name" },
		{ "POST", "/v1/functions", "{\"name\":\"a\\nb\"," PAY "}", 422, "/name" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"}", 422, "/payload" },
		{ "POST", "/v1/functions", "{\"name\":\"f\",\"payload\":\"!\"}", 400,
		  "invalid_payload" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"," PAY ",\"serializer\":\"json\"}", 422,
		  "/serializer" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"," PAY ",\"runtime\":\"3.11\"}", 422,
		  "not a Python like cp311" },
		{ "POST", "/v1/groups", "{\"name\":5}", 422, "/name" },
		{ "POST", "/v1/groups", "{\"max_running\":5}", 422, "not built yet" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"," PAY ",\"max_running\":5}", 422,
		  "max_running is not built yet" },
		{ "DELETE", "/v1/tasks/" TASK_ID, "{\"force\":1}", 422, "/force" },
		{ "POST", "/v1/tasks/" TASK_ID ":cancel", "{\"grace_s\":1}", 422, "not built yet" },
		{ "POST", "/v1/tasks/x:cancel", "{}", 404, "not_found" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	assert_int_equal(f->submitted, 0);
}

static void batches_and_waits(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/tasks:batch", "{}", 422, "/tasks" },
		{ "POST", "/v1/tasks:batch", "{\"tasks\":{}}", 422, "/tasks" },
		{ "POST", "/v1/tasks:batch", "{\"tasks\":[]}", 422, "1 to 10000" },
		{ "POST", "/v1/tasks:batch", "{\"tasks\":[{" PAY "}]}", 422,
		  "/tasks/0/function_id" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "},7]}", 422,
		  "/tasks/1" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{}]}", 422, "/tasks/0/payload" },
		{ "POST", "/v1/tasks:batch",
		  "{" FUNC ",\"tasks\":[{" PAY "},{" PAY ",\"retries\":\"3\"}]}", 422,
		  "/tasks/1/retries" },
		{ "POST", "/v1/tasks:batch",
		  "{" FUNC ",\"tasks\":[{" PAY ",\"group_id\":\"" GROUP_ID "\"}]}", 422,
		  "does not belong here" },
		{ "POST", "/v1/tasks:batch",
		  "{" FUNC ",\"defaults\":{\"priority\":999},\"tasks\":[{" PAY "}]}", 422,
		  "/defaults/priority" },
		{ "POST", "/v1/tasks:batch",
		  "{" FUNC ",\"defaults\":{" PAY "},\"tasks\":[{" PAY "}]}", 422,
		  "/defaults/payload" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"defaults\":3,\"tasks\":[{" PAY "}]}", 422,
		  "/defaults" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"x\":3,\"tasks\":[{" PAY "}]}", 422,
		  "/x" },
		/* Nothing that could be accepted: nobody is asked. */
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{\"payload\":\"\"}]}", 200,
		  "{\"group_id\":null,\"tasks\":[{\"problem\":{" },
		{ "POST", "/v1/tasks:wait", "{", 400, "invalid_json" },
		{ "POST", "/v1/tasks:wait", "{}", 422, "exactly one" },
		{ "POST", "/v1/tasks:wait",
		  "{\"group_id\":\"" GROUP_ID "\",\"ids\":[\"" TASK_ID "\"]}", 422, "exactly one" },
		{ "POST", "/v1/tasks:wait", "{\"ids\":[]}", 422, "/ids" },
		{ "POST", "/v1/tasks:wait", "{\"ids\":[\"x\"]}", 422, "/ids/0" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"mode\":\"some\"}",
		  422, "/mode" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"wait_s\":61}", 422,
		  "/wait_s" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"wait_s\":-1}", 422,
		  "/wait_s" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"since_cursor\":5}",
		  422, "/since_cursor" },
		{ "POST", "/v1/tasks:wait",
		  "{\"group_id\":\"" GROUP_ID "\",\"since_cursor\":\"-1\"}", 422, "/since_cursor" },
		{ "POST", "/v1/tasks:wait",
		  "{\"group_id\":\"" GROUP_ID "\",\"since_cursor\":\"8000000000000000\"}", 422,
		  "/since_cursor" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"max_bytes\":0}", 422,
		  "/max_bytes" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"fields\":[\"x\"]}",
		  422, "/fields/0" },
		{ "POST", "/v1/tasks:wait", "{\"group_id\":\"" GROUP_ID "\",\"include_results\":1}",
		  422, "/include_results" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	assert_int_equal(f->submitted, 0);
}

static void errors_are_collected_and_bounded(void **state)
{
	struct fixture *f = *state;
	char body[4096] = "{" FUNC ",\"tasks\":[";
	size_t len = strlen(body);
	for (int i = 0; i < 40; i++)
		len += (size_t)snprintf(body + len, sizeof body - len, "%s{\"payload\":1}",
					i ? "," : "");
	(void)snprintf(body + len, sizeof body - len, "]}");
	struct response r = fixture_request(f, "POST", "/v1/tasks:batch", JSON_TYPE, body);
	assert_int_equal(r.status, 422);
	assert_non_null(strstr(r.body, "/tasks/15/payload"));
	assert_null(strstr(r.body, "/tasks/16/payload"));
	response_release(&r);
}

static void too_many_tasks_are_refused(void **state)
{
	struct fixture *f = *state;
	enum { TASKS = 10001 };
	size_t room = TASKS * 3 + 64;
	char *body = fh_malloc(room);
	size_t len = (size_t)snprintf(body, room, "{\"tasks\":[");
	for (int i = 0; i < TASKS; i++)
		len += (size_t)snprintf(body + len, room - len, i ? ",{}" : "{}");
	(void)snprintf(body + len, room - len, "]}");
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks:batch", JSON_TYPE, body), 422);
	fh_free(body);
}

static void large_payloads_are_refused(void **state)
{
	(void)state;
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	limits.payload_bytes = 19;
	struct fixture *f = fixture_new(&limits);
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{" TASK "}", 413, "too_large" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"," PAY "}", 413, "too_large" },
		{ "POST", "/execute_function", "{" TASK "}", 413, "too_large" },
		{ "POST", "/register_function", "{\"name\":\"f\"," PAY "}", 413, "too_large" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "}]}", 200, "too_large" },
	};
	CHECK(f, rows);
	fixture_free(&f);
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
		cmocka_unit_test_setup_teardown(what_is_no_json_object, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fields_have_types_and_ranges, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fields_have_structure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(functions_groups_and_cancels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(batches_and_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(errors_are_collected_and_bounded, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(too_many_tasks_are_refused, set_up, tear_down),
		cmocka_unit_test(large_payloads_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
