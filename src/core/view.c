/* What others may see of the core's state beside its actions. Nothing here changes any of it. */
#include "base/assert.h"
#include "base/plant.h"
#include "core/core.h"
#include "core/state.h"

static uint32_t count_until(const struct list *head, const struct list *end)
{
	uint32_t n = 0;
	for (const struct list *l = head->next; l != head && l != end; l = l->next)
		n++;
	return n;
}

/* Every list before that of the task counts whole. */
static uint32_t before_in_lane(const struct core *c, const struct task *t)
{
	const struct queue *q = &c->lanes[t->lane].queue;
	if (t->started_once)
		return count_until(&q->pinned, &t->link);
	uint32_t n = count_until(&q->pinned, NULL);
	for (int32_t p = PRIORITY_MAX; p > t->priority; p--)
		n += count_until(&q->by_priority[p - PRIORITY_MIN], NULL);
	return n + count_until(&q->by_priority[t->priority - PRIORITY_MIN], &t->link);
}

static enum core_wait wait_of(const struct task *t)
{
	switch (t->phase) {
	case PHASE_WAITING:
		return CORE_WAITS_TURN;
	case PHASE_SUSPECT:
		return CORE_WAITS_ALONE;
	case PHASE_STARTING:
	case PHASE_LEASED:
		return CORE_WAITS_START;
	case PHASE_RUNNING:
		return CORE_WAITS_END;
	case PHASE_PAUSING:
		return CORE_WAITS_RETRY;
	default:
		return CORE_WAITS_RECORDING;
	}
}

bool core_find_wait(const struct core *c, struct fh_id id, struct core_wait_view *ret_view)
{
	const struct task *t = task_find(c, id);
	if (!t || t->phase == PHASE_RESERVED)
		return false;
	enum core_wait wait = wait_of(t);
	*ret_view = (struct core_wait_view){
		.ref = task_ref(c, t),
		.class_ix = c->lanes[t->lane].class_ix,
		.wait = wait,
		.session = task_is_placed(t) ? t->session : CORE_NO_SESSION,
		.sent_no = t->phase == PHASE_LEASED ? t->sent_no : 0,
		.before = wait == CORE_WAITS_TURN ? before_in_lane(c, t) : 0,
		.losses = t->tally.losses,
		.due_us = wait == CORE_WAITS_RETRY ? t->due_us : 0,
	};
	return true;
}

uint32_t core_lane_waiting(const struct core *c, uint32_t account, uint32_t class_ix)
{
	for (uint32_t i = 0; i < c->lane_count; i++)
		if (c->lanes[i].account == account && c->lanes[i].class_ix == class_ix)
			return c->lanes[i].queue.count;
	return 0;
}

bool core_class_is_idle(const struct core *c, uint32_t class_ix)
{
	for (uint32_t i = 0; i < c->lane_count; i++) {
		const struct lane *l = &c->lanes[i];
		bool live = l->live > 0 && !PLANTED(CLASS_TAKEN_IN_USE);
		if (l->class_ix == class_ix && (live || l->claiming))
			return false;
	}
	return true;
}

int64_t core_hold_until_us(const struct core *c)
{
	return c->hold_until_us;
}

void core_session_look(const struct core *c, uint32_t session, struct core_session_view *ret_view)
{
	FH_ASSERT_CMP(session, <, c->sessions_touched);
	const struct session *s = &c->sessions[session];
	FH_ASSERT(s->open);
	*ret_view = (struct core_session_view){
		.running = s->running,
		.in_flight = s->lengthy + s->ahead,
		.silent_us = s->immortal ? 0 : c->now_us - c->paused_us - s->heard_us,
	};
}
