/* Ends of a transport on one loop, for the suites over it. */
#ifndef FARHAND_TESTS_CONTRACT_TRANSPORT_FIXTURE_H
#define FARHAND_TESTS_CONTRACT_TRANSPORT_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/transport.h"
#include "transport/zeromq.h"

struct event;
struct event_base;

struct end {
	struct transport *t;
	struct event *work;
	uint64_t peer;		       /* the last one that was heard of */
	unsigned connected, got, lost; /* how often */
	unsigned heard;		       /* parts of messages, and counts */
	uint64_t bytes;		       /* of payloads of ASSIGNs */
	uint64_t last;		       /* granted_total of the last CREDIT */
	bool ordered;		       /* every CREDIT was one more than the one before */
	bool close_on_message;	       /* the peer, from inside its message */
	unsigned troubles;
	char trouble[256]; /* the last line of these */
};

/* One of the implementations. */
struct kind {
	const char *name;
	/* A dispatcher's end and a worker's. */
	void (*pair)(struct event_base *loop, struct end *d, struct end *w);
};

struct event_base *loop_new(void);
void end_init(struct event_base *loop, struct end *e);
void end_free(struct end *e);

/* Runs the loop until the condition holds; fails the test when it does not within 20 s. */
#define run_until(loop, condition)                             \
	do {                                                   \
		int64_t until_ms = loop_deadline_ms();         \
		while (!(condition))                           \
			loop_turn(loop, until_ms, #condition); \
	} while (0)

int64_t loop_deadline_ms(void);
void loop_turn(struct event_base *loop, int64_t until_ms, const char *what);

/* Sends a CREDIT or an ASSIGN with a payload of `len` bytes; gives the transport's answer. */
int send_credit(struct end *e, uint64_t peer, uint64_t total);
int send_assign(struct end *e, uint64_t peer, size_t len);

/* A dispatcher's key and those of its workers, who are let in as long as they have a name. */
enum { TEST_WORKERS = 3 };

struct test_keys {
	struct curve_pair server, workers[TEST_WORKERS];
	const char *names[TEST_WORKERS];
	bool changed; /* the list, and nobody has noticed */
};

/* All workers but the last one are on the list: "anna", "bert". */
void test_keys_init(struct test_keys *keys);
void test_keys_lock(struct test_keys *keys, struct zmq_lock *ret_lock);
void test_keys_key(const struct test_keys *keys, unsigned worker, struct zmq_key *ret_key);

/* A ROUTER with handlers, a DEALER that dials it; without keys: NULL. */
void zmq_bind_end(struct event_base *loop, const char *url, struct test_keys *keys, struct end *d);
void zmq_connect_end(struct event_base *loop, const char *url, const struct zmq_key *key,
		     struct end *w);

#endif
