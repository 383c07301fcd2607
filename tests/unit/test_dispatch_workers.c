/* Workers at the door of a dispatcher: what comes in an order that no worker of ours keeps, or at a
 * moment at which there is no room. */
#include "dispatch_fixture.h"

/* A token of the dispatcher before this one. */
static const struct wire_ref *old_ref(void)
{
	static struct wire_ref ref;
	ref = (struct wire_ref){ id_of(TASK), { 1, 1 } };
	return &ref;
}

/* ---- tests ---- */

static void what_a_worker_brings_is_adopted(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, old_ref());
	assert_int_equal(got(b, 1, WIRE_WELCOME), 0); /* the store is asked first */
	run(b);
	assert_int_equal(got(b, 1, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 1, WIRE_STALE), 0);
}

static void what_a_worker_brings_that_finds_no_room_goes_elsewhere(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, NULL);
	says_hello(b, 2, 20, NULL);
	says_hello(b, 3, 30, old_ref());
	run(b);
	assert_int_equal(got(b, 1, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 3, WIRE_BYE), 1);
	pass(b, 3000000);
	grants(b, 1, 10);
	pass(b, 3500000); /* nobody else comes back */
	assert_int_equal(got(b, 1, WIRE_ASSIGN), 1);
}

static void a_second_hello_before_the_welcome_ends_the_connection(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, old_ref());
	says_hello(b, 1, 20, NULL);
	run(b);
	assert_true(b->wires.closed[1]);
	says_hello(b, 2, 30, NULL);
	pass(b, 3000000);
	grants(b, 2, 10);
	pass(b, 3500000);
	assert_int_equal(got(b, 2, WIRE_ASSIGN), 1);
}

static void who_comes_back_is_not_taken_for_its_broken_connection(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, NULL);
	b->wires.gone[1] = true;
	says(b, 1, (struct wire_msg){ .type = WIRE_HEARTBEAT }); /* the answer finds nobody */
	says_hello(b, 2, 10, NULL);
	run(b);
	assert_int_equal(got(b, 2, WIRE_WELCOME), 1);
	assert_false(b->wires.closed[2]);
}

static void who_is_let_in_during_a_stop_is_not_sent_away_for_good(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, old_ref());
	dispatch_drain(b->dispatch);
	run(b);
	assert_int_equal(got(b, 1, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 1, WIRE_DRAIN), 0);
}

static void what_a_worker_says_is_one_line_of_the_log(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, NULL);
	says(b, 1,
	     (struct wire_msg){ .type = WIRE_BYE,
				.bye = { WIRE_BYE_REFUSED, fh_strdup("a\nb\x1b[2Jc") } });
	assert_string_equal(b->logged, "worker session 0 is lost: a b [2Jc");
}

static void what_nobody_can_run_takes_no_place_of_others(void **state)
{
	struct bench *b = *state;
	char needs[32];
	says_hello(b, 1, 10, NULL);
	pass(b, 3500000);
	pass(b, 3500000); /* nobody else comes back */
	says_hello(b, 2, 20, NULL);
	for (uint8_t i = 0; i < CORE_CLASSES_MAX; i++) {
		(void)snprintf(needs, sizeof needs, "label=typo=%u", i);
		assert_int_equal(submit(b, 1, needs), FH_EUNFIT);
	}
	assert_int_equal(submit(b, 1, "runtime=cp311"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(what_a_worker_brings_is_adopted),
		bench_test(what_a_worker_brings_that_finds_no_room_goes_elsewhere),
		bench_test(a_second_hello_before_the_welcome_ends_the_connection),
		bench_test(who_comes_back_is_not_taken_for_its_broken_connection),
		bench_test(who_is_let_in_during_a_stop_is_not_sent_away_for_good),
		bench_test(what_a_worker_says_is_one_line_of_the_log),
		bench_test(what_nobody_can_run_takes_no_place_of_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
