/* Functions, submissions, groups, idempotency, the order of calls. */
#include "store_tests.h"

#include <string.h>

#include "store_fixture.h"

static struct function_rec new_function(struct fixture *f, const char *name, uint8_t digest)
{
	return (struct function_rec){
		.id = new_id(f),
		.digest = { digest },
		.name = (char *)(uintptr_t)name,
		.serializer = SERIALIZER_DILL,
		.payload = f->payload,
		.defaults = TASK_OPTIONS_DEFAULT,
		.created_ms = 1234,
	};
}

static int put_function(struct fixture *f, const struct function_rec *function,
			struct store_put_function *ret_call)
{
	*ret_call =
		(struct store_put_function){ .op.kind = STORE_PUT_FUNCTION, .function = function };
	return fixture_run(f, &ret_call->op);
}

static struct store_get_function get_function(struct fixture *f, struct fh_id id, const char *name,
					      bool payload)
{
	struct store_get_function call = {
		.op.kind = STORE_GET_FUNCTION, .id = id, .name = name, .want_payload = payload
	};
	(void)fixture_run(f, &call.op);
	return call;
}

void a_function_is_known_by_its_digest(void **state)
{
	struct fixture *f = *state;
	const struct function_rec first = new_function(f, "f", 1), again = new_function(f, "f", 1);
	struct function_rec other = new_function(f, "f", 2);
	struct store_put_function call;
	assert_int_equal(put_function(f, &first, &call), 0);
	assert_true(call.ret_created);
	assert_id_equal(call.ret_id, first.id);
	assert_int_equal(put_function(f, &again, &call), 0);
	assert_false(call.ret_created);
	assert_id_equal(call.ret_id, first.id);
	other.id = first.id;
	assert_int_equal(put_function(f, &other, &call), FH_EEXISTS);
	assert_int_equal(stats(f).ret_functions, 1);
}

void a_function_is_found_by_id_and_by_name(void **state)
{
	struct fixture *f = *state;
	struct function_rec first = new_function(f, "f", 1), second = new_function(f, "f", 2);
	first.description = (char *)(uintptr_t) "what it does";
	first.defaults.retries = 3;
	first.defaults.priority = -7;
	first.defaults.expires_at_ms = 99;
	first.defaults.needs = (char *)(uintptr_t) "gpu=1";
	first.defaults.tags = (char *)(uintptr_t) "{\"a\":1}";
	struct store_put_function put;
	assert_int_equal(put_function(f, &first, &put), 0);
	assert_int_equal(put_function(f, &second, &put), 0);
	struct store_get_function call = get_function(f, first.id, NULL, true);
	assert_int_equal(call.op.ret, 0);
	assert_id_equal(call.ret_function.id, first.id);
	assert_memory_equal(call.ret_function.digest, first.digest, sizeof first.digest);
	assert_string_equal(call.ret_function.name, "f");
	assert_string_equal(call.ret_function.description, "what it does");
	assert_int_equal(call.ret_function.serializer, SERIALIZER_DILL);
	assert_int_equal(call.ret_function.created_ms, 1234);
	assert_int_equal(call.ret_function.payload_size, 7);
	assert_blob_equal(call.ret_function.payload, "payload");
	assert_same_options(&call.ret_function.defaults, &first.defaults);
	store_op_release(&call.op);
	call = get_function(f, (struct fh_id){ { 0 } }, "f", false);
	assert_id_equal(call.ret_function.id, second.id); /* the newest of that name */
	assert_null(call.ret_function.payload);
	assert_int_equal(call.ret_function.payload_size, 7);
	assert_null(call.ret_function.description);
	store_op_release(&call.op);
}

void an_unknown_function_is_not_found(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(get_function(f, id_of(9), NULL, true).op.ret, FH_ENOTFOUND);
	assert_int_equal(get_function(f, (struct fh_id){ { 0 } }, "none", true).op.ret,
			 FH_ENOTFOUND);
}

static struct store_list_functions list_functions(struct fixture *f, const char *name,
						  uint64_t after_no, uint32_t limit)
{
	struct store_list_functions call = {
		.op.kind = STORE_LIST_FUNCTIONS, .name = name, .after_no = after_no, .limit = limit
	};
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call;
}

void functions_are_listed_in_pages(void **state)
{
	enum { COUNT = 7 };
	struct fixture *f = *state;
	struct fh_id ids[COUNT];
	struct store_list_functions page = list_functions(f, NULL, 0, 3);
	assert_int_equal(page.ret_count, 0);
	assert_false(page.ret_more);
	assert_int_equal(page.ret_last_no, 0);
	store_op_release(&page.op);
	for (uint8_t i = 0; i < COUNT; i++) {
		struct store_put_function put;
		struct function_rec rec = new_function(f, i % 2 ? "odd" : "even", i);
		assert_int_equal(put_function(f, &rec, &put), 0);
		ids[i] = rec.id;
	}
	uint64_t after = 0;
	for (uint32_t seen = 0; seen < COUNT; seen += 3) {
		page = list_functions(f, NULL, after, 3);
		assert_int_equal(page.ret_count, seen + 3 < COUNT ? 3 : COUNT - seen);
		assert_int_equal(page.ret_more, seen + 3 < COUNT);
		for (uint32_t i = 0; i < page.ret_count; i++) {
			assert_id_equal(page.ret_functions[i].id, ids[seen + i]);
			assert_null(page.ret_functions[i].payload);
			assert_int_equal(page.ret_functions[i].payload_size, 7);
		}
		after = page.ret_last_no;
		store_op_release(&page.op);
	}
	page = list_functions(f, "odd", 0, 2);
	assert_int_equal(page.ret_count, 2);
	assert_true(page.ret_more);
	assert_id_equal(page.ret_functions[1].id, ids[3]);
	after = page.ret_last_no;
	store_op_release(&page.op);
	page = list_functions(f, "odd", after, 1); /* exactly what is left */
	assert_int_equal(page.ret_count, 1);
	assert_false(page.ret_more);
	assert_id_equal(page.ret_functions[0].id, ids[5]);
	store_op_release(&page.op);
	page = list_functions(f, "nobody", 0, 1000);
	assert_int_equal(page.ret_count, 0);
	store_op_release(&page.op);
	page = list_functions(f, NULL, INT64_MAX, 1000);
	assert_int_equal(page.ret_count, 0);
	assert_int_equal(page.ret_last_no, INT64_MAX);
	store_op_release(&page.op);
}

void a_task_comes_back_as_it_was_submitted(void **state)
{
	struct fixture *f = *state;
	const struct function_rec function = new_function(f, "named", 1);
	struct store_put_function put;
	assert_int_equal(put_function(f, &function, &put), 0);
	char needs[TASK_NEEDS_MAX + 1] = { 0 };
	memset(needs, 'n', TASK_NEEDS_MAX);
	struct task_rec t = new_task(f);
	t.function_id = function.id;
	t.group_id = add_group(f);
	t.account = 4000000000;
	t.options = (struct task_options){ .priority = -100,
					   .retries = UINT32_MAX,
					   .retry_on = RETRY_ON_CLASS | RETRY_ON_CRASH,
					   .retry_classes = (char *)(uintptr_t) "a.B,c.D",
					   .backoff_initial_ms = 1,
					   .backoff_max_ms = 2,
					   .backoff_factor_milli = 3,
					   .timeout_ms = 4,
					   .mem_bytes = UINT64_C(1) << 40,
					   .not_before_ms = 5000,
					   .expires_at_ms = 6000,
					   .at_most_once = true,
					   .needs = needs,
					   .tags = (char *)(uintptr_t) "{\"k\":\"v\"}" };
	assert_int_equal(submit_tasks(f, &t, 1, false), 0);
	struct store_get_task call = get_task(f, t.id, STORE_WANT_RESULT | STORE_WANT_LOGS);
	assert_int_equal(call.op.ret, 0);
	const struct task_rec *got = &call.ret_task;
	assert_id_equal(got->id, t.id);
	assert_id_equal(got->function_id, function.id);
	assert_id_equal(got->group_id, t.group_id);
	assert_string_equal(got->function_name, "named");
	assert_int_equal(got->account, 4000000000);
	assert_same_options(&got->options, &t.options);
	assert_int_equal(got->state, TASK_QUEUED);
	assert_int_equal(got->reason, REASON_NONE);
	assert_same_tally(&got->tally, &(struct task_tally){ 0 });
	assert_false(got->started_once);
	assert_int_equal(got->created_ms, 1000);
	assert_int_equal(got->not_before_ms, 5000);
	assert_int_equal(got->started_ms + got->finished_ms, 0);
	assert_int_equal(got->finish_seq, 0);
	assert_int_equal(got->payload_size, 7);
	assert_null(got->payload);
	assert_int_equal(call.ret_result.state, TASK_QUEUED); /* zeroed */
	store_op_release(&call.op);
	assert_int_equal(get_task(f, id_of(9), 0).op.ret, FH_ENOTFOUND);
}

static int submit_with(struct fixture *f, const struct group_rec *group, const struct task_rec *t,
		       struct store_idempotency *i)
{
	const struct store_submit_item item = { .task = t };
	struct store_submit call = { .op.kind = STORE_SUBMIT,
				     .new_group = group,
				     .items = &item,
				     .count = t ? 1 : 0,
				     .idempotency = i };
	return fixture_run(f, &call.op);
}

void a_submission_makes_its_group(void **state)
{
	struct fixture *f = *state;
	const struct group_rec group = { .id = new_id(f),
					 .name = (char *)(uintptr_t) "sweep",
					 .tags = (char *)(uintptr_t) "{}",
					 .account = 3,
					 .created_ms = 77 };
	struct task_rec t = new_task(f);
	t.group_id = group.id;
	assert_int_equal(submit_with(f, &group, &t, NULL), 0);
	struct group_rec got = get_group(f, group.id);
	assert_id_equal(got.id, group.id);
	assert_string_equal(got.name, "sweep");
	assert_string_equal(got.tags, "{}");
	assert_int_equal(got.account, 3);
	assert_int_equal(got.created_ms, 77);
	assert_int_equal(got.total, 1);
	assert_int_equal(got.counts[TASK_QUEUED], 1);
	assert_int_equal(got.counts[TASK_COMPLETED], 0);
	group_rec_release(&got);
	const struct group_rec empty = { .id = new_id(f) };
	assert_int_equal(submit_with(f, &empty, NULL, NULL), 0);
	got = get_group(f, empty.id);
	assert_null(got.name);
	assert_null(got.tags);
	assert_int_equal(got.total, 0);
}

void a_submission_adds_to_a_group(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f);
	for (int i = 0; i < 3; i++) {
		struct task_rec t = new_task(f);
		t.group_id = group;
		add_task(f, &t);
	}
	struct group_rec got = get_group(f, group);
	assert_int_equal(got.total, 3);
	assert_int_equal(got.counts[TASK_QUEUED], 3);
}

void a_group_that_does_not_exist_refuses_tasks(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	t.group_id = id_of(9);
	assert_int_equal(submit_tasks(f, &t, 1, false), FH_ENOTFOUND);
	assert_int_equal(get_task(f, t.id, 0).op.ret, FH_ENOTFOUND);
	assert_int_equal(stats(f).ret_counts[TASK_QUEUED], 0);
}

void a_group_that_exists_is_not_made_again(void **state)
{
	struct fixture *f = *state;
	const struct group_rec group = { .id = add_group(f) };
	struct task_rec t = new_task(f);
	t.group_id = group.id;
	assert_int_equal(submit_with(f, &group, &t, NULL), FH_EEXISTS);
	assert_int_equal(get_task(f, t.id, 0).op.ret, FH_ENOTFOUND);
	struct store_put_group call = { .op.kind = STORE_PUT_GROUP, .group = &group };
	assert_int_equal(fixture_run(f, &call.op), FH_EEXISTS);
	assert_int_equal(stats(f).ret_groups, 1);
}

void an_id_that_exists_refuses_the_whole_submission(void **state)
{
	struct fixture *f = *state;
	struct fh_id group = add_group(f);
	struct task_rec tasks[4];
	for (int i = 0; i < 4; i++) {
		tasks[i] = new_task(f);
		tasks[i].group_id = group;
	}
	assert_int_equal(submit_tasks(f, &tasks[2], 1, true), 0); /* claimed */
	assert_int_equal(submit_tasks(f, tasks, 4, true), FH_EEXISTS);
	tasks[2] = tasks[1]; /* twice in one call */
	assert_int_equal(submit_tasks(f, tasks, 3, false), FH_EEXISTS);
	for (int i = 0; i < 2; i++)
		assert_int_equal(get_task(f, tasks[i].id, 0).op.ret, FH_ENOTFOUND);
	assert_int_equal(stats(f).ret_counts[TASK_QUEUED], 1);
	assert_int_equal(get_group(f, group).total, 1);
	assert_claims(f, 10, 1000, NULL, 0); /* the first one is still claimed */
	assert_int_equal(submit_tasks(f, tasks, 2, false), 0);
	assert_claims(f, 10, 1000, (struct fh_id[]){ tasks[0].id, tasks[1].id }, 2);
}

static struct store_idempotency new_key(const char *key, uint32_t account, uint8_t fingerprint)
{
	return (struct store_idempotency){ .key = key,
					   .account = account,
					   .fingerprint = { fingerprint },
					   .created_ms = 1000,
					   .status = 201 };
}

void an_idempotency_key_replays_the_first_answer(void **state)
{
	struct fixture *f = *state;
	struct task_rec first = new_task(f), second = new_task(f);
	struct store_idempotency i = new_key("key", 0, 1);
	i.location = "/v1/tasks/1";
	i.response = f->payload;
	assert_int_equal(submit_with(f, NULL, &first, &i), 0);
	i.location = "/v1/tasks/2";
	i.response = NULL;
	i.status = 500;
	const struct store_submit_item item = { .task = &second };
	struct store_submit call = {
		.op.kind = STORE_SUBMIT, .items = &item, .count = 1, .idempotency = &i
	};
	for (int n = 0; n < 2; n++) {
		assert_int_equal(fixture_run(f, &call.op), FH_EREPLAY);
		assert_int_equal(i.ret_status, 201);
		assert_string_equal(i.ret_location, "/v1/tasks/1");
		assert_blob_equal(i.ret_response, "payload");
		store_op_release(&call.op);
		assert_null(i.ret_location);
		fixture_restart(f);
	}
	assert_int_equal(get_task(f, second.id, 0).op.ret, FH_ENOTFOUND);
	i = new_key("bare", 0, 1);
	assert_int_equal(submit_with(f, NULL, &second, &i), 0);
	assert_int_equal(submit_with(f, NULL, &second, &i), FH_EREPLAY);
	assert_null(i.ret_location);
	assert_null(i.ret_response);
}

void an_idempotency_key_can_be_looked_up(void **state)
{
	struct fixture *f = *state;
	struct task_rec task = new_task(f);
	struct store_idempotency i = new_key("key", 0, 1), other = new_key("key", 0, 2);
	struct store_submit look = { .op.kind = STORE_SUBMIT, .idempotency = &i, .only_key = true };
	for (int n = 0; n < 2; n++)
		assert_int_equal(fixture_run(f, &look.op), FH_ENOTFOUND); /* nothing is stored */
	assert_int_equal(submit_with(f, NULL, &task, &i), 0);
	assert_int_equal(fixture_run(f, &look.op), FH_EREPLAY);
	assert_int_equal(i.ret_status, 201);
	store_op_release(&look.op);
	look.idempotency = &other;
	assert_int_equal(fixture_run(f, &look.op), FH_ECONFLICT);
}

void an_idempotency_key_with_another_request_conflicts(void **state)
{
	struct fixture *f = *state;
	struct task_rec first = new_task(f), second = new_task(f);
	struct store_idempotency i = new_key("key", 0, 1), other = new_key("key", 0, 2);
	assert_int_equal(submit_with(f, NULL, &first, &i), 0);
	assert_int_equal(submit_with(f, NULL, &second, &other), FH_ECONFLICT);
	assert_int_equal(get_task(f, second.id, 0).op.ret, FH_ENOTFOUND);
}

void an_idempotency_key_belongs_to_an_account(void **state)
{
	struct fixture *f = *state;
	struct task_rec first = new_task(f), second = new_task(f);
	struct store_idempotency i = new_key("key", 1, 1), other = new_key("key", 2, 2);
	assert_int_equal(submit_with(f, NULL, &first, &i), 0);
	assert_int_equal(submit_with(f, NULL, &second, &other), 0);
}

void a_refused_call_leaves_no_idempotency_key(void **state)
{
	struct fixture *f = *state;
	struct task_rec t = new_task(f);
	struct store_idempotency i = new_key("key", 0, 1);
	t.group_id = id_of(9);
	assert_int_equal(submit_with(f, NULL, &t, &i), FH_ENOTFOUND);
	t.group_id = (struct fh_id){ { 0 } };
	assert_int_equal(submit_with(f, NULL, &t, &i), 0);
	i = new_key("other", 0, 1);
	assert_int_equal(submit_with(f, NULL, &t, &i), FH_EEXISTS);
	t.id = new_id(f);
	assert_int_equal(submit_with(f, NULL, &t, &i), 0);
}

void a_group_has_idempotency_too(void **state)
{
	struct fixture *f = *state;
	const struct group_rec first = { .id = new_id(f) }, second = { .id = new_id(f) };
	struct store_idempotency i = new_key("key", 0, 1);
	i.response = f->payload;
	struct store_put_group call = { .op.kind = STORE_PUT_GROUP,
					.group = &first,
					.idempotency = &i };
	assert_int_equal(fixture_run(f, &call.op), 0);
	call.group = &second;
	assert_int_equal(fixture_run(f, &call.op), FH_EREPLAY);
	assert_blob_equal(i.ret_response, "payload");
	store_op_release(&call.op);
	i.fingerprint[0] = 2;
	assert_int_equal(fixture_run(f, &call.op), FH_ECONFLICT);
	assert_int_equal(stats(f).ret_groups, 1);
}

struct ordered {
	struct store_get_task call;
	unsigned at;
};

static unsigned ordered_count;

static void on_ordered(struct store_op *op)
{
	struct fixture *f = op->owner;
	((struct ordered *)op)->at = ordered_count++;
	f->done++;
}

void calls_are_done_in_the_order_of_submission(void **state)
{
	struct fixture *f = *state;
	static struct ordered calls[500];
	struct task_rec t = new_task(f);
	add_task(f, &t);
	ordered_count = 0;
	unsigned count = f->done + 500;
	for (unsigned i = 0; i < 500; i++) {
		calls[i] = (struct ordered){ .call = { .op.kind = STORE_GET_TASK, .task = t.id } };
		calls[i].call.op.done = on_ordered;
		calls[i].call.op.owner = f;
		store_submit(f->store, &calls[i].call.op);
	}
	fixture_wait(f, count);
	for (unsigned i = 0; i < 500; i++) {
		assert_int_equal(calls[i].at, i);
		assert_int_equal(calls[i].call.op.ret, 0);
		store_op_release(&calls[i].call.op);
	}
}

void calls_of_one_commit_see_those_before_them(void **state)
{
	struct fixture *f = *state;
	const struct group_rec group = { .id = new_id(f) };
	struct task_rec t = new_task(f);
	t.group_id = group.id;
	const struct store_submit_item item = { .task = &t };
	const struct task_result result = { .state = TASK_FAILED, .reason = REASON_CRASH };
	struct store_finish_item end = { .task = t.id, .result = &result };
	struct store_get_task before = { .op.kind = STORE_GET_TASK, .task = t.id }, after = before;
	struct store_put_group put = { .op.kind = STORE_PUT_GROUP, .group = &group };
	struct store_submit submit = { .op.kind = STORE_SUBMIT, .items = &item, .count = 1 };
	struct store_finish finish = { .op.kind = STORE_FINISH, .items = &end, .count = 1 };
	unsigned count = f->done + 5;
	fixture_submit(f, &put.op);
	fixture_submit(f, &submit.op);
	fixture_submit(f, &before.op);
	fixture_submit(f, &finish.op);
	fixture_submit(f, &after.op);
	fixture_wait(f, count);
	assert_int_equal(before.ret_task.state, TASK_QUEUED);
	assert_int_equal(after.ret_task.state, TASK_FAILED);
	assert_int_equal(after.ret_task.reason, REASON_CRASH);
	store_op_release(&before.op);
	store_op_release(&after.op);
}
