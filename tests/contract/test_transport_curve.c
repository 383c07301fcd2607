/* Whom a dispatcher hears where there are keys, and whom it does not: strangers of each kind, a key
 * that is taken off the list, and a guard that hangs, is gone, or lets everybody in. */
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include <cmocka.h>

#include "transport/zeromq_dealer_priv.h"
#include "transport/zeromq_priv.h"
#include "transport/zeromq_router_priv.h"
#include "transport_fixture.h"

enum { ANNA, BERT, STRANGER };

struct rig {
	struct event_base *loop;
	struct test_keys keys;
	struct end d, w, x; /* the dispatcher, anna, and whoever the test is about */
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof *r);
	r->loop = loop_new();
	test_keys_init(&r->keys);
	zmq_bind_end(r->loop, "127.0.0.1:0", &r->keys, &r->d);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;
	if (r->w.t)
		end_free(&r->w);
	if (r->x.t)
		end_free(&r->x);
	end_free(&r->d);
	event_base_free(r->loop);
	test_free(r);
	return 0;
}

static struct guard *guard_of(const struct rig *r)
{
	return &((struct router *)r->d.t)->guard;
}

static void dial(struct rig *r, unsigned worker, struct end *w)
{
	struct zmq_key key;
	test_keys_key(&r->keys, worker, &key);
	zmq_connect_end(r->loop, transport_zmq_url(r->d.t), &key, w);
}

/* Anna is served, before and after. */
static void anna_is_served(struct rig *r)
{
	if (!r->w.t) {
		dial(r, ANNA, &r->w);
		run_until(r->loop, r->w.connected == 1);
	}
	unsigned before = r->w.got, heard = r->d.got;
	assert_int_equal(send_credit(&r->w, 0, 1), 0);
	run_until(r->loop, r->d.got > heard);
	assert_int_equal(r->d.got, heard + 1); /* and nobody else is heard */
	assert_string_equal(transport_peer_name(r->d.t, r->d.peer), "anna");
	assert_int_equal(send_credit(&r->d, r->d.peer, 1), 0);
	run_until(r->loop, r->w.got > before);
	assert_int_equal(r->w.lost, 0);
}

/* Its own key, one that is let in, goes with the wrong one of the dispatcher. */
static void a_wrong_key_of_the_dispatcher_leads_nowhere(void **state)
{
	struct rig *r = *state;
	struct zmq_key key;
	anna_is_served(r);
	test_keys_key(&r->keys, BERT, &key);
	memcpy(key.server_key, r->keys.workers[STRANGER].public_key, CURVE_KEY_SIZE);
	zmq_connect_end(r->loop, transport_zmq_url(r->d.t), &key, &r->x);
	run_until(r->loop, strstr(r->x.trouble, "is its key the one that was given here?"));
	anna_is_served(r);
	assert_int_equal(r->x.connected, 0);
}

static void a_peer_has_the_name_of_its_key(void **state)
{
	struct rig *r = *state;
	anna_is_served(r);
	uint64_t anna = r->d.peer;
	dial(r, BERT, &r->x);
	run_until(r->loop, r->x.connected == 1);
	assert_int_equal(send_credit(&r->x, 0, 1), 0);
	run_until(r->loop, r->d.peer != anna);
	assert_string_equal(transport_peer_name(r->d.t, r->d.peer), "bert");
	assert_string_equal(transport_peer_name(r->d.t, anna), "anna");
	assert_null(transport_peer_name(r->d.t, r->d.peer + 1));
	assert_null(transport_peer_name(r->w.t, 0));
	transport_close_peer(r->d.t, anna);
	assert_null(transport_peer_name(r->d.t, anna));
}

static void a_key_that_is_not_on_the_list_is_refused(void **state)
{
	struct rig *r = *state;
	anna_is_served(r);
	dial(r, STRANGER, &r->x);
	run_until(r->loop, strstr(r->x.trouble, "it does not accept this worker's key"));
	run_until(r->loop, strstr(r->d.trouble, "its key"));
	assert_non_null(strstr(r->d.trouble, "a worker at 127.0.0.1 was refused"));
	assert_non_null(strstr(r->d.trouble, r->keys.workers[STRANGER].public_key));
	anna_is_served(r);
	assert_int_equal(r->x.connected, 0);
	/* It goes on trying, and is let in once it is on the list. */
	r->keys.names[STRANGER] = "cleo";
	r->keys.changed = true;
	run_until(r->loop, r->x.connected == 1);
}

static void a_worker_without_a_key_is_told_so(void **state)
{
	struct rig *r = *state;
	anna_is_served(r);
	zmq_connect_end(r->loop, transport_zmq_url(r->d.t), NULL, &r->x);
	run_until(r->loop, strstr(r->x.trouble, "it wants a key, and this worker was given none"));
	/* Whichever of a refusal and its closed connection is noticed: each is told but once. */
	struct dealer *x = (struct dealer *)r->x.t;
	run_until(r->loop, (x->delay_ms = 1, x->attempts > 30));
	assert_in_range(r->x.troubles, 1, 2);
	assert_non_null(strstr(r->x.trouble, "it wants a key"));
	anna_is_served(r);
	assert_int_equal(r->x.connected, 0);
}

static void a_worker_with_a_key_does_not_speak_plain_text(void **state)
{
	struct rig *r = *state;
	struct zmq_key key;
	end_free(&r->d);
	r->d = (struct end){ 0 };
	zmq_bind_end(r->loop, "127.0.0.1:0", NULL, &r->d);
	test_keys_key(&r->keys, ANNA, &key);
	zmq_connect_end(r->loop, transport_zmq_url(r->d.t), &key, &r->x);
	run_until(r->loop, strstr(r->x.trouble, "it speaks plain text"));
	assert_int_equal(r->x.connected, 0);
}

/* A plain socket that does not care for answers. */
static void plain_text_is_not_heard(void **state)
{
	struct rig *r = *state;
	anna_is_served(r);
	void *zmq = zmq_ctx_new(), *raw = zmq_socket(zmq, ZMQ_DEALER);
	void *monitor = zmq_socket(zmq, ZMQ_PAIR);
	char event[64];
	assert_int_equal(zmq_socket_monitor(raw, "inproc://raw",
					    ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL),
			 0);
	assert_int_equal(zmq_connect(monitor, "inproc://raw"), 0);
	assert_int_equal(zmq_connect(raw, transport_zmq_url(r->d.t)), 0);
	assert_int_equal(zmq_send(raw, "FH", 2, 0), 2);
	run_until(r->loop, zmq_recv(monitor, event, sizeof event, ZMQ_DONTWAIT) > 0);
	anna_is_served(r);
	assert_string_equal(r->d.trouble, "");
	zsocket_close(monitor);
	int linger_ms = 0;
	assert_int_equal(zmq_setsockopt(raw, ZMQ_LINGER, &linger_ms, sizeof linger_ms), 0);
	zsocket_close(raw);
	(void)zmq_ctx_term(zmq);
}

static void revoke(struct rig *r, unsigned worker)
{
	r->keys.names[worker] = NULL;
	r->keys.changed = true;
}

static void a_revoked_key_ends_its_session(void **state)
{
	struct rig *r = *state;
	dial(r, BERT, &r->x);
	run_until(r->loop, r->x.connected == 1);
	assert_int_equal(send_credit(&r->x, 0, 1), 0);
	run_until(r->loop, r->d.got == 1);
	uint64_t bert = r->d.peer;
	anna_is_served(r);
	revoke(r, BERT);
	run_until(r->loop, r->d.lost == 1);
	assert_int_equal(r->d.peer, bert);
	assert_int_equal(send_credit(&r->d, bert, 1), FH_ENOTFOUND);
	assert_non_null(strstr(r->d.trouble, "the key is not on the list any more"));
	run_until(r->loop, r->x.lost == 1);
	run_until(r->loop, strstr(r->x.trouble, "it does not accept this worker's key"));
	assert_int_equal(r->x.connected, 1);
	anna_is_served(r);
}

/* A worker that has a connection and said nothing yet, and one that does not go when it is told. */
static void a_revoked_key_is_not_heard(void **state)
{
	struct rig *r = *state;
	struct zmq_key key;
	char answer[256];
	anna_is_served(r);
	test_keys_key(&r->keys, BERT, &key);
	void *zmq = zmq_ctx_new(), *raw = zsocket_new(zmq, ZMQ_DEALER, false);
	zsocket_key(raw, &key);
	assert_int_equal(zmq_connect(raw, transport_zmq_url(r->d.t)), 0);
	assert_int_equal(zmq_send(raw, "junk", 4, 0), 4);
	run_until(r->loop, strstr(r->d.trouble, "not a frame of Farhand"));
	run_until(r->loop, zmq_recv(raw, answer, sizeof answer, ZMQ_DONTWAIT) > 0);
	revoke(r, BERT);
	run_until(r->loop, !r->keys.changed);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(zmq_send(raw, "junk", 4, 0), 4);
	run_until(r->loop, strstr(r->d.trouble, "not on the list any more"));
	anna_is_served(r);
	zsocket_close(raw);
	(void)zmq_ctx_term(zmq);
}

/* Whom nobody answers is not let in, and is once somebody does. */
static void a_guard_that_hangs_lets_nobody_in(void **state)
{
	struct rig *r = *state;
	anna_is_served(r);
	assert_int_equal(event_del(guard_of(r)->asked), 0);
	dial(r, BERT, &r->x);
	/* ZeroMQ's patience with a handshake is over. */
	run_until(r->loop, strstr(r->x.trouble, "it closed the connection"));
	assert_int_equal(r->x.connected, 0);
	anna_is_served(r);
	assert_int_equal(event_add(guard_of(r)->asked, NULL), 0);
	event_active(guard_of(r)->asked, EV_READ, 0);
	run_until(r->loop, r->x.connected == 1);
}

static void remove_guard(struct guard *g)
{
	assert_int_equal(zmq_unbind(g->zap, "inproc://zeromq.zap.01"), 0);
	event_free(g->asked);
	g->asked = NULL;
	zsocket_close(g->zap);
	g->zap = NULL;
}

/* ZeroMQ lets in any key then. What was let in before by the guard is served on. */
static void without_its_guard_a_dispatcher_hears_no_new_worker(void **state)
{
	static const unsigned who[] = { STRANGER, BERT };
	struct rig *r = *state;
	anna_is_served(r);
	remove_guard(guard_of(r));
	for (unsigned i = 0; i < 2; i++) {
		r->d.trouble[0] = '\0';
		dial(r, who[i], &r->x);
		run_until(r->loop, r->x.connected == 1);
		assert_int_equal(send_credit(&r->x, 0, 1), 0);
		run_until(r->loop, strstr(r->d.trouble, "nobody has looked at the key"));
		anna_is_served(r);
		end_free(&r->x);
		r->x = (struct end){ 0 };
	}
}

static const char *anybody(void *ctx, const char *public_key)
{
	(void)ctx;
	(void)public_key;
	return "anybody";
}

static void who_lets_everybody_in_does_not_start(void **state)
{
	struct rig *r = *state;
	struct zmq_lock lock;
	struct transport *t = NULL;
	struct fh_err err = { "" };
	test_keys_lock(&r->keys, &lock);
	lock.name_of = anybody;
	assert_int_equal(transport_zmq_bind(r->loop, "127.0.0.1:0", &lock, &t, &err), FH_EIO);
	assert_string_equal(err.text, "the guard lets in a key that is not on the list");
	assert_null(t);
}

/* The same with a guard that nobody can ask, and with one that cannot be reached at all. */
static void who_has_no_guard_does_not_start(void **state)
{
	struct rig *r = *state;
	static const char *const lines[] = { "the guard lets in a key that is not on the list",
					     "the guard does not refuse a key that is not on the "
					     "list" };
	for (unsigned i = 0; i < 2; i++) {
		struct guard g = { 0 };
		struct zmq_lock lock;
		struct fh_err err = { "" };
		void *zmq = zmq_ctx_new(), *socket = zsocket_new(zmq, ZMQ_ROUTER, false);
		test_keys_lock(&r->keys, &lock);
		assert_int_equal(guard_open(&g, zmq, &lock, &err), 0);
		assert_int_equal(guard_socket(&g, socket, &err), 0);
		if (i == 0)
			assert_int_equal(zmq_unbind(g.zap, "inproc://zeromq.zap.01"), 0);
		else /* who dials takes another key for the dispatcher's */
			memcpy(g.lock.secret_key, r->keys.workers[ANNA].secret_key, CURVE_KEY_SIZE);
		assert_int_equal(guard_try_out(&g, zmq, socket, &err), FH_EIO);
		assert_string_equal(err.text, lines[i]);
		zsocket_close(socket);
		guard_close(&g);
		(void)zmq_ctx_term(zmq);
	}
}

/* Questions that ZeroMQ would not ask. */
static void what_is_no_question_is_not_answered_with_yes(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *parts[8];
		unsigned count;
	} asked[] = {
		{ { "" }, 1 },
		{ { "1.0", "7", "farhand", "::1", "", "CURVE" }, 6 },
		{ { "1.0", "7", "farhand", "::1", "", "CURVE", "short" }, 7 },
		{ { "1.0", "7", "farhand", "::1", "", "NULL", "" }, 7 },
		{ { "2.0", "7", "farhand", "::1", "", "CURVE", "0123456789abcdef0123456789abcdef" },
		  7 },
		{ { "1.0", "7", "farhand", "::1", "", "CURVE", "0123456789abcdef0123456789abcdef",
		    "" },
		  8 },
	};
	void *zmq = ((struct router *)r->d.t)->zmq, *req = zmq_socket(zmq, ZMQ_REQ);
	assert_int_equal(zmq_connect(req, "inproc://zeromq.zap.01"), 0);
	for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
		char part[64] = "", status[4] = "";
		int len = -1;
		for (unsigned p = 0; p < asked[i].count; p++)
			assert_int_not_equal(zmq_send(req, asked[i].parts[p],
						      strlen(asked[i].parts[p]),
						      p + 1 < asked[i].count ? ZMQ_SNDMORE : 0),
					     -1);
		run_until(r->loop, (len = zmq_recv(req, part, sizeof part, ZMQ_DONTWAIT)) >= 0);
		assert_int_equal(len, 3);
		assert_memory_equal(part, "1.0", 3);
		assert_int_not_equal(zmq_recv(req, part, sizeof part, 0), -1);
		assert_int_equal(zmq_recv(req, status, sizeof status, 0), 3);
		assert_memory_equal(status, "500", 3);
		for (unsigned p = 0; p < 3; p++)
			assert_int_not_equal(zmq_recv(req, part, sizeof part, 0), -1);
	}
	zsocket_close(req);
	anna_is_served(r);
}

static void with_keys_loopback_is_not_all_there_is(void **state)
{
	struct rig *r = *state;
	struct zmq_key key;
	struct zmq_lock lock;
	struct transport *t = NULL;
	struct fh_err err = { "" };
	const char *urls[] = { "192.0.2.1:5", transport_zmq_url(r->d.t) };
	end_free(&r->d);
	zmq_bind_end(r->loop, "0.0.0.0:0", &r->keys, &r->d);
	test_keys_key(&r->keys, ANNA, &key);
	assert_int_equal(transport_zmq_connect(r->loop, urls, 1, &key, NULL, NULL, &t, &err), 0);
	transport_free(&t);
	key.own.secret_key[0] = '\0';
	assert_int_equal(transport_zmq_connect(r->loop, urls, 1, &key, NULL, NULL, &t, &err),
			 FH_EINVAL);
	test_keys_lock(&r->keys, &lock);
	lock.secret_key[5] = '\'';
	assert_int_equal(transport_zmq_bind(r->loop, "127.0.0.1:0", &lock, &t, &err), FH_EINVAL);
	assert_string_equal(err.text, "the dispatcher's secret key is not a key");
	assert_null(t);
}

static void keys_are_forty_characters(void **state)
{
	(void)state;
	struct curve_pair a, b;
	assert_int_equal(curve_pair_new(&a, NULL), 0);
	assert_true(curve_is_key(a.public_key));
	assert_int_equal(curve_pair_of(a.secret_key, &b), 0);
	assert_memory_equal(&a, &b, sizeof a);
	assert_string_not_equal(a.public_key, a.secret_key);
	assert_int_equal(curve_pair_of("", &b), FH_EINVAL);
	a.secret_key[39] = '\0';
	assert_int_equal(curve_pair_of(a.secret_key, &b), FH_EINVAL);
	assert_false(curve_is_key("0123456789012345678901234567890123456789x"));
	assert_false(curve_is_key("012345678901234567890123456789012345678'"));
	assert_false(curve_is_key("012345678901234567890123456789012345678\x80"));
	curve_pair_wipe(&a);
	assert_string_equal(a.secret_key, "");
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(a_peer_has_the_name_of_its_key),
		with_rig(a_key_that_is_not_on_the_list_is_refused),
		with_rig(a_worker_without_a_key_is_told_so),
		with_rig(a_wrong_key_of_the_dispatcher_leads_nowhere),
		with_rig(a_worker_with_a_key_does_not_speak_plain_text),
		with_rig(plain_text_is_not_heard),
		with_rig(a_revoked_key_ends_its_session),
		with_rig(a_revoked_key_is_not_heard),
		with_rig(a_guard_that_hangs_lets_nobody_in),
		with_rig(without_its_guard_a_dispatcher_hears_no_new_worker),
		with_rig(who_lets_everybody_in_does_not_start),
		with_rig(who_has_no_guard_does_not_start),
		with_rig(what_is_no_question_is_not_answered_with_yes),
		with_rig(with_keys_loopback_is_not_all_there_is),
		cmocka_unit_test(keys_are_forty_characters),
	};
	return cmocka_run_group_tests_name("transport with keys", tests, NULL, NULL);
}
