/* What is old goes: results, then records and empty groups, idempotency keys. */
#include "store_tests.h"

#include <stdio.h>

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

static struct store_list_finished list(struct fixture *f, struct fh_id group)
{
	struct store_list_finished call = { .op.kind = STORE_LIST_FINISHED,
					    .group = group,
					    .limit = 10,
					    .max_bytes = 1000,
					    .want = STORE_WANT_RESULT };
	(void)fixture_run(f, &call.op);
	return call;
}

static bool purge(struct fixture *f, int64_t results, int64_t records, int64_t keys, uint32_t max)
{
	struct store_purge call = { .op.kind = STORE_PURGE,
				    .now_ms = 10000,
				    .results_before_ms = results,
				    .records_before_ms = records,
				    .keys_before_ms = keys,
				    .max = max };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call.ret_more;
}

void old_results_are_purged(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f), id = add_finished(f, group, "v"),
		     queued = add_in_group(f, group);
	assert_false(purge(f, 2000, 0, 0, 100)); /* it finished at 2,000, not before */
	assert_int_equal(get_task(f, queued, STORE_WANT_RESULT).op.ret, 0);
	struct store_get_task got = get_task(f, id, STORE_WANT_RESULT);
	assert_int_equal(got.op.ret, 0);
	store_op_release(&got.op);
	assert_false(purge(f, 2001, 0, 0, 100));
	fixture_restart(f);
	got = get_task(f, id, STORE_WANT_RESULT);
	assert_int_equal(got.op.ret, FH_EGONE);
	assert_int_equal(got.ret_task.state, TASK_COMPLETED);
	assert_int_equal(got.ret_task.result_size, 1);
	assert_int_equal(got.ret_task.finished_ms, 2000);
	assert_null(got.ret_result.value);
	store_op_release(&got.op);
	got = get_task(f, id, 0); /* the record itself is there */
	assert_int_equal(got.op.ret, 0);
	store_op_release(&got.op);
	struct store_list_finished call = list(f, group);
	assert_int_equal(call.ret_count, 1);
	assert_int_equal(call.ret_views[0].task.state, TASK_COMPLETED);
	assert_int_equal(call.ret_views[0].result.state, TASK_QUEUED); /* zeroed */
	store_op_release(&call.op);
	assert_claims(f, 10, 1000, &queued, 1); /* with its payload */
}

void old_records_and_empty_groups_are_purged(void **state)
{
	struct fixture *f = *state;
	struct fh_id empty = add_group(f), group = add_group(f), busy = add_group(f);
	struct fh_id purged = add_finished(f, group, "v"), other = add_finished(f, busy, "v"),
		     alone = add_finished(f, none, "v"), queued = add_in_group(f, busy);
	assert_true(purge(f, 2001, 0, 0, 1)); /* some results are gone before their records */
	assert_false(purge(f, 0, 2001, 0, 100));
	assert_int_equal(get_task(f, purged, 0).op.ret, FH_ENOTFOUND);
	assert_int_equal(get_task(f, other, 0).op.ret, FH_ENOTFOUND);
	assert_int_equal(get_task(f, alone, 0).op.ret, FH_ENOTFOUND);
	struct store_get_group call = { .op.kind = STORE_GET_GROUP, .group = empty };
	assert_int_equal(fixture_run(f, &call.op), FH_ENOTFOUND);
	call.group = group;
	assert_int_equal(fixture_run(f, &call.op), FH_ENOTFOUND);
	struct group_rec g = get_group(f, busy); /* counts what has been, not what is left */
	assert_int_equal(g.total, 2);
	assert_int_equal(g.counts[TASK_COMPLETED], 1);
	struct store_list_finished left = list(f, busy);
	assert_int_equal(left.ret_count, 0);
	store_op_release(&left.op);
	struct store_stats s = stats(f);
	assert_int_equal(s.ret_groups, 1);
	assert_int_equal(s.ret_counts[TASK_COMPLETED], 0);
	assert_int_equal(s.ret_counts[TASK_QUEUED], 1);
	assert_int_equal(finish_task(f, queued, "v", NULL), 0);
	struct group_rec after = get_group(f, busy);
	assert_int_equal(after.counts[TASK_COMPLETED], 2);
}

void old_keys_are_purged(void **state)
{
	struct fixture *f = *state;
	const struct group_rec first = { .id = new_id(f) }, second = { .id = new_id(f) };
	struct store_idempotency i = { .key = "key", .created_ms = 1000, .status = 201 };
	struct store_put_group call = { .op.kind = STORE_PUT_GROUP,
					.group = &first,
					.idempotency = &i };
	assert_int_equal(fixture_run(f, &call.op), 0);
	call.group = &second;
	assert_false(purge(f, 0, 0, 1000, 100));
	assert_int_equal(fixture_run(f, &call.op), FH_EREPLAY);
	assert_false(purge(f, 0, 0, 1001, 100));
	assert_int_equal(fixture_run(f, &call.op), 0);
}

/* Enough of them to share places in a table of 65,536. */
void many_keys_are_told_apart(void **state)
{
	struct fixture *f = *state;
	enum { KEYS = 1200, STEP = 7 };
	for (int round = 0; round < 3; round++) {
		for (int n = 0; n < KEYS; n += round ? STEP : 1) {
			char text[32];
			(void)snprintf(text, sizeof text, "key number %d", n);
			const struct group_rec group = { .id = new_id(f) };
			struct store_idempotency i = { .key = text,
						       .fingerprint = { (uint8_t)(n % 251) },
						       .created_ms = n };
			struct store_put_group call = { .op.kind = STORE_PUT_GROUP,
							.group = &group,
							.idempotency = &i };
			/* First all are new, then all are known, then the older half is gone. */
			bool known = round == 1 || (round == 2 && n >= KEYS / 2);
			assert_int_equal(fixture_run(f, &call.op), known ? FH_EREPLAY : 0);
		}
		if (round == 1)
			while (purge(f, 0, 0, KEYS / 2, 100))
				;
	}
}

void a_purge_is_bounded(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 5; i++)
		(void)add_finished(f, none, "v");
	assert_true(purge(f, 9000, 0, 0, 3));
	assert_false(purge(f, 9000, 0, 0, 3));
	assert_true(purge(f, 9000, 9000, 9000, 4));
	assert_int_equal(stats(f).ret_counts[TASK_COMPLETED], 1);
	assert_false(purge(f, 9000, 9000, 9000, 1));
	assert_int_equal(stats(f).ret_counts[TASK_COMPLETED], 0);
}

/* A task that finished at `ms` by the clock of then. */
static struct fh_id add_finished_at(struct fixture *f, int64_t ms)
{
	struct fh_id id = add_in_group(f, none);
	struct task_result result = { .state = TASK_COMPLETED, .finished_ms = ms };
	struct store_finish_item item = { .task = id, .tally.attempt = 1, .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return id;
}

static bool is_known(struct fixture *f, struct fh_id id)
{
	struct store_get_task got = get_task(f, id, 0);
	store_op_release(&got.op);
	return got.op.ret != FH_ENOTFOUND;
}

/* It is 10,000; the clock was ahead when some of them finished. */
void a_time_to_come_does_not_keep_what_is_old(void **state)
{
	struct fixture *f = *state;
	enum { AHEAD = 7 };
	struct fh_id before = add_finished_at(f, 1000), ahead[AHEAD];
	for (int i = 0; i < AHEAD; i++)
		ahead[i] = add_finished_at(f, 5000000 + i);
	assert_false(purge(f, 3000, 3000, 0, 100));
	assert_false(is_known(f, before));
	assert_true(is_known(f, ahead[0])); /* how old they are, nothing says yet */
	struct fh_id after = add_finished_at(f, 2000), last = add_finished_at(f, 6000000);
	assert_false(purge(f, 2000, 2000, 0, 100));
	assert_true(is_known(f, ahead[0])); /* at most as old as the next, which is too young */
	int steps = 1;			    /* each is bounded, looking on included */
	while (purge(f, 2001, 2001, 0, 3))
		steps++;
	assert_true(steps >= (AHEAD + 1) * 2 / 3);
	for (int i = 0; i < AHEAD; i++)
		assert_false(is_known(f, ahead[i]));
	assert_false(is_known(f, after));
	assert_true(is_known(f, last));
	fixture_restart(f);
	assert_false(purge(f, 10000, 10000, 0, 100));
	assert_true(is_known(f, last));
	(void)add_finished_at(f, 9000);
	assert_false(purge(f, 9001, 9001, 0, 100));
	assert_false(is_known(f, last));
	assert_int_equal(stats(f).ret_counts[TASK_COMPLETED], 0);
}

static int put_key(struct fixture *f, const char *key, int64_t created_ms)
{
	const struct group_rec group = { .id = new_id(f) };
	struct store_idempotency i = { .key = key, .created_ms = created_ms };
	struct store_put_group call = { .op.kind = STORE_PUT_GROUP,
					.group = &group,
					.idempotency = &i };
	int ret = fixture_run(f, &call.op);
	store_op_release(&call.op);
	return ret;
}

void keys_from_times_to_come_go_with_younger_ones(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(put_key(f, "ahead", 5000000), 0);
	assert_int_equal(put_key(f, "young", 3000), 0);
	assert_false(purge(f, 0, 0, 3000, 100));
	assert_int_equal(put_key(f, "ahead", 4000), FH_EREPLAY);
	assert_false(purge(f, 0, 0, 3001, 100));
	assert_int_equal(put_key(f, "ahead", 4000), 0);
	assert_int_equal(put_key(f, "young", 4000), 0);
}
