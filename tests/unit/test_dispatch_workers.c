/* Workers at the door of a dispatcher: what comes in an order that no worker of ours keeps, or at a
 * moment at which there is no room. The messages are handed in as a transport would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dispatch/dispatch.h"
#include "store/store_mem.h"

enum { PEERS = 8, TASK = 100, STRANGER = 200 };

/* The far ends of a dispatcher's connections. */
struct wires {
	struct transport base;
	unsigned sent[PEERS][WIRE_TYPE_END];
	bool gone[PEERS], closed[PEERS];
};

struct bench {
	struct wires wires;
	struct store *store;
	struct dispatch *dispatch;
	int64_t now_us;
	bool woken;
	int ret; /* of the last call */
	char logged[512];
};

static struct fh_id id_of(uint8_t n)
{
	return (struct fh_id){ { [0] = 1, [15] = n } };
}

/* ---- the transport ---- */

static int wires_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct wires *w = (struct wires *)t;
	assert_true(peer < PEERS);
	if (w->gone[peer] || w->closed[peer])
		return FH_ENOTFOUND;
	w->sent[peer][own_msg->type]++;
	wire_msg_release(own_msg);
	return 0;
}

static bool wires_poll(struct transport *t, unsigned max)
{
	(void)t;
	(void)max;
	return false;
}

static void wires_close(struct transport *t, uint64_t peer)
{
	assert_true(peer < PEERS);
	((struct wires *)t)->closed[peer] = true;
}

static const struct transport_ops wires_ops = {
	.send = wires_send,
	.poll = wires_poll,
	.close_peer = wires_close,
};

static void says(struct bench *b, uint64_t peer, struct wire_msg m)
{
	struct transport *t = &b->wires.base;
	if (!b->wires.closed[peer])
		t->handler.message(t->handler.ctx, peer, &m);
	else
		wire_msg_release(&m);
}

static void says_hello(struct bench *b, uint64_t peer, uint8_t worker, const struct wire_ref *held)
{
	struct wire_msg m = { .type = WIRE_HELLO,
			      .hello = { .instance = id_of(worker), .slots = 1 } };
	memcpy(m.hello.runtime, "cp311", 6);
	if (held) {
		m.hello.in_flight.list = fh_calloc(1, sizeof *held);
		assert_non_null(m.hello.in_flight.list);
		m.hello.in_flight.list[0] = *held;
		m.hello.in_flight.count = 1;
	}
	says(b, peer, m);
}

static void grants(struct bench *b, uint64_t peer)
{
	says(b, peer, (struct wire_msg){ .type = WIRE_CREDIT, .credit = { 10 } });
}

static unsigned got(const struct bench *b, uint64_t peer, enum wire_type type)
{
	return b->wires.sent[peer][type];
}

/* ---- the dispatcher ---- */

static int64_t now_us(void *env)
{
	return ((struct bench *)env)->now_us;
}

static int64_t wall_ms(void *env)
{
	return ((struct bench *)env)->now_us / 1000;
}

static uint64_t random_bits(void *env)
{
	(void)env;
	return 4;
}

static void wake(void *env)
{
	((struct bench *)env)->woken = true;
}

static void keep_line(void *env, const char *line)
{
	struct bench *b = env;
	(void)snprintf(b->logged, sizeof b->logged, "%s", line);
}

static void run(struct bench *b)
{
	do {
		b->woken = false;
		assert_int_equal(dispatch_run(b->dispatch), 0);
		dispatch_check(b->dispatch);
	} while (b->woken);
}

static void pass(struct bench *b, int64_t us)
{
	b->now_us += us;
	run(b);
	run(b);
}

static void open_dispatch(struct bench *b, const struct store_recovery *recovery)
{
	struct dispatch_config config = {
		.limits = CORE_LIMITS_DEFAULT,
		.store = b->store,
		.recovery = recovery,
		.remote = &b->wires.base,
		.env = b,
		.now_us = now_us,
		.wall_ms = wall_ms,
		.random = random_bits,
		.wake = wake,
		.log = keep_line,
	};
	config.limits.sessions_max = 2;
	config.limits.window_max = 64;
	assert_int_equal(dispatch_new(&config, &b->dispatch), 0);
}

static void op_done(struct store_op *op)
{
	assert_int_equal(op->ret, 0);
	store_op_release(op);
}

static void perform(struct bench *b, struct store_op *op, enum store_op_kind kind)
{
	op->kind = kind;
	op->done = op_done;
	store_submit(b->store, op);
	assert_int_equal(store_poll(b->store), 0);
}

/* What a dispatcher has left behind: a task, and a worker that may hold it. */
static void leave_behind(struct bench *b)
{
	struct function_rec f = { .id = id_of(1), .payload = blob_copy("f", 1) };
	struct task_rec t = { .id = id_of(TASK), .function_id = f.id, .created_ms = 1 };
	t.payload = blob_copy("p", 1);
	t.payload_size = 1;
	struct store_put_function put = { .function = &f };
	struct store_submit_item item = { .task = &t };
	struct store_submit submit = { .items = &item, .count = 1 };
	struct store_note_worker note = { .instance = id_of(STRANGER), .present = true };
	perform(b, &put.op, STORE_PUT_FUNCTION);
	perform(b, &submit.op, STORE_SUBMIT);
	perform(b, &note.op, STORE_NOTE_WORKER);
	blob_free(&f.payload);
	blob_free(&t.payload);
}

static int set_up(void **state)
{
	struct bench *b = calloc(1, sizeof *b);
	struct store_config config = { .wake = wake, .ctx = b, .now_ms = 1000 };
	struct store_recovery recovery;
	b->wires.base.ops = &wires_ops;
	b->now_us = 1000000;
	assert_int_equal(store_open_mem(&config, &b->store, &recovery), 0);
	store_recovery_release(&recovery);
	leave_behind(b);
	assert_int_equal(store_mem_restart(b->store, &config, &recovery), 0);
	open_dispatch(b, &recovery);
	store_recovery_release(&recovery);
	run(b);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;
	dispatch_close(b->dispatch);
	run(b);
	store_close(&b->store);
	dispatch_free(&b->dispatch);
	free(b);
	return 0;
}

/* A token of the dispatcher before this one. */
static const struct wire_ref *old_ref(void)
{
	static struct wire_ref ref;
	ref = (struct wire_ref){ id_of(TASK), { 1, 1 } };
	return &ref;
}

/* ---- tests ---- */

static void what_a_worker_brings_is_adopted(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, old_ref());
	assert_int_equal(got(b, 1, WIRE_WELCOME), 0); /* the store is asked first */
	run(b);
	assert_int_equal(got(b, 1, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 1, WIRE_STALE), 0);
}

static void what_a_worker_brings_that_finds_no_room_goes_elsewhere(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, NULL);
	says_hello(b, 2, 20, NULL);
	says_hello(b, 3, 30, old_ref());
	run(b);
	assert_int_equal(got(b, 1, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 3, WIRE_BYE), 1);
	pass(b, 3000000);
	grants(b, 1);
	pass(b, 3500000); /* nobody else comes back */
	assert_int_equal(got(b, 1, WIRE_ASSIGN), 1);
}

static void a_second_hello_before_the_welcome_ends_the_connection(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, old_ref());
	says_hello(b, 1, 20, NULL);
	run(b);
	assert_true(b->wires.closed[1]);
	says_hello(b, 2, 30, NULL);
	pass(b, 3000000);
	grants(b, 2);
	pass(b, 3500000);
	assert_int_equal(got(b, 2, WIRE_ASSIGN), 1);
}

static void who_comes_back_is_not_taken_for_its_broken_connection(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, NULL);
	b->wires.gone[1] = true;
	says(b, 1, (struct wire_msg){ .type = WIRE_HEARTBEAT }); /* the answer finds nobody */
	says_hello(b, 2, 10, NULL);
	run(b);
	assert_int_equal(got(b, 2, WIRE_WELCOME), 1);
	assert_false(b->wires.closed[2]);
}

static void who_is_let_in_during_a_stop_is_not_sent_away_for_good(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, old_ref());
	dispatch_drain(b->dispatch);
	run(b);
	assert_int_equal(got(b, 1, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 1, WIRE_DRAIN), 0);
}

static void what_a_worker_says_is_one_line_of_the_log(void **state)
{
	struct bench *b = *state;
	says_hello(b, 1, 10, NULL);
	says(b, 1,
	     (struct wire_msg){ .type = WIRE_BYE,
				.bye = { WIRE_BYE_REFUSED, fh_strdup("a\nb\x1b[2Jc") } });
	assert_string_equal(b->logged, "worker session 0 is lost: a b [2Jc");
}

static void submitted(struct call *c)
{
	((struct bench *)c->owner)->ret = c->ret;
}

/* FH_EUNFIT, or whatever the answer is. */
static int submit(struct bench *b, uint8_t task, const char *needs)
{
	struct call_submit_item item = { .task = { .id = id_of(task), .function_id = id_of(1) } };
	struct call_submit call = { .call = { .kind = CALL_SUBMIT, .done = submitted, .owner = b },
				    .items = &item,
				    .count = 1,
				    .single = true };
	struct call_sink sink = dispatch_sink(b->dispatch);
	item.task.options = (struct task_options)TASK_OPTIONS_DEFAULT;
	item.task.options.needs = fh_strdup(needs);
	item.task.payload = blob_copy("p", 1);
	sink.submit(sink.ctx, &call.call);
	run(b);
	run(b);
	task_rec_release(&item.task);
	return b->ret;
}

static void what_nobody_can_run_takes_no_place_of_others(void **state)
{
	struct bench *b = *state;
	char needs[32];
	says_hello(b, 1, 10, NULL);
	pass(b, 3500000);
	pass(b, 3500000); /* nobody else comes back */
	says_hello(b, 2, 20, NULL);
	for (uint8_t i = 0; i < CORE_CLASSES_MAX; i++) {
		(void)snprintf(needs, sizeof needs, "label=typo=%u", i);
		assert_int_equal(submit(b, 1, needs), FH_EUNFIT);
	}
	assert_int_equal(submit(b, 1, "runtime=cp311"), 0);
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(what_a_worker_brings_is_adopted),
		bench_test(what_a_worker_brings_that_finds_no_room_goes_elsewhere),
		bench_test(a_second_hello_before_the_welcome_ends_the_connection),
		bench_test(who_comes_back_is_not_taken_for_its_broken_connection),
		bench_test(who_is_let_in_during_a_stop_is_not_sent_away_for_good),
		bench_test(what_a_worker_says_is_one_line_of_the_log),
		bench_test(what_nobody_can_run_takes_no_place_of_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
