/* Decides which tasks of a lane are in the window. lane.h has the rules that keep the order.
 *
 *  - A submission comes straight in while the lane has no backlog and there is room.
 *  - When the queue has run half empty, a CLAIM fetches as many as there is room for.
 *  - When the backlog may hold something better than the worst in the queue, a CLAIM fetches it
 * even into a full queue; what is then too much goes back, worst first (UNCLAIM).
 *
 * A bound that is too high costs one claim that finds nothing better; after it the bound is exact.
 * A full table of lanes refuses the submission. */
#include "core/lane.h"

#include "base/assert.h"
#include "core/state.h"

enum { LANES_LEAST = 8 }; /* for which there is room from the beginning */

/* In a small window, or beside many others, no lane may wait with so many tasks that another one
 * never gets a place. What is too much now goes back at the end of the step. */
static void share_window(struct core *c)
{
	uint32_t lanes = c->limits.lanes_max < LANES_LEAST ? c->limits.lanes_max : LANES_LEAST;
	if (c->lanes_live > lanes)
		lanes = c->lanes_live;
	uint32_t share = c->limits.window_max / lanes;
	uint32_t limit = c->limits.lane_max < share ? c->limits.lane_max : share;
	c->lane_limit = limit > 0 ? limit : 1;
}

struct lane *lane_get(struct core *c, uint32_t account, uint32_t class_ix)
{
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].account == account && c->lanes[i].class_ix == class_ix)
			return &c->lanes[i];
	if (c->lane_count == c->limits.lanes_max)
		return NULL;
	FH_ASSERT_CMP(class_ix, <, CORE_CLASSES_MAX);
	struct lane *l = &c->lanes[c->lane_count++];
	*l = (struct lane){ .account = account, .class_ix = class_ix };
	queue_init(&l->queue);
	list_init(&l->turn);
	return l;
}

uint32_t lane_index(const struct core *c, const struct lane *l)
{
	return (uint32_t)(l - c->lanes);
}

struct lane *lane_of(struct core *c, const struct task *t)
{
	FH_ASSERT_CMP(t->lane, <, c->lane_count);
	return &c->lanes[t->lane];
}

void lane_grow(struct core *c, struct lane *l, uint64_t count)
{
	if (l->live == 0 && count > 0) {
		c->lanes_live++;
		share_window(c);
	}
	l->live += count;
}

/* A claim that is on its way will find nothing. */
void lane_shrink(struct core *c, struct lane *l)
{
	FH_ASSERT_CMP(l->live, >, 0);
	if (--l->live > 0)
		return;
	c->lanes_live--;
	share_window(c);
	l->backlog = l->claiming;
}

void lane_reserve(struct core *c, struct task *t)
{
	struct lane *l = lane_of(c, t);
	if (l->reserved++ == 0 || t->priority < l->reserved_worst)
		l->reserved_worst = t->priority;
	l->reserved_bytes += t->bytes;
}

/* The lowest reserved priority stays a bound until nothing is reserved any more. */
void lane_unreserve(struct core *c, struct task *t)
{
	struct lane *l = lane_of(c, t);
	FH_ASSERT_CMP(l->reserved, >, 0);
	FH_ASSERT_CMP(l->reserved_bytes, >=, t->bytes);
	l->reserved--;
	l->reserved_bytes -= t->bytes;
}

void lane_enter(struct core *c, struct task *t)
{
	struct lane *l = lane_of(c, t);
	if (l->queue.count == 0) {
		list_push_back(&c->turns, &l->turn);
		c->turn_count++;
	}
	queue_insert(&l->queue, t);
}

void lane_leave(struct core *c, struct task *t)
{
	struct lane *l = lane_of(c, t);
	queue_remove(&l->queue, t);
	if (l->queue.count == 0) {
		list_remove(&l->turn);
		c->turn_count--;
		l->deficit = 0;
	}
}

void lane_backlog_grew(struct lane *l, int32_t priority)
{
	FH_ASSERT_CMP(l->live, >, 0);
	if (!l->backlog || priority > l->backlog_top)
		l->backlog_top = priority;
	l->backlog = true;
	if (!l->claiming)
		return;
	if (!l->grown || priority > l->grown_top)
		l->grown_top = priority;
	l->grown = true;
}

void lane_claim_done(struct core *c, struct lane *l, bool more, int32_t more_priority)
{
	FH_ASSERT(l->claiming);
	l->claiming = false;
	c->promised -= l->promised;
	l->promised = 0;
	l->backlog = l->live > 0 && (more || l->grown);
	l->backlog_top = more ? more_priority : PRIORITY_MIN;
	if (l->grown && l->grown_top > l->backlog_top)
		l->backlog_top = l->grown_top;
	l->grown = false;
}

/* Suspects take a quarter of the lane's share at most, or many of them would keep those out that
 * any worker could run at once. */
static uint32_t tasks_in(const struct core *c, const struct lane *l)
{
	uint32_t most = c->lane_limit / 4;
	return l->queue.count + l->reserved + (l->suspects < most ? l->suspects : most);
}

static uint64_t bytes_in(const struct lane *l)
{
	return l->queue.bytes + l->reserved_bytes;
}

/* Places that no claim has been promised, those included that are free from the next step on. */
static uint32_t places_left(const struct core *c)
{
	return c->free_count + c->freed_count - c->promised;
}

static bool has_room(const struct core *c, const struct lane *l, uint32_t bytes)
{
	if (places_left(c) == 0 || tasks_in(c, l) >= c->lane_limit)
		return false;
	return tasks_in(c, l) == 0 || bytes_in(l) + bytes <= c->limits.lane_bytes_max;
}

/* The worst waiting task, if it may go back now. Wrong without the two conditions: (1) task 5 is
 * waiting, task 6 of the same priority is reserved or being claimed; (2) 5 goes back; (3) 6 comes
 * in and is dispatched before 5. */
static struct task *may_go(const struct lane *l)
{
	struct task *worst = queue_worst(&l->queue);
	if (!worst || l->claiming)
		return NULL;
	return l->reserved == 0 || worst->priority < l->reserved_worst ? worst : NULL;
}

static void send_back(struct core *c, struct lane *l, struct task *t)
{
	lane_backlog_grew(l, t->priority);
	if (t->expires_us && (!c->next_expiry_us || t->expires_us < c->next_expiry_us))
		c->next_expiry_us = t->expires_us;
	action_add_task(c, CORE_DO_UNCLAIM, t);
	task_move(c, t, PHASE_FREE);
}

bool lane_admit(struct core *c, struct lane *l, int32_t priority, uint32_t bytes)
{
	if (c->free_count == 0 || (l->backlog && priority <= l->backlog_top))
		return false;
	while (!has_room(c, l, bytes)) {
		struct task *worst = may_go(l);
		if (!worst || worst->priority >= priority || !action_room(c))
			return false;
		send_back(c, l, worst);
	}
	return true;
}

/* Too much by bytes only if it would be even without this task: a lane may hold one task more than
 * fits, or a large one could be sent back and fetched again for ever. */
static bool too_much(const struct core *c, const struct lane *l, const struct task *worst)
{
	return tasks_in(c, l) > c->lane_limit ||
	       bytes_in(l) - worst->bytes >= c->limits.lane_bytes_max;
}

void lane_trim_all(struct core *c)
{
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct lane *l = &c->lanes[i];
		for (;;) {
			struct task *worst = may_go(l);
			if (!worst || tasks_in(c, l) == 1 || !too_much(c, l, worst))
				break;
			if (!action_room(c))
				return;
			send_back(c, l, worst);
		}
	}
}

/* How many tasks to fetch now; 0: none. */
static uint32_t wanted(const struct core *c, const struct lane *l)
{
	if (!l->backlog || l->claiming)
		return 0;
	uint32_t in = tasks_in(c, l), limit = c->lane_limit;
	bool low = in == 0 || (in < (limit + 1) / 2 && bytes_in(l) < c->limits.lane_bytes_max / 2);
	const struct task *worst = queue_worst(&l->queue);
	if (!low && !(worst && l->backlog_top > worst->priority))
		return 0;
	uint32_t count = in < limit ? limit - in : limit / 8 + 1;
	return count < places_left(c) ? count : places_left(c);
}

static uint64_t wanted_bytes(const struct core *c, const struct lane *l)
{
	uint64_t in = bytes_in(l), max = c->limits.lane_bytes_max, least = max / 8 + 1;
	return in + least < max ? max - in : least;
}

void lane_claim_all(struct core *c)
{
	if (c->draining || c->hold_until_us)
		return;
	for (uint32_t i = 0; i < c->lane_count; i++) {
		struct lane *l = &c->lanes[i];
		uint32_t count = wanted(c, l);
		if (count == 0)
			continue;
		if (!action_room(c))
			return;
		struct core_action *a = action_add(c, CORE_DO_CLAIM);
		a->claim.account = l->account;
		a->claim.class_ix = l->class_ix;
		a->claim.count = count;
		a->claim.bytes = wanted_bytes(c, l);
		l->claiming = true;
		l->promised = count;
		c->promised += count;
	}
}
