/* What the store gives back, against what is durable: single records, lists, claims, counts. */
#include "base/assert.h"
#include "oracle.h"
#include "oracle_priv.h"

void oracle_read(struct oracle *o, const struct task_rec *t, const struct task_result *r,
		 bool with_result)
{
	const struct subject *s = oracle_durable(o, t->id, "read");
	enum task_state state = s->final ? s->state : TASK_QUEUED;
	MUST(o->w, t->state == state && t->reason == (s->final ? s->reason : REASON_NONE),
	     "%s is stored as %s (%s), and is %s", subject_name(s), task_state_name(t->state),
	     task_reason_name(t->reason) ? task_reason_name(t->reason) : "none",
	     task_state_name(state));
	MUST(o->w,
	     t->tally.failures == s->tally.failures && t->tally.losses == s->tally.losses &&
		     t->tally.strikes == s->tally.strikes &&
		     fh_id_equal(t->tally.struck_by, s->tally.struck_by) &&
		     t->tally.struck_by_two == s->tally.struck_by_two &&
		     t->tally.attempt == s->tally.attempt,
	     "%s is stored with %u attempts, %u failures, %u losses, and has %u, %u, %u",
	     subject_name(s), t->tally.attempt, t->tally.failures, t->tally.losses,
	     s->tally.attempt, s->tally.failures, s->tally.losses);
	MUST(o->w, t->finish_seq == s->finish_seq, "%s is stored at another position",
	     subject_name(s));
	if (s->final && with_result)
		MUST(o->w, r->state == state && script_value_of(r->value) == s->value,
		     "%s is stored with another result", subject_name(s));
}

void oracle_read_view(struct oracle *o, const struct store_task_view *v, unsigned want)
{
	oracle_read(o, &v->task, &v->result, want & STORE_WANT_RESULT);
}

/* All that the group has behind the cursor, in order, up to the limit. */
void oracle_listed(struct oracle *o, const struct store_list_finished *c)
{
	const struct group_model *g = oracle_group(o, c->group);
	MUST(o->w, (c->op.ret == 0) == (g && g->durable),
	     "a group is there, and is not, or the "
	     "other way round");
	if (c->op.ret)
		return;
	uint64_t after = c->after_seq;
	for (uint32_t i = 0; i < c->ret_count; i++) {
		const struct store_task_view *v = &c->ret_views[i];
		const struct subject *next = NULL;
		for (uint32_t k = 0; k < o->count; k++) {
			const struct subject *s = o->subjects[k];
			if (s->group == g && s->final && s->finish_seq > after &&
			    (!next || s->finish_seq < next->finish_seq))
				next = s;
		}
		MUST(o->w, next && fh_id_equal(next->id, v->task.id),
		     "the store lists another task than the next one that has finished");
		oracle_read_view(o, v, c->want);
		after = next->finish_seq;
	}
}

void oracle_claimed(struct oracle *o, const struct task_rec *tasks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct task_rec *t = &tasks[i];
		const struct subject *s = oracle_durable(o, t->id, "CLAIM");
		oracle_read(o, t, NULL, false);
		MUST(o->w, !s->final, "%s is claimed though it is final", subject_name(s));
		MUST(o->w, s->due_ms <= world_wall_most_ms(o->w), "%s is claimed before its time",
		     subject_name(s));
		MUST(o->w, t->started_once == s->started_once,
		     "the recorded start of %s is not what it was", subject_name(s));
	}
}

void oracle_counted(struct oracle *o, const uint64_t *counts, const uint64_t *finals,
		    uint64_t queued)
{
	MUST(o->w, counts[TASK_QUEUED] == queued,
	     "the store counts %llu queued tasks, there are %llu",
	     (unsigned long long)counts[TASK_QUEUED], (unsigned long long)queued);
	for (int s = TASK_COMPLETED; s < TASK_STATE_COUNT; s++)
		MUST(o->w, counts[s] == finals[s], "the store counts %llu tasks as %s, %llu are",
		     (unsigned long long)counts[s], task_state_name((enum task_state)s),
		     (unsigned long long)finals[s]);
}
