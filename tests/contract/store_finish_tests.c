/* How attempts and tasks end: FINISH, RETRY, START, CANCEL. */
#include "store_tests.h"

#include <string.h>

#include "store_fixture.h"

enum { ALL = STORE_WANT_RESULT | STORE_WANT_LOGS };

static const struct task_tally full_tally = {
	.attempt = UINT32_MAX,
	.failures = 3,
	.losses = 2,
	.strikes = 1,
	.struck_by = { { 7 } },
	.struck_by_two = true,
};

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* A FAILED result with everything set; the blobs are the caller's. */
static struct task_result full_result(void)
{
	return (struct task_result){
		.state = TASK_FAILED,
		.reason = REASON_EXCEPTION,
		.value = blob_copy("pickled", 7),
		.error_type = text("builtins.ValueError"),
		.error_message = text("no"),
		.traceback = text("Traceback"),
		.out = blob_copy("out", 3),
		.err = blob_copy("error", 5),
		.err_cut = true,
		.started_ms = 1500,
		.finished_ms = 2500,
		.deserialize_us = 1,
		.run_us = UINT32_MAX,
		.serialize_us = 3,
		.runtime = "cp311",
	};
}

static void free_result(struct task_result *r)
{
	blob_free(&r->value);
	blob_free(&r->out);
	blob_free(&r->err);
}

static struct fh_id add_in_group(struct fixture *f, struct fh_id group, bool claimed)
{
	struct task_rec t = new_task(f);
	t.group_id = group;
	assert_int_equal(submit_tasks(f, &t, 1, claimed), 0);
	return t.id;
}

void a_final_state_is_recorded_with_all_it_says(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), id = add_in_group(f, group, true);
	struct task_result result = full_result();
	struct store_finish_item item = { .task = id, .tally = full_tally, .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(item.ret, 0);
	fixture_restart(f);
	struct store_get_task got = get_task(f, id, ALL);
	assert_int_equal(got.op.ret, 0);
	assert_int_equal(got.ret_task.state, TASK_FAILED);
	assert_int_equal(got.ret_task.reason, REASON_EXCEPTION);
	assert_same_tally(&got.ret_task.tally, &full_tally);
	assert_int_equal(got.ret_task.started_ms, 1500);
	assert_int_equal(got.ret_task.finished_ms, 2500);
	assert_int_equal(got.ret_task.finish_seq, item.ret_finish_seq);
	assert_int_equal(got.ret_task.result_size, 7);
	const struct task_result *r = &got.ret_result;
	assert_int_equal(r->state, TASK_FAILED);
	assert_int_equal(r->reason, REASON_EXCEPTION);
	assert_blob_equal(r->value, "pickled");
	assert_string_equal(r->error_type, "builtins.ValueError");
	assert_string_equal(r->error_message, "no");
	assert_string_equal(r->traceback, "Traceback");
	assert_blob_equal(r->out, "out");
	assert_blob_equal(r->err, "error");
	assert_false(r->out_cut);
	assert_true(r->err_cut);
	assert_int_equal(r->started_ms, 1500);
	assert_int_equal(r->finished_ms, 2500);
	assert_int_equal(r->deserialize_us, 1);
	assert_int_equal(r->run_us, UINT32_MAX);
	assert_int_equal(r->serialize_us, 3);
	assert_string_equal(r->runtime, "cp311");
	store_op_release(&got.op);
	free_result(&result);
	assert_int_equal(get_group(f, group).counts[TASK_FAILED], 1);
	assert_int_equal(get_group(f, group).counts[TASK_QUEUED], 0);
	assert_claims(f, 10, 1000, NULL, 0);
}

void results_are_read_as_far_as_they_are_wanted(void **state)
{
	struct fixture *f = *state;
	struct fh_id id = add_in_group(f, (struct fh_id){ { 0 } }, false);
	struct task_result result = full_result();
	struct store_finish_item item = { .task = id, .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	for (unsigned want = 0; want <= ALL; want++) {
		struct store_get_task got = get_task(f, id, want);
		const struct task_result *r = &got.ret_result;
		assert_int_equal(r->run_us, UINT32_MAX); /* what is short is always there */
		assert_blob_equal(r->value, want & STORE_WANT_RESULT ? "pickled" : NULL);
		assert_same_string(r->error_message, want & STORE_WANT_RESULT ? "no" : NULL);
		assert_blob_equal(r->out, want & STORE_WANT_LOGS ? "out" : NULL);
		assert_blob_equal(r->err, want & STORE_WANT_LOGS ? "error" : NULL);
		store_op_release(&got.op);
	}
	free_result(&result);
}

void a_final_task_stays_as_it_is(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), id = add_in_group(f, group, false),
		     other = add_in_group(f, group, false);
	uint64_t first_seq;
	assert_int_equal(finish_task(f, id, "first", &first_seq), 0);
	struct task_result result = { .state = TASK_FAILED, .reason = REASON_CRASH };
	struct store_finish_item items[4] = {
		{ .task = id, .tally.attempt = 9, .result = &result },
		{ .task = other, .result = &result },
		{ .task = other, .tally.attempt = 9, .result = &result },
		{ .task = id_of(9), .result = &result }
	};
	struct store_finish call = { .op.kind = STORE_FINISH, .items = items, .count = 4 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(items[0].ret, FH_EFINAL);
	assert_int_equal(items[1].ret, 0);
	assert_true(items[1].ret_finish_seq > first_seq);
	assert_int_equal(items[2].ret, FH_EFINAL);
	assert_int_equal(items[3].ret, FH_ENOTFOUND);
	struct store_get_task got = get_task(f, id, ALL);
	assert_int_equal(got.ret_task.state, TASK_COMPLETED);
	assert_int_equal(got.ret_task.tally.attempt, 1);
	assert_int_equal(got.ret_task.finish_seq, first_seq);
	assert_blob_equal(got.ret_result.value, "first");
	store_op_release(&got.op);
	struct group_rec g = get_group(f, group);
	assert_int_equal(g.total, 2);
	assert_int_equal(g.counts[TASK_COMPLETED], 1);
	assert_int_equal(g.counts[TASK_FAILED], 1);
}

void a_task_without_a_group_counts_for_none(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), alone = add_in_group(f, (struct fh_id){ { 0 } }, false),
		     member = add_in_group(f, group, false);
	const struct task_result result = { .state = TASK_COMPLETED };
	struct store_finish_item items[2] = { { .task = alone, .result = &result },
					      { .task = member, .result = &result } };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = items, .count = 2 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	struct group_rec g = get_group(f, group);
	assert_int_equal(g.counts[TASK_COMPLETED], 1);
	assert_int_equal(g.counts[TASK_QUEUED], 0);
}

void an_empty_result_is_not_a_missing_one(void **state)
{
	struct fixture *f = *state;
	const struct fh_id none = { { 0 } };
	struct fh_id empty = add_in_group(f, none, false), missing = add_in_group(f, none, false);
	assert_int_equal(finish_task(f, empty, "", NULL), 0);
	assert_int_equal(finish_task(f, missing, NULL, NULL), 0);
	struct store_get_task got = get_task(f, empty, ALL);
	assert_blob_equal(got.ret_result.value, "");
	assert_int_equal(got.ret_task.result_size, 0);
	store_op_release(&got.op);
	got = get_task(f, missing, ALL);
	assert_null(got.ret_result.value);
	assert_null(got.ret_result.error_type);
	assert_string_equal(got.ret_result.runtime, "");
	store_op_release(&got.op);
}

static int retry_task(struct fixture *f, struct store_retry_item item)
{
	struct store_retry call = { .op.kind = STORE_RETRY, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return item.ret;
}

static void assert_queued(struct fixture *f, struct fh_id id, struct task_tally tally,
			  int64_t not_before_ms)
{
	struct store_get_task got = get_task(f, id, 0);
	assert_int_equal(got.ret_task.state, TASK_QUEUED);
	assert_same_tally(&got.ret_task.tally, &tally);
	assert_int_equal(got.ret_task.not_before_ms, not_before_ms);
	store_op_release(&got.op);
}

void a_retry_counts_and_goes_back_to_its_lane(void **state)
{
	struct fixture *f = *state;
	const struct fh_id none = { { 0 } };
	struct fh_id ids[3];
	for (int i = 0; i < 3; i++)
		ids[i] = add_in_group(f, none, false);
	assert_claims(f, 2, 1000, ids, 2);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = ids[0],
								  .tally = full_tally,
								  .release = true }),
			 0);
	assert_queued(f, ids[0], full_tally, 0);
	struct store_claim call = claim(f, 10, 1000);
	assert_int_equal(call.ret_count, 2);
	assert_id_equal(call.ret_tasks[0].id, ids[0]); /* in front of what was never claimed */
	assert_same_tally(&call.ret_tasks[0].tally, &full_tally);
	assert_id_equal(call.ret_tasks[1].id, ids[2]);
	store_op_release(&call.op);
	fixture_restart(f);
	assert_queued(f, ids[0], full_tally, 0);
}

void a_retry_can_wait(void **state)
{
	struct fixture *f = *state;
	struct fh_id id = add_in_group(f, (struct fh_id){ { 0 } }, true);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = id,
								  .tally.attempt = 1,
								  .not_before_ms = 5000,
								  .release = true }),
			 0);
	for (int i = 0; i < 2; i++) {
		struct store_claim call = claim(f, 10, 4999);
		assert_int_equal(call.ret_count, 0);
		assert_int_equal(call.ret_next_due_ms, 5000);
		store_op_release(&call.op);
		fixture_restart(f);
		assert_int_equal(f->recovery.next_due_ms, 5000);
	}
	assert_queued(f, id, (struct task_tally){ .attempt = 1 }, 5000);
	assert_claims(f, 10, 5000, &id, 1);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = id, .tally.attempt = 2 }),
			 0);
	assert_queued(f, id, (struct task_tally){ .attempt = 2 }, 0); /* at once again */
}

void a_retry_can_stay_claimed(void **state)
{
	struct fixture *f = *state;
	struct fh_id id = add_in_group(f, (struct fh_id){ { 0 } }, true);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = id, .tally.attempt = 1 }),
			 0);
	assert_claims(f, 10, 9000, NULL, 0);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = id,
								  .tally.attempt = 2,
								  .not_before_ms = 5000 }),
			 0);
	assert_claims(f, 10, 9000, NULL, 0);
	fixture_restart(f);
	assert_claims(f, 10, 9000, &id, 1);
	assert_queued(f, id, (struct task_tally){ .attempt = 2 }, 5000);
}

void a_retry_of_nothing_says_so(void **state)
{
	struct fixture *f = *state;
	struct fh_id id = add_in_group(f, (struct fh_id){ { 0 } }, false);
	assert_int_equal(finish_task(f, id, "v", NULL), 0);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = id, .tally.attempt = 5 }),
			 FH_EFINAL);
	assert_int_equal(retry_task(f, (struct store_retry_item){ .task = id_of(9) }),
			 FH_ENOTFOUND);
	struct store_get_task got = get_task(f, id, 0);
	assert_int_equal(got.ret_task.state, TASK_COMPLETED);
	assert_int_equal(got.ret_task.tally.attempt, 1);
	store_op_release(&got.op);
}

static int start_task(struct fixture *f, struct fh_id id, uint32_t attempt)
{
	struct store_start call = { .op.kind = STORE_START, .task = id, .attempt = attempt };
	return fixture_run(f, &call.op);
}

void a_start_is_recorded(void **state)
{
	struct fixture *f = *state;
	const struct fh_id none = { { 0 } };
	struct fh_id id = add_in_group(f, none, true), waiting = add_in_group(f, none, false);
	assert_int_equal(start_task(f, id, 1), 0);
	fixture_restart(f);
	struct store_claim call = claim(f, 10, 1000);
	assert_int_equal(call.ret_count, 2);
	assert_true(call.ret_tasks[0].started_once);
	assert_int_equal(call.ret_tasks[0].tally.attempt, 1);
	assert_false(call.ret_tasks[1].started_once);
	store_op_release(&call.op);
	assert_int_equal(finish_task(f, waiting, "v", NULL), 0);
	assert_int_equal(start_task(f, waiting, 1), FH_EFINAL);
	assert_int_equal(start_task(f, id_of(9), 1), FH_ENOTFOUND);
}

static struct store_cancel cancel(struct fixture *f, struct fh_id id)
{
	struct store_cancel call = { .op.kind = STORE_CANCEL, .task = id, .now_ms = 3000 };
	(void)fixture_run(f, &call.op);
	return call;
}

void a_waiting_task_is_cancelled(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), ready = add_in_group(f, group, false);
	struct task_rec delayed = new_task(f);
	delayed.not_before_ms = 9000;
	add_task(f, &delayed);
	struct store_cancel call = cancel(f, ready);
	assert_int_equal(call.op.ret, 0);
	assert_int_equal(call.ret_state, TASK_CANCELLED);
	assert_id_equal(call.ret_group, group);
	assert_int_equal(call.ret_payload_size, 7);
	uint64_t seq = call.ret_finish_seq;
	call = cancel(f, delayed.id);
	assert_int_equal(call.op.ret, 0);
	assert_true(fh_id_is_zero(call.ret_group));
	assert_true(call.ret_finish_seq > seq);
	struct store_get_task got = get_task(f, ready, ALL);
	assert_int_equal(got.ret_task.state, TASK_CANCELLED);
	assert_int_equal(got.ret_task.reason, REASON_CANCELLED);
	assert_int_equal(got.ret_task.finished_ms, 3000);
	assert_int_equal(got.ret_task.finish_seq, seq);
	assert_int_equal(got.ret_result.reason, REASON_CANCELLED);
	store_op_release(&got.op);
	assert_int_equal(get_group(f, group).counts[TASK_CANCELLED], 1);
	struct store_claim none = claim(f, 10, 10000);
	assert_int_equal(none.ret_count, 0);
	assert_int_equal(none.ret_next_due_ms, 0);
	store_op_release(&none.op);
}

void a_claimed_task_is_not_cancelled_here(void **state)
{
	struct fixture *f = *state;
	struct fh_id id = add_in_group(f, (struct fh_id){ { 0 } }, false);
	assert_claims(f, 1, 1000, &id, 1);
	assert_int_equal(cancel(f, id).op.ret, FH_EBUSY);
	assert_queued(f, id, (struct task_tally){ .attempt = 0 }, 0);
	fixture_restart(f); /* nobody claims it any more */
	assert_int_equal(cancel(f, id).op.ret, 0);
}

void a_final_task_is_not_cancelled(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), id = add_in_group(f, group, false);
	assert_int_equal(finish_task(f, id, "v", NULL), 0);
	struct store_cancel call = cancel(f, id);
	assert_int_equal(call.op.ret, FH_EFINAL);
	assert_int_equal(call.ret_state, TASK_COMPLETED);
	assert_int_equal(cancel(f, id_of(9)).op.ret, FH_ENOTFOUND);
	struct store_get_task got = get_task(f, id, 0);
	assert_int_equal(got.ret_task.state, TASK_COMPLETED);
	store_op_release(&got.op);
	assert_int_equal(get_group(f, group).counts[TASK_CANCELLED], 0);
}
