/* The worker's end and its attempts at a connection. */
#ifndef FARHAND_TRANSPORT_ZEROMQ_DEALER_PRIV_H
#define FARHAND_TRANSPORT_ZEROMQ_DEALER_PRIV_H

#include <event2/util.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/endpoint.h"
#include "transport/transport.h"
#include "transport/zeromq.h"
#include "wire/link.h"

struct event;
struct event_base;

enum {
	DEALER_DELAY_MIN_MS = 100,
	DEALER_DELAY_MAX_MS = 5000,
	DEALER_URLS_MAX = 16,
	/* A frame wakes a thread of ZeroMQ at each end and then the dispatcher, which costs more
	 * than the results of a millisecond: what is said sooner after a frame shares the next one.
	 */
	DEALER_PACE_US = 1000,
};

enum dealer_state { WAITING, DIALLING, UP };

/* How much the end of an attempt tells. */
enum dealer_end {
	ENDED,	       /* what it says */
	ENDED_REFUSED, /* the same; by the handshake */
	ENDED_SOMEHOW, /* a guess: the connection ended in the midst of the handshake */
};

/* What was told of an address since a connection stood. */
struct dealer_told {
	char why[256];
	enum dealer_end end;
};

struct dealer {
	struct transport base;
	struct event_base *loop;
	void *zmq, *socket, *monitor;
	struct event *readable, *monitored, *flush, *timer;
	struct wire_link *link; /* while UP */
	enum dealer_state state;
	bool tell_connected, tell_lost;
	bool reached; /* TCP's connection stood in this attempt */
	bool awake, receiving, dropped;
	unsigned delivered; /* in this poll() */
	int64_t flushed_us; /* when the last frame left */
	uint32_t delay_ms;
	unsigned attempts;
	uint64_t (*random)(void *env);
	void *env;
	struct zmq_key key;
	bool has_key;
	struct endpoint urls[DEALER_URLS_MAX];
	size_t url_count, url;
	struct dealer_told told[DEALER_URLS_MAX]; /* of each address */
	uint8_t frame[WIRE_FRAME_MAX];
};

/* The handler has something to poll(). */
void dealer_wake(struct dealer *d);

/* There may be frames on the socket of the attempt. */
void dealer_on_readable(evutil_socket_t fd, short what, void *ctx);

/* ---- attempts ---- */

/* The first attempt begins with the next turn of the loop. FH_ENOMEM. */
int dealer_begin(struct dealer *d) FH_MUST_USE;

/* Drops the socket and all that is queued in it; the next attempt comes after a delay. `why` ends
 * the line that the handler is told, unless it is no news of this address. */
void dealer_end_attempt(struct dealer *d, const char *why);

/* Without a next attempt. */
void dealer_stop(struct dealer *d);

#endif
