/* Reading many, statistics, restarts. */
#include "store_tests.h"

#include <string.h>

#include "store_fixture.h"

static const struct fh_id none;

static struct fh_id add_in_group(struct fixture *f, struct fh_id group)
{
	struct task_rec t = new_task(f);
	t.group_id = group;
	add_task(f, &t);
	return t.id;
}

/* A task that finished at 2,000 with this value. */
static struct fh_id add_finished(struct fixture *f, struct fh_id group, const char *value)
{
	struct fh_id id = add_in_group(f, group);
	assert_int_equal(finish_task(f, id, value, NULL), 0);
	return id;
}

void tasks_are_read_in_the_order_asked_for(void **state)
{
	struct fixture *f = *state;
	struct fh_id queued = add_in_group(f, none), done = add_finished(f, none, "value");
	const struct fh_id ids[4] = { done, id_of(9), queued, done };
	struct store_get_tasks call = { .op.kind = STORE_GET_TASKS,
					.tasks = ids,
					.count = 4,
					.want = STORE_WANT_RESULT,
					.max_bytes = 1000 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(call.ret_filled, 4);
	assert_true(call.ret_views[0].known && call.ret_views[2].known);
	assert_false(call.ret_views[1].known);
	assert_id_equal(call.ret_views[0].task.id, done);
	assert_blob_equal(call.ret_views[0].result.value, "value");
	assert_int_equal(call.ret_views[2].task.state, TASK_QUEUED);
	assert_int_equal(call.ret_views[2].result.state, TASK_QUEUED);
	assert_blob_equal(call.ret_views[3].result.value, "value");
	store_op_release(&call.op);
	call.count = 0;
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(call.ret_filled, 0);
	store_op_release(&call.op);
}

void tasks_are_read_up_to_a_size(void **state)
{
	struct fixture *f = *state;
	const struct fh_id ids[4] = { add_finished(f, none, "12345"), add_in_group(f, none),
				      add_finished(f, none, "12345"), add_finished(f, none, "1") };
	static const struct {
		uint64_t max_bytes;
		unsigned want, filled;
	} cases[] = { { 0, STORE_WANT_RESULT, 2 },
		      { 9, STORE_WANT_RESULT, 2 },
		      { 10, STORE_WANT_RESULT, 3 },
		      { 11, STORE_WANT_RESULT, 4 },
		      { 0, 0, 4 },
		      { UINT64_MAX, STORE_WANT_RESULT, 4 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct store_get_tasks call = { .op.kind = STORE_GET_TASKS,
						.tasks = ids,
						.count = 4,
						.want = cases[i].want,
						.max_bytes = cases[i].max_bytes };
		assert_int_equal(fixture_run(f, &call.op), 0);
		assert_int_equal(call.ret_filled, cases[i].filled);
		store_op_release(&call.op);
	}
}

static struct store_list_finished list(struct fixture *f, struct fh_id group, uint64_t after_seq,
				       uint32_t limit, uint64_t max_bytes)
{
	struct store_list_finished call = { .op.kind = STORE_LIST_FINISHED,
					    .group = group,
					    .after_seq = after_seq,
					    .limit = limit,
					    .max_bytes = max_bytes,
					    .want = STORE_WANT_RESULT };
	(void)fixture_run(f, &call.op);
	return call;
}

void finished_tasks_are_listed_in_the_order_of_finishing(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), other = add_group(f), ids[3];
	for (int i = 0; i < 3; i++)
		ids[i] = add_in_group(f, group);
	(void)add_finished(f, other, "other");
	assert_int_equal(finish_task(f, ids[2], "c", NULL), 0);
	(void)add_finished(f, none, "nobody's");
	assert_int_equal(finish_task(f, ids[0], "a", NULL), 0);
	struct store_list_finished call = list(f, group, 0, 10, 1000);
	assert_int_equal(call.op.ret, 0);
	assert_int_equal(call.ret_count, 2);
	assert_false(call.ret_more);
	assert_id_equal(call.ret_views[0].task.id, ids[2]);
	assert_true(call.ret_views[0].known);
	assert_blob_equal(call.ret_views[0].result.value, "c");
	assert_id_equal(call.ret_views[1].task.id, ids[0]);
	assert_true(call.ret_views[1].task.finish_seq > call.ret_views[0].task.finish_seq);
	store_op_release(&call.op);
}

void a_list_goes_on_behind_its_cursor(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), ids[5];
	for (int i = 0; i < 5; i++)
		ids[i] = add_finished(f, group, "v");
	uint64_t cursor = 0;
	unsigned seen = 0;
	for (bool more = true; more;) {
		struct store_list_finished call = list(f, group, cursor, 2, 1000);
		for (uint32_t i = 0; i < call.ret_count; i++) {
			assert_id_equal(call.ret_views[i].task.id, ids[seen++]);
			cursor = call.ret_views[i].task.finish_seq;
		}
		more = call.ret_more;
		assert_int_equal(more, seen < 5);
		store_op_release(&call.op);
	}
	assert_int_equal(seen, 5);
	struct store_list_finished call = list(f, group, cursor, 2, 1000);
	assert_int_equal(call.ret_count, 0);
	assert_false(call.ret_more);
	store_op_release(&call.op);
	(void)add_finished(f, group, "v");
	call = list(f, group, cursor, 0, 1000);
	assert_int_equal(call.ret_count, 0);
	assert_true(call.ret_more);
	store_op_release(&call.op);
}

void a_list_ends_at_a_size(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f);
	for (int i = 0; i < 3; i++)
		(void)add_finished(f, group, "12345");
	static const struct {
		uint64_t max_bytes;
		unsigned count;
	} cases[] = { { 0, 1 }, { 9, 1 }, { 10, 2 }, { 14, 2 }, { 15, 3 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct store_list_finished call = list(f, group, 0, 10, cases[i].max_bytes);
		assert_int_equal(call.ret_count, cases[i].count);
		assert_int_equal(call.ret_more, cases[i].count < 3);
		store_op_release(&call.op);
	}
}

void a_list_counts_its_group(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f);
	(void)add_in_group(f, group);
	(void)add_finished(f, group, "v");
	struct store_list_finished call = list(f, group, 0, 10, 0);
	assert_id_equal(call.ret_group.id, group);
	assert_int_equal(call.ret_group.total, 2);
	assert_int_equal(call.ret_group.counts[TASK_QUEUED], 1);
	assert_int_equal(call.ret_group.counts[TASK_COMPLETED], 1);
	store_op_release(&call.op);
}

void an_unknown_group_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct store_get_group call = { .op.kind = STORE_GET_GROUP, .group = id_of(9) };
	assert_int_equal(fixture_run(f, &call.op), FH_ENOTFOUND);
	assert_int_equal(list(f, id_of(9), 0, 10, 0).op.ret, FH_ENOTFOUND);
}

void stats_count_what_is_there(void **state)
{
	struct fixture *f = *state;
	struct store_stats before = stats(f), after;
	(void)add_group(f);
	(void)add_in_group(f, none);
	(void)add_finished(f, none, "v");
	for (int i = 0; i < 2; i++) {
		after = stats(f);
		assert_int_equal(after.ret_counts[TASK_QUEUED], 1);
		assert_int_equal(after.ret_counts[TASK_RUNNING], 0);
		assert_int_equal(after.ret_counts[TASK_COMPLETED], 1);
		assert_int_equal(after.ret_counts[TASK_FAILED], 0);
		assert_int_equal(after.ret_functions, 0);
		assert_int_equal(after.ret_groups, 1);
		if (i == 0)
			assert_int_equal(after.ret_commits - before.ret_commits, 4);
		fixture_restart(f);
	}
	(void)stats(f);
	assert_int_equal(stats(f).ret_commits, 0); /* reading commits nothing */
}

void a_restart_finds_everything(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), queued = add_in_group(f, group),
		     done = add_finished(f, group, "value");
	uint64_t seq;
	fixture_restart(f);
	assert_int_equal(f->recovery.live, 1);
	assert_int_equal(f->recovery.live_bytes, 7);
	struct store_list_finished call = list(f, group, 0, 10, 1000);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_views[0].task.id, done);
	assert_blob_equal(call.ret_views[0].result.value, "value");
	assert_int_equal(call.ret_group.total, 2);
	assert_int_equal(call.ret_group.counts[TASK_QUEUED], 1);
	assert_int_equal(finish_task(f, queued, "v", &seq), 0);
	assert_true(seq > call.ret_views[0].task.finish_seq);
	store_op_release(&call.op);
	fixture_restart(f);
	assert_int_equal(f->recovery.live, 0);
	assert_int_equal(f->recovery.live_bytes, 0);
	assert_int_equal(f->recovery.lane_count, 0);
}

void a_restart_finds_the_lanes(void **state)
{
	struct fixture *f = *state;
	struct task_rec tasks[4];
	for (int i = 0; i < 4; i++)
		tasks[i] = new_task(f);
	tasks[0].account = 2;
	tasks[0].options.priority = -3;
	tasks[1].account = 2;
	tasks[1].options.priority = 4;
	tasks[2].not_before_ms = 7000;
	tasks[3].options.expires_at_ms = 8000;
	tasks[3].not_before_ms = 9000;
	static const char *const keys[4] = { NULL, NULL, "b", "a" };
	for (int i = 0; i < 4; i++) {
		const struct store_submit_item item = { .task = &tasks[i], .class_key = keys[i] };
		struct store_submit call = { .op.kind = STORE_SUBMIT, .items = &item, .count = 1 };
		assert_int_equal(fixture_run(f, &call.op), 0);
	}
	fixture_restart(f);
	const struct store_recovery *r = &f->recovery;
	assert_int_equal(r->live, 4);
	assert_int_equal(r->next_due_ms, 7000);
	assert_int_equal(r->next_expiry_ms, 8000);
	assert_int_equal(r->lane_count, 3); /* by account and class key */
	assert_string_equal(r->lanes[0].class_key, "a");
	assert_int_equal(r->lanes[0].ready, 0); /* all of it is delayed */
	assert_int_equal(r->lanes[0].live, 1);
	assert_string_equal(r->lanes[1].class_key, "b");
	assert_string_equal(r->lanes[2].class_key, "");
	assert_int_equal(r->lanes[2].account, 2);
	assert_int_equal(r->lanes[2].ready, 2);
	assert_int_equal(r->lanes[2].live, 2);
	assert_int_equal(r->lanes[2].top_priority, 4);
}

void the_generation_rises_at_every_start(void **state)
{
	struct fixture *f = *state;
	assert_true(f->recovery.clean);
	for (int i = 0; i < 3; i++) {
		uint32_t before = f->recovery.generation;
		fixture_restart(f);
		assert_int_equal(f->recovery.generation, before + 1);
		/* A restart of the memory store is a crash. */
		assert_int_equal(f->recovery.clean, f->kind == KIND_SQLITE);
	}
}

static void never_done(struct store_op *op)
{
	(void)op;
	fail_msg("a call was done by a close");
}

void what_was_submitted_is_committed_at_a_close(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	const struct store_submit_item item = { .task = &t };
	struct store_submit submit = { .op = { .kind = STORE_SUBMIT, .done = never_done },
				       .items = &item,
				       .count = 1 };
	struct store_get_task get = { .op = { .kind = STORE_GET_TASK, .done = never_done },
				      .task = t.id };
	store_submit(f->store, &submit.op);
	store_submit(f->store, &get.op);
	store_close(&f->store); /* what the second one has read is released */
	struct fh_err err;
	assert_int_equal(fixture_open(f, &err), 0);
	if (f->kind == KIND_SQLITE)
		assert_claims(f, 1, 1000, &t.id, 1);
}
