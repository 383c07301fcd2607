/* How many different needs there may be, and that it is a limit of those in use at one time. Needs
 * number i are i + 2 cores; the worker has more than any of them asks for. */
#include "dispatch_fixture.h"

enum {
	MOST = CORE_CLASSES_MAX - 1, /* different needs at a time */
	FIRST = 1000,		     /* tasks get the numbers from here on */
	PEER = 1,
};

static const char *needs_of(uint32_t i)
{
	static char needs[32];
	(void)snprintf(needs, sizeof needs, "cores=%u", i + 2);
	return needs;
}

/* Tasks with needs from..from+count-1, in one request. */
static int submit_many(struct bench *b, uint32_t from, uint32_t count, struct task_options options)
{
	struct call_submit_item items[MOST + 1];
	struct call_submit c = { .items = items, .count = count };
	assert_true(count <= MOST + 1);
	for (uint32_t i = 0; i < count; i++) {
		items[i] = item_of((uint16_t)(FIRST + from + i), options, needs_of(from + i));
		items[i].wait_for_worker = true;
	}
	(void)call(b, &c.call, CALL_SUBMIT);
	for (uint32_t i = 0; i < count; i++)
		task_rec_release(&items[i].task);
	return b->ret;
}

static int submit_one(struct bench *b, uint32_t i)
{
	return submit_many(b, i, 1, (struct task_options)TASK_OPTIONS_DEFAULT);
}

static int cancel(struct bench *b, uint32_t i)
{
	struct call_cancel c = { .task = id_of((uint16_t)(FIRST + i)) };
	return call(b, &c.call, CALL_CANCEL);
}

/* The worker ends all that it has. */
static void finishes(struct bench *b)
{
	while (b->wires.held > 0) {
		const struct wire_ref ref = b->wires.assigned[--b->wires.held];
		says(b, PEER,
		     (struct wire_msg){ .type = WIRE_RESULT,
					.result = { .task = ref.task,
						    .token = ref.token,
						    .result = { .state = TASK_COMPLETED } } });
		run(b);
		run(b);
	}
}

/* A worker that has done what was left behind and asks for more. */
static void employ(struct bench *b)
{
	says_hello(b, PEER, 10, NULL);
	pass(b, 3500000);
	says(b, PEER, (struct wire_msg){ .type = WIRE_HEARTBEAT });
	pass(b, 3500000); /* nobody else comes back */
	grants(b, PEER, 1000);
	run(b);
	assert_int_equal(got(b, PEER, WIRE_ASSIGN), 1);
	finishes(b);
}

static void run_one(struct bench *b, uint32_t i)
{
	unsigned before = got(b, PEER, WIRE_ASSIGN);
	assert_int_equal(submit_one(b, i), 0);
	assert_int_equal(got(b, PEER, WIRE_ASSIGN), before + 1);
	assert_true(fh_id_equal(b->wires.assigned[0].task, id_of((uint16_t)(FIRST + i))));
	finishes(b);
}

static void assert_refused(struct bench *b, int ret)
{
	assert_int_equal(ret, FH_ELIMIT);
	assert_true(b->retry_after_s > 0);
	assert_string_equal(b->error,
			    "tasks with 63 different needs are waiting or running, which is as "
			    "many as may be at a time; try again when those with one of these "
			    "needs are over");
}

static void any_number_one_after_the_other(void **state)
{
	struct bench *b = *state;
	employ(b);
	for (uint32_t i = 0; i < 200; i++)
		run_one(b, i);
}

static void a_request_does_not_take_its_own_places(void **state)
{
	struct bench *b = *state;
	employ(b);
	for (uint32_t i = 0; i < MOST; i++)
		run_one(b, i);
	struct task_options options = TASK_OPTIONS_DEFAULT;
	assert_refused(b, submit_many(b, 100, MOST + 1, options));
	unsigned before = got(b, PEER, WIRE_ASSIGN);
	assert_int_equal(submit_many(b, 200, MOST, options), 0);
	finishes(b);
	assert_int_equal(got(b, PEER, WIRE_ASSIGN), before + MOST);
	assert_int_equal(submit_many(b, 300, MOST, options), 0);
}

static void so_many_at_a_time(void **state)
{
	struct bench *b = *state;
	for (uint32_t i = 0; i < MOST; i++)
		assert_int_equal(submit_one(b, i), 0);
	assert_refused(b, submit_one(b, 100));
	assert_int_equal(submit(b, 1, ""), 0); /* needs nothing */
	assert_int_equal(submit_many(b, 5, 1, (struct task_options)TASK_OPTIONS_DEFAULT),
			 FH_EEXISTS);
	assert_int_equal(cancel(b, 5), 0);
	assert_int_equal(submit_one(b, 100), 0);
	assert_refused(b, submit_one(b, 101));
	for (uint32_t i = 6; i < MOST; i++)
		assert_int_equal(cancel(b, i), 0);
	assert_int_equal(submit_many(b, 200, MOST - 6, (struct task_options)TASK_OPTIONS_DEFAULT),
			 0);
	assert_refused(b, submit_one(b, 300));
}

/* In the store only: one that is delayed can be cancelled there, and expires there. */
static void what_is_delayed_is_in_use(void **state)
{
	struct bench *b = *state;
	struct task_options options = TASK_OPTIONS_DEFAULT;
	options.not_before_ms = wall_ms(b) + 3600000;
	options.expires_at_ms = wall_ms(b) + 60000;
	assert_int_equal(submit_many(b, 0, MOST, options), 0);
	assert_refused(b, submit_one(b, 100));
	assert_int_equal(cancel(b, 9), 0);
	assert_int_equal(submit_one(b, 100), 0);
	assert_refused(b, submit_one(b, 101));
	pass(b, 8000000);
	pass(b, 60000000); /* all of them expire, but the one that may wait */
	options.not_before_ms = wall_ms(b) + 3600000;
	options.expires_at_ms = 0;
	assert_int_equal(submit_many(b, 200, MOST - 1, options), 0);
	assert_refused(b, submit_one(b, 300));
}

static void what_the_store_refuses_is_not_in_use(void **state)
{
	struct bench *b = *state;
	struct task_options options = TASK_OPTIONS_DEFAULT;
	assert_int_equal(submit_many(b, 0, MOST - 1, options), 0);
	for (uint32_t i = 0; i < 3; i++) {
		struct call_submit_item item =
			item_of((uint16_t)(FIRST + 500 + i), options, needs_of(500 + i));
		struct call_submit c = { .items = &item, .count = 1, .single = true };
		item.task.group_id = id_of(77); /* there is no such group */
		item.wait_for_worker = true;
		assert_int_equal(call(b, &c.call, CALL_SUBMIT), FH_ENOTFOUND);
		task_rec_release(&item.task);
	}
	assert_int_equal(submit_one(b, 100), 0);
	assert_refused(b, submit_one(b, 101));
}

static void a_restart_knows_what_is_in_use(void **state)
{
	struct bench *b = *state;
	struct task_options options = TASK_OPTIONS_DEFAULT;
	assert_int_equal(submit_many(b, 0, 30, options), 0);
	options.not_before_ms = wall_ms(b) + 3600000;
	assert_int_equal(submit_many(b, 30, MOST - 30, options), 0);
	restart(b);
	assert_refused(b, submit_one(b, 100));
	assert_int_equal(cancel(b, 3), 0);
	assert_int_equal(cancel(b, 40), 0);
	assert_int_equal(submit_one(b, 100), 0);
	assert_int_equal(submit_one(b, 101), 0);
	assert_refused(b, submit_one(b, 102));
	for (uint32_t i = 0; i < MOST; i++)
		if (i != 3 && i != 40)
			assert_int_equal(cancel(b, i), 0);
	restart(b); /* of what is over, it knows nothing */
	assert_int_equal(submit_many(b, 200, MOST - 2, (struct task_options)TASK_OPTIONS_DEFAULT),
			 0);
	assert_refused(b, submit_one(b, 300));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(any_number_one_after_the_other),
		bench_test(a_request_does_not_take_its_own_places),
		bench_test(so_many_at_a_time),
		bench_test(what_is_delayed_is_in_use),
		bench_test(what_the_store_refuses_is_not_in_use),
		bench_test(a_restart_knows_what_is_in_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
