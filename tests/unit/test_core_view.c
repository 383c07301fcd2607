/* What others may see of the core: what a task waits for, how long its line is, what a session
 * does. */
#include "core_fixture.h"

static struct core_wait_view wait_of(struct bench *b, uint32_t n)
{
	struct core_wait_view view;
	assert_true(core_find_wait(b->core, id_of(n), &view));
	return view;
}

static void the_line_is_priority_then_age(void **state)
{
	struct bench *b = *state;
	static const struct {
		uint32_t n;
		int32_t priority;
		uint32_t before;
	} tasks[] = { { 2, 0, 2 }, { 1, 0, 1 }, { 3, 100, 0 }, { 4, -100, 3 } };
	struct core_wait_view view;
	for (size_t i = 0; i < 4; i++) {
		struct core_spec spec = spec_of(tasks[i].n);
		spec.priority = tasks[i].priority;
		settle(b, spec);
	}
	for (size_t i = 0; i < 4; i++) {
		view = wait_of(b, tasks[i].n);
		assert_int_equal(view.wait, CORE_WAITS_TURN);
		assert_int_equal(view.before, tasks[i].before);
		assert_int_equal(view.session, CORE_NO_SESSION);
		assert_int_equal(view.ref, view_of(b, tasks[i].n).ref);
	}
	assert_int_equal(core_lane_waiting(b->core, 0, 0), 4);
	assert_int_equal(core_lane_waiting(b->core, 0, 1), 0);
	assert_int_equal(core_lane_waiting(b->core, 1, 0), 0);
	assert_false(core_find_wait(b->core, id_of(9), &view));
}

static void each_class_has_its_own_line(void **state)
{
	struct bench *b = *state;
	struct core_spec other = spec_of(2);
	other.class_ix = 1;
	settle(b, spec_of(1));
	settle(b, other);
	assert_int_equal(wait_of(b, 2).before, 0);
	assert_int_equal(wait_of(b, 2).class_ix, 1);
	assert_int_equal(wait_of(b, 1).class_ix, 0);
	assert_int_equal(core_lane_waiting(b->core, 0, 1), 1);
}

static void what_is_not_stored_is_not_there(void **state)
{
	struct bench *b = *state;
	struct core_wait_view view;
	submit(b, spec_of(1));
	expect(b, CORE_DO_PERSIST);
	assert_false(core_find_wait(b->core, id_of(1), &view));
}

static void from_a_worker_to_a_retry(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.retries = 1;
	struct core_action assign = leased(b, spec);
	assert_int_equal(wait_of(b, 1).wait, CORE_WAITS_START);
	assert_int_equal(wait_of(b, 1).session, 0);
	bench_step(b, started_event(&assign));
	expect(b, CORE_DO_NOTE_STARTED);
	assert_int_equal(wait_of(b, 1).wait, CORE_WAITS_END);
	assert_int_equal(wait_of(b, 1).session, 0);
	bench_step(b, finished_event(&assign, TASK_FAILED, REASON_EXCEPTION));
	const struct core_action *retry = expect(b, CORE_DO_PERSIST_RETRY);
	struct core_wait_view view = wait_of(b, 1);
	assert_int_equal(view.wait, CORE_WAITS_RETRY);
	assert_int_equal(view.due_us, b->now_us + retry->persist.delay_us);
	assert_int_equal(view.session, CORE_NO_SESSION);
}

static void an_end_is_being_recorded(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(wait_of(b, 1).wait, CORE_WAITS_RECORDING);
	assert_int_equal(wait_of(b, 1).session, CORE_NO_SESSION);
}

static void a_start_that_is_being_recorded(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.at_most_once = true;
	settle(b, spec);
	session_opened(b, 0, 1, true);
	credited(b, 0, 1);
	expect(b, CORE_DO_PERSIST_START);
	assert_int_equal(wait_of(b, 1).wait, CORE_WAITS_START);
	assert_int_equal(wait_of(b, 1).session, 0);
}

static void a_suspect_waits_for_an_empty_worker(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.tally.losses = b->limits.alone_after;
	settle(b, spec);
	assert_int_equal(wait_of(b, 1).wait, CORE_WAITS_ALONE);
	assert_int_equal(wait_of(b, 1).losses, b->limits.alone_after);
	assert_int_equal(core_lane_waiting(b->core, 0, 0), 0);
}

static struct core_session_view look(struct bench *b, uint32_t session)
{
	struct core_session_view view;
	core_session_look(b->core, session, &view);
	return view;
}

static void a_session_at_a_glance(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 2, false);
	assert_int_equal(look(b, 0).in_flight, 0);
	credited(b, 0, 2);
	for (uint32_t n = 1; n <= 2; n++) {
		submit(b, spec_of(n));
		expect(b, CORE_DO_PERSIST);
		stored(b);
		struct core_action assign = *expect(b, CORE_DO_ASSIGN);
		assert_int_equal(look(b, 0).in_flight, n);
		if (n == 2)
			break;
		bench_step(b, started_event(&assign));
		expect(b, CORE_DO_NOTE_STARTED);
	}
	assert_int_equal(look(b, 0).running, 1);
	assert_int_equal(look(b, 0).silent_us, 0);
	bench_pass(b, 300000);
	assert_int_equal(look(b, 0).silent_us, 300000);
	bench_pass(b, 60000000); /* our own pause does not count */
	assert_int_equal(look(b, 0).silent_us, 300000);
	session_opened(b, 1, 1, true);
	bench_pass(b, 300000);
	assert_int_equal(look(b, 1).silent_us, 0);
}

static void nothing_is_handed_out_while_workers_may_come_back(void **state)
{
	struct bench *b = *state;
	assert_int_equal(core_hold_until_us(b->core), 0);
	core_free(&b->core);
	struct core_start start = { .generation = CF_GENERATION + 1,
				    .now_us = b->now_us,
				    .hold_until_us = b->now_us + 500000 };
	assert_int_equal(core_new(&b->limits, &start, &b->core), 0);
	assert_int_equal(core_hold_until_us(b->core), b->now_us + 500000);
	bench_pass(b, 400000);
	assert_int_equal(core_hold_until_us(b->core), b->now_us + 100000);
	bench_pass(b, 100000);
	assert_int_equal(core_hold_until_us(b->core), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(the_line_is_priority_then_age),
		core_test(each_class_has_its_own_line),
		core_test(what_is_not_stored_is_not_there),
		core_test(from_a_worker_to_a_retry),
		core_test(an_end_is_being_recorded),
		core_test(a_start_that_is_being_recorded),
		core_test(a_suspect_waits_for_an_empty_worker),
		core_test(a_session_at_a_glance),
		core_test(nothing_is_handed_out_while_workers_may_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
