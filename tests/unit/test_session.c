/* A worker's session with its dispatcher, rule by rule: HELLO, credit, results, leaving. */
#include "session_fixture.h"

#include "base/mem.h"

static void hello_waits_for_runtime_and_dispatcher(void **state)
{
	(void)state;
	struct fixture f = { .now_us = 1 };
	open_session(&f, (struct session_config){ .slots = 2 });
	happen(&f, SESSION_EV_CONNECTED);
	expect(&f, "");
	happen(&f, SESSION_EV_BROKEN);
	assert_true(stats_of(&f).broken);
	happen(&f, SESSION_EV_READY);
	expect(&f, "hello");
	assert_false(stats_of(&f).broken);
	assert_string_equal(stats_of(&f).runtime, "cp311");
	happen(&f, SESSION_EV_READY);
	expect(&f, "");
	pass(&f, SESSION_RESEND_US);
	expect(&f, "");
	welcome(&f, 0);
	expect(&f, "credit 64");
	assert_true(stats_of(&f).welcomed);
	welcome(&f, 0);
	expect(&f, "");
	assert_int_equal(stats_of(&f).ignored, 1);
	fixture_release(&f);

	open_session(&f, (struct session_config){ .slots = 1 });
	happen(&f, SESSION_EV_READY);
	expect(&f, "");
	happen(&f, SESSION_EV_CONNECTED);
	expect(&f, "hello");
	fixture_release(&f);
}

static void slots_have_a_range(void **state)
{
	(void)state;
	struct session *s = NULL;
	struct session_config config = { .slots = 0 };
	assert_int_equal(session_new(&config, &s), FH_EINVAL);
	config.slots = SESSION_SLOTS_MAX + 1;
	assert_int_equal(session_new(&config, &s), FH_EINVAL);
	assert_null(s);
	config.slots = SESSION_SLOTS_MAX;
	assert_int_equal(session_new(&config, &s), 0);
	session_check(s);
	session_free(&s);
	session_free(&s);
}

static void no_memory_is_an_answer(void **state)
{
	(void)state;
	struct session *s = NULL;
	struct session_config config = { .slots = 2 };
	unsigned after = 1;
	for (;; after++) {
		fh_mem_fail_after(after);
		int error = session_new(&config, &s);
		fh_mem_fail_after(0);
		if (!error)
			break;
		assert_int_equal(error, FH_ENOMEM);
		assert_null(s);
	}
	assert_true(after > 4);
	session_free(&s);
}

static void a_token_that_is_known_runs_once(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	assign_own(&f, 1, 1);
	assign_own(&f, 1, 1);
	expect(&f, "run 1 @0!");
	receive_assign(&f, (struct wire_assign){
				   .task = id_of(1), .function = id_of(1), .token = { 2, 1 } });
	expect(&f, "run 1 @1!");
	fixture_release(&f);
}

static void beyond_credit_is_answered_as_lost(void **state)
{
	(void)state;
	struct fixture f = { .now_us = 1 };
	open_session(&f, (struct session_config){ .slots = 1 });
	assign_own(&f, 1, 1); /* no session yet */
	expect(&f, "");
	happen(&f, SESSION_EV_READY);
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, 0);
	expect(&f, "hello; credit 32");
	for (unsigned task = 1; task <= SESSION_AHEAD_LOCAL; task++)
		assign_own(&f, task, 1);
	expect(&f, "get 1");
	assign_own(&f, 99, 1);
	expect(&f, "result 99 made FAILED worker_lost");
	assert_int_equal(stats_of(&f).refused, 1);
	assert_int_equal(stats_of(&f).waiting, SESSION_AHEAD_LOCAL);
	receive_ref(&f, WIRE_RESULT_ACK, 99);
	fixture_release(&f);
}

static void credit_follows_what_finishes(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	for (unsigned task = 1; task <= 6; task++) {
		assign_own(&f, task, 1);
		finish(&f, 0, task, REASON_NONE, 0);
	}
	/* With the fixture's own two it is eight: a quarter of the window. */
	assert_non_null(strstr(f.text, "run 6 @0!; result 6 COMPLETED; credit 40"));
	fixture_release(&f);
}

static void unacknowledged_results_hold_credit_back(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	unsigned task = 0;
	for (;;) {
		assign_own(&f, ++task, 1);
		if (strstr(f.text, "worker_lost"))
			break;
		finish(&f, 0, task, REASON_NONE, 0);
		discard(&f);
	}
	unsigned held = stats_of(&f).unacknowledged;
	assert_in_range(held, SESSION_RESULTS_MIN, SESSION_RESULTS_MIN + SESSION_AHEAD_LOCAL);
	discard(&f);
	for (unsigned i = 1; i <= SESSION_AHEAD_LOCAL / 4 + 1; i++)
		receive_ref(&f, WIRE_RESULT_ACK, i);
	assert_non_null(strstr(f.text, "credit "));
	fixture_release(&f);
}

static void bytes_of_results_hold_jobs_back(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	discard(&f);
	step(&f, (struct session_event){ .kind = SESSION_EV_FINISHED,
					 .slot = { .job = f.job[1],
						   .state = TASK_COMPLETED,
						   .bytes = SESSION_RESULT_BYTES + 1 } });
	expect(&f, "result 1 COMPLETED");
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	expect(&f, "run 2 @0!");
	fixture_release(&f);
}

static void a_result_is_said_again_until_it_is_acknowledged(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	finish(&f, 0, 1, REASON_NONE, 0);
	int64_t finished_us = f.now_us, at_s = 0;
	discard(&f);
	for (unsigned level = 0; level < SESSION_RESEND_LEVELS + 2; level++) {
		unsigned doublings =
			level < SESSION_RESEND_LEVELS ? level : SESSION_RESEND_LEVELS - 1;
		at_s += 1 << doublings;
		pass(&f, finished_us + at_s * SESSION_RESEND_US - f.now_us - 1);
		assert_null(strstr(f.text, "result"));
		pass(&f, 1);
		assert_non_null(strstr(f.text, "result 1 COMPLETED"));
		discard(&f);
	}
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	pass(&f, (int64_t)100 * SESSION_RESEND_US);
	expect(&f, "heartbeat; credit 32");
	assert_int_equal(stats_of(&f).resent, SESSION_RESEND_LEVELS + 2);
	fixture_release(&f);
}

static void an_acknowledgement_of_what_runs_is_ignored(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	finish(&f, 0, 1, REASON_NONE, 0);
	expect(&f, "run 1 @0!; result 1 COMPLETED");
	fixture_release(&f);
}

static void a_heartbeat_names_what_is_held(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	finish(&f, 0, 1, REASON_NONE, 0);
	assign_own(&f, 2, 1);
	assign_own(&f, 3, 7);
	discard(&f);
	pass(&f, SESSION_HEARTBEAT_US);
	assert_non_null(strstr(f.text, "heartbeat; credit 32"));
	struct wire_ref refs[4];
	assert_int_equal(session_in_flight(f.s, refs, 4), 3);
	unsigned sum = 0;
	for (unsigned i = 0; i < 3; i++)
		sum += number_of(refs[i].task);
	assert_int_equal(sum, 1 + 2 + 3);
	assert_int_equal(session_in_flight(f.s, refs, 1), 3);
	fixture_release(&f);
}

static void a_draining_worker_finishes_and_leaves(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	receive_drain(&f, WIRE_DRAIN_LEAVE);
	for (unsigned task = 1; task <= 2; task++)
		finish(&f, 0, task, REASON_NONE, 0);
	expect(&f, "run 1 @0!; result 1 COMPLETED; run 2 @0!; result 2 COMPLETED");
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	assert_false(session_is_drained(f.s));
	receive_ref(&f, WIRE_RESULT_ACK, 2);
	expect(&f, "bye");
	assert_true(session_is_drained(f.s));
	assign_own(&f, 3, 1);
	pass(&f, SESSION_HEARTBEAT_US);
	expect(&f, "");
	fixture_release(&f);
}

static void a_worker_that_never_spoke_leaves_in_silence(void **state)
{
	(void)state;
	struct fixture f = { .now_us = 1 };
	open_session(&f, (struct session_config){ .slots = 1 });
	happen(&f, SESSION_EV_CONNECTED);
	happen(&f, SESSION_EV_DRAINED);
	happen(&f, SESSION_EV_READY);
	expect(&f, "");
	assert_true(session_is_drained(f.s));
	fixture_release(&f);
}

static void without_a_dispatcher_what_runs_goes_on(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 2);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	assign_own(&f, 3, 1);
	assign_own(&f, 4, 7);
	happen_to_task(&f, SESSION_EV_STARTED, 1, 2);
	discard(&f);
	happen(&f, SESSION_EV_DISCONNECTED);
	assert_int_equal(stats_of(&f).waiting, 0);
	finish(&f, 0, 1, REASON_NONE, 0);
	pass(&f, 5 * SESSION_RESEND_US);
	expect(&f, "");
	happen(&f, SESSION_EV_CONNECTED);
	expect(&f, "hello");
	welcome(&f, 0);
	expect(&f, "credit 63");
	pass(&f, 0);
	expect(&f, "started 2; result 1 COMPLETED");
	finish(&f, 1, 2, REASON_NONE, 0);
	expect(&f, "result 2 COMPLETED");
	receive_ref(&f, WIRE_STALE, 1);
	receive_ref(&f, WIRE_STALE, 2);
	assert_int_equal(stats_of(&f).unacknowledged, 0);
	fixture_release(&f);
}

static void a_lost_dispatcher_s_queue_is_forgotten_in_bounded_steps(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 16);
	for (unsigned task = 1; task <= 300; task++)
		assign_own(&f, task, task % 2 ? 1 : 7);
	assert_int_equal(stats_of(&f).waiting, 300 - 16);
	happen(&f, SESSION_EV_DISCONNECTED);
	assert_int_equal(stats_of(&f).waiting, 0);
	assert_int_equal(stats_of(&f).piped, 16);
	fixture_release(&f);
}

static void junk_is_counted(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	receive(&f, (struct wire_msg){ .type = WIRE_HELLO });
	receive(&f, (struct wire_msg){ .type = 200 });
	receive_ref(&f, WIRE_STARTED, 1);
	receive_ref(&f, WIRE_STALE, 1);
	expect(&f, "");
	assert_int_equal(stats_of(&f).ignored, 4);
	f.now_us -= 500000; /* a clock that goes back is not followed */
	assign_own(&f, 1, 1);
	expect(&f, "run 1 @0!");
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_waits_for_runtime_and_dispatcher),
		cmocka_unit_test(slots_have_a_range),
		cmocka_unit_test(no_memory_is_an_answer),
		cmocka_unit_test(a_token_that_is_known_runs_once),
		cmocka_unit_test(beyond_credit_is_answered_as_lost),
		cmocka_unit_test(credit_follows_what_finishes),
		cmocka_unit_test(unacknowledged_results_hold_credit_back),
		cmocka_unit_test(bytes_of_results_hold_jobs_back),
		cmocka_unit_test(a_result_is_said_again_until_it_is_acknowledged),
		cmocka_unit_test(an_acknowledgement_of_what_runs_is_ignored),
		cmocka_unit_test(a_heartbeat_names_what_is_held),
		cmocka_unit_test(a_draining_worker_finishes_and_leaves),
		cmocka_unit_test(a_worker_that_never_spoke_leaves_in_silence),
		cmocka_unit_test(without_a_dispatcher_what_runs_goes_on),
		cmocka_unit_test(a_lost_dispatcher_s_queue_is_forgotten_in_bounded_steps),
		cmocka_unit_test(junk_is_counted),
	};
	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
