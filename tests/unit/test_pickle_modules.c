/* src/base/pickle_modules: what streams of real picklers name, and that what nobody writes does no
 * harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/needs.h"
#include "base/pickle.h"
#include "pickle_samples.h"

static void check(const void *data, size_t len, const char *expected)
{
	char *modules = NULL;
	uint8_t *copy = fh_malloc(len); /* of exactly its size: a step too far is seen */
	assert_non_null(copy);
	memcpy(copy, data, len);
	assert_int_equal(pickle_modules(copy, len, &modules), 0);
	if (expected) {
		assert_non_null(modules);
		assert_string_equal(modules, expected);
	} else {
		assert_null(modules);
	}
	fh_free(modules);
	fh_free(copy);
}

#define CHECK(bytes, expected) check("\x80\x04" bytes ".", sizeof bytes + 2, expected)

static void real_streams_name_their_modules(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof pickle_samples / sizeof *pickle_samples; i++) {
		const char *text = pickle_samples[i].stream;
		uint8_t data[8192];
		size_t len = 0;
		assert_true(base64_decoded_max(strlen(text)) <= sizeof data);
		assert_int_equal(base64_decode(text, strlen(text), data, &len), 0);
		check(data, len, pickle_samples[i].modules);
	}
}

static void names_that_come_from_elsewhere_are_not_guessed(void **state)
{
	(void)state;
	CHECK("N", NULL);
	CHECK("\x93", NULL); /* of nothing */
	CHECK("\x8c\x01"
	      "a\x93",
	      NULL); /* of one string */
	CHECK("\x8c\x01"
	      "aN\x93",
	      NULL);
	CHECK("\x8c\x01"
	      "aK\x01\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("h\x00h\x01\x93", NULL); /* a memo that is empty */
	CHECK("\x8c\x01"
	      "a\x8c\x01"
	      "b\x93",
	      "a");
	CHECK("\x8c\x03"
	      "a.b\x8c\x01"
	      "c\x93",
	      "a");
	CHECK("\x8c\x01"
	      "a\x94\x8c\x01"
	      "b\x94\x93\x94"
	      "0h\x00h\x01\x93",
	      "a");
	/* What no import statement could name. */
	CHECK("\x8c\x00\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("\x8c\x02"
	      ".a\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("\x8c\x03"
	      "a,b\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("\x8c\x03"
	      "a;b\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("\x8c\x03"
	      "a b\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("\x8c\x02"
	      "a\xff\x8c\x01"
	      "b\x93",
	      NULL);
	CHECK("cbad\xffname\nx\n", NULL);
	CHECK("c\nx\n", NULL);
	CHECK("imylab.a\nx\n", "mylab");
	CHECK("\x8c\x04\xc3\xbc.x\x8c\x01"
	      "b\x93",
	      "\xc3\xbc");
}

static void what_every_worker_has_is_left_out(void **state)
{
	(void)state;
	CHECK("c__main__\nf\n", NULL);
	CHECK("c__mp_main__\nf\n", NULL);
	CHECK("cbuiltins\nlen\n", NULL);
	CHECK("cfarhand.runner\nf\n", NULL);
	CHECK("cos.path\njoin\n", NULL);
	CHECK("czoneinfo\nZoneInfo\n", NULL);
	CHECK("c__future__\ndivision\n", NULL);
	CHECK("cfarhand2\nf\n", "farhand2");
	CHECK("cos,path\njoin\n", NULL);
	CHECK("cxmlrpclib,\njoin\n", NULL);
	/* Optional ones and those that a newer Python has dropped are not in each. */
	CHECK("csqlite3\nRow\n", "sqlite3");
	CHECK("casyncore\nloop\n", "asyncore");
}

static void the_list_is_sorted_bounded_and_without_doubles(void **state)
{
	(void)state;
	uint8_t data[4096] = { 0x80, 4 };
	size_t len = 2;
	char *modules = NULL;
	for (int i = 99; i >= 0; i--) {
		uint8_t name[] = { 'c', 'm', (uint8_t)('0' + i / 10), (uint8_t)('0' + i % 10), '\n',
				   'f', '\n' };
		for (int twice = 0; twice < 2; twice++, len += sizeof name)
			memcpy(data + len, name, sizeof name);
	}
	data[len++] = '.';
	assert_int_equal(pickle_modules(data, len, &modules), 0);
	assert_true(strlen(modules) < NEEDS_TEXT);
	for (size_t i = 0; modules[i]; i += 4) {
		assert_int_equal(modules[i], 'm');
		if (i)
			assert_true(memcmp(modules + i - 4, modules + i, 3) < 0);
		if (!modules[i + 3])
			break;
	}
	fh_free(modules);
	/* A name that is too long is none; one that just fits is. */
	memset(data + 3, 'x', 200);
	data[2] = 'c';
	memcpy(data + 3 + NEEDS_MODULE_MAX, "\nf\n.", 4);
	assert_int_equal(pickle_modules(data, 3 + NEEDS_MODULE_MAX + 4, &modules), 0);
	assert_int_equal(strlen(modules), NEEDS_MODULE_MAX);
	fh_free(modules);
	data[3 + NEEDS_MODULE_MAX] = 'x';
	memcpy(data + 4 + NEEDS_MODULE_MAX, "\nf\n.", 4);
	assert_int_equal(pickle_modules(data, 4 + NEEDS_MODULE_MAX + 4, &modules), 0);
	assert_null(modules);
}

static void a_memo_has_an_end(void **state)
{
	(void)state;
	enum { STRINGS = 5000, EACH = 4 };
	uint8_t *data = fh_malloc(STRINGS * EACH + 64);
	size_t len = 2;
	data[0] = 0x80;
	data[1] = 4;
	for (int i = 0; i < STRINGS; i++, len += EACH)
		memcpy(data + len, "\x8c\x01m\x94", EACH);
	/* The first strings are remembered, the last ones are not. */
	memcpy(data + len, "h\x01h\x02\x93", 5);
	memcpy(data + len + 5, "j\x80\x13\0\0h\x02\x93.", 9);
	check(data, len + 14, "m");
	memcpy(data + len, "j\x80\x13\0\0h\x02\x93.", 9);
	check(data, len + 9, NULL);
	fh_free(data);
}

static void what_is_no_pickle_has_no_modules(void **state)
{
	(void)state;
	char *modules = NULL;
	assert_int_equal(pickle_modules("cmylab\nf\n.", 10, &modules), FH_ESYNTAX);
	assert_int_equal(pickle_modules("\x80\x04"
					"cmylab\nf\n",
					11, &modules),
			 FH_ESYNTAX);
	assert_null(modules);
}

static void plain_payloads_allocate_nothing(void **state)
{
	(void)state;
	static const char stream[] = "\x80\x05\x4b\x01\x85\x7d\x86.", named[] = "\x80\x04"
										"cmylab\nf\n.";
	char *modules = NULL;
	fh_mem_fail_after(1);
	assert_int_equal(pickle_modules(stream, sizeof stream - 1, &modules), 0);
	assert_null(modules);
	assert_int_equal(pickle_modules(named, sizeof named - 1, &modules), FH_ENOMEM);
	fh_mem_fail_after(2);
	assert_int_equal(pickle_modules(named, sizeof named - 1, &modules), FH_ENOMEM);
	fh_mem_fail_after(0);
	assert_null(modules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_streams_name_their_modules),
		cmocka_unit_test(names_that_come_from_elsewhere_are_not_guessed),
		cmocka_unit_test(what_every_worker_has_is_left_out),
		cmocka_unit_test(the_list_is_sorted_bounded_and_without_doubles),
		cmocka_unit_test(a_memo_has_an_end),
		cmocka_unit_test(what_is_no_pickle_has_no_modules),
		cmocka_unit_test(plain_payloads_allocate_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
