/* src/http/conn*: pipelining, parked requests, bodies that are large, slow or many, and clients
 * that leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* A program that has its answer may send on at once; evhttp ends the process if it is told to read
 * while a request is in work. */
static void a_request_behind_a_parked_one_is_served_after_it(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	(void)state;
	f->hold = true;
	client_open(&c, f);
	client_print(&c, PARK LIVE); /* in one piece */
	fixture_until(f, f->submitted == 1);
	client_print(&c, LIVE); /* and while it is parked */
	client_print(&c, PARK);
	struct client other; /* a whole request and answer of somebody else meanwhile */
	client_open(&other, f);
	client_print(&other, LIVE);
	expect(&other, 200);
	client_close(&other);
	assert_int_equal(c.len, 0);
	fixture_answer(f);
	struct response r = client_read(&c, false);
	assert_non_null(strstr(r.body, TASK_ID));
	response_release(&r);
	expect(&c, 200);
	expect(&c, 200);
	fixture_until(f, f->submitted == 2);
	assert_int_equal(f->server->parked, 1);
	fixture_answer(f);
	r = client_read(&c, false);
	assert_non_null(strstr(r.body, TASK_ID));
	response_release(&r);
	client_close(&c);
	fixture_free(&f);
}

static void many_pipelined_requests_are_answered_in_order(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	char ids[16];
	(void)state;
	client_open(&c, f);
	for (int i = 0; i < 500; i++)
		client_print(&c, "GET /v1/stats HTTP/1.1\r\n" HOST "X-Request-Id: r%d\r\n\r\n", i);
	for (int i = 0; i < 500; i++) {
		struct response r = client_read(&c, false);
		(void)snprintf(ids, sizeof ids, "r%d", i);
		assert_string_equal(response_header(&r, "X-Request-Id"), ids);
		response_release(&r);
	}
	client_close(&c);
	fixture_free(&f);
}

static void a_client_that_leaves_while_parked_is_noticed(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	(void)state;
	f->hold = true;
	client_open(&c, f);
	client_print(&c, PARK);
	fixture_until(f, f->submitted == 1);
	assert_int_equal(http_server_open_requests(f->server), 1);
	client_close(&c);
	fixture_until(f, f->abandoned == 1);
	assert_int_equal(f->server->parked, 0);
	assert_int_equal(f->server->pool.count, 0);
	assert_int_equal(http_server_open_requests(f->server), 0);
	/* One whose call is not a waiting one ends when its call does. */
	client_open(&c, f);
	client_print(&c, GROUP "Content-Length: 2\r\n\r\n{}");
	fixture_until(f, f->submitted == 2);
	client_close(&c);
	fixture_answer(f);
	fixture_until(f, f->server->pool.count == 0);
	fixture_free(&f);
}

static void thousands_can_be_parked(void **state)
{
	enum { PARKED = 2000 };
	struct http_limits limits = defaults;
	struct rlimit files;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_cur < 2 * PARKED + 64)
		skip();
	limits.parked = PARKED;
	struct fixture *f = fixture_new(&limits);
	struct client *clients = fh_calloc(PARKED + 1, sizeof *clients);
	f->hold = true;
	for (int i = 0; i <= PARKED; i++) {
		client_open(&clients[i], f);
		client_print(&clients[i], PARK);
		fixture_until(f, f->submitted == (uint32_t)(i < PARKED ? i + 1 : PARKED));
	}
	struct response r = client_read(&clients[PARKED], false);
	assert_int_equal(r.status, 503);
	assert_string_equal(response_header(&r, "Retry-After"), "1");
	assert_non_null(strstr(r.body, "\"code\":\"limit\""));
	response_release(&r);
	fixture_answer(f);
	for (int i = 0; i < PARKED; i++)
		expect(&clients[i], 200);
	for (int i = 0; i <= PARKED; i++)
		client_close(&clients[i]);
	fixture_until(f, f->server->pool.count == 0);
	fh_free(clients);
	fixture_free(&f);
}

static void slow_clients_are_closed(void **state)
{
	struct http_limits limits = defaults;
	struct client idle, head, body, parked;
	(void)state;
	limits.idle_ms = limits.head_ms = limits.body_ms = 60;
	struct fixture *f = fixture_new(&limits);
	f->hold = true;
	client_open(&parked, f);
	client_print(&parked, PARK);
	client_open(&idle, f);
	client_open(&head, f);
	client_print(&head, "GET /livez HT");
	client_open(&body, f);
	client_print(&body, GROUP "Content-Length: 10\r\n\r\n{");
	expect_closed(&idle);
	expect_closed(&head);
	expect_closed(&body);
	/* Nobody is slow who waits for an answer. */
	assert_int_equal(f->server->pool.count, 1);
	fixture_answer(f);
	expect(&parked, 200);
	expect_closed(&parked);
	fixture_free(&f);
}

static void a_drip_of_bytes_does_not_keep_a_head_open(void **state)
{
	struct http_limits limits = defaults;
	struct client c;
	(void)state;
	limits.head_ms = 100;
	struct fixture *f = fixture_new(&limits);
	client_open(&c, f);
	client_print(&c, "GET /livez HTTP/1.1\r\nX: ");
	int64_t until_ms = fixture_clock() + FIXTURE_WAIT_MS;
	while (f->server->requests_total == 0 && !c.closed) {
		client_print(&c, "a");
		fixture_turn(f, until_ms, "the head has had its time");
		char byte;
		c.closed = recv(c.fd, &byte, 1, MSG_DONTWAIT) == 0;
	}
	client_close(&c);
	fixture_free(&f);
}

static void an_answer_that_nobody_reads_is_given_up(void **state)
{
	struct http_limits limits = defaults;
	struct client c;
	(void)state;
	limits.write_ms = 700; /* above the times in which TCP itself tries again */
	struct fixture *f = fixture_new(&limits);
	blob_free(&f->function.payload);
	f->function.payload = blob_new(32 << 20);
	memset(f->function.payload->data, 'x', f->function.payload->len);
	client_open(&c, f);
	client_print(&c, "GET /v1/functions/f/payload HTTP/1.1\r\n" HOST "\r\n");
	fixture_until(f, f->answered == 1);
	fixture_until(f, f->server->pool.count == 0);
	client_close(&c);
	/* And one that is read arrives whole. */
	client_open(&c, f);
	client_print(&c, "GET /v1/functions/f/payload HTTP/1.1\r\n" HOST "\r\n");
	struct response r = client_read(&c, false);
	assert_int_equal(r.body_len, 32 << 20);
	assert_memory_equal(r.body, f->function.payload->data, r.body_len);
	response_release(&r);
	client_close(&c);
	fixture_free(&f);
}

static void a_client_may_close_its_half(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	(void)state;
	client_open(&c, f);
	client_print(&c, GROUP "Content-Length: 2\r\n\r\n{}");
	(void)shutdown(c.fd, SHUT_WR);
	expect(&c, 201);
	expect_closed(&c);
	fixture_until(f, f->server->pool.count == 0);
	fixture_free(&f);
}

static void clients_may_leave_anywhere(void **state)
{
	static const char request[] = GROUP "Content-Length: 300\r\n\r\n{}";
	struct fixture *f = fixture_new(NULL);
	(void)state;
	for (size_t cut = 0; cut < sizeof request; cut++) {
		struct client c;
		client_open(&c, f);
		client_send(&c, request, cut);
		for (size_t turns = cut % 4; turns; turns--)
			fixture_turn(f, fixture_clock() + FIXTURE_WAIT_MS, "a turn");
		client_close(&c);
	}
	fixture_until(f, f->server->pool.count == 0);
	assert_int_equal(f->server->pool.reserved, 0);
	assert_int_equal(f->submitted, 0);
	fixture_free(&f);
}

static void old_clients_are_closed_behind_their_answer(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c;
	(void)state;
	client_open(&c, f);
	client_print(&c, "GET /livez HTTP/1.0\r\n" HOST "\r\n");
	expect(&c, 200);
	expect_closed(&c);
	client_open(&c, f);
	client_print(&c, "GET /livez HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	struct response r = client_read(&c, false);
	assert_string_equal(response_header(&r, "Connection"), "close");
	response_release(&r);
	expect_closed(&c);
	client_open(&c, f);
	client_print(&c, "HEAD /livez HTTP/1.1\r\n" HOST "\r\n" LIVE);
	r = client_read(&c, true);
	assert_string_equal(response_header(&r, "Content-Length"), "15");
	response_release(&r);
	expect(&c, 200);
	client_close(&c);
	fixture_free(&f);
}

static void connections_have_a_bound(void **state)
{
	struct http_limits limits = defaults;
	struct client a, b, c;
	(void)state;
	limits.connections = 2;
	struct fixture *f = fixture_new(&limits);
	client_open(&a, f);
	client_open(&b, f);
	client_open(&c, f);
	client_print(&a, LIVE);
	client_print(&b, LIVE);
	client_print(&c, LIVE);
	expect(&a, 200);
	expect(&b, 200);
	assert_int_equal(f->server->pool.count, 2);
	assert_int_equal(c.len, 0);
	client_close(&a);
	expect(&c, 200);
	client_close(&b);
	client_close(&c);
	fixture_free(&f);
}

static void without_descriptors_clients_are_refused(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client c[3];
	struct rlimit files, few;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	for (int i = 0; i < 3; i++) {
		client_open(&c[i], f);
		client_print(&c[i], LIVE);
	}
	few = files;
	few.rlim_cur = (rlim_t)c[2].fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (int i = 0; i < 3; i++)
		expect(&c[i], 503);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	for (int i = 0; i < 3; i++)
		client_close(&c[i]);
	assert_int_equal(fixture_status(f, "GET", "/livez", "", NULL), 200);
	fixture_free(&f);
}

static void an_orderly_stop_answers_what_it_has(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client idle, busy;
	(void)state;
	client_open(&idle, f);
	client_print(&idle, LIVE);
	expect(&idle, 200);
	f->hold = true;
	client_open(&busy, f);
	client_print(&busy, PARK);
	fixture_until(f, f->submitted == 1);
	http_server_close_listener(f->server);
	expect_closed(&idle);
	assert_int_equal(http_server_open_requests(f->server), 1);
	f->ret = FH_ECLOSED;
	fixture_answer(f);
	struct response r = client_read(&busy, false);
	assert_int_equal(r.status, 503);
	assert_string_equal(response_header(&r, "Connection"), "close");
	response_release(&r);
	expect_closed(&busy);
	fixture_until(f, http_server_open_requests(f->server) == 0);
	fixture_free(&f);
}

static void what_is_not_done_is_released_with_the_server(void **state)
{
	struct fixture *f = fixture_new(NULL);
	struct client a, b;
	(void)state;
	f->hold = true;
	client_open(&a, f);
	client_print(&a, PARK);
	client_open(&b, f);
	client_print(&b,
		     "POST /v1/tasks HTTP/1.1\r\n" HOST JSON_TYPE "Content-Length: %zu\r\n\r\n"
		     "{\"function_id\":\"" FUNCTION_ID "\",\"payload\":\"" PICKLE "\"}",
		     strlen("{\"function_id\":\"" FUNCTION_ID "\",\"payload\":\"" PICKLE "\"}"));
	fixture_until(f, f->submitted == 2);
	client_close(&b);
	fixture_until(f, http_server_open_requests(f->server) == 2);
	fixture_free(&f);
	assert_null(f);
	client_close(&a);
}

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

/* Streams of requests with bytes changed at random, in random pieces. Whatever comes of it, the
 * server goes on, and gives back all that it took. */
static void random_streams_end(void **state)
{
	static const char stream[] =
		LIVE GROUP "Content-Length: 2\r\n\r\n{}" GROUP
			   "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" PARK LIVE;
	struct http_limits limits = defaults;
	char bytes[sizeof stream];
	(void)state;
	limits.idle_ms = limits.head_ms = limits.body_ms = 20000;
	struct fixture *f = fixture_new(&limits);
	for (int round = 0; round < 600; round++) {
		struct client c;
		memcpy(bytes, stream, sizeof stream);
		for (uint64_t n = rng() % 4; n; n--)
			bytes[rng() % (sizeof stream - 1)] = "\r\n :0{\0x2"[rng() % 9];
		client_open(&c, f);
		for (size_t at = 0; at < sizeof stream - 1;) {
			size_t n = 1 + rng() % 200;
			if (n > sizeof stream - 1 - at)
				n = sizeof stream - 1 - at;
			client_send(&c, bytes + at, n);
			at += n;
			if (rng() % 2)
				fixture_turn(f, fixture_clock() + FIXTURE_WAIT_MS, "a turn");
		}
		client_close(&c);
	}
	assert_int_equal(fixture_status(f, "GET", "/livez", "", NULL), 200);
	fixture_until(f, f->server->pool.count == 0);
	assert_int_equal(f->server->parked, 0);
	assert_int_equal(f->server->pool.reserved, 0);
	fixture_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_behind_a_parked_one_is_served_after_it),
		cmocka_unit_test(many_pipelined_requests_are_answered_in_order),
		cmocka_unit_test(a_client_that_leaves_while_parked_is_noticed),
		cmocka_unit_test(thousands_can_be_parked),
		cmocka_unit_test(slow_clients_are_closed),
		cmocka_unit_test(a_drip_of_bytes_does_not_keep_a_head_open),
		cmocka_unit_test(an_answer_that_nobody_reads_is_given_up),
		cmocka_unit_test(a_client_may_close_its_half),
		cmocka_unit_test(clients_may_leave_anywhere),
		cmocka_unit_test(old_clients_are_closed_behind_their_answer),
		cmocka_unit_test(connections_have_a_bound),
		cmocka_unit_test(without_descriptors_clients_are_refused),
		cmocka_unit_test(an_orderly_stop_answers_what_it_has),
		cmocka_unit_test(what_is_not_done_is_released_with_the_server),
		cmocka_unit_test(random_streams_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
