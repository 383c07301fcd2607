/* The small readers and writers of src/http: times, queries, text, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/digest.h"
#include "http/json_in.h"
#include "http/query.h"
#include "http/rfc3339.h"
#include "http/route.h"
#include "http/text.h"

static void times_round_trip(void **state)
{
	(void)state;
	/* Every day from 1970 to 2170 and a few farther ones, against the C library. */
	for (int64_t day = 0; day < 200 * 366 + 40; day++) {
		int64_t ms = (day < 200 * 366 ? day : day * 37) * 86400000 + day % 86400000;
		time_t seconds = (time_t)(ms / 1000);
		struct tm tm;
		char expected[40], text[RFC3339_TEXT];
		int64_t back;
		assert_non_null(gmtime_r(&seconds, &tm));
		size_t len = strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S", &tm);
		(void)snprintf(expected + len, sizeof expected - len, ".%03dZ", (int)(ms % 1000));
		rfc3339_format(ms, text);
		assert_string_equal(text, expected);
		assert_int_equal(rfc3339_parse(text, strlen(text), &back), 0);
		assert_int_equal(back, ms);
	}
}

static void times_of_all_forms(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ms; /* -1: refused */
	} cases[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01t00:00:01z", 1000 },
		{ "1970-01-01 00:00:01Z", 1000 },
		{ "1970-01-01T01:00:00+01:00", 0 },
		{ "1969-12-31T23:00:00-01:00", -1 }, /* the year says it all */
		{ "1970-01-01T00:00:00.5Z", 500 },
		{ "1970-01-01T00:00:00.123456789Z", 123 },
		{ "2024-02-29T00:00:00Z", INT64_C(1709164800000) },
		{ "2016-12-31T23:59:60Z", INT64_C(1483228800000) },
		{ "2023-02-29T00:00:00Z", -1 },
		{ "2100-02-29T00:00:00Z", -1 },
		{ "2024-04-31T00:00:00Z", -1 },
		{ "2024-13-01T00:00:00Z", -1 },
		{ "2024-00-01T00:00:00Z", -1 },
		{ "2024-01-01T24:00:00Z", -1 },
		{ "2024-01-01T00:60:00Z", -1 },
		{ "2024-01-01T00:00:00", -1 },
		{ "2024-01-01T00:00:00.Z", -1 },
		{ "2024-01-01T00:00:00Z ", -1 },
		{ "2024-01-01T00:00:00+0100", -1 },
		{ "2024-01-01T00:00:00+24:00", -1 },
		{ "2024-1-1T00:00:00Z", -1 },
		{ "1970-01-01T00:00:00+00:01", -1 }, /* before the beginning */
		{ "", -1 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		int64_t ms = -1;
		int ret = rfc3339_parse(cases[i].text, strlen(cases[i].text), &ms);
		if (ms != cases[i].ms || (ret == 0) != (cases[i].ms >= 0))
			fail_msg("%s: %lld", cases[i].text, (long long)ms);
	}
}

static void queries(void **state)
{
	(void)state;
	struct query q;
	assert_int_equal(query_init(&q, "/path"), 0);
	assert_int_equal(q.count, 0);
	query_release(&q);
	assert_int_equal(query_init(&q, "/p?a=1&b&c=x+y%20%3D%26&&d=="), 0);
	assert_string_equal(query_get(&q, "a"), "1");
	assert_string_equal(query_get(&q, "b"), "");
	assert_string_equal(query_get(&q, "c"), "x y =&");
	assert_string_equal(query_unused(&q), "d");
	assert_string_equal(query_get(&q, "d"), "=");
	assert_null(query_unused(&q));
	assert_null(query_get(&q, "e"));
	query_release(&q);
	assert_int_equal(query_init(&q, "/p?a=1&%61=2"), FH_EEXISTS);
	assert_int_equal(query_init(&q, "/p?a=%"), FH_ESYNTAX);
	assert_int_equal(query_init(&q, "/p?a=%4"), FH_ESYNTAX);
	assert_int_equal(query_init(&q, "/p?a=%00"), FH_ESYNTAX);
	assert_int_equal(query_init(&q, "/p?a=%ff"), FH_ESYNTAX);
	char many[512] = "/p?";
	for (int i = 0; i <= QUERY_MAX; i++)
		(void)snprintf(many + strlen(many), sizeof many - strlen(many), "n%d=1&", i);
	assert_int_equal(query_init(&q, many), FH_ELIMIT);
}

static void texts(void **state)
{
	(void)state;
	struct text t = { 0 };
	text_u64(&t, 0);
	text_u64(&t, UINT64_MAX);
	text_json_str(&t, NULL);
	static const char odd[] = "\"\\\b\f\n\r\t\x1f\x7f/\xe2\x82\xac\xed\xa0\x80";
	text_json(&t, odd, sizeof odd - 1);
	text_json_time(&t, 0);
	text_json_id(&t, (struct fh_id){ 0 });
	static const char expected[] =
		"018446744073709551615null\"\\\"\\\\\\b\\f\\n\\r\\t\\u001f\\u007f/\xe2\x82\xac"
		"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"nullnull";
	assert_int_equal(t.len, sizeof expected - 1);
	assert_memory_equal(t.data, expected, t.len);
	text_release(&t);
	/* Once broken it stays so. */
	fh_mem_fail_after(1);
	text_str(&t, "x");
	text_str(&t, "y");
	assert_true(t.broken);
	assert_int_equal(t.len, 0);
	text_release(&t);
}

static void digests(void **state)
{
	(void)state;
	struct digest d;
	uint8_t a[32], b[32];
	struct digest_part one[] = { { "a", 1 }, { "bc", 2 } },
			   other[] = { { "ab", 2 }, { "c", 1 } };
	assert_int_equal(digest_init(&d), 0);
	assert_int_equal(digest_sum(&d, one, 2, a), 0);
	assert_int_equal(digest_sum(&d, other, 2, b), 0);
	assert_memory_not_equal(a, b, 32);
	assert_int_equal(digest_sum(&d, one, 2, b), 0);
	assert_memory_equal(a, b, 32);
	digest_release(&d);
}

static int depth_read(int depth)
{
	char text[256];
	json_t *value = NULL;
	struct fh_err err;
	memset(text, '[', (size_t)depth);
	memset(text + depth, ']', (size_t)depth);
	int ret = json_read(text, 2 * (size_t)depth, &value, &err);
	json_decref(value);
	return ret;
}

static void json_has_a_depth(void **state)
{
	(void)state;
	json_t *value;
	assert_int_equal(depth_read(JSON_DEPTH_MAX), 0);
	assert_int_equal(depth_read(JSON_DEPTH_MAX + 1), FH_ESYNTAX);
	/* Brackets in strings are no levels, however they are escaped. */
	static const char text[] = "[\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[\\\\\",1]";
	assert_int_equal(json_read(text, sizeof text - 1, &value, NULL), 0);
	json_decref(value);
	assert_int_equal(json_read("\"\\", 2, &value, NULL), FH_ESYNTAX);
}

static void long_pointers_are_cut(void **state)
{
	(void)state;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	char name[400];
	memset(name, '~', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	size_t before = json_in_member(&in, name);
	json_in_error(&in, "%s", name);
	json_in_leave(&in, before);
	assert_int_equal(in.path_len, 0);
	assert_int_equal(strlen(errors.items[0].pointer), FIELD_POINTER_MAX - 1);
	assert_int_equal(strlen(errors.items[0].detail), FIELD_DETAIL_MAX - 1);
}

static void routes_are_found(void **state)
{
	static const struct {
		const char *method, *path, *pattern, *part;
	} cases[] = {
		{ "GET", "/v1/tasks/7", "/v1/tasks/{id}", "7" },
		{ "HEAD", "/v1/tasks/7/result", "/v1/tasks/{id}/result", "7" },
		{ "POST", "/v1/tasks/7:cancel", "/v1/tasks/{id}:cancel", "7" },
		{ "POST", "/v1/tasks:wait", "/v1/tasks:wait", "" },
		{ "GET", "/", "/", "" },
		{ "GET", "/result/7/", "/result/{id}", "7" },
		{ "GET", "/v1/tasks/7/result/", NULL, "" },
		{ "GET", "/v1/tasks/7:cancel:x", NULL, "" },
		{ "GET", "", NULL, "" },
		{ "GET", "/v1/tasks:waits", NULL, "" },
		{ "GET", "/versio", NULL, "" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct route_match m;
		route_find(cases[i].method, cases[i].path, strlen(cases[i].path), &m);
		if (!cases[i].pattern) {
			assert_null(m.route);
			continue;
		}
		assert_non_null(m.route);
		assert_string_equal(m.route->path, cases[i].pattern);
		assert_int_equal(m.part_len, strlen(cases[i].part));
		if (m.part_len)
			assert_memory_equal(m.part, cases[i].part, m.part_len);
	}
}

/* The table is data: no two routes answer one request, and every one says what it is for. */
static void the_table_is_consistent(void **state)
{
	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		struct route_match m;
		route_find(routes[i].method, routes[i].path, strlen(routes[i].path), &m);
		assert_ptr_equal(m.route, &routes[i]);
		assert_true(strlen(routes[i].summary) > 0);
		assert_non_null(routes[i].handle);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_round_trip),
		cmocka_unit_test(times_of_all_forms),
		cmocka_unit_test(queries),
		cmocka_unit_test(texts),
		cmocka_unit_test(digests),
		cmocka_unit_test(json_has_a_depth),
		cmocka_unit_test(long_pointers_are_cut),
		cmocka_unit_test(routes_are_found),
		cmocka_unit_test(the_table_is_consistent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
