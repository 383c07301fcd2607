/* The limits of a core. All memory is taken in core_new() by them, so that "full" is an ordinary
 * answer and never a failed allocation. Every number says where it comes from. */
#ifndef FARHAND_CORE_LIMITS_H
#define FARHAND_CORE_LIMITS_H

#include <stdint.h>

struct core_limits {
	uint32_t window_max;	 /* tasks in memory, leased ones included */
	uint32_t lane_max;	 /* waiting tasks of one lane (account, class) in the window */
	uint64_t lane_bytes_max; /* their payload bytes; one task is always let in */
	uint32_t lanes_max;	 /* (account, class), with live tasks or without */
	uint32_t sessions_max;
	uint32_t functions_max;	 /* handles of functions whose run time is estimated */
	uint64_t live_max;	 /* tasks accepted and not final, wherever they are */
	uint64_t live_bytes_max; /* their payload bytes */
	uint32_t ahead_per_slot; /* short tasks in flight a slot, the running one included */
	uint32_t alone_after;	 /* lost workers from which on a task runs alone */
	uint32_t strikes_max;	 /* lost while it ran alone: FAILED(poison) */
	int64_t short_us;	 /* a function that runs below this is short */
	int64_t liveness_us;	 /* a session that was silent so long is lost; 0: never */
	int64_t tick_gap_us; /* a longer gap between steps was our own pause: leases are extended */
	int64_t backstop_us; /* beyond a task's own limit, when its worker has not ended it */
};

/* lane_max: 20,000 tasks/s through one lane mean a refill of half a lane every 50 ms.
 * live_max, live_bytes_max: the API's default limits. */
#define CORE_LIMITS_DEFAULT                                                                     \
	{                                                                                       \
		.window_max = 32768, .lane_max = 2048, .lane_bytes_max = 16 << 20,              \
		.lanes_max = CORE_CLASSES_MAX, .sessions_max = 16384, .functions_max = 4096,    \
		.live_max = 1000000, .live_bytes_max = UINT64_C(4) << 30, .ahead_per_slot = 64, \
		.alone_after = 2, .strikes_max = 3, .short_us = 1000, .liveness_us = 4000000,   \
		.tick_gap_us = 1000000, .backstop_us = 15000000,                                \
	}

enum {
	CORE_CLASSES_MAX = 64,	 /* one bit each in a session's mask */
	CORE_ACTIONS_MAX = 1024, /* of one step; what does not fit comes with the next */
	CORE_HELD_MAX = 256,	 /* entries of one event's list */
};

#endif
