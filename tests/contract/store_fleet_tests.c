/* What a fleet of workers asks of a store: what they still run is taken back after a restart, they
 * are remembered, and there are as many lanes as tasks have different needs. */
#include "store_tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store_fixture.h"

static struct store_take take(struct fixture *f, const struct fh_id *ids, uint32_t count,
			      int64_t now_ms)
{
	struct store_take call = {
		.op.kind = STORE_TAKE, .tasks = ids, .count = count, .now_ms = now_ms
	};
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call;
}

static void assert_taken(struct fixture *f, const struct fh_id *ids, uint32_t count, int64_t now_ms,
			 const struct fh_id *expected, uint32_t expected_count)
{
	struct store_take call = take(f, ids, count, now_ms);
	assert_int_equal(call.ret_count, expected_count);
	for (uint32_t i = 0; i < expected_count; i++)
		assert_id_equal(call.ret_tasks[i].id, expected[i]);
	store_op_release(&call.op);
}

static struct fh_id add(struct fixture *f)
{
	struct task_rec t = new_task(f);
	add_task(f, &t);
	return t.id;
}

static int submit_in(struct fixture *f, struct task_rec *t, const char *class_key)
{
	const struct store_submit_item item = { .task = t, .class_key = class_key };
	struct store_submit call = { .op.kind = STORE_SUBMIT, .items = &item, .count = 1 };
	return fixture_run(f, &call.op);
}

void named_tasks_are_taken_in_the_order_of_their_names(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[5];
	for (int i = 0; i < 5; i++)
		ids[i] = add(f);
	fixture_restart(f);
	assert_taken(f, (struct fh_id[]){ ids[3], ids[0], ids[3] }, 3, 1000,
		     (struct fh_id[]){ ids[3], ids[0] }, 2); /* named twice, taken once */
	assert_claims(f, 10, 1000, (struct fh_id[]){ ids[1], ids[2], ids[4] }, 3);
	assert_taken(f, ids, 5, 1000, NULL, 0);
	assert_taken(f, ids, 0, 1000, NULL, 0);
	struct store_unclaim back = { .op.kind = STORE_UNCLAIM, .tasks = &ids[3], .count = 1 };
	assert_int_equal(fixture_run(f, &back.op), 0);
	assert_claims(f, 10, 1000, &ids[3], 1);
	fixture_restart(f);
	assert_claims(f, 10, 1000, ids, 5);
}

void what_cannot_be_taken_is_left_out(void **state)
{
	struct fixture *f = *state;
	struct fh_id final = add(f), claimed = add(f), waiting = add(f);
	assert_int_equal(finish_task(f, final, "v", NULL), 0);
	assert_claims(f, 1, 1000, &claimed, 1);
	assert_taken(f,
		     (struct fh_id[]){ id_of(9), final, claimed, waiting, (struct fh_id){ { 0 } } },
		     5, 1000, &waiting, 1);
	struct store_cancel cancel = { .op.kind = STORE_CANCEL, .task = waiting };
	assert_int_equal(fixture_run(f, &cancel.op), FH_EBUSY); /* it is claimed */
	assert_int_equal(finish_task(f, waiting, "v", NULL), 0);
	assert_taken(f, &waiting, 1, 1000, NULL, 0);
}

void a_taken_task_comes_with_all_that_is_known_of_it(void **state)
{
	struct fixture *f = *state;
	char key[STORE_CLASS_KEY_SIZE];
	memset(key, 'k', sizeof key - 1);
	key[sizeof key - 1] = '\0';
	struct task_rec t = new_task(f), plain = new_task(f);
	t.account = 3;
	t.options.at_most_once = true;
	t.options.priority = 5;
	t.options.needs = key;
	assert_int_equal(submit_in(f, &t, key), 0);
	add_task(f, &plain);
	struct store_start start = { .op.kind = STORE_START, .task = t.id, .attempt = 1 };
	assert_int_equal(fixture_run(f, &start.op), 0);
	fixture_restart(f);
	struct store_take call = take(f, (struct fh_id[]){ plain.id, t.id }, 2, 1000);
	assert_int_equal(call.ret_count, 2);
	assert_string_equal(call.ret_class_keys[0], "");
	assert_string_equal(call.ret_class_keys[1], key);
	const struct task_rec *got = &call.ret_tasks[1];
	assert_id_equal(got->id, t.id);
	assert_int_equal(got->account, 3);
	assert_true(got->started_once);
	assert_int_equal(got->tally.attempt, 1);
	assert_same_options(&got->options, &t.options);
	assert_blob_equal(got->payload, "payload");
	assert_int_equal(got->payload_size, 7);
	store_op_release(&call.op);
}

void a_delayed_task_is_taken_once_it_is_due(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f), later = new_task(f);
	t.not_before_ms = 2000;
	later.not_before_ms = 3000;
	struct fh_id first = add(f); /* the lane's cursor moves behind both */
	struct fh_id ids[2] = { t.id, later.id };
	add_task(f, &t);
	add_task(f, &later);
	struct fh_id last = add(f);
	assert_claims(f, 10, 1000, (struct fh_id[]){ first, last }, 2);
	assert_taken(f, ids, 2, 1999, NULL, 0);
	assert_taken(f, ids, 2, 2000, ids, 1);
	struct store_claim call = claim(f, 10, 2000);
	assert_int_equal(call.ret_count, 0);
	assert_int_equal(call.ret_next_due_ms, 3000);
	store_op_release(&call.op);
	assert_claims(f, 10, 3000, &later.id, 1);
	fixture_restart(f);
	assert_int_equal(f->recovery.next_due_ms, 0);
	assert_int_equal(f->recovery.lanes[0].ready, 4);
	assert_claims(f, 10, 0, (struct fh_id[]){ t.id, later.id, first, last }, 4);
}

static int note_worker(struct fixture *f, struct fh_id instance, bool present)
{
	struct store_note_worker call = { .op.kind = STORE_NOTE_WORKER,
					  .instance = instance,
					  .present = present };
	return fixture_run(f, &call.op);
}

static void assert_workers(const struct fixture *f, const struct fh_id *ids, uint32_t count)
{
	assert_int_equal(f->recovery.worker_count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_id_equal(f->recovery.workers[i], ids[i]);
}

void workers_are_remembered_until_they_are_forgotten(void **state)
{
	struct fixture *f = *state;
	const struct fh_id a = id_of(1), b = id_of(2), c = id_of(3);
	assert_workers(f, NULL, 0);
	assert_null(f->recovery.workers);
	assert_int_equal(note_worker(f, b, true), 0);
	assert_int_equal(note_worker(f, c, true), 0);
	assert_int_equal(note_worker(f, a, true), 0);
	uint64_t commits = stats(f).ret_commits;
	assert_int_equal(note_worker(f, b, true), 0); /* again */
	assert_int_equal(note_worker(f, id_of(9), false), 0);
	assert_int_equal(stats(f).ret_commits, commits); /* nothing to write */
	for (int i = 0; i < 2; i++) {
		fixture_restart(f);
		assert_workers(f, (struct fh_id[]){ a, b, c }, 3);
	}
	assert_int_equal(note_worker(f, b, false), 0);
	assert_int_equal(note_worker(f, b, false), 0);
	fixture_restart(f);
	assert_workers(f, (struct fh_id[]){ a, c }, 2);
	assert_int_equal(note_worker(f, a, false), 0);
	assert_int_equal(note_worker(f, c, false), 0);
	fixture_restart(f);
	assert_workers(f, NULL, 0);
}

static struct fh_id worker(unsigned i)
{
	return (struct fh_id){ { 1, (uint8_t)(i >> 8), (uint8_t)i } };
}

void a_worker_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_note_worker *calls = calloc(STORE_WORKERS_MAX, sizeof *calls);
	assert_non_null(calls);
	unsigned before = f->done;
	for (unsigned i = 0; i < STORE_WORKERS_MAX; i++) {
		calls[i] = (struct store_note_worker){ .op.kind = STORE_NOTE_WORKER,
						       .instance =
							       worker(i * 7919 % STORE_WORKERS_MAX),
						       .present = true };
		fixture_submit(f, &calls[i].op);
	}
	fixture_wait(f, before + STORE_WORKERS_MAX);
	for (unsigned i = 0; i < STORE_WORKERS_MAX; i++)
		assert_int_equal(calls[i].op.ret, 0);
	free(calls);
	assert_int_equal(note_worker(f, id_of(9), true), FH_ELIMIT);
	assert_int_equal(note_worker(f, worker(5), true), 0); /* it is there */
	fixture_restart(f);
	assert_int_equal(f->recovery.worker_count, STORE_WORKERS_MAX);
	for (unsigned i = 0; i < STORE_WORKERS_MAX; i++)
		assert_id_equal(f->recovery.workers[i], worker(i));
	assert_int_equal(note_worker(f, id_of(9), true), FH_ELIMIT);
	assert_int_equal(note_worker(f, worker(5), false), 0);
	assert_int_equal(note_worker(f, id_of(9), true), 0);
}

static const char *key_of(unsigned i)
{
	static char key[16];
	(void)snprintf(key, sizeof key, "needs-%02u", i);
	return i == 0 ? "" : key;
}

/* A task in each of the lanes (i % 3, key_of(i)), from the first one on. */
static void fill_lanes(struct fixture *f, unsigned first, struct fh_id *ids)
{
	for (unsigned i = first; i < STORE_LANES_MAX; i++) {
		struct task_rec t = new_task(f);
		t.account = i % 3;
		ids[i] = t.id;
		assert_int_equal(submit_in(f, &t, key_of(i)), 0);
	}
}

static void assert_claimed_in(struct fixture *f, uint32_t account, const char *class_key,
			      struct fh_id id)
{
	struct store_claim call = { .op.kind = STORE_CLAIM,
				    .account = account,
				    .class_key = class_key,
				    .max_count = 10,
				    .max_bytes = UINT64_MAX,
				    .now_ms = 1000 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_int_equal(call.ret_count, 1);
	assert_id_equal(call.ret_tasks[0].id, id);
	assert_int_equal(call.ret_tasks[0].account, account);
	store_op_release(&call.op);
}

void a_lane_too_many_is_refused(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[STORE_LANES_MAX];
	struct task_rec known = new_task(f), unknown = new_task(f);
	fill_lanes(f, 0, ids);
	const struct store_submit_item items[] = { { .task = &known, .class_key = key_of(0) },
						   { .task = &unknown, .class_key = "one more" } };
	struct store_idempotency key = { .key = "key" };
	struct store_submit call = {
		.op.kind = STORE_SUBMIT, .items = items, .count = 2, .idempotency = &key
	};
	for (int i = 0; i < 2; i++) {
		assert_int_equal(fixture_run(f, &call.op), FH_ELIMIT); /* and no FH_EREPLAY */
		assert_int_equal(get_task(f, known.id, 0).op.ret, FH_ENOTFOUND);
		assert_int_equal(stats(f).ret_counts[TASK_QUEUED], STORE_LANES_MAX);
		fixture_restart(f);
		assert_int_equal(f->recovery.lane_count, STORE_LANES_MAX);
	}
	call.count = 1; /* a lane that is there takes more */
	assert_int_equal(fixture_run(f, &call.op), 0);
	assert_claimed_in(f, 2, key_of(5), ids[5]);
}

void a_lane_is_kept_for_tasks_that_need_nothing(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[STORE_LANES_MAX];
	struct task_rec t = new_task(f), plain = new_task(f);
	fill_lanes(f, 1, ids);
	assert_int_equal(submit_in(f, &t, "new"), FH_ELIMIT);
	assert_int_equal(submit_in(f, &plain, NULL), 0);
	assert_claimed_in(f, 0, "", plain.id);
	assert_int_equal(finish_task(f, plain.id, "v", NULL), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(submit_in(f, &t, "new"), FH_ELIMIT);
		plain.id = new_id(f);
		assert_int_equal(submit_in(f, &plain, NULL), 0);
		assert_claimed_in(f, 0, "", plain.id);
		assert_int_equal(finish_task(f, plain.id, "v", NULL), 0);
		fixture_restart(f);
		assert_int_equal(f->recovery.lane_count, STORE_LANES_MAX - 1);
	}
}

void a_lane_without_tasks_makes_room_for_another(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[STORE_LANES_MAX];
	struct task_rec t = new_task(f), next = new_task(f);
	t.account = next.account = 9;
	fill_lanes(f, 0, ids);
	assert_claimed_in(f, 2, key_of(5), ids[5]); /* a cursor that must not remain */
	assert_int_equal(submit_in(f, &t, "new"), FH_ELIMIT);
	assert_int_equal(finish_task(f, ids[5], "v", NULL), 0);
	assert_int_equal(submit_in(f, &t, "new"), 0);
	assert_int_equal(submit_in(f, &next, "newer"), FH_ELIMIT);
	for (int i = 0; i < 2; i++) {
		struct store_get_task got = get_task(f, ids[5], 0); /* whose lane is no more */
		assert_int_equal(got.ret_task.state, TASK_COMPLETED);
		assert_int_equal(got.ret_task.account, 2);
		store_op_release(&got.op);
		got = get_task(f, t.id, 0);
		assert_int_equal(got.ret_task.account, 9);
		store_op_release(&got.op);
		assert_claimed_in(f, 9, "new", t.id);
		assert_claimed_in(f, 1, key_of(4), ids[4]);
		fixture_restart(f);
		assert_int_equal(f->recovery.lane_count, STORE_LANES_MAX);
		assert_int_equal(f->recovery.lanes[STORE_LANES_MAX - 1].account, 9);
		assert_string_equal(f->recovery.lanes[STORE_LANES_MAX - 1].class_key, "new");
	}
	struct store_cancel cancel = { .op.kind = STORE_CANCEL, .task = t.id };
	assert_int_equal(fixture_run(f, &cancel.op), 0);
	assert_int_equal(cancel.ret_account, 9);
	assert_string_equal(cancel.ret_class_key, "new");
	assert_int_equal(submit_in(f, &next, "newer"), 0);
	assert_claimed_in(f, 9, "newer", next.id);
}
