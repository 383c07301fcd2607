/* The command line of `farhand serve`: defaults, every flag, and a clear line for what does not
 * fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/options.h"

enum { ARGS_MAX = 8 };

static int parse(struct serve_options *o, struct fh_err *err, const char *a, const char *b)
{
	static char text[2][256];
	char *argv[ARGS_MAX] = { (char[]){ "serve" } };
	int argc = 1;
	const char *args[] = { a, b };
	for (int i = 0; i < 2 && args[i]; i++) {
		size_t size = strlen(args[i]) + 1;
		assert_true(size <= sizeof text[i]);
		memcpy(text[i], args[i], size);
		argv[argc++] = text[i];
	}
	err->text[0] = '\0';
	return serve_options_parse(o, argc, argv, err);
}

static void defaults_are_those_of_the_manual(void **state)
{
	(void)state;
	struct serve_options o;
	struct fh_err err;
	assert_int_equal(unsetenv("FARHAND_PYTHON"), 0);
	assert_int_equal(parse(&o, &err, NULL, NULL), 0);
	assert_string_equal(o.host, "127.0.0.1");
	assert_int_equal(o.port, 8000);
	assert_string_equal(o.data, "./farhand-data");
	assert_string_equal(o.python, "python3");
	assert_true(o.slots >= 1);
	assert_int_equal(o.grace_ms, 10000);
	assert_int_equal(o.task_timeout_ms, 0);
	assert_int_equal(o.queued_max, 1000000);
	assert_int_equal(setenv("FARHAND_PYTHON", "mypython", 1), 0);
	assert_int_equal(parse(&o, &err, NULL, NULL), 0);
	assert_string_equal(o.python, "mypython");
}

static void flags_take_values_in_both_forms(void **state)
{
	(void)state;
	struct serve_options o;
	struct fh_err err;
	assert_int_equal(parse(&o, &err, "--listen", "localhost:0"), 0);
	assert_string_equal(o.host, "localhost");
	assert_int_equal(o.port, 0);
	assert_int_equal(parse(&o, &err, "--listen=[::1]:65535", NULL), 0);
	assert_string_equal(o.host, "::1");
	assert_int_equal(o.port, 65535);
	assert_int_equal(parse(&o, &err, "--local", "0"), 0);
	assert_int_equal(o.slots, 0);
	assert_int_equal(parse(&o, &err, "--local", "auto"), 0);
	assert_true(o.slots >= 1);
	assert_int_equal(parse(&o, &err, "--task-timeout", "1.5"), 0);
	assert_int_equal(o.task_timeout_ms, 1500);
	assert_int_equal(parse(&o, &err, "--grace=0", NULL), 0);
	assert_int_equal(o.grace_ms, 0);
	assert_int_equal(parse(&o, &err, "--path=a", "--path=b"), 0);
	assert_int_equal(o.path_count, 2);
	assert_string_equal(o.paths[1], "b");
	assert_int_equal(parse(&o, &err, "--help", NULL), 0);
	assert_true(o.help);
}

static void what_does_not_fit_is_named(void **state)
{
	(void)state;
	static const char *const bad[][2] = {
		{ "--listen", "8000" },
		{ "--listen", ":8000" },
		{ "--listen", "127.0.0.1:x" },
		{ "--listen", "127.0.0.1:65536" },
		{ "--listen", "0.0.0.0:80" },
		{ "--listen", "example.org:80" },
		{ "--listen", "[]:1" },
		{ "--local", "-1" },
		{ "--local", "many" },
		{ "--local", "100000" },
		{ "--task-timeout", "nan" },
		{ "--task-timeout", "-1" },
		{ "--task-timeout", "0" },
		{ "--grace", "1s" },
		{ "--max-queued", "0" },
		{ "--max-queued", "1e6" },
		{ "--max-queued-bytes", "" },
		{ "--data", "" },
		{ "--python", "" },
		{ "--bind", "tcp://127.0.0.1:1" },
		{ "--frob", "1" },
		{ "serve", NULL },
		{ "--listen", NULL },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct serve_options o = { .port = 7 };
		struct fh_err err;
		assert_int_equal(parse(&o, &err, bad[i][0], bad[i][1]), FH_EINVAL);
		assert_non_null(strstr(err.text, bad[i][0]));
		assert_int_equal(o.port, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(flags_take_values_in_both_forms),
		cmocka_unit_test(what_does_not_fit_is_named),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
