/* Planted bugs. A build with -DFH_PLANT=PLANT_<NAME> has exactly that one bug, and the simulator
 * must find it (tests/sim/plants); a normal build has none and the compiler drops every trace of
 * them. One line each: what the bug breaks stands at the place where it is planted. */
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
	X(FAILED_ATTEMPT_FORGOTTEN)

enum plant {
	PLANT_NONE,
#define X(name) PLANT_##name,
	PLANTS(X)
#undef X
};

#ifndef FH_PLANT
#define FH_PLANT PLANT_NONE
#endif

#define PLANTED(name) (FH_PLANT == PLANT_##name)

#endif
