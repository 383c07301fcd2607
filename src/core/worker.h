/* Workers as the core sees them: sessions with credit and slots.
 *
 * A session can take a task while its worker has granted more than it was assigned (credit is a
 * cumulative total, so a lost or repeated grant does no harm), and
 *  - a task that is not known to be short needs a slot of its own: in flight < slots;
 *  - a short one may be handed ahead: short ones in flight < (slots - long ones) * ahead_per_slot.
 *
 * Sessions that run the same set of classes form a pool. Inside a pool the sessions that can take
 * something lie in buckets by load, so that the least loaded one is found in O(1). */
#ifndef FARHAND_CORE_WORKER_H
#define FARHAND_CORE_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/event.h"
#include "core/task.h"

struct core;

enum {
	/* Steps of load that are told apart: half of them while a slot is free, half beyond. */
	LOAD_FREE = 16,
	LOAD_COUNT = 32,
};

struct pool {
	uint64_t classes;
	uint32_t sessions; /* open ones; 0: not in use */
	uint32_t loads;	   /* bitmap of the lists that are not empty */
	struct list by_load[LOAD_COUNT];
	struct list link; /* in core.pools while in use */
};

struct session {
	bool open;
	bool immortal, pull;
	uint8_t pauses;	 /* mask of enum core_pause */
	uint8_t load;	 /* which list of the pool it is in, if any */
	uint32_t serial; /* tells apart the sessions that have had this number */
	uint32_t slots;
	uint32_t lengthy, ahead; /* tasks in flight: one slot each; short, several a slot */
	uint32_t running;	 /* of both */
	uint64_t granted, assigned;
	uint64_t sent; /* ASSIGNs over its present connection */
	uint32_t beat; /* lists of what it holds so far */
	struct fh_id instance;
	int64_t heard_us;      /* on the lease clock, see liveness.h */
	struct list contact;   /* in core.contacts unless immortal */
	struct list ready;     /* in a list of its pool while it can take something */
	struct list in_flight; /* tasks: STARTING, LEASED, RUNNING */
	struct pool *pool;
	struct task *kept_for; /* a suspect that it is kept free for, or that it runs alone */
	struct list kept_free; /* in core.kept_free while it is free for it */
};

/* The open session of this number. */
struct session *worker_session(struct core *c, uint32_t number);
uint32_t worker_session_number(const struct core *c, const struct session *s);

void worker_session_open(struct core *c, const struct core_ev_session_opened *ev);

/* Its tasks become orphans, then it is closed. `in_order`: it has left, so nothing is to blame. */
void worker_session_lose(struct core *c, struct session *s, bool in_order);

/* It starts over with credit, as after a HELLO; what was about to be sent to it goes elsewhere. */
void worker_session_resume(struct core *c, struct session *s);

void worker_session_classes(struct core *c, const struct core_ev_session_classes *ev);
void worker_session_pause(struct core *c, const struct core_ev_session_paused *ev);

void worker_session_credit(struct core *c, const struct core_ev_credited *ev);

/* For task_move(): the task takes capacity of t->session, and gives it up. */
void worker_session_take(struct core *c, struct task *t);
void worker_session_drop(struct core *c, struct task *t);

/* Nothing else is assigned to it while it is kept for a suspect; NULL: it is free again. */
void worker_session_keep(struct core *c, struct session *s, struct task *suspect);

/* It had the task already when it came: no credit is used. */
void worker_session_adopt(struct core *c, struct session *s, struct task *t);

/* A child has begun the task: counts what runs, which is never more than the slots. False if that
 * cannot be: the worker is wrong. */
bool worker_session_can_run(const struct session *s);

/* Short ones in flight that the session may have in all. */
uint64_t worker_session_ahead_max(const struct core *c, const struct session *s);

#endif
