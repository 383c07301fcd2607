/* The dispatcher's window as a durable store sees it: which tasks are claimed, and for each lane
 * from where a claim has to look. A claimed row stays in the lane's index (after a crash it is
 * simply ready again), so without the cursor every claim would step over all claimed rows first.
 *
 *   cursor: every ready row before it is claimed or gone. It may be too early, never too late.
 *
 * Whenever a row becomes claimable, its lane is rewound to it. */
#ifndef FARHAND_STORE_CLAIMS_H
#define FARHAND_STORE_CLAIMS_H

#include "base/map.h"
#include "store/lanes.h"

/* A place in the order of a lane: rank (the negated priority), then id. */
struct lane_position {
	int64_t rank;
	struct fh_id id;
};

struct claims_lane {
	struct lane lane;
	uint32_t no; /* its number in the database, 1 to STORE_LANES_MAX */
	struct lane_position cursor;
};

/* What a claimed task's end needs of its row, which so is not read again. A claimed task is QUEUED:
 * whatever ends it drops the claim. */
struct claim {
	struct claims_lane *lane;
	int64_t rank;
	struct fh_id group;
	uint64_t payload_size;
};

struct claims {
	struct map tasks; /* id -> struct claim */
	struct lanes lanes;
	struct claims_lane *by_no[STORE_LANES_MAX]; /* as many as `lanes` has */
};

/* FH_ENOMEM. */
int claims_init(struct claims *c) FH_MUST_USE;
void claims_release(struct claims *c);

/* FH_EEXISTS, FH_ENOMEM. */
int claims_add(struct claims *c, struct fh_id id, const struct claim *claim) FH_MUST_USE;
/* NULL: nobody has claimed it. Valid until it is dropped. */
const struct claim *claims_get(const struct claims *c, struct fh_id id);
/* Harmless when nobody has claimed it. */
void claims_drop(struct claims *c, struct fh_id id);

/* Adds a lane that is not there yet, with the next number or that of a lane without tasks, which is
 * no more. FH_ELIMIT, FH_ENOMEM. */
int claims_add_lane(struct claims *c, uint32_t account, const char *class_key,
		    struct claims_lane **ret_lane) FH_MUST_USE;

/* NULL: there is none. */
struct claims_lane *claims_find_lane(const struct claims *c, uint32_t account,
				     const char *class_key);
struct claims_lane *claims_lane_by_no(const struct claims *c, uint64_t no);

/* A row of the lane has become claimable at `p`. */
void claims_rewind(struct claims_lane *lane, struct lane_position p);

/* The first position behind `p`. */
struct lane_position lane_position_after(struct lane_position p);

#endif
