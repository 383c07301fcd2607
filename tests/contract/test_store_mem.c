/* The memory store's second face: commits by hand, and a crash of its process. */
#include <stdlib.h>

#include "base/mem.h"
#include "store/store_mem.h"
#include "store_fixture.h"

/* A submission that is on its way. */
struct way {
	struct store_submit call;
	struct task_rec task;
	struct store_submit_item item;
};

static void send(struct fixture *f, struct way *w)
{
	w->task = new_task(f);
	w->item = (struct store_submit_item){ .task = &w->task };
	w->call = (struct store_submit){ .op.kind = STORE_SUBMIT, .items = &w->item, .count = 1 };
	fixture_submit(f, &w->call.op);
}

static void nothing_is_committed_by_itself(void **state)
{
	struct fixture *f = *state;
	struct way ways[3];
	store_mem_set_manual(f->store);
	for (int i = 0; i < 3; i++)
		send(f, &ways[i]);
	assert_int_equal(store_poll(f->store), 0);
	assert_int_equal(f->done, 0);
	assert_int_equal(store_mem_waiting(f->store), 3);
	assert_int_equal(store_mem_commit(f->store, 2), 2);
	assert_int_equal(store_mem_waiting(f->store), 1);
	assert_int_equal(f->done, 0); /* committed, but nobody knows */
	assert_true(fixture_wait_wake(f));
	assert_int_equal(store_poll(f->store), 0);
	assert_int_equal(f->done, 2);
	assert_int_equal(store_mem_commit(f->store, 9), 1);
	assert_int_equal(store_mem_commit(f->store, 9), 0);
	assert_int_equal(store_poll(f->store), 0);
	assert_int_equal(f->done, 3);
}

static void a_crash_loses_what_is_not_committed(void **state)
{
	struct fixture *f = *state;
	struct way ways[3];
	struct store_get_task get = { .op.kind = STORE_GET_TASK };
	store_mem_set_manual(f->store);
	for (int i = 0; i < 3; i++)
		send(f, &ways[i]);
	get.task = ways[0].task.id;
	fixture_submit(f, &get.op);
	assert_int_equal(store_mem_commit(f->store, 1), 1);
	fixture_restart(f);
	assert_int_equal(f->recovery.live, 1);
	assert_int_equal(f->recovery.generation, 2);
	assert_false(f->recovery.clean);
	assert_int_equal(store_mem_waiting(f->store), 0);
	assert_int_equal(store_poll(f->store), 0);
	assert_int_equal(f->done, 0); /* not even of what was committed */
}

static void what_a_dead_process_has_read_is_released(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	add_task(f, &t);
	store_mem_set_manual(f->store);
	struct store_get_task get = { .op.kind = STORE_GET_TASK, .task = t.id };
	struct store_claim claims = {
		.op.kind = STORE_CLAIM, .class_key = "", .max_count = 9, .max_bytes = 9
	};
	fixture_submit(f, &get.op);
	fixture_submit(f, &claims.op);
	assert_int_equal(store_mem_commit(f->store, 9), 2);
	fixture_restart(f); /* the sanitizer sees a leak */
	assert_null(claims.ret_tasks);
	assert_int_equal(f->recovery.lanes[0].ready, 1);
}

static void a_start_without_memory_can_be_tried_again(void **state)
{
	struct fixture *f = *state;
	struct store_note_worker note = { .op.kind = STORE_NOTE_WORKER,
					  .instance = id_of(1),
					  .present = true };
	struct fh_err err;
	assert_int_equal(fixture_run(f, &note.op), 0);
	uint32_t generation = f->recovery.generation;
	fixture_close(f);
	fh_mem_fail_after(1);
	assert_int_equal(fixture_open(f, &err), FH_ENOMEM);
	fh_mem_fail_after(0);
	assert_int_equal(fixture_open(f, &err), 0);
	assert_int_equal(f->recovery.generation, generation + 1);
	assert_int_equal(f->recovery.worker_count, 1);
	assert_id_equal(f->recovery.workers[0], note.instance);
}

#define TEST(name)                                                                      \
	cmocka_unit_test_prestate_setup_teardown(name, fixture_setup, fixture_teardown, \
						 (void *)(uintptr_t)KIND_MEM)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_committed_by_itself),
		TEST(a_crash_loses_what_is_not_committed),
		TEST(what_a_dead_process_has_read_is_released),
		TEST(a_start_without_memory_can_be_tried_again),
	};
	return cmocka_run_group_tests_name("store_mem", tests, NULL, NULL);
}
