/* Planted bugs. A build with -Dplants=true has all of them and runs with the one that is chosen
 * (farhand-sim --plant NAME), which the simulator must find; all are off until one is. Every other
 * build has none, and the compiler drops every trace of them. One line each: what the bug breaks
 * stands at the place where it is planted. docs/simulation.md has the list. */
#ifndef FARHAND_BASE_PLANT_H
#define FARHAND_BASE_PLANT_H

#define PLANTS(X)                     \
	X(REPLY_BEFORE_STORED)        \
	X(TOKEN_REUSED_AFTER_RESTART) \
	X(GENERATION_NOT_DURABLE)     \
	X(STALE_RESULT_RECORDED)      \
	X(SLOT_LEAKED_ON_CRASH)       \
	X(REFILL_SKIPS_TASK)          \
	X(CANCEL_OVERWRITES_FINAL)    \
	X(IDEMPOTENCY_APART)          \
	X(DELAYED_LOST_AT_RESTART)    \
	X(FAILED_ATTEMPT_FORGOTTEN)   \
	X(LOSS_COUNTED_TWICE)         \
	X(COMPANION_STRUCK)           \
	X(POISON_ON_ONE_WORKER)       \
	X(SUSPECT_IN_COMPANY)         \
	X(LEFT_IS_LOST)               \
	X(START_LOST_WITH_LINK)       \
	X(ADOPTED_UNCHECKED)          \
	X(ADOPTED_FROM_ANOTHER)       \
	X(ADOPTED_EXPIRES)            \
	X(HOLD_NEVER_OVER)            \
	X(HOLD_IGNORED)               \
	X(CLASS_TAKEN_IN_USE)         \
	X(CLASS_TAKEN_TWICE)          \
	X(WORKER_FORGOTTEN_AWAY)      \
	X(HELD_BY_ANYBODY)            \
	X(MISSING_KEPT_AT_RESUME)     \
	X(CANCEL_LOST_WHILE_AWAY)     \
	X(CREDIT_KEPT_AT_RESUME)      \
	X(PAUSE_FORGOTTEN_AT_RESUME)  \
	X(RESENT_RESULT_DROPPED)      \
	X(OLD_LINK_HEARD)             \
	X(REVOKED_TOKEN_AGAIN)        \
	X(STALE_WHILE_RECORDED)       \
	X(LATE_STARTED_RUNS)          \
	X(IDLE_IS_SILENT)             \
	X(CONTACT_OUT_OF_ORDER)       \
	X(FENCED_SAYS_RESULT)         \
	X(ASSIGN_RUN_TWICE)           \
	X(LOST_ASSIGN_COSTS_CREDIT)   \
	X(LOG_OF_LOST_ATTEMPT)        \
	X(LOG_OF_ANYBODY)             \
	X(LOG_GAP_JOINED)             \
	X(LIMIT_BEFORE_START)

enum plant {
	PLANT_NONE,
#define X(name) PLANT_##name,
	PLANTS(X)
#undef X
};

#ifdef FH_PLANTS
extern enum plant fh_plant;
#define PLANTED(name) (fh_plant == PLANT_##name)
#else
#define PLANTED(name) (PLANT_##name == PLANT_NONE)
#endif

#endif
