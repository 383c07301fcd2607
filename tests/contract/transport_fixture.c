#include "transport_fixture.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, POLL_MAX = 64 };

static int64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

int64_t loop_deadline_ms(void)
{
	return now_ms() + PATIENCE_MS;
}

static void on_time(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
}

void loop_turn(struct event_base *loop, int64_t until_ms, const char *what)
{
	struct timeval tv = { .tv_usec = 100000 };
	if (now_ms() > until_ms)
		fail_msg("this did not come about: %s", what);
	assert_int_equal(event_base_once(loop, -1, EV_TIMEOUT, on_time, NULL, &tv), 0);
	assert_int_not_equal(event_base_loop(loop, EVLOOP_ONCE), -1);
}

struct event_base *loop_new(void)
{
	struct event_base *loop = event_base_new();
	assert_non_null(loop);
	return loop;
}

/* ---- the handler of an end ---- */

static void on_connected(void *ctx, uint64_t peer)
{
	struct end *e = ctx;
	e->peer = peer;
	e->connected++;
}

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct end *e = ctx;
	e->peer = peer;
	e->got++;
	if (own_msg->type == WIRE_CREDIT) {
		e->ordered = e->ordered && own_msg->credit.granted_total == e->last + 1;
		e->last = own_msg->credit.granted_total;
	}
	if (own_msg->type == WIRE_ASSIGN)
		e->bytes += own_msg->assign.payload->len;
	wire_msg_release(own_msg);
	if (e->close_on_message)
		transport_close_peer(e->t, peer);
}

static void on_heard(void *ctx, uint64_t peer)
{
	struct end *e = ctx;
	(void)peer;
	e->heard++;
}

static void on_lost(void *ctx, uint64_t peer)
{
	struct end *e = ctx;
	e->peer = peer;
	e->lost++;
}

static void on_wake(void *ctx)
{
	event_active(((struct end *)ctx)->work, EV_TIMEOUT, 0);
}

static void on_trouble(void *ctx, const char *line)
{
	struct end *e = ctx;
	e->troubles++;
	(void)snprintf(e->trouble, sizeof e->trouble, "%s", line);
}

static void on_work(evutil_socket_t fd, short what, void *ctx)
{
	struct end *e = ctx;
	(void)fd;
	(void)what;
	if (transport_poll(e->t, POLL_MAX))
		event_active(e->work, EV_TIMEOUT, 0);
}

void end_init(struct event_base *loop, struct end *e)
{
	e->ordered = true;
	e->work = event_new(loop, -1, 0, on_work, e);
	assert_non_null(e->work);
	e->t->handler = (struct transport_handler){
		.ctx = e,
		.connected = on_connected,
		.message = on_message,
		.heard = on_heard,
		.lost = on_lost,
		.wake = on_wake,
		.trouble = on_trouble,
	};
	event_active(e->work, EV_TIMEOUT, 0);
}

void end_free(struct end *e)
{
	transport_free(&e->t);
	if (e->work)
		event_free(e->work);
	e->work = NULL;
}

/* ---- messages ---- */

static int send_msg(struct end *e, uint64_t peer, struct wire_msg *m)
{
	int ret = transport_send(e->t, peer, m);
	/* What was not taken is untouched. */
	assert_true(ret ? m->type != 0 : m->type == 0);
	wire_msg_release(m);
	return ret;
}

int send_credit(struct end *e, uint64_t peer, uint64_t total)
{
	struct wire_msg m = { .type = WIRE_CREDIT, .credit = { total } };
	return send_msg(e, peer, &m);
}

int send_assign(struct end *e, uint64_t peer, size_t len)
{
	struct wire_msg m = { .type = WIRE_ASSIGN, .assign.payload = blob_new(len) };
	assert_non_null(m.assign.payload);
	memset(m.assign.payload->data, 'x', len);
	return send_msg(e, peer, &m);
}

/* ---- ZeroMQ ---- */

static uint64_t no_random(void *env)
{
	(void)env;
	return 0;
}

static const char *name_of(void *ctx, const char *public_key)
{
	const struct test_keys *keys = ctx;
	for (unsigned i = 0; i < TEST_WORKERS; i++)
		if (strcmp(keys->workers[i].public_key, public_key) == 0)
			return keys->names[i];
	return NULL;
}

static bool refresh(void *ctx)
{
	struct test_keys *keys = ctx;
	bool changed = keys->changed;
	keys->changed = false;
	return changed;
}

void test_keys_init(struct test_keys *keys)
{
	*keys = (struct test_keys){ .names = { "anna", "bert" } };
	assert_int_equal(curve_pair_new(&keys->server, NULL), 0);
	for (unsigned i = 0; i < TEST_WORKERS; i++)
		assert_int_equal(curve_pair_new(&keys->workers[i], NULL), 0);
}

void test_keys_lock(struct test_keys *keys, struct zmq_lock *ret_lock)
{
	*ret_lock = (struct zmq_lock){ .ctx = keys, .name_of = name_of, .refresh = refresh };
	memcpy(ret_lock->secret_key, keys->server.secret_key, CURVE_KEY_SIZE);
}

void test_keys_key(const struct test_keys *keys, unsigned worker, struct zmq_key *ret_key)
{
	memcpy(ret_key->server_key, keys->server.public_key, CURVE_KEY_SIZE);
	ret_key->own = keys->workers[worker];
}

void zmq_bind_end(struct event_base *loop, const char *url, struct test_keys *keys, struct end *d)
{
	struct fh_err err = { "" };
	struct zmq_lock lock;
	if (keys)
		test_keys_lock(keys, &lock);
	if (transport_zmq_bind(loop, url, keys ? &lock : NULL, &d->t, &err))
		fail_msg("%s", err.text);
	end_init(loop, d);
}

void zmq_connect_end(struct event_base *loop, const char *url, const struct zmq_key *key,
		     struct end *w)
{
	struct fh_err err = { "" };
	if (transport_zmq_connect(loop, &url, 1, key, no_random, NULL, &w->t, &err))
		fail_msg("%s", err.text);
	end_init(loop, w);
}
