/* Attempts: tokens, the fence, ends, retries, losses, at_most_once. */
#include "core_fixture.h"

#include "core/retry.h"
#include "core/task.h"

static void report(struct bench *b, const struct core_action *assign, enum task_state state,
		   enum task_reason reason)
{
	bench_step(b, finished_event(assign, state, reason));
}

static void an_attempt_goes_its_way_and_is_told_when_durable(void **state)
{
	struct bench *b = *state;
	struct core_action assign = leased(b, spec_of(1));
	assert_int_equal(assign.token.attempt, 1);
	assert_int_equal(assign.token.generation, CF_GENERATION);
	assert_false(assign.assign.ahead);
	assert_int_equal(view_of(b, 1).state, TASK_QUEUED);
	assert_true(view_of(b, 1).leased);
	bench_step(b, started_event(&assign));
	expect(b, CORE_DO_NOTE_STARTED);
	assert_int_equal(view_of(b, 1).state, TASK_RUNNING);
	bench_step(b, started_event(&assign)); /* said twice */
	expect_none(b);
	report(b, &assign, TASK_COMPLETED, REASON_NONE);
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.state, TASK_COMPLETED);
	assert_int_equal(final->persist.tally.attempt, 1);
	assert_true(final->persist.by_worker);
	expect_none(b);
	assert_true(view_of(b, 1).recording);
	report(b, &assign, TASK_COMPLETED, REASON_NONE); /* said twice, before the ACK */
	expect_none(b);
	bench_step(b, ref_event(CORE_EV_FINAL_STORED, assign.ref));
	assert_true(task_token_equal(expect(b, CORE_DO_ACK)->token, assign.token));
	expect(b, CORE_DO_WAKE);
	expect(b, CORE_DO_RELEASE);
	expect_none(b);
	assert_false(in_window(b, 1));
	report(b, &assign, TASK_COMPLETED, REASON_NONE); /* and after it */
	expect(b, CORE_DO_STALE);
}

static void a_result_acts_only_under_its_token_and_from_its_session(void **state)
{
	struct bench *b = *state;
	struct core_action assign = leased(b, spec_of(1));
	session_opened(b, 1, 1, true);
	struct core_action wrong = assign;
	wrong.token.attempt++;
	report(b, &wrong, TASK_COMPLETED, REASON_NONE);
	assert_true(task_token_equal(expect(b, CORE_DO_STALE)->token, wrong.token));
	wrong = assign;
	wrong.token.generation--;
	report(b, &wrong, TASK_COMPLETED, REASON_NONE);
	expect(b, CORE_DO_STALE);
	wrong = assign;
	wrong.session = 1;
	report(b, &wrong, TASK_COMPLETED, REASON_NONE);
	assert_int_equal(expect(b, CORE_DO_STALE)->session, 1);
	bench_step(b, started_event(&wrong));
	expect_none(b);
	wrong = assign;
	wrong.id = id_of(99);
	report(b, &wrong, TASK_COMPLETED, REASON_NONE);
	expect(b, CORE_DO_STALE);
	assert_int_equal(view_of(b, 1).state, TASK_QUEUED);
	struct core_counts counts;
	core_counts(b->core, &counts);
	assert_int_equal(counts.stale, 4);
}

static void a_failure_is_final_without_retries(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	report(b, &assign, TASK_FAILED, REASON_EXCEPTION);
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.state, TASK_FAILED);
	assert_int_equal(final->persist.reason, REASON_EXCEPTION);
	assert_int_equal(final->persist.tally.failures, 1);
	assert_true(final->persist.by_worker);
}

static void a_retry_leaves_the_window_and_is_due_later(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.retries = 1;
	b->random = 12345;
	struct core_action assign = running(b, spec);
	report(b, &assign, TASK_FAILED, REASON_CRASH);
	const struct core_action *retry = expect(b, CORE_DO_PERSIST_RETRY);
	assert_true(retry->persist.release);
	assert_int_equal(retry->persist.tally.failures, 1);
	assert_int_equal(retry->persist.tally.attempt, 1);
	assert_in_range(retry->persist.delay_us, 500000, 1000000);
	int64_t due_us = b->now_us + retry->persist.delay_us;
	expect_none(b);
	assert_int_equal(view_of(b, 1).state, TASK_QUEUED);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, assign.ref));
	expect(b, CORE_DO_ACK);
	expect(b, CORE_DO_RELEASE);
	expect_none(b);
	assert_int_equal(core_next_us(b->core), due_us);
	bench_pass(b, due_us - b->now_us);
	expect(b, CORE_DO_CLAIM);
	spec.tally.attempt = spec.tally.failures = 1;
	claimed(b, &spec, 1, false, 0, 0);
	struct core_action again = *expect(b, CORE_DO_ASSIGN);
	assert_int_equal(again.token.attempt, 2);
	report(b, &assign, TASK_COMPLETED, REASON_NONE); /* the first one wakes up */
	expect(b, CORE_DO_STALE);
	report(b, &again, TASK_FAILED, REASON_CRASH);
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.tally.failures, 2);
}

static void a_retry_without_delay_is_in_the_backlog_at_once(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.retries = 1;
	spec.backoff_initial_ms = 0;
	struct core_action assign = running(b, spec);
	report(b, &assign, TASK_FAILED, REASON_TIMEOUT);
	assert_int_equal(expect(b, CORE_DO_PERSIST_RETRY)->persist.delay_us, 0);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, assign.ref));
	expect(b, CORE_DO_ACK);
	expect(b, CORE_DO_RELEASE);
	expect(b, CORE_DO_CLAIM);
	expect_none(b);
}

static void only_what_the_task_names_is_retried(void **state)
{
	(void)state;
	struct task t = { .retries = 2, .retry_on = RETRY_ON_TIMEOUT | RETRY_ON_CLASS };
	assert_true(retry_applies(&t, REASON_TIMEOUT, false));
	assert_false(retry_applies(&t, REASON_EXCEPTION, false));
	assert_true(retry_applies(&t, REASON_EXCEPTION, true));
	assert_false(retry_applies(&t, REASON_CRASH, false));
	t.retry_on = RETRY_ON_ALL;
	assert_true(retry_applies(&t, REASON_MEMORY, false));
	assert_false(retry_applies(&t, REASON_UNDECODABLE, false));
	assert_false(retry_applies(&t, REASON_RESULT_TOO_LARGE, true));
	t.tally.failures = 2;
	assert_false(retry_applies(&t, REASON_CRASH, false));
	t.tally.failures = 0;
	t.at_most_once = true;
	assert_false(retry_applies(&t, REASON_CRASH, false));
}

static void backoff_grows_up_to_its_maximum(void **state)
{
	(void)state;
	struct task t = { .backoff_initial_ms = 1000,
			  .backoff_factor_milli = 2000,
			  .backoff_max_ms = 10000 };
	static const int64_t whole_us[] = { 1000000, 2000000, 4000000, 8000000, 10000000 };
	for (uint32_t n = 1; n <= 5; n++) {
		int64_t half = whole_us[n - 1] / 2;
		assert_int_equal(retry_delay_us(&t, n, 0), half);
		assert_int_equal(retry_delay_us(&t, n, (uint64_t)half), 2 * half);
		assert_in_range(retry_delay_us(&t, n, UINT64_MAX), half, 2 * half);
	}
	assert_int_equal(retry_delay_us(&t, UINT32_MAX, 0), 5000000);
	t.backoff_factor_milli = UINT32_MAX;
	t.backoff_initial_ms = UINT32_MAX;
	t.backoff_max_ms = UINT32_MAX;
	assert_int_equal(retry_delay_us(&t, 9, 0), (int64_t)UINT32_MAX * 500);
	t.backoff_factor_milli = 0;
	assert_int_equal(retry_delay_us(&t, 2, 7), 0);
}

static void a_loss_costs_no_retry_and_gives_back_the_place_in_the_queue(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	settle(b, spec_of(2));
	session_lost(b, 0);
	const struct core_action *retry = expect(b, CORE_DO_PERSIST_RETRY);
	assert_false(retry->persist.release);
	assert_int_equal(retry->persist.tally.losses, 1);
	assert_int_equal(retry->persist.tally.failures, 0);
	assert_int_equal(retry->persist.delay_us, 0);
	expect_none(b);
	assert_int_equal(view_of(b, 1).state, TASK_QUEUED);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, assign.ref));
	expect_none(b);
	session_opened(b, 1, 1, true);
	credited(b, 1, 1);
	const struct core_action *again = expect(b, CORE_DO_ASSIGN);
	assert_int_equal(number_of(again->id), 1);
	assert_int_equal(again->token.attempt, 2);
}

static void a_worker_that_says_lost_is_acknowledged(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	report(b, &assign, TASK_FAILED, REASON_WORKER_LOST);
	expect(b, CORE_DO_PERSIST_RETRY);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, assign.ref));
	expect(b, CORE_DO_ACK);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->token.attempt, 2);
}

static void an_ack_goes_to_the_same_session_only(void **state)
{
	struct bench *b = *state;
	struct core_action assign = running(b, spec_of(1));
	report(b, &assign, TASK_COMPLETED, REASON_NONE);
	expect(b, CORE_DO_PERSIST_FINAL);
	session_lost(b, 0);
	session_opened(b, 0, 1, true);
	bench_step(b, ref_event(CORE_EV_FINAL_STORED, assign.ref));
	expect(b, CORE_DO_WAKE);
	expect(b, CORE_DO_RELEASE);
	expect_none(b);
}

static void nonsense_from_a_worker_is_a_lost_attempt(void **state)
{
	struct bench *b = *state;
	static const struct {
		enum task_state state;
		enum task_reason reason;
	} said[] = {
		{ TASK_CANCELLED, REASON_CANCELLED }, /* nobody asked */
		{ TASK_FAILED, REASON_NONE },
		{ TASK_FAILED, REASON_EXPIRED },
		{ TASK_RUNNING, REASON_EXCEPTION },
	};
	struct core_action assign = leased(b, spec_of(1));
	for (size_t i = 0; i < 4; i++) {
		report(b, &assign, said[i].state, said[i].reason);
		if (i == 3) { /* two of them while it ran alone */
			expect(b, CORE_DO_PERSIST_FINAL);
			break;
		}
		expect(b, CORE_DO_PERSIST_RETRY);
		bench_step(b, ref_event(CORE_EV_RETRY_STORED, assign.ref));
		expect(b, CORE_DO_ACK);
		assign = *expect(b, CORE_DO_ASSIGN);
	}
}

/* Credit for one, so that a second one must not be sent. */
static struct core_action starting(struct bench *b)
{
	struct core_spec spec = spec_of(1);
	spec.at_most_once = true;
	spec.retries = 5;
	settle(b, spec);
	session_opened(b, 0, 1, true);
	credited(b, 0, 1);
	struct core_action start = *expect(b, CORE_DO_PERSIST_START);
	assert_int_equal(start.persist.tally.attempt, 1);
	expect_none(b);
	return start;
}

static void at_most_once_is_recorded_before_it_leaves(void **state)
{
	struct bench *b = *state;
	struct core_action start = starting(b);
	assert_false(view_of(b, 1).leased);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	struct core_action assign = *expect(b, CORE_DO_ASSIGN);
	assert_int_equal(assign.token.attempt, 1);
	report(b, &assign, TASK_FAILED, REASON_EXCEPTION); /* `retries` do not count for it */
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.reason, REASON_EXCEPTION);
}

static void at_most_once_ends_with_its_worker(void **state)
{
	struct bench *b = *state;
	struct core_action start = starting(b);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	expect(b, CORE_DO_ASSIGN);
	session_lost(b, 0);
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.reason, REASON_WORKER_LOST);
	expect_none(b);
}

static void a_start_that_never_left_goes_elsewhere_and_not_to_the_store(void **state)
{
	struct bench *b = *state;
	struct core_action start = starting(b);
	session_lost(b, 0);
	expect_none(b);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	expect_none(b);
	for (uint32_t n = 2; n <= 4; n++)
		settle(b, spec_of(n));
	struct core_spec urgent = spec_of(5);
	urgent.priority = 100;
	submit(b, urgent);
	assert_int_equal(number_of(expect(b, CORE_DO_UNCLAIM)->id), 4);
	expect(b, CORE_DO_PERSIST);
	session_opened(b, 1, 1, true);
	credited(b, 1, 1);
	const struct core_action *assign = expect(b, CORE_DO_ASSIGN);
	assert_int_equal(number_of(assign->id), 1);
	assert_int_equal(assign->token.attempt, 1);
	expect_none(b);
}

static void a_task_far_beyond_its_limit_is_given_up(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.timeout_ms = 2000;
	struct core_action assign = running(b, spec);
	assert_int_equal(core_next_us(b->core), b->now_us + 7000000);
	bench_pass(b, 6999999);
	expect_none(b);
	bench_pass(b, 1);
	assert_true(task_token_equal(expect(b, CORE_DO_STALE)->token, assign.token));
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.reason, REASON_TIMEOUT);
	assert_false(final->persist.by_worker);
	expect_none(b);
	report(b, &assign, TASK_COMPLETED, REASON_NONE);
	expect(b, CORE_DO_STALE);
}

static void a_drained_core_hands_out_only_what_is_started(void **state)
{
	struct bench *b = *state;
	struct core_action start = starting(b);
	bench_step(b, (struct core_event){ .kind = CORE_EV_DRAINED });
	expect_none(b);
	bench_step(b, ref_event(CORE_EV_START_STORED, start.ref));
	expect(b, CORE_DO_ASSIGN);
	settle(b, spec_of(2));
	credited(b, 0, 9);
	expect_none(b);
	struct core_spec late = spec_of(3);
	late.not_before_us = b->now_us + 1;
	submit(b, late);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	bench_pass(b, 1);
	expect_none(b);
	assert_int_equal(core_next_us(b->core), INT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(an_attempt_goes_its_way_and_is_told_when_durable),
		core_test(a_result_acts_only_under_its_token_and_from_its_session),
		core_test(a_failure_is_final_without_retries),
		core_test(a_retry_leaves_the_window_and_is_due_later),
		core_test(a_retry_without_delay_is_in_the_backlog_at_once),
		core_test(only_what_the_task_names_is_retried),
		core_test(backoff_grows_up_to_its_maximum),
		core_test(a_loss_costs_no_retry_and_gives_back_the_place_in_the_queue),
		core_test(a_worker_that_says_lost_is_acknowledged),
		core_test(an_ack_goes_to_the_same_session_only),
		core_test(nonsense_from_a_worker_is_a_lost_attempt),
		core_test(at_most_once_is_recorded_before_it_leaves),
		core_test(at_most_once_ends_with_its_worker),
		core_test(a_start_that_never_left_goes_elsewhere_and_not_to_the_store),
		core_test(a_task_far_beyond_its_limit_is_given_up),
		core_test(a_drained_core_hands_out_only_what_is_started),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
