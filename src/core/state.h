/* The whole state of a core, for the files of this folder. Each part belongs to the file that is
 * named beside it; the others read it or call that file. */
#ifndef FARHAND_CORE_STATE_H
#define FARHAND_CORE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "core/action.h"
#include "core/event.h"
#include "core/function.h"
#include "core/lane.h"
#include "core/limits.h"
#include "core/task.h"
#include "core/worker.h"

struct core {
	struct core_limits limits;
	uint32_t lane_limit; /* waiting tasks of a lane: lane_max, or less in a small window */
	uint32_t generation;

	/* step.c */
	int64_t now_us;
	uint64_t random;	  /* of the current event */
	struct core_actions *out; /* of the current step; NULL between steps */
	bool stepped, draining;
	int64_t hold_until_us; /* 0: not held, see core_start */

	/* task.c: the window. Places that were never used are not in a list yet. */
	struct task *tasks;
	uint32_t tasks_touched;
	struct list free, freed; /* `freed` in this step: not to be given out in it */
	uint32_t free_count, freed_count;
	struct map by_id;
	struct list orphans;
	uint32_t phase_count[PHASE_COUNT];

	/* lane.c */
	struct lane *lanes;
	uint32_t lane_count, lanes_live; /* ... of those: with live tasks */
	uint32_t promised;		 /* places of all claims and adoptions on their way */
	uint32_t adoptions;		 /* ... of adoptions */
	struct list turns; /* lanes with waiting tasks, next one first (policy_fair.c) */
	uint32_t turn_count;

	/* alone.c: those that no worker is kept for yet, and those that one is kept for */
	struct list suspects, suspects_placed;
	uint32_t kept_count;   /* workers that are kept for a suspect, or run it */
	struct list kept_free; /* kept sessions that hold nothing any more */

	/* worker.c, liveness.c */
	struct session *sessions;
	struct pool *pool_table;
	struct list pools, pools_free;
	uint32_t sessions_touched, pools_touched; /* those from here on were never used */
	uint32_t session_count, ready_count;
	uint32_t next_serial;
	struct list contacts; /* sessions, the longest silent first */
	int64_t paused_us;    /* sum of our own pauses */

	/* function.c */
	struct function *functions;

	/* deadline.c */
	struct heap deadlines;
	int64_t next_due_us;	/* first delayed task in the store; 0: none is known */
	int64_t next_expiry_us; /* first expiry in the store; 0: none is known */
	bool expiring;		/* an EXPIRE_BACKLOG is on its way */

	/* admit.c */
	uint64_t live, live_bytes;
	int64_t drain_from_us; /* the drain rate is measured from here, without idle time */
	int64_t idle_from_us;  /* when the last task ended; counts while none is live */
	uint64_t drained;      /* tasks that have ended since then */
	uint64_t drain_per_s;  /* as measured before; 0: not yet */

	/* attempt.c */
	uint64_t stale, retries, lost;
};

/* One more action; the caller has made sure that there is room, or it is one of the few that an
 * event causes by itself. */
struct core_action *action_add(struct core *c, enum core_action_kind kind);

/* The same about a task. */
struct core_action *action_add_task(struct core *c, enum core_action_kind kind,
				    const struct task *t);

/* Whether work that can wait for the next step may go on in this one; if not, asks for that step.
 */
bool action_room(struct core *c);

#endif
