/* src/http/conn_input: bodies that are exact, too large, chunked, asked for, or too many at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/server.h"
#include "http_fixture.h"

#define HOST  "Host: localhost\r\n"
#define LIVE  "GET /livez HTTP/1.1\r\n" HOST "\r\n"
#define PARK  "GET /v1/tasks/" TASK_ID "?wait=30 HTTP/1.1\r\n" HOST "\r\n"
#define GROUP "POST /v1/groups HTTP/1.1\r\n" HOST JSON_TYPE

static const struct http_limits defaults = HTTP_LIMITS_DEFAULT;

static void expect(struct client *c, int status)
{
	struct response r = client_read(c, false);
	assert_int_equal(r.status, status);
	response_release(&r);
}

static void expect_closed(struct client *c)
{
	expect(c, 0);
	client_close(c);
}

static char *filled(size_t len)
{
	char *body = fh_malloc(len);
	memset(body, ' ', len);
	memcpy(body, "{}", 2);
	return body;
}

static void limits_of_bodies_are_exact(void **state)
{
	struct http_limits limits = defaults;
	(void)state;
	limits.json_bytes = 100000;
	limits.body_bytes = 200000;
	struct fixture *f = fixture_new(&limits);
	char *body = filled(200001);
	static const struct {
		const char *target, *type;
		size_t len;
		int status;
	} cases[] = {
		{ "/v1/groups", JSON_TYPE, 100000, 201 },
		{ "/v1/groups", JSON_TYPE, 100001, 413 },
		{ "/v1/tasks?function_id=" FUNCTION_ID, OCTETS_TYPE, 200000, 400 },
		{ "/v1/tasks?function_id=" FUNCTION_ID, OCTETS_TYPE, 200001, 413 },
		{ "/nothing", "", 100001, 413 },
		{ "/nothing", "", 100000, 404 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct client c;
		client_open(&c, f);
		/* The connection goes on behind the body, whether it was taken or not. */
		for (int again = 0; again < 2; again++) {
			client_print(&c,
				     "POST %s HTTP/1.1\r\n" HOST "%sContent-Length: %zu\r\n\r\n",
				     cases[i].target, cases[i].type, cases[i].len);
			client_send(&c, body, cases[i].len);
			expect(&c, cases[i].status);
		}
		client_print(&c, LIVE);
		expect(&c, 200);
		client_close(&c);
	}
	fh_free(body);
	fixture_free(&f);
}

static void an_answer_comes_before_a_body_that_is_too_large(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	(void)state;
	client_open(&c, f);
	client_print(&c, GROUP "Content-Length: %zu\r\n\r\n", defaults.json_bytes + 1);
	expect(&c, 413);
	client_close(&c);
	client_open(&c, f); /* nobody waits for a body of an exabyte */
	client_print(&c, GROUP "Content-Length: 1000000000000000000\r\n\r\n{");
	expect(&c, 413);
	expect_closed(&c);
	assert_int_equal(f->submitted, 0);
	fixture_free(&f);
}

static void send_chunks(struct client *c, const char *body, size_t len, size_t chunk)
{
	for (size_t at = 0; at < len; at += chunk) {
		size_t n = len - at < chunk ? len - at : chunk;
		client_print(c, "%zX\r\n", n);
		client_send(c, body + at, n);
		client_print(c, "\r\n");
	}
	client_print(c, "0\r\n\r\n");
}

static void chunked_bodies_are_taken(void **state)
{
	struct http_limits limits = defaults;
	struct client c;
	(void)state;
	limits.json_bytes = 100000;
	struct fixture *f = fixture_new(&limits);
	char *body = filled(100001);
	client_open(&c, f);
	for (size_t chunk = 1; chunk <= 100000; chunk = chunk * 7 + 3) {
		size_t len = chunk < 100 ? 1000 : 100000;
		client_print(&c, GROUP "Transfer-Encoding: Chunked\r\n\r\n");
		send_chunks(&c, body, len, chunk);
		expect(&c, 201);
	}
	/* One byte too many is refused at its chunk, the rest thrown away. */
	client_print(&c, GROUP "Transfer-Encoding: chunked\r\n\r\n");
	send_chunks(&c, body, 100001, 1000);
	expect(&c, 413);
	client_print(&c, LIVE);
	expect(&c, 200);
	/* An endless one is not followed. */
	client_print(&c, GROUP "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n");
	expect(&c, 413);
	expect_closed(&c);
	assert_int_equal(f->server->pool.reserved, 0);
	fh_free(body);
	fixture_free(&f);
}

static void a_body_may_be_asked_for(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	(void)state;
	client_open(&c, f);
	client_print(&c, GROUP "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	expect(&c, 100);
	client_print(&c, "{}");
	expect(&c, 201);
	/* What would be refused is not asked for. */
	client_print(&c, GROUP "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
	expect(&c, 413);
	client_close(&c);
	fixture_free(&f);
}

/* Room for two bodies of 600 bytes is not there: the second is not read before the first is whole,
 * or has gone. */
static void unfinished_bodies_have_a_bound(void **state)
{
	struct http_limits limits = defaults;
	struct client a, b, small;
	(void)state;
	limits.unfinished_bytes = 1000;
	for (int leaves = 0; leaves < 2; leaves++) {
		struct fixture *f = fixture_new(&limits);
		char *body = filled(600);
		client_open(&a, f);
		client_print(&a, GROUP "Content-Length: 600\r\n\r\n{}");
		fixture_until(f, f->server->pool.reserved == 600);
		client_open(&b, f);
		client_print(&b, GROUP "Content-Length: 600\r\n\r\n");
		fixture_until(f, !list_empty(&f->server->pool.starving));
		client_send(&b, body, 600);
		/* A body that is here with its head needs no room. */
		client_open(&small, f);
		client_print(&small, GROUP "Content-Length: 2\r\n\r\n{}");
		expect(&small, 201);
		assert_int_equal(f->server->pool.reserved, 600);
		assert_int_equal(b.len, 0);
		if (leaves) {
			client_close(&a);
		} else {
			client_send(&a, body + 2, 598);
			expect(&a, 201);
			client_close(&a);
		}
		expect(&b, 201);
		client_print(&b, LIVE);
		expect(&b, 200);
		assert_int_equal(f->server->pool.reserved, 0);
		client_close(&b);
		client_close(&small);
		fh_free(body);
		fixture_free(&f);
	}
}

/* A body that is whole takes its room until it is answered: it is on its way to the disk. */
static void room_is_kept_until_the_answer(void **state)
{
	struct http_limits limits = defaults;
	struct client a, b;
	(void)state;
	limits.unfinished_bytes = 1000;
	struct fixture *f = fixture_new(&limits);
	char *body = filled(600);
	f->hold = true;
	client_open(&a, f);
	client_print(&a, GROUP "Content-Length: 600\r\n\r\n{}");
	fixture_until(f, f->server->pool.reserved == 600);
	client_open(&b, f);
	client_print(&b, GROUP "Content-Length: 600\r\n\r\n{}");
	fixture_until(f, !list_empty(&f->server->pool.starving));
	client_send(&a, body + 2, 598);
	fixture_until(f, f->submitted == 1);
	assert_int_equal(f->server->pool.reserved, 600);
	assert_false(list_empty(&f->server->pool.starving));
	fixture_answer(f);
	expect(&a, 201);
	fixture_until(f, list_empty(&f->server->pool.starving));
	client_send(&b, body + 2, 598);
	fixture_until(f, f->submitted == 2);
	fixture_answer(f);
	expect(&b, 201);
	client_close(&a);
	client_close(&b);
	fh_free(body);
	fixture_free(&f);
}

/* The one that waits for room stands behind a parked request of its own: there it must not be woken
 * when room comes. */
static void room_may_come_while_parked(void **state)
{
	struct http_limits limits = defaults;
	struct client a, b;
	(void)state;
	limits.unfinished_bytes = 1000;
	struct fixture *f = fixture_new(&limits);
	char *body = filled(600);
	f->hold = true;
	client_open(&a, f);
	client_print(&a, GROUP "Content-Length: 600\r\n\r\n{}");
	fixture_until(f, f->server->pool.reserved == 600);
	client_open(&b, f);
	client_print(&b, PARK GROUP "Content-Length: 600\r\n\r\n{}");
	fixture_until(f, f->submitted == 1 && !list_empty(&f->server->pool.starving));
	client_close(&a);
	fixture_until(f, list_empty(&f->server->pool.starving));
	client_send(&b, body + 2, 598);
	fixture_answer(f);
	expect(&b, 200);
	fixture_until(f, f->submitted == 2);
	fixture_answer(f);
	expect(&b, 201);
	client_close(&b);
	fh_free(body);
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_of_bodies_are_exact),
		cmocka_unit_test(an_answer_comes_before_a_body_that_is_too_large),
		cmocka_unit_test(chunked_bodies_are_taken),
		cmocka_unit_test(a_body_may_be_asked_for),
		cmocka_unit_test(unfinished_bodies_have_a_bound),
		cmocka_unit_test(room_is_kept_until_the_answer),
		cmocka_unit_test(room_may_come_while_parked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
