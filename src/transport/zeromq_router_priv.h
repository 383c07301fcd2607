/* The dispatcher's end and its peers. */
#ifndef FARHAND_TRANSPORT_ZEROMQ_ROUTER_PRIV_H
#define FARHAND_TRANSPORT_ZEROMQ_ROUTER_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"
#include "transport/transport.h"
#include "transport/zeromq_guard.h"
#include "wire/link.h"

enum { RID_LEN = 5 }; /* a zero byte, which no peer may choose, and a number */

struct peer {
	uint64_t number;
	uint8_t rid[RID_LEN];
	char key[CURVE_KEY_SIZE]; /* "": there are none */
	char name[TRANSPORT_NAME_MAX + 1];
	struct wire_link *link;
	struct list dirty; /* in router.dirty while it may have frames to send */
	struct list place; /* in router.strangers, router.lost, or in none */
	bool known;	   /* a message was delivered */
	bool receiving, closed;
};

struct router {
	struct transport base;
	void *zmq, *socket;
	struct guard guard;
	struct event *readable, *flush;
	struct map by_rid, by_number;
	struct list dirty, strangers, lost;
	unsigned stranger_count;
	uint64_t last_number;
	unsigned delivered;  /* in this poll() */
	struct peer *source; /* of the frame that is being received */
	bool awake;
	char url[80];
	uint8_t frame[WIRE_FRAME_MAX];
};

/* The handler has something to poll(). */
void router_wake(struct router *r);

/* ---- peers ---- */

/* NULL: nobody (any more). */
struct peer *peer_by_rid(const struct router *r, const uint8_t rid[RID_LEN]);
struct peer *peer_by_number(const struct router *r, uint64_t number);

/* A stranger; NULL: no memory. When there are many of them, the oldest one is forgotten. */
struct peer *peer_new(struct router *r, const uint8_t rid[RID_LEN], const char *key,
		      const char *name);

/* It has got a message across. */
void peer_is_known(struct router *r, struct peer *p);

/* Moves it, for as long as it is neither lost nor forgotten, to a list of the caller's. */
void peer_place(struct router *r, struct peer *p, struct list *where);

/* It is nobody from now on. The handler hears of the end of one that is known with peer_lose(),
 * never with peer_forget(). */
void peer_lose(struct router *r, struct peer *p);
void peer_forget(struct router *r, struct peer *p);

/* Between the two it stays in memory even when it is forgotten; false: it was. */
void peer_hold(struct peer *p);
bool peer_let_go(struct peer *p);

/* Tells the handler of those that were lost. */
void peers_tell_lost(struct router *r);

int peers_init(struct router *r) FH_MUST_USE;
void peers_release(struct router *r);

#endif
