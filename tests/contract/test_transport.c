/* What every transport promises, over each of them. */
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport_fixture.h"

static void inproc_pair(struct event_base *loop, struct end *d, struct end *w)
{
	assert_int_equal(transport_inproc_pair(1 << 16, &d->t, &w->t), 0);
	end_init(loop, d);
	end_init(loop, w);
}

static void zmq_pair(struct event_base *loop, struct end *d, struct end *w)
{
	zmq_bind_end(loop, "127.0.0.1:0", NULL, d);
	zmq_connect_end(loop, transport_zmq_url(d->t), NULL, w);
}

static void curve_pair(struct event_base *loop, struct end *d, struct end *w)
{
	static struct test_keys keys;
	struct zmq_key key;
	test_keys_init(&keys);
	test_keys_key(&keys, 0, &key);
	zmq_bind_end(loop, "127.0.0.1:0", &keys, d);
	zmq_connect_end(loop, transport_zmq_url(d->t), &key, w);
}

static const struct kind kinds[] = { { "inproc", inproc_pair },
				     { "zmq", zmq_pair },
				     { "curve", curve_pair } };

struct rig {
	const struct kind *kind;
	struct event_base *loop;
	struct end d, w;
};

/* A worker that has said something, so that the dispatcher's end knows it. */
static struct rig *met(void **state)
{
	struct rig *r = *state;
	run_until(r->loop, r->w.connected == 1);
	assert_int_equal(r->w.peer, 0);
	assert_int_equal(send_credit(&r->w, 0, 1), 0);
	run_until(r->loop, r->d.got == 1);
	return r;
}

static void a_worker_is_heard_and_answered(void **state)
{
	struct rig *r = met(state);
	assert_int_not_equal(r->d.peer, 0);
	assert_int_equal(r->d.last, 1);
	assert_int_equal(send_assign(&r->d, r->d.peer, 5), 0);
	run_until(r->loop, r->w.got == 1);
	assert_int_equal(r->w.bytes, 5);
	assert_int_equal(r->d.lost + r->w.lost, 0);
}

/* send() only queues: nobody is called back from inside it. */
static void order_is_kept_and_nobody_is_reentered(void **state)
{
	struct rig *r = met(state);
	for (uint64_t i = 2; i <= 5000; i++)
		assert_int_equal(send_credit(&r->w, 0, i), 0);
	assert_int_equal(r->d.got, 1);
	run_until(r->loop, r->d.got == 5000);
	assert_true(r->d.ordered);
	for (uint64_t i = 1; i <= 5000; i++)
		assert_int_equal(send_credit(&r->d, r->d.peer, i), 0);
	run_until(r->loop, r->w.got == 5000);
	assert_true(r->w.ordered);
}

static void large_messages_arrive_whole(void **state)
{
	struct rig *r = met(state);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(send_assign(&r->d, r->d.peer, 10 << 20), 0);
	run_until(r->loop, r->w.bytes == 40 << 20);
	assert_int_equal(send_assign(&r->w, 0, 10 << 20), 0);
	run_until(r->loop, r->d.bytes == 10 << 20);
}

static void an_unknown_peer_takes_nothing(void **state)
{
	struct rig *r = met(state);
	assert_int_equal(send_credit(&r->d, r->d.peer + 7, 1), FH_ENOTFOUND);
	assert_int_equal(send_credit(&r->w, 3, 1), FH_ENOTFOUND);
	transport_close_peer(r->d.t, r->d.peer + 7);
	assert_int_equal(send_credit(&r->d, r->d.peer, 1), 0);
	run_until(r->loop, r->w.got == 1);
}

/* What is sent before it is closed still leaves, its number means nobody from then on, and its
 * `lost` is not called. */
static void a_closed_peer_is_nobody(void **state)
{
	struct rig *r = met(state);
	uint64_t peer = r->d.peer;
	assert_int_equal(send_credit(&r->d, peer, 1), 0);
	transport_close_peer(r->d.t, peer);
	assert_int_equal(send_credit(&r->d, peer, 2), FH_ENOTFOUND);
	run_until(r->loop, r->w.got == 1);
	assert_int_equal(r->d.lost, 0);
}

static void a_peer_may_be_closed_by_what_it_says(void **state)
{
	struct rig *r = met(state);
	r->d.close_on_message = true;
	for (uint64_t i = 2; i <= 10; i++)
		assert_int_equal(send_credit(&r->w, 0, i), 0);
	run_until(r->loop, r->d.got >= 2);
	assert_int_equal(send_credit(&r->d, r->d.peer, 1), FH_ENOTFOUND);
	assert_int_equal(r->d.lost, 0);
}

static void a_dispatcher_that_goes_is_lost(void **state)
{
	struct rig *r = met(state);
	end_free(&r->d);
	run_until(r->loop, r->w.lost == 1);
	assert_int_equal(send_credit(&r->w, 0, 1), FH_ENOTFOUND);
}

/* At the latest when something is sent to it. */
static void a_worker_that_goes_is_lost(void **state)
{
	struct rig *r = met(state);
	uint64_t peer = r->d.peer;
	end_free(&r->w);
	run_until(r->loop, (send_credit(&r->d, peer, 1), r->d.lost == 1));
	assert_int_equal(r->d.peer, peer);
	assert_int_equal(send_credit(&r->d, peer, 1), FH_ENOTFOUND);
}

/* The sanitizer sees a leak. */
static void what_is_not_delivered_is_released(void **state)
{
	struct rig *r = met(state);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(send_assign(&r->d, r->d.peer, 1 << 20), 0);
		assert_int_equal(send_assign(&r->w, 0, 1 << 20), 0);
	}
}

static const struct kind *current;

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof *r);
	r->kind = current;
	r->loop = loop_new();
	r->kind->pair(r->loop, &r->d, &r->w);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	end_free(&r->w);
	end_free(&r->d);
	event_base_free(r->loop);
	test_free(r);
	return 0;
}

#define over_each(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_each(a_worker_is_heard_and_answered),
		over_each(order_is_kept_and_nobody_is_reentered),
		over_each(large_messages_arrive_whole),
		over_each(an_unknown_peer_takes_nothing),
		over_each(a_closed_peer_is_nobody),
		over_each(a_peer_may_be_closed_by_what_it_says),
		over_each(a_dispatcher_that_goes_is_lost),
		over_each(a_worker_that_goes_is_lost),
		over_each(what_is_not_delivered_is_released),
	};
	int failed = 0;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		current = &kinds[i];
		failed += cmocka_run_group_tests_name(current->name, tests, NULL, NULL);
	}
	return failed;
}
