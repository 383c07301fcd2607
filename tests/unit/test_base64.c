/* src/base/base64: what Python writes is read, what Python refuses is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"

/* Made with binascii.a2b_base64(); NULL: it raised binascii.Error. */
static const struct {
	const char *text;
	size_t len;
	const char *bytes;
	size_t bytes_len;
} cases[] = {
	{ "", 0, "", 0 },
	{ "=", 1, "", 0 },
	{ "==", 2, "", 0 },
	{ "A", 1, NULL, 0 },
	{ "A=", 2, NULL, 0 },
	{ "AA", 2, NULL, 0 },
	{ "AA=", 3, NULL, 0 },
	{ "AA==", 4, "\x00", 1 },
	{ "AA===", 5, "\x00", 1 },
	{ "AAA", 3, NULL, 0 },
	{ "AAA=", 4, "\x00\x00", 2 },
	{ "AAA==", 5, "\x00\x00", 2 },
	{ "AAAA", 4, "\x00\x00\x00", 3 },
	{ "AAAA=", 5, "\x00\x00\x00", 3 },
	{ "AAAA==", 6, "\x00\x00\x00", 3 },
	{ "A===", 4, NULL, 0 },
	{ "====", 4, "", 0 },
	{ "QUJD", 4, "\x41\x42\x43", 3 },
	{ "QUJD\n", 5, "\x41\x42\x43", 3 },
	{ "QU\nJD", 5, "\x41\x42\x43", 3 },
	{ "Q U J D", 7, "\x41\x42\x43", 3 },
	{ "QUJDRA==", 8, "\x41\x42\x43\x44", 4 },
	{ "QUJDRA==\n", 9, "\x41\x42\x43\x44", 4 },
	{ "QUJDRA", 6, NULL, 0 },
	{ "QUJDRA=", 7, NULL, 0 },
	{ "QUJDRA=\n=", 9, "\x41\x42\x43\x44", 4 },
	{ "QUJDRAAA==", 10, "\x41\x42\x43\x44\x00\x00", 6 },
	{ "QUJDRA==QUJD", 12, "\x41\x42\x43\x44", 4 },
	{ "QU=JD", 5, "\x41\x42\x43", 3 },
	{ "QUJ=D", 5, "\x41\x42", 2 },
	{ "Q=UJD", 5, "\x41\x42\x43", 3 },
	{ "QUJD====", 8, "\x41\x42\x43", 3 },
	{ "!!!!", 4, "", 0 },
	{ "QUJD!", 5, "\x41\x42\x43", 3 },
	{ "-_-_", 4, "", 0 },
	{ "payload", 7, NULL, 0 },
	{ "None", 4, "\x36\x89\xde", 3 },
	{ "+/+/", 4, "\xfb\xff\xbf", 3 },
	{ "QQ=A=", 5, "\x41\x00", 2 },
	{ "QQ=A==", 6, "\x41\x00", 2 },
	{ "QUE=QUE=", 8, "\x41\x41", 2 },
	{ "\0\0QUJD", 6, "\x41\x42\x43", 3 },
	{ "QUJDR", 5, NULL, 0 },
	{ "QUJDRU", 6, NULL, 0 },
	{ "QUJDRUY=", 8, "\x41\x42\x43\x45\x46", 5 },
};

static void decodes_as_python_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t out[64];
		size_t len = 99;
		int ret = base64_decode(cases[i].text, cases[i].len, out, &len);
		if (!cases[i].bytes) {
			assert_int_equal(ret, FH_ESYNTAX);
			assert_int_equal(len, 99);
			continue;
		}
		assert_int_equal(ret, 0);
		assert_int_equal(len, cases[i].bytes_len);
		assert_memory_equal(out, cases[i].bytes, len);
	}
}

static void round_trips_every_length(void **state)
{
	(void)state;
	uint8_t data[300], back[400];
	char text[600];
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 151 + 7);
	for (size_t len = 0; len <= sizeof data; len++) {
		size_t back_len;
		size_t chars = base64_encoded_len(len);
		base64_encode(data, len, text);
		assert_true(base64_decoded_max(chars) <= sizeof back);
		assert_int_equal(base64_decode(text, chars, back, &back_len), 0);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, data, len);
		chars = base64_lines_len(len);
		base64_encode_lines(data, len, text);
		assert_int_equal(base64_decode(text, chars, back, &back_len), 0);
		assert_int_equal(back_len, len);
		assert_memory_equal(back, data, len);
		if (len)
			assert_int_equal(text[chars - 1], '\n');
		for (size_t i = 0; i < chars; i++)
			assert_int_equal(text[i] == '\n', i % 77 == 76 || i == chars - 1);
	}
}

static void junk_between_groups_costs_nothing_but_itself(void **state)
{
	(void)state;
	enum { GROUPS = 1000 };
	char *text = fh_malloc(GROUPS * 7);
	uint8_t *out = fh_malloc(base64_decoded_max(GROUPS * 7));
	assert_non_null(text);
	assert_non_null(out);
	size_t len = 0, out_len;
	for (int i = 0; i < GROUPS; i++)
		len += (size_t)snprintf(text + len, 8, i % 3 ? "QUJD" : "Q\nU\rJD ");
	assert_int_equal(base64_decode(text, len, out, &out_len), 0);
	assert_int_equal(out_len, GROUPS * 3);
	for (size_t i = 0; i < out_len; i++)
		assert_int_equal(out[i], "ABC"[i % 3]);
	fh_free(text);
	fh_free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_as_python_does),
		cmocka_unit_test(round_trips_every_length),
		cmocka_unit_test(junk_between_groups_costs_nothing_but_itself),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
