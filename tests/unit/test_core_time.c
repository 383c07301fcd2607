/* What time does: expiry, liveness, our own pauses; and cancelling, in every phase. */
#include "core_fixture.h"

static void ticked(struct bench *b)
{
	bench_step(b, (struct core_event){ .kind = CORE_EV_TICKED });
}

/* Time passes in steps that are short enough not to be a pause of ours. */
static void live_through(struct bench *b, int64_t us)
{
	for (; us > 500000; us -= 500000)
		bench_pass(b, 500000);
	bench_pass(b, us);
}

static void a_waiting_task_expires(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.expires_us = b->now_us + 3000;
	settle(b, spec);
	assert_int_equal(core_next_us(b->core), spec.expires_us);
	bench_pass(b, 3000);
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.state, TASK_FAILED);
	assert_int_equal(final->persist.reason, REASON_EXPIRED);
	expect_none(b);
}

static void a_leased_task_that_was_not_begun_expires_a_running_one_does_not(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.expires_us = b->now_us + 3000;
	struct core_action assign = leased(b, spec);
	bench_pass(b, 3000);
	assert_int_equal(expect(b, CORE_DO_STALE)->session, assign.session);
	expect(b, CORE_DO_PERSIST_FINAL);
	spec = spec_of(2);
	spec.expires_us = b->now_us + 3000;
	submit(b, spec);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assign = *expect(b, CORE_DO_ASSIGN);
	bench_step(b, started_event(&assign));
	expect(b, CORE_DO_NOTE_STARTED);
	bench_pass(b, 3000);
	expect_none(b);
}

static void the_backlog_expires_in_the_store(void **state)
{
	struct bench *b = *state;
	for (uint32_t n = 1; n <= 5; n++) {
		struct core_spec spec = spec_of(n);
		spec.expires_us = n == 5 ? b->now_us + 3000 : 0;
		submit(b, spec);
		expect(b, CORE_DO_PERSIST);
		stored(b);
	}
	bench_pass(b, 3000);
	expect(b, CORE_DO_EXPIRE_BACKLOG);
	ticked(b);
	expect_none(b); /* one at a time */
	const struct core_dropped dropped = { 0, 0, 10 };
	struct core_event ev = { .kind = CORE_EV_DROPPED,
				 .dropped = { &dropped, 1, b->now_us, true } };
	bench_step(b, ev);
	expect(b, CORE_DO_EXPIRE_BACKLOG); /* there is more that has expired */
	ev.dropped.count = 0;
	bench_step(b, ev);
	expect_none(b); /* none was ended: it is ours, or will be; no hurry */
	assert_int_equal(core_next_us(b->core), b->now_us + 1000000);
	struct core_counts counts;
	core_counts(b->core, &counts);
	assert_int_equal(counts.live, 4);
}

/* The store looks at its queue before the task is back in it. */
static void what_goes_back_while_the_store_looks_still_expires(void **state)
{
	struct bench *b = *state;
	int64_t expires_us = b->now_us + 9000;
	for (uint32_t n = 1; n <= 5; n++) {
		struct core_spec spec = spec_of(n);
		spec.expires_us = n == 5 ? b->now_us + 3000 : n == 4 ? expires_us : 0;
		submit(b, spec);
		expect(b, CORE_DO_PERSIST);
		stored(b);
	}
	bench_pass(b, 3000);
	expect(b, CORE_DO_EXPIRE_BACKLOG);
	struct core_spec urgent = spec_of(6);
	urgent.priority = 5;
	submit(b, urgent);
	assert_int_equal(number_of(expect(b, CORE_DO_UNCLAIM)->id), 4);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	const struct core_dropped dropped = { 0, 0, 10 };
	struct core_event ev = { .kind = CORE_EV_DROPPED, .dropped = { &dropped, 1, 0, true } };
	bench_step(b, ev);
	expect_none(b);
	assert_int_equal(core_next_us(b->core), expires_us);
	bench_pass(b, 6000);
	expect(b, CORE_DO_EXPIRE_BACKLOG);
}

static void a_silent_session_is_lost_and_a_heard_one_is_not(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(1));
	session_opened(b, 0, 1, false);
	session_opened(b, 1, 1, false);
	session_opened(b, 2, 1, true);
	credited(b, 0, 1);
	expect(b, CORE_DO_ASSIGN);
	live_through(b, 3000000);
	expect_none(b);
	bench_step(b, (struct core_event){ .kind = CORE_EV_HEARD, .session = 1 });
	live_through(b, 999999);
	expect_none(b);
	live_through(b, 1);
	assert_int_equal(expect(b, CORE_DO_CLOSE_SESSION)->session, 0);
	expect(b, CORE_DO_PERSIST_RETRY);
	expect_none(b);
	live_through(b, 3000000);
	assert_int_equal(expect(b, CORE_DO_CLOSE_SESSION)->session, 1);
	expect_none(b);
	assert_int_equal(core_next_us(b->core), INT64_MAX); /* the immortal one needs no tick */
}

static void a_pause_of_ours_buries_nobody(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 1, false);
	live_through(b, 3000000);
	bench_pass(b, 3600 * INT64_C(1000000)); /* suspended for an hour */
	expect_none(b);
	assert_true(core_next_us(b->core) <= b->now_us + 500000);
	live_through(b, 999999);
	expect_none(b);
	live_through(b, 1);
	expect(b, CORE_DO_CLOSE_SESSION);
}

static void cancelling_what_waits_is_answered_when_durable(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(1));
	bench_step(b, cancel_event(7, 1, true));
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.state, TASK_CANCELLED);
	assert_int_equal(final->persist.reason, REASON_CANCELLED);
	uint32_t ref = final->ref;
	expect_none(b);
	bench_step(b, cancel_event(8, 1, true));
	assert_int_equal(expect(b, CORE_DO_CANCEL_LATER)->request.request, 8);
	bench_step(b, ref_event(CORE_EV_FINAL_STORED, ref));
	const struct core_action *answer = expect(b, CORE_DO_ANSWER_CANCEL);
	assert_int_equal(answer->request.request, 7);
	assert_int_equal(answer->request.error, 0);
	assert_false(answer->request.running);
	expect(b, CORE_DO_WAKE);
	expect(b, CORE_DO_RELEASE);
	bench_step(b, cancel_event(8, 1, true));
	assert_int_equal(expect(b, CORE_DO_CANCEL_STORED)->request.request, 8);
}

static void cancelling_what_is_not_begun_calls_it_back(void **state)
{
	struct bench *b = *state;
	struct core_action assign = leased(b, spec_of(1));
	bench_step(b, cancel_event(7, 1, true));
	assert_true(task_token_equal(expect(b, CORE_DO_SEND_CANCEL)->token, assign.token));
	expect(b, CORE_DO_PERSIST_FINAL);
	expect_none(b);
	bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_STALE); /* it has ended already */
}

static void cancelling_what_runs_asks_its_worker(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	bench_step(b, cancel_event(7, 1, true));
	assert_int_equal(expect(b, CORE_DO_ANSWER_CANCEL)->request.error, FH_EBUSY);
	expect_none(b);
	bench_step(b, cancel_event(8, 1, false));
	expect(b, CORE_DO_SEND_CANCEL);
	assert_true(expect(b, CORE_DO_ANSWER_CANCEL)->request.running);
	expect_none(b);
	assert_int_equal(view_of(b, 1).state, TASK_RUNNING);
	bench_step(b, finished_event(&assign, TASK_CANCELLED, REASON_CANCELLED));
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.state, TASK_CANCELLED);
	assert_true(final->persist.by_worker);
}

static void what_was_to_be_cancelled_never_goes_on(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.retries = 9;
	struct core_action assign = running(b, spec);
	bench_step(b, cancel_event(7, 1, false));
	expect(b, CORE_DO_SEND_CANCEL);
	expect(b, CORE_DO_ANSWER_CANCEL);
	bench_step(b, finished_event(&assign, TASK_FAILED, REASON_CRASH));
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.state, TASK_CANCELLED);
	expect_none(b);
}

static void cancelled_with_its_worker_lost_is_cancelled(void **state)
{
	struct bench *b = *state;
	running(b, spec_of(1));
	bench_step(b, cancel_event(7, 1, false));
	expect(b, CORE_DO_SEND_CANCEL);
	expect(b, CORE_DO_ANSWER_CANCEL);
	session_lost(b, 0);
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.state, TASK_CANCELLED);
	expect_none(b);
}

static void a_cancellation_between_phases_is_held(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	session_lost(b, 0);
	expect(b, CORE_DO_PERSIST_RETRY);
	bench_step(b, cancel_event(7, 1, false));
	expect_none(b);
	bench_step(b, cancel_event(8, 1, false));
	expect(b, CORE_DO_CANCEL_LATER);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, assign.ref));
	expect(b, CORE_DO_PERSIST_FINAL);
	bench_step(b, ref_event(CORE_EV_FINAL_STORED, assign.ref));
	assert_int_equal(expect(b, CORE_DO_ANSWER_CANCEL)->request.request, 7);
	expect(b, CORE_DO_WAKE);
	expect(b, CORE_DO_RELEASE);

	struct core_spec once = spec_of(2);
	once.at_most_once = true;
	session_opened(b, 0, 1, true);
	credited(b, 0, 1);
	submit(b, once);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	struct core_action start = *expect(b, CORE_DO_PERSIST_START);
	bench_step(b, cancel_event(9, 2, false));
	expect_none(b);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	expect(b, CORE_DO_PERSIST_FINAL);
	expect_none(b);
	/* Its credit was not used. */
	submit(b, spec_of(3));
	expect(b, CORE_DO_PERSIST);
	stored(b);
	expect(b, CORE_DO_ASSIGN);
}

static void what_is_not_stored_yet_is_the_stores_to_cancel(void **state)
{
	struct bench *b = *state;
	submit(b, spec_of(1));
	expect(b, CORE_DO_PERSIST);
	bench_step(b, cancel_event(7, 1, false));
	const struct core_action *later = expect(b, CORE_DO_CANCEL_STORED);
	assert_int_equal(later->request.request, 7);
	assert_int_equal(number_of(later->id), 1);
	expect_none(b);
}

static void many_deadlines_at_once_come_in_portions(void **state)
{
	struct bench *b = *state;
	struct core_limits limits = bench_limits();
	limits.window_max = 3000;
	limits.lane_max = 2048;
	limits.lanes_max = 1;
	limits.live_max = 3000;
	limits.live_bytes_max = limits.lane_bytes_max = 1000000;
	bench_close(b);
	bench_open(b, &limits);
	for (uint32_t n = 1; n <= 2000; n++) {
		struct core_spec spec = spec_of(n);
		spec.expires_us = b->now_us + 5;
		settle(b, spec);
	}
	bench_pass(b, 5);
	uint32_t ended = 0;
	for (;;) {
		for (b->taken = 0; b->taken < b->out.count; ended++)
			expect(b, CORE_DO_PERSIST_FINAL);
		if (!b->out.more)
			break;
		bench_step(b, (struct core_event){ .kind = CORE_EV_CONTINUED });
	}
	assert_int_equal(ended, 2000);
}

static void equal_histories_have_equal_hashes(void **state)
{
	struct bench *b = *state;
	uint64_t hashes[2];
	for (int i = 0; i < 2; i++) {
		struct core_limits limits = bench_limits();
		bench_close(b);
		bench_open(b, &limits);
		running(b, spec_of(1));
		settle(b, spec_of(2));
		hashes[i] = core_hash(b->core);
	}
	assert_true(hashes[0] == hashes[1]);
	settle(b, spec_of(3));
	assert_true(hashes[0] != core_hash(b->core));
}

static void wall_set(struct bench *b, int64_t step_us)
{
	bench_step(b,
		   (struct core_event){ .kind = CORE_EV_WALL_COMPARED, .wall_step_us = step_us });
}

static void what_waits_in_the_window_follows_the_wall_clock(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.expires_us = b->now_us + 5000;
	settle(b, spec);
	wall_set(b, -2000);
	assert_int_equal(core_next_us(b->core), spec.expires_us + 2000);
	wall_set(b, 3000);
	assert_int_equal(core_next_us(b->core), spec.expires_us - 1000);
	wall_set(b, 3600 * INT64_C(1000000));
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.reason, REASON_EXPIRED);
	expect_none(b);
}

static void what_waits_in_the_store_is_asked_for_when_the_wall_clock_may_have_been_set(void **state)
{
	struct bench *b = *state;
	wall_set(b, 0);
	expect_none(b); /* nothing waits for a time */
	struct core_spec spec = spec_of(1);
	spec.not_before_us = b->now_us + 50000000;
	spec.expires_us = b->now_us + 90000000;
	submit(b, spec);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	expect_none(b);
	wall_set(b, 0);
	expect(b, CORE_DO_EXPIRE_BACKLOG);
	expect(b, CORE_DO_CLAIM);
	expect_none(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(a_waiting_task_expires),
		core_test(a_leased_task_that_was_not_begun_expires_a_running_one_does_not),
		core_test(the_backlog_expires_in_the_store),
		core_test(what_goes_back_while_the_store_looks_still_expires),
		core_test(a_silent_session_is_lost_and_a_heard_one_is_not),
		core_test(a_pause_of_ours_buries_nobody),
		core_test(cancelling_what_waits_is_answered_when_durable),
		core_test(cancelling_what_is_not_begun_calls_it_back),
		core_test(cancelling_what_runs_asks_its_worker),
		core_test(what_was_to_be_cancelled_never_goes_on),
		core_test(cancelled_with_its_worker_lost_is_cancelled),
		core_test(a_cancellation_between_phases_is_held),
		core_test(what_is_not_stored_yet_is_the_stores_to_cancel),
		core_test(many_deadlines_at_once_come_in_portions),
		core_test(what_waits_in_the_window_follows_the_wall_clock),
		core_test(
			what_waits_in_the_store_is_asked_for_when_the_wall_clock_may_have_been_set),
		core_test(equal_histories_have_equal_hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
