/* Answers and looks; see the header for why both.
 *
 * Happy path: a handshake makes ZeroMQ ask on our REP socket, on the loop of the dispatcher; the
 * answer 200 carries the worker's key as the User-Id of all its messages. As it is one loop that
 * answers and receives, an answer that hangs cannot let anything through: then nothing is received
 * either. Failure modes: a question that is none gets a 500; a frame without a User-Id, or with a
 * key that is not on the list, is nobody's. Strangers cost at most one line of the log a second. */
#include "transport/zeromq_guard.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "transport/zeromq_priv.h"

enum {
	/* Version, request id, domain, address, routing id, mechanism, then what is shown. */
	ZAP_PARTS = 7,
	ZAP_PART_MAX = 256, /* it is ZeroMQ that asks; all but the domain are short */
	ANSWERS_MAX = 64,   /* in one turn of the loop */
	KEY_BYTES = 32,
	TICK_S = 1,
};

struct question {
	char parts[ZAP_PARTS][ZAP_PART_MAX];
	size_t lens[ZAP_PARTS];
	unsigned count;
};

/* ---- the list ---- */

static const char *name_of(const struct guard *g, const char *public_key)
{
	if (g->test_key[0] && strcmp(g->test_key, public_key) == 0)
		return "";
	return g->lock.name_of(g->lock.ctx, public_key);
}

bool guard_knows(const struct guard *g, const char *public_key)
{
	return name_of(g, public_key) != NULL;
}

static void refresh(struct guard *g)
{
	if (g->lock.refresh(g->lock.ctx) && g->changed)
		g->changed(g->ctx);
}

/* ---- lines ---- */

static void say(struct guard *g, const char *line)
{
	if (!g->trouble)
		return;
	if (g->said) {
		g->unsaid++;
		(void)snprintf(g->last, sizeof g->last, "%s", line);
		return;
	}
	g->said = true;
	g->trouble(g->ctx, line);
}

static void say_rest(struct guard *g)
{
	char line[sizeof g->last + 48];
	g->said = g->unsaid > 0;
	if (!g->said)
		return;
	if (g->unsaid == 1)
		(void)snprintf(line, sizeof line, "%s", g->last);
	else
		(void)snprintf(line, sizeof line, "%s (%u such frames or workers)", g->last,
			       g->unsaid);
	g->unsaid = 0;
	g->trouble(g->ctx, line);
}

/* ---- ZAP ---- */

/* All parts are read, the known ones kept; false: there is no question. */
static bool read_question(void *zap, struct question *q)
{
	zmq_msg_t part;
	bool more = true;
	(void)zmq_msg_init(&part);
	*q = (struct question){ .count = 0 };
	while (more) {
		if (zsocket_receive(zap, &part)) {
			FH_ASSERT_CMP(q->count, ==, 0);
			break;
		}
		size_t len = zmq_msg_size(&part);
		if (q->count < ZAP_PARTS && len <= ZAP_PART_MAX) {
			memcpy(q->parts[q->count], zmq_msg_data(&part), len);
			q->lens[q->count] = len;
		}
		q->count++;
		more = zmq_msg_more(&part);
	}
	(void)zmq_msg_close(&part);
	return q->count > 0;
}

static bool part_is(const struct question *q, unsigned i, const char *text)
{
	return q->lens[i] == strlen(text) && memcmp(q->parts[i], text, q->lens[i]) == 0;
}

static void answer(void *zap, const struct question *q, const char *status, const char *text,
		   const char *user_id)
{
	const char *parts[] = { status, text, user_id };
	int failed = zsocket_send(zap, "1.0", 3, ZMQ_SNDMORE) ||
		     zsocket_send(zap, q->parts[1], q->lens[1], ZMQ_SNDMORE);
	for (size_t i = 0; i < sizeof parts / sizeof *parts && !failed; i++)
		failed = zsocket_send(zap, parts[i], strlen(parts[i]), ZMQ_SNDMORE);
	/* To one who did not wait for it ZeroMQ drops the answer, and that is no failure. */
	if (failed || zsocket_send(zap, "", 0, 0))
		FH_UNREACHABLE("an answer that cannot be given");
}

bool guard_answer(struct guard *g)
{
	struct question q;
	char key[CURVE_KEY_SIZE], line[160];
	if (!read_question(g->zap, &q))
		return false;
	if (q.count != ZAP_PARTS || !part_is(&q, 0, "1.0") || !part_is(&q, 5, "CURVE") ||
	    q.lens[6] != KEY_BYTES) {
		answer(g->zap, &q, "500", "not a question about a key", "");
		return true;
	}
	FH_ASSERT(zmq_z85_encode(key, (const uint8_t *)q.parts[6], KEY_BYTES));
	refresh(g);
	if (guard_knows(g, key)) {
		answer(g->zap, &q, "200", "", key);
		return true;
	}
	answer(g->zap, &q, "400", "the key is not on the list", "");
	(void)snprintf(line, sizeof line,
		       "a worker at %.*s was refused: its key %s is not on the "
		       "list",
		       (int)q.lens[3], q.parts[3], key);
	say(g, line);
	return true;
}

/* ---- frames ---- */

const char *guard_name(struct guard *g, zmq_msg_t *part, char ret_key[CURVE_KEY_SIZE])
{
	ret_key[0] = '\0';
	if (!g->on)
		return "";
	const char *key = zmq_msg_gets(part, "User-Id");
	if (!key || strlen(key) != CURVE_KEY_LEN) {
		say(g, "a frame was dropped: nobody has looked at the key of who sent it");
		return NULL;
	}
	const char *name = name_of(g, key);
	if (name)
		memcpy(ret_key, key, CURVE_KEY_SIZE);
	else
		say(g, "a frame was dropped: the key of who sent it is not on the list any more");
	return name;
}

/* ---- life ---- */

static void on_asked(evutil_socket_t fd, short what, void *ctx)
{
	struct guard *g = ctx;
	(void)fd;
	(void)what;
	for (unsigned i = 0; guard_answer(g); i++)
		if (i == ANSWERS_MAX) {
			event_active(g->asked, EV_READ, 0);
			return;
		}
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct guard *g = ctx;
	(void)fd;
	(void)what;
	say_rest(g);
	refresh(g);
}

int guard_open(struct guard *g, void *zmq, const struct zmq_lock *lock, struct fh_err *err)
{
	int ret = curve_check(err), linger_ms = 0;
	if (ret)
		return ret;
	void *zap = zmq_socket(zmq, ZMQ_REP);
	if (!zap || zmq_setsockopt(zap, ZMQ_LINGER, &linger_ms, sizeof linger_ms) ||
	    zmq_bind(zap, "inproc://zeromq.zap.01")) {
		ret = fh_err_set(err, FH_EIO, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
		zsocket_close(zap);
		return ret;
	}
	g->on = true;
	g->zap = zap;
	g->lock = *lock;
	return 0;
}

int guard_socket(const struct guard *g, void *socket, struct fh_err *err)
{
	int server = 1;
	if (!curve_is_key(g->lock.secret_key))
		return fh_err_set(err, FH_EINVAL, "the dispatcher's secret key is not a key");
	FH_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &server, sizeof server) == 0);
	FH_ASSERT(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, g->lock.secret_key, CURVE_KEY_SIZE) ==
		  0);
	FH_ASSERT(zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "farhand", strlen("farhand")) == 0);
	zsocket_encrypted(socket);
	return 0;
}

int guard_watch(struct guard *g, struct event_base *loop)
{
	struct timeval each = { .tv_sec = TICK_S };
	g->asked = event_new(loop, zsocket_fd(g->zap), EV_READ | EV_PERSIST, on_asked, g);
	g->tick = event_new(loop, -1, EV_PERSIST, on_tick, g);
	if (!g->asked || !g->tick || event_add(g->asked, NULL) || event_add(g->tick, &each))
		return FH_ENOMEM;
	event_active(g->asked, EV_READ, 0); /* what came before made no edge */
	return 0;
}

void guard_close(struct guard *g)
{
	if (g->asked)
		event_free(g->asked);
	if (g->tick)
		event_free(g->tick);
	zsocket_close(g->zap);
	explicit_bzero(g->lock.secret_key, sizeof g->lock.secret_key);
	g->asked = g->tick = NULL;
	g->zap = NULL;
}
