/* The store's small parts: options as text, lanes, cursors, the memory store's heap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/claims.h"
#include "store/mem_heap.h"
#include "store/sqlite_options.h"

static const struct task_options defaults = TASK_OPTIONS_DEFAULT;

static void default_options_have_no_text(void **state)
{
	(void)state;
	struct options_text buffer;
	struct task_options got;
	assert_null(options_write(&defaults, &buffer));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(options_read(i ? "" : NULL, &got), 0);
		assert_int_equal(got.retry_on, RETRY_ON_ALL);
		assert_int_equal(got.backoff_max_ms, 60000);
		assert_int_equal(got.retries, 0);
	}
}

static void options_come_back(void **state)
{
	(void)state;
	struct options_text buffer;
	struct task_options got, o = defaults;
	o.retries = 3;
	o.timeout_ms = UINT32_MAX;
	assert_string_equal(options_write(&o, &buffer), "retries=3 timeout_ms=4294967295");
	o.priority = INT32_MIN;
	o.retry_on = 0;
	o.backoff_initial_ms = o.backoff_max_ms = o.backoff_factor_milli = 7;
	o.mem_bytes = INT64_MAX;
	o.not_before_ms = INT64_MIN;
	o.expires_at_ms = INT64_MAX;
	o.at_most_once = true;
	assert_int_equal(options_read(options_write(&o, &buffer), &got), 0);
	assert_int_equal(got.retries, 3);
	assert_int_equal(got.timeout_ms, UINT32_MAX);
	assert_int_equal(got.priority, INT32_MIN);
	assert_int_equal(got.retry_on, 0);
	assert_int_equal(got.backoff_initial_ms, 7);
	assert_int_equal(got.backoff_max_ms, 7);
	assert_int_equal(got.backoff_factor_milli, 7);
	assert_true(got.mem_bytes == INT64_MAX);
	assert_true(got.not_before_ms == INT64_MIN);
	assert_true(got.expires_at_ms == INT64_MAX);
	assert_true(got.at_most_once);
}

static void malformed_options_are_refused(void **state)
{
	(void)state;
	static const char *const texts[] = { "retries",
					     "retries=",
					     "retries=x",
					     "=3",
					     " retries=3",
					     "retries=3  retries=4",
					     "retries=3x",
					     "retries=-1",
					     "timeout=3",
					     "retries=4294967296",
					     "at_most_once=2",
					     "retries =3",
					     "priority=99999999999999999999999" };
	struct task_options got;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(options_read(texts[i], &got), FH_EINVAL);
		assert_int_equal(got.retries, 0);
	}
}

static struct lane *get_lane(struct lanes *l, uint32_t account, const char *class_key)
{
	struct lane *lane;
	assert_int_equal(lanes_get(l, account, class_key, sizeof *lane, &lane), 0);
	assert_int_equal(lane->account, account);
	assert_string_equal(lane->class_key, class_key);
	return lane;
}

static void lanes_are_sorted_and_found(void **state)
{
	(void)state;
	static const char *const keys[] = { "m", "a", "z", "", "b" };
	struct lanes l = { 0 };
	for (uint32_t account = 3; account-- > 0;)
		for (int i = 0; i < 5; i++)
			(void)get_lane(&l, account, keys[i]);
	assert_int_equal(l.len, 15);
	for (size_t i = 1; i < l.len; i++) {
		const struct lane *a = l.items[i - 1], *b = l.items[i];
		assert_true(a->account < b->account ||
			    (a->account == b->account && strcmp(a->class_key, b->class_key) < 0));
	}
	assert_ptr_equal(lanes_find(&l, 1, "z"), get_lane(&l, 1, "z"));
	assert_null(lanes_find(&l, 1, "y"));
	assert_null(lanes_find(&l, 9, ""));
	lanes_release(&l);
}

static void a_lane_without_tasks_becomes_another_one(void **state)
{
	(void)state;
	struct lanes l = { 0 };
	struct lane *lane, *all[STORE_LANES_MAX];
	char key[STORE_CLASS_KEY_SIZE];
	memset(key, 'k', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	for (uint32_t i = 0; i < STORE_LANES_MAX; i++) {
		all[i] = get_lane(&l, i, "");
		all[i]->live = 1;
	}
	assert_int_equal(lanes_get(&l, 7, "new", sizeof *lane, &lane), FH_ELIMIT);
	assert_int_equal(l.len, STORE_LANES_MAX);
	assert_ptr_equal(get_lane(&l, 7, ""), all[7]);
	all[40]->live = 0;
	assert_ptr_equal(get_lane(&l, 40, ""), all[40]); /* for nothing, it is the one */
	assert_ptr_equal(get_lane(&l, 7, key), all[40]);
	assert_null(lanes_find(&l, 40, ""));
	assert_int_equal(l.len, STORE_LANES_MAX);
	for (uint32_t i = 0; i < STORE_LANES_MAX; i++)
		if (i != 40)
			assert_ptr_equal(lanes_find(&l, i, ""), all[i]);
	all[40]->live = 1;
	assert_int_equal(lanes_get(&l, 40, "", sizeof *lane, &lane), FH_ELIMIT);
	lanes_release(&l);
}

static void a_lane_is_kept_for_those_without_a_key(void **state)
{
	(void)state;
	struct lanes l = { 0 };
	struct lane *lane, *plain;
	for (uint32_t i = 0; i < STORE_LANES_MAX - 1; i++)
		get_lane(&l, i, "key")->live = 1;
	assert_int_equal(lanes_get(&l, 0, "new", sizeof *lane, &lane), FH_ELIMIT);
	plain = get_lane(&l, 0, "");
	for (int i = 0; i < 2; i++) { /* empty or not */
		plain->live = (uint64_t)i;
		assert_int_equal(lanes_get(&l, 0, "new", sizeof *lane, &lane), FH_ELIMIT);
	}
	assert_int_equal(lanes_get(&l, 1, "", sizeof *lane, &lane), FH_ELIMIT);
	plain->live = 0;
	assert_ptr_equal(get_lane(&l, 1, ""), plain); /* another account's */
	lane = lanes_find(&l, 9, "key");
	lane->live = 0;
	assert_ptr_equal(get_lane(&l, 0, "new"), lane);
	assert_int_equal(l.len, STORE_LANES_MAX);
	lanes_release(&l);
}

static void positions_count_up(void **state)
{
	(void)state;
	struct lane_position p = { 4, { { 0 } } };
	p.id.b[15] = 0xff;
	p = lane_position_after(p);
	assert_int_equal(p.id.b[15], 0);
	assert_int_equal(p.id.b[14], 1);
	assert_int_equal(p.rank, 4);
	memset(p.id.b, 0xff, sizeof p.id.b);
	p = lane_position_after(p);
	assert_int_equal(p.rank, 5);
	assert_true(fh_id_is_zero(p.id));
}

static void a_cursor_is_rewound_and_never_advanced(void **state)
{
	(void)state;
	struct claims c;
	struct claims_lane *lane, *other;
	assert_int_equal(claims_init(&c), 0);
	assert_int_equal(claims_add_lane(&c, 0, "b", &lane), 0);
	assert_int_equal(claims_add_lane(&c, 0, "a", &other), 0);
	assert_int_equal(lane->no, 1);
	assert_ptr_equal(claims_lane_by_no(&c, 2), other);
	assert_null(claims_lane_by_no(&c, 0));
	assert_null(claims_lane_by_no(&c, 3));
	lane->cursor = (struct lane_position){ 5, { { 5 } } };
	claims_rewind(lane, (struct lane_position){ 5, { { 6 } } });
	claims_rewind(lane, (struct lane_position){ 6, { { 0 } } });
	assert_int_equal(lane->cursor.id.b[0], 5);
	claims_rewind(lane, (struct lane_position){ 5, { { 4 } } });
	assert_int_equal(lane->cursor.id.b[0], 4);
	claims_rewind(lane, (struct lane_position){ -1, { { 9 } } });
	assert_int_equal(lane->cursor.rank, -1);
	claims_release(&c);
}

/* It keeps its number, and the cursor of the lane that it was says nothing. */
static void a_lane_that_becomes_another_one_begins_anew(void **state)
{
	(void)state;
	struct claims c;
	struct claims_lane *lanes[STORE_LANES_MAX], *again;
	assert_int_equal(claims_init(&c), 0);
	for (uint32_t i = 0; i < STORE_LANES_MAX; i++) { /* of as many accounts */
		assert_int_equal(claims_add_lane(&c, STORE_LANES_MAX - i, "", &lanes[i]), 0);
		assert_int_equal(lanes[i]->no, i + 1);
		lanes[i]->lane.live = 1;
		lanes[i]->cursor = (struct lane_position){ 5, { { 5 } } };
	}
	assert_int_equal(claims_add_lane(&c, 0, "new", &again), FH_ELIMIT);
	lanes[3]->lane.live = 0;
	assert_int_equal(claims_add_lane(&c, 0, "new", &again), 0);
	assert_ptr_equal(again, lanes[3]);
	assert_int_equal(again->no, 4);
	assert_ptr_equal(claims_lane_by_no(&c, 4), again);
	assert_ptr_equal(claims_find_lane(&c, 0, "new"), again);
	assert_true(again->cursor.rank == INT64_MIN && fh_id_is_zero(again->cursor.id));
	assert_null(claims_lane_by_no(&c, STORE_LANES_MAX + 1));
	claims_release(&c);
}

static void a_claim_is_kept_once(void **state)
{
	(void)state;
	struct claims c;
	const struct fh_id id = { { 1 } };
	const struct claim claim = { .payload_size = 7 };
	assert_int_equal(claims_init(&c), 0);
	assert_null(claims_get(&c, id));
	claims_drop(&c, id);
	assert_int_equal(claims_add(&c, id, &claim), 0);
	assert_int_equal(claims_add(&c, id, &claim), FH_EEXISTS);
	assert_int_equal(claims_get(&c, id)->payload_size, 7);
	claims_drop(&c, id);
	assert_null(claims_get(&c, id));
	assert_int_equal(claims_add(&c, id, &claim), 0);
	claims_release(&c);
}

enum { NODES = 500 };

/* Nodes go in in one order, half of them are taken out again, the rest comes out sorted. */
static void a_heap_sorts_by_key_and_id(void **state)
{
	(void)state;
	static struct mem_node nodes[NODES];
	struct mem_heap h = { 0 };
	assert_int_equal(mem_heap_reserve(&h, NODES), 0);
	for (unsigned i = 0; i < NODES; i++) {
		nodes[i].key = (int64_t)(i * 7919 % 13);
		nodes[i].id.b[0] = (uint8_t)(i * 104729 % 251);
		nodes[i].id.b[1] = (uint8_t)i;
		mem_heap_insert(&h, &nodes[i]);
	}
	for (unsigned i = 0; i < NODES; i += 2) {
		mem_heap_remove(&h, &nodes[i * 3 % NODES]);
		mem_heap_remove(&h, &nodes[i * 3 % NODES]); /* harmless */
	}
	const struct mem_node *last = NULL;
	for (struct mem_node *n; (n = mem_heap_first(&h)) != NULL; last = n) {
		mem_heap_remove(&h, n);
		if (last)
			assert_true(last->key < n->key ||
				    (last->key == n->key && fh_id_compare(last->id, n->id) < 0));
	}
	assert_int_equal(h.len, 0);
	mem_heap_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(default_options_have_no_text),
		cmocka_unit_test(options_come_back),
		cmocka_unit_test(malformed_options_are_refused),
		cmocka_unit_test(lanes_are_sorted_and_found),
		cmocka_unit_test(a_lane_without_tasks_becomes_another_one),
		cmocka_unit_test(a_lane_is_kept_for_those_without_a_key),
		cmocka_unit_test(positions_count_up),
		cmocka_unit_test(a_cursor_is_rewound_and_never_advanced),
		cmocka_unit_test(a_lane_that_becomes_another_one_begins_anew),
		cmocka_unit_test(a_claim_is_kept_once),
		cmocka_unit_test(a_heap_sorts_by_key_and_id),
	};
	return cmocka_run_group_tests_name("store_parts", tests, NULL, NULL);
}
