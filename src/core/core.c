/* Making and asking a core. All memory is taken here, by the limits; a core that cannot get it is
 * not made. */
#include "core/core.h"

#include "base/assert.h"
#include "base/mem.h"
#include "core/state.h"

static int take_memory(struct core *c)
{
	const struct core_limits *l = &c->limits;
	c->tasks = fh_calloc(l->window_max, sizeof *c->tasks);
	c->lanes = fh_calloc(l->lanes_max, sizeof *c->lanes);
	c->sessions = fh_calloc(l->sessions_max, sizeof *c->sessions);
	c->pool_table = fh_calloc(l->sessions_max, sizeof *c->pool_table);
	c->functions = fh_calloc(l->functions_max, sizeof *c->functions);
	if (!c->tasks || !c->lanes || !c->sessions || !c->pool_table || !c->functions)
		return FH_ENOMEM;
	if (heap_init(&c->deadlines, l->window_max) || map_init_fixed(&c->by_id, l->window_max))
		return FH_ENOMEM;
	return 0;
}

int core_new(const struct core_limits *limits, const struct core_start *start,
	     struct core **ret_core)
{
	FH_ASSERT(limits->window_max > 0 && limits->lanes_max > 0 && limits->sessions_max > 0);
	FH_ASSERT(limits->lane_max > 0 && limits->functions_max > 0 && limits->ahead_per_slot > 0);
	struct core *c = fh_calloc(1, sizeof *c);
	if (!c)
		return FH_ENOMEM;
	c->limits = *limits;
	c->lane_limit = limits->lane_max;
	c->generation = start->generation;
	c->now_us = start->now_us;
	c->drain_from_us = start->now_us;
	c->idle_from_us = start->now_us;
	c->live = start->live;
	c->live_bytes = start->live_bytes;
	c->next_due_us = start->next_due_us;
	c->next_expiry_us = start->next_expiry_us;
	c->hold_until_us = start->hold_until_us;
	c->free_count = limits->window_max;
	list_init(&c->free);
	list_init(&c->freed);
	list_init(&c->orphans);
	list_init(&c->suspects);
	list_init(&c->suspects_placed);
	list_init(&c->kept_free);
	list_init(&c->turns);
	list_init(&c->pools);
	list_init(&c->pools_free);
	list_init(&c->contacts);
	if (take_memory(c)) {
		core_free(&c);
		return FH_ENOMEM;
	}
	*ret_core = c;
	return 0;
}

void core_free(struct core **c)
{
	struct core *gone = *c;
	*c = NULL;
	if (!gone)
		return;
	map_release(&gone->by_id);
	heap_release(&gone->deadlines);
	fh_free(gone->functions);
	fh_free(gone->pool_table);
	fh_free(gone->sessions);
	fh_free(gone->lanes);
	fh_free(gone->tasks);
	fh_free(gone);
}

int core_recover_lane(struct core *c, uint32_t account, uint32_t class_ix, uint64_t live,
		      int32_t top_priority)
{
	FH_ASSERT(!c->stepped);
	struct lane *l = lane_get(c, account, class_ix);
	if (!l)
		return FH_ELIMIT;
	lane_grow(c, l, live);
	lane_backlog_grew(l, top_priority);
	return 0;
}

bool core_find(const struct core *c, struct fh_id id, struct core_view *ret_view)
{
	const struct task *t = task_find(c, id);
	if (!t || t->phase == PHASE_RESERVED) /* not stored yet: it is not there, for anybody */
		return false;
	enum task_state state = TASK_QUEUED;
	if (t->phase == PHASE_RUNNING)
		state = TASK_RUNNING;
	else if (t->phase == PHASE_ENDING)
		state = (enum task_state)t->final_state;
	*ret_view = (struct core_view){
		.ref = task_ref(c, t),
		.state = state,
		.recording = t->phase == PHASE_ENDING,
		.leased = task_is_leased(t),
		.attempt = t->tally.attempt,
		.token = t->token,
		.started_us = t->phase == PHASE_RUNNING ? t->started_us : 0,
		.session = task_is_leased(t) ? t->session : CORE_NO_SESSION,
	};
	return true;
}

void core_counts(const struct core *c, struct core_counts *ret_counts)
{
	*ret_counts = (struct core_counts){
		.live = c->live,
		.live_bytes = c->live_bytes,
		.window = c->limits.window_max - c->free_count - c->freed_count,
		.running = c->phase_count[PHASE_RUNNING],
		.leased = c->phase_count[PHASE_LEASED] + c->phase_count[PHASE_RUNNING],
		.sessions = c->session_count,
		.stale = c->stale,
		.retries = c->retries,
		.lost = c->lost,
	};
	for (uint32_t i = 0; i < c->sessions_touched; i++) {
		const struct session *s = &c->sessions[i];
		if (!s->open)
			continue;
		uint64_t taken = (uint64_t)s->lengthy + s->ahead;
		if (s->immortal)
			ret_counts->leased_here += (uint32_t)taken;
		ret_counts->slots += s->slots;
		ret_counts->slots_busy += taken < s->slots ? (uint32_t)taken : s->slots;
	}
}
