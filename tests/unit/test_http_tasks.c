/* Tasks: waiting for them, their results in each form, their logs, their cancellation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "http_json.h"

static void look_at_wait(struct fixture *f, struct call *call)
{
	(void)f;
	if (call->kind == CALL_WAIT) {
		const struct call_wait *c = (struct call_wait *)call;
		assert_int_equal(c->after_seq, 0xfedcba98);
		assert_true(c->all);
		assert_int_equal(c->wait_ms, 1500);
		assert_int_equal(c->want, CALL_WANT_RESULT);
		assert_int_equal(c->limit, 10000);
		assert_int_equal(c->max_bytes, 1000);
	} else {
		const struct call_get_task *c = (struct call_get_task *)call;
		assert_int_equal(c->wait_ms, 60000);
		assert_int_equal(c->wait_for, CALL_FOR_STARTED);
	}
}

static void waiting_for_many(void **state)
{
	struct fixture *f = *state;
	f->task.state = TASK_COMPLETED;
	f->views[0] = (struct call_view){ &f->task, &f->result };
	f->views[1] = (struct call_view){ &f->task, NULL };
	f->view_count = 2;
	f->look = look_at_wait;
	expect_body(
		post(f, "/v1/tasks:wait",
		     "{\"group_id\":\"" GROUP_ID "\",\"since_cursor\":\"fedcba98\","
		     "\"mode\":\"all\",\"wait_s\":1.5,\"include_results\":true,"
		     "\"max_bytes\":1000,\"fields\":[\"id\",\"state\",\"result\",\"error\"]}"),
		200,
		"{\"done\":[{\"id\":\"" TASK_ID "\",\"state\":\"COMPLETED\",\"result\":\"" PICKLE
		"\",\"error\":null},{\"id\":\"" TASK_ID "\",\"state\":\"COMPLETED\","
		"\"result\":null,\"error\":null}],\"pending_count\":7,\"cursor\":\"fedcbaa8\"}");
	f->look = NULL;
	struct response r =
		post(f, "/v1/tasks:wait", "{\"ids\":[\"" TASK_ID "\",\"" TASK_ID "\"]}");
	assert_int_equal(r.status, 200);
	json_t *body = parse(&r);
	assert_string_equal(at(body, "done.0.result"), "absent");
	assert_string_equal(at(body, "done.0.error"), "absent");
	assert_string_equal(at(body, "done.0.links.self"), "/v1/tasks/" TASK_ID);
	json_decref(body);
	response_release(&r);
	f->view_count = 0;
	expect_body(post(f, "/v1/tasks:wait", "{\"ids\":[\"" TASK_ID "\"],\"since_cursor\":\"0\"}"),
		    200, "{\"done\":[],\"pending_count\":7,\"cursor\":\"10\"}");
}

static void one_task(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_wait;
	struct response r = get(f, "/v1/tasks/" TASK_ID "?wait=99&for=started", "");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "state"), "QUEUED");
	assert_string_equal(at(body, "function_name"), "f");
	assert_string_equal(at(body, "timings.queue_s"), "null");
	assert_string_equal(response_header(&r, "ETag"), "W/\"" TASK_ID "-0-QUEUED\"");
	json_decref(body);
	response_release(&r);
	f->look = NULL;
	f->task.state = TASK_COMPLETED;
	r = get(f, "/v1/tasks/" TASK_ID, "If-None-Match: W/\"" TASK_ID "-0-QUEUED\"\r\n");
	assert_int_equal(r.status, 200);
	body = parse(&r);
	assert_string_equal(at(body, "runtime"), "cp311");
	assert_memory_equal(at(body, "timings.run_s"), "5.0", 3); /* millionths, by the result */
	json_decref(body);
	response_release(&r);
	expect_body(get(f, "/v1/tasks/" TASK_ID,
			"If-None-Match: W/\"" TASK_ID "-0-COMPLETED\"\r\n"),
		    304, "");
}

static void results(void **state)
{
	struct fixture *f = *state;
	struct response r = get(f, "/v1/tasks/" TASK_ID "/result?wait=0.01", "");
	assert_int_equal(r.status, 202);
	assert_string_equal(response_header(&r, "Retry-After"), "1");
	assert_string_equal(response_header(&r, "Farhand-State"), "QUEUED");
	assert_string_equal(r.body, "{\"state\":\"QUEUED\",\"reason\":null,\"result\":null,"
				    "\"error\":null}");
	response_release(&r);
	f->task.state = TASK_COMPLETED;
	r = get(f, "/v1/tasks/" TASK_ID "/result", "Accept: text/html, */*\r\n");
	assert_int_equal(r.status, 200);
	assert_string_equal(response_header(&r, "Farhand-Serializer"), "pickle");
	assert_string_equal(r.body, "{\"state\":\"COMPLETED\",\"reason\":null,\"result\":\"" PICKLE
				    "\",\"error\":null}");
	response_release(&r);
	r = get(f, "/v1/tasks/" TASK_ID "/result", "Accept: application/octet-stream;q=1\r\n");
	assert_int_equal(r.status, 200);
	assert_string_equal(response_header(&r, "Farhand-State"), "COMPLETED");
	assert_string_equal(response_header(&r, "Content-Type"), "application/octet-stream");
	assert_int_equal(r.body_len, 20);
	assert_memory_equal(r.body, f->result.value->data, 20);
	response_release(&r);
	expect_body(get(f, "/v1/tasks/" TASK_ID "/result",
			"If-None-Match: \"" TASK_ID "-json\"\r\n"),
		    304, "");
	f->task.state = TASK_FAILED;
	f->task.reason = REASON_EXCEPTION;
	f->result.error_type = fh_strdup("builtins.ValueError");
	f->result.error_message = fh_strdup("bad \xff \"quote\"\n\x01\xc3\xbc");
	expect_body(get(f, "/v1/tasks/" TASK_ID "/result", ""), 200,
		    "{\"state\":\"FAILED\",\"reason\":\"exception\",\"result\":\"" PICKLE
		    "\",\"error\":{\"type\":\"builtins.ValueError\",\"message\":"
		    "\"bad \xef\xbf\xbd \\\"quote\\\"\\n\\u0001\xc3\xbc\",\"traceback\":null,"
		    "\"payload\":\"" PICKLE "\"}}");
}

static void old_results(void **state)
{
	static const struct {
		enum task_state state;
		enum task_reason reason;
		const char *status, *part; /* of the pickle */
	} made[] = {
		{ TASK_CANCELLED, REASON_CANCELLED, "FAILED", "CancelledError" },
		{ TASK_FAILED, REASON_TIMEOUT, "FAILED", "TimeoutError" },
		{ TASK_FAILED, REASON_EXPIRED, "FAILED", "TimeoutError" },
		{ TASK_FAILED, REASON_MEMORY, "FAILED", "MemoryError" },
		{ TASK_FAILED, REASON_CRASH, "FAILED", "RuntimeError" },
	};
	struct fixture *f = *state;
	expect_body(get(f, "/status/" TASK_ID "/", ""), 200,
		    "{\"task_id\":\"" TASK_ID "\",\"status\":\"QUEUED\"}");
	expect_body(get(f, "/result/" TASK_ID, ""), 200,
		    "{\"task_id\":\"" TASK_ID "\",\"status\":\"QUEUED\",\"result\":\"None\"}");
	f->task.state = TASK_RUNNING;
	expect_body(get(f, "/status/" TASK_ID, ""), 200,
		    "{\"task_id\":\"" TASK_ID "\",\"status\":\"RUNNING\"}");
	f->task.state = TASK_COMPLETED;
	expect_body(get(f, "/result/" TASK_ID, ""), 200,
		    "{\"task_id\":\"" TASK_ID "\",\"status\":\"COMPLETED\",\"result\":\"" PICKLE
		    "\\n\"}");
	blob_free(&f->result.value);
	f->result.error_message = fh_strdup("why");
	for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
		uint8_t pickle[256];
		size_t len;
		f->task.state = made[i].state;
		f->task.reason = made[i].reason;
		struct response r = get(f, "/result/" TASK_ID, "");
		json_t *body = parse(&r);
		assert_string_equal(at(body, "status"), made[i].status);
		const char *text = at(body, "result");
		assert_int_equal(text[strlen(text) - 1], '\n');
		assert_int_equal(base64_decode(text, strlen(text), pickle, &len), 0);
		assert_non_null(memmem(pickle, len, made[i].part, strlen(made[i].part)));
		assert_non_null(memmem(pickle, len, "why", 3));
		json_decref(body);
		response_release(&r);
	}
}

static void logs(void **state)
{
	struct fixture *f = *state;
	expect_body(get(f, "/v1/tasks/" TASK_ID "/logs", ""), 200,
		    "{\"state\":\"QUEUED\",\"stdout\":\"\",\"stdout_truncated\":false,"
		    "\"stderr\":\"\",\"stderr_truncated\":false}");
	f->task.state = TASK_COMPLETED;
	f->result.out = blob_copy("a\x00\xff\n", 4);
	f->result.err = blob_copy("oops", 4);
	f->result.err_cut = true;
	expect_body(get(f, "/v1/tasks/" TASK_ID "/logs", ""), 200,
		    "{\"state\":\"COMPLETED\",\"stdout\":\"a\\u0000\xef\xbf\xbd\\n\",\"stdout_"
		    "truncated\":false,"
		    "\"stderr\":\"oops\",\"stderr_truncated\":true}");
	struct response r = get(f, "/v1/tasks/" TASK_ID "/logs?stream=stdout", "");
	assert_string_equal(response_header(&r, "Content-Type"), "text/plain; charset=utf-8");
	assert_string_equal(response_header(&r, "X-Content-Type-Options"), "nosniff");
	assert_string_equal(response_header(&r, "Farhand-State"), "COMPLETED");
	assert_int_equal(r.body_len, 4);
	response_release(&r);
	expect_body(get(f, "/v1/tasks/" TASK_ID "/logs?stream=stderr", ""), 200, "oops");
}

static void look_at_cancel(struct fixture *f, struct call *call)
{
	f->look_at = ((struct call_cancel *)call)->spare_running ? f : NULL;
}

static void cancelling(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_cancel;
	expect_body(fixture_request(f, "DELETE", "/v1/tasks/" TASK_ID, "", NULL), 200,
		    "{\"id\":\"" TASK_ID "\",\"state\":\"CANCELLED\"}");
	assert_null(f->look_at);
	expect_body(post(f, "/v1/tasks/" TASK_ID ":cancel", "{\"force\":false}"), 200,
		    "{\"id\":\"" TASK_ID "\",\"state\":\"CANCELLED\"}");
	assert_non_null(f->look_at);
	f->running = true;
	expect_body(post(f, "/v1/tasks/" TASK_ID ":cancel", ""), 202,
		    "{\"id\":\"" TASK_ID "\",\"state\":\"RUNNING\"}");
	assert_null(f->look_at);
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
		cmocka_unit_test_setup_teardown(waiting_for_many, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_task, set_up, tear_down),
		cmocka_unit_test_setup_teardown(results, set_up, tear_down),
		cmocka_unit_test_setup_teardown(old_results, set_up, tear_down),
		cmocka_unit_test_setup_teardown(logs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(cancelling, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
