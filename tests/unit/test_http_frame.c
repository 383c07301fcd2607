/* src/http/frame: one meaning or none. Each case stands once as bytes and once over a socket, where
 * it must be answered with its status and the connection closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/frame.h"
#include "http_fixture.h"

#define LINE "GET /livez HTTP/1.1\r\n"
#define POST "POST /v1/groups HTTP/1.1\r\n"
#define HOST "Host: localhost\r\n"
#define END  "\r\n"

struct attack {
	const char *bytes;
	size_t len;
	int status;
};

#define ATTACK(status, text)                   \
	{                                      \
		text, sizeof(text) - 1, status \
	}

static const struct attack attacks[] = {
	/* the body's length */
	ATTACK(400, POST HOST "Content-Length: 2\r\nContent-Length: 2\r\n" END "{}"),
	ATTACK(400, POST HOST "Content-Length: 2\r\nContent-Length: 3\r\n" END "{}"),
	ATTACK(400, POST HOST "Content-Length: +2\r\n" END "{}"),
	ATTACK(400, POST HOST "Content-Length: -2\r\n" END),
	ATTACK(400, POST HOST "Content-Length: 0x2\r\n" END "{}"),
	ATTACK(400, POST HOST "Content-Length: 2, 2\r\n" END "{}"),
	ATTACK(400, POST HOST "Content-Length: 2 2\r\n" END "{}"),
	ATTACK(400, POST HOST "Content-Length: \r\n" END),
	ATTACK(400, POST HOST "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n" END),
	ATTACK(400, POST HOST "Content-Length:\t2\r\n" END "{}"),
	ATTACK(400, POST HOST "Transfer-Encoding: xchunked\r\n" END),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked, identity\r\n" END),
	ATTACK(400, POST HOST "Transfer-Encoding: gzip, chunked\r\n" END),
	ATTACK(400, POST HOST "Transfer-Encoding:\tchunked\r\n" END),
	ATTACK(400, POST HOST "Transfer-Encoding: identity\r\n" END),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" END),
	ATTACK(400, "POST /v1/groups HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END),
	ATTACK(400, "HEAD /livez HTTP/1.1\r\n" HOST "Content-Length: 5\r\n" END "hello"),
	/* header lines */
	ATTACK(400, LINE END),			/* no Host */
	ATTACK(400, LINE HOST HOST END),	/* two */
	ATTACK(400, LINE HOST "X : 1\r\n" END), /* a space before the colon */
	ATTACK(400, LINE HOST "Content-Length : 2\r\n" END),
	ATTACK(400, LINE HOST "X: 1\r\n folded\r\n" END),
	ATTACK(400, LINE HOST "X: 1\r\n\tfolded\r\n" END),
	ATTACK(400, LINE " X: 1\r\n" HOST END), /* folded into the request line */
	ATTACK(400, LINE HOST "X: a\0b\r\n" END),
	ATTACK(400, LINE HOST "X\0: a\r\n" END),
	ATTACK(400, LINE HOST "X: a\rb\r\n" END),
	ATTACK(400, LINE HOST "X: \x7f\r\n" END),
	ATTACK(400, LINE HOST "no colon\r\n" END),
	ATTACK(400, LINE HOST ": no name\r\n" END),
	ATTACK(400, LINE HOST "X\xc3\xbc: 1\r\n" END),
	ATTACK(400, LINE HOST "X: 1\n" END), /* a bare LF */
	ATTACK(400, "GET /livez HTTP/1.1\n" HOST END),
	ATTACK(400, LINE HOST "\n"),
	/* the request line */
	ATTACK(400, END LINE HOST END),
	ATTACK(400, "GET\r\n" HOST END),
	ATTACK(400, "GET /livez\r\n" HOST END),
	ATTACK(400, "GET  /livez HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET /livez  HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET /livez HTTP/1.1 \r\n" HOST END),
	ATTACK(400, "GET /li vez HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET http://localhost/livez HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET //localhost/livez HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET * HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET /#x HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET /\xff HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET /\0 HTTP/1.1\r\n" HOST END),
	ATTACK(400, "G{T / HTTP/1.1\r\n" HOST END),
	ATTACK(400, " / HTTP/1.1\r\n" HOST END),
	ATTACK(400, "GET / http/1.1\r\n" HOST END),
	ATTACK(505, "GET / HTTP/2.0\r\n" HOST END),
	ATTACK(505, "GET / HTTP/1.2\r\n" HOST END),
	ATTACK(501, "get / HTTP/1.1\r\n" HOST END),
	ATTACK(501, "CONNECT /x HTTP/1.1\r\n" HOST END),
	ATTACK(501, "TRACE / HTTP/1.1\r\n" HOST END),
	ATTACK(417, POST HOST "Expect: 200-maybe\r\nContent-Length: 2\r\n" END),
	/* the head is fine, the body is not */
	ATTACK(413, POST HOST "Content-Length: 99999999999999999999\r\n" END),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "x\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "2;ext=1\r\n{}\r\n0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "0x2\r\n{}\r\n0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "-2\r\n{}\r\n0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "2 \r\n{}\r\n0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "2\n{}\r\n0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "2\r\n{}x0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "2\r\n{}\n0\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "2\r\n{}\r\n0\r\nX: 1\r\n\r\n"),
	ATTACK(400, POST HOST "Transfer-Encoding: chunked\r\n" END "1111111111111111\r\n"),
	ATTACK(413, POST HOST "Transfer-Encoding: chunked\r\n" END "fffffffffff\r\n"),
};

enum { ATTACKS = sizeof attacks / sizeof *attacks, HEAD_ATTACKS = ATTACKS - 13 };

static const struct http_limits limits = HTTP_LIMITS_DEFAULT;

static int read_head(const char *bytes, size_t len, struct frame_fault *fault)
{
	struct frame_scan scan = { 0 };
	struct frame_head head;
	return frame_read_head(&limits, bytes, len, &scan, &head, fault);
}

static void faults_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < HEAD_ATTACKS; i++) {
		struct frame_fault fault = { 0 };
		/* In memory of its own, so that a step too far is seen. */
		char *bytes = fh_malloc(attacks[i].len);
		memcpy(bytes, attacks[i].bytes, attacks[i].len);
		if (read_head(bytes, attacks[i].len, &fault) != FH_EPROTO)
			fail_msg("taken: %s", attacks[i].bytes);
		assert_int_equal(problem_status(fault.kind), attacks[i].status);
		fh_free(bytes);
	}
}

static void heads_are_read_in_any_pieces(void **state)
{
	(void)state;
	static const char text[] = "POST /v1/tasks?function_id=1 HTTP/1.1\r\nhost: [::1]:80\r\n"
				   "Content-Type: application/octet-stream\r\nX-Y:  a b \r\n"
				   "content-length: 007\r\nExpect: 100-Continue\r\n\r\npayload";
	size_t head_len = sizeof text - 1 - strlen("payload");
	struct frame_scan scan = { 0 };
	struct frame_head head;
	struct frame_fault fault;
	for (size_t len = 0; len < head_len; len++)
		assert_int_equal(frame_read_head(&limits, text, len, &scan, &head, &fault), 0);
	assert_int_equal(frame_read_head(&limits, text, sizeof text - 1, &scan, &head, &fault), 1);
	assert_int_equal(head.len, head_len);
	assert_int_equal(head.body_len, 7);
	assert_int_equal(head.body_limit, limits.body_bytes);
	assert_false(head.chunked);
}

static void sizes_are_exact(void **state)
{
	(void)state;
	struct http_limits small = limits;
	struct frame_fault fault;
	struct frame_head head;
	struct frame_scan scan = { 0 };
	static const char text[] = "GET /123456789 HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n";
	size_t len = sizeof text - 1;
	small.url_bytes = 10;
	small.head_bytes = (uint32_t)len;
	small.head_lines = 2;
	assert_int_equal(frame_read_head(&small, text, len, &scan, &head, &fault), 1);
	small.head_lines = 1;
	scan = (struct frame_scan){ 0 };
	assert_int_equal(frame_read_head(&small, text, len, &scan, &head, &fault), FH_EPROTO);
	assert_int_equal(problem_status(fault.kind), 431);
	small.head_lines = 2;
	small.head_bytes--;
	scan = (struct frame_scan){ 0 };
	assert_int_equal(frame_read_head(&small, text, len, &scan, &head, &fault), FH_EPROTO);
	assert_int_equal(problem_status(fault.kind), 431);
	small.head_bytes++;
	small.url_bytes--;
	scan = (struct frame_scan){ 0 };
	assert_int_equal(frame_read_head(&small, text, len, &scan, &head, &fault), FH_EPROTO);
	assert_int_equal(problem_status(fault.kind), 414);
}

static void an_endless_line_is_refused_before_its_end(void **state)
{
	(void)state;
	size_t len = limits.head_bytes + 1;
	char *bytes = fh_malloc(len);
	struct frame_fault fault;
	memset(bytes, 'a', len);
	assert_int_equal(read_head(bytes, len, &fault), FH_EPROTO);
	assert_int_equal(problem_status(fault.kind), 414);
	memcpy(bytes, LINE, sizeof LINE - 1);
	assert_int_equal(read_head(bytes, limits.head_bytes, &fault), 0);
	assert_int_equal(read_head(bytes, len, &fault), FH_EPROTO);
	assert_int_equal(problem_status(fault.kind), 431);
	fh_free(bytes);
}

/* An answer with the status, and nothing behind it but the end. */
static void expect_last_answer(struct client *c, const struct attack *a)
{
	struct response r = client_read(c, false);
	if (r.status != a->status)
		fail_msg("%d instead of %d: %s", r.status, a->status, a->bytes);
	assert_string_equal(response_header(&r, "Content-Type"), "application/problem+json");
	assert_string_equal(response_header(&r, "Connection"), "close");
	response_release(&r);
	r = client_read(c, false);
	assert_int_equal(r.status, 0);
}

/* A second request stands behind each attack: it must never be answered. */
static void attacks_are_answered_once(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ATTACKS; i++) {
		struct client c;
		client_open(&c, f);
		client_send(&c, attacks[i].bytes, attacks[i].len);
		client_print(&c, LINE HOST END);
		expect_last_answer(&c, &attacks[i]);
		client_close(&c);
	}
}

/* The same byte by byte, which takes the ways for heads and chunks that come in pieces. */
static void attacks_in_single_bytes_too(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ATTACKS; i += 3) {
		struct client c;
		client_open(&c, f);
		for (size_t at = 0; at < attacks[i].len; at++) {
			client_send(&c, attacks[i].bytes + at, 1);
			fixture_turn(f, fixture_clock() + FIXTURE_WAIT_MS, "a byte is read");
		}
		expect_last_answer(&c, &attacks[i]);
		client_close(&c);
	}
}

/* The good request before an attack is answered first, even when its answer takes long. */
static void an_attack_waits_for_its_turn(void **state)
{
	struct fixture *f = *state;
	struct client c;
	f->hold = true;
	client_open(&c, f);
	client_print(&c, "GET /v1/stats HTTP/1.1\r\n" HOST END LINE HOST "X : 1\r\n" END);
	fixture_until(f, f->submitted == 1);
	f->hold = false;
	fixture_answer(f);
	struct response r = client_read(&c, false);
	assert_int_equal(r.status, 200);
	response_release(&r);
	expect_last_answer(&c, &(struct attack){ "pipelined", 9, 400 });
	client_close(&c);
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
		cmocka_unit_test(faults_are_found),
		cmocka_unit_test(heads_are_read_in_any_pieces),
		cmocka_unit_test(sizes_are_exact),
		cmocka_unit_test(an_endless_line_is_refused_before_its_end),
		cmocka_unit_test_setup_teardown(attacks_are_answered_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(attacks_in_single_bytes_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_attack_waits_for_its_turn, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
