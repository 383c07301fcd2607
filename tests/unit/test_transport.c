/* The in-process transport: order, bounds, no re-entrance, a lost end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "transport/transport.h"

struct end {
	struct transport *t;
	unsigned got, wakes, lost;
	uint64_t last;
};

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct end *e = ctx;
	(void)peer;
	e->got++;
	e->last = own_msg->credit.granted_total;
	wire_msg_release(own_msg);
}

static void on_lost(void *ctx, uint64_t peer)
{
	(void)peer;
	((struct end *)ctx)->lost++;
}

static void on_wake(void *ctx)
{
	((struct end *)ctx)->wakes++;
}

static void watch(struct end *e)
{
	e->t->handler = (struct transport_handler){
		.ctx = e, .message = on_message, .lost = on_lost, .wake = on_wake
	};
}

static void messages_arrive_in_order_and_only_by_poll(void **state)
{
	(void)state;
	struct end d = { 0 }, w = { 0 };
	assert_int_equal(transport_inproc_pair(4, &d.t, &w.t), 0);
	watch(&d);
	watch(&w);
	for (uint64_t i = 1; i <= 4; i++) {
		struct wire_msg m = { .type = WIRE_CREDIT, .credit = { i } };
		assert_int_equal(transport_send(w.t, 0, &m), 0);
	}
	struct wire_msg full = { .type = WIRE_CREDIT, .credit = { 9 } };
	assert_int_equal(transport_send(w.t, 0, &full), FH_EAGAIN);
	assert_int_equal(full.credit.granted_total, 9);
	assert_int_equal(transport_send(w.t, 5, &full), FH_ENOTFOUND);
	assert_int_equal(d.got, 0);
	assert_int_equal(d.wakes, 1);
	assert_true(transport_poll(d.t, 3));
	assert_int_equal(d.last, 3);
	assert_false(transport_poll(d.t, 100));
	assert_int_equal(d.last, 4);
	transport_free(&w.t);
	assert_false(transport_poll(d.t, 100));
	assert_int_equal(d.lost, 1);
	assert_int_equal(transport_send(d.t, 1, &full), FH_ENOTFOUND);
	transport_free(&d.t);
}

static void what_is_not_delivered_is_released(void **state)
{
	(void)state;
	struct end d = { 0 }, w = { 0 };
	assert_int_equal(transport_inproc_pair(2, &d.t, &w.t), 0);
	watch(&d);
	watch(&w);
	struct wire_msg m = { .type = WIRE_ASSIGN, .assign = { .payload = blob_copy("abc", 3) } };
	assert_int_equal(transport_send(d.t, 1, &m), 0);
	assert_int_equal(m.type, 0);
	transport_free(&d.t);
	transport_free(&w.t); /* the sanitizer sees a leak */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_arrive_in_order_and_only_by_poll),
		cmocka_unit_test(what_is_not_delivered_is_released),
	};
	return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
