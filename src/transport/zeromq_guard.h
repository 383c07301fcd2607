/* Who may talk to a dispatcher: ZeroMQ's questions about each handshake (ZAP, its RFC 27), and our
 * own look at each frame.
 *
 * CURVE alone lets in whoever knows the dispatcher's public key: with no one who answers ZAP's
 * questions, ZeroMQ takes any worker's key. So the answers are not all that we trust: each frame
 * must carry the key that an answer of ours has put on it, and that key must still be on the list.
 * And before a dispatcher listens, the guard is tried out. */
#ifndef FARHAND_TRANSPORT_ZEROMQ_GUARD_H
#define FARHAND_TRANSPORT_ZEROMQ_GUARD_H

#include <stdbool.h>
#include <zmq.h>

#include "base/err.h"
#include "transport/zeromq.h"

struct event;
struct event_base;

struct guard {
	bool on; /* false: there are no keys, everybody is let in */
	struct zmq_lock lock;
	void *zap; /* REP */
	struct event *asked, *tick;
	char test_key[CURVE_KEY_SIZE]; /* let in while the guard is tried out */
	/* Lines for the log: one a tick, and how many there were besides. */
	bool said;
	unsigned unsaid;
	char last[200];
	/* Set by the owner: one line for the log; the list has changed. */
	void *ctx;
	void (*trouble)(void *ctx, const char *line);
	void (*changed)(void *ctx);
};

/* Answers from now on, once guard_watch() was called; before the socket is made. FH_EIO with a
 * line. */
int guard_open(struct guard *g, void *zmq, const struct zmq_lock *lock,
	       struct fh_err *err) FH_MUST_USE;

/* Makes the socket one that asks it. FH_EINVAL: the secret key is none. */
int guard_socket(const struct guard *g, void *socket, struct fh_err *err) FH_MUST_USE;

/* Tries it out with that socket, at an address that nobody knows, for at most some seconds. FH_EIO
 * with a line: it does not keep out who must be kept out, or lets nobody in. */
int guard_try_out(struct guard *g, void *zmq, void *socket, struct fh_err *err) FH_MUST_USE;

/* Answers one question; false: there was none. */
bool guard_answer(struct guard *g);

/* From now on the loop serves it. FH_ENOMEM. */
int guard_watch(struct guard *g, struct event_base *loop) FH_MUST_USE;

/* After its socket was closed. Accepts one that was never opened. */
void guard_close(struct guard *g);

/* Whose frame this part is of: writes the key and gives the name. NULL: nobody's who is let in, and
 * `trouble` was told. Without keys all are "". */
const char *guard_name(struct guard *g, zmq_msg_t *part, char ret_key[CURVE_KEY_SIZE]);

/* Whether the key is still let in. */
bool guard_knows(const struct guard *g, const char *public_key);

#endif
