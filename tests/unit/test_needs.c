/* src/base/needs and needs_advice: one text for one meaning, what a worker must have for it, and
 * the words for what it lacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/needs.h"
#include "base/needs_advice.h"

#define GIB NEEDS_MEM_MIN

static void assert_text(const struct needs *n, const char *expected)
{
	char text[NEEDS_TEXT];
	struct needs again;
	assert_int_equal(needs_format(n, text), 0);
	assert_string_equal(text, expected);
	assert_int_equal(needs_parse(text, &again), 0);
	assert_string_equal(again.runtime, n->runtime);
	assert_int_equal(again.cores, n->cores);
	assert_int_equal(again.mem_bytes, n->mem_bytes);
	assert_string_equal(again.labels, n->labels);
	assert_string_equal(again.modules, n->modules);
}

static void one_text_for_one_meaning(void **state)
{
	(void)state;
	struct needs n = { 0 };
	assert_text(&n, "");
	needs_set_cores(&n, 1);
	needs_set_mem(&n, GIB - 1);
	assert_text(&n, "");
	assert_int_equal(needs_set_runtime(&n, "cp311"), 0);
	needs_add_modules(&n, "numpy,mylab,numpy");
	needs_add_modules(&n, NULL);
	assert_int_equal(needs_add_label(&n, "site", "lab"), 0);
	needs_set_mem(&n, GIB);
	assert_int_equal(needs_add_label(&n, "gpu", "1"), 0);
	needs_set_cores(&n, 4);
	assert_text(&n, "cores=4;label=gpu=1;label=site=lab;mem=1073741824;module=mylab;"
			"module=numpy;runtime=cp311");
	/* A label has one value, and the one that came last counts. */
	assert_int_equal(needs_add_label(&n, "gpu", "a=b"), 0);
	assert_int_equal(needs_add_label(&n, "site", NULL), 0);
	assert_text(&n, "cores=4;label=gpu=a=b;label=site;mem=1073741824;module=mylab;"
			"module=numpy;runtime=cp311");
}

static void lists_are_sorted_by_name(void **state)
{
	(void)state;
	/* By bytes of the whole entry gpu-x=1 would stand before gpu=1. */
	static const char *const names[] = { "gpu", "a", "gpu-x", "z", "gp", "B" };
	struct needs n = { 0 };
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(needs_add_label(&n, names[i], i % 2 ? NULL : "1"), 0);
	assert_text(&n, "label=B;label=a;label=gp=1;label=gpu=1;label=gpu-x=1;label=z");
	for (size_t i = 0; i < 6; i++) /* longer and shorter ones in their place */
		assert_int_equal(needs_add_label(&n, names[i], i % 2 ? "longer" : NULL), 0);
	assert_text(&n, "label=B=longer;label=a=longer;label=gp;label=gpu;label=gpu-x;"
			"label=z=longer");
}

static void memory_is_rounded_up_to_three_bits(void **state)
{
	(void)state;
	static const struct {
		uint64_t asked, stated;
	} cases[] = {
		{ 0, 0 },
		{ 1, 0 },
		{ GIB - 1, 0 },
		{ GIB, GIB },
		{ GIB + 1, GIB / 4 * 5 },
		{ GIB / 4 * 5, GIB / 4 * 5 },
		{ GIB / 4 * 7 + 1, 2 * GIB },
		{ 13 * GIB, 14 * GIB },
		{ 16 * GIB, 16 * GIB },
		{ 16 * GIB + 1, 20 * GIB },
		{ NEEDS_MEM_MAX, NEEDS_MEM_MAX },
		{ NEEDS_MEM_MAX - 1, NEEDS_MEM_MAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct needs n = { 0 };
		needs_set_mem(&n, cases[i].asked);
		assert_int_equal(n.mem_bytes, cases[i].stated);
		needs_set_mem(&n, n.mem_bytes);
		assert_int_equal(n.mem_bytes, cases[i].stated);
	}
}

static void values_that_are_none_are_refused(void **state)
{
	(void)state;
	static const char *const runtimes[] = { "",	 "cp",	    "cp3",     "cp3x",	 "cp3111",
						"xp311", "cq311",   "CP311",   "cp311T", "cp311tt",
						"311",	 "python3", "cp311\n", "cp311 " };
	static const char *const good_runtimes[] = { "cp39", "cp311", "cp313t", "pp310", "cp27" };
	static const char *const names[] = { "", "a b", "a=b", "a,b", "a;b", "\xc3\xbc", "a\n" };
	static const char *const values[] = { "", "a b", "a,b", "a;b", "\xc3\xbc", "\x7f", "a\n" };
	struct needs n = { 0 };
	char long_text[NEEDS_LABEL_VALUE_MAX + 2];
	for (size_t i = 0; i < sizeof runtimes / sizeof *runtimes; i++)
		assert_int_equal(needs_set_runtime(&n, runtimes[i]), FH_EINVAL);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_int_equal(needs_add_label(&n, names[i], "1"), FH_EINVAL);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		assert_int_equal(needs_add_label(&n, "a", values[i]), FH_EINVAL);
	memset(long_text, 'x', sizeof long_text);
	long_text[NEEDS_LABEL_VALUE_MAX + 1] = '\0';
	assert_int_equal(needs_add_label(&n, "a", long_text), FH_EINVAL);
	long_text[NEEDS_LABEL_NAME_MAX + 1] = '\0';
	assert_int_equal(needs_add_label(&n, long_text, NULL), FH_EINVAL);
	needs_add_modules(&n, ",,a.b,a b,a=b,a;b,a/b,\xff,\n");
	assert_text(&n, "");
	long_text[NEEDS_LABEL_NAME_MAX] = '\0';
	assert_int_equal(needs_add_label(&n, long_text, NULL), 0);
	for (size_t i = 0; i < sizeof good_runtimes / sizeof *good_runtimes; i++)
		assert_int_equal(needs_set_runtime(&n, good_runtimes[i]), 0);
}

static void a_text_has_an_end(void **state)
{
	(void)state;
	struct needs n = { 0 };
	char text[NEEDS_TEXT] = "unchanged", name[] = "aaa", value[NEEDS_LABEL_VALUE_MAX + 1];
	memset(value, 'v', NEEDS_LABEL_VALUE_MAX);
	value[NEEDS_LABEL_VALUE_MAX] = '\0';
	assert_int_equal(needs_add_label(&n, "x", value), 0);
	assert_int_equal(needs_add_label(&n, "y", value), 0);
	assert_int_equal(needs_add_label(&n, "z", value), FH_ELIMIT);
	value[41] = '\0';
	assert_int_equal(needs_add_label(&n, "z", value), 0);
	assert_int_equal(needs_format(&n, text), FH_ELIMIT);
	assert_string_equal(text, "unchanged");
	value[23] = '\0'; /* 2 * 108 + 1 + 6 + 2 + 23 = 248, then 249, and "cores=2" makes it 256 */
	assert_int_equal(needs_add_label(&n, "z", value), 0);
	assert_int_equal(needs_format(&n, text), 0);
	assert_int_equal(strlen(text), 2 * 109 + 31);
	value[29] = '\0';
	value[23] = 'v';
	assert_int_equal(needs_add_label(&n, "z", value), 0);
	assert_int_equal(needs_format(&n, text), 0);
	assert_int_equal(strlen(text), NEEDS_TEXT - 1);
	needs_set_cores(&n, 2);
	assert_int_equal(needs_format(&n, text), FH_ELIMIT);

	/* Modules: as many as there is room for. */
	n = (struct needs){ 0 };
	for (char c = 'a'; c <= 'z'; c++) {
		name[0] = c;
		needs_add_modules(&n, name);
		needs_add_modules(&n, name);
	}
	assert_int_equal(needs_format(&n, text), 0);
	assert_int_equal(strlen(text), 23 * 11 - 1);
	assert_string_equal(text + strlen(text) - 3, "waa");
}

static void only_our_own_text_is_read(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"cores",
		"cores=",
		"cores=0",
		"cores=1",
		"cores=04",
		"cores=+4",
		"cores=4;",
		";cores=4",
		"cores=4;;mem=1073741824",
		"cores=4;cores=4",
		"cores=4;cores=5",
		"cores=1000001",
		"cores=99999999999999999999",
		"cores=4 ",
		" cores=4",
		"Cores=4",
		"gpus=1",
		"mem=1073741823",
		"mem=1073741825",
		"mem=1152921504606846977",
		"mem=18446744073709551616",
		"mem=1073741824;cores=4",
		"label=",
		"label==1",
		"label=a=",
		"label=a=1;label=a=2",
		"label=b;label=a",
		"label=a=1,b=2",
		"module=",
		"module=a.b",
		"module=a,b",
		"module=b;module=a",
		"module=a;module=a",
		"module=a;label=b",
		"runtime=",
		"runtime=cp3",
		"runtime=cp311;runtime=cp311",
		"runtime=cp311;module=a",
		"runtime=cp311-",
	};
	struct needs n;
	char text[NEEDS_TEXT + 64];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (needs_parse(bad[i], &n) != FH_ESYNTAX)
			fail_msg("%s is read", bad[i]);
	assert_int_equal(needs_parse(NULL, &n), 0);
	assert_int_equal(needs_parse("", &n), 0);
	/* 256 bytes, each item by itself being good */
	int len = 0;
	for (const char *c = "0123456789ABCDEFGHIJKLMNOPQRSTUVW"; *c; c++)
		len += snprintf(text + len, sizeof text - (size_t)len, "%slabel=%c", len ? ";" : "",
				*c);
	assert_int_equal(needs_parse(text, &n), FH_ESYNTAX);
	text[NEEDS_TEXT - 1] = '\0';
	assert_int_equal(needs_parse(text, &n), 0);
}

static int match(const char *needs, const struct needs_offer *offer, uint32_t *ret_unmet)
{
	struct needs_verdict verdict = { 0xFFFFFFFF };
	int ret = needs_match(needs, offer, &verdict);
	*ret_unmet = verdict.unmet;
	return ret;
}

static void a_worker_has_it_or_the_verdict_says_what_not(void **state)
{
	(void)state;
	const struct needs_offer offer = { .runtime = "cp311",
					   .cores = 8,
					   .mem_bytes = 16 * GIB,
					   .labels = "fast,gpu=1,site=lab",
					   .modules = "abc,mylab,numpy" };
	static const struct {
		const char *needs;
		uint32_t unmet;
	} cases[] = {
		{ NULL, 0 },
		{ "", 0 },
		{ "cores=8", 0 },
		{ "cores=9", 1 },
		{ "mem=17179869184", 0 },
		{ "mem=21474836480", 1 },
		{ "label=gpu", 0 },
		{ "label=gpu=1", 0 },
		{ "label=gpu=2", 1 },
		{ "label=gp", 1 },
		{ "label=gpu=11", 1 },
		{ "label=lab", 1 },
		{ "label=fast", 0 },
		{ "label=fast=1", 1 },
		{ "module=abc", 0 },
		{ "module=numpy", 0 },
		{ "module=num", 1 },
		{ "module=umpy", 1 },
		{ "module=lab", 1 },
		{ "module=mylab", 0 },
		{ "runtime=cp311", 0 },
		{ "runtime=cp31", 1 },
		{ "runtime=cp311t", 1 },
		{ "cores=4;label=gpu=1;label=site=lab;mem=1073741824;module=mylab;runtime=cp311",
		  0 },
		{ "cores=9;label=gpu=1;label=site=x;mem=1073741824;module=ours;runtime=cp313",
		  1 | 4 | 16 | 32 },
	};
	uint32_t unmet;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(match(cases[i].needs, &offer, &unmet), !cases[i].unmet);
		assert_int_equal(unmet, cases[i].unmet);
	}
	assert_int_equal(match("cores=8;what=9", &offer, &unmet), FH_ESYNTAX);
	assert_int_equal(unmet, 0xFFFFFFFF); /* a failed call writes nothing */
}

static void what_is_not_known_of_a_worker_is_enough(void **state)
{
	(void)state;
	const struct needs_offer nothing = { 0 },
				 empty = { .runtime = "", .labels = "", .modules = "" };
	uint32_t unmet;
	const char *needs = "cores=9;mem=1073741824;module=mylab;runtime=cp311";
	assert_int_equal(match(needs, &nothing, &unmet), 1);
	assert_int_equal(match(needs, &empty, &unmet), 0);
	assert_int_equal(unmet, 4); /* an empty list of modules is known */
	assert_int_equal(match("label=gpu", &nothing, &unmet), 0);
	assert_int_equal(match("label=gpu", &empty, &unmet), 0);
}

static void a_task_says_more_than_its_function(void **state)
{
	(void)state;
	char text[NEEDS_TEXT];
	struct needs_parts parts = { 0 };
	assert_int_equal(needs_join(&parts, text), 0);
	assert_string_equal(text, "");
	parts = (struct needs_parts){ .own = "cores=4;label=gpu=2",
				      .defaults = "cores=2;label=gpu=1;label=site=lab;"
						  "runtime=cp311",
				      .mem_bytes = 3 * GIB,
				      .function_modules = "cloudpickle,mylab",
				      .payload_modules = "mylab,numpy" };
	assert_int_equal(needs_join(&parts, text), 0);
	assert_string_equal(text, "cores=4;label=gpu=2;label=site=lab;mem=3221225472;"
				  "module=cloudpickle;module=mylab;module=numpy;runtime=cp311");
	/* What was joined stays as it is. */
	char again[NEEDS_TEXT];
	parts.own = text;
	assert_int_equal(needs_join(&parts, again), 0);
	assert_string_equal(again, text);
	parts = (struct needs_parts){ .own = "runtime=cp313", .defaults = "runtime=cp311" };
	assert_int_equal(needs_join(&parts, text), 0);
	assert_string_equal(text, "runtime=cp313");
	parts = (struct needs_parts){ .mem_bytes = GIB };
	assert_int_equal(needs_join(&parts, text), 0);
	assert_string_equal(text, "mem=1073741824");
	parts = (struct needs_parts){ .own = "runtime=" };
	assert_int_equal(needs_join(&parts, text), FH_ESYNTAX);
}

static void too_much_in_all_is_a_limit(void **state)
{
	(void)state;
	char own[NEEDS_TEXT], defaults[NEEDS_TEXT], text[NEEDS_TEXT], value[101];
	memset(value, 'v', 100);
	value[100] = '\0';
	(void)snprintf(own, sizeof own, "label=a=%s;label=b=%s", value, value);
	(void)snprintf(defaults, sizeof defaults, "label=a=1;label=c=%s", value);
	struct needs_parts parts = { .own = own, .defaults = defaults };
	assert_int_equal(needs_join(&parts, text), FH_ELIMIT);
	parts.defaults = "label=c=1";
	parts.payload_modules = "a,bbbbbbbbbbbbbbbbbbbbbb,c,d";
	assert_int_equal(needs_join(&parts, text), 0);
	assert_non_null(strstr(text, ";module=a;module=c"));
	assert_null(strstr(text, "bbb"));
}

/* ---- advice ---- */

static void explain(const char *needs, const struct needs_offer *offers, size_t count,
		    const char *detail, const char *advice, unsigned lacking)
{
	struct needs_tally tally = { 0 };
	struct fh_err told = { "" }, advised = { "" };
	for (size_t i = 0; i < count; i++) {
		struct needs_verdict verdict;
		assert_true(needs_match(needs, &offers[i], &verdict) >= 0);
		needs_tally_add(&tally, &offers[i], &verdict);
	}
	assert_int_equal(needs_advice(needs, &tally, &told, &advised), lacking);
	assert_string_equal(told.text, detail);
	if (!strstr(advised.text, advice))
		fail_msg("%s", advised.text);
	assert_int_equal(needs_advice(needs, &tally, NULL, NULL), lacking);
}

static void advice_names_what_nobody_has(void **state)
{
	(void)state;
	const struct needs_offer offers[] = {
		{ "cp311", 8, 16 * GIB, "gpu=1", "abc" },
		{ "cp311", 4, 64 * GIB, NULL, "abc,mylab" },
		{ "cp312", 4, GIB * 3 / 2, NULL, "abc" },
		{ "cp311", 4, 16 * GIB, NULL, "abc" },
	};
	explain("runtime=cp313", offers, 4,
		"no worker has Python 3.13 (cp313); there are cp311 x 3, cp312 x 1",
		"Start a worker with --python and a Python 3.13 (cp313), or", 1u << NEEDS_RUNTIME);
	explain("runtime=cp313t", offers, 2,
		"no worker has free-threaded Python 3.13 (cp313t); there are cp311 x 2", "--python",
		1u << NEEDS_RUNTIME);
	explain("runtime=pp310", offers, 1, "no worker has PyPy 3.10 (pp310); there are cp311 x 1",
		"--python", 1u << NEEDS_RUNTIME);
	explain("label=gpu=2", offers, 4, "no worker has label gpu=2", "--label gpu=2",
		1u << NEEDS_LABEL);
	explain("label=tpu", offers, 4, "no worker has label tpu", "wait_for_worker",
		1u << NEEDS_LABEL);
	explain("module=ours", offers, 4, "module ours is on none of 4 workers",
		"(pip install ours)", 1u << NEEDS_MODULE);
	explain("module=ours", offers, 1, "no worker has module ours", "(pip install ours)",
		1u << NEEDS_MODULE);
	explain("cores=9", offers, 4, "no worker has 9 cores; the most are 8", "fewer cores",
		1u << NEEDS_CORES);
	explain("mem=85899345920", offers, 4, "no worker has 80 GiB of memory; the most is 64 GiB",
		"less memory", 1u << NEEDS_MEM);
	explain("mem=1879048192", offers + 2, 1,
		"no worker has 1.75 GiB of memory; the most is 1.50 GiB", "less memory",
		1u << NEEDS_MEM);
	explain("label=tpu;module=mylab;module=ours;runtime=cp313", offers, 4,
		"no worker has label tpu; module ours is on none of 4 workers; no worker has "
		"Python "
		"3.13 (cp313); there are cp311 x 3, cp312 x 1",
		"--label tpu", 1u << NEEDS_LABEL | 1u << NEEDS_MODULE | 1u << NEEDS_RUNTIME);
}

static void advice_knows_that_everything_is_there_but_apart(void **state)
{
	(void)state;
	const struct needs_offer offers[] = {
		{ "cp311", 8, 0, "gpu=1", "abc" },
		{ "cp311", 4, 0, NULL, "abc,mylab" },
		{ "cp311", 4, 0, NULL, "abc" },
	};
	explain("label=gpu;module=abc;module=mylab;runtime=cp311", offers, 3,
		"no worker has all of: label gpu (1 of 3), module mylab (1 of 3)",
		"has all of them", 0);
	explain("label=gpu", NULL, 0, "no worker is connected", "farhand worker", 0);
}

static void advice_that_is_too_long_is_cut_at_a_character(void **state)
{
	(void)state;
	char needs[NEEDS_TEXT];
	int len = 0;
	for (char c = 'a'; c <= 'w'; c++)
		len += snprintf(needs + len, sizeof needs - (size_t)len, "%smodule=%c\xc3\xbc",
				len ? ";" : "", c);
	struct needs_tally tally = { .workers = 1 };
	struct fh_err detail, advice;
	memset(tally.unmet, 1, sizeof tally.unmet);
	assert_int_equal(needs_advice(needs, &tally, &detail, &advice), 1u << NEEDS_MODULE);
	assert_int_equal(strlen(detail.text), sizeof detail.text - 1);
	assert_string_equal(detail.text + sizeof detail.text - 4, "...");
}

static void a_tally_bounds_its_list_of_runtimes(void **state)
{
	(void)state;
	struct needs_tally tally = { 0 };
	char runtime[8];
	for (int round = 0; round < 2; round++) {
		for (int minor = 1; minor <= 20; minor++) {
			(void)snprintf(runtime, sizeof runtime, "cp3%d", minor);
			const struct needs_offer offer = { .runtime = runtime };
			struct needs_verdict verdict;
			assert_int_equal(needs_match("runtime=cp399", &offer, &verdict), 0);
			needs_tally_add(&tally, &offer, &verdict);
		}
	}
	assert_int_equal(tally.workers, 40);
	assert_int_equal(tally.unmet[0], 40);
	assert_int_equal(tally.fitting, 0);
	for (unsigned i = 0; i < NEEDS_RUNTIMES_MAX; i++)
		assert_int_equal(tally.runtimes[i].workers, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_text_for_one_meaning),
		cmocka_unit_test(lists_are_sorted_by_name),
		cmocka_unit_test(memory_is_rounded_up_to_three_bits),
		cmocka_unit_test(values_that_are_none_are_refused),
		cmocka_unit_test(a_text_has_an_end),
		cmocka_unit_test(only_our_own_text_is_read),
		cmocka_unit_test(a_worker_has_it_or_the_verdict_says_what_not),
		cmocka_unit_test(what_is_not_known_of_a_worker_is_enough),
		cmocka_unit_test(a_task_says_more_than_its_function),
		cmocka_unit_test(too_much_in_all_is_a_limit),
		cmocka_unit_test(advice_names_what_nobody_has),
		cmocka_unit_test(advice_knows_that_everything_is_there_but_apart),
		cmocka_unit_test(advice_that_is_too_long_is_cut_at_a_character),
		cmocka_unit_test(a_tally_bounds_its_list_of_runtimes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
