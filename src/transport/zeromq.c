/* ZeroMQ's sockets the way we want them. What can fail here is memory and descriptors, and our own
 * mistakes: a wrong option is asserted. */
#include "transport/zeromq_priv.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "wire/link.h"

enum {
	/* Frames that wait for us from one peer; then its connection is not read any more. */
	RECEIVE_QUEUE = 64,
	HANDSHAKE_MS = 5000,
	CONNECT_MS = 5000,
	/* Finds a connection that is half open even when nothing is said on it. */
	PING_MS = 1000,
	PING_TIMEOUT_MS = 5000,
	BACKLOG = 1024,
	LINGER_MS = 200, /* a BYE or a refusal may leave */
};

static void set(void *socket, int option, int value)
{
	FH_ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

void *zsocket_new(void *zmq, int type, const struct endpoint *e)
{
	void *socket = zmq_socket(zmq, type);
	if (!socket)
		return NULL;
	int64_t frame_max = WIRE_FRAME_MAX;
	FH_ASSERT(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max) == 0);
	set(socket, ZMQ_LINGER, LINGER_MS);
	set(socket, ZMQ_RCVHWM, RECEIVE_QUEUE);
	/* No bound in frames: the window of the link is the bound, in bytes, and what is urgent and
	 * beyond it ends with the liveness of the peer. */
	set(socket, ZMQ_SNDHWM, 0);
	set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
	set(socket, ZMQ_HEARTBEAT_IVL, PING_MS);
	set(socket, ZMQ_HEARTBEAT_TIMEOUT, PING_TIMEOUT_MS);
	set(socket, ZMQ_IPV6, strchr(e->numeric, '[') != NULL);
	if (type == ZMQ_ROUTER) {
		set(socket, ZMQ_ROUTER_MANDATORY, 1);
		set(socket, ZMQ_ROUTER_HANDOVER, 0);
		set(socket, ZMQ_BACKLOG, BACKLOG);
	} else {
		set(socket, ZMQ_RECONNECT_IVL, -1);
		set(socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
	}
	return socket;
}

void zsocket_close(void *socket)
{
	if (socket)
		FH_ASSERT(zmq_close(socket) == 0);
}

int zsocket_fd(void *socket)
{
	int fd = -1;
	size_t len = sizeof fd;
	FH_ASSERT(zmq_getsockopt(socket, ZMQ_FD, &fd, &len) == 0);
	return fd;
}

bool zsocket_readable(void *socket)
{
	int events = 0;
	size_t len = sizeof events;
	while (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &len))
		FH_ASSERT_CMP(zmq_errno(), ==, EINTR);
	return events & ZMQ_POLLIN;
}

int zsocket_receive(void *socket, zmq_msg_t *part)
{
	while (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) < 0) {
		if (zmq_errno() == EAGAIN)
			return FH_EAGAIN;
		FH_ASSERT_CMP(zmq_errno(), ==, EINTR);
	}
	return 0;
}

int zsocket_send(void *socket, const void *data, size_t len, int more)
{
	while (zmq_send(socket, data, len, more | ZMQ_DONTWAIT) < 0) {
		if (zmq_errno() == EHOSTUNREACH)
			return FH_ENOTFOUND;
		if (zmq_errno() == EAGAIN)
			return FH_EAGAIN;
		FH_ASSERT_CMP(zmq_errno(), ==, EINTR);
	}
	return 0;
}
