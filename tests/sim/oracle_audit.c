/* Everything read back: after each start, and at the end. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle.h"
#include "oracle_priv.h"
#include "tap.h"
#include "world.h"

enum {
	PAGE = 512,
	PROMPT_MS = 11000, /* six seconds of them a start waits for workers that may come back */
	DESCRIBED_MAX = 8,
};

static void audit_tasks(struct oracle *o, uint32_t from, uint32_t count)
{
	struct fh_id ids[PAGE];
	for (uint32_t i = 0; i < count; i++)
		ids[i] = o->subjects[from + i]->id;
	struct store_get_tasks c = {
		.tasks = ids, .count = count, .want = STORE_WANT_RESULT, .max_bytes = UINT64_MAX
	};
	tap_ask(o->w->tap, &c.op, STORE_GET_TASKS);
	MUST(o->w, c.op.ret == 0 && c.ret_filled == count, "the store cannot be read");
	for (uint32_t i = 0; i < count; i++) {
		const struct subject *s = o->subjects[from + i];
		MUST(o->w, c.ret_views[i].known == s->durable, "%s is %s", subject_name(s),
		     s->durable ? "lost" : "there, though it was never stored");
		if (s->durable)
			oracle_read(o, &c.ret_views[i].task, &c.ret_views[i].result, true);
	}
	store_op_release(&c.op);
}

void oracle_audit(struct oracle *o)
{
	for (uint32_t from = 0; from < o->count; from += PAGE)
		audit_tasks(o, from, o->count - from < PAGE ? o->count - from : PAGE);
	struct store_stats stats = { .ret_bytes = 0 };
	tap_ask(o->w->tap, &stats.op, STORE_STATS);
	uint64_t sum = 0;
	for (int i = 0; i < TASK_STATE_COUNT; i++)
		sum += stats.ret_counts[i];
	MUST(o->w, sum == oracle_count(o) && stats.ret_counts[TASK_QUEUED] == o->live,
	     "the store holds %llu tasks, %llu were accepted", (unsigned long long)sum,
	     (unsigned long long)oracle_count(o));
	store_op_release(&stats.op);
}

void oracle_check_prompt(const struct oracle *o)
{
	for (uint32_t i = 0; i < o->told_count; i++) {
		const struct subject *s = o->told[i];
		int64_t at_ms = s->wish->options.expires_at_ms;
		bool begun = false;
		for (uint32_t k = 0; k < s->token_count; k++)
			begun |= s->begun[k];
		int64_t since_us = s->durable_us > o->w->calm_us ? s->durable_us : o->w->calm_us;
		int64_t held_us = o->start_us + o->w->knobs.limits.liveness_us;
		since_us = since_us > held_us ? since_us : held_us;
		bool just_now = since_us + PROMPT_MS * 1000 > o->w->now_us;
		MUST(o->w,
		     !at_ms || s->final || begun || just_now ||
			     at_ms + PROMPT_MS > world_wall_least_ms(o->w),
		     "%s has expired long ago, and is still queued", subject_name(s));
	}
}

void oracle_check_stopped(const struct oracle *o)
{
	for (uint32_t i = 0; i < o->count; i++) {
		const struct subject *s = o->subjects[i];
		MUST(o->w, s->final || s->start_life != o->w->life || s->token_count > 0,
		     "%s may run only once, its start is recorded, and nobody was sent it",
		     subject_name(s));
	}
}

void oracle_describe(const struct oracle *o)
{
	uint32_t told = 0;
	for (uint32_t i = 0; i < o->count && told < DESCRIBED_MAX; i++) {
		const struct subject *s = o->subjects[i];
		told += s->durable && !s->final;
		if (s->durable && !s->final)
			printf("  %s is open after %u attempts\n", subject_name(s),
			       s->tally.attempt);
		else if (s->durable && s->group && s->group->told && s->delivered == 0)
			printf("  %s ended at %llu, who follows its group stands at %llu\n",
			       subject_name(s), (unsigned long long)s->finish_seq,
			       (unsigned long long)s->group->cursor);
	}
}

bool oracle_all_final(const struct oracle *o)
{
	if (o->live > 0)
		return false;
	for (uint32_t i = 0; i < o->group_count; i++) {
		const struct group_model *g = o->groups[i];
		if (g->told && g->delivered < g->total)
			return false;
	}
	return true;
}

void oracle_check_end(struct oracle *o)
{
	MUST(o->w, o->live == 0, "%llu tasks are open", (unsigned long long)o->live);
	for (uint32_t i = 0; i < o->count; i++) {
		const struct subject *s = o->subjects[i];
		if (s->group && s->group->told)
			MUST(o->w, s->delivered == s->durable,
			     "%s was delivered %u times to who follows its group", subject_name(s),
			     s->delivered);
	}
	oracle_audit(o);
}
