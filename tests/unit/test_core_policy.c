/* Who gets what: credit and slots, least loaded, classes, what is handed ahead, fair turns, cancel,
 * expiry and liveness. */
#include "core_fixture.h"

#include <string.h>

#include "core/task.h"

static void credit_bounds_what_is_sent(void **state)
{
	struct bench *b = *state;
	for (uint32_t n = 1; n <= 4; n++)
		settle(b, spec_of(n));
	session_opened(b, 0, 3, true);
	credited(b, 0, 2);
	expect(b, CORE_DO_ASSIGN);
	expect(b, CORE_DO_ASSIGN);
	expect_none(b);
	credited(b, 0, 1); /* an old message: totals never go down */
	expect_none(b);
	credited(b, 0, 1000000000); /* slots bound it then */
	expect(b, CORE_DO_ASSIGN);
	expect_none(b);
}

static void order_is_priority_then_age(void **state)
{
	struct bench *b = *state;
	static const struct {
		uint32_t n;
		int32_t priority;
	} tasks[] = { { 2, 0 }, { 1, 0 }, { 3, 100 }, { 4, -100 } };
	for (size_t i = 0; i < 4; i++) {
		struct core_spec spec = spec_of(tasks[i].n);
		spec.priority = tasks[i].priority;
		settle(b, spec);
	}
	session_opened(b, 0, 4, true);
	credited(b, 0, 4);
	static const uint32_t order[] = { 3, 1, 2, 4 };
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), order[i]);
}

/* Function 0 is measured `times` times with runs of `run_us`, by tasks of its own. */
static void measure(struct bench *b, uint32_t first, int times, int64_t run_us)
{
	for (int i = 0; i < times; i++) {
		submit(b, spec_of(first + (uint32_t)i));
		expect(b, CORE_DO_PERSIST);
		bench_step(b, (struct core_event){ .kind = CORE_EV_STORED,
						   .stored = { 0, b->specs, 1, true } });
		expect(b, CORE_DO_REPLY);
		struct core_action assign = *expect(b, CORE_DO_ASSIGN);
		struct core_event ev = finished_event(&assign, TASK_COMPLETED, REASON_NONE);
		ev.attempt.run_us = run_us;
		bench_step(b, ev);
		expect(b, CORE_DO_PERSIST_FINAL);
		bench_step(b, ref_event(CORE_EV_FINAL_STORED, assign.ref));
		expect(b, CORE_DO_ACK);
		expect(b, CORE_DO_WAKE);
		expect(b, CORE_DO_RELEASE);
	}
}

/* Submits four tasks; counts their ASSIGNs. */
static uint32_t assigned_of_four(struct bench *b, uint32_t first, bool *ret_ahead)
{
	uint32_t count = 0;
	for (uint32_t n = first; n < first + 4; n++) {
		submit(b, spec_of(n));
		expect(b, CORE_DO_PERSIST);
		stored(b);
		if (b->taken < b->out.count) {
			*ret_ahead = expect(b, CORE_DO_ASSIGN)->assign.ahead;
			count++;
		}
	}
	return count;
}

static void three_short_runs_are_not_enough_to_be_handed_ahead(void **state)
{
	struct bench *b = *state;
	bool ahead;
	session_opened(b, 0, 1, true);
	credited(b, 0, 1000);
	measure(b, 1, 3, 10);
	assert_int_equal(assigned_of_four(b, 10, &ahead), 1);
	assert_false(ahead);
}

static void four_short_runs_make_a_function_short_and_one_long_ends_it(void **state)
{
	struct bench *b = *state;
	bool ahead;
	session_opened(b, 0, 1, true);
	credited(b, 0, 1000);
	measure(b, 1, 4, 10);
	measure(b, 5, 1, 1000); /* short_us is not short any more */
	measure(b, 6, 3, 10);
	measure(b, 9, 1, 10);
	assert_int_equal(assigned_of_four(b, 20, &ahead), 4); /* ahead_per_slot */
	assert_true(ahead);
	bench_step(b, (struct core_event){ .kind = CORE_EV_FUNCTION_FORGOTTEN, .function = 0 });
	session_opened(b, 1, 1, true);
	credited(b, 1, 1);
	submit(b, spec_of(30));
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_false(expect(b, CORE_DO_ASSIGN)->assign.ahead);
}

static void a_long_task_waits_for_a_slot_and_those_behind_it_wait_too(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 1, true);
	credited(b, 0, 1000);
	measure(b, 1, 4, 10);
	submit(b, spec_of(10));
	expect(b, CORE_DO_PERSIST);
	stored(b);
	struct core_action first = *expect(b, CORE_DO_ASSIGN);
	struct core_spec lengthy = spec_of(11);
	lengthy.function = 1;
	settle(b, lengthy);
	settle(b, spec_of(12));
	bench_step(b, finished_event(&first, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 11);
	expect_none(b); /* no short one beside it: its slot is taken */
}

static void the_least_loaded_session_gets_the_next_task(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 4, true);
	session_opened(b, 1, 2, true);
	credited(b, 0, 10);
	credited(b, 1, 10);
	static const uint32_t order[] = { 0, 1, 0, 1, 0, 0 };
	for (uint32_t n = 1; n <= 6; n++) {
		submit(b, spec_of(n));
		expect(b, CORE_DO_PERSIST);
		stored(b);
		assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, order[n - 1]);
	}
}

/* Six short tasks: how many went to the session that got the first one before another got any. */
static uint32_t burst_of_six(struct bench *b, uint32_t first)
{
	uint32_t same = 0, sessions[6];
	for (uint32_t i = 0; i < 6; i++) {
		submit(b, spec_of(first + i));
		expect(b, CORE_DO_PERSIST);
		stored(b);
		const struct core_action *assign = expect(b, CORE_DO_ASSIGN);
		assert_true(assign->assign.ahead);
		sessions[i] = assign->session;
	}
	while (same < 6 && sessions[same] == sessions[0])
		same++;
	return same;
}

/* Two sessions of a slot each for a function that runs that long; as many tasks wait for later. */
static void two_sessions(struct bench *b, int64_t run_us, uint32_t delayed)
{
	session_opened(b, 0, 1, true);
	credited(b, 0, 1000);
	measure(b, 1, 4, run_us);
	session_opened(b, 1, 1, true);
	credited(b, 1, 1000);
	for (uint32_t i = 0; i < delayed; i++) {
		struct core_spec spec = spec_of(100 + i);
		spec.not_before_us = b->now_us + 1000000000;
		submit(b, spec);
		expect(b, CORE_DO_PERSIST);
		stored(b);
	}
}

static void short_tasks_go_to_one_session_in_bursts(void **state)
{
	two_sessions(*state, 10, 20);
	assert_int_equal(burst_of_six(*state, 10), 4); /* as many as one takes ahead */
}

static void a_burst_is_less_than_two_shares(void **state)
{
	two_sessions(*state, 10, 2);
	assert_int_equal(burst_of_six(*state, 10), 2);
}

static void a_few_short_tasks_go_to_the_least_loaded(void **state)
{
	two_sessions(*state, 10, 0);
	assert_int_equal(burst_of_six(*state, 10), 1);
}

static void a_burst_is_over_when_its_time_is(void **state)
{
	struct bench *b = *state;
	uint32_t sessions[2];
	two_sessions(b, 10, 20);
	for (uint32_t i = 0; i < 2; i++) {
		submit(b, spec_of(10 + i));
		expect(b, CORE_DO_PERSIST);
		stored(b);
		sessions[i] = expect(b, CORE_DO_ASSIGN)->session;
		bench_pass(b, 5000); /* the first one runs for longer than those before it */
	}
	assert_int_not_equal(sessions[0], sessions[1]);
}

static void what_is_only_just_short_goes_to_the_least_loaded(void **state)
{
	two_sessions(*state, 900, 20);
	assert_int_equal(burst_of_six(*state, 10), 1);
}

static void a_task_goes_only_where_its_class_runs(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 4, true); /* class 0 */
	credited(b, 0, 10);
	struct core_spec spec = spec_of(1);
	spec.class_ix = 63;
	settle(b, spec);
	settle(b, (spec.id = id_of(2), spec));
	struct core_event opened = { .kind = CORE_EV_SESSION_OPENED,
				     .opened = { .session = 1,
						 .slots = 1,
						 .classes = UINT64_C(1) << 63,
						 .immortal = true } };
	bench_step(b, opened);
	credited(b, 1, 10);
	const struct core_action *assign = expect(b, CORE_DO_ASSIGN);
	assert_int_equal(assign->session, 1);
	assert_int_equal(number_of(assign->id), 1);
	expect_none(b);
}

/* Two lanes with four tasks each, one slot that is free again and again. */
static void lanes_take_turns(void **state)
{
	struct bench *b = *state;
	for (uint32_t n = 1; n <= 8; n++) {
		struct core_spec spec = spec_of(n);
		spec.account = n > 4;
		settle(b, spec);
	}
	session_opened(b, 0, 1, true);
	credited(b, 0, 100);
	uint32_t before = 0;
	for (uint32_t i = 0; i < 8; i++) {
		struct core_action assign = *expect(b, CORE_DO_ASSIGN);
		uint32_t account = number_of(assign.id) > 4;
		if (i > 0)
			assert_int_not_equal(account, before);
		before = account;
		bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
		expect(b, CORE_DO_PERSIST_FINAL);
	}
	expect_none(b);
}

static void running_is_never_more_than_slots(void **state)
{
	struct bench *b = *state;
	session_opened(b, 0, 1, true);
	credited(b, 0, 1000);
	measure(b, 1, 4, 10);
	struct core_action assigns[2];
	for (uint32_t i = 0; i < 2; i++) {
		submit(b, spec_of(10 + i));
		expect(b, CORE_DO_PERSIST);
		stored(b);
		assigns[i] = *expect(b, CORE_DO_ASSIGN);
	}
	bench_step(b, started_event(&assigns[0]));
	expect(b, CORE_DO_NOTE_STARTED);
	bench_step(b, started_event(&assigns[1])); /* cannot be */
	expect_none(b);
	assert_int_equal(view_of(b, 11).state, TASK_QUEUED);
	struct core_counts counts;
	core_counts(b->core, &counts);
	assert_int_equal(counts.running, 1);
	assert_int_equal(counts.leased, 2);
	assert_int_equal(counts.slots_busy, 1);
}

static void the_table_of_moves_is_closed(void **state)
{
	(void)state;
	/* Every phase but FREE is left some time, and every one is reached. */
	for (int p = 0; p < PHASE_COUNT; p++) {
		int in = 0, out = 0;
		for (int q = 0; q < PHASE_COUNT; q++) {
			in += task_move_allowed((enum phase)q, (enum phase)p);
			out += task_move_allowed((enum phase)p, (enum phase)q);
		}
		assert_true(in > 0);
		assert_true(out > 0);
		assert_false(task_move_allowed((enum phase)p, (enum phase)p));
	}
	/* A final state that is being recorded is never left but for good. */
	assert_true(task_move_allowed(PHASE_ENDING, PHASE_FREE));
	assert_false(task_move_allowed(PHASE_ENDING, PHASE_WAITING));
	assert_false(task_move_allowed(PHASE_RESERVED, PHASE_LEASED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(credit_bounds_what_is_sent),
		core_test(order_is_priority_then_age),
		core_test(three_short_runs_are_not_enough_to_be_handed_ahead),
		core_test(four_short_runs_make_a_function_short_and_one_long_ends_it),
		core_test(a_long_task_waits_for_a_slot_and_those_behind_it_wait_too),
		core_test(the_least_loaded_session_gets_the_next_task),
		core_test(short_tasks_go_to_one_session_in_bursts),
		core_test(a_burst_is_less_than_two_shares),
		core_test(a_few_short_tasks_go_to_the_least_loaded),
		core_test(a_burst_is_over_when_its_time_is),
		core_test(what_is_only_just_short_goes_to_the_least_loaded),
		core_test(a_task_goes_only_where_its_class_runs),
		core_test(lanes_take_turns),
		core_test(running_is_never_more_than_slots),
		core_test(the_table_of_moves_is_closed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
