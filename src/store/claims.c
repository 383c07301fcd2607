/* A set of ids and the cursors of the lanes. Failure modes: no memory; a lane without a cursor was
 * never claimed from, so there is nothing to rewind. */
#include "store/claims.h"

#include "base/assert.h"

int claims_init(struct claims *c)
{
	*c = (struct claims){ 0 };
	return map_init(&c->ids);
}

void claims_release(struct claims *c)
{
	map_release(&c->ids);
	lanes_release(&c->lanes);
}

int claims_add(struct claims *c, struct fh_id id)
{
	int ret = map_put(&c->ids, id, c);
	return ret == FH_EEXISTS ? 0 : ret;
}

bool claims_has(const struct claims *c, struct fh_id id)
{
	return map_get(&c->ids, id) != NULL;
}

void claims_drop(struct claims *c, struct fh_id id)
{
	(void)map_remove(&c->ids, id);
}

struct claims_lane *claims_lane(struct claims *c, uint32_t account, const char *class_key)
{
	size_t before = c->lanes.len;
	struct claims_lane *lane =
		(struct claims_lane *)lanes_get(&c->lanes, account, class_key, sizeof *lane);
	if (lane && c->lanes.len > before)
		lane->cursor.rank = INT64_MIN;
	return lane;
}

static bool before(struct lane_position a, struct lane_position b)
{
	return a.rank != b.rank ? a.rank < b.rank : fh_id_compare(a.id, b.id) < 0;
}

void claims_rewind(struct claims *c, uint32_t account, const char *class_key,
		   struct lane_position p)
{
	struct claims_lane *lane = (struct claims_lane *)lanes_find(&c->lanes, account, class_key);
	if (lane && before(p, lane->cursor))
		lane->cursor = p;
}

/* Ids count up as 128-bit numbers; behind the last one comes the next rank. */
struct lane_position lane_position_after(struct lane_position p)
{
	for (int i = 15; i >= 0; i--)
		if (++p.id.b[i] != 0)
			return p;
	FH_ASSERT_CMP(p.rank, <, INT64_MAX);
	p.rank++;
	return p;
}
