/* Every reason that a child tells, and what cannot be told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static void exceptions_are_told_whatever_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *name, *args;
		enum task_reason reason;
		const char *type, *message, *in_value;
	} cases[] = {
		{ "raise_named", "VSystemExit\n", REASON_EXCEPTION, "builtins.SystemExit", "",
		  "SystemExit" },
		{ "raise_named", "VKeyboardInterrupt\n", REASON_EXCEPTION,
		  "builtins.KeyboardInterrupt", "", "KeyboardInterrupt" },
		{ "raise_named", "VMemoryError\n", REASON_MEMORY, "builtins.MemoryError", "",
		  "MemoryError" },
		{ "raise_named", "VGeneratorExit\n", REASON_EXCEPTION, "builtins.GeneratorExit", "",
		  "GeneratorExit" },
		{ "recurse", "", REASON_EXCEPTION, "builtins.RecursionError", "recursion",
		  "RecursionError" },
		{ "raise_bad_text", "", REASON_EXCEPTION, "functions.BadText", "cannot be shown",
		  "BadText" },
		{ "raise_unpicklable", "", REASON_EXCEPTION, "functions.Unpicklable",
		  "cannot travel", "RuntimeError" },
		{ "raise_unloadable", "", REASON_EXCEPTION, "functions.Unloadable",
		  "made of 1 and 2", "RuntimeError" },
		{ "give", "Vlock\n", REASON_UNSERIALISABLE, "builtins.TypeError", "_thread.lock",
		  "TypeError" },
		{ "give", "Vgenerator\n", REASON_UNSERIALISABLE, "builtins.TypeError", "generator",
		  "TypeError" },
		{ "give", "Vevil\n", REASON_UNSERIALISABLE, "builtins.TypeError",
		  "functions.EvilReduce", "TypeError" },
		{ "give", "Vframe\n", REASON_UNSERIALISABLE, "builtins.TypeError", "frame",
		  "TypeError" },
		{ "deep_list", "", REASON_UNSERIALISABLE, "builtins.TypeError", "recursion",
		  "TypeError" },
		{ "no_such_function", "", REASON_UNDECODABLE, "builtins.AttributeError",
		  "no_such_function", "AttributeError" },
		{ "the_number", "", REASON_UNDECODABLE, "builtins.TypeError", "not callable",
		  "TypeError" },
		{ "add", "I1\n", REASON_EXCEPTION, "builtins.TypeError", "'b'", "TypeError" },
	};
	struct harness *h = harness_new(1);
	harness_start(h);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct task_result *r =
			harness_result(h, 0, i + 1, cases[i].name, cases[i].args);
		expect_failed(r, cases[i].reason, cases[i].type, cases[i].message);
		assert_true(contains(r->value, cases[i].in_value));
		assert_null(r->traceback ? strstr(r->traceback, "<farhand>") : NULL);
	}
	assert_int_equal(h->downs[0], 1); /* after the MemoryError */
	harness_free(h);
}

#define PICKLE(text) text, sizeof(text) - 1

static void arguments_of_a_wrong_shape_are_undecodable(void **state)
{
	(void)state;
	static const struct {
		const char *pickle;
		size_t len;
		const char *message;
	} cases[] = {
		{ PICKLE("\x80\x02K\x02\x85\x85."), "((args...), {kwargs})" },	/* ((2,),) */
		{ PICKLE("\x80\x02K\x02\x85]\x86."), "((args...), {kwargs})" }, /* ((2,), []) */
		{ PICKLE("\x80\x02K\x02}\x86."), "((args...), {kwargs})" },	/* (2, {}) */
		{ PICKLE("\x80\x02K\x02."), "((args...), {kwargs}), not 2" },	/* 2 */
		{ PICKLE("\x80\x02)}\x85}\x87."), "((args...), {kwargs})" },	/* three */
		{ PICKLE("\x80\x02)}K\x01K\x02s\x86."), "must be strings" },	/* ((), {1: 2}) */
		{ PICKLE("\x80\x02)}"), "Ran out of input" },			/* cut off */
		{ PICKLE("\x80\x02"
			 "cno_such_module\nx\n."),
		  "pip install no_such_module" },
		{ PICKLE("\x80\x02"
			 "csklearn.linear\nx\n."),
		  "pip install scikit-learn" },
	};
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct blob *args = blob_copy(cases[i].pickle, cases[i].len);
		assert_int_equal(harness_run_with(h, 0, i + 1, "add", args, NULL), 0);
		harness_wait(h, h->jobs[i + 1].finished);
		const struct task_result *r = &h->jobs[i + 1].result;
		expect_failed(r, REASON_UNDECODABLE, r->error_type, cases[i].message);
		assert_non_null(r->value);
	}
	expect_int(harness_result(h, 0, 50, "add", "I3\nI4\n"), 7);
	assert_int_equal(h->downs[0], 0);
	harness_free(h);
}

static void classes_that_may_be_retried_are_matched(void **state)
{
	(void)state;
	static const struct {
		const char *raised, *classes;
		bool match;
	} cases[] = {
		{ "FileNotFoundError", "builtins.OSError", true },
		{ "FileNotFoundError", "a.b,builtins.OSError,c.d", true },
		{ "ValueError", "builtins.OSError", false },
		{ "ValueError", "ValueError", false },
		{ "MemoryError", "builtins.Exception", true },
	};
	struct harness *h = harness_new(1);
	harness_start(h);
	harness_wait_ready(h);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char args[64];
		const struct runner_job options = { .retry_classes = cases[i].classes };
		(void)snprintf(args, sizeof args, "V%s\n", cases[i].raised);
		harness_wait(h, h->up[0]);
		assert_int_equal(harness_run_with(h, 0, i + 1, "raise_named", pickle_args(args),
						  &options),
				 0);
		harness_wait(h, h->jobs[i + 1].finished);
		assert_int_equal(h->jobs[i + 1].retry_match, cases[i].match);
	}
	harness_wait(h, h->up[0]);
	char *much = calloc(1, 5000);
	memset(much, 'x', 4999);
	const struct runner_job options = { .retry_classes = much };
	assert_int_equal(harness_run_with(h, 0, 90, "add", pickle_args(""), &options), FH_EINVAL);
	free(much);
	harness_free(h);
}

static void large_pickles_travel(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	harness_start(h);
	static const uint32_t sizes[] = { 60000, 65000, 65400, 66000, 3000000, 70000, 5000000 };
	harness_wait_ready(h);
	for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		const uint32_t n = sizes[i];
		struct blob *b = blob_new(n + 11);
		assert_non_null(b);
		memcpy(b->data, "\x80\x02X", 3);
		memcpy(b->data + 3, &n, 4);
		memset(b->data + 7, 'x', n);
		memcpy(b->data + 7 + n, "\x85}\x86.", 4);
		assert_int_equal(harness_run_with(h, 0, 2 * i + 1, "length", b, NULL), 0);
		char args[32];
		(void)snprintf(args, sizeof args, "I%d\n", (int)n);
		harness_run(h, 0, 2 * i + 2, "text_of_size", args);
	}
	for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		harness_wait(h, h->jobs[2 * i + 2].finished);
		assert_int_equal(expect_number(&h->jobs[2 * i + 1].result), sizes[i]);
		const struct blob *b = h->jobs[2 * i + 2].result.value;
		assert_in_range(b->len, sizes[i], sizes[i] + 30);
		assert_true(contains(b, "xxxxx"));
	}
	harness_free(h);
}

static void a_large_result_is_refused_by_name(void **state)
{
	(void)state;
	struct harness *h = harness_new(1);
	h->config.result_max = 100000;
	harness_start(h);
	const struct task_result *r = harness_result(h, 0, 1, "text_of_size", "I100000\n");
	expect_failed(r, REASON_RESULT_TOO_LARGE, "builtins.RuntimeError", "limit of 100000");
	assert_true(contains(r->value, "RuntimeError"));
	r = harness_result(h, 0, 2, "text_of_size", "I99900\n");
	assert_int_equal(r->state, TASK_COMPLETED);
	/* An exception that is too large is told by its text. */
	r = harness_result(h, 0, 3, "raise_large", "I200000\n");
	expect_failed(r, REASON_EXCEPTION, "builtins.ValueError", "xxx");
	assert_true(contains(r->value, "RuntimeError"));
	assert_true(strlen(r->error_message) <= 65536);
	harness_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exceptions_are_told_whatever_they_are),
		cmocka_unit_test(arguments_of_a_wrong_shape_are_undecodable),
		cmocka_unit_test(classes_that_may_be_retried_are_matched),
		cmocka_unit_test(large_pickles_travel),
		cmocka_unit_test(a_large_result_is_refused_by_name),
	};
	return harness_main("runner_failures", tests, sizeof tests / sizeof tests[0]);
}
