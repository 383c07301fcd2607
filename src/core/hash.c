/* A hash over all that decides what the core does next. Lists are hashed in their order, places by
 * number, so two cores with equal hashes act alike. Pointers and padding never enter it. */
#include "core/core.h"
#include "core/state.h"

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ (hash >> 29);
}

static uint64_t mix_list(uint64_t hash, const struct core *c, const struct list *head)
{
	list_for_each (link, head)
		hash = mix(hash, task_ref(c, list_entry(link, struct task, link)) + 1);
	return mix(hash, 0);
}

static uint64_t mix_task(uint64_t hash, const struct task *t)
{
	hash = mix(hash, fh_id_hash(t->id));
	hash = mix(hash, (uint64_t)t->phase << 32 | t->final_state);
	hash = mix(hash, (uint64_t)t->token.attempt << 32 | t->token.generation);
	hash = mix(hash, (uint64_t)t->session << 32 | t->session_serial);
	hash = mix(hash, (uint64_t)t->tally.failures << 32 | t->tally.losses);
	hash = mix(hash, (uint64_t)t->tally.strikes << 1 | t->tally.struck_by_two);
	hash = mix(hash, fh_id_hash(t->tally.struck_by));
	hash = mix(hash, (uint64_t)t->lane << 32 | t->function);
	hash = mix(hash, (uint64_t)t->bytes << 32 | (uint32_t)t->priority);
	hash = mix(hash, (uint64_t)t->expires_us);
	hash = mix(hash, (uint64_t)t->started_us);
	hash = mix(hash, (uint64_t)t->due_us);
	hash = mix(hash, (uint64_t)t->tally.attempt << 32 | t->timeout_ms);
	hash = mix(hash, t->sent_no << 32 | t->beat);
	hash = mix(hash, t->cancel_waits ? t->cancel_request + 1 : 0);
	return mix(hash, (uint64_t)t->at_most_once | (uint64_t)t->started_once << 1 |
				 (uint64_t)t->ahead << 2 | (uint64_t)t->reported << 3 |
				 (uint64_t)t->cancel_asked << 4);
}

static uint64_t mix_lane(uint64_t hash, const struct core *c, const struct lane *l)
{
	hash = mix_list(hash, c, &l->queue.pinned);
	for (unsigned i = 0; i < QUEUE_PRIORITIES; i++)
		if (!list_empty(&l->queue.by_priority[i]))
			hash = mix_list(mix(hash, i), c, &l->queue.by_priority[i]);
	hash = mix(hash, (uint64_t)l->account << 32 | l->class_ix);
	hash = mix(hash, l->live);
	hash = mix(hash, (uint64_t)l->deficit << 32 | l->reserved);
	hash = mix(hash, (uint64_t)l->burst.session << 32 | l->burst.serial);
	hash = mix(mix(hash, l->burst.left), l->burst.left_us);
	hash = mix(hash, (uint64_t)l->burst.until_us);
	hash = mix(hash, (uint64_t)l->promised << 32 | (uint32_t)l->reserved_worst);
	hash = mix(hash, (uint64_t)(uint32_t)l->backlog_top << 32 | (uint32_t)l->grown_top);
	return mix(hash,
		   (uint64_t)l->backlog | (uint64_t)l->claiming << 1 | (uint64_t)l->grown << 2);
}

static uint64_t mix_session(uint64_t hash, const struct core *c, const struct session *s)
{
	hash = mix(hash, (uint64_t)s->serial << 32 | s->slots);
	hash = mix(hash, s->granted);
	hash = mix(hash, s->assigned);
	hash = mix(hash, (uint64_t)s->heard_us);
	hash = mix(hash, s->pool->classes);
	hash = mix(hash, s->sent);
	hash = mix(hash, (uint64_t)s->beat << 32 | s->pauses);
	hash = mix(hash, (uint64_t)s->load << 2 | (uint64_t)s->pull << 1 | s->immortal);
	return mix_list(hash, c, &s->in_flight);
}

uint64_t core_hash(const struct core *c)
{
	uint64_t hash = mix(c->generation, (uint64_t)c->now_us);
	for (uint32_t i = 0; i < c->tasks_touched; i++)
		if (c->tasks[i].phase != PHASE_FREE)
			hash = mix_task(mix(hash, i), &c->tasks[i]);
	hash = mix_list(hash, c, &c->free);
	hash = mix_list(hash, c, &c->freed);
	hash = mix_list(hash, c, &c->orphans);
	hash = mix_list(hash, c, &c->suspects);
	hash = mix_list(hash, c, &c->suspects_placed);
	for (uint32_t i = 0; i < c->lane_count; i++)
		hash = mix_lane(hash, c, &c->lanes[i]);
	list_for_each (link, &c->turns)
		hash = mix(hash, lane_index(c, list_entry(link, struct lane, turn)));
	for (uint32_t i = 0; i < c->sessions_touched; i++)
		if (c->sessions[i].open)
			hash = mix_session(mix(hash, i), c, &c->sessions[i]);
	for (uint32_t i = 0; i < c->limits.functions_max; i++)
		if (c->functions[i].streak || c->functions[i].run_us)
			hash = mix(hash, (uint64_t)i << 40 | (uint64_t)c->functions[i].run_us << 8 |
						 c->functions[i].streak);
	hash = mix(hash, c->live);
	hash = mix(hash, c->live_bytes);
	hash = mix(hash, (uint64_t)c->next_due_us);
	hash = mix(hash, (uint64_t)c->next_expiry_us);
	hash = mix(hash, (uint64_t)c->paused_us);
	hash = mix(hash, (uint64_t)c->hold_until_us);
	hash = mix(hash, c->drained);
	hash = mix(hash, c->drain_per_s);
	return mix(hash, (uint64_t)c->draining | (uint64_t)c->expiring << 1);
}
