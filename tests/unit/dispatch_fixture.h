/* A dispatcher on a bench: the memory store behind it, at its door workers of whom each message is
 * handed in by the test, as a transport would. It finds a task and a worker that a dispatcher
 * before it has left behind. */
#ifndef FARHAND_TESTS_DISPATCH_FIXTURE_H
#define FARHAND_TESTS_DISPATCH_FIXTURE_H

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

enum { PEERS = 8, HELD_MAX = 64, TASK = 100, STRANGER = 200 };

/* The far ends of a dispatcher's connections. */
struct wires {
	struct transport base;
	unsigned sent[PEERS][WIRE_TYPE_END];
	struct wire_ref assigned[HELD_MAX]; /* and not finished */
	unsigned held;
	bool gone[PEERS], closed[PEERS];
};

struct bench {
	struct wires wires;
	struct store *store;
	struct dispatch *dispatch;
	int64_t now_us;
	bool woken;
	int ret; /* of the last call, its words and when to try again */
	char error[256];
	uint32_t retry_after_s;
	char logged[512];
};

static inline struct fh_id id_of(uint16_t n)
{
	return (struct fh_id){ { [0] = 1, [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
}

/* ---- the transport ---- */

static inline int wires_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct wires *w = (struct wires *)t;
	assert_true(peer < PEERS);
	if (w->gone[peer] || w->closed[peer])
		return FH_ENOTFOUND;
	w->sent[peer][own_msg->type]++;
	if (own_msg->type == WIRE_ASSIGN) {
		assert_true(w->held < HELD_MAX);
		w->assigned[w->held++] =
			(struct wire_ref){ own_msg->assign.task, own_msg->assign.token };
	}
	wire_msg_release(own_msg);
	return 0;
}

static inline bool wires_poll(struct transport *t, unsigned max)
{
	(void)t;
	(void)max;
	return false;
}

static inline void wires_close(struct transport *t, uint64_t peer)
{
	assert_true(peer < PEERS);
	((struct wires *)t)->closed[peer] = true;
}

static const struct transport_ops wires_ops = {
	.send = wires_send,
	.poll = wires_poll,
	.close_peer = wires_close,
};

static inline void says(struct bench *b, uint64_t peer, struct wire_msg m)
{
	struct transport *t = &b->wires.base;
	if (!b->wires.closed[peer])
		t->handler.message(t->handler.ctx, peer, &m);
	else
		wire_msg_release(&m);
}

static inline void says_hello(struct bench *b, uint64_t peer, uint8_t worker,
			      const struct wire_ref *held)
{
	struct wire_msg m = { .type = WIRE_HELLO,
			      .hello = { .instance = id_of(worker), .slots = 1, .cores = 1024 } };
	memcpy(m.hello.runtime, "cp311", 6);
	if (held) {
		m.hello.in_flight.list = fh_calloc(1, sizeof *held);
		assert_non_null(m.hello.in_flight.list);
		m.hello.in_flight.list[0] = *held;
		m.hello.in_flight.count = 1;
	}
	says(b, peer, m);
}

static inline void grants(struct bench *b, uint64_t peer, uint64_t total)
{
	says(b, peer, (struct wire_msg){ .type = WIRE_CREDIT, .credit = { total } });
}

static inline unsigned got(const struct bench *b, uint64_t peer, enum wire_type type)
{
	return b->wires.sent[peer][type];
}

/* ---- the dispatcher ---- */

static inline int64_t now_us(void *env)
{
	return ((struct bench *)env)->now_us;
}

static inline int64_t wall_ms(void *env)
{
	return ((struct bench *)env)->now_us / 1000;
}

static inline uint64_t random_bits(void *env)
{
	(void)env;
	return 4;
}

static inline void wake(void *env)
{
	((struct bench *)env)->woken = true;
}

static inline void keep_line(void *env, const char *line)
{
	struct bench *b = env;
	(void)snprintf(b->logged, sizeof b->logged, "%s", line);
}

static inline void run(struct bench *b)
{
	do {
		b->woken = false;
		assert_int_equal(dispatch_run(b->dispatch), 0);
		dispatch_check(b->dispatch);
	} while (b->woken);
}

static inline void pass(struct bench *b, int64_t us)
{
	b->now_us += us;
	run(b);
	run(b);
}

static inline void open_dispatch(struct bench *b, const struct store_recovery *recovery)
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

static inline void op_done(struct store_op *op)
{
	assert_int_equal(op->ret, 0);
	store_op_release(op);
}

static inline void perform(struct bench *b, struct store_op *op, enum store_op_kind kind)
{
	op->kind = kind;
	op->done = op_done;
	store_submit(b->store, op);
	assert_int_equal(store_poll(b->store), 0);
}

/* What a dispatcher has left behind: a task, and a worker that may hold it. */
static inline void leave_behind(struct bench *b)
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

static inline int set_up(void **state)
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

/* Stops in order, and starts again. */
static inline void restart(struct bench *b)
{
	struct store_config config = { .wake = wake, .ctx = b, .now_ms = wall_ms(b) };
	struct store_recovery recovery;
	dispatch_close(b->dispatch);
	run(b);
	dispatch_free(&b->dispatch);
	assert_int_equal(store_mem_restart(b->store, &config, &recovery), 0);
	open_dispatch(b, &recovery);
	store_recovery_release(&recovery);
	run(b);
}

static inline int tear_down(void **state)
{
	struct bench *b = *state;
	dispatch_close(b->dispatch);
	run(b);
	store_close(&b->store);
	dispatch_free(&b->dispatch);
	free(b);
	return 0;
}

/* ---- calls ---- */

static inline void answered(struct call *c)
{
	struct bench *b = c->owner;
	b->ret = c->ret;
	b->retry_after_s = c->retry_after_s;
	(void)snprintf(b->error, sizeof b->error, "%s", c->err.text);
}

/* Runs a call to its end; returns what the answer is. */
static inline int call(struct bench *b, struct call *c, enum call_kind kind)
{
	struct call_sink sink = dispatch_sink(b->dispatch);
	c->kind = kind;
	c->done = answered;
	c->owner = b;
	sink.submit(sink.ctx, c);
	run(b);
	run(b);
	return b->ret;
}

/* The task that a client makes of these options; releases nothing of them. */
static inline struct call_submit_item item_of(uint16_t task, struct task_options options,
					      const char *needs)
{
	struct call_submit_item item = { .task = { .id = id_of(task), .function_id = id_of(1) } };
	item.task.options = options;
	item.task.options.needs = fh_strdup(needs);
	item.task.not_before_ms = options.not_before_ms;
	item.task.payload = blob_copy("p", 1);
	return item;
}

static inline int submit(struct bench *b, uint16_t task, const char *needs)
{
	struct call_submit_item item =
		item_of(task, (struct task_options)TASK_OPTIONS_DEFAULT, needs);
	struct call_submit c = { .items = &item, .count = 1, .single = true };
	(void)call(b, &c.call, CALL_SUBMIT);
	task_rec_release(&item.task);
	return b->ret;
}

#define bench_test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
