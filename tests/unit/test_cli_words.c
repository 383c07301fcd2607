/* What the words of a client command mean, and how its tables look. */
#include "cli/table.h"
#include "cli_fixture.h"

static int parse(struct invocation *v, const struct command *c, const char *line,
		 struct fh_err *err)
{
	static char text[512];
	char *words[WORDS_MAX], *rest = NULL;
	int count = 0;
	(void)snprintf(text, sizeof text, "%s", line);
	for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		words[count++] = w;
	*v = (struct invocation){ .command = c };
	*err = (struct fh_err){ "" };
	return args_parse(v, count, words, err);
}

static void what_flags_mean(void **state)
{
	struct invocation v;
	struct fh_err err;
	(void)state;
	assert_int_equal(unsetenv("FARHAND_URL"), 0);
	assert_int_equal(parse(&v, &workers_show, "abc", &err), 0);
	assert_string_equal(v.url, "http://127.0.0.1:8000");
	assert_string_equal(v.argument, "abc");
	assert_int_equal(v.output, OUTPUT_TABLE);
	assert_int_equal(setenv("FARHAND_URL", "http://lab:1", 1), 0);
	assert_int_equal(parse(&v, &workers_ls, "", &err), 0);
	assert_string_equal(v.url, "http://lab:1");
	assert_int_equal(parse(&v, &workers_ls, "--url=http://b:2 -o json", &err), 0);
	assert_string_equal(v.url, "http://b:2");
	assert_int_equal(v.output, OUTPUT_JSON);
	assert_int_equal(parse(&v, &workers_ls, "-o json --output=table", &err), 0);
	assert_int_equal(v.output, OUTPUT_TABLE);
	assert_int_equal(parse(&v, &workers_drain, "--wait -q abc --timeout 1.5", &err), 0);
	assert_true(v.wait);
	assert_int_equal(v.timeout_ms, 1500);
	assert_int_equal(v.output, OUTPUT_QUIET);
	assert_int_equal(parse(&v, &workers_show, "-- -odd", &err), 0);
	assert_string_equal(v.argument, "-odd");
	assert_int_equal(parse(&v, &workers_show, "--help", &err), 0);
	assert_true(v.help);
}

static void what_words_are_refused(void **state)
{
	static const struct {
		const struct command *command;
		const char *line, *says;
	} rows[] = {
		{ &workers_show, "", "ID is missing; see farhand workers show --help" },
		{ &workers_show, "a b", "'b' is one argument too many" },
		{ &workers_ls, "a", "'a' is one argument too many" },
		{ &workers_ls, "--color", "unknown flag '--color'; see farhand workers ls" },
		{ &workers_ls, "--ulr=x", "unknown flag '--ulr', did you mean --url;" },
		{ &workers_ls, "-x", "unknown flag '-x'; see" },
		{ &workers_ls, "--wait", "unknown flag '--wait'" },
		{ &workers_resume, "a --timeout 1", "unknown flag '--timeout'" },
		{ &workers_ls, "--url", "--url needs a value: URL" },
		{ &workers_ls, "--url=", "--url: an address" },
		{ &workers_ls, "-o yaml", "--output: 'yaml' is not json or table" },
		{ &workers_ls, "-o", "-o needs a value: json|table" },
		{ &workers_ls, "--quiet=1", "--quiet takes no value" },
		{ &workers_drain, "a --timeout x", "--timeout: 'x' is not a number of seconds" },
		{ &workers_drain, "a --timeout=", "--timeout: '' is not a number of seconds" },
		{ &workers_drain, "a --timeout 0", "--timeout: '0' is not" },
		{ &workers_drain, "a --timeout nan", "--timeout: 'nan' is not" },
		{ &workers_drain, "a --timeout 1e3", "--timeout: '1e3' is not" },
		/* the first of several is told */
		{ &workers_drain, "a b --timeout 0", "'b' is one argument too many" },
	};
	struct invocation v;
	struct fh_err err;
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(parse(&v, rows[i].command, rows[i].line, &err), FH_EINVAL);
		if (strstr(err.text, rows[i].says) != err.text)
			fail_msg("%s: %s", rows[i].line, err.text);
	}
	char *empty[] = { (char[]){ "" } };
	v = (struct invocation){ .command = &workers_show };
	assert_int_equal(args_parse(&v, 1, empty, &err), FH_EINVAL);
	assert_string_equal(err.text, "the ID is empty");
}

static void near_words_are_suggested(void **state)
{
	static const char *const words[] = { "serve", NULL, "workers", "task", "ls" };
	static const struct {
		const char *word, *meant;
	} rows[] = {
		{ "wrokers", "workers" },
		{ "worker", "workers" },
		{ "wrkrs", "workers" },
		{ "sreve", "serve" },
		{ "tsak", "task" },
		{ "tas", "task" },
		{ "sl", "ls" },
		{ "l", "ls" },
		{ "x", NULL },
		{ "", NULL },
		{ "list", NULL },
		{ "a-word-that-is-much-longer-than-any-of-them", NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *meant = cli_suggest(rows[i].word, words, 5);
		if (rows[i].meant ? !meant || strcmp(meant, rows[i].meant) != 0 : meant != NULL)
			fail_msg("%s: %s", rows[i].word, meant ? meant : "nothing");
	}
}

static void helps(void **state)
{
	(void)state;
	assert_true(cli_has("workers") && cli_has("task") && !cli_has("worker"));
	expect(NULL, "workers", 2, NULL, "Usage: farhand workers COMMAND");
	expect(NULL, "workers --help", 0, "drain ID", NULL);
	expect(NULL, "task -h", 0, "explain ID", NULL);
	expect(NULL, "workers drain --help", 0, "--timeout S", NULL);
	expect(NULL, "workers show -h", 0, "\n  farhand workers show ID -o json\n", NULL);
	expect(NULL, "workers show ID --help --url ''", 0, "Exit codes: 0 done", NULL);
	expect(NULL, "workers lst", 2, NULL,
	       "farhand: unknown command 'workers lst', did you mean ls; see farhand workers");
	expect(NULL, "task x", 2, NULL, "farhand: unknown command 'task x'; see farhand task");
	expect(NULL, "workers show", 2, NULL, "farhand: ID is missing");
	expect(NULL, "workers show -o json", 2, NULL,
	       "{\"error\":\"ID is missing; see farhand workers show --help\",\"code\":\"usage\"}");
	expect(NULL, "workers ls --bad -o json", 2, NULL, "\"code\":\"usage\"}\n");
	expect(NULL, "workers ls --url ftp://x", 2, NULL, "'ftp://x' is not an address");
	expect(NULL, "workers ls --url http://[::1", 2, NULL, "is not an address");
}

/* ---- tables ---- */

static void columns_are_as_wide_as_their_content(void **state)
{
	static const char *const cells[] = {
		"A", "LONG", "C", "wide", "", "x\xC3\xA9", "y", "z", ""
	};
	struct table t = { .columns = 3 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	(void)state;
	for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
		table_add(&t, cells[i]);
	table_printf(&t, "%s%d", "n", 7);
	table_add(&t, NULL);
	table_print(&t, out);
	(void)fclose(out);
	assert_string_equal(text, "A     LONG  C\nwide        x\xC3\xA9\ny     z\nn7\n");
	table_release(&t);
	free(text);
}

static void nothing_moves_the_cursor(void **state)
{
	struct table t = { .columns = 1 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	(void)state;
	table_add(&t, "a\x1B[2Jb\nc\x7F\xC2\x9B\xFF"
		      "d\xC2\xA0");
	table_print(&t, out);
	(void)fclose(out);
	assert_string_equal(text, "a?[2Jb?c????d\xC2\xA0\n");
	table_release(&t);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_flags_mean),
		cmocka_unit_test(what_words_are_refused),
		cmocka_unit_test(near_words_are_suggested),
		cmocka_unit_test(helps),
		cmocka_unit_test(columns_are_as_wide_as_their_content),
		cmocka_unit_test(nothing_moves_the_cursor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
