/* A worker's session with its slots, rule by rule: which job goes where, what moves and ends it. */
#include "session_fixture.h"

static void a_task_of_its_own_is_alone_in_its_slot(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	assign_own(&f, 1, 1);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	expect(&f, "run 1 @0!; started 1");
	assign_own(&f, 2, 1);
	assign_own(&f, 3, 1);
	assign_ahead(&f, 4, 1);
	expect(&f, "run 2 @1!");
	finish(&f, 1, 2, REASON_NONE, 0);
	expect(&f, "result 2 COMPLETED; run 3 @1!");
	finish(&f, 0, 1, REASON_EXCEPTION, 0);
	expect(&f, "result 1 FAILED exception; run 4 @0");
	assign_own(&f, 5, 1); /* not behind the short one */
	expect(&f, "");
	finish(&f, 0, 4, REASON_NONE, 0);
	expect(&f, "result 4 COMPLETED; run 5 @0!");
	fixture_release(&f);
}

static void a_task_of_its_own_is_not_starved_by_short_ones(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_ahead(&f, 1, 2);
	assign_ahead(&f, 2, 2);
	assign_own(&f, 3, 1);
	assign_ahead(&f, 4, 2);
	expect(&f, "run 1 @0; run 2 @0");
	finish(&f, 0, 1, REASON_NONE, 1);
	finish(&f, 0, 2, REASON_NONE, 1);
	expect(&f, "result 1 COMPLETED; result 2 COMPLETED; run 3 @0!");
	fixture_release(&f);
}

static void the_slot_that_idled_last_is_used_first(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 3);
	for (unsigned task = 1; task <= 3; task++)
		assign_own(&f, task, 1);
	for (unsigned task = 1; task <= 3; task++)
		finish(&f, task - 1, task, REASON_NONE, 0);
	discard(&f);
	assign_ahead(&f, 4, 1);
	expect(&f, "run 4 @2");
	finish(&f, 2, 4, REASON_NONE, 0);
	assign_own(&f, 5, 1);
	expect(&f, "result 4 COMPLETED; run 5 @2!");
	fixture_release(&f);
}

static void short_tasks_share_pipes_in_bursts(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	for (unsigned task = 1; task <= 20; task++)
		assign_ahead(&f, task, 1);
	expect(&f, "run 1 @0; run 2 @0; run 3 @0; run 4 @0; "
		   "run 5 @1; run 6 @1; run 7 @1; run 8 @1; "
		   "run 9 @0; run 10 @0; run 11 @0; run 12 @0; "
		   "run 13 @1; run 14 @1; run 15 @1; run 16 @1");
	for (unsigned task = 1; task <= 3; task++)
		finish(&f, 0, task, REASON_NONE, 100);
	expect(&f, "result 1 COMPLETED; result 2 COMPLETED; result 3 COMPLETED");
	finish(&f, 0, 4, REASON_NONE, 100); /* half empty: up to 8 again, at once */
	expect(&f, "result 4 COMPLETED; run 17 @0; run 18 @0; run 19 @0; run 20 @0");
	fixture_release(&f);
}

static void a_pipe_has_an_end(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 20; task++)
		assign_ahead(&f, task, 2);
	assert_int_equal(stats_of(&f).piped, SESSION_PIPE_MAX);
	assert_int_equal(stats_of(&f).waiting, 20 - SESSION_PIPE_MAX);
	fixture_release(&f);
}

static void an_overdue_task_loses_its_pipe(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	for (unsigned task = 1; task <= 3; task++)
		assign_ahead(&f, task, 2);
	assign_ahead(&f, 4, 2);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	discard(&f);
	assert_true(session_next_us(f.s) <= f.now_us + SESSION_STARTED_US);
	pass(&f, SESSION_STARTED_US);
	expect(&f, "started 1");
	assert_true(session_next_us(f.s) <= f.now_us + SESSION_OVERDUE_US - SESSION_STARTED_US);
	pass(&f, SESSION_OVERDUE_US - SESSION_STARTED_US);
	expect(&f, "steal @0");
	assign_ahead(&f, 5, 2); /* not there any more */
	expect(&f, "run 5 @1");
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 2);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 3);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 4);
	expect(&f, "run 2 @1; run 3 @1; run 4 @1");
	assert_int_equal(stats_of(&f).returned, 3);
	happen_to_task(&f, SESSION_EV_STARTED, 1, 5);
	pass(&f, 10 * SESSION_OVERDUE_US);
	expect(&f, "started 5; steal @1");
	finish(&f, 0, 1, REASON_NONE, 1);
	expect(&f, "result 1 COMPLETED");
	happen_to_task(&f, SESSION_EV_RETURNED, 1, 2);
	expect(&f, "run 2 @0");
	fixture_release(&f);
}

/* Taking jobs out of a child's socket may change their order, and the other slots are the only
 * reason to do so. */
static void a_lone_slot_keeps_its_pipe(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 3; task++)
		assign_ahead(&f, task, 2);
	pass(&f, SESSION_OVERDUE_US);
	assign_ahead(&f, 4, 2); /* yet nothing is put behind it any more */
	expect(&f, "run 1 @0; run 2 @0; run 3 @0");
	finish(&f, 0, 1, REASON_NONE, 1);
	expect(&f, "result 1 COMPLETED; run 4 @0");
	fixture_release(&f);
}

static void what_is_returned_keeps_its_age(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 4; task++)
		assign_ahead(&f, task, 2);
	assign_ahead(&f, 5, 2);
	receive_ref(&f, WIRE_CANCEL, 1); /* what waits behind it is taken back first */
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 3);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 4);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 5);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 2);
	discard(&f);
	finish(&f, 0, 1, REASON_CANCELLED, 1);
	expect(&f, "result 1 CANCELLED cancelled; run 2 @0; run 3 @0; run 4 @0; run 5 @0");
	fixture_release(&f);
}

static void a_quick_task_is_not_said_to_have_started(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_ahead(&f, 1, 2);
	assign_ahead(&f, 2, 2);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	pass(&f, SESSION_STARTED_US - 1);
	finish(&f, 0, 1, REASON_NONE, 1);
	expect(&f, "run 1 @0; run 2 @0; result 1 COMPLETED");
	happen_to_task(&f, SESSION_EV_STARTED, 0, 2);
	pass(&f, SESSION_STARTED_US - 1);
	expect(&f, "");
	pass(&f, 1);
	expect(&f, "started 2");
	pass(&f, SESSION_STARTED_US);
	expect(&f, "");
	fixture_release(&f);
}

static void a_task_has_started_when_its_child_says_so(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_ahead(&f, 1, 2);
	expect(&f, "run 1 @0");
	pass(&f, 2 * SESSION_STARTED_US); /* the first in its pipe, and not begun */
	expect(&f, "");
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	expect(&f, "started 1");
	fixture_release(&f);
}

/* Task 1 runs in the only slot. */
static void run_one(struct fixture *f)
{
	fixture_init(f, 1);
	assign_own(f, 1, 1);
	happen_to_task(f, SESSION_EV_STARTED, 0, 1);
	discard(f);
}

static void print(struct fixture *f, unsigned task, uint64_t out, uint64_t err)
{
	step(f, (struct session_event){
			.kind = SESSION_EV_PRINTED,
			.slot = { .slot = 0, .job = f->job[task], .printed = { out, err } } });
	pass(f, 0);
}

static void what_a_task_prints_is_said_while_it_runs(void **state)
{
	(void)state;
	struct fixture f;
	run_one(&f);
	print(&f, 1, 5, 0);
	expect(&f, "log 1 out 0-5");
	print(&f, 1, 6, 0); /* not at each line */
	print(&f, 1, 7, 2);
	expect(&f, "");
	pass(&f, SESSION_LOG_US);
	expect(&f, "log 1 out 5-7; log 1 err 0-2");
	happen(&f, SESSION_EV_DISCONNECTED);
	print(&f, 1, 9, 2);
	expect(&f, "");
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, 0);
	pass(&f, 0);
	expect(&f, "hello; credit 31; started 1; log 1 out 0-9; log 1 err 0-2");
	print(&f, 1, 10, 2);
	finish(&f, 0, 1, REASON_NONE, 0); /* the result has the rest */
	pass(&f, SESSION_LOG_US);
	expect(&f, "result 1 COMPLETED");
	fixture_release(&f);
}

static void much_is_said_in_small_pieces(void **state)
{
	(void)state;
	struct fixture f;
	run_one(&f);
	print(&f, 1, SESSION_LOG_BYTES + 1, 0);
	expect(&f, "log 1 out 0-16384");
	pass(&f, SESSION_LOG_US);
	expect(&f, "log 1 out 16384-16385");
	assert_true(session_next_us(f.s) > f.now_us + SESSION_LOG_US);
	fixture_release(&f);
}

static void what_a_stale_task_prints_is_not_said(void **state)
{
	(void)state;
	struct fixture f;
	run_one(&f);
	receive_ref(&f, WIRE_STALE, 1);
	discard(&f);
	print(&f, 1, 5, 0);
	expect(&f, "");
	fixture_release(&f);
}

static void a_limit_counts_from_the_start(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	receive_assign(&f, (struct wire_assign){
				   .task = id_of(1), .function = id_of(1), .timeout_ms = 50 });
	pass(&f, 30000);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	expect(&f, "run 1 @0!; started 1");
	assert_true(session_next_us(f.s) <= f.now_us + 50000);
	pass(&f, 49999);
	expect(&f, "");
	pass(&f, 1);
	expect(&f, "kill 1 @0 timeout");
	pass(&f, 50000);
	expect(&f, "");
	finish(&f, 0, 1, REASON_TIMEOUT, 0);
	expect(&f, "result 1 FAILED timeout");
	fixture_release(&f);
}

static void a_limit_does_not_count_before_the_start(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	receive_assign(&f, (struct wire_assign){
				   .task = id_of(1), .function = id_of(1), .timeout_ms = 50 });
	pass(&f, 50000);
	expect(&f, "run 1 @0!");
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 1);
	expect(&f, "run 1 @0!");
	pass(&f, 50000);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	pass(&f, 49999);
	expect(&f, "started 1");
	pass(&f, 1);
	expect(&f, "kill 1 @0 timeout");
	fixture_release(&f);
}

static void a_limit_ends_the_head_of_a_pipe_only(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 3; task++)
		receive_assign(&f, (struct wire_assign){ .task = id_of(task),
							 .function = id_of(2),
							 .timeout_ms = 4,
							 .ahead = true });
	pass(&f, 3999);
	finish(&f, 0, 1, REASON_NONE, 1);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 2);
	discard(&f);
	pass(&f, 3999);
	expect(&f, "started 2");
	pass(&f, 1);
	expect(&f, "steal @0; kill 2 @0 timeout");
	finish(&f, 0, 2, REASON_TIMEOUT, 0);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 3);
	expect(&f, "result 2 FAILED timeout; run 3 @0!");
	fixture_release(&f);
}

static void a_dead_child_gives_back_what_had_not_begun(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 3; task++)
		assign_ahead(&f, task, 2);
	discard(&f);
	finish(&f, 0, 1, REASON_CRASH, 0);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 2);
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 3);
	expect(&f, "result 1 FAILED crash; run 2 @0; run 3 @0");
	happen_to_task(&f, SESSION_EV_REFUSED, 0, 2); /* the child is dead already */
	happen_to_task(&f, SESSION_EV_REFUSED, 0, 3);
	expect(&f, "");
	assert_int_equal(stats_of(&f).slots_up, 0);
	happen_to_slot(&f, SESSION_EV_SLOT_DOWN, 0);
	assert_int_equal(stats_of(&f).slots_busy, 0);
	assert_int_equal(stats_of(&f).waiting, 2);
	happen_to_slot(&f, SESSION_EV_SLOT_READY, 0);
	expect(&f, "run 2 @0; run 3 @0");
	fixture_release(&f);
}

static void a_full_socket_is_left_alone_until_something_finishes(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 3; task++)
		assign_ahead(&f, task, 2);
	happen_to_task(&f, SESSION_EV_REFUSED, 0, 3);
	assign_ahead(&f, 4, 2);
	expect(&f, "run 1 @0; run 2 @0; run 3 @0");
	finish(&f, 0, 1, REASON_NONE, 1);
	expect(&f, "result 1 COMPLETED; run 3 @0; run 4 @0");
	fixture_release(&f);
}

static void a_lost_template_costs_attempts_not_tasks(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	assign_own(&f, 3, 1);
	discard(&f);
	finish(&f, 0, 1, REASON_WORKER_LOST, 0);
	happen_to_task(&f, SESSION_EV_REFUSED, 0, 3);
	happen_to_slot(&f, SESSION_EV_SLOT_DOWN, 0);
	finish(&f, 1, 2, REASON_WORKER_LOST, 0);
	happen_to_task(&f, SESSION_EV_REFUSED, 1, 3);
	happen_to_slot(&f, SESSION_EV_SLOT_DOWN, 1);
	expect(&f,
	       "result 1 FAILED worker_lost; run 3 @0!; result 2 FAILED worker_lost; run 3 @1!");
	happen(&f, SESSION_EV_BROKEN);
	assign_own(&f, 4, 1);
	expect(&f, "");
	assert_int_equal(stats_of(&f).waiting, 2);
	happen(&f, SESSION_EV_READY);
	happen_to_slot(&f, SESSION_EV_SLOT_READY, 1);
	expect(&f, "run 3 @1!");
	fixture_release(&f);
}

static void cancel_ends_what_waits_and_what_runs(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	assign_own(&f, 3, 7);
	discard(&f);
	receive_ref(&f, WIRE_CANCEL, 2);
	expect(&f, "result 2 made CANCELLED cancelled");
	receive_ref(&f, WIRE_CANCEL, 3);
	expect(&f, "result 3 made CANCELLED cancelled");
	receive_function(&f, 7, 10); /* nobody waits for it any more */
	receive_ref(&f, WIRE_CANCEL, 1);
	receive_ref(&f, WIRE_CANCEL, 1);
	expect(&f, "kill 1 @0 cancelled");
	finish(&f, 0, 1, REASON_CANCELLED, 0);
	expect(&f, "result 1 CANCELLED cancelled");
	receive_ref(&f, WIRE_CANCEL, 1); /* the result wins */
	receive_ref(&f, WIRE_CANCEL, 99);
	receive(&f, (struct wire_msg){ .type = WIRE_CANCEL, .ref = { id_of(1), { 2, 1 } } });
	expect(&f, "");
	fixture_release(&f);
}

static void cancel_reaches_into_a_pipe(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 3; task++)
		assign_ahead(&f, task, 2);
	discard(&f);
	receive_ref(&f, WIRE_CANCEL, 2);
	assign_ahead(&f, 4, 2); /* not while the runner takes out what was cancelled */
	expect(&f, "kill 2 @0 cancelled");
	finish(&f, 0, 2, REASON_CANCELLED, 0);
	expect(&f, "result 2 CANCELLED cancelled; run 4 @0");
	receive_ref(&f, WIRE_CANCEL, 1);
	expect(&f, "steal @0; kill 1 @0 cancelled");
	receive_ref(&f, WIRE_CANCEL, 3);
	expect(&f, "kill 3 @0 cancelled");
	happen_to_task(&f, SESSION_EV_RETURNED, 0, 3); /* by the steal, before the kill */
	expect(&f, "result 3 made CANCELLED cancelled");
	fixture_release(&f);
}

static void a_stale_task_is_ended_in_silence(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 3; task++)
		assign_own(&f, task, 1);
	discard(&f);
	receive_ref(&f, WIRE_STALE, 2);
	expect(&f, "");
	receive_ref(&f, WIRE_STALE, 1);
	expect(&f, "kill 1 @0 cancelled");
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	finish(&f, 0, 1, REASON_CANCELLED, 0);
	expect(&f, "run 3 @0!");
	finish(&f, 0, 3, REASON_NONE, 0);
	receive_ref(&f, WIRE_STALE, 3);
	receive_ref(&f, WIRE_STALE, 3);
	expect(&f, "result 3 COMPLETED");
	assert_int_equal(stats_of(&f).unacknowledged, 0);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_task_of_its_own_is_alone_in_its_slot),
		cmocka_unit_test(a_task_of_its_own_is_not_starved_by_short_ones),
		cmocka_unit_test(the_slot_that_idled_last_is_used_first),
		cmocka_unit_test(short_tasks_share_pipes_in_bursts),
		cmocka_unit_test(a_pipe_has_an_end),
		cmocka_unit_test(an_overdue_task_loses_its_pipe),
		cmocka_unit_test(a_lone_slot_keeps_its_pipe),
		cmocka_unit_test(what_is_returned_keeps_its_age),
		cmocka_unit_test(a_quick_task_is_not_said_to_have_started),
		cmocka_unit_test(a_task_has_started_when_its_child_says_so),
		cmocka_unit_test(what_a_task_prints_is_said_while_it_runs),
		cmocka_unit_test(much_is_said_in_small_pieces),
		cmocka_unit_test(what_a_stale_task_prints_is_not_said),
		cmocka_unit_test(a_limit_counts_from_the_start),
		cmocka_unit_test(a_limit_does_not_count_before_the_start),
		cmocka_unit_test(a_limit_ends_the_head_of_a_pipe_only),
		cmocka_unit_test(a_dead_child_gives_back_what_had_not_begun),
		cmocka_unit_test(a_full_socket_is_left_alone_until_something_finishes),
		cmocka_unit_test(a_lost_template_costs_attempts_not_tasks),
		cmocka_unit_test(cancel_ends_what_waits_and_what_runs),
		cmocka_unit_test(cancel_reaches_into_a_pipe),
		cmocka_unit_test(a_stale_task_is_ended_in_silence),
	};
	return cmocka_run_group_tests_name("session_slot", tests, NULL, NULL);
}
