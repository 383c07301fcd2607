/* What ZeroMQ brings with it: its silences, its strangers, its queues; against plain sockets that
 * do what no end of ours would. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "transport/endpoint.h"
#include "transport_fixture.h"
#include "wire/link.h"

struct rig {
	struct event_base *loop;
	struct end d, w;
	void *zmq, *raw; /* a DEALER that says what it likes */
};

static void close_raw(void *socket)
{
	int ms = 1000;
	(void)zmq_setsockopt(socket, ZMQ_LINGER, &ms, sizeof ms);
	(void)zmq_close(socket);
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof *r);
	r->loop = loop_new();
	zmq_bind_end(r->loop, "127.0.0.1:0", NULL, &r->d);
	r->zmq = zmq_ctx_new();
	r->raw = zmq_socket(r->zmq, ZMQ_DEALER);
	assert_non_null(r->raw);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	if (r->w.t)
		end_free(&r->w);
	end_free(&r->d);
	event_base_free(r->loop);
	close_raw(r->raw);
	(void)zmq_ctx_term(r->zmq);
	test_free(r);
	return 0;
}

static unsigned port_of(const struct rig *r)
{
	return (unsigned)strtoul(strrchr(transport_zmq_url(r->d.t), ':') + 1, NULL, 10);
}

/* A healthy worker beside whoever misbehaves: still served, before and after. */
static void healthy_worker(struct rig *r)
{
	if (!r->w.t) {
		zmq_connect_end(r->loop, transport_zmq_url(r->d.t), NULL, &r->w);
		run_until(r->loop, r->w.connected == 1);
	}
	unsigned before = r->w.got, heard = r->d.got;
	assert_int_equal(send_credit(&r->w, 0, 1), 0);
	run_until(r->loop, r->d.got > heard);
	assert_int_equal(send_credit(&r->d, r->d.peer, 1), 0);
	run_until(r->loop, r->w.got > before);
	assert_int_equal(r->w.lost, 0);
}

static void dial_raw(struct rig *r)
{
	assert_int_equal(zmq_connect(r->raw, transport_zmq_url(r->d.t)), 0);
}

static size_t credit_frame(uint8_t frame[WIRE_FRAME_MAX])
{
	struct wire_link *link;
	size_t len;
	struct wire_msg m = { .type = WIRE_CREDIT, .credit = { 1 } };
	assert_int_equal(wire_link_new(&link), 0);
	assert_int_equal(wire_link_send(link, &m), 0);
	assert_int_equal(wire_link_next(link, frame, &len), 0);
	wire_link_free(&link);
	return len;
}

static void junk_is_refused_and_hurts_nobody(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[WIRE_FRAME_MAX];
	healthy_worker(r);
	dial_raw(r);
	assert_int_equal(zmq_send(r->raw, "junk", 4, 0), 4);
	run_until(r->loop, strstr(r->d.trouble, "not a frame of Farhand"));
	char answer[256];
	int len = -1;
	run_until(r->loop, (len = zmq_recv(r->raw, answer, sizeof answer, ZMQ_DONTWAIT)) > 0);
	assert_memory_equal(answer, "FH\1\0what came is not", 20);

	/* Parts that are none of the protocol, an empty frame, the same again and again. */
	r->d.trouble[0] = '\0';
	size_t credit = credit_frame(frame);
	assert_int_not_equal(zmq_send(r->raw, frame, credit, ZMQ_SNDMORE), -1);
	assert_int_not_equal(zmq_send(r->raw, "", 0, 0), -1);
	run_until(r->loop, r->d.trouble[0]);
	unsigned got = r->d.got;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_not_equal(zmq_send(r->raw, "junk", i % 5, 0), -1);
	assert_int_not_equal(zmq_send(r->raw, frame, credit, 0), -1);
	run_until(r->loop, r->d.got > got); /* a frame behind the junk is one of a new peer */
	healthy_worker(r);
}

/* A message in pieces that never ends, from one stranger after the other. */
static void strangers_cost_a_bounded_number_of_peers(void **state)
{
	struct rig *r = *state;
	static const uint8_t piece[] = "FH\1\2\0\0\0\0\0\0\0\0\0\0\1\0\0\0\0\0x";
	healthy_worker(r);
	for (unsigned i = 0; i < 200; i++) {
		void *stranger = zmq_socket(r->zmq, ZMQ_DEALER);
		assert_non_null(stranger);
		assert_int_equal(zmq_connect(stranger, transport_zmq_url(r->d.t)), 0);
		assert_int_not_equal(zmq_send(stranger, piece, sizeof piece - 1, 0), -1);
		if (i % 20 == 19)
			healthy_worker(r);
		close_raw(stranger);
	}
	healthy_worker(r);
}

static void another_version_is_refused_on_both_sides(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[WIRE_FRAME_MAX];
	size_t len = credit_frame(frame);
	frame[2] = 2;
	dial_raw(r);
	assert_int_not_equal(zmq_send(r->raw, frame, len, 0), -1);
	run_until(r->loop, strstr(r->d.trouble, "protocol version 2 meets version 1"));
	char answer[256] = "";
	run_until(r->loop, zmq_recv(r->raw, answer, sizeof answer, ZMQ_DONTWAIT) > 0);
	assert_int_equal(answer[3], 0);
	assert_non_null(strstr(answer + 4, "protocol version 2 meets version 1"));
	assert_int_equal(r->d.got, 0);
}

/* The same, seen from a worker: a dispatcher that speaks another version, then one that refuses. */
static void a_worker_is_told_why_it_is_refused(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[WIRE_FRAME_MAX];
	char url[80], rid[8];
	size_t url_len = sizeof url;
	void *router = zmq_socket(r->zmq, ZMQ_ROUTER);
	assert_int_equal(zmq_bind(router, "tcp://127.0.0.1:*"), 0);
	assert_int_equal(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, url, &url_len), 0);
	zmq_connect_end(r->loop, url, NULL, &r->w);
	int rid_len = -1;
	for (unsigned round = 0; round < 2; round++) {
		run_until(r->loop, r->w.connected == round + 1);
		assert_int_equal(send_credit(&r->w, 0, 1), 0);
		do { /* in the second round its own refusal comes first */
			run_until(r->loop,
				  (rid_len = zmq_recv(router, rid, sizeof rid, ZMQ_DONTWAIT)) > 0);
			assert_int_not_equal(zmq_recv(router, frame, sizeof frame, 0), -1);
		} while (frame[3] == 0);
		size_t len = round == 0 ? credit_frame(frame)
					: wire_link_refusal(frame, "too many workers");
		frame[2] = 9;
		assert_int_not_equal(zmq_send(router, rid, (size_t)rid_len, ZMQ_SNDMORE), -1);
		assert_int_not_equal(zmq_send(router, frame, len, 0), -1);
		run_until(r->loop, r->w.lost == round + 1);
		assert_non_null(strstr(r->w.trouble, round == 0 ? "version 9 meets version 1"
								: "refuses: too many workers"));
	}
	close_raw(router);
}

/* What is said soon after a frame waits for a moment, but not beyond the end. */
static void what_waits_leaves_before_the_end(void **state)
{
	struct rig *r = *state;
	for (unsigned round = 0; round < 3; round++) {
		healthy_worker(r);
		unsigned before = r->d.got, connected = r->w.connected;
		assert_int_equal(send_credit(&r->w, 0, 1), 0);
		run_until(r->loop, r->d.got == before + 1);
		assert_int_equal(send_credit(&r->w, 0, 2), 0);
		if (round == 1)
			end_free(&r->w);
		else
			transport_close_peer(r->w.t, 0);
		run_until(r->loop, r->d.got == before + 2);
		if (round == 1)
			r->w = (struct end){ 0 };
		else
			run_until(r->loop, r->w.connected == connected + 1);
	}
}

static void a_frame_that_is_too_large_ends_its_connection(void **state)
{
	struct rig *r = *state;
	healthy_worker(r);
	static char large[WIRE_FRAME_MAX + 1];
	void *monitor = zmq_socket(r->zmq, ZMQ_PAIR);
	assert_int_equal(zmq_socket_monitor(r->raw, "inproc://raw", ZMQ_EVENT_DISCONNECTED), 0);
	assert_int_equal(zmq_connect(monitor, "inproc://raw"), 0);
	dial_raw(r);
	assert_int_equal(zmq_send(r->raw, large, sizeof large, 0), sizeof large);
	char event[64];
	run_until(r->loop, zmq_recv(monitor, event, sizeof event, ZMQ_DONTWAIT) > 0);
	(void)zmq_close(monitor);
	healthy_worker(r);
}

static void an_id_of_its_own_choice_is_ignored(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[WIRE_FRAME_MAX];
	healthy_worker(r);
	assert_int_equal(zmq_setsockopt(r->raw, ZMQ_ROUTING_ID, "W1", 2), 0);
	dial_raw(r);
	unsigned got = r->d.got;
	assert_int_not_equal(zmq_send(r->raw, frame, credit_frame(frame), 0), -1);
	healthy_worker(r);
	assert_int_equal(r->d.got, got + 1);
}

static int dial_tcp(const struct rig *r)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port_of(r)) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

static void raw_tcp_junk_hurts_nobody(void **state)
{
	struct rig *r = *state;
	healthy_worker(r);
	int fds[100];
	for (unsigned i = 0; i < 100; i++) {
		fds[i] = dial_tcp(r);
		if (i % 3)
			assert_int_equal(send(fds[i], "GET / HTTP/1.1\r\n\r\n", i % 18,
					      MSG_NOSIGNAL),
					 i % 18);
	}
	healthy_worker(r);
	for (unsigned i = 0; i < 100; i++)
		(void)close(fds[i]);
	healthy_worker(r);
}

/* The opening of ZMTP 3.0 without keys, up to where frames begin. */
static void open_zmtp(int fd)
{
	static const char ready[] = "\4\x1c\5READY\xbSocket-Type\0\0\0\6DEALER";
	char opening[64 + sizeof ready - 1] = { (char)0xff, [8] = 1, [9] = 0x7f, [10] = 3 };
	memcpy(opening + 12, "NULL", 4);
	memcpy(opening + 64, ready, sizeof ready - 1);
	assert_int_equal(send(fd, opening, sizeof opening, MSG_NOSIGNAL), sizeof opening);
	/* Frames before its answer would be a mistake. */
	char answer[64 + 43];
	assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
}

/* A flood that nobody reads, until no more fits; then its connection is reset. Who does not finish
 * its handshake, meanwhile, is sent away. */
static void a_flood_that_is_cut_off_hurts_nobody(void **state)
{
	struct rig *r = *state;
	static char frame[2 + 200] = "\0\xc8";
	struct linger reset = { .l_onoff = 1 };
	struct timeval patience = { .tv_sec = 20 }, moment = { .tv_usec = 200000 };
	char byte;
	healthy_worker(r);
	int idler = dial_tcp(r), flooder = dial_tcp(r);
	(void)setsockopt(idler, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(flooder, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof moment);
	(void)setsockopt(flooder, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	open_zmtp(flooder);
	while (send(flooder, frame, sizeof frame, MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	(void)close(flooder);
	ssize_t n;
	do
		n = recv(idler, &byte, 1, 0);
	while (n > 0);
	assert_int_equal(n, 0);
	(void)close(idler);
	healthy_worker(r);
}

struct reader {
	struct wire_link *link;
	uint64_t bytes;
};

static bool take(void *ctx, struct wire_msg *own_msg)
{
	struct reader *reader = ctx;
	assert_int_equal(own_msg->type, WIRE_ASSIGN);
	reader->bytes += own_msg->assign.payload->len;
	wire_msg_release(own_msg);
	return true;
}

/* What has come to the raw socket goes through the link, and its reports go back. */
static void read_raw(struct rig *r, struct reader *reader)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	struct fh_err err = { "" };
	int got;
	size_t len;
	while ((got = zmq_recv(r->raw, frame, sizeof frame, 0)) > 0)
		if (wire_link_receive(reader->link, frame, (size_t)got, take, reader, &err))
			fail_msg("%s", err.text);
	assert_int_equal(wire_link_next(reader->link, frame, &len), 0);
	if (len > 0)
		assert_int_not_equal(zmq_send(r->raw, frame, len, 0), -1);
}

/* ROUTER would drop what does not fit into a full queue, and say that it was sent. */
static void nothing_is_dropped_for_a_peer_that_does_not_read(void **state)
{
	struct rig *r = *state;
	static uint8_t frame[WIRE_FRAME_MAX];
	struct reader reader = { 0 };
	struct wire_msg hello = { .type = WIRE_CREDIT };
	int one = 1, patience_ms = 20;
	size_t len;
	healthy_worker(r);
	(void)zmq_setsockopt(r->raw, ZMQ_RCVHWM, &one, sizeof one);
	(void)zmq_setsockopt(r->raw, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
	dial_raw(r);
	unsigned got = r->d.got;
	assert_int_equal(wire_link_new(&reader.link), 0);
	assert_int_equal(wire_link_send(reader.link, &hello), 0);
	assert_int_equal(wire_link_next(reader.link, frame, &len), 0);
	assert_int_not_equal(zmq_send(r->raw, frame, len, 0), -1);
	run_until(r->loop, r->d.got > got);
	uint64_t slow = r->d.peer;
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(send_assign(&r->d, slow, 100 << 10), 0);
	for (unsigned i = 0; i < 5; i++)
		healthy_worker(r);
	/* Now it reads, and reports what it has, as a link does. */
	run_until(r->loop, (read_raw(r, &reader), reader.bytes == 300 * (100 << 10)));
	wire_link_free(&reader.link);
	healthy_worker(r);
}

/* A heartbeat that stands in line behind it may be late. */
static void a_long_message_is_a_sign_of_life_on_its_way(void **state)
{
	struct rig *r = *state;
	enum { LEN = 4 << 20 };
	healthy_worker(r);
	assert_int_equal(send_assign(&r->w, 0, LEN), 0);
	run_until(r->loop, r->d.bytes == LEN);
	assert_in_range(r->d.heard, LEN / WIRE_FRAME_MAX, LEN / WIRE_FRAME_MAX + 2);
	run_until(r->loop, r->w.heard > 0); /* it was told what had come */
}

static void a_dispatcher_that_comes_back_is_found_again(void **state)
{
	struct rig *r = *state;
	char url[80];
	(void)snprintf(url, sizeof url, "%s", transport_zmq_url(r->d.t));
	healthy_worker(r);
	end_free(&r->d);
	run_until(r->loop, r->w.lost == 1);
	assert_int_equal(send_credit(&r->w, 0, 7), FH_ENOTFOUND);
	run_until(r->loop, strstr(r->w.trouble, "it cannot be reached"));
	memset(&r->d, 0, sizeof r->d);
	zmq_bind_end(r->loop, url, NULL, &r->d);
	run_until(r->loop, r->w.connected == 2);
	assert_int_equal(r->d.got, 0);
	assert_int_equal(send_credit(&r->w, 0, 8), 0);
	run_until(r->loop, r->d.got == 1);
	assert_int_equal(r->d.last, 8);
}

static unsigned wakes;

static void count_wakes(void *ctx)
{
	(void)ctx;
	wakes++;
}

static void who_heard_of_no_connection_hears_of_no_end(void **state)
{
	struct rig *r = *state;
	wakes = 0;
	zmq_connect_end(r->loop, transport_zmq_url(r->d.t), NULL, &r->w);
	r->w.t->handler.wake = count_wakes;
	run_until(r->loop, wakes == 1);
	end_free(&r->d);
	run_until(r->loop, strstr(r->w.trouble, "the connection is gone"));
	assert_false(transport_poll(r->w.t, 1));
	assert_int_equal(r->w.connected + r->w.lost, 0);
}

static void what_does_not_speak_zeromq_is_named(void **state)
{
	struct rig *r = *state;
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof at;
	char url[80];
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), fd;
	assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(listener, 5), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
	(void)snprintf(url, sizeof url, "127.0.0.1:%u", ntohs(at.sin_port));
	zmq_connect_end(r->loop, url, NULL, &r->w);
	run_until(r->loop, (fd = accept(listener, NULL, NULL)) >= 0);
	assert_int_equal(send(fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL), 28);
	(void)shutdown(fd, SHUT_WR);
	run_until(r->loop, strstr(r->w.trouble, "not a dispatcher of Farhand"));
	assert_int_equal(r->w.connected, 0);
	int again;
	run_until(r->loop, (again = accept(listener, NULL, NULL)) >= 0);
	(void)close(again);
	(void)close(fd);
	(void)close(listener);
}

static void many_workers_have_a_number_each(void **state)
{
	struct rig *r = *state;
	enum { WORKERS = 50 };
	static struct end w[WORKERS];
	memset(w, 0, sizeof w);
	uint64_t last = 0;
	for (unsigned i = 0; i < WORKERS; i++)
		zmq_connect_end(r->loop, transport_zmq_url(r->d.t), NULL, &w[i]);
	for (unsigned i = 0; i < WORKERS; i++) {
		run_until(r->loop, w[i].connected == 1);
		assert_int_equal(send_credit(&w[i], 0, 1), 0);
		run_until(r->loop, r->d.got == i + 1);
		assert_true(r->d.peer > last);
		last = r->d.peer;
		assert_int_equal(send_credit(&r->d, last, 1), 0);
		run_until(r->loop, w[i].got == 1);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		end_free(&w[i]);
}

static void refuse_endpoint(const char *text, int ret, const char *line)
{
	struct endpoint e;
	struct fh_err err = { "" };
	assert_int_equal(endpoint_parse(text, &e, &err), ret);
	if (!strstr(err.text, line))
		fail_msg("'%s' does not say '%s'", err.text, line);
}

static void endpoints_are_read_strictly(void **state)
{
	(void)state;
	struct endpoint e;
	assert_int_equal(endpoint_parse("tcp://127.0.0.1:5555", &e, NULL), 0);
	assert_string_equal(e.url, "tcp://127.0.0.1:5555");
	assert_true(e.loopback);
	assert_int_equal(endpoint_parse("[::1]:80", &e, NULL), 0);
	assert_string_equal(e.numeric, "tcp://[::1]:80");
	assert_true(e.loopback);
	assert_int_equal(endpoint_parse("0.0.0.0:1", &e, NULL), 0);
	assert_false(e.loopback);
	static const char *const wrong[] = { "",	  "localhost", ":5",   "h:",
					     "h:x",	  "h:65536",   "h:5 ", "tcp://h:5/x",
					     "udp://h:5", "::1:5",     "[]:5", "h:-1",
					     "tcp://:1",  "h:123456",  "a b:5" };
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		refuse_endpoint(wrong[i], FH_EINVAL, "should be HOST:PORT");
}

static void without_keys_loopback_is_all_there_is(void **state)
{
	struct rig *r = *state;
	struct transport *t = NULL;
	struct fh_err err = { "" };
	assert_int_equal(transport_zmq_bind(r->loop, "0.0.0.0:0", NULL, &t, &err), FH_EINVAL);
	assert_non_null(
		strstr(err.text, "tcp://0.0.0.0:0 is beyond loopback, where workers need keys"));
	const char *url = "192.0.2.1:5";
	assert_int_equal(transport_zmq_connect(r->loop, &url, 1, NULL, NULL, NULL, &t, &err),
			 FH_EINVAL);
	assert_non_null(strstr(err.text, "beyond loopback, where a worker needs a key"));
	assert_int_equal(transport_zmq_bind(r->loop, transport_zmq_url(r->d.t), NULL, &t, &err),
			 FH_EIO);
	assert_non_null(strstr(err.text, "Address already in use"));
	assert_int_equal(transport_zmq_connect(r->loop, &url, 0, NULL, NULL, NULL, &t, &err),
			 FH_EINVAL);
	assert_null(t);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(junk_is_refused_and_hurts_nobody),
		with_rig(strangers_cost_a_bounded_number_of_peers),
		with_rig(another_version_is_refused_on_both_sides),
		with_rig(a_worker_is_told_why_it_is_refused),
		with_rig(what_waits_leaves_before_the_end),
		with_rig(a_frame_that_is_too_large_ends_its_connection),
		with_rig(an_id_of_its_own_choice_is_ignored),
		with_rig(raw_tcp_junk_hurts_nobody),
		with_rig(a_flood_that_is_cut_off_hurts_nobody),
		with_rig(nothing_is_dropped_for_a_peer_that_does_not_read),
		with_rig(a_long_message_is_a_sign_of_life_on_its_way),
		with_rig(a_dispatcher_that_comes_back_is_found_again),
		with_rig(who_heard_of_no_connection_hears_of_no_end),
		with_rig(what_does_not_speak_zeromq_is_named),
		with_rig(many_workers_have_a_number_each),
		cmocka_unit_test(endpoints_are_read_strictly),
		with_rig(without_keys_loopback_is_all_there_is),
	};
	return cmocka_run_group_tests_name("transport over ZeroMQ", tests, NULL, NULL);
}
