/* src/base: ids, blobs, list, heap, map, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

static uint64_t rng_state = 88172645463325252u;

static uint64_t rng(void)
{
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

static void ids_are_ordered_and_round_trip(void **state)
{
	(void)state;
	struct fh_id_gen gen = { 0 };
	struct fh_id last = { 0 };
	uint64_t ms = 1700000000000;
	for (int i = 0; i < 10000; i++) {
		ms += rng() % 3;
		ms -= rng() % 2; /* a clock that sometimes goes back */
		struct fh_id id = fh_id_next(&gen, ms, rng());
		char text[FH_ID_TEXT];
		struct fh_id back;
		assert_true(fh_id_compare(last, id) < 0);
		fh_id_format(id, text);
		assert_int_equal(strlen(text), 36);
		assert_int_equal(text[14], '7');
		assert_non_null(strchr("89ab", text[19]));
		assert_int_equal(fh_id_parse(text, 36, &back), 0);
		assert_true(fh_id_equal(id, back));
		last = id;
	}
}

static void bad_ids_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   "0",
					   "00000000-0000-0000-0000-00000000000",
					   "00000000-0000-0000-0000-0000000000000",
					   "0000000000000-0000-0000-000000000000",
					   "g0000000-0000-0000-0000-000000000000",
					   "{0000000-0000-0000-0000-00000000000}" };
	struct fh_id id = { { 7 } };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(fh_id_parse(bad[i], strlen(bad[i]), &id), FH_EINVAL);
	assert_int_equal(id.b[0], 7);
	assert_int_equal(fh_id_parse("ABCDEF00-0000-7000-8000-0000000000FF", 36, &id), 0);
	assert_int_equal(id.b[0], 0xab);
}

static void heap_leaves_in_order(void **state)
{
	(void)state;
	enum { N = 500 };
	static struct heap_node nodes[N];
	struct heap h;
	assert_int_equal(heap_init(&h, N), 0);
	for (int i = 0; i < N; i++)
		heap_insert(&h, &nodes[i], (int64_t)(rng() % 50));
	for (int i = 0; i < N; i += 3)
		heap_remove(&h, &nodes[i]);
	int64_t last = -1;
	uint64_t order = 0;
	size_t count = 0;
	for (struct heap_node *n; (n = heap_first(&h)); count++) {
		assert_true(n->key > last || (n->key == last && n->order > order));
		last = n->key;
		order = n->order;
		heap_remove(&h, n);
		assert_false(heap_contains(n));
	}
	assert_int_equal(count, N - (N + 2) / 3);
	heap_release(&h);
}

static void map_agrees_with_an_array(void **state)
{
	(void)state;
	enum { N = 2000 };
	static struct fh_id keys[N];
	static int values[N];
	static bool in[N];
	struct map m;
	size_t len = 0;
	struct fh_id_gen gen = { 0 };
	assert_int_equal(map_init(&m), 0);
	for (int i = 0; i < N; i++)
		keys[i] = fh_id_next(&gen, 5, 7);
	for (int step = 0; step < 50000; step++) {
		size_t i = rng() % N;
		if (rng() % 2) {
			assert_int_equal(map_put(&m, keys[i], &values[i]), in[i] ? FH_EEXISTS : 0);
			len += !in[i];
			in[i] = true;
		} else {
			assert_ptr_equal(map_remove(&m, keys[i]), in[i] ? &values[i] : NULL);
			len -= in[i];
			in[i] = false;
		}
		assert_int_equal(m.len, len);
	}
	size_t seen = 0;
	for (size_t pos = 0; map_next(&m, &pos);)
		seen++;
	assert_int_equal(seen, len);
	for (size_t i = 0; i < N; i++)
		assert_ptr_equal(map_get(&m, keys[i]), in[i] ? &values[i] : NULL);
	map_release(&m);
}

static void failed_allocations_are_errors(void **state)
{
	(void)state;
	struct map m;
	fh_mem_fail_after(1);
	assert_int_equal(map_init(&m), FH_ENOMEM);
	fh_mem_fail_after(1);
	assert_null(blob_copy("x", 1));
	assert_null(blob_new(SIZE_MAX));
}

static void blobs_are_counted(void **state)
{
	(void)state;
	struct blob *a = blob_copy("hello", 5), *b = blob_ref(a);
	blob_free(&a);
	assert_null(a);
	assert_memory_equal(b->data, "hello", 5);
	blob_free(&b);
	blob_free(&b);
}

static void list_keeps_order(void **state)
{
	(void)state;
	struct item {
		int n;
		struct list link;
	} items[4];
	struct list head;
	list_init(&head);
	for (int i = 0; i < 4; i++) {
		items[i].n = i;
		list_push_back(&head, &items[i].link);
	}
	list_remove(&items[1].link);
	list_remove(&items[1].link);
	list_push_front(&head, &items[1].link);
	int want[] = { 1, 0, 2, 3 }, at = 0;
	list_for_each (pos, &head)
		assert_int_equal(list_entry(pos, struct item, link)->n, want[at++]);
	assert_int_equal(at, 4);
	assert_ptr_equal(list_pop_front(&head), &items[1].link);
}

static void errors_have_text_and_status(void **state)
{
	(void)state;
	struct fh_err err;
	assert_string_equal(fh_error_name(FH_EFULL), "FULL");
	assert_int_equal(fh_error_http(FH_EFULL), 503);
	assert_int_equal(fh_error_http(12345), 500);
	assert_string_equal(fh_error_text(-9999), "unknown error");
	assert_int_equal(fh_err_set(&err, FH_EINVAL, "field %s", "x"), FH_EINVAL);
	assert_int_equal(fh_err_wrap(&err, FH_EINVAL, "body"), FH_EINVAL);
	assert_string_equal(err.text, "body: field x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_ordered_and_round_trip),
		cmocka_unit_test(bad_ids_are_refused),
		cmocka_unit_test(heap_leaves_in_order),
		cmocka_unit_test(map_agrees_with_an_array),
		cmocka_unit_test(failed_allocations_are_errors),
		cmocka_unit_test(blobs_are_counted),
		cmocka_unit_test(list_keeps_order),
		cmocka_unit_test(errors_have_text_and_status),
	};
	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
