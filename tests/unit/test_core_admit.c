/* The doors of the window: admission, the backlog and its order, claims, eviction. */
#include "core_fixture.h"

static uint64_t live(struct bench *b)
{
	struct core_counts counts;
	core_counts(b->core, &counts);
	return counts.live;
}

static struct core_spec with_priority(uint32_t n, int32_t priority)
{
	struct core_spec spec = spec_of(n);
	spec.priority = priority;
	return spec;
}

/* Tasks 1..count wait, which fills the lane if count is 4. */
static void fill(struct bench *b, uint32_t count)
{
	for (uint32_t n = 1; n <= count; n++)
		settle(b, spec_of(n));
}

static void a_task_gets_a_place_and_waits_when_stored(void **state)
{
	struct bench *b = *state;
	struct core_spec *spec = submit(b, spec_of(1));
	assert_int_not_equal(spec->ref, CORE_NO_REF);
	assert_int_equal(expect(b, CORE_DO_PERSIST)->request.request, 1);
	expect_none(b);
	assert_false(in_window(b, 1)); /* not durable: not there for anybody */
	stored(b);
	assert_int_equal(view_of(b, 1).state, TASK_QUEUED);
	assert_int_equal(live(b), 1);
}

static void what_the_store_refuses_leaves_nothing(void **state)
{
	struct bench *b = *state;
	submit(b, spec_of(1));
	expect(b, CORE_DO_PERSIST);
	bench_step(b, (struct core_event){ .kind = CORE_EV_STORED,
					   .stored = { 1, b->specs, 1, false } });
	expect_none(b);
	assert_false(in_window(b, 1));
	assert_int_equal(live(b), 0);
}

static void a_full_queue_rejects_the_whole_request(void **state)
{
	struct bench *b = *state;
	for (uint32_t i = 0; i < 60; i++)
		b->specs[i] = spec_of(i + 1);
	struct core_event ev = { .kind = CORE_EV_SUBMITTED, .submitted = { 9, b->specs, 60 } };
	bench_step(b, ev);
	expect(b, CORE_DO_PERSIST);
	for (uint32_t i = 0; i < 41; i++)
		b->specs[i] = spec_of(i + 61);
	ev.submitted.count = 41;
	bench_step(b, ev);
	const struct core_action *reject = expect(b, CORE_DO_REJECT);
	assert_int_equal(reject->request.request, 9);
	assert_int_equal(reject->request.error, FH_EFULL);
	assert_int_equal(reject->request.retry_after_s, 1);
	for (uint32_t i = 0; i < 41; i++)
		assert_int_equal(b->specs[i].ref, CORE_NO_REF);
	expect_none(b);
	assert_int_equal(live(b), 60);

	struct core_spec heavy = spec_of(200);
	heavy.bytes = 9401; /* 600 bytes are there, 10,000 are the limit */
	submit(b, heavy);
	assert_int_equal(expect(b, CORE_DO_REJECT)->request.error, FH_EFULL);
	heavy.bytes = 9400;
	submit(b, heavy);
	expect(b, CORE_DO_PERSIST);
	assert_int_equal(live(b), 61);
}

static void a_third_lane_is_refused(void **state)
{
	struct bench *b = *state;
	for (uint32_t n = 1; n <= 3; n++) {
		struct core_spec spec = spec_of(n);
		spec.account = n;
		submit(b, spec);
		if (n < 3)
			expect(b, CORE_DO_PERSIST);
	}
	assert_int_equal(expect(b, CORE_DO_REJECT)->request.error, FH_ELIMIT);
}

static void what_does_not_fit_goes_to_the_backlog_and_all_that_follows(void **state)
{
	struct bench *b = *state;
	fill(b, 4);
	assert_int_equal(submit(b, spec_of(5))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_false(in_window(b, 5));
	/* Two tasks leave: there is room, but 5 must come before 6. */
	bench_step(b, cancel_event(1, 1, false));
	uint32_t ref = expect(b, CORE_DO_PERSIST_FINAL)->ref;
	expect_none(b); /* three are left: not half empty */
	bench_step(b, ref_event(CORE_EV_FINAL_STORED, ref));
	expect(b, CORE_DO_ANSWER_CANCEL);
	expect(b, CORE_DO_WAKE);
	expect(b, CORE_DO_RELEASE);
	assert_int_equal(submit(b, spec_of(6))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	expect_none(b);
}

static void a_lane_run_half_empty_claims_as_much_as_there_is_room_for(void **state)
{
	struct bench *b = *state;
	fill(b, 4);
	submit(b, spec_of(5));
	expect(b, CORE_DO_PERSIST);
	stored(b);
	session_opened(b, 0, 3, true);
	credited(b, 0, 3);
	for (int i = 0; i < 3; i++)
		expect(b, CORE_DO_ASSIGN);
	const struct core_action *claim = expect(b, CORE_DO_CLAIM);
	assert_int_equal(claim->claim.count, 3);
	assert_int_equal(claim->claim.bytes, 990);
	expect_none(b);
	/* While it is on its way another task is spilled: the answer cannot know of it. */
	assert_int_equal(submit(b, spec_of(6))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	struct core_spec five = spec_of(5);
	claimed(b, &five, 1, false, 0, 0);
	assert_int_not_equal(b->specs[0].ref, CORE_NO_REF);
	expect_none(b); /* two wait: not below half */
	assert_int_equal(submit(b, spec_of(7))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
}

static void an_empty_backlog_lets_tasks_in_straight_again(void **state)
{
	struct bench *b = *state;
	fill(b, 4);
	submit(b, spec_of(5));
	expect(b, CORE_DO_PERSIST);
	stored(b);
	session_opened(b, 0, 4, true);
	credited(b, 0, 4);
	for (int i = 0; i < 4; i++)
		expect(b, CORE_DO_ASSIGN);
	expect(b, CORE_DO_CLAIM);
	struct core_spec five = spec_of(5);
	claimed(b, &five, 1, false, 0, 0);
	assert_int_not_equal(submit(b, spec_of(6))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
}

static void a_higher_priority_passes_the_backlog_and_evicts_the_worst(void **state)
{
	struct bench *b = *state;
	fill(b, 4);
	struct core_spec *spec = submit(b, with_priority(5, 1));
	const struct core_action *unclaim = expect(b, CORE_DO_UNCLAIM);
	assert_int_equal(number_of(unclaim->id), 4);
	assert_int_not_equal(spec->ref, CORE_NO_REF);
	assert_int_not_equal(spec->ref, unclaim->ref); /* one meaning a ref in one step */
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_false(in_window(b, 4));
	/* 4 is in the backlog now: the same priority has to wait behind it. */
	assert_int_equal(submit(b, spec_of(6))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	session_opened(b, 0, 1, true);
	credited(b, 0, 1);
	assert_int_equal(number_of(expect(b, CORE_DO_ASSIGN)->id), 5);
}

/* Wrong: 4 waits, 5 is reserved, 4 goes back for 6, 5 comes in and runs before 4. */
static void nothing_is_evicted_that_something_on_its_way_would_pass(void **state)
{
	struct bench *b = *state;
	fill(b, 3);
	submit(b, spec_of(4));
	expect(b, CORE_DO_PERSIST);
	struct core_spec four = b->specs[0];
	assert_int_not_equal(four.ref, CORE_NO_REF);
	assert_int_equal(submit(b, with_priority(5, 1))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	/* But the backlog holds something better than the worst: it is fetched. */
	assert_int_equal(expect(b, CORE_DO_CLAIM)->claim.count, 1);
	expect_none(b);
	b->specs[0] = four;
	stored(b);
	struct core_spec five = with_priority(5, 1);
	claimed(b, &five, 1, false, 0, 0);
	assert_int_equal(number_of(expect(b, CORE_DO_UNCLAIM)->id), 4);
	expect_none(b);
}

static void a_claim_that_brings_nothing_better_is_not_repeated(void **state)
{
	struct bench *b = *state;
	fill(b, 4);
	struct core_spec delayed = spec_of(5);
	delayed.not_before_us = b->now_us + 1000;
	assert_int_equal(submit(b, delayed)->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_int_equal(core_next_us(b->core), delayed.not_before_us);
	bench_pass(b, 1000);
	assert_int_equal(expect(b, CORE_DO_CLAIM)->claim.count, 1);
	claimed(b, &delayed, 1, false, 0, 0);
	assert_int_equal(number_of(expect(b, CORE_DO_UNCLAIM)->id), 5);
	expect_none(b);
}

static void a_delayed_task_waits_in_the_store_until_it_is_due(void **state)
{
	struct bench *b = *state;
	struct core_spec late = spec_of(1), later = spec_of(2);
	late.not_before_us = b->now_us + 5000;
	later.not_before_us = b->now_us + 9000;
	submit(b, later);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	submit(b, late);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	/* Tasks that are not delayed are not held up. */
	assert_int_not_equal(submit(b, spec_of(3))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_int_equal(core_next_us(b->core), late.not_before_us);
	bench_pass(b, 5000);
	expect(b, CORE_DO_CLAIM);
	claimed(b, &late, 1, false, 0, later.not_before_us);
	expect_none(b);
	assert_true(in_window(b, 1));
	assert_int_equal(core_next_us(b->core), later.not_before_us);
	/* The store's clock is coarser: what it calls due is asked for again, not at once. */
	bench_pass(b, 4000);
	expect(b, CORE_DO_CLAIM);
	claimed(b, NULL, 0, false, 0, b->now_us);
	expect_none(b);
	assert_int_equal(core_next_us(b->core), b->now_us + 1000);
}

static void a_start_recorded_before_a_crash_is_not_repeated(void **state)
{
	struct bench *b = *state;
	core_free(&b->core);
	struct core_start start = { .generation = 8, .live = 1, .live_bytes = 10 };
	assert_int_equal(core_new(&b->limits, &start, &b->core), 0);
	assert_int_equal(core_recover_lane(b->core, 0, 0, 1, 0), 0);
	assert_int_equal(core_next_us(b->core), 0);
	bench_pass(b, 0);
	expect(b, CORE_DO_CLAIM);
	struct core_spec once = spec_of(1);
	once.at_most_once = once.started_once = true;
	once.tally.attempt = 1;
	claimed(b, &once, 1, false, 0, 0);
	const struct core_action *final = expect(b, CORE_DO_PERSIST_FINAL);
	assert_int_equal(final->persist.state, TASK_FAILED);
	assert_int_equal(final->persist.reason, REASON_WORKER_LOST);
	assert_int_equal(final->persist.tally.attempt, 1);
	assert_false(final->persist.by_worker);
	expect_none(b);
}

static void recovered_lanes_are_claimed_until_the_limit_of_lanes(void **state)
{
	struct bench *b = *state;
	core_free(&b->core);
	struct core_start start = { .generation = 8, .live = 4, .live_bytes = 40 };
	assert_int_equal(core_new(&b->limits, &start, &b->core), 0);
	assert_int_equal(core_recover_lane(b->core, 0, 0, 3, 5), 0);
	assert_int_equal(core_recover_lane(b->core, 1, 0, 1, 0), 0);
	assert_int_equal(core_recover_lane(b->core, 2, 0, 1, 0), FH_ELIMIT);
	bench_pass(b, 0);
	assert_int_equal(expect(b, CORE_DO_CLAIM)->claim.account, 0);
	assert_int_equal(expect(b, CORE_DO_CLAIM)->claim.account, 1);
	expect_none(b);
}

/* Its number means another class from then on: no answer about this one may follow. */
static void a_class_is_idle_when_nothing_of_it_is_left(void **state)
{
	struct bench *b = *state;
	core_free(&b->core);
	struct core_start start = { .generation = 8, .live = 1, .live_bytes = 10 };
	assert_int_equal(core_new(&b->limits, &start, &b->core), 0);
	assert_true(core_class_is_idle(b->core, 0));
	assert_int_equal(core_recover_lane(b->core, 0, 0, 1, 5), 0);
	assert_false(core_class_is_idle(b->core, 0));
	assert_true(core_class_is_idle(b->core, 1));
	bench_pass(b, 0);
	expect(b, CORE_DO_CLAIM);
	const struct core_dropped cancelled = { 0, 0, 10 };
	bench_step(b, (struct core_event){ .kind = CORE_EV_DROPPED,
					   .dropped = { .tasks = &cancelled, .count = 1 } });
	assert_false(core_class_is_idle(b->core, 0)); /* a claim is on its way */
	claimed(b, NULL, 0, false, 0, 0);
	assert_true(core_class_is_idle(b->core, 0));
	expect_none(b);
	submit(b, spec_of(1)); /* comes straight in: there is no backlog any more */
	assert_int_equal(expect(b, CORE_DO_PERSIST)->request.request, 1);
	assert_false(core_class_is_idle(b->core, 0));
	struct core_event refused = { .kind = CORE_EV_STORED, .stored = { 1, b->specs, 1, false } };
	assert_int_not_equal(b->specs[0].ref, CORE_NO_REF);
	bench_step(b, refused);
	assert_true(core_class_is_idle(b->core, 0));
	expect_none(b);
}

static void the_answer_to_a_full_queue_follows_the_drain_rate(void **state)
{
	struct bench *b = *state;
	for (uint32_t i = 0; i < 60; i++)
		b->specs[i] = spec_of(i + 1);
	struct core_event ev = { .kind = CORE_EV_SUBMITTED, .submitted = { 1, b->specs, 60 } };
	bench_step(b, ev);
	expect(b, CORE_DO_PERSIST);
	b->now_us += 5000000;
	struct core_dropped dropped[10];
	for (uint32_t i = 0; i < 10; i++)
		dropped[i] = (struct core_dropped){ 0, 0, 10 };
	bench_step(b, (struct core_event){ .kind = CORE_EV_DROPPED,
					   .dropped = { dropped, 10, 0, 0 } });
	for (uint32_t i = 0; i < 60; i++)
		b->specs[i] = spec_of(i + 100);
	bench_step(b, ev); /* 50 + 60 - 100 = 10 too many, at 2 a second */
	assert_int_equal(expect(b, CORE_DO_REJECT)->request.retry_after_s, 6);
}

static void idle_time_does_not_count_in_the_drain_rate(void **state)
{
	struct bench *b = *state;
	for (uint32_t round = 0; round < 3; round++) {
		b->now_us += 3000000; /* the client waits */
		for (uint32_t i = 1; i <= 4; i++)
			settle(b, spec_of(10 * round + i));
		b->now_us += 1000000;
		for (uint32_t i = 1; i <= 4; i++) {
			bench_step(b, cancel_event(i, 10 * round + i, false));
			uint32_t ref = expect(b, CORE_DO_PERSIST_FINAL)->ref;
			bench_step(b, ref_event(CORE_EV_FINAL_STORED, ref));
			b->taken = b->out.count;
		}
	}
	struct core_event ev = { .kind = CORE_EV_SUBMITTED, .submitted = { 9, b->specs, 55 } };
	for (uint32_t i = 0; i < 55; i++)
		b->specs[i] = spec_of(i + 100);
	bench_step(b, ev);
	expect(b, CORE_DO_PERSIST);
	for (uint32_t i = 0; i < 55; i++)
		b->specs[i] = spec_of(i + 200);
	bench_step(b, ev); /* 10 too many, at about 3 a second by now */
	assert_int_equal(expect(b, CORE_DO_REJECT)->request.retry_after_s, 4);
}

static void bytes_bound_a_lane_but_one_task_is_always_let_in(void **state)
{
	struct bench *b = *state;
	struct core_spec big = spec_of(1);
	big.bytes = 3000;
	assert_int_not_equal(submit(b, big)->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
	stored(b);
	assert_int_equal(submit(b, spec_of(2))->ref, CORE_NO_REF);
	expect(b, CORE_DO_PERSIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		core_test(a_task_gets_a_place_and_waits_when_stored),
		core_test(what_the_store_refuses_leaves_nothing),
		core_test(a_full_queue_rejects_the_whole_request),
		core_test(a_third_lane_is_refused),
		core_test(what_does_not_fit_goes_to_the_backlog_and_all_that_follows),
		core_test(a_lane_run_half_empty_claims_as_much_as_there_is_room_for),
		core_test(an_empty_backlog_lets_tasks_in_straight_again),
		core_test(a_higher_priority_passes_the_backlog_and_evicts_the_worst),
		core_test(nothing_is_evicted_that_something_on_its_way_would_pass),
		core_test(a_claim_that_brings_nothing_better_is_not_repeated),
		core_test(a_delayed_task_waits_in_the_store_until_it_is_due),
		core_test(a_start_recorded_before_a_crash_is_not_repeated),
		core_test(recovered_lanes_are_claimed_until_the_limit_of_lanes),
		core_test(a_class_is_idle_when_nothing_of_it_is_left),
		core_test(the_answer_to_a_full_queue_follows_the_drain_rate),
		core_test(idle_time_does_not_count_in_the_drain_rate),
		core_test(bytes_bound_a_lane_but_one_task_is_always_let_in),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
