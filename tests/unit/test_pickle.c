/* src/base/pickle: real streams of every protocol pass, cut or changed ones do not, and what the
 * server writes itself is what Python would have written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/pickle.h"
#include "base/utf8.h"

/* pickle.dumps(([datetime.datetime(2020, 1, 1), OrderedDict(a=1), 10**40, -1, 2.5, b"b" * 9,
 * {4: frozenset([5])}, ValueError("no")], {}), protocol) for protocols 2 to 5, in base64. */
static const char *const streams[] = {
	"gAJdcQAoY2RhdGV0aW1lCmRhdGV0aW1lCnEBY19jb2RlY3MKZW5jb2RlCnECWAsAAAAHw6QBAQAA"
	"AAAAAHEDWAYAAABsYXRpbjFxBIZxBVJxBoVxB1JxCGNjb2xsZWN0aW9ucwpPcmRlcmVkRGljdApx"
	"CSlScQpYAQAAAGFxC0sBc4oRAAAAAABh9bmrv6Rcw/EpYx1K/////0dABAAAAAAAAGgCWAkAAABi"
	"YmJiYmJiYmJxDGgEhnENUnEOfXEPSwRjX19idWlsdGluX18KZnJvemVuc2V0CnEQXXERSwVhhXES"
	"UnETc2NleGNlcHRpb25zClZhbHVlRXJyb3IKcRRYAgAAAG5vcRWFcRZScRdlfXEYhnEZLg==",
	"gANdcQAoY2RhdGV0aW1lCmRhdGV0aW1lCnEBQwoH5AEBAAAAAAAAcQKFcQNScQRjY29sbGVjdGlv"
	"bnMKT3JkZXJlZERpY3QKcQUpUnEGWAEAAABhcQdLAXOKEQAAAAAAYfW5q7+kXMPxKWMdSv////9H"
	"QAQAAAAAAABDCWJiYmJiYmJiYnEIfXEJSwRjYnVpbHRpbnMKZnJvemVuc2V0CnEKXXELSwVhhXEM"
	"UnENc2NidWlsdGlucwpWYWx1ZUVycm9yCnEOWAIAAABub3EPhXEQUnERZX1xEoZxEy4=",
	"gASVtAAAAAAAAABdlCiMCGRhdGV0aW1llIwIZGF0ZXRpbWWUk5RDCgfkAQEAAAAAAACUhZRSlIwL"
	"Y29sbGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClSlIwBYZRLAXOKEQAAAAAAYfW5q7+kXMPxKWMd"
	"Sv////9HQAQAAAAAAABDCWJiYmJiYmJiYpR9lEsEKEsFkZRzjAhidWlsdGluc5SMClZhbHVlRXJy"
	"b3KUk5SMAm5vlIWUUpRlfZSGlC4=",
	"gAWVtAAAAAAAAABdlCiMCGRhdGV0aW1llIwIZGF0ZXRpbWWUk5RDCgfkAQEAAAAAAACUhZRSlIwL"
	"Y29sbGVjdGlvbnOUjAtPcmRlcmVkRGljdJSTlClSlIwBYZRLAXOKEQAAAAAAYfW5q7+kXMPxKWMd"
	"Sv////9HQAQAAAAAAABDCWJiYmJiYmJiYpR9lEsEKEsFkZRzjAhidWlsdGluc5SMClZhbHVlRXJy"
	"b3KUk5SMAm5vlIWUUpRlfZSGlC4=",
};

static size_t decode(const char *text, uint8_t *out)
{
	size_t len = 0;
	assert_int_equal(base64_decode(text, strlen(text), out, &len), 0);
	return len;
}

static void real_streams_pass_whole_and_only_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
		uint8_t data[1024];
		size_t len = decode(streams[i], data);
		assert_int_equal(pickle_check(data, len), 0);
		for (size_t cut = 0; cut < len; cut++) {
			/* In memory of exactly that size, so that a step too far is seen. */
			uint8_t *part = fh_malloc(cut);
			memcpy(part, data, cut);
			assert_int_equal(pickle_check(part, cut), FH_ESYNTAX);
			fh_free(part);
		}
		data[len] = '\n';
		assert_int_equal(pickle_check(data, len + 1), FH_ESYNTAX);
	}
}

static void what_is_no_pickle_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
	} bad[] = {
		{ "", 0 },
		{ ".", 1 },
		{ "\x80", 1 },
		{ "\x80\x04", 2 },
		{ "N.", 2 },			     /* protocol 0 */
		{ "\x80\x01N.", 4 },		     /* protocol 1 has no such mark */
		{ "\x80\x06N.", 4 },		     /* unheard of */
		{ "\x80\x04N", 3 },		     /* no STOP */
		{ "\x80\x04N..", 5 },		     /* two */
		{ "\x80\x04\x00.", 4 },		     /* unknown opcode */
		{ "\x80\x04\xff.", 4 },		     /* unknown opcode */
		{ "\x80\x04X\xff\xff\xff\xff.", 8 }, /* a string of 4 GiB */
		{ "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", 12 }, /* of 2^64 - 1 */
		{ "\x80\x04\x95\x09\0\0\0\0\0\0\0N.", 13 }, /* a frame behind the end */
		{ "\x80\x04"
		  "cmodule\nname.",
		  15 }, /* the second line has no end */
		{ "\x80\x02I5.", 5 },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		uint8_t *copy = fh_malloc(bad[i].len);
		memcpy(copy, bad[i].bytes, bad[i].len);
		assert_int_equal(pickle_check(copy, bad[i].len), FH_ESYNTAX);
		fh_free(copy);
	}
}

static void a_walk_shows_the_names(void **state)
{
	(void)state;
	static const uint8_t old[] = "\x80\x02"
				     "cnumpy\narray\n"
				     "q\x00.";
	struct pickle_walk w;
	struct pickle_op op;
	assert_int_equal(pickle_walk_init(&w, old, sizeof old - 1), 0);
	assert_int_equal(pickle_next(&w, &op), 1); /* PROTO */
	assert_int_equal(op.code, 0x80);
	assert_int_equal(pickle_next(&w, &op), 1);
	assert_int_equal(op.code, PICKLE_GLOBAL);
	assert_int_equal(op.arg_len, strlen("numpy\narray\n"));
	assert_memory_equal(op.arg, "numpy\narray\n", op.arg_len);
	assert_int_equal(pickle_next(&w, &op), 1);
	assert_int_equal(pickle_next(&w, &op), 0);

	static const uint8_t new[] = "\x80\x04\x8c\x05numpy\x94\x8c\x05"
				     "array\x94\x93\x94.";
	const char *expected[] = { NULL, "numpy", NULL, "array", NULL };
	assert_int_equal(pickle_walk_init(&w, new, sizeof new - 1), 0);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(pickle_next(&w, &op), 1);
		if (expected[i])
			assert_memory_equal(op.arg, expected[i], op.arg_len);
	}
	assert_int_equal(pickle_next(&w, &op), 1);
	assert_int_equal(op.code, PICKLE_STACK_GLOBAL);
}

static void an_exception_is_a_pickle(void **state)
{
	(void)state;
	struct blob *b = pickle_exception("builtins", "TimeoutError",
					  "5 s are \xc3\xbc"
					  "ber");
	static const uint8_t expected[] = "\x80\x04\x8c\x08"
					  "builtins\x8c\x0c"
					  "TimeoutErrorR";
	assert_non_null(b);
	assert_memory_equal(b->data, expected, sizeof expected - 2);
	assert_int_equal(pickle_check(b->data, b->len), 0);
	blob_free(&b);

	/* Half a character would make Python refuse all of it. */
	b = pickle_exception("builtins", "RuntimeError", "half \xc3");
	assert_non_null(b);
	assert_int_equal(pickle_check(b->data, b->len), 0);
	assert_memory_equal(b->data + b->len - 3 - 5, "half ", 5);
	blob_free(&b);

	fh_mem_fail_after(1);
	assert_null(pickle_exception("builtins", "RuntimeError", "none left"));
}

static void utf8_is_strict(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len, valid;
	} cases[] = {
		{ "", 0, 0 },
		{ "plain ascii text", 16, 16 },
		{ "plain ascii \xff text", 18, 12 },
		{ "\xc3\xbc", 2, 2 },
		{ "\xc3", 1, 0 },
		{ "\xc0\xaf", 2, 0 },	  /* overlong */
		{ "\xe0\x9f\xbf", 3, 0 }, /* overlong */
		{ "\xe2\x82\xac", 3, 3 },
		{ "\xed\xa0\x80", 3, 0 }, /* a surrogate */
		{ "\xef\xbf\xbf", 3, 3 },
		{ "\xf0\x8f\xbf\xbf", 4, 0 }, /* overlong */
		{ "\xf0\x9f\x98\x80", 4, 4 },
		{ "\xf0\x9f\x98", 3, 0 },
		{ "\xf4\x90\x80\x80", 4, 0 }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", 4, 0 },
		{ "\x80", 1, 0 },
		{ "12345678\xc3\xbc"
		  "9",
		  11, 11 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(utf8_valid_len((const uint8_t *)cases[i].text, cases[i].len),
				 cases[i].valid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_streams_pass_whole_and_only_whole),
		cmocka_unit_test(what_is_no_pickle_is_refused),
		cmocka_unit_test(a_walk_shows_the_names),
		cmocka_unit_test(an_exception_is_a_pickle),
		cmocka_unit_test(utf8_is_strict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
