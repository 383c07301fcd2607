/* The oracle's boundary with clients: nothing is said that is not durable, and nothing is taken
 * back. */
#include <string.h>

#include "base/assert.h"
#include "oracle.h"
#include "oracle_priv.h"

static void know(struct oracle *o, struct subject *s)
{
	if (s->told)
		return;
	s->told = true;
	s->told_at = ++o->moments;
	o->told[o->told_count++] = s;
	if (s->group)
		oracle_told_of_group(o, s->group);
}

void oracle_told_of_group(struct oracle *o, struct group_model *g)
{
	MUST(o->w, g->durable, "a group is made before it is durable");
	if (!g->told)
		o->told_groups[o->told_group_count++] = g;
	g->told = true;
}

/* The answer's body, as clients.c renders it: one id an item, zero for an item that was refused. */
void oracle_accepted(struct oracle *o, const struct call_submit *c, struct request *r, uint32_t try)
{
	const struct call_idempotency *i = &c->idempotency;
	const struct blob *body = i->ret_replayed ? i->ret_body : i->body;
	MUST(o->w, body && body->len == r->count * sizeof(struct fh_id),
	     "request %u has an answer of another shape", r->index);
	bool any = false;
	for (uint32_t k = 0; k < r->count; k++) {
		struct fh_id id;
		memcpy(id.b, body->data + k * sizeof id, sizeof id);
		if (fh_id_is_zero(id))
			continue;
		any = true;
		struct subject *s = oracle_find(o, id);
		MUST(o->w, s && s->request == r, "request %u is answered with tasks of another",
		     r->index);
		MUST(o->w, s->durable, "%s is accepted before it is durable", subject_name(s));
		MUST(o->w, i->ret_replayed || s->try == try,
		     "request %u is answered with another try's tasks, unmarked", r->index);
		know(o, s);
	}
	MUST(o->w, !any || !i->ret_replayed || r->durable_try > 0,
	     "request %u is answered as known, and is not", r->index);
}

void oracle_refused(struct oracle *o, const struct call_submit *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct subject *s = oracle_find(o, c->items[i].task.id);
		MUST(o->w, s != NULL, "a refused task has lost its id");
		MUST(o->w, !s->durable, "%s is durable, and its request was refused: %s",
		     subject_name(s), fh_error_text(c->call.ret));
		s->refused = true;
	}
}

struct subject *oracle_told(struct oracle *o, const struct task_rec *t,
			    const struct task_result *result)
{
	struct subject *s = oracle_find(o, t->id);
	MUST(o->w, s && s->durable, "a client is shown a task that is not durable");
	if (!task_state_is_final(t->state)) {
		MUST(o->w, !s->told_final, "%s was shown as %s, and now as %s", subject_name(s),
		     task_state_name(s->state), task_state_name(t->state));
		MUST(o->w, t->state != TASK_RUNNING || oracle_has_begun(s, t->tally.attempt),
		     "%s is shown as RUNNING, and no child has begun attempt %u", subject_name(s),
		     t->tally.attempt);
		return s;
	}
	MUST(o->w, s->final, "%s is shown as %s before that is durable", subject_name(s),
	     task_state_name(t->state));
	MUST(o->w, s->state == t->state && s->reason == t->reason, "%s is shown as %s, and is %s",
	     subject_name(s), task_state_name(t->state), task_state_name(s->state));
	MUST(o->w,
	     t->finish_seq == s->finish_seq && t->tally.attempt == s->tally.attempt &&
		     t->tally.failures == s->tally.failures,
	     "%s is shown with another end than the recorded one", subject_name(s));
	if (result)
		MUST(o->w, result->state == s->state && script_value_of(result->value) == s->value,
		     "%s is shown with a result that is not the recorded one", subject_name(s));
	s->told_final = true;
	return s;
}

/* What runs is shown with what its attempt has printed; what is over, with what was recorded. */
void oracle_told_output(struct oracle *o, const struct subject *s, const struct task_rec *t,
			const struct task_result *r)
{
	if (!r || (!r->out && !r->err))
		return;
	o->w->seen.outputs++;
	if (task_state_is_final(t->state)) {
		MUST(o->w, s->output_token != NO_TOKEN, "%s is shown with output, and has none",
		     subject_name(s));
		oracle_check_output(o, s, s->output_token, r);
		return;
	}
	o->w->seen.live_outputs++;
	/* Or had it: its end is on its way to the store. */
	uint32_t token = s->lease != NO_TOKEN ? s->lease : s->output_token;
	MUST(o->w, token != NO_TOKEN, "%s is shown with output, and nobody has it",
	     subject_name(s));
	oracle_check_output(o, s, token, r);
}

/* How many of a group's tasks a client may be told to be open: an end counts from its commit on,
 * and has been heard of everywhere when that commit is delivered. */
static void bounds(const struct oracle *o, const struct group_model *g, uint64_t *ret_least,
		   uint64_t *ret_most)
{
	*ret_least = *ret_most = 0;
	for (uint32_t i = 0; i < o->count; i++) {
		const struct subject *s = o->subjects[i];
		if (s->group != g || !s->durable)
			continue;
		*ret_least += !s->final && s->durable_commit <= o->delivered;
		*ret_most += !s->final || s->final_commit > o->delivered;
	}
}

void oracle_told_pending(struct oracle *o, const struct group_model *g, uint64_t pending)
{
	uint64_t least, most;
	bounds(o, g, &least, &most);
	MUST(o->w, pending >= least && pending <= most,
	     "%llu tasks of a group are said to be open, there are %llu to %llu",
	     (unsigned long long)pending, (unsigned long long)least, (unsigned long long)most);
}

static uint64_t slots_of_all(const struct oracle *o)
{
	return (uint64_t)HOST_SLOTS_MAX * (o->w->knobs.local ? 1 : o->w->knobs.limits.sessions_max);
}

void oracle_told_group(struct oracle *o, const struct group_rec *g)
{
	const struct group_model *m = oracle_group(o, g->id);
	MUST(o->w, m && m->durable, "a client is shown a group that is not durable");
	oracle_told_pending(o, m, g->counts[TASK_QUEUED] + g->counts[TASK_RUNNING]);
	MUST(o->w, g->counts[TASK_RUNNING] <= slots_of_all(o),
	     "more tasks run than there are slots");
	uint64_t sum = 0;
	for (int i = 0; i < TASK_STATE_COUNT; i++)
		sum += g->counts[i];
	MUST(o->w, sum == g->total, "a group's counts do not add up");
}

void oracle_told_stats(struct oracle *o, const struct call_stats_values *v)
{
	MUST(o->w, v->counts[TASK_RUNNING] <= v->slots, "%llu tasks run in %u slots",
	     (unsigned long long)v->counts[TASK_RUNNING], v->slots);
	MUST(o->w, v->slots_busy <= v->slots && v->slots <= slots_of_all(o),
	     "%u of %u slots are busy", v->slots_busy, v->slots);
	MUST(o->w, v->window <= v->window_max && v->queued_bytes <= v->queued_bytes_max,
	     "the window holds more than it can");
	MUST(o->w, v->counts[TASK_QUEUED] + v->counts[TASK_RUNNING] <= v->queued_max,
	     "more tasks are accepted than the limit says");
	MUST(o->w, v->generation == o->generation, "another generation is shown");
}

void oracle_told_unknown(struct oracle *o, struct fh_id id)
{
	const struct subject *s = oracle_find(o, id);
	MUST(o->w, !s || !s->told, "%s is not found any more", subject_name(s));
}
