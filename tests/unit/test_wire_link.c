/* A connection as frames: what goes in comes out once, small things pass large ones, a slow reader
 * holds back what is large, versions refuse each other. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/link.h"
#include "wire_samples.h"

struct side {
	struct wire_link *link;
	unsigned got;
	unsigned stop_at; /* 0: never */
	enum wire_type last;
	uint64_t sum; /* of the lengths of all that came */
	uint64_t hash;
};

static void mix(struct side *s, const struct wire_msg *m)
{
	size_t len = wire_encoded_len(m);
	uint8_t *data = fh_malloc(len);
	wire_encode(m, data);
	uint64_t h = 14695981039346656037u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 1099511628211u;
	s->hash += h; /* a sum: the order of what is urgent and what is not may differ */
	s->sum += len;
	fh_free(data);
}

static bool deliver(void *ctx, struct wire_msg *own_msg)
{
	struct side *s = ctx;
	s->last = own_msg->type;
	s->got++;
	mix(s, own_msg);
	wire_msg_release(own_msg);
	return s->got != s->stop_at;
}

static void open_side(struct side *s)
{
	*s = (struct side){ 0 };
	assert_int_equal(wire_link_new(&s->link), 0);
}

/* Moves at most `max` frames; how many there were. */
static unsigned move(struct side *from, struct side *to, unsigned max)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	unsigned count = 0;
	for (size_t len; count < max; count++) {
		assert_int_equal(wire_link_next(from->link, frame, &len), 0);
		if (len == 0)
			break;
		struct fh_err err = { "" };
		uint8_t *exact = fh_malloc(len);
		memcpy(exact, frame, len);
		if (wire_link_receive(to->link, exact, len, deliver, to, &err))
			fail_msg("refused: %s", err.text);
		fh_free(exact);
	}
	assert_true(count == max || !wire_link_pending(from->link));
	return count;
}

static void send_credit(struct side *s)
{
	struct wire_msg m = { .type = WIRE_CREDIT, .credit = { 5 } };
	assert_int_equal(wire_link_send(s->link, &m), 0);
}

static void send_assign(struct side *s, size_t len)
{
	struct wire_msg m = { .type = WIRE_ASSIGN, .assign.payload = blob_new(len) };
	memset(m.assign.payload->data, 'x', len);
	assert_int_equal(wire_link_send(s->link, &m), 0);
	assert_int_equal(m.type, 0);
}

static void small_messages_share_a_frame(void **state)
{
	(void)state;
	struct side a, b;
	open_side(&a);
	open_side(&b);
	for (unsigned i = 0; i < 100; i++) {
		send_credit(&a);
		send_assign(&a, 10);
	}
	assert_int_equal(move(&a, &b, 100), 1);
	assert_int_equal(b.got, 200);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

/* However little room the last message that fits leaves, the next one begins another frame. */
static void a_frame_is_never_longer_than_its_maximum(void **state)
{
	(void)state;
	const struct wire_msg empty = { .type = WIRE_ASSIGN, .assign.payload = blob_new(0) };
	size_t most = WIRE_FRAME_MAX - 16 - wire_encoded_len(&empty);
	for (size_t left = 0; left < 40; left++) {
		struct side a, b;
		open_side(&a);
		open_side(&b);
		send_assign(&a, most - left);
		send_credit(&a);
		send_assign(&a, 1);
		send_assign(&a, 1);
		for (size_t len = 1; len > 0;) {
			uint8_t *frame = fh_malloc(WIRE_FRAME_MAX);
			struct fh_err err = { "" };
			assert_int_equal(wire_link_next(a.link, frame, &len), 0);
			assert_true(len <= WIRE_FRAME_MAX);
			if (len > 0)
				assert_int_equal(wire_link_receive(b.link, frame, len, deliver, &b,
								   &err),
						 0);
			fh_free(frame);
		}
		assert_int_equal(b.got, 4);
		wire_link_free(&a.link);
		wire_link_free(&b.link);
	}
	struct blob *payload = empty.assign.payload;
	blob_free(&payload);
}

static void a_large_message_goes_in_pieces_and_lets_small_ones_pass(void **state)
{
	(void)state;
	struct side a, b;
	open_side(&a);
	open_side(&b);
	send_assign(&a, 1 << 20);
	send_assign(&a, 3);
	assert_int_equal(move(&a, &b, 2), 2);
	assert_int_equal(b.got, 0);
	send_credit(&a);
	assert_int_equal(move(&a, &b, 1), 1);
	assert_int_equal(b.got, 1);
	assert_int_equal(b.last, WIRE_CREDIT);
	(void)move(&a, &b, 100);
	assert_int_equal(b.got, 3);
	assert_int_equal(b.last, WIRE_ASSIGN);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

static int send_log(struct side *s, size_t len)
{
	struct wire_msg m = { .type = WIRE_LOG, .log.data = blob_new(len) };
	memset(m.log.data->data, 'x', len);
	int ret = wire_link_send(s->link, &m);
	if (ret)
		wire_msg_release(&m);
	return ret;
}

/* Wrong: among what is large. (1) Some tasks print a MiB over a slow line; (2) the result of
 * another one waits behind all of it for seconds. */
static void logs_go_last_and_fill_no_line(void **state)
{
	(void)state;
	struct side a, b;
	static uint8_t frame[WIRE_FRAME_MAX];
	open_side(&a);
	open_side(&b);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(send_log(&a, 10), 0);
	send_assign(&a, 50000);
	b.stop_at = 1;
	assert_int_equal(move(&a, &b, 1), 1);
	assert_int_equal(b.last, WIRE_ASSIGN);
	wire_link_free(&a.link);
	open_side(&a);
	while (send_log(&a, 50000) == 0)
		continue;
	size_t len, sent = 0;
	do {
		assert_int_equal(wire_link_next(a.link, frame, &len), 0);
		sent += len;
	} while (len > 0);
	assert_in_range(sent, WIRE_LOG_WINDOW, WIRE_LOG_WINDOW + WIRE_FRAME_MAX);
	assert_false(wire_link_pending(a.link));
	send_assign(&a, 50000); /* which is not held back by them, and refused neither */
	assert_int_equal(wire_link_next(a.link, frame, &len), 0);
	assert_in_range(len, 50000, WIRE_FRAME_MAX);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

static void logs_that_wait_are_bounded_and_all_go(void **state)
{
	(void)state;
	struct side a, b;
	open_side(&a);
	open_side(&b);
	unsigned sent = 0;
	while (send_log(&a, 1 << 20) == 0)
		sent++;
	assert_int_equal(sent, (WIRE_LOG_QUEUE_MAX >> 20) - 1); /* each has a head, too */
	while (move(&a, &b, 1000) > 0)
		(void)move(&b, &a, 1000);
	assert_int_equal(b.got, sent);
	assert_int_equal(send_log(&a, 1 << 20), 0);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

/* Of a worker that holds so many tasks. */
static void send_heartbeat(struct side *s, uint32_t count)
{
	struct wire_msg m = { .type = WIRE_HEARTBEAT, .heartbeat.in_flight.count = count };
	m.heartbeat.in_flight.list = fh_calloc(count, sizeof *m.heartbeat.in_flight.list);
	assert_non_null(m.heartbeat.in_flight.list);
	assert_int_equal(wire_link_send(s->link, &m), 0);
}

/* Wrong: to let it wait. (1) A worker with many tasks sends large results for some seconds; (2) its
 * heartbeat waits behind them, so it is not answered; (3) it takes us for dead. */
static void a_long_heartbeat_passes_large_messages(void **state)
{
	(void)state;
	struct side a, b;
	open_side(&a);
	open_side(&b);
	send_assign(&a, 1 << 20);
	assert_int_equal(move(&a, &b, 2), 2);
	send_credit(&a);
	send_heartbeat(&a, 2700);
	assert_int_equal(move(&a, &b, 2), 2);
	assert_int_equal(b.got, 2);
	assert_int_equal(b.last, WIRE_HEARTBEAT);
	send_heartbeat(&a, 10000); /* not if it does not fit into a frame */
	(void)move(&a, &b, 100);
	assert_int_equal(b.got, 4);
	assert_int_equal(b.last, WIRE_HEARTBEAT);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

/* Nobody reads: what is large waits, what is urgent does not. */
static void a_slow_reader_holds_back_what_is_large(void **state)
{
	(void)state;
	struct side a;
	static uint8_t frame[WIRE_FRAME_MAX];
	open_side(&a);
	for (unsigned i = 0; i < 200; i++)
		send_assign(&a, 50000);
	size_t len, sent = 0;
	do {
		assert_int_equal(wire_link_next(a.link, frame, &len), 0);
		sent += len;
	} while (len > 0);
	assert_in_range(sent, WIRE_WINDOW, WIRE_WINDOW + WIRE_FRAME_MAX);
	assert_false(wire_link_pending(a.link));
	send_credit(&a);
	assert_true(wire_link_pending(a.link));
	assert_int_equal(wire_link_next(a.link, frame, &len), 0);
	assert_in_range(len, 1, 100);
	assert_int_equal(wire_link_next(a.link, frame, &len), 0);
	assert_int_equal(len, 0);
	wire_link_free(&a.link);
}

/* A reader says what it has received though it has nothing else to say. */
static void a_reader_reports_by_itself(void **state)
{
	(void)state;
	struct side a, b;
	open_side(&a);
	open_side(&b);
	for (unsigned i = 0; i < 1000; i++)
		send_assign(&a, 50000);
	unsigned reports = 0;
	while (b.got < 1000) {
		assert_true(move(&a, &b, 1000) > 0);
		reports += move(&b, &a, 1000);
	}
	assert_in_range(reports, 5, 100);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

static void random_traffic_arrives_whole(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct side a, b, sent_a = { 0 }, sent_b = { 0 };
		uint64_t rng = seed;
		open_side(&a);
		open_side(&b);
		for (unsigned turn = 0; turn < 300; turn++) {
			bool forth = sample_below(&rng, 2);
			uint32_t max = sample_below(&rng, 20) == 0 ? 1 << 20 : 2000;
			struct wire_msg m =
				sample_msg(&rng, 1 + sample_below(&rng, WIRE_TYPE_END - 1), max);
			mix(forth ? &sent_a : &sent_b, &m);
			assert_int_equal(wire_link_send((forth ? &a : &b)->link, &m), 0);
			(void)move(&a, &b, sample_below(&rng, 3));
			(void)move(&b, &a, sample_below(&rng, 3));
		}
		while (move(&a, &b, 1000) + move(&b, &a, 1000) > 0)
			;
		assert_true(b.hash == sent_a.hash && b.sum == sent_a.sum);
		assert_true(a.hash == sent_b.hash && a.sum == sent_b.sum);
		wire_link_free(&a.link);
		wire_link_free(&b.link);
	}
}

static void expect(const uint8_t *frame, size_t len, int ret, const char *line)
{
	struct side s;
	struct fh_err err = { "" };
	open_side(&s);
	uint8_t *exact = fh_malloc(len ? len : 1);
	memcpy(exact, frame, len);
	assert_int_equal(wire_link_receive(s.link, exact, len, deliver, &s, &err), ret);
	if (!strstr(err.text, line))
		fail_msg("'%s' does not say '%s'", err.text, line);
	fh_free(exact);
	wire_link_free(&s.link);
}

static void versions_refuse_each_other_with_a_sentence(void **state)
{
	(void)state;
	static uint8_t frame[WIRE_FRAME_MAX];
	struct side old;
	open_side(&old);
	send_credit(&old);
	size_t len;
	assert_int_equal(wire_link_next(old.link, frame, &len), 0);
	frame[2] = 9;
	expect(frame, len, FH_EVERSION, "protocol version 9 meets version 1");
	len = wire_link_refusal(frame, "protocol version 9 meets version 1");
	frame[2] = 9; /* whoever wrote it */
	expect(frame, len, FH_ECLOSED, "the other side refuses: protocol version 9 meets");
	len = wire_link_refusal(frame, "one\nforged log line");
	expect(frame, len, FH_ECLOSED, "the other side refuses: one");
	wire_link_free(&old.link);
}

static void junk_is_refused(void **state)
{
	(void)state;
	expect((const uint8_t *)"", 0, FH_EPROTO, "not a frame");
	expect((const uint8_t *)"GET / HTTP/1.1\r\n\r\n", 18, FH_EPROTO, "not a frame");
	expect((const uint8_t *)"FH\1\1", 4, FH_EPROTO, "a frame of 4 bytes");
	expect((const uint8_t *)"FH\1\7xxxxxxxx", 12, FH_EPROTO, "kind 7");
	expect((const uint8_t *)"FH\1\1\1\0\0\0\0\0\0\0", 12, FH_EPROTO, "an earlier connection");
	expect((const uint8_t *)"FH\1\1\0\0\0\0\0\0\0\0\1", 13, FH_EPROTO, "ends beyond");
	expect((const uint8_t *)"FH\1\1\0\0\0\0\0\0\0\0\2\0\0\0\1", 17, FH_EPROTO, "ends beyond");
	expect((const uint8_t *)"FH\1\1\0\0\0\0\0\0\0\0\0\0\0\0", 16, FH_EPROTO, "empty message");
	expect((const uint8_t *)"FH\1\2\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 20, FH_EPROTO,
	       "a piece without bytes");
	expect((const uint8_t *)"FH\1\2\0\0\0\0\0\0\0\0\3\0\0\0\1\0\0\0x", 21, FH_EPROTO,
	       "a piece of 1 bytes at 1 of 3, where 0 of 0");
	expect((const uint8_t *)"FH\1\2\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0xy", 22, FH_EPROTO,
	       "a piece of 2 bytes at 0 of 1");
	expect((const uint8_t *)"FH\1\2\0\0\0\0\0\0\0\0\1\0\0\x7F\0\0\0\0x", 21, FH_EPROTO,
	       "a piece of 1 bytes at 0 of 2130706433");
}

static bool note_type(void *ctx, struct wire_msg *own_msg)
{
	*(enum wire_type *)ctx = own_msg->type;
	wire_msg_release(own_msg);
	return true;
}

/* The frame in the file that is called like this type, behind its length. */
static void expect_in_corpus(enum wire_type type)
{
	char path[512];
	(void)snprintf(path, sizeof path, "%s/%s", TEST_CORPUS_DIR, wire_type_name(type));
	for (char *c = strrchr(path, '/'); *c; c++)
		*c = (char)tolower((unsigned char)*c);
	FILE *file = fopen(path, "rb");
	if (!file)
		fail_msg("there is no %s", path);
	uint8_t bytes[4096];
	size_t len = fread(bytes, 1, sizeof bytes, file);
	assert_int_equal(fclose(file), 0);
	assert_true(len > 2 && len - 2 == (bytes[0] | (size_t)bytes[1] << 8));
	struct wire_link *link;
	enum wire_type found = 0;
	struct fh_err err = { "" };
	assert_int_equal(wire_link_new(&link), 0);
	if (wire_link_receive(link, bytes + 2, len - 2, note_type, &found, &err))
		fail_msg("%s: %s", path, err.text);
	assert_int_equal(found, type);
	wire_link_free(&link);
}

/* What the fuzzer changes must be right to begin with. */
static void the_fuzzer_begins_with_every_message(void **state)
{
	(void)state;
	for (enum wire_type type = 1; type < WIRE_TYPE_END; type++)
		expect_in_corpus(type);
}

static void a_count_beyond_what_was_sent_is_refused(void **state)
{
	(void)state;
	static uint8_t frame[WIRE_FRAME_MAX];
	struct side s;
	struct fh_err err = { "" };
	size_t len;
	open_side(&s);
	send_credit(&s);
	assert_int_equal(wire_link_next(s.link, frame, &len), 0);
	assert_true(len < 127);
	uint8_t claim[12] = { 'F', 'H', 1, 1, (uint8_t)len };
	assert_int_equal(wire_link_receive(s.link, claim, sizeof claim, deliver, &s, &err), 0);
	claim[4]++;
	assert_int_equal(wire_link_receive(s.link, claim, sizeof claim, deliver, &s, &err),
			 FH_EPROTO);
	assert_non_null(strstr(err.text, "a count of received"));
	wire_link_free(&s.link);
}

static void a_receiver_that_has_had_enough_gets_no_more(void **state)
{
	(void)state;
	struct side a, b;
	open_side(&a);
	open_side(&b);
	b.stop_at = 2;
	for (unsigned i = 0; i < 5; i++)
		send_credit(&a);
	(void)move(&a, &b, 1);
	assert_int_equal(b.got, 2);
	wire_link_free(&a.link);
	wire_link_free(&b.link);
}

static void limits_refuse_and_take_nothing(void **state)
{
	(void)state;
	struct side a;
	open_side(&a);
	struct wire_msg m = { .type = WIRE_ASSIGN, .assign.payload = blob_new(WIRE_MESSAGE_MAX) };
	assert_int_equal(wire_link_send(a.link, &m), FH_ETOOBIG);
	assert_int_equal(m.type, WIRE_ASSIGN);
	wire_msg_release(&m);
	for (unsigned i = 0; i < WIRE_QUEUE_MAX; i++)
		send_credit(&a);
	m = (struct wire_msg){ .type = WIRE_CREDIT };
	assert_int_equal(wire_link_send(a.link, &m), FH_EFULL);
	wire_link_free(&a.link);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_messages_share_a_frame),
		cmocka_unit_test(a_frame_is_never_longer_than_its_maximum),
		cmocka_unit_test(a_large_message_goes_in_pieces_and_lets_small_ones_pass),
		cmocka_unit_test(logs_go_last_and_fill_no_line),
		cmocka_unit_test(logs_that_wait_are_bounded_and_all_go),
		cmocka_unit_test(a_long_heartbeat_passes_large_messages),
		cmocka_unit_test(a_slow_reader_holds_back_what_is_large),
		cmocka_unit_test(a_reader_reports_by_itself),
		cmocka_unit_test(random_traffic_arrives_whole),
		cmocka_unit_test(versions_refuse_each_other_with_a_sentence),
		cmocka_unit_test(junk_is_refused),
		cmocka_unit_test(the_fuzzer_begins_with_every_message),
		cmocka_unit_test(a_count_beyond_what_was_sent_is_refused),
		cmocka_unit_test(a_receiver_that_has_had_enough_gets_no_more),
		cmocka_unit_test(limits_refuse_and_take_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
