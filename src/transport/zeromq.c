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
	/* A connection that is half open ends, even when nothing is said on it. */
	KEEPALIVE_IDLE_S = 10,
	KEEPALIVE_EACH_S = 5,
	KEEPALIVE_COUNT = 3,
	UNACKNOWLEDGED_MS = 30000,
	BACKLOG = 1024,
	LINGER_MS = 200, /* a BYE or a refusal may leave */
	/* Of CURVE, to each frame: "\7MESSAGE", a nonce, the flags, the authenticator. */
	CURVE_OVERHEAD = 8 + 8 + 1 + 16,
};

static void set(void *socket, int option, int value)
{
	FH_ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void set_frame_max(void *socket, int64_t bytes)
{
	FH_ASSERT(zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &bytes, sizeof bytes) == 0);
}

void *zsocket_new(void *zmq, int type, bool ipv6)
{
	void *socket = zmq_socket(zmq, type);
	if (!socket)
		return NULL;
	set_frame_max(socket, WIRE_FRAME_MAX);
	set(socket, ZMQ_LINGER, LINGER_MS);
	set(socket, ZMQ_RCVHWM, RECEIVE_QUEUE);
	/* No bound in frames: the window of the link is the bound, in bytes, and what is urgent and
	 * beyond it ends with the liveness of the peer. */
	set(socket, ZMQ_SNDHWM, 0);
	set(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
	/* Not the pings of ZMTP: (1) a peer has filled its queue, so ZeroMQ does not read its
	 * connection; (2) the peer resets it; (3) a ping is due, and libzmq aborts the process
	 * (4.3.4 and 4.3.5). The session has heartbeats of its own. */
	set(socket, ZMQ_HEARTBEAT_IVL, 0);
	set(socket, ZMQ_TCP_KEEPALIVE, 1);
	set(socket, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
	set(socket, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EACH_S);
	set(socket, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
	set(socket, ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS);
	set(socket, ZMQ_IPV6, ipv6);
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

void zsocket_encrypted(void *socket)
{
	set_frame_max(socket, WIRE_FRAME_MAX + CURVE_OVERHEAD);
}

void zsocket_key(void *socket, const struct zmq_key *key)
{
	const struct {
		int option;
		const char *text;
	} keys[] = { { ZMQ_CURVE_SERVERKEY, key->server_key },
		     { ZMQ_CURVE_PUBLICKEY, key->own.public_key },
		     { ZMQ_CURVE_SECRETKEY, key->own.secret_key } };
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		FH_ASSERT(zmq_setsockopt(socket, keys[i].option, keys[i].text, CURVE_KEY_SIZE) ==
			  0);
	zsocket_encrypted(socket);
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

/* Two parts: event and value in 16 and 32 bits of this machine, then the endpoint. */
unsigned zmonitor_event(void *monitor, zmq_msg_t *part, uint32_t *ret_value)
{
	uint16_t event;
	FH_ASSERT_CMP(zmq_msg_size(part), >=, sizeof event + sizeof *ret_value);
	const char *data = zmq_msg_data(part);
	memcpy(&event, data, sizeof event);
	memcpy(ret_value, data + sizeof event, sizeof *ret_value);
	while (zmq_msg_more(part))
		if (zsocket_receive(monitor, part))
			FH_UNREACHABLE("half a message");
	return event;
}
