/* The command lines of `farhand serve` and `farhand worker`: defaults, every flag, and a clear line
 * for what does not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/options.h"

enum { ARGS_MAX = 8 };

static bool wants_help;

/* Writable words, as main() gets them; ended by NULL. */
static int words(char *argv[ARGS_MAX], const char *command, const char *const *args)
{
	static char text[ARGS_MAX][256];
	int argc = 0;
	for (const char *word = command; word; word = args[argc - 1]) {
		size_t size = strlen(word) + 1;
		assert_true(argc < ARGS_MAX && size <= sizeof text[argc]);
		memcpy(text[argc], word, size);
		argv[argc] = text[argc];
		argc++;
	}
	return argc;
}

static int parse(struct serve_options *o, struct fh_err *err, const char *a, const char *b)
{
	char *argv[ARGS_MAX];
	const char *const args[] = { a, b, NULL };
	err->text[0] = '\0';
	return serve_options_parse(o, words(argv, "serve", args), argv, &wants_help, err);
}

#define parse_worker(o, err, ...) \
	parse_worker_words(o, err, (const char *const[]){ __VA_ARGS__, NULL })

static int parse_worker_words(struct worker_options *o, struct fh_err *err, const char *const *args)
{
	char *argv[ARGS_MAX];
	err->text[0] = '\0';
	return worker_options_parse(o, words(argv, "worker", args), argv, &wants_help, err);
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
	assert_string_equal(o.pool.python, "python3");
	assert_true(o.pool.slots >= 1);
	assert_int_equal(o.pool.grace_ms, 10000);
	assert_int_equal(o.task_timeout_ms, 0);
	assert_int_equal(o.queued_max, 1000000);
	assert_int_equal(setenv("FARHAND_PYTHON", "mypython", 1), 0);
	assert_int_equal(parse(&o, &err, NULL, NULL), 0);
	assert_string_equal(o.pool.python, "mypython");
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
	assert_int_equal(o.pool.slots, 0);
	assert_int_equal(parse(&o, &err, "--local", "auto"), 0);
	assert_true(o.pool.slots >= 1);
	assert_int_equal(parse(&o, &err, "--task-timeout", "1.5"), 0);
	assert_int_equal(o.task_timeout_ms, 1500);
	assert_int_equal(parse(&o, &err, "--grace=0", NULL), 0);
	assert_int_equal(o.pool.grace_ms, 0);
	assert_int_equal(parse(&o, &err, "--path=a", "--path=b"), 0);
	assert_int_equal(o.pool.path_count, 2);
	assert_string_equal(o.pool.paths[1], "b");
	assert_int_equal(parse(&o, &err, "--help", NULL), 0);
	assert_true(wants_help);
	assert_int_equal(parse(&o, &err, NULL, NULL), 0);
	assert_false(wants_help);
	assert_string_equal(o.bind, "");
	assert_int_equal(parse(&o, &err, "--bind", "tcp://127.0.0.1:*"), 0);
	assert_string_equal(o.bind, "tcp://127.0.0.1:0");
	assert_int_equal(parse(&o, &err, "--bind=[::1]:5555", NULL), 0);
	assert_string_equal(o.bind, "[::1]:5555");
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
		{ "--bind", "" },
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

static void a_worker_has_defaults_but_for_its_dispatcher(void **state)
{
	(void)state;
	struct worker_options o;
	struct fh_err err;
	assert_int_equal(setenv("FARHAND_PYTHON", "mypython", 1), 0);
	assert_int_equal(parse_worker(&o, &err, "tcp://127.0.0.1:5555,[::1]:1"), 0);
	assert_string_equal(o.urls, "tcp://127.0.0.1:5555,[::1]:1");
	assert_int_equal(o.mode, WIRE_PUSH);
	assert_true(o.pool.slots >= 1);
	assert_string_equal(o.pool.python, "mypython");
	assert_int_equal(o.pool.grace_ms, 10000);
	assert_string_equal(o.has.labels, "");
	assert_int_equal(parse_worker(&o, &err, "--help"), 0);
	assert_true(wants_help);
}

static void a_worker_s_flags_stand_on_both_sides_of_its_url(void **state)
{
	(void)state;
	struct worker_options o;
	struct fh_err err;
	assert_int_equal(parse_worker(&o, &err, "-m", "pull", "a:1", "-w", "7"), 0);
	assert_int_equal(o.mode, WIRE_PULL);
	assert_int_equal(o.pool.slots, 7);
	assert_int_equal(parse_worker(&o, &err, "-m=auto", "-w=auto", "a:1"), 0);
	assert_int_equal(o.mode, WIRE_PUSH);
	assert_int_equal(parse_worker(&o, &err, "--label", "site=lab", "--label=gpu=1", "a:1",
				      "--path=x", "--grace=0"),
			 0);
	assert_string_equal(o.has.labels, "gpu=1,site=lab");
	assert_string_equal(o.pool.paths[0], "x");
	assert_int_equal(o.pool.grace_ms, 0);
}

static void what_does_not_fit_a_worker_is_named(void **state)
{
	(void)state;
	static const char *const bad[][3] = {
		{ "-m", "fast", "-m" },
		{ "-w", "0", "-w" },
		{ "-w", "1025", "-w" },
		{ "-w4", "a:1", "-w4" },
		{ "--label", "gpu", "--label" },
		{ "--label", "=1", "--label" },
		{ "--label", "g pu=1", "--label" },
		{ "--label", "gpu=", "--label" },
		{ "--label", "gpu=1,site=2", "--label" },
		{ "--listen", "127.0.0.1:1", "--listen" },
		{ "a:1", "b:2", "b:2" },
		{ "a:1", "--path", "--path needs a value" },
		{ "", "-w=1", "URL" },
		{ "-w", "1", "farhand worker needs URL[,URL...]" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct worker_options o = { .mode = WIRE_MODE_END };
		struct fh_err err;
		assert_int_equal(parse_worker(&o, &err, bad[i][0], bad[i][1]), FH_EINVAL);
		assert_non_null(strstr(err.text, bad[i][2]));
		assert_int_equal(o.mode, WIRE_MODE_END);
	}
}

#define KEY "0123456789abcdefghijABCDEFGHIJ.:+=^!/*?&"

static void keys_come_in_pairs(void **state)
{
	(void)state;
	struct worker_options w;
	struct serve_options s;
	struct fh_err err;
	assert_int_equal(parse_worker(&w, &err, "a:1"), 0);
	assert_null(w.server_key);
	assert_int_equal(parse_worker(&w, &err, "--server-key", KEY, "--key-file", "f", "a:1"), 0);
	assert_string_equal(w.server_key, KEY);
	assert_string_equal(w.key_file, "f");
	assert_int_equal(parse_worker(&w, &err, "--server-key", KEY, "a:1"), FH_EINVAL);
	assert_string_equal(err.text, "--server-key is given without --key-file");
	assert_int_equal(parse_worker(&w, &err, "--key-file", "f", "a:1"), FH_EINVAL);
	assert_string_equal(err.text, "--key-file is given without --server-key");
	assert_int_equal(parse_worker(&w, &err, "--server-key", KEY "x", "a:1"), FH_EINVAL);
	assert_non_null(strstr(err.text, "is not a key: 40 characters"));

	assert_int_equal(parse(&s, &err, "--bind=h:1", NULL), 0);
	assert_false(s.curve);
	assert_int_equal(parse(&s, &err, "--bind=h:1", "--curve"), 0);
	assert_true(s.curve);
	assert_int_equal(parse(&s, &err, "--curve", NULL), FH_EINVAL);
	assert_non_null(strstr(err.text, "it needs --bind"));
	assert_int_equal(parse(&s, &err, "--bind=h:1", "--curve=yes"), FH_EINVAL);
	assert_string_equal(err.text, "--curve takes no value");
}

static void labels_have_an_end(void **state)
{
	(void)state;
	struct worker_options o;
	struct fh_err err;
	char label[120], again[120], third[120];
	(void)snprintf(label, sizeof label, "a=%0100d", 1);
	(void)snprintf(again, sizeof again, "b=%0100d", 1);
	(void)snprintf(third, sizeof third, "c=%0100d", 1);
	assert_int_equal(parse_worker(&o, &err, "--label", label, "--label", again, "a:1"), 0);
	assert_int_equal(parse_worker(&o, &err, "--label", label, "--label", again, "--label",
				      third),
			 FH_EINVAL);
	assert_non_null(strstr(err.text, "no room"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(flags_take_values_in_both_forms),
		cmocka_unit_test(what_does_not_fit_is_named),
		cmocka_unit_test(a_worker_has_defaults_but_for_its_dispatcher),
		cmocka_unit_test(a_worker_s_flags_stand_on_both_sides_of_its_url),
		cmocka_unit_test(what_does_not_fit_a_worker_is_named),
		cmocka_unit_test(keys_come_in_pairs),
		cmocka_unit_test(labels_have_an_end),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
