/* The inside of a host, for its files. */
#ifndef FARHAND_SIM_HOST_PRIV_H
#define FARHAND_SIM_HOST_PRIV_H

#include "host.h"
#include "runner.h"
#include "transport/transport.h"
#include "worker/session.h"
#include "world.h"

enum { REFUSED_MAX = 256, KEPT_MAX = 4 };

struct parcel {
	struct wire_assign assign;
	struct task_result result;
	bool retry_match;
};

struct refused {
	uint32_t slot;
	uint64_t job;
};

struct host {
	struct world *w;
	uint32_t index;
	uint64_t number; /* of its process, among all that there were */
	struct fh_id instance;
	struct transport *transport; /* NULL: not connected */
	uint64_t peer;		     /* of its link */
	int64_t connect_us;
	bool woken, lost;      /* there are messages; its link is gone */
	bool hung_up;	       /* the session wants another connection */
	bool unwanted;	       /* it was refused, and ends */
	bool liar;	       /* it has said what is not so */
	int64_t hung_until_us; /* it does nothing before */
	/* Time that it was awake: all, and when it last heard the dispatcher. */
	int64_t step_us, awake_us, heard_us;
	/* On this connection */
	uint64_t granted, functions_asked, functions_got, drains;
	struct session *session;
	struct session_actions out;
	struct parcel *parcels;
	struct wire_function *functions;
	struct refused refused[REFUSED_MAX];
	uint32_t refused_len;
	struct runner_model runner;
	struct wire_msg late[KEPT_MAX]; /* copies of RESULTs, to be said again some time */
	uint32_t late_len;
};

/* What came with the event of a step. */
struct cargo {
	struct wire_msg *message;
	struct task_result *result;
	bool retry_match;
};

/* -- agent.c */
void host_step(struct host *h, const struct session_event *ev, struct cargo *cargo);
void host_step_kind(struct host *h, enum session_event_kind kind);
/* All that its session holds; freed by the caller. */
struct wire_refs host_in_flight(const struct host *h);
void host_parcel_release(struct parcel *p);

/* -- liar.c: claims and omits in the list of a HELLO */
void host_lie_in_hello(struct host *h, struct wire_refs *held);

#endif
