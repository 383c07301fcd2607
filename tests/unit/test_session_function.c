/* The functions that a worker's session fetches, keeps and lets go. */
#include "session_fixture.h"

static void a_function_is_fetched_once(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	assign_own(&f, 1, 7);
	expect(&f, "get 7");
	assign_own(&f, 2, 7);
	expect(&f, "");
	assert_int_equal(stats_of(&f).waiting, 2);
	pass(&f, SESSION_RESEND_US);
	expect(&f, "get 7; heartbeat; credit 64");
	receive_function(&f, 8, 10); /* not asked for */
	expect(&f, "");
	receive_function(&f, 7, 10);
	expect(&f, "run 1 @0!; run 2 @1!");
	receive_function(&f, 7, 10);
	expect(&f, "");
	fixture_release(&f);
}

static void what_waited_for_a_function_is_served_by_age(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 7);
	assign_own(&f, 3, 1);
	assign_own(&f, 4, 7);
	receive_function(&f, 7, 10);
	expect(&f, "run 1 @0!; get 7");
	for (unsigned task = 1; task <= 4; task++)
		finish(&f, 0, task, REASON_NONE, 1);
	expect(&f, "result 1 COMPLETED; run 2 @0!; result 2 COMPLETED; run 3 @0!; "
		   "result 3 COMPLETED; run 4 @0!; result 4 COMPLETED");
	fixture_release(&f);
}

static void a_missing_function_fails_its_tasks(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 7);
	assign_own(&f, 3, 7);
	receive_function(&f, 7, 0);
	expect(&f, "run 1 @0!; get 7; result 2 made FAILED undecodable; "
		   "result 3 made FAILED undecodable");
	assign_own(&f, 4, 7); /* it may be there by now */
	expect(&f, "get 7");
	fixture_release(&f);
}

static void more_failures_than_a_step_holds_come_in_several(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 16);
	for (unsigned task = 1; task <= 300; task++)
		assign_ahead(&f, task, 7);
	expect(&f, "get 7");
	receive_function(&f, 7, 0);
	assert_int_equal(stats_of(&f).unacknowledged, 300);
	assert_int_equal(stats_of(&f).waiting, 0);
	fixture_release(&f);
}

static void idle_functions_are_bounded_by_number(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned i = 1; i <= SESSION_FUNCTIONS_IDLE + 1; i++) {
		assign_own(&f, i, 100 + i);
		receive_function(&f, 100 + i, 1);
		finish(&f, 0, i, REASON_NONE, 1);
		receive_ref(&f, WIRE_RESULT_ACK, i);
	}
	/* 1 and 2 of the fixture and 101 are the oldest. */
	unsigned dropped = 0;
	for (const char *at = f.text; (at = strstr(at, "drop")) != NULL; at++)
		dropped++;
	assert_int_equal(dropped, 3);
	discard(&f);
	assign_own(&f, 500, 102);
	expect(&f, "run 500 @0!");
	assign_own(&f, 501, 101);
	expect(&f, "get 101");
	fixture_release(&f);
}

static void idle_functions_are_bounded_by_size(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	discard(&f);
	assign_own(&f, 1, 7);
	receive_function(&f, 7, SESSION_FUNCTION_BYTES_IDLE + 1);
	finish(&f, 0, 1, REASON_NONE, 1);
	expect(&f, "get 7; run 1 @0!; result 1 COMPLETED; drop; drop; drop");
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_is_fetched_once),
		cmocka_unit_test(what_waited_for_a_function_is_served_by_age),
		cmocka_unit_test(a_missing_function_fails_its_tasks),
		cmocka_unit_test(more_failures_than_a_step_holds_come_in_several),
		cmocka_unit_test(idle_functions_are_bounded_by_number),
		cmocka_unit_test(idle_functions_are_bounded_by_size),
	};
	return cmocka_run_group_tests_name("session_function", tests, NULL, NULL);
}
