/* Claims, lanes, delays, expiry. */
#include "store_tests.h"

#include <string.h>

#include "store_fixture.h"

/* Adds a task with this priority and remembers its id. */
static struct fh_id add(struct fixture *f, int32_t priority)
{
	struct task_rec t = new_task(f);
	t.options.priority = priority;
	add_task(f, &t);
	return t.id;
}

static struct fh_id add_delayed(struct fixture *f, int64_t not_before_ms)
{
	struct task_rec t = new_task(f);
	t.not_before_ms = not_before_ms;
	add_task(f, &t);
	return t.id;
}

static void unclaim(struct fixture *f, const struct fh_id *ids, uint32_t count)
{
	struct store_unclaim call = { .op.kind = STORE_UNCLAIM, .tasks = ids, .count = count };
	assert_int_equal(fixture_run(f, &call.op), 0);
}

void claims_come_by_priority_then_id(void **state)
{
	struct fixture *f = *state;
	struct task_rec tasks[5];
	const int32_t priorities[5] = { 0, 100, 0, -100, 100 };
	for (int i = 0; i < 5; i++) {
		tasks[i] = new_task(f);
		tasks[i].options.priority = priorities[i];
	}
	struct task_rec early = tasks[2]; /* submitted last, but its id is older */
	tasks[2] = tasks[3];
	assert_int_equal(submit_tasks(f, tasks, 3, false), 0);
	add_task(f, &tasks[4]);
	add_task(f, &early);
	assert_claims(f, 10, 1000,
		      (struct fh_id[]){ tasks[1].id, tasks[4].id, tasks[0].id, early.id,
					tasks[3].id },
		      5);
}

void a_claim_goes_on_where_the_last_one_ended(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[6];
	for (int i = 0; i < 6; i++)
		ids[i] = add(f, 0);
	struct store_claim call = claim(f, 2, 1000);
	assert_int_equal(call.ret_count, 2);
	assert_true(call.ret_more);
	assert_int_equal(call.ret_more_priority, 0);
	assert_blob_equal(call.ret_tasks[0].payload, "payload");
	assert_int_equal(call.ret_tasks[0].payload_size, 7);
	store_op_release(&call.op);
	assert_int_equal(finish_task(f, ids[3], "v", NULL), 0); /* unclaimed, and gone */
	assert_claims(f, 2, 1000, (struct fh_id[]){ ids[2], ids[4] }, 2);
	call = claim(f, 1, 1000);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_tasks[0].id, ids[5]);
	assert_false(call.ret_more);
	store_op_release(&call.op);
	assert_claims(f, 1, 1000, NULL, 0);
}

void what_is_more_urgent_is_claimed_next(void **state)
{
	struct fixture *f = *state;
	struct fh_id low[3], high;
	for (int i = 0; i < 3; i++)
		low[i] = add(f, -1);
	assert_claims(f, 1, 1000, low, 1);
	high = add(f, 5);
	struct store_claim call = claim(f, 0, 1000);
	assert_true(call.ret_more);
	assert_int_equal(call.ret_more_priority, 5);
	store_op_release(&call.op);
	call = claim(f, 1, 1000);
	assert_id_equal(call.ret_tasks[0].id, high);
	assert_int_equal(call.ret_tasks[0].options.priority, 5);
	assert_int_equal(call.ret_more_priority, -1);
	store_op_release(&call.op);
	assert_claims(f, 5, 1000, &low[1], 2);
}

void a_claim_stops_at_its_limits(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[5];
	for (int i = 0; i < 5; i++)
		ids[i] = add(f, 0);
	struct store_claim call = { .op.kind = STORE_CLAIM,
				    .class_key = "",
				    .max_count = 10,
				    .max_bytes = 15,
				    .now_ms = 1000 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(call.ret_count, 2); /* 7 bytes each */
	assert_true(call.ret_more);
	store_op_release(&call.op);
	call.max_bytes = 14;
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(call.ret_count, 2);
	assert_id_equal(call.ret_tasks[0].id, ids[2]);
	store_op_release(&call.op);
	call.max_bytes = 0; /* at least one */
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_tasks[0].id, ids[4]);
	assert_false(call.ret_more);
	store_op_release(&call.op);
}

void a_claim_of_nothing_only_looks(void **state)
{
	struct fixture *f = *state;
	struct store_claim call = claim(f, 0, 1000);
	assert_false(call.ret_more);
	store_op_release(&call.op);
	struct fh_id id = add(f, 2);
	for (int i = 0; i < 2; i++) {
		call = claim(f, 0, 1000);
		assert_int_equal(call.ret_count, 0);
		assert_true(call.ret_more);
		assert_int_equal(call.ret_more_priority, 2);
		store_op_release(&call.op);
	}
	assert_claims(f, 1, 1000, &id, 1);
}

static struct fh_id add_in(struct fixture *f, uint32_t account, const char *class_key)
{
	struct task_rec t = new_task(f);
	t.account = account;
	const struct store_submit_item item = { .task = &t, .class_key = class_key };
	struct store_submit call = { .op.kind = STORE_SUBMIT, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return t.id;
}

void lanes_do_not_mix(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t account;
		const char *class_key;
	} lanes[4] = { { 0, "" }, { 1, "" }, { 0, "gpu" }, { 1, "gpu" } };
	struct fh_id ids[4];
	for (int i = 3; i >= 0; i--)
		ids[i] = add_in(f, lanes[i].account, lanes[i].class_key);
	for (int i = 0; i < 4; i++) {
		struct store_claim call = { .op.kind = STORE_CLAIM,
					    .account = lanes[i].account,
					    .class_key = lanes[i].class_key,
					    .max_count = 10,
					    .max_bytes = 100 };
		assert_int_equal(fixture_run(f, &call.op), 0);
		assert_int_equal(call.ret_count, 1);
		assert_id_equal(call.ret_tasks[0].id, ids[i]);
		assert_int_equal(call.ret_tasks[0].account, lanes[i].account);
		store_op_release(&call.op);
	}
	struct store_claim nowhere = { .op.kind = STORE_CLAIM,
				       .class_key = "nobody",
				       .max_count = 10 };
	assert_int_equal(fixture_run(f, &nowhere.op), 0);
	assert_int_equal(nowhere.ret_count, 0);
	assert_false(nowhere.ret_more);
	store_op_release(&nowhere.op);
}

void what_is_claimed_at_submission_is_not_handed_out(void **state)
{
	struct fixture *f = *state;
	struct task_rec window[3];
	for (int i = 0; i < 3; i++)
		window[i] = new_task(f);
	assert_int_equal(submit_tasks(f, window, 3, true), 0);
	struct fh_id waiting = add(f, 0);
	assert_claims(f, 10, 1000, &waiting, 1);
	assert_int_equal(finish_task(f, window[0].id, "v", NULL), 0);
	unclaim(f, (struct fh_id[]){ window[0].id, window[2].id }, 2); /* one is final */
	assert_claims(f, 10, 1000, &window[2].id, 1);
}

void what_is_given_back_is_claimed_again_in_order(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[6];
	for (int i = 0; i < 6; i++)
		ids[i] = add(f, i < 3 ? 0 : -1);
	assert_claims(f, 5, 1000, ids, 5);
	unclaim(f, (struct fh_id[]){ ids[4], id_of(9), ids[1] }, 3);
	unclaim(f, &ids[1], 1); /* nobody has claimed it any more */
	assert_claims(f, 10, 1000, (struct fh_id[]){ ids[1], ids[4], ids[5] }, 3);
	unclaim(f, ids, 6);
	assert_claims(f, 10, 1000, ids, 6);
}

void a_delayed_task_waits_until_it_is_due(void **state)
{
	struct fixture *f = *state;
	struct task_rec past = new_task(f);
	past.not_before_ms = past.created_ms; /* not later: not delayed */
	struct fh_id late = add_delayed(f, 3000), soon = add_delayed(f, 2000);
	struct task_rec wanted = new_task(f);
	wanted.options.not_before_ms = 2500; /* as the submitter wished */
	add_task(f, &wanted);
	add_task(f, &past);
	struct store_claim call = claim(f, 10, 1999);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_tasks[0].id, past.id);
	assert_false(call.ret_more);
	assert_int_equal(call.ret_next_due_ms, 2000);
	store_op_release(&call.op);
	call = claim(f, 10, 2000);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_tasks[0].id, soon);
	assert_int_equal(call.ret_tasks[0].not_before_ms, 2000);
	assert_int_equal(call.ret_next_due_ms, 2500);
	store_op_release(&call.op);
	call = claim(f, 10, 9000); /* by id now */
	assert_int_equal(call.ret_count, 2);
	assert_id_equal(call.ret_tasks[0].id, late);
	assert_id_equal(call.ret_tasks[1].id, wanted.id);
	assert_int_equal(call.ret_next_due_ms, 0);
	store_op_release(&call.op);
}

void a_claim_moves_due_tasks_of_all_lanes(void **state)
{
	struct fixture *f = *state;
	struct fh_id first = add(f, 0), second = add_delayed(f, 2000), third = add(f, 0);
	assert_claims(f, 10, 1000, (struct fh_id[]){ first, third }, 2);
	struct store_claim other = { .op.kind = STORE_CLAIM,
				     .account = 7,
				     .class_key = "other",
				     .max_count = 1,
				     .now_ms = 2000 };
	assert_int_equal(fixture_run(f, &other.op), 0);
	assert_int_equal(other.ret_next_due_ms, 0);
	store_op_release(&other.op);
	assert_claims(f, 10, 0, &second, 1); /* it is in its lane, in front of the cursor */
}

void a_delayed_task_can_be_claimed_at_submission(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	t.not_before_ms = 2000;
	assert_int_equal(submit_tasks(f, &t, 1, true), 0);
	struct store_claim call = claim(f, 10, 1000);
	assert_int_equal(call.ret_count, 0);
	assert_int_equal(call.ret_next_due_ms, 2000);
	store_op_release(&call.op);
	assert_claims(f, 10, 3000, NULL, 0); /* due, but claimed */
	unclaim(f, &t.id, 1);
	assert_claims(f, 10, 3000, &t.id, 1);
}

void claims_are_forgotten_at_a_restart(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[3];
	for (int i = 0; i < 3; i++)
		ids[i] = add(f, 0);
	assert_claims(f, 2, 1000, ids, 2);
	fixture_restart(f);
	assert_int_equal(f->recovery.lanes[0].ready, 3);
	assert_claims(f, 10, 1000, ids, 3);
}

static struct fh_id add_expiring(struct fixture *f, struct fh_id group, int64_t expires_at_ms,
				 bool claimed)
{
	struct task_rec t = new_task(f);
	t.group_id = group;
	t.options.expires_at_ms = expires_at_ms;
	assert_int_equal(submit_tasks(f, &t, 1, claimed), 0);
	return t.id;
}

static struct store_expire expire(struct fixture *f, int64_t now_ms, uint32_t max)
{
	struct store_expire call = { .op.kind = STORE_EXPIRE, .now_ms = now_ms, .max = max };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call;
}

void an_expired_task_fails(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f);
	struct fh_id second = add_expiring(f, group, 3000, false),
		     first = add_expiring(f, group, 2000, false);
	struct task_rec delayed = new_task(f);
	delayed.not_before_ms = 9000;
	delayed.options.expires_at_ms = 2500;
	delayed.account = 5;
	const struct store_submit_item item = { .task = &delayed, .class_key = "gpu" };
	struct store_submit submit = { .op.kind = STORE_SUBMIT, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &submit.op), 0);
	(void)add(f, 0); /* never expires */
	struct store_expire call = expire(f, 1999, 10);
	assert_int_equal(call.ret_count, 0);
	assert_int_equal(call.ret_next_expiry_ms, 2000);
	store_op_release(&call.op);
	call = expire(f, 2500, 10);
	assert_int_equal(call.ret_count, 2);
	assert_id_equal(call.ret_expired[0].task, first);
	assert_id_equal(call.ret_expired[0].group, group);
	assert_int_equal(call.ret_expired[0].payload_size, 7);
	assert_string_equal(call.ret_expired[0].class_key, "");
	assert_id_equal(call.ret_expired[1].task, delayed.id);
	assert_true(fh_id_is_zero(call.ret_expired[1].group));
	assert_int_equal(call.ret_expired[1].account, 5);
	assert_string_equal(call.ret_expired[1].class_key, "gpu");
	assert_true(call.ret_expired[1].finish_seq > call.ret_expired[0].finish_seq);
	assert_int_equal(call.ret_next_expiry_ms, 3000);
	store_op_release(&call.op);
	struct store_get_task got = get_task(f, first, STORE_WANT_RESULT);
	assert_int_equal(got.ret_task.state, TASK_FAILED);
	assert_int_equal(got.ret_task.reason, REASON_EXPIRED);
	assert_int_equal(got.ret_task.finished_ms, 2500);
	assert_int_equal(got.ret_result.reason, REASON_EXPIRED);
	assert_null(got.ret_result.value);
	store_op_release(&got.op);
	assert_int_equal(get_group(f, group).counts[TASK_FAILED], 1);
	call = expire(f, 3000, 10);
	assert_id_equal(call.ret_expired[0].task, second);
	assert_int_equal(call.ret_next_expiry_ms, 0);
	store_op_release(&call.op);
}

void a_claimed_task_does_not_expire(void **state)
{
	struct fixture *f = *state;
	const struct fh_id none = { { 0 } };
	struct fh_id window = add_expiring(f, none, 2000, true);
	struct fh_id waiting = add_expiring(f, none, 2001, false);
	struct store_expire call = expire(f, 5000, 1);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_expired[0].task, waiting);
	assert_int_equal(call.ret_next_expiry_ms, 0); /* what is claimed is not ours to watch */
	store_op_release(&call.op);
	unclaim(f, &window, 1);
	call = expire(f, 5000, 1);
	assert_id_equal(call.ret_expired[0].task, window);
	store_op_release(&call.op);
}

void expiry_is_bounded(void **state)
{
	struct fixture *f = *state;
	const struct fh_id none = { { 0 } };
	for (int i = 0; i < 5; i++)
		(void)add_expiring(f, none, 2000 + i, false);
	struct store_expire call = expire(f, 9000, 3);
	assert_int_equal(call.ret_count, 3);
	assert_int_equal(call.ret_next_expiry_ms, 2003);
	store_op_release(&call.op);
	call = expire(f, 9000, 3);
	assert_int_equal(call.ret_count, 2);
	assert_int_equal(call.ret_next_expiry_ms, 0);
	store_op_release(&call.op);
}
