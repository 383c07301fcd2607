/* Tries the guard out, with the very socket that will serve: a stranger and a friend dial it, each
 * with a key made for this moment, and say their own key. The friend must be heard, with its key on
 * the frame; the stranger must hear that it is refused, and must not be heard. All of it happens at
 * an address of the abstract namespace with a random name, before anything else listens. Failure
 * modes: one of the two does not come about within TRY_MS. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "transport/zeromq_guard.h"
#include "transport/zeromq_priv.h"

enum { TRY_MS = 5000, TURN_MS = 100 };

struct visitor {
	struct curve_pair pair;
	void *socket, *monitor;
};

struct tryout {
	struct guard *g;
	void *zmq, *socket;
	char url[64];
	char server_key[CURVE_KEY_SIZE];
	struct visitor friend, stranger;
	bool friend_heard, stranger_refused, stranger_in;
};

static int64_t now_ms(void)
{
	return fh_monotonic_us() / 1000;
}

static int zmq_failed(struct fh_err *err)
{
	return fh_err_set(err, FH_EIO, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
}

static int visit(const struct tryout *t, struct visitor *v, const char *monitor, struct fh_err *err)
{
	struct zmq_key key;
	int ret = curve_pair_new(&v->pair, err);
	if (ret)
		return ret;
	memcpy(key.server_key, t->server_key, sizeof key.server_key);
	key.own = v->pair;
	v->socket = zsocket_new(t->zmq, ZMQ_DEALER, false);
	v->monitor = zmq_socket(t->zmq, ZMQ_PAIR);
	if (!v->socket || !v->monitor ||
	    zmq_socket_monitor(v->socket, monitor,
			       ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) ||
	    zmq_connect(v->monitor, monitor))
		return zmq_failed(err);
	zsocket_key(v->socket, &key);
	if (zmq_connect(v->socket, t->url))
		return zmq_failed(err);
	ret = zsocket_send(v->socket, v->pair.public_key, CURVE_KEY_LEN, 0);
	return ret == FH_EAGAIN ? 0 : ret; /* it was refused before: it will not be heard */
}

static void leave(struct visitor *v)
{
	if (v->socket)
		FH_ASSERT(zmq_socket_monitor(v->socket, NULL, 0) == 0);
	zsocket_close(v->monitor);
	zsocket_close(v->socket);
	curve_pair_wipe(&v->pair);
}

/* One message of the socket: routing id, frame. */
static bool hear(struct tryout *t)
{
	zmq_msg_t part;
	(void)zmq_msg_init(&part);
	bool got = zsocket_receive(t->socket, &part) == 0;
	while (got && zmq_msg_more(&part))
		if (zsocket_receive(t->socket, &part))
			FH_UNREACHABLE("half a message");
	const char *says = zmq_msg_data(&part), *key = zmq_msg_gets(&part, "User-Id");
	if (got && zmq_msg_size(&part) == CURVE_KEY_LEN) {
		if (memcmp(says, t->stranger.pair.public_key, CURVE_KEY_LEN) == 0)
			t->stranger_in = true;
		if (memcmp(says, t->friend.pair.public_key, CURVE_KEY_LEN) == 0)
			t->friend_heard = key && strcmp(key, t->friend.pair.public_key) == 0;
	}
	(void)zmq_msg_close(&part);
	return got;
}

/* What the stranger learns of its handshake. */
static void see_stranger(struct tryout *t)
{
	uint32_t value;
	zmq_msg_t part;
	(void)zmq_msg_init(&part);
	while (zsocket_receive(t->stranger.monitor, &part) == 0) {
		unsigned event = zmonitor_event(t->stranger.monitor, &part, &value);
		if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
			t->stranger_refused = true;
		else
			t->stranger_in = true;
	}
	(void)zmq_msg_close(&part);
}

static int turn(struct tryout *t, struct fh_err *err)
{
	zmq_pollitem_t items[] = { { .socket = t->g->zap, .events = ZMQ_POLLIN },
				   { .socket = t->socket, .events = ZMQ_POLLIN },
				   { .socket = t->stranger.monitor, .events = ZMQ_POLLIN } };
	if (zmq_poll(items, 3, TURN_MS) < 0 && zmq_errno() != EINTR)
		return zmq_failed(err);
	while (guard_answer(t->g))
		;
	while (hear(t))
		;
	see_stranger(t);
	return 0;
}

static int run(struct tryout *t, struct fh_err *err)
{
	int64_t until_ms = now_ms() + TRY_MS;
	if (zmq_bind(t->socket, t->url))
		return zmq_failed(err);
	int ret = visit(t, &t->friend, "inproc://friend", err);
	if (ret == 0)
		ret = visit(t, &t->stranger, "inproc://stranger", err);
	memcpy(t->g->test_key, t->friend.pair.public_key, CURVE_KEY_SIZE);
	while (ret == 0 && !t->stranger_in && !(t->friend_heard && t->stranger_refused) &&
	       now_ms() < until_ms)
		ret = turn(t, err);
	t->g->test_key[0] = '\0';
	if (ret)
		return ret;
	if (t->stranger_in)
		return fh_err_set(err, FH_EIO, "the guard lets in a key that is not on the list");
	if (!t->stranger_refused)
		return fh_err_set(err, FH_EIO,
				  "the guard does not refuse a key that is not on the "
				  "list");
	if (!t->friend_heard)
		return fh_err_set(err, FH_EIO, "the guard does not let in a key that is known");
	return zmq_unbind(t->socket, t->url) ? zmq_failed(err) : 0;
}

int guard_try_out(struct guard *g, void *zmq, void *socket, struct fh_err *err)
{
	struct tryout t = { .g = g, .zmq = zmq, .socket = socket };
	struct curve_pair pair;
	int ret = curve_pair_of(g->lock.secret_key, &pair);
	if (ret)
		return ret;
	memcpy(t.server_key, pair.public_key, sizeof t.server_key);
	ret = curve_pair_new(&pair, err); /* its public key is as random as a name must be */
	if (ret == 0) {
		size_t len = (size_t)snprintf(t.url, sizeof t.url, "ipc://@farhand-");
		for (unsigned i = 0; i < 16; i++, len += 2)
			(void)snprintf(t.url + len, sizeof t.url - len, "%02x",
				       (unsigned char)pair.public_key[i]);
		ret = run(&t, err);
	}
	curve_pair_wipe(&pair);
	leave(&t.friend);
	leave(&t.stranger);
	return ret;
}
