/* A worker's session and its contact with the dispatcher: HELLO anew, draining, silence. */
#include "session_fixture.h"

enum { SILENCE_MS = 4000, FENCE_US = 3000000, TICK_US = SESSION_HEARTBEAT_US / 2 };

/* Time that is noticed: no step is further from the last one than what counts as a pause. */
static void wait_awake(struct fixture *f, int64_t us)
{
	for (; us > 0; us -= TICK_US)
		pass(f, us < TICK_US ? us : TICK_US);
}

static void answer_heartbeat(struct fixture *f)
{
	receive(f, (struct wire_msg){ .type = WIRE_HEARTBEAT });
}

static void reconnect(struct fixture *f)
{
	happen(f, SESSION_EV_CONNECTED);
	welcome(f, SILENCE_MS);
}

static unsigned held(const struct fixture *f)
{
	return session_in_flight(f->s, NULL, 0);
}

/* ---- HELLO, and BYE in answer to it ---- */

static void an_unknown_session_greets_anew(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	assign_own(&f, 3, 7);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 1);
	discard(&f);
	receive_bye(&f, WIRE_BYE_UNKNOWN);
	expect(&f, "reconnect unknown");
	assert_int_equal(held(&f), 1); /* what is in no child is assigned anew */
	receive_bye(&f, WIRE_BYE_UNKNOWN);
	expect(&f, "");
	happen(&f, SESSION_EV_CONNECTED);
	expect(&f, "hello");
	receive_bye(&f, WIRE_BYE_UNKNOWN);
	expect(&f, "reconnect unknown");
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, 0);
	expect(&f, "hello; credit 31");
	pass(&f, 0);
	expect(&f, "started 1");
	fixture_release(&f);
}

static void a_hello_without_an_answer_is_said_over_another_connection(void **state)
{
	(void)state;
	struct fixture f = { .now_us = 1 };
	open_session(&f, (struct session_config){ .slots = 1 });
	happen(&f, SESSION_EV_CONNECTED);
	wait_awake(&f, 2 * SESSION_GREET_US);
	happen(&f, SESSION_EV_READY);
	expect(&f, "hello");
	wait_awake(&f, SESSION_GREET_US - 1);
	expect(&f, "");
	pass(&f, 1);
	expect(&f, "reconnect");
	wait_awake(&f, 2 * SESSION_GREET_US);
	expect(&f, "");
	happen(&f, SESSION_EV_CONNECTED);
	expect(&f, "hello");
	assert_int_equal(stats_of(&f).fenced, 0);
	fixture_release(&f);
}

static void a_refused_worker_says_no_more(void **state)
{
	(void)state;
	for (int welcomed = 0; welcomed < 2; welcomed++) {
		struct fixture f = { .now_us = 1 };
		open_session(&f, (struct session_config){ .slots = 1 });
		happen(&f, SESSION_EV_READY);
		receive_bye(&f, WIRE_BYE_REFUSED); /* nobody has greeted */
		happen(&f, SESSION_EV_CONNECTED);
		expect(&f, "hello");
		if (welcomed)
			welcome(&f, SILENCE_MS);
		discard(&f);
		receive_bye(&f, WIRE_BYE_REFUSED);
		expect(&f, "refused");
		receive_bye(&f, WIRE_BYE_REFUSED);
		receive_bye(&f, WIRE_BYE_UNKNOWN);
		receive_bye(&f, WIRE_BYE_DRAINED);
		receive_bye(&f, WIRE_BYE_END);
		wait_awake(&f, 3 * SESSION_GREET_US);
		expect(&f, "");
		fixture_release(&f);
	}
}

/* ---- DRAIN ---- */

static void a_worker_that_stays_takes_no_more_until_that_is_over(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	receive_drain(&f, WIRE_DRAIN_STAY);
	for (unsigned task = 1; task <= 16; task++) {
		assign_own(&f, task, 1); /* granted before */
		finish(&f, 0, task, REASON_NONE, 0);
		receive_ref(&f, WIRE_RESULT_ACK, task);
	}
	assert_null(strstr(f.text, "credit"));
	assert_null(strstr(f.text, "bye"));
	assert_true(stats_of(&f).staying);
	assert_false(session_is_drained(f.s));
	discard(&f);
	receive_drain(&f, WIRE_DRAIN_OVER);
	expect(&f, "credit 50");
	receive_drain(&f, WIRE_DRAIN_END);
	assert_int_equal(stats_of(&f).ignored, 1);
	fixture_release(&f);
}

static void a_new_session_takes_tasks_again(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	receive_drain(&f, WIRE_DRAIN_STAY);
	happen(&f, SESSION_EV_DISCONNECTED);
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, 0);
	expect(&f, "hello; credit 32");
	fixture_release(&f);
}

static void leaving_is_for_good(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	receive_drain(&f, WIRE_DRAIN_STAY);
	assign_own(&f, 1, 1);
	happen(&f, SESSION_EV_DRAINED);
	receive_drain(&f, WIRE_DRAIN_OVER);
	finish(&f, 0, 1, REASON_NONE, 0);
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	expect(&f, "run 1 @0!; drain; result 1 COMPLETED; bye");
	fixture_release(&f);
}

static void who_leaves_says_so_to_every_dispatcher(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	happen(&f, SESSION_EV_DRAINED);
	expect(&f, "run 1 @0!; drain");
	assign_own(&f, 2, 1); /* it was on its way */
	happen(&f, SESSION_EV_DISCONNECTED);
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, 0);
	expect(&f, "hello; drain");
	finish(&f, 0, 1, REASON_NONE, 0);
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	expect(&f, "result 1 COMPLETED; bye");
	fixture_release(&f);

	fixture_init(&f, 1);
	happen(&f, SESSION_EV_DRAINED);
	expect(&f, "bye");
	fixture_release(&f);
}

/* ---- silence ---- */

static void heartbeats_follow_the_silence_that_is_allowed(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 1, 400);
	for (int i = 0; i < 5; i++) {
		pass(&f, 50000);
		pass(&f, 50000);
		expect(&f, "heartbeat; credit 32");
		answer_heartbeat(&f);
	}
	for (int i = 0; i < 5; i++)
		pass(&f, 50000);
	discard(&f);
	pass(&f, 50000);
	expect(&f, "reconnect fenced");
	fixture_release(&f);
}

static void silence_ends_what_runs_and_keeps_what_is_over(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 3, SILENCE_MS);
	assign_own(&f, 1, 1);
	finish(&f, 0, 1, REASON_NONE, 0);
	assign_own(&f, 2, 1);
	assign_ahead(&f, 3, 1);
	assign_ahead(&f, 4, 1);
	assign_own(&f, 5, 1);
	assign_own(&f, 6, 1);
	assign_own(&f, 7, 9);
	happen_to_task(&f, SESSION_EV_STARTED, 0, 2);
	assert_int_equal(held(&f), 7);
	wait_awake(&f, FENCE_US - 1);
	discard(&f);
	pass(&f, 1);
	expect(&f, "result 1 COMPLETED; get 9; reconnect fenced; kill 2 @0 cancelled; kill 3 @1 "
		   "cancelled; "
		   "kill 4 @1 cancelled; kill 5 @2 cancelled");
	assert_int_equal(stats_of(&f).fenced, 1);
	assert_int_equal(held(&f), 1); /* the result of 1 */

	finish(&f, 0, 2, REASON_CANCELLED, 0);
	happen_to_slot(&f, SESSION_EV_SLOT_DOWN, 0);
	happen_to_task(&f, SESSION_EV_RETURNED, 1, 4);
	reconnect(&f);
	assert_int_equal(held(&f), 1);
	finish(&f, 1, 3, REASON_NONE,
	       10); /* it was faster than the signal: too late all the same */
	expect(&f, "hello; credit 94");
	pass(&f, 0);
	expect(&f, "result 1 COMPLETED");
	finish(&f, 2, 5, REASON_CANCELLED, 0);
	receive_ref(&f, WIRE_STALE, 1);
	assert_int_equal(held(&f), 0);
	assert_int_equal(stats_of(&f).piped, 0);
	fixture_release(&f);
}

static void a_full_worker_is_fenced_in_bounded_steps(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 64, SILENCE_MS);
	for (unsigned task = 1; task <= 800; task++)
		assign_ahead(&f, task, 1);
	assert_true(stats_of(&f).piped > 2 * SESSION_ACTIONS_MAX);
	wait_awake(&f, FENCE_US);
	assert_int_equal(held(&f), 0);
	assert_int_equal(stats_of(&f).waiting, 0);
	fixture_release(&f);
}

static void whatever_is_heard_breaks_the_silence(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 1, SILENCE_MS);
	assign_own(&f, 1, 1);
	discard(&f);
	for (int i = 0; i < 10; i++) {
		wait_awake(&f, FENCE_US - 1);
		if (i % 3 == 0)
			answer_heartbeat(&f);
		else if (i % 3 == 1)
			receive_ref(&f, WIRE_STALE, 77);
		else
			happen(&f, SESSION_EV_HEARD);
	}
	assert_null(strstr(f.text, "reconnect"));
	wait_awake(&f, FENCE_US);
	assert_non_null(strstr(f.text, "reconnect fenced; kill 1 @0 cancelled"));
	fixture_release(&f);
}

static void without_a_limit_silence_is_no_news(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_own(&f, 1, 1);
	wait_awake(&f, 100 * FENCE_US);
	assert_null(strstr(f.text, "reconnect"));
	fixture_release(&f);
}

/* A dispatcher that is gone may come back after any time: then it knows what it assigned. */
static void a_lost_connection_does_not_fence(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 1, SILENCE_MS);
	assign_own(&f, 1, 1);
	discard(&f);
	happen(&f, SESSION_EV_DISCONNECTED);
	wait_awake(&f, 100 * FENCE_US);
	expect(&f, "");
	assert_int_equal(held(&f), 1);
	reconnect(&f);
	expect(&f, "hello; credit 31");
	fixture_release(&f);
}

/* What came meanwhile is still to be read. */
static void a_pause_of_its_own_is_no_silence(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 1, SILENCE_MS);
	assign_own(&f, 1, 1);
	wait_awake(&f, FENCE_US / 2);
	discard(&f);
	pass(&f, FENCE_US - 1);
	expect(&f, "heartbeat; credit 32");
	wait_awake(&f, FENCE_US / 2 - 1);
	assert_null(strstr(f.text, "reconnect"));
	pass(&f, 1);
	assert_non_null(strstr(f.text, "reconnect fenced"));
	fixture_release(&f);
}

static void after_a_long_pause_nothing_is_begun_that_may_run_elsewhere(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 1, SILENCE_MS);
	assign_own(&f, 1, 1);
	assign_own(&f, 2, 1);
	discard(&f);
	f.now_us += 100 * FENCE_US;
	finish(&f, 0, 1, REASON_NONE, 0);
	expect(&f, "reconnect overslept");
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, SILENCE_MS);
	pass(&f, 1);
	expect(&f, "hello; credit 32; result 1 COMPLETED");
	fixture_release(&f);
}

static void what_runs_goes_on_after_a_long_pause(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init_silence(&f, 1, SILENCE_MS);
	assign_own(&f, 1, 1);
	discard(&f);
	pass(&f, 100 * FENCE_US);
	expect(&f, "reconnect overslept");
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, SILENCE_MS);
	expect(&f, "hello; credit 31");
	fixture_release(&f);
}

/* ---- credit ---- */

static void a_worker_asks_for_so_much_a_slot(void **state)
{
	(void)state;
	struct fixture f = { .now_us = 1 };
	open_session(&f, (struct session_config){ .slots = 2, .ahead = 16 });
	happen(&f, SESSION_EV_READY);
	happen(&f, SESSION_EV_CONNECTED);
	welcome(&f, 0);
	expect(&f, "hello; credit 32");
	for (uint32_t slot = 0; slot < 2; slot++)
		happen_to_slot(&f, SESSION_EV_SLOT_READY, slot);
	assign_own(&f, 1, 1);
	receive_function(&f, 1, 10);
	discard(&f);
	finish(&f, 0, 1, REASON_NONE, 0);
	for (unsigned task = 2; task <= 7; task++) {
		assign_own(&f, task, 1);
		discard(&f);
		finish(&f, 0, task, REASON_NONE, 0);
	}
	expect(&f, "result 7 COMPLETED");
	assign_own(&f, 8, 1);
	discard(&f);
	finish(&f, 0, 8, REASON_NONE, 0);
	expect(&f, "result 8 COMPLETED; credit 40"); /* a quarter of it at a time */
	fixture_release(&f);
}

/* ---- a connection that loses, repeats or reorders messages ---- */

static void assign_number(struct fixture *f, unsigned task, uint64_t number)
{
	receive_assign(f, (struct wire_assign){
				  .task = id_of(task), .function = id_of(1), .number = number });
}

static void an_assign_that_comes_twice_runs_once(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_number(&f, 1, 3); /* two have brought functions */
	expect(&f, "run 1 @0!");
	assign_number(&f, 1, 3);
	finish(&f, 0, 1, REASON_NONE, 10);
	discard(&f);
	assign_number(&f, 1, 3);
	receive_ref(&f, WIRE_RESULT_ACK, 1);
	assert_int_equal(held(&f), 0);
	assign_number(&f, 1, 3); /* nothing is known of it any more */
	expect(&f, "");
	assert_int_equal(held(&f), 0);
	assign_number(&f, 5, 5);
	expect(&f, "run 5 @0!");
	assign_number(&f, 4, 4); /* overtaken: it counts as lost */
	assert_int_equal(held(&f), 1);
	assert_int_equal(session_received(f.s), 5);
	fixture_release(&f);
}

static void one_acknowledgement_is_for_many_assigns(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	pass(&f, SESSION_ACK_US);
	unsigned before = f.acks;
	for (unsigned task = 1; task <= 10; task++)
		assign_ahead(&f, task, 1);
	pass(&f, SESSION_ACK_US - 1);
	assert_int_equal(f.acks, before);
	assert_true(session_next_us(f.s) <= f.now_us + 1);
	pass(&f, 1);
	assert_int_equal(f.acks, before + 1);
	assert_int_equal(f.acked, f.assigns);
	pass(&f, 10 * SESSION_ACK_US); /* there is nothing new */
	assert_int_equal(f.acks, before + 1);
	happen(&f, SESSION_EV_DISCONNECTED);
	reconnect(&f);
	assign_ahead(&f, 11, 1);
	pass(&f, SESSION_ACK_US);
	assert_int_equal(f.acked, 1); /* of this connection */
	fixture_release(&f);
}

static void an_assign_that_is_lost_costs_no_credit(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	assign_number(&f, 11, 11); /* eight were lost: a quarter of the window */
	expect(&f, "run 11 @0!; credit 42");
	fixture_release(&f);
}

static void hear_sent(struct fixture *f, uint64_t sent, unsigned times)
{
	for (unsigned i = 0; i < times; i++)
		receive(f, (struct wire_msg){ .type = WIRE_HEARTBEAT, .heartbeat.assigns = sent });
}

static void assigns_that_do_not_come_are_given_up(void **state)
{
	(void)state;
	struct fixture f;
	fixture_init(&f, 1);
	hear_sent(&f, 12, SESSION_AWAITED_BEATS - 1);
	assign_number(&f, 1, 3); /* it is only slow */
	discard(&f);
	hear_sent(&f, 12, SESSION_AWAITED_BEATS - 1);
	assert_int_equal(session_received(f.s), 3);
	hear_sent(&f, 3, 1); /* an answer of before */
	hear_sent(&f, 12, SESSION_AWAITED_BEATS - 1);
	expect(&f, "");
	hear_sent(&f, 12, 1);
	assert_int_equal(session_received(f.s), 12);
	expect(&f, "credit 43");
	hear_sent(&f, UINT64_MAX, SESSION_AWAITED_BEATS); /* more than was granted */
	assert_int_equal(session_received(f.s), 43);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_session_greets_anew),
		cmocka_unit_test(a_hello_without_an_answer_is_said_over_another_connection),
		cmocka_unit_test(a_refused_worker_says_no_more),
		cmocka_unit_test(a_worker_that_stays_takes_no_more_until_that_is_over),
		cmocka_unit_test(a_new_session_takes_tasks_again),
		cmocka_unit_test(leaving_is_for_good),
		cmocka_unit_test(who_leaves_says_so_to_every_dispatcher),
		cmocka_unit_test(heartbeats_follow_the_silence_that_is_allowed),
		cmocka_unit_test(silence_ends_what_runs_and_keeps_what_is_over),
		cmocka_unit_test(a_full_worker_is_fenced_in_bounded_steps),
		cmocka_unit_test(whatever_is_heard_breaks_the_silence),
		cmocka_unit_test(without_a_limit_silence_is_no_news),
		cmocka_unit_test(a_lost_connection_does_not_fence),
		cmocka_unit_test(a_pause_of_its_own_is_no_silence),
		cmocka_unit_test(after_a_long_pause_nothing_is_begun_that_may_run_elsewhere),
		cmocka_unit_test(what_runs_goes_on_after_a_long_pause),
		cmocka_unit_test(a_worker_asks_for_so_much_a_slot),
		cmocka_unit_test(an_assign_that_comes_twice_runs_once),
		cmocka_unit_test(one_acknowledgement_is_for_many_assigns),
		cmocka_unit_test(an_assign_that_is_lost_costs_no_credit),
		cmocka_unit_test(assigns_that_do_not_come_are_given_up),
	};
	return cmocka_run_group_tests_name("session_contact", tests, NULL, NULL);
}
