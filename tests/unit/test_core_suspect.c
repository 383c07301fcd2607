/* Tasks that were on lost workers and must run alone; poison. */
#include "core_fixture.h"

/* Task 1 has lost two workers and waits. */
static void suspect(struct bench *b)
{
	struct core_spec spec = spec_of(1);
	spec.tally.losses = 1;
	running(b, spec);
	session_lost(b, 0);
	bench_loss_stored(b, 2);
	expect_none(b);
}

static void a_suspect_runs_alone(void **state)
{
	struct bench *b = *state;
	suspect(b);
	session_opened(b, 1, 4, false);
	credited(b, 1, 10);
	struct core_action assign = *expect(b, CORE_DO_ASSIGN);
	assert_int_equal(number_of(assign.id), 1);
	settle(b, spec_of(2)); /* three slots are free, and it waits */
	bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 2);
}

static void nothing_is_adopted_beside_a_suspect(void **state)
{
	struct bench *b = *state;
	suspect(b);
	session_opened(b, 1, 4, false);
	credited(b, 1, 10);
	expect(b, CORE_DO_ASSIGN);
	settle(b, spec_of(2));
	struct wire_ref ref = { id_of(2), { 1, CF_GENERATION - 1 } };
	bench_step(b, (struct core_event){
			      .kind = CORE_EV_ADOPTED,
			      .adopted = { .session = 1, .refs = &ref, .ref_count = 1 } });
	expect_none(b);
	assert_false(view_of(b, 2).leased);
}

static void strikes_on_two_workers_are_poison(void **state)
{
	struct bench *b = *state;
	suspect(b);
	session_opened(b, 1, 4, false);
	session_opened(b, 2, 4, false);
	credited(b, 1, 10);
	expect(b, CORE_DO_ASSIGN);
	session_lost(b, 1);
	const struct core_action *retry = expect(b, CORE_DO_PERSIST_RETRY);
	assert_int_equal(retry->persist.tally.strikes, 1);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, retry->ref));
	credited(b, 2, 10);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, 2);
	session_lost(b, 2);
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.reason, REASON_POISON);
	assert_int_equal(final->persist.tally.strikes, 2);
	assert_int_equal(final->persist.tally.losses, 4);
}

static void a_second_opinion_is_asked_for(void **state)
{
	struct bench *b = *state;
	struct core_spec spec = spec_of(1);
	spec.tally.losses = 3;
	spec.tally.strikes = 1;
	spec.tally.struck_by = id_of(1001); /* the first worker of the bench */
	submit(b, spec);
	expect(b, CORE_DO_PERSIST);
	bench_step(b, (struct core_event){ .kind = CORE_EV_STORED,
					   .stored = { 1, b->specs, b->spec_count, true } });
	expect(b, CORE_DO_REPLY);
	session_opened(b, 0, 1, false);
	session_opened(b, 1, 1, false);
	credited(b, 1, 1);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, 1);
	credited(b, 0, 1);
	expect_none(b);
}

static void innocents_go_on_while_suspects_wait(void **state)
{
	struct bench *b = *state;
	suspect(b);
	session_opened(b, 0, 1, false);
	session_opened(b, 1, 1, false);
	credited(b, 0, 10);
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 1);
	credited(b, 1, 10);
	submit(b, spec_of(2));
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, 1);
}

/* Its loss would be ours. */
static void a_suspect_waits_for_a_worker_elsewhere(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(2));
	session_opened(b, 1, 1, false);
	credited(b, 1, 10);
	struct core_action assign = *expect(b, CORE_DO_ASSIGN); /* it is busy */
	session_opened(b, 2, 1, true);
	credited(b, 2, 10);
	struct core_spec spec = spec_of(1);
	spec.tally.losses = 2;
	submit(b, spec);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	expect_none(b);
	bench_step(b, finished_event(&assign, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, 1);
}

static void a_suspect_runs_here_when_nobody_else_takes_tasks(void **state)
{
	struct bench *b = *state;
	suspect(b);
	session_opened(b, 1, 1, false);
	session_opened(b, 2, 1, true);
	bench_paused(b, 1, CORE_PAUSE_ORDERED, false);
	credited(b, 2, 10);
	assert_int_equal(expect(b, CORE_DO_ASSIGN)->session, 2);
}

static void a_cancelled_suspect_frees_its_worker(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(2));
	session_opened(b, 1, 2, false);
	credited(b, 1, 10);
	expect(b, CORE_DO_ASSIGN);
	struct core_spec spec = spec_of(1);
	spec.tally.losses = 2;
	submit(b, spec);
	expect(b, CORE_DO_PERSIST);
	stored(b); /* its worker empties for it */
	settle(b, spec_of(3));
	bench_step(b, cancel_event(5, 1, false));
	expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(a_suspect_runs_alone),
		core_test(nothing_is_adopted_beside_a_suspect),
		core_test(strikes_on_two_workers_are_poison),
		core_test(a_second_opinion_is_asked_for),
		core_test(innocents_go_on_while_suspects_wait),
		core_test(a_suspect_waits_for_a_worker_elsewhere),
		core_test(a_suspect_runs_here_when_nobody_else_takes_tasks),
		core_test(a_cancelled_suspect_frees_its_worker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
