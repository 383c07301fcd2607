/* The oracle's boundary with the store: what a commit makes durable must follow from what was
 * durable before. */
#include <string.h>

#include "base/assert.h"
#include "oracle.h"
#include "oracle_priv.h"

#define CALL(type, op) ((const struct type *)(const void *)(op))

struct subject *oracle_durable(struct oracle *o, struct fh_id id, const char *what)
{
	struct subject *s = oracle_find(o, id);
	MUST(o->w, s && s->durable, "the store does a %s of a task that it should not have", what);
	return s;
}

/* ---- submissions ---- */

static void submitted(struct oracle *o, const struct store_submit *c)
{
	if (c->count == 0 || c->op.ret == FH_ENOTFOUND)
		return;
	struct subject *first = oracle_find(o, c->items[0].task->id);
	MUST(o->w, first != NULL, "a task is stored that nobody asked for");
	struct request *r = first->request;
	if (c->op.ret) {
		MUST(o->w, r->durable_try > 0, "request %u is answered as known, and is not",
		     r->index);
		return;
	}
	MUST(o->w, !r->keyed || r->durable_try == 0,
	     "request %u is stored a second time, in spite of its idempotency key", r->index);
	r->durable_try = first->try;
	r->durable_group = first->group;
	if (c->new_group)
		first->group->durable = true;
	for (uint32_t i = 0; i < c->count; i++) {
		struct subject *s = oracle_find(o, c->items[i].task->id);
		MUST(o->w, s && s->request == r && s->try == first->try,
		     "a commit mixes two requests");
		MUST(o->w, !s->refused, "%s was refused, and is stored", subject_name(s));
		MUST(o->w, !s->durable, "%s is stored twice", subject_name(s));
		s->durable = true;
		s->durable_commit = o->commits;
		s->durable_us = o->w->now_us;
		if (s->wish->doomed)
			o->doomed[o->doomed_count++] = s;
		r->durable_ids[s->wish - r->wishes] = s->id;
		o->live++;
		o->live_bytes += c->items[i].task->payload_size;
		if (s->group) {
			s->group->total++;
			s->group->counts[TASK_QUEUED]++;
		}
	}
}

/* ---- ends ---- */

static void end(struct oracle *o, struct subject *s, enum task_state state, enum task_reason reason,
		uint64_t value, uint64_t seq)
{
	MUST(o->w, !s->final, "%s is final as %s, and becomes %s", subject_name(s),
	     task_state_name(s->state), task_state_name(state));
	MUST(o->w, seq > o->last_seq, "%s ends at position %llu after %llu", subject_name(s),
	     (unsigned long long)seq, (unsigned long long)o->last_seq);
	if (state == TASK_CANCELLED)
		MUST(o->w, s->cancel_asked, "%s is cancelled, and nobody asked for it",
		     subject_name(s));
	if (reason == REASON_EXPIRED)
		MUST(o->w,
		     s->wish->options.expires_at_ms &&
			     s->wish->options.expires_at_ms <= world_wall_most_ms(o->w),
		     "%s expires before its time", subject_name(s));
	o->last_seq = s->finish_seq = seq;
	s->final = true;
	s->state = state;
	s->reason = reason;
	s->value = value;
	s->final_commit = o->commits;
	o->live--;
	o->live_bytes -= sizeof(struct script) + s->wish->bytes;
	o->finals[state]++;
	if (s->group) {
		s->group->counts[TASK_QUEUED]--;
		s->group->counts[state]++;
	}
}

/* Whether a failure of this kind has to be retried; `failures`: this one included. */
static bool goes_on(const struct subject *s, enum task_reason reason, bool matched,
		    uint32_t failures)
{
	static const uint32_t bits[REASON_COUNT] = {
		[REASON_EXCEPTION] = RETRY_ON_EXCEPTION,
		[REASON_TIMEOUT] = RETRY_ON_TIMEOUT,
		[REASON_MEMORY] = RETRY_ON_MEMORY,
		[REASON_CRASH] = RETRY_ON_CRASH,
	};
	const struct task_options *opt = &s->wish->options;
	uint32_t bit = bits[reason] | (matched ? RETRY_ON_CLASS : 0u);
	return !opt->at_most_once && failures <= opt->retries && (opt->retry_on & bit);
}

/* Which of the tokens that were issued gave this value. */
static uint32_t giver(const struct subject *s, uint64_t value)
{
	for (uint32_t i = 0; i < s->token_count; i++)
		if (value == script_value(&s->wish->script, s->id, s->tokens[i]))
			return i;
	return NO_TOKEN;
}

/* The attempt that a worker reported on is the one that it had, and its script says so. */
static void check_report(struct oracle *o, struct subject *s, uint32_t attempt,
			 enum task_state state, enum task_reason reason, uint64_t value)
{
	enum act act = script_act(&s->wish->script, attempt);
	MUST(o->w, s->closing != NO_TOKEN && s->tokens[s->closing].attempt == attempt,
	     "%s ends by attempt %u, which no worker had", subject_name(s), attempt);
	MUST(o->w, s->begun[s->closing], "%s: attempt %u has an end but no child has begun it",
	     subject_name(s), attempt);
	if (reason == REASON_TIMEOUT) {
		MUST(o->w, s->wish->options.timeout_ms > 0, "%s has no limit to exceed",
		     subject_name(s));
		return;
	}
	MUST(o->w, script_state(act) == state && script_reason(act) == reason,
	     "%s: attempt %u is recorded as %s (%s), its script says otherwise", subject_name(s),
	     attempt, task_state_name(state), task_reason_name(reason));
	uint32_t by = giver(s, value);
	MUST(o->w, by == s->closing, "%s: a result is recorded that attempt %u did not give",
	     subject_name(s), attempt);
	MUST(o->w, !s->fenced_us[by], "%s: a result is recorded that its worker had given up",
	     subject_name(s));
}

static uint32_t losses_of_poison(const struct oracle *o)
{
	return o->w->knobs.limits.alone_after + o->w->knobs.limits.strikes_max;
}

/* A strike is a loss, and what was once said of strikes is not taken back. */
static void check_strikes(struct oracle *o, const struct subject *s, const struct task_tally *now)
{
	const struct task_tally *before = &s->tally;
	uint32_t more = now->strikes - before->strikes;
	MUST(o->w, more <= 1 && more <= now->losses - before->losses,
	     "%s has %u strikes after %u, and %u losses after %u", subject_name(s), now->strikes,
	     before->strikes, now->losses, before->losses);
	bool other = more && before->strikes && !fh_id_equal(now->struck_by, before->struck_by);
	MUST(o->w, fh_id_is_zero(now->struck_by) == (now->strikes == 0),
	     "%s has %u strikes, of nobody or somebody", subject_name(s), now->strikes);
	MUST(o->w, more || fh_id_equal(now->struck_by, before->struck_by),
	     "%s has another last striker, and no strike more", subject_name(s));
	MUST(o->w, now->struck_by_two == (before->struck_by_two || other),
	     "%s: whether two have struck it is not what it was", subject_name(s));
}

static void finished(struct oracle *o, const struct store_finish_item *f)
{
	struct subject *s = oracle_durable(o, f->task, "FINISH");
	const struct task_result *r = f->result;
	if (f->ret) {
		MUST(o->w, s->final, "the end of %s is refused, and it is not final",
		     subject_name(s));
		return;
	}
	bool failed = r->state == TASK_FAILED && r->reason != REASON_EXPIRED &&
		      r->reason != REASON_WORKER_LOST && r->reason != REASON_POISON;
	MUST(o->w,
	     f->tally.failures == s->tally.failures + (r->state == TASK_FAILED && failed) ||
		     (r->state == TASK_CANCELLED && f->tally.failures == s->tally.failures + 1),
	     "%s ends with %u failures after %u", subject_name(s), f->tally.failures,
	     s->tally.failures);
	uint32_t least = s->tally.attempt, most = s->tally.attempt + !s->wish->options.at_most_once;
	MUST(o->w, f->tally.attempt >= least && f->tally.attempt <= most,
	     "%s ends by attempt %u after %u", subject_name(s), f->tally.attempt, s->tally.attempt);
	uint64_t value = script_value_of(r->value);
	if (failed || r->state == TASK_COMPLETED)
		check_report(o, s, f->tally.attempt, r->state, r->reason, value);
	if (failed) {
		bool matched = script_act(&s->wish->script, f->tally.attempt) == ACT_MATCHED &&
			       r->reason == REASON_EXCEPTION;
		MUST(o->w, !goes_on(s, r->reason, matched, f->tally.failures),
		     "%s ends after %u failures with %u retries", subject_name(s),
		     f->tally.failures, s->wish->options.retries);
		MUST(o->w, f->tally.failures <= s->wish->options.retries + 1,
		     "%s had %u attempts that failed", subject_name(s), f->tally.failures);
	}
	if (r->reason == REASON_WORKER_LOST)
		MUST(o->w, s->wish->options.at_most_once, "%s ends as lost after %u losses",
		     subject_name(s), f->tally.losses);
	if (r->reason == REASON_POISON)
		MUST(o->w,
		     f->tally.losses >= losses_of_poison(o) &&
			     f->tally.strikes >= o->w->knobs.limits.strikes_max,
		     "%s is poison after %u losses and %u strikes", subject_name(s),
		     f->tally.losses, f->tally.strikes);
	MUST(o->w, f->tally.losses >= s->tally.losses && f->tally.losses <= s->tally.losses + 1,
	     "%s ends with %u losses after %u", subject_name(s), f->tally.losses, s->tally.losses);
	check_strikes(o, s, &f->tally);
	s->tally = f->tally;
	end(o, s, r->state, r->reason, value, f->ret_finish_seq);
	s->closing = NO_TOKEN;
}

static void retried(struct oracle *o, const struct store_retry_item *r)
{
	struct subject *s = oracle_durable(o, r->task, "RETRY");
	MUST(o->w, r->ret == 0 && !s->final, "%s is retried though it is final", subject_name(s));
	MUST(o->w, !s->wish->options.at_most_once, "%s goes on though it may run only once",
	     subject_name(s));
	MUST(o->w, r->tally.attempt == s->tally.attempt + 1,
	     "%s: attempt %u is over after attempt %u", subject_name(s), r->tally.attempt,
	     s->tally.attempt);
	if (r->release) {
		MUST(o->w, s->closing != NO_TOKEN && s->begun[s->closing],
		     "%s: attempt %u has failed but no child has begun it", subject_name(s),
		     r->tally.attempt);
		enum act act = script_act(&s->wish->script, r->tally.attempt);
		bool limited = s->wish->options.timeout_ms > 0;
		MUST(o->w,
		     r->tally.failures == s->tally.failures + 1 &&
			     r->tally.losses == s->tally.losses,
		     "%s is retried with %u failures after %u", subject_name(s), r->tally.failures,
		     s->tally.failures);
		MUST(o->w,
		     goes_on(s, script_reason(act), act == ACT_MATCHED, r->tally.failures) ||
			     (limited && goes_on(s, REASON_TIMEOUT, false, r->tally.failures)),
		     "%s is retried after %u failures with %u retries", subject_name(s),
		     r->tally.failures, s->wish->options.retries);
	} else {
		/* What a worker has left, or never got, is no loss. */
		MUST(o->w,
		     r->tally.losses >= s->tally.losses && r->tally.losses <= s->tally.losses + 1 &&
			     r->tally.failures == s->tally.failures,
		     "%s goes back with %u losses after %u", subject_name(s), r->tally.losses,
		     s->tally.losses);
	}
	check_strikes(o, s, &r->tally);
	s->tally = r->tally;
	s->closing = NO_TOKEN;
	if (r->release)
		s->due_ms = r->not_before_ms;
}

/* After failure n the next attempt is due within initial * factor^(n-1), at most max, and not
 * before half of that; a millisecond more for rounding. */
static void check_backoff(struct oracle *o, const struct store_retry_item *r)
{
	const struct subject *s = oracle_durable(o, r->task, "RETRY");
	const struct task_options *opt = &s->wish->options;
	double whole_ms = opt->backoff_initial_ms;
	for (uint32_t n = 1; n < r->tally.failures; n++)
		whole_ms *= opt->backoff_factor_milli / 1000.0;
	if (whole_ms > opt->backoff_max_ms)
		whole_ms = opt->backoff_max_ms;
	double delay_ms = r->not_before_ms ? (double)(r->not_before_ms - world_wall_ms(o->w)) : 0;
	MUST(o->w, delay_ms >= whole_ms / 2 - 1 && delay_ms <= whole_ms + 1,
	     "%s is to be tried again after %.0f ms, its backoff is %.1f ms", subject_name(s),
	     delay_ms, whole_ms);
}

void oracle_asked(struct oracle *o, const struct store_op *op)
{
	o->asked++;
	if (op->kind == STORE_CLAIM)
		o->handed_out = true;
	MUST(o->w, op->kind != STORE_EXPIRE || !oracle_holds(o),
	     "tasks are to expire while a worker may come back with them");
	if (op->kind == STORE_FINISH)
		for (uint32_t i = 0; i < CALL(store_finish, op)->count; i++)
			oracle_finish_asked(o, &CALL(store_finish, op)->items[i]);
	if (op->kind != STORE_RETRY)
		return;
	const struct store_retry *c = CALL(store_retry, op);
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->items[i].release)
			check_backoff(o, &c->items[i]);
		oracle_retry_asked(o, &c->items[i]);
	}
}

static void put_group(struct oracle *o, const struct store_put_group *c)
{
	struct group_model *g = oracle_group(o, c->group->id);
	MUST(o->w, c->op.ret == 0 && g, "a group is refused, or nobody asked for it");
	g->durable = true;
}

static void dropped(struct oracle *o, const struct store_op *op)
{
	if (op->kind == STORE_CANCEL) {
		const struct store_cancel *c = CALL(store_cancel, op);
		if (op->ret == 0)
			end(o, oracle_durable(o, c->task, "CANCEL"), TASK_CANCELLED,
			    REASON_CANCELLED, 0, c->ret_finish_seq);
		else if (op->ret == FH_EFINAL)
			MUST(o->w, oracle_durable(o, c->task, "CANCEL")->final,
			     "a task cannot be cancelled because it is final, and it is not");
		return;
	}
	const struct store_expire *x = CALL(store_expire, op);
	for (uint32_t i = 0; i < x->ret_count; i++)
		end(o, oracle_durable(o, x->ret_expired[i].task, "EXPIRE"), TASK_FAILED,
		    REASON_EXPIRED, 0, x->ret_expired[i].finish_seq);
}

static void commit_one(struct oracle *o, const struct store_op *op)
{
	switch (op->kind) {
	case STORE_SUBMIT:
		submitted(o, CALL(store_submit, op));
		break;
	case STORE_FINISH:
		for (uint32_t i = 0; i < CALL(store_finish, op)->count; i++)
			finished(o, &CALL(store_finish, op)->items[i]);
		break;
	case STORE_RETRY:
		for (uint32_t i = 0; i < CALL(store_retry, op)->count; i++)
			retried(o, &CALL(store_retry, op)->items[i]);
		break;
	case STORE_START: {
		struct subject *s = oracle_durable(o, CALL(store_start, op)->task, "START");
		MUST(o->w, op->ret == 0 && s->wish->options.at_most_once && !s->started_once,
		     "a start of %s is recorded", subject_name(s));
		s->started_once = true;
		s->start_life = o->w->life;
		s->tally.attempt = CALL(store_start, op)->attempt;
		break;
	}
	case STORE_CLAIM:
		oracle_claimed(o, CALL(store_claim, op)->ret_tasks,
			       CALL(store_claim, op)->ret_count);
		break;
	case STORE_TAKE:
		oracle_claimed(o, CALL(store_take, op)->ret_tasks, CALL(store_take, op)->ret_count);
		break;
	case STORE_CANCEL:
	case STORE_EXPIRE:
		dropped(o, op);
		break;
	case STORE_PUT_GROUP:
		put_group(o, CALL(store_put_group, op));
		break;
	case STORE_LIST_FINISHED:
		oracle_listed(o, CALL(store_list_finished, op));
		break;
	case STORE_GET_TASK:
		if (op->ret == 0)
			oracle_read(o, &CALL(store_get_task, op)->ret_task,
				    &CALL(store_get_task, op)->ret_result,
				    CALL(store_get_task, op)->want & STORE_WANT_RESULT);
		break;
	case STORE_GET_TASKS:
		for (uint32_t i = 0; i < CALL(store_get_tasks, op)->ret_filled; i++)
			if (CALL(store_get_tasks, op)->ret_views[i].known)
				oracle_read_view(o, &CALL(store_get_tasks, op)->ret_views[i],
						 CALL(store_get_tasks, op)->want);
		break;
	case STORE_STATS:
		oracle_counted(o, CALL(store_stats, op)->ret_counts, o->finals, o->live);
		break;
	case STORE_GET_GROUP:
		if (op->ret == 0) {
			const struct group_rec *g = &CALL(store_get_group, op)->ret_group;
			const struct group_model *m = oracle_group(o, g->id);
			MUST(o->w, m && m->durable && m->total == g->total,
			     "the store's group is not what it was");
			oracle_counted(o, g->counts, m->counts, m->counts[TASK_QUEUED]);
		}
		break;
	default:
		break;
	}
}

void oracle_commit(struct oracle *o, struct store_op *const *ops, size_t count)
{
	o->commits++;
	o->done += count;
	for (size_t i = 0; i < count; i++)
		commit_one(o, ops[i]);
}

void oracle_delivered(struct oracle *o)
{
	o->delivered = o->commits;
}

void oracle_start(struct oracle *o, const struct store_recovery *r)
{
	MUST(o->w, r->generation > o->generation, "generation %u comes after %u", r->generation,
	     o->generation);
	o->generation = r->generation;
	MUST(o->w, r->live == o->live && r->live_bytes == o->live_bytes,
	     "a start finds %llu tasks with %llu bytes, there are %llu with %llu",
	     (unsigned long long)r->live, (unsigned long long)r->live_bytes,
	     (unsigned long long)o->live, (unsigned long long)o->live_bytes);
	oracle_fleet_start(o, r);
	oracle_delivered(o);
}
