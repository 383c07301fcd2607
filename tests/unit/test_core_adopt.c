/* What workers bring back after a restart of the dispatcher. */
#include "core_fixture.h"

static uint32_t adoption_asked(struct bench *b, uint32_t count)
{
	struct core_event ev = { .kind = CORE_EV_ADOPTION_ASKED, .adoption = { .count = count } };
	core_step(b->core, &ev, b->now_us, &b->out);
	core_check(b->core);
	b->taken = 0;
	return ev.adoption.ret_count;
}

/* What was live then, the store gives to nobody but the workers that hold it. */
static void restarted(struct bench *b, struct core_start start)
{
	start.generation = CF_GENERATION;
	start.now_us = b->now_us;
	core_free(&b->core);
	assert_int_equal(core_new(&b->limits, &start, &b->core), 0);
	if (start.live == 0)
		return;
	assert_int_equal(core_recover_lane(b->core, 0, 0, start.live, 0), 0);
	bench_pass(b, 0);
	expect(b, CORE_DO_CLAIM);
	claimed(b, NULL, 0, false, 0, 0);
	expect_none(b);
}

static void what_still_runs_is_adopted(void **state)
{
	struct bench *b = *state;
	restarted(b, (struct core_start){ .live = 2, .live_bytes = 20 });
	session_opened(b, 0, 1, false);
	assert_int_equal(adoption_asked(b, 100), 16);
	struct core_spec specs[] = { spec_of(1), spec_of(2) };
	struct task_token tokens[] = { { 1, CF_GENERATION - 1 }, { 3, CF_GENERATION - 2 } };
	specs[1].tally.attempt = 3; /* that attempt is over, as the store knows */
	struct core_event ev = {
		.kind = CORE_EV_ADOPTED,
		.adopted = { .promised = 16, .specs = specs, .tokens = tokens, .count = 2 }
	};
	bench_step(b, ev);
	expect_none(b);
	assert_true(view_of(b, 1).leased);
	assert_false(view_of(b, 2).leased);
	struct core_action was = { .id = id_of(1), .session = 0, .token = tokens[0] };
	bench_step(b, started_event(&was));
	expect(b, CORE_DO_NOTE_STARTED);
	bench_step(b, finished_event(&was, TASK_COMPLETED, REASON_NONE));
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.tally.attempt, 1);
}

static void adopted(struct bench *b, struct core_spec spec, struct task_token token)
{
	uint32_t promised = adoption_asked(b, 1);
	bench_step(b, (struct core_event){ .kind = CORE_EV_ADOPTED,
					   .adopted = { .promised = promised,
							.specs = &spec,
							.tokens = &token,
							.count = 1 } });
	expect_none(b);
}

static void what_is_adopted_is_in_a_child_and_does_not_expire(void **state)
{
	struct bench *b = *state;
	restarted(b, (struct core_start){ .live = 1, .live_bytes = 10 });
	session_opened(b, 0, 1, false);
	struct core_spec spec = spec_of(1);
	spec.expires_us = b->now_us;
	adopted(b, spec, (struct task_token){ 1, CF_GENERATION - 1 });
	assert_true(view_of(b, 1).leased);
	session_lost(b, 0);
	bench_loss_stored(b, 1);
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.reason, REASON_EXPIRED);
}

static void who_cancelled_it_may_have_been_an_earlier_life(void **state)
{
	struct bench *b = *state;
	restarted(b, (struct core_start){ .live = 1, .live_bytes = 10 });
	session_opened(b, 0, 1, false);
	struct task_token token = { 1, CF_GENERATION - 1 };
	adopted(b, spec_of(1), token);
	struct core_action was = { .id = id_of(1), .session = 0, .token = token };
	bench_step(b, finished_event(&was, TASK_CANCELLED, REASON_CANCELLED));
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.state, TASK_CANCELLED);
}

static void a_suspect_that_is_not_adopted_waits_to_be_alone(void **state)
{
	struct bench *b = *state;
	restarted(b, (struct core_start){ .live = 1, .live_bytes = 10 });
	settle(b, spec_of(9));
	session_opened(b, 0, 2, false);
	credited(b, 0, 10);
	struct core_action other = *expect(b, CORE_DO_ASSIGN);
	struct core_spec spec = spec_of(1);
	spec.tally.attempt = spec.tally.losses = 3;
	adopted(b, spec, (struct task_token){ 3, CF_GENERATION - 1 }); /* a slot is free */
	bench_step(b, finished_event(&other, TASK_COMPLETED, REASON_NONE));
	expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 1);
}

static void what_waits_in_the_window_is_adopted(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(1));
	session_opened(b, 0, 1, false);
	struct wire_ref refs[] = { { id_of(1), { 1, CF_GENERATION - 1 } },
				   { id_of(1), { 2, CF_GENERATION - 2 } },
				   { id_of(9), { 1, CF_GENERATION - 1 } } };
	bench_step(b, (struct core_event){ .kind = CORE_EV_ADOPTED,
					   .adopted = { .refs = refs, .ref_count = 3 } });
	expect_none(b);
	assert_int_equal(view_of(b, 1).attempt, 1); /* one holder */
	assert_true(view_of(b, 1).leased);
}

static void a_token_of_this_generation_is_not_adopted(void **state)
{
	struct bench *b = *state;
	settle(b, spec_of(1));
	session_opened(b, 0, 1, false);
	struct wire_ref ref = { id_of(1), { 1, CF_GENERATION } };
	bench_step(b, (struct core_event){ .kind = CORE_EV_ADOPTED,
					   .adopted = { .refs = &ref, .ref_count = 1 } });
	expect_none(b);
	assert_false(view_of(b, 1).leased);
}

static void nothing_is_handed_out_while_workers_may_come_back(void **state)
{
	struct bench *b = *state;
	int64_t until_us = b->now_us + 5000000;
	restarted(b, (struct core_start){ .hold_until_us = until_us, .next_expiry_us = b->now_us });
	session_opened(b, 0, 1, false);
	credited(b, 0, 1);
	settle(b, spec_of(1));
	bench_pass(b, 1000000);
	expect_none(b);
	assert_true(core_next_us(b->core) <= until_us);
	assert_true(core_next_us(b->core) > b->now_us);
	bench_step(b, (struct core_event){ .kind = CORE_EV_HOLD_OVER });
	expect(b, CORE_DO_EXPIRE_BACKLOG);
	expect(b, CORE_DO_ASSIGN);
}

static void nothing_expires_in_the_store_while_workers_may_come_back(void **state)
{
	struct bench *b = *state;
	int64_t until_us = b->now_us + 5000000;
	restarted(b, (struct core_start){ .hold_until_us = until_us, .next_expiry_us = 1 });
	bench_pass(b, 1000000);
	expect_none(b);
	assert_true(core_next_us(b->core) > b->now_us);
	bench_step(b, (struct core_event){ .kind = CORE_EV_HOLD_OVER });
	expect(b, CORE_DO_EXPIRE_BACKLOG);
}

static void what_is_adopted_was_begun_in_time(void **state)
{
	struct bench *b = *state;
	restarted(b, (struct core_start){ .live = 1, .live_bytes = 10 });
	session_opened(b, 0, 1, false);
	assert_int_equal(adoption_asked(b, 1), 1);
	struct core_spec spec = spec_of(1);
	spec.expires_us = b->now_us - 1;
	struct task_token token = { 1, CF_GENERATION - 1 };
	bench_step(b, (struct core_event){ .kind = CORE_EV_ADOPTED,
					   .adopted = { .promised = 1,
							.specs = &spec,
							.tokens = &token,
							.count = 1 } });
	expect_none(b);
	assert_true(view_of(b, 1).leased);
	session_lost(b, 0); /* now it has to begin anew, and that is too late */
	bench_loss_stored(b, 1);
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.reason, REASON_EXPIRED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(what_still_runs_is_adopted),
		core_test(what_is_adopted_is_in_a_child_and_does_not_expire),
		core_test(who_cancelled_it_may_have_been_an_earlier_life),
		core_test(a_suspect_that_is_not_adopted_waits_to_be_alone),
		core_test(what_waits_in_the_window_is_adopted),
		core_test(a_token_of_this_generation_is_not_adopted),
		core_test(nothing_is_handed_out_while_workers_may_come_back),
		core_test(nothing_expires_in_the_store_while_workers_may_come_back),
		core_test(what_is_adopted_was_begun_in_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
