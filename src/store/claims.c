/* The claimed tasks, the lanes and their cursors. Failure modes: no memory, too many lanes. */
#include "store/claims.h"

#include "base/assert.h"
#include "base/mem.h"

int claims_init(struct claims *c)
{
	*c = (struct claims){ 0 };
	return map_init(&c->tasks);
}

void claims_release(struct claims *c)
{
	size_t pos = 0;
	for (void *claim; (claim = map_next(&c->tasks, &pos)) != NULL;)
		fh_free(claim);
	map_release(&c->tasks);
	lanes_release(&c->lanes);
	*c = (struct claims){ 0 };
}

int claims_add(struct claims *c, struct fh_id id, const struct claim *claim)
{
	struct claim *copy = fh_malloc(sizeof *copy);
	if (!copy)
		return FH_ENOMEM;
	*copy = *claim;
	int ret = map_put(&c->tasks, id, copy);
	if (ret)
		fh_free(copy);
	return ret;
}

const struct claim *claims_get(const struct claims *c, struct fh_id id)
{
	return map_get(&c->tasks, id);
}

void claims_drop(struct claims *c, struct fh_id id)
{
	fh_free(map_remove(&c->tasks, id));
}

int claims_add_lane(struct claims *c, uint32_t account, const char *class_key,
		    struct claims_lane **ret_lane)
{
	struct lane *base;
	struct claims_lane *lane;
	FH_ASSERT(!lanes_find(&c->lanes, account, class_key));
	int ret = lanes_get(&c->lanes, account, class_key, sizeof *lane, &base);
	if (ret)
		return ret;
	lane = (struct claims_lane *)(void *)base;
	if (!lane->no) {
		lane->no = (uint32_t)c->lanes.len;
		c->by_no[lane->no - 1] = lane;
	}
	lane->cursor = (struct lane_position){ .rank = INT64_MIN };
	*ret_lane = lane;
	return 0;
}

struct claims_lane *claims_find_lane(const struct claims *c, uint32_t account,
				     const char *class_key)
{
	return (struct claims_lane *)(void *)lanes_find(&c->lanes, account, class_key);
}

struct claims_lane *claims_lane_by_no(const struct claims *c, uint64_t no)
{
	return no > 0 && no <= c->lanes.len ? c->by_no[no - 1] : NULL;
}

static bool before(struct lane_position a, struct lane_position b)
{
	return a.rank != b.rank ? a.rank < b.rank : fh_id_compare(a.id, b.id) < 0;
}

void claims_rewind(struct claims_lane *lane, struct lane_position p)
{
	if (before(p, lane->cursor))
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
