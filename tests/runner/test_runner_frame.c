/* The decoder of frames by itself: what it takes, what it refuses, and that memory can end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "runner/frame.h"

static const struct frame_bounds bounds = { 1000, 100 };

static struct frame_answer failed_answer(void)
{
	return (struct frame_answer){ .kind = FRAME_RESULT,
				      .reason = REASON_EXCEPTION,
				      .type_len = 4,
				      .job = 7,
				      .message_len = 3,
				      .value_len = 2,
				      .traceback_len = 1,
				      .out_len = 5,
				      .err_len = 6 };
}

static int decode(const struct frame_answer *a, size_t len, bool in_file, struct frame *ret_frame)
{
	uint8_t message[4096] = { 0 };
	memcpy(message, a, sizeof *a);
	return frame_decode(message, len, in_file, &bounds, ret_frame);
}

static void a_whole_answer_is_taken(void **state)
{
	(void)state;
	struct frame_answer a = failed_answer();
	struct frame f;
	assert_int_equal(decode(&a, 64 + 21, false, &f), 0);
	assert_int_equal(f.kind, FRAME_RESULT);
	assert_int_equal(f.job, 7);
	assert_int_equal(f.rest_len, 19);
	assert_int_equal(decode(&a, 64, true, &f), 0);
}

static void what_does_not_fit_is_refused(void **state)
{
	(void)state;
	struct frame_answer a = failed_answer();
	struct frame f;
	for (size_t len = 0; len < 200; len++) {
		if (len != 64 + 21)
			assert_int_equal(decode(&a, len, false, &f), FH_EPROTO);
		if (len != 64)
			assert_int_equal(decode(&a, len, true, &f), FH_EPROTO);
	}
}

static void bounds_hold(void **state)
{
	(void)state;
	struct frame f;
	struct frame_answer a = failed_answer();
	a.value_len = bounds.value_max;
	a.out_len = a.err_len = (uint32_t)bounds.log_max;
	a.message_len = a.traceback_len = a.type_len = FRAME_TEXT_MAX;
	assert_int_equal(decode(&a, 64, true, &f), 0);
	struct frame_answer b = a;
	b.value_len++;
	assert_int_equal(decode(&b, 64, true, &f), FH_EPROTO);
	b = a;
	b.out_len++;
	assert_int_equal(decode(&b, 64, true, &f), FH_EPROTO);
	b = a;
	b.err_len++;
	assert_int_equal(decode(&b, 64, true, &f), FH_EPROTO);
	b = a;
	b.message_len++;
	assert_int_equal(decode(&b, 64, true, &f), FH_EPROTO);
	b = a;
	b.traceback_len = UINT32_MAX;
	assert_int_equal(decode(&b, 64, true, &f), FH_EPROTO);
	b = a;
	b.type_len = 0;
	assert_int_equal(decode(&b, 64, true, &f), FH_EPROTO);
}

static void only_a_childs_reasons_are_taken(void **state)
{
	(void)state;
	struct frame f;
	for (unsigned reason = 0; reason < 256; reason++) {
		struct frame_answer a = failed_answer();
		bool is_failure = reason == REASON_EXCEPTION || reason == REASON_MEMORY ||
				  reason == REASON_UNDECODABLE || reason == REASON_UNSERIALISABLE ||
				  reason == REASON_RESULT_TOO_LARGE;
		a.reason = (uint8_t)reason;
		assert_int_equal(decode(&a, 64, true, &f), is_failure ? 0 : FH_EPROTO);
	}
	struct frame_answer done = { .kind = FRAME_RESULT, .value_len = 1 };
	assert_int_equal(decode(&done, 65, false, &f), 0);
	done.message_len = 1;
	assert_int_equal(decode(&done, 66, false, &f), FH_EPROTO);
	done = (struct frame_answer){ .kind = FRAME_RESULT };
	assert_int_equal(decode(&done, 64, false, &f), FH_EPROTO);
	done = (struct frame_answer){ .kind = FRAME_RESULT, .value_len = 1, .flags = 2 };
	assert_int_equal(decode(&done, 65, false, &f), FH_EPROTO);
}

static void texts_become_utf8(void **state)
{
	(void)state;
	static const char from[] =
		"a\xff\0\xe2\x82\xac\xed\xa0\x80\xc0\xaf\xf0\x9f\x98\x80\xe2\x82";
	char *text = frame_text((const uint8_t *)from, sizeof from - 1);
	assert_string_equal(text, "a??\xe2\x82\xac?????\xf0\x9f\x98\x80??");
	fh_free(text);
}

static void without_memory_nothing_is_kept(void **state)
{
	(void)state;
	struct frame_answer a = failed_answer();
	struct frame f;
	struct task_result r;
	struct blob *value = blob_copy("vv", 2);
	assert_int_equal(decode(&a, 64 + 21, false, &f), 0);
	for (unsigned n = 1; n <= 5; n++) {
		fh_mem_fail_after(n);
		assert_int_equal(frame_result(&f, value, (const uint8_t *)"typemsgtstdoustderr",
					      &r),
				 FH_ENOMEM);
	}
	fh_mem_fail_after(0);
	assert_int_equal(frame_result(&f, value, (const uint8_t *)"typemsgtstdoustderr", &r), 0);
	assert_string_equal(r.error_type, "type");
	assert_string_equal(r.error_message, "msg");
	assert_string_equal(r.traceback, "t");
	assert_int_equal(r.out->len, 5);
	assert_int_equal(r.err->len, 6);
	assert_memory_equal(r.err->data, "stderr", 6);
	assert_ptr_equal(r.value, value);
	task_result_release(&r);
	blob_free(&value); /* the sanitizer sees a leak */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_answer_is_taken),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(bounds_hold),
		cmocka_unit_test(only_a_childs_reasons_are_taken),
		cmocka_unit_test(texts_become_utf8),
		cmocka_unit_test(without_memory_nothing_is_kept),
	};
	return cmocka_run_group_tests_name("runner_frame", tests, NULL, NULL);
}
