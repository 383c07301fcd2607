/* Memory that runs out: the n-th allocation of a call fails, for every n, until the call gets
 * through. Each time the answer is FH_ENOMEM and the store is as it was. */
#include "store_tests.h"

#include <string.h>

#include "base/mem.h"
#include "store_fixture.h"

/* Runs the call with less and less failing; `unchanged` looks at the store after each failure. */
static void torture(struct fixture *f, struct store_op *op, void (*unchanged)(struct fixture *f))
{
	for (unsigned n = 1;; n++) {
		fh_mem_fail_after(n);
		int ret = fixture_run(f, op);
		fh_mem_fail_after(0);
		if (ret != FH_ENOMEM)
			break;
		unchanged(f);
		assert_in_range(n, 1, 1000);
	}
}

static uint64_t queued, completed, groups, functions;

static void remember(struct fixture *f)
{
	struct store_stats s = stats(f);
	queued = s.ret_counts[TASK_QUEUED];
	completed = s.ret_counts[TASK_COMPLETED];
	groups = s.ret_groups;
	functions = s.ret_functions;
}

static void counts_are_the_same(struct fixture *f)
{
	struct store_stats s = stats(f);
	assert_int_equal(s.ret_counts[TASK_QUEUED], queued);
	assert_int_equal(s.ret_counts[TASK_COMPLETED], completed);
	assert_int_equal(s.ret_groups, groups);
	assert_int_equal(s.ret_functions, functions);
}

static char *text(const char *s)
{
	return (char *)(uintptr_t)s;
}

static void torture_submit(struct fixture *f, struct fh_id function, struct fh_id *ids)
{
	const struct group_rec group = { .id = new_id(f), .name = text("g"), .tags = text("{}") };
	struct store_idempotency key = { .key = "key", .location = "/", .response = f->payload };
	struct task_rec tasks[20];
	struct store_submit_item items[20];
	for (unsigned i = 0; i < 20; i++) {
		tasks[i] = new_task(f);
		tasks[i].function_id = function;
		tasks[i].group_id = group.id;
		tasks[i].options.tags = text("{\"t\":1}");
		tasks[i].options.retry_classes = text("a.B");
		tasks[i].options.needs = text("gpu=1");
		tasks[i].options.expires_at_ms = 9000;
		tasks[i].not_before_ms = i % 2 ? 0 : 2000;
		items[i] = (struct store_submit_item){ .task = &tasks[i],
						       .class_key = i % 2 ? "" : "other",
						       .claim = i % 4 == 0 };
		ids[i] = tasks[i].id;
	}
	struct store_submit call = { .op.kind = STORE_SUBMIT,
				     .new_group = &group,
				     .items = items,
				     .count = 20,
				     .idempotency = &key };
	remember(f);
	torture(f, &call.op, counts_are_the_same);
	assert_int_equal(call.op.ret, 0);
	remember(f);
	assert_int_equal(queued, 20);
	torture(f, &call.op, counts_are_the_same);
	assert_int_equal(call.op.ret, FH_EREPLAY);
	store_op_release(&call.op);
	struct store_list_finished list = { .op.kind = STORE_LIST_FINISHED,
					    .group = group.id,
					    .limit = 9 };
	torture(f, &list.op, counts_are_the_same);
	assert_int_equal(list.ret_group.total, 20);
	store_op_release(&list.op);
}

static void torture_function(struct fixture *f, struct function_rec *function)
{
	struct store_put_function put = { .op.kind = STORE_PUT_FUNCTION, .function = function };
	struct store_get_function get = { .op.kind = STORE_GET_FUNCTION,
					  .name = "f",
					  .want_payload = true };
	remember(f);
	torture(f, &put.op, counts_are_the_same);
	assert_int_equal(put.op.ret, 0);
	remember(f);
	torture(f, &get.op, counts_are_the_same);
	assert_int_equal(get.op.ret, 0);
	assert_string_equal(get.ret_function.description, "d");
	store_op_release(&get.op);
	struct store_list_functions list = { .op.kind = STORE_LIST_FUNCTIONS, .limit = 9 };
	torture(f, &list.op, counts_are_the_same);
	assert_int_equal(list.op.ret, 0);
	assert_int_equal(list.ret_count, 1);
	store_op_release(&list.op);
}

static void torture_finish(struct fixture *f, struct fh_id id)
{
	const struct task_result result = { .state = TASK_COMPLETED,
					    .value = f->payload,
					    .error_type = text("t"),
					    .error_message = text("m"),
					    .traceback = text("b"),
					    .out = f->payload };
	struct store_finish_item item = { .task = id, .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	remember(f);
	torture(f, &call.op, counts_are_the_same);
	assert_int_equal(item.ret, 0);
	remember(f);
	assert_int_equal(completed, 1);
	struct store_get_task get = { .op.kind = STORE_GET_TASK,
				      .task = id,
				      .want = STORE_WANT_RESULT | STORE_WANT_LOGS };
	torture(f, &get.op, counts_are_the_same);
	assert_string_equal(get.ret_result.traceback, "b");
	store_op_release(&get.op);
	struct store_get_tasks all = { .op.kind = STORE_GET_TASKS,
				       .tasks = &id,
				       .count = 1,
				       .want = STORE_WANT_RESULT,
				       .max_bytes = 1000 };
	torture(f, &all.op, counts_are_the_same);
	assert_string_equal(all.ret_views[0].result.error_type, "t");
	store_op_release(&all.op);
}

static void torture_group(struct fixture *f)
{
	const struct group_rec group = { .id = new_id(f), .name = text("n"), .tags = text("{}") };
	struct store_idempotency key = { .key = "group", .location = "/", .response = f->payload };
	struct store_put_group put = { .op.kind = STORE_PUT_GROUP,
				       .group = &group,
				       .idempotency = &key };
	remember(f);
	torture(f, &put.op, counts_are_the_same);
	assert_int_equal(put.op.ret, 0);
	remember(f);
	struct store_get_group get = { .op.kind = STORE_GET_GROUP, .group = group.id };
	torture(f, &get.op, counts_are_the_same);
	assert_string_equal(get.ret_group.name, "n");
	store_op_release(&get.op);
}

/* Those that are delayed and nobody has claimed: 2, 6, 10 ... in order, whatever was tried before.
 */
static void torture_take(struct fixture *f, const struct fh_id *ids)
{
	struct fh_id expected[5];
	struct store_take call = {
		.op.kind = STORE_TAKE, .tasks = ids, .count = 20, .now_ms = 2000
	};
	struct store_unclaim back = { .op.kind = STORE_UNCLAIM, .tasks = expected, .count = 5 };
	remember(f);
	torture(f, &call.op, counts_are_the_same);
	assert_int_equal(call.op.ret, 0);
	assert_int_equal(call.ret_count, 5);
	for (unsigned i = 0; i < 5; i++) {
		expected[i] = ids[4 * i + 2];
		assert_id_equal(call.ret_tasks[i].id, expected[i]);
		assert_string_equal(call.ret_class_keys[i], "other");
	}
	store_op_release(&call.op);
	assert_int_equal(fixture_run(f, &back.op), 0);
}

static void no_worker_is_noted(struct fixture *f)
{
	fixture_restart(f);
	assert_int_equal(f->recovery.worker_count, 0);
}

static void torture_worker(struct fixture *f)
{
	struct store_note_worker call = { .op.kind = STORE_NOTE_WORKER,
					  .instance = id_of(1),
					  .present = true };
	torture(f, &call.op, no_worker_is_noted);
	assert_int_equal(call.op.ret, 0);
}

void a_call_without_memory_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct fh_id ids[20];
	struct function_rec function = { .id = new_id(f),
					 .name = text("f"),
					 .description = text("d"),
					 .payload = f->payload,
					 .defaults = TASK_OPTIONS_DEFAULT };
	function.defaults.tags = text("{}");
	function.defaults.retry_classes = text("c.D");
	function.defaults.needs = text("gpu=1");
	torture_function(f, &function);
	torture_group(f);
	torture_worker(f);
	torture_submit(f, function.id, ids);
	/* Of lane (0, ""): 1, 3, 5 ... in order, whatever was tried before. */
	struct store_claim claims = { .op.kind = STORE_CLAIM,
				      .class_key = "",
				      .max_count = 10,
				      .max_bytes = 100,
				      .now_ms = 1000 };
	torture(f, &claims.op, counts_are_the_same);
	assert_int_equal(claims.ret_count, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_id_equal(claims.ret_tasks[i].id, ids[2 * i + 1]);
	store_op_release(&claims.op);
	torture_take(f, ids);
	torture_finish(f, ids[1]);
	struct store_expire expire = { .op.kind = STORE_EXPIRE, .now_ms = 9000, .max = 100 };
	torture(f, &expire.op, counts_are_the_same);
	assert_int_equal(expire.ret_count, 5); /* delayed, not claimed */
	store_op_release(&expire.op);
}
