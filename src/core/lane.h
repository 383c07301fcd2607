/* A lane: the tasks of one account that need the same of a worker (their class). Its queue in the
 * window holds the top of the lane, the rest is its backlog in the store. What the core knows of a
 * backlog is a bound: that it may hold something, and of what priority at most.
 *
 * First dispatch is in order (priority, then id) although tasks enter by two doors, straight from a
 * client and by a claim. That rests on three rules:
 *  1. A task comes in straight only if all that is or may be in the backlog comes behind it.
 *  2. What leaves for the backlog is the worst of the lane, and only while nothing that would come
 *     behind it is on its way in (reserved by a submission, or asked for by a claim).
 *  3. Store calls take effect and are answered in the order in which they were asked. So an
 * answered claim tells exactly what the backlog held at its place in that order; what has gone
 * there since is remembered beside it (`grown`). */
#ifndef FARHAND_CORE_LANE_H
#define FARHAND_CORE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/queue.h"

struct core;

/* Short tasks that go to the same session, one behind the other (policy_place.c). */
struct burst {
	uint32_t session, serial;
	uint32_t left_us; /* of work */
	uint64_t left;	  /* tasks; 0: there is none */
	int64_t until_us;
};

struct lane {
	uint32_t account, class_ix;
	uint64_t live; /* its tasks that are accepted and not final, wherever they are */
	struct queue queue;
	struct list turn; /* in core.turns while the queue holds something */
	uint32_t deficit; /* see policy_fair.c */
	struct burst burst;

	uint32_t reserved; /* RESERVED tasks, their payload bytes and lowest priority */
	uint64_t reserved_bytes;
	int32_t reserved_worst;
	uint32_t suspects; /* SUSPECT tasks: they take places, and wait elsewhere */

	bool backlog;	     /* the store may hold tasks of this lane */
	int32_t backlog_top; /* ... of this priority at most */
	bool claiming;	     /* a CLAIM is on its way */
	uint32_t promised;   /* places kept for its answer */
	bool grown;	     /* the backlog has got tasks since it was asked */
	int32_t grown_top;
};

/* The lane of (account, class), made if there is none yet; NULL: lanes_max are in use. */
struct lane *lane_get(struct core *c, uint32_t account, uint32_t class_ix);

/* The lane's number; and back. */
uint32_t lane_index(const struct core *c, const struct lane *l);
struct lane *lane_of(struct core *c, const struct task *t);

/* So many more of its tasks are live; one is not any more. A lane without live tasks has no backlog
 * and no share of the window. */
void lane_grow(struct core *c, struct lane *l, uint64_t count);
void lane_shrink(struct core *c, struct lane *l);

/* For task_move(). */
void lane_reserve(struct core *c, struct task *t);
void lane_unreserve(struct core *c, struct task *t);
void lane_enter(struct core *c, struct task *t);
void lane_leave(struct core *c, struct task *t);

/* Whether a task of this size and priority may come straight into the window. May make room for it
 * by sending worse ones to the backlog. */
bool lane_admit(struct core *c, struct lane *l, int32_t priority, uint32_t bytes);

/* The store has got, or is about to get, a task of this priority for the lane's backlog. */
void lane_backlog_grew(struct lane *l, int32_t priority);

/* The answer of a claim has come: what it tells of the backlog. */
void lane_claim_done(struct core *c, struct lane *l, bool more, int32_t more_priority);

/* What follows from what has happened, to be called at the end of each step: sends back what is too
 * much, asks for more where there is room. */
void lane_trim_all(struct core *c);
void lane_claim_all(struct core *c);

#endif
