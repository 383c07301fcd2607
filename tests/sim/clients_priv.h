/* The inside of the clients, for its files. */
#ifndef FARHAND_SIM_CLIENTS_PRIV_H
#define FARHAND_SIM_CLIENTS_PRIV_H

#include "base/list.h"
#include "clients.h"
#include "http/call.h"
#include "oracle.h"
#include "world.h"

enum { REQUESTS_MAX = 128, IDS_MAX = 6 };

/* A call under way, with all that it borrows. */
struct flight {
	union {
		struct call call;
		struct call_put_function put_function;
		struct call_submit submit;
		struct call_get_task get_task;
		struct call_wait wait;
		struct call_cancel cancel;
		struct call_put_group put_group;
		struct call_get_group get_group;
		struct call_stats stats;
		struct call_order_worker order;
	};
	uint64_t number; /* of the worker that is ordered */
	uint32_t host;
	struct clients *clients;
	struct list link;
	int64_t deadline_us; /* of a parked call */
	bool abandoned, was_final;
	struct subject *subject;
	struct group_model *group;
	struct fh_id ids[IDS_MAX];
	/* SUBMIT */
	struct request *request;
	uint32_t try;
	bool altered;	 /* the key with another body: a conflict */
	bool again;	 /* the request has been answered before */
	bool unrendered; /* there was no memory for the answer */
	struct call_submit_item items[BATCH_MAX];
	struct group_rec group_rec;
};

struct clients {
	struct world *w;
	struct list flights;
	uint32_t flight_count;
	struct fh_id_gen ids;
	struct fh_id functions[FUNCTIONS]; /* zero: not registered yet */
	bool registering;
	struct request *requests[REQUESTS_MAX];
	uint32_t request_count;
	bool ordering; /* one order at a time: which of two is the last, nobody could tell */
	bool to_resume[HOSTS_MAX]; /* a host's worker, whichever it is then */
};

/* What a function was registered with, for tasks that say nothing. */
static inline uint32_t function_retries(uint32_t function)
{
	return function % 2 ? 2 : 0;
}

struct flight *flight_new(struct clients *c, enum call_kind kind, void (*done)(struct call *call));
void flight_launch(struct flight *f);
void flight_free(struct flight *f);
struct fh_id clients_id(struct clients *c);

/* requests.c */
bool requests_act(struct clients *c);
/* reads.c */
void reads_act(struct clients *c);
/* orders.c: true if one was given */
bool orders_act(struct clients *c);

#endif
