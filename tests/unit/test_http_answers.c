/* src/http/conn.c, exchange.c: how much of answers is in memory while clients do not read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/server.h"
#include "http_json.h"

enum {
	VALUE = 8 << 20, /* more than sockets hold */
	READERS = 12,
	ROOM = 3 * 12 << 20, /* for three as JSON, not for four */
};

#define RESULT "/v1/tasks/" TASK_ID "/result"

/* A fixture whose task has a large result. */
static struct fixture *fixture_large(size_t unsent_bytes)
{
	struct http_limits limits = HTTP_LIMITS_DEFAULT;
	limits.unsent_bytes = unsent_bytes;
	struct fixture *f = fixture_new(&limits);
	f->task.state = TASK_COMPLETED;
	blob_free(&f->result.value);
	f->result.value = blob_new(VALUE);
	memset(f->result.value->data, 'x', VALUE);
	return f;
}

static void ask(struct client *c, struct fixture *f, const char *target)
{
	uint32_t before = f->answered;
	client_open(c, f);
	client_print(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
	fixture_until(f, f->answered == before + 1);
}

static void expect_later(struct client *c)
{
	struct response r = client_read(c, false);
	assert_int_equal(r.status, 503);
	assert_string_equal(response_header(&r, "Retry-After"), "1");
	assert_non_null(strstr(r.body, "\"code\":\"busy\""));
	response_release(&r);
}

static void expect_large(struct client *c, size_t len)
{
	struct response r = client_read(c, false);
	assert_int_equal(r.status, 200);
	assert_true(r.body_len >= len);
	response_release(&r);
}

static void clients_that_do_not_read_have_a_bound(void **state)
{
	struct fixture *f = fixture_large(ROOM);
	struct client c[READERS], late;
	(void)state;
	for (int i = 0; i < READERS; i++)
		ask(&c[i], f, RESULT);
	assert_true(f->server->pool.unsent <= ROOM);
	for (int i = 3; i < READERS; i++)
		expect_later(&c[i]);
	/* What is small goes all the same. */
	assert_int_equal(fixture_status(f, "GET", "/v1/stats", "", NULL), 200);
	assert_int_equal(fixture_status(f, "GET", "/v1/tasks/" TASK_ID, "", NULL), 200);
	/* One is read, one client leaves: there is room for two. */
	expect_large(&c[0], VALUE / 3 * 4);
	client_close(&c[1]);
	fixture_until(f, f->server->pool.unsent <= ROOM / 3);
	for (int i = 3; i < 6; i++) {
		client_print(&c[i], "GET " RESULT " HTTP/1.1\r\nHost: localhost\r\n\r\n");
		fixture_until(f, f->answered == (uint32_t)(READERS + 2 + i - 2));
	}
	expect_later(&c[5]);
	for (int i = 2; i < 5; i++)
		expect_large(&c[i], VALUE / 3 * 4);
	fixture_until(f, f->server->pool.unsent == 0);
	ask(&late, f, RESULT);
	expect_large(&late, VALUE / 3 * 4);
	client_close(&late);
	for (int i = 0; i < READERS; i++)
		client_close(&c[i]);
	fixture_free(&f);
}

static void what_is_larger_than_the_bound_goes_alone(void **state)
{
	struct fixture *f = fixture_large(1 << 20);
	struct client first, second;
	(void)state;
	ask(&first, f, RESULT);
	assert_true(f->server->pool.unsent > 1 << 20);
	ask(&second, f, RESULT);
	expect_later(&second);
	client_close(&first);
	fixture_until(f, f->server->pool.unsent == 0);
	client_print(&second, "GET " RESULT " HTTP/1.1\r\nHost: localhost\r\n\r\n");
	expect_large(&second, VALUE / 3 * 4);
	client_close(&second);
	fixture_free(&f);
}

/* Every route that can be asked again for something large asks first whether there is room. */
static void every_large_answer_is_counted(void **state)
{
	static const struct {
		const char *method, *target, *headers, *body;
	} routes[] = {
		{ "GET", RESULT, "", NULL },
		{ "GET", RESULT, "Accept: application/octet-stream\r\n", NULL },
		{ "GET", "/result/" TASK_ID, "", NULL },
		{ "GET", "/v1/tasks/" TASK_ID "/logs", "", NULL },
		{ "GET", "/v1/tasks/" TASK_ID "/logs?stream=stdout", "", NULL },
		{ "GET", "/v1/functions/f/payload", "", NULL },
		{ "POST", "/v1/tasks:wait", JSON_TYPE,
		  "{\"group_id\":\"" GROUP_ID "\",\"include_results\":true}" },
	};
	struct fixture *f = fixture_large(1 << 20);
	struct client slow;
	(void)state;
	f->result.out = blob_ref(f->result.value);
	blob_free(&f->function.payload);
	f->function.payload = blob_ref(f->result.value);
	f->function.payload_size = VALUE;
	f->views[0] = (struct call_view){ &f->task, &f->result };
	f->view_count = 1;
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
		assert_int_equal(fixture_status(f, routes[i].method, routes[i].target,
						routes[i].headers, routes[i].body),
				 200);
	ask(&slow, f, RESULT);
	for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
		int status = fixture_status(f, routes[i].method, routes[i].target,
					    routes[i].headers, routes[i].body);
		if (status != 503)
			fail_msg("%s: %d", routes[i].target, status);
	}
	client_close(&slow);
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_that_do_not_read_have_a_bound),
		cmocka_unit_test(what_is_larger_than_the_bound_goes_alone),
		cmocka_unit_test(every_large_answer_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
