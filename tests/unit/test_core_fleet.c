/* Workers that come and go: what they hold, what is taken from them, what is adopted, and tasks
 * that must run alone. */
#include "core_fixture.h"

static void paused(struct bench *b, uint32_t session, enum core_pause why, bool over)
{
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_PAUSED,
					   .paused = { session, why, over } });
}

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

/* The loss of an attempt goes through the store; then the task is assigned to `session`, if there
 * is a place. */
static void loss_stored(struct bench *b, uint32_t losses)
{
	const struct core_action *retry = expect(b, CORE_DO_PERSIST_RETRY);
	assert_int_equal(retry->persist.tally.losses, losses);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, retry->ref));
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
	loss_stored(b, 0);
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
	loss_stored(b, 0);
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
	paused(b, 0, CORE_PAUSE_AWAY, false);
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
	paused(b, 0, CORE_PAUSE_AWAY, false);
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
	paused(b, 0, CORE_PAUSE_ORDERED, false);
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
	paused(b, 0, CORE_PAUSE_AWAY, false);
	resumed(b, 0);
	listed(b, (struct core_ev_held){ .resumed = true });
	loss_stored(b, 0);
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
	paused(b, 0, CORE_PAUSE_ORDERED, false);
	settle(b, spec_of(1));
	resumed(b, 0);
	listed(b, (struct core_ev_held){ .resumed = true });
	credited(b, 0, 1);
	expect_none(b);
	paused(b, 0, CORE_PAUSE_ORDERED, true);
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
	paused(b, 0, CORE_PAUSE_AWAY, false);
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
	loss_stored(b, 0);
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

/* ---- after a restart ---- */

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
	loss_stored(b, 1);
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
	loss_stored(b, 1);
	assert_int_equal(expect(b, CORE_DO_PERSIST_FINAL)->persist.reason, REASON_EXPIRED);
}

/* ---- suspects ---- */

/* Task 1 has lost two workers and waits. */
static void suspect(struct bench *b)
{
	struct core_spec spec = spec_of(1);
	spec.tally.losses = 1;
	running(b, spec);
	session_lost(b, 0);
	loss_stored(b, 2);
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
	paused(b, 1, CORE_PAUSE_ORDERED, false);
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
		core_test(what_still_runs_is_adopted),
		core_test(what_is_adopted_is_in_a_child_and_does_not_expire),
		core_test(who_cancelled_it_may_have_been_an_earlier_life),
		core_test(a_suspect_that_is_not_adopted_waits_to_be_alone),
		core_test(what_waits_in_the_window_is_adopted),
		core_test(a_token_of_this_generation_is_not_adopted),
		core_test(nothing_is_handed_out_while_workers_may_come_back),
		core_test(nothing_expires_in_the_store_while_workers_may_come_back),
		core_test(what_is_adopted_was_begun_in_time),
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
