/* Messages as bytes: what goes in comes out, and nothing else is a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/codec.h"
#include "wire_samples.h"

struct bytes {
	uint8_t *data;
	size_t len;
};

static struct bytes encode(const struct wire_msg *m)
{
	struct bytes b = { .len = wire_encoded_len(m) };
	b.data = fh_malloc(b.len); /* exactly, so that the address sanitizer sees a byte beyond */
	assert_non_null(b.data);
	wire_encode(m, b.data);
	return b;
}

/* A copy of the first `len` bytes is no message, and the line says so. */
static void refuse(const uint8_t *data, size_t len, const char *line)
{
	struct wire_msg m;
	struct fh_err err = { "" };
	uint8_t *copy = fh_malloc(len ? len : 1);
	memcpy(copy, data, len);
	assert_int_equal(wire_decode(copy, len, &m, &err), FH_EPROTO);
	if (!strstr(err.text, line))
		fail_msg("'%s' does not say '%s'", err.text, line);
	fh_free(copy);
}

static void a_message_survives_the_way(void **state)
{
	(void)state;
	uint64_t seed = 1;
	for (unsigned i = 0; i < 2000; i++) {
		enum wire_type type = 1 + i % (WIRE_TYPE_END - 1);
		struct wire_msg m = sample_msg(&seed, type, 200), back;
		struct bytes once = encode(&m);
		assert_int_equal(wire_decode(once.data, once.len, &back, NULL), 0);
		struct bytes again = encode(&back);
		assert_int_equal(back.type, type);
		assert_int_equal(again.len, once.len);
		assert_memory_equal(again.data, once.data, once.len);
		fh_free(once.data);
		fh_free(again.data);
		wire_msg_release(&m);
		wire_msg_release(&back);
	}
}

static void the_fields_are_where_they_were(void **state)
{
	(void)state;
	struct wire_msg m = {
		.type = WIRE_RESULT,
		.result = { .retry_match = true,
			    .token = { 1, 2 },
			    .result = { .state = TASK_FAILED,
					.reason = REASON_MEMORY,
					.error_type = (char *)"T",
					.traceback = (char *)"tb",
					.started_ms = -5,
					.finished_ms = 6,
					.deserialize_us = 7,
					.run_us = 8,
					.serialize_us = 9,
					.out_cut = true,
					.runtime = "cp311" } },
	};
	struct bytes b = encode(&m);
	struct wire_msg back;
	assert_int_equal(wire_decode(b.data, b.len, &back, NULL), 0);
	const struct task_result *r = &back.result.result;
	assert_true(back.result.retry_match && r->out_cut && !r->err_cut);
	assert_int_equal(back.result.token.attempt, 1);
	assert_int_equal(back.result.token.generation, 2);
	assert_int_equal(r->state, TASK_FAILED);
	assert_int_equal(r->reason, REASON_MEMORY);
	assert_string_equal(r->error_type, "T");
	assert_null(r->error_message);
	assert_string_equal(r->traceback, "tb");
	assert_true(r->started_ms == -5 && r->finished_ms == 6);
	assert_true(r->deserialize_us == 7 && r->run_us == 8 && r->serialize_us == 9);
	assert_string_equal(r->runtime, "cp311");
	assert_true(!r->value && !r->out && !r->err);
	wire_msg_release(&back);
	fh_free(b.data);
}

/* Whatever was decoded before the end is given back: the address sanitizer counts. */
static void a_message_that_ends_early_or_late_is_refused(void **state)
{
	(void)state;
	uint64_t seed = 7;
	for (unsigned type = 1; type < WIRE_TYPE_END; type++) {
		struct wire_msg m = sample_msg(&seed, type, 40);
		struct bytes b = encode(&m);
		for (size_t len = 1; len < b.len; len++)
			refuse(b.data, len, wire_type_name(type));
		uint8_t *longer = fh_malloc(b.len + 1);
		memcpy(longer, b.data, b.len);
		longer[b.len] = 0;
		refuse(longer, b.len + 1, wire_type_name(type));
		fh_free(longer);
		fh_free(b.data);
		wire_msg_release(&m);
	}
	refuse((const uint8_t *)"", 0, "empty");
	refuse((const uint8_t *)"\0", 1, "unknown type 0");
	refuse((const uint8_t *)"\xFF", 1, "unknown type 255");
}

static void change(const struct wire_msg *m, size_t at, uint8_t value, const char *line)
{
	struct bytes b = encode(m);
	b.data[at] = value;
	refuse(b.data, b.len, line);
	fh_free(b.data);
}

static void values_outside_their_range_are_refused(void **state)
{
	(void)state;
	struct wire_msg result = { .type = WIRE_RESULT };
	enum { FLAG = 1 + 16 + 8, STATE, REASON };
	change(&result, FLAG, 2, "RESULT with a wrong result.retry_match");
	change(&result, STATE, TASK_STATE_COUNT, "RESULT with a wrong result.result.state");
	change(&result, REASON, REASON_COUNT, "RESULT with a wrong result.result.reason");
	struct wire_msg hello = { .type = WIRE_HELLO, .hello = { .runtime = "cp311" } };
	enum { WORD = 1 + 16 + 4 };
	change(&hello, WORD, ' ', "hello.runtime");
	change(&hello, WORD + 7, 'x', "hello.runtime");
	change(&hello, WORD + 2, 0, "hello.runtime");
	hello.hello.host = (char *)"abc";
	enum { TEXT = WORD + 8 + 4 };
	change(&hello, TEXT, 0, "hello.host");
	change(&hello, TEXT + 1, 0xC3, "hello.host");
	struct wire_msg function = { .type = WIRE_FUNCTION };
	change(&function, 1 + 16, SERIALIZER_COUNT, "function.serializer");
	struct wire_msg bye = { .type = WIRE_BYE };
	change(&bye, 1, WIRE_BYE_END, "bye.why");
}

/* Four billion entries are announced, none is there: no memory is taken for them. */
static void an_announced_length_is_not_believed(void **state)
{
	(void)state;
	static const uint8_t heartbeat[] = { WIRE_HEARTBEAT, 0,	   0,	 0,   0, 0, 0, 0, 0,
					     0xFF,	     0xFF, 0xFF, 0xFF };
	refuse(heartbeat, sizeof heartbeat, "HEARTBEAT with a wrong heartbeat.in_flight");
	struct wire_msg assign = { .type = WIRE_ASSIGN, .assign.payload = blob_copy("x", 1) };
	struct bytes b = encode(&assign);
	b.data[b.len - 2] = 0xFE; /* the top byte of the length */
	refuse(b.data, b.len, "ASSIGN with a wrong assign.payload");
	fh_free(b.data);
	wire_msg_release(&assign);
}

static void without_memory_nothing_is_kept(void **state)
{
	(void)state;
	struct wire_msg m = { .type = WIRE_RESULT,
			      .result.result = { .error_type = (char *)"E",
						 .error_message = (char *)"m",
						 .value = blob_copy("value", 5) } };
	struct bytes b = encode(&m);
	for (unsigned n = 1; n <= 3; n++) {
		struct wire_msg back;
		fh_mem_fail_after(n);
		assert_int_equal(wire_decode(b.data, b.len, &back, NULL), FH_ENOMEM);
		fh_mem_fail_after(0);
	}
	fh_free(b.data);
	blob_free(&m.result.result.value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_survives_the_way),
		cmocka_unit_test(the_fields_are_where_they_were),
		cmocka_unit_test(a_message_that_ends_early_or_late_is_refused),
		cmocka_unit_test(values_outside_their_range_are_refused),
		cmocka_unit_test(an_announced_length_is_not_believed),
		cmocka_unit_test(without_memory_nothing_is_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
