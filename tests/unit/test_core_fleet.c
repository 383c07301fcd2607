/* Workers that come and go: what they hold, and what is taken from them. */
#include "core_fixture.h"

static void resumed(struct bench *b, uint32_t session)
{
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_RESUMED, .session = session });
	expect_none(b);
}

static void listed(struct bench *b, struct core_ev_held held)
{
	held.first = held.last = true;
	bench_step(b, (struct core_event){ .kind = CORE_EV_HELD, .held = held });
}

static void what_a_worker_lists_stays_with_it(void **state)
{
	struct bench *b = *state;
	struct core_action assign = leased(b, spec_of(1));
	struct wire_ref ref = { assign.id, assign.token };
	for (int i = 0; i < 5; i++) {
		listed(b, (struct core_ev_held){ .refs = &ref, .count = 1, .received = 1 });
		expect_none(b);
	}
	assert_true(view_of(b, 1).leased);
}

static void what_is_missing_twice_goes_elsewhere(void **state)
{
	struct bench *b = *state;
	leased(b, spec_of(1));
	listed(b, (struct core_ev_held){ .received = 1 });
	expect_none(b);
	listed(b, (struct core_ev_held){ .received = 1 });
	bench_loss_stored(b, 0);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->token.attempt, 2);
}

static void what_is_on_its_way_is_waited_for(void **state)
{
	struct bench *b = *state;
	leased(b, spec_of(1));
	for (int i = 0; i < 299; i++) {
		listed(b, (struct core_ev_held){ .received = 0 });
		expect_none(b);
	}
	listed(b, (struct core_ev_held){ .received = 0 });
	bench_loss_stored(b, 0);
	expect(b, CORE_DO_ASSIGN);
}

static void what_is_listed_and_not_its_own_is_stale(void **state)
{
	struct bench *b = *state;
	struct core_action assign = leased(b, spec_of(1));
	session_opened(b, 1, 1, false);
	struct wire_ref refs[] = { { assign.id, assign.token }, { id_of(99), { 1, 1 } } };
	listed(b, (struct core_ev_held){ .session = 1, .refs = refs, .count = 2 });
	assert_int_equal(number_of(expect(b, CORE_DO_STALE)->id), 1);
	const struct core_action *stale = expect(b, CORE_DO_STALE);
	assert_int_equal(number_of(stale->id), 99);
	assert_int_equal(stale->session, 1);
	assert_true(view_of(b, 1).leased);
}

static void an_end_on_its_way_to_the_store_is_not_stale(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	struct wire_ref ref = { assign.id, assign.token };
	bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
	listed(b, (struct core_ev_held){ .refs = &ref, .count = 1, .received = 1 });
	expect_none(b);
}

static void a_worker_that_is_away_gets_nothing_and_keeps_what_it_runs(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(1));
	session_opened(b, 0, 2, false);
	credited(b, 0, 10);
	struct core_action assign = *expect(b, CORE_DO_ASSIGN);
	bench_paused(b, 0, CORE_PAUSE_AWAY, false);
	settle(b, spec_of(2));
	resumed(b, 0);
	struct wire_ref ref = { assign.id, assign.token };
	listed(b, (struct core_ev_held){ .refs = &ref, .count = 1, .resumed = true });
	expect_none(b);
	credited(b, 0, 1); /* it counts anew */
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 2);
	bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
}

/* Its start is being recorded when the connection is lost: no ASSIGN can leave. */
static void what_was_never_sent_is_not_lost_with_its_worker(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.at_most_once = true;
	settle(b, spec);
	session_opened(b, 0, 1, false);
	credited(b, 0, 10);
	struct core_action start = *expect(b, CORE_DO_PERSIST_START);
	bench_paused(b, 0, CORE_PAUSE_AWAY, false);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	expect_none(b);
	resumed(b, 0);
	listed(b, (struct core_ev_held){ .resumed = true });
	expect_none(b);
	credited(b, 0, 1);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->token.attempt, 1);
}

/* It may be gone by the time that the start is recorded. */
static void what_is_being_started_is_not_sent_to_who_takes_no_more(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.at_most_once = true;
	settle(b, spec);
	session_opened(b, 0, 1, false);
	credited(b, 0, 10);
	struct core_action start = *expect(b, CORE_DO_PERSIST_START);
	bench_paused(b, 0, CORE_PAUSE_ORDERED, false);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	expect_none(b);
	session_opened(b, 1, 1, false);
	credited(b, 1, 1);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, 1);
}

static void what_a_worker_that_is_back_does_not_hold_goes_on(void **state)
{
	struct bench *b = *state;
	leased(b, spec_of(1));
	bench_paused(b, 0, CORE_PAUSE_AWAY, false);
	resumed(b, 0);
	listed(b, (struct core_ev_held){ .resumed = true });
	bench_loss_stored(b, 0);
	credited(b, 0, 1);
	expect(b, CORE_DO_ASSIGN);
}

static void a_cancellation_is_said_again_to_who_is_back(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	bench_step(b, cancel_event(5, 1, false));
	expect(b, CORE_DO_SEND_CANCEL);
	expect(b, CORE_DO_ANSWER_CANCEL);
	resumed(b, 0);
	struct wire_ref ref = { assign.id, assign.token };
	listed(b, (struct core_ev_held){ .refs = &ref, .count = 1, .resumed = true });
	expect(b, CORE_DO_SEND_CANCEL);
}

static void an_ordered_pause_lasts_through_a_new_connection(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 1, false);
	credited(b, 0, 10);
	bench_paused(b, 0, CORE_PAUSE_ORDERED, false);
	settle(b, spec_of(1));
	resumed(b, 0);
	listed(b, (struct core_ev_held){ .resumed = true });
	credited(b, 0, 1);
	expect_none(b);
	bench_paused(b, 0, CORE_PAUSE_ORDERED, true);
	expect(b, CORE_DO_ASSIGN);
}

/* Wrong: to send it to who is away. It never leaves, and counts as begun. */
static void a_start_for_who_is_away_goes_elsewhere(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.at_most_once = true;
	settle(b, spec);
	session_opened(b, 0, 1, false);
	credited(b, 0, 1);
	uint32_t ref = expect(b, CORE_DO_PERSIST_START)->ref;
	bench_paused(b, 0, CORE_PAUSE_AWAY, false);
	expect_none(b);
	bench_step(b, ref_event(CORE_EV_START_STORED, ref));
	expect_none(b);
	session_opened(b, 1, 1, false);
	credited(b, 1, 1);
	const struct core_action *assign = expect(b, CORE_DO_ASSIGN);
	assert_int_equal(assign->session, 1);
	assert_int_equal(assign->token.attempt, 1);
}

static void who_leaves_in_order_is_no_loss(void **state)
{
	struct bench *b = *state;
	running(b, spec_of(1));
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_LEFT, .session = 0 });
	bench_loss_stored(b, 0);
	session_opened(b, 1, 1, false);
	credited(b, 1, 1);
	expect(b, CORE_DO_ASSIGN);
}

static void a_worker_that_can_run_more_gets_more(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 2, false);
	credited(b, 0, 10);
	struct core_spec spec = spec_of(1);
	spec.class_ix = 5;
	settle(b, spec);
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_CLASSES,
					   .classes = { 0, 1 | 1 << 5 } });
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 1);
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_CLASSES, .classes = { 0, 1 } });
	expect_none(b);
	assert_true(view_of(b, 1).leased);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(what_a_worker_lists_stays_with_it),
		core_test(what_is_missing_twice_goes_elsewhere),
		core_test(what_is_on_its_way_is_waited_for),
		core_test(what_is_listed_and_not_its_own_is_stale),
		core_test(an_end_on_its_way_to_the_store_is_not_stale),
		core_test(a_worker_that_is_away_gets_nothing_and_keeps_what_it_runs),
		core_test(what_was_never_sent_is_not_lost_with_its_worker),
		core_test(what_is_being_started_is_not_sent_to_who_takes_no_more),
		core_test(what_a_worker_that_is_back_does_not_hold_goes_on),
		core_test(a_cancellation_is_said_again_to_who_is_back),
		core_test(an_ordered_pause_lasts_through_a_new_connection),
		core_test(a_start_for_who_is_away_goes_elsewhere),
		core_test(who_leaves_in_order_is_no_loss),
		core_test(a_worker_that_can_run_more_gets_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
