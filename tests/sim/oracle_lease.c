/* The oracle's book of leases: which worker has which task, under which token, by what was said and
 * heard alone; and so whether a lease may end, and whether that is a loss, a strike, a poisoning.
 *
 * A lease begins with an ASSIGN, or when a worker of before a restart is welcomed and is not told
 * that what it declared is stale. It ends when the store is asked to record that the attempt is
 * over; why that may be is looked for in what was heard of the worker. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle.h"
#include "oracle_priv.h"

struct worker_model *oracle_worker(struct oracle *o, uint64_t number)
{
	FH_ASSERT_CMP(number, <, WORKERS_MAX);
	return &o->workers[number];
}

uint64_t oracle_number_of(struct fh_id instance)
{
	uint64_t number;
	memcpy(&number, instance.b, sizeof number);
	return number;
}

/* ---- the book ---- */

void lease_begin(struct oracle *o, struct subject *s, uint64_t number, uint32_t token, bool adopted)
{
	struct worker_model *n = oracle_worker(o, number);
	FH_ASSERT(o->lease_count < LEASES_MAX && s->lease == NO_TOKEN);
	s->lease = token;
	s->holder = number;
	s->adopted_in = adopted ? o->runs : 0;
	s->alone = !adopted && s->tally.losses >= o->w->knobs.limits.alone_after;
	s->missing = 0;
	s->reported = s->given_back = s->told_stale = s->came_lost = s->came_left = false;
	s->sent_no = adopted ? 0 : n->sent;
	n->leases++;
	n->alone += s->alone;
	o->w->seen.attempts += !adopted;
	o->w->seen.adopted += adopted;
	o->leases[o->lease_count++] = s;
}

void lease_end(struct oracle *o, struct subject *s)
{
	struct worker_model *n = oracle_worker(o, s->holder);
	uint32_t i = 0;
	while (o->leases[i] != s)
		i++;
	o->leases[i] = o->leases[--o->lease_count];
	n->leases--;
	n->alone -= s->alone;
	s->lease = NO_TOKEN;
}

static bool is_silent(const struct oracle *o, const struct worker_model *n)
{
	return o->w->now_us - n->heard_us >= o->w->knobs.limits.liveness_us;
}

/* Whose session was there when its note was durable is known to the next start. */
static void remember(struct oracle *o)
{
	o->remembered_count = 0;
	for (uint64_t i = 1; i <= o->w->hosts_made; i++) {
		const struct worker_model *n = &o->workers[i];
		if (n->gone || is_silent(o, n) || !n->noted_at || n->noted_at > o->done)
			continue;
		FH_ASSERT_CMP(o->remembered_count, <, HOSTS_MAX * 64);
		o->remembered[o->remembered_count++] = i;
	}
	o->asked = o->done;
}

void oracle_crashed(struct oracle *o)
{
	remember(o);
	while (o->lease_count > 0)
		lease_end(o, o->leases[0]);
	for (uint32_t i = 0; i < o->count; i++)
		o->subjects[i]->closing = NO_TOKEN;
	for (uint64_t i = 0; i <= o->w->hosts_made; i++)
		o->workers[i] = (struct worker_model){ .gone = true };
	for (uint32_t i = 0; i < o->hello_count; i++)
		fh_free(o->hellos[i].refs.list);
	o->hello_count = 0;
}

/* ---- why a lease may end ---- */

/* It was given up, has broken the protocol, or says itself that the attempt was lost. */
static bool may_be_lost(const struct oracle *o, const struct subject *s)
{
	const struct worker_model *n = &o->workers[s->holder];
	return o->w->knobs.local || n->broken || is_silent(o, n) || s->given_back || s->came_lost;
}

/* It has left in order, or what it holds was listed, and this was not in it. */
static bool may_be_taken(const struct oracle *o, const struct subject *s)
{
	return o->w->knobs.local || o->workers[s->holder].left || s->came_left || s->missing >= 2;
}

static bool is_certain_loss(const struct oracle *o, const struct subject *s)
{
	return s->given_back || (!o->w->knobs.local && !may_be_taken(o, s));
}

/* Another worker that can run it than the one that has struck last, for sure or possibly. */
static bool another(const struct oracle *o, const struct subject *s, struct fh_id struck_by,
		    bool for_sure)
{
	for (uint64_t i = 1; i <= o->w->hosts_made; i++) {
		const struct worker_model *n = &o->workers[i];
		if (n->gone || i == oracle_number_of(struck_by) || s->wish->labels & ~n->labels)
			continue;
		if (!for_sure || !is_silent(o, n))
			return true;
	}
	return false;
}

static void check_struck(struct oracle *o, const struct subject *s, const struct task_tally *now)
{
	bool loss = now->losses > s->tally.losses, strike = now->strikes > s->tally.strikes;
	MUST(o->w, !loss || may_be_lost(o, s), "%s has a loss, and its worker %llu was not lost",
	     subject_name(s), (unsigned long long)s->holder);
	MUST(o->w, loss || !is_certain_loss(o, s), "%s was lost with worker %llu, and has no loss",
	     subject_name(s), (unsigned long long)s->holder);
	MUST(o->w, strike == (loss && s->alone), "%s was lost %s, and has %s strike",
	     subject_name(s), s->alone ? "alone" : "in company", strike ? "a" : "no");
	o->w->seen.losses += loss;
	o->w->seen.strikes += strike;
	o->w->seen.taken += !loss;
	MUST(o->w, !strike || oracle_number_of(now->struck_by) == s->holder,
	     "%s is struck by another worker than the one that had it", subject_name(s));
}

static bool is_guilty(const struct oracle *o, const struct task_tally *t)
{
	return t->strikes >= o->w->knobs.limits.strikes_max;
}

/* The end is on its way to the store. `by_report`: as its worker has said; one that came in the
 * same run as another end may have been too late. */
static void close_lease(struct oracle *o, struct subject *s, bool by_report)
{
	s->closing = s->lease;
	s->closing_by = by_report ? s->holder : 0;
	s->closing_serial = oracle_worker(o, s->holder)->serial;
	lease_end(o, s);
}

void oracle_retry_asked(struct oracle *o, const struct store_retry_item *r)
{
	struct subject *s = oracle_durable(o, r->task, "RETRY");
	MUST(o->w, s->lease != NO_TOKEN, "%s goes on after an attempt that nobody has",
	     subject_name(s));
	MUST(o->w, s->tokens[s->lease].attempt == r->tally.attempt,
	     "%s: attempt %u is over, and the worker has attempt %u", subject_name(s),
	     r->tally.attempt, s->tokens[s->lease].attempt);
	if (!r->release) {
		bool loss = r->tally.losses > s->tally.losses;
		check_struck(o, s, &r->tally);
		MUST(o->w, loss || may_be_taken(o, s),
		     "%s is taken from worker %llu, which is there and has it", subject_name(s),
		     (unsigned long long)s->holder);
		bool poison = is_guilty(o, &r->tally) &&
			      (r->tally.struck_by_two || !another(o, s, r->tally.struck_by, false));
		MUST(o->w, !poison, "%s goes on after %u strikes", subject_name(s),
		     r->tally.strikes);
	}
	close_lease(o, s, s->reported && r->release && s->wish->options.timeout_ms == 0);
}

static void check_poison(struct oracle *o, const struct subject *s, const struct task_tally *t)
{
	o->w->seen.poisoned++;
	MUST(o->w, is_guilty(o, t), "%s is poison after %u strikes", subject_name(s), t->strikes);
	MUST(o->w, t->struck_by_two || !another(o, s, t->struck_by, true),
	     "%s is poison, and only one worker of several has been struck", subject_name(s));
}

/* A task that may run only once, and whose start is all that is known of it. */
static bool started_before(const struct oracle *o, const struct subject *s)
{
	return s->started_once && s->start_life != o->w->life;
}

void oracle_check_output(struct oracle *o, const struct subject *s, uint32_t token,
			 const struct task_result *r)
{
	const struct blob *outputs[] = { r->out, r->err };
	for (unsigned i = 0; i < 2; i++)
		MUST(o->w,
		     script_output_begins(&s->wish->script, s->id, s->tokens[token], i, outputs[i]),
		     "%s has output that attempt %u of life %u has not printed", subject_name(s),
		     s->tokens[token].attempt, s->tokens[token].generation);
}

void oracle_finish_asked(struct oracle *o, const struct store_finish_item *f)
{
	struct subject *s = oracle_durable(o, f->task, "FINISH");
	enum task_reason reason = f->result->reason;
	bool free = reason == REASON_CANCELLED || reason == REASON_EXPIRED;
	if (s->lease == NO_TOKEN) {
		MUST(o->w, free || (reason == REASON_WORKER_LOST && started_before(o, s)),
		     "%s ends as %s (%s), and nobody has it", subject_name(s),
		     task_state_name(f->result->state), task_reason_name(reason));
		return;
	}
	s->output_token = s->lease;
	oracle_check_output(o, s, s->lease, f->result);
	if (s->alone && !s->reported && f->result->out)
		o->w->seen.last_words++;
	if (reason == REASON_WORKER_LOST || reason == REASON_POISON) {
		check_struck(o, s, &f->tally);
		MUST(o->w, may_be_lost(o, s) || may_be_taken(o, s),
		     "%s ends as lost, and worker %llu is there and has it", subject_name(s),
		     (unsigned long long)s->holder);
	}
	MUST(o->w, reason != REASON_EXPIRED || s->adopted_in == 0,
	     "%s expires, and ran when it was adopted", subject_name(s));
	if (reason == REASON_POISON)
		check_poison(o, s, &f->tally);
	close_lease(o, s, s->reported && !free && reason != REASON_TIMEOUT);
}

/* ---- what a worker says that it holds ---- */

static bool is_in(const struct wire_refs *refs, struct fh_id task, struct task_token token)
{
	for (uint32_t i = 0; i < refs->count; i++)
		if (fh_id_equal(refs->list[i].task, task) &&
		    task_token_equal(refs->list[i].token, token))
			return true;
	return false;
}

/* Whoever names what is not his is told so at once. What he has reported, and what waits to be
 * recorded, is his. */
static void expect_answer(struct oracle *o, uint64_t number, const struct wire_ref *ref)
{
	const struct subject *s = oracle_find(o, ref->task);
	uint32_t k = s ? subject_token(s, ref->token) : NO_TOKEN;
	bool its = k != NO_TOKEN && ((s->lease == k && s->holder == number) || s->closing == k);
	FH_ASSERT_CMP(o->claim_count, <, CLAIMS_MAX);
	if (!its)
		o->claims[o->claim_count++] = *ref;
}

void oracle_answered(struct oracle *o)
{
	MUST(o->w, o->claim_count == 0,
	     "a worker names a task that is not its own, and is let do so");
}

static void answered(struct oracle *o, const struct wire_ref *ref)
{
	uint32_t i = 0;
	while (i < o->claim_count && !(fh_id_equal(o->claims[i].task, ref->task) &&
				       task_token_equal(o->claims[i].token, ref->token)))
		i++;
	if (i < o->claim_count)
		o->claims[i] = o->claims[--o->claim_count];
}

void oracle_listed_by(struct oracle *o, uint64_t number, const struct wire_heartbeat *h)
{
	for (uint32_t i = 0; i < h->in_flight.count; i++)
		expect_answer(o, number, &h->in_flight.list[i]);
	for (uint32_t i = 0; i < o->lease_count; i++) {
		struct subject *s = o->leases[i];
		if (s->holder != number)
			continue;
		if (is_in(&h->in_flight, s->id, s->tokens[s->lease]))
			s->missing = 0;
		else
			s->missing++;
		s->arrived = s->sent_no <= h->assigns;
	}
}

/* Ends of attempts are asked to be recorded at the end of a run: by then it may be there again. */
void oracle_comes(struct oracle *o, uint64_t number)
{
	const struct worker_model *n = oracle_worker(o, number);
	for (uint32_t i = 0; i < o->lease_count; i++) {
		struct subject *s = o->leases[i];
		if (s->holder != number)
			continue;
		s->came_lost |= n->broken || is_silent(o, n);
		s->came_left |= n->left;
	}
}

/* What it does not bring back was lost on the way; and what it had under an earlier life of the
 * dispatcher is its own again, unless it is told otherwise in the same run. */
void oracle_brought(struct oracle *o, uint64_t number, const struct wire_refs *refs, bool resumed)
{
	for (uint32_t i = 0; i < o->lease_count; i++) {
		struct subject *s = o->leases[i];
		if (s->holder == number && resumed)
			s->missing = is_in(refs, s->id, s->tokens[s->lease]) ? 0 : MISSING_SURE;
	}
	for (uint32_t i = 0; i < refs->count; i++) {
		struct subject *s = oracle_find(o, refs->list[i].task);
		struct task_token token = refs->list[i].token;
		uint32_t k = s ? subject_token(s, token) : NO_TOKEN;
		if (k == NO_TOKEN || !s->durable || s->final || s->lease != NO_TOKEN ||
		    s->closing != NO_TOKEN || token.generation >= o->generation)
			continue;
		bool current = s->started_once ? token.attempt == s->tally.attempt
					       : token.attempt > s->tally.attempt;
		if (current)
			lease_begin(o, s, number, k, true);
		s->late = resumed;
	}
}

/* Places that the window has for what comes back, while nothing is handed out yet. */
static bool has_room_for_all(const struct oracle *o)
{
	const struct core_limits *l = &o->w->knobs.limits;
	uint32_t share = l->window_max / l->lanes_max;
	uint32_t waiting = l->lane_max < share ? l->lane_max : share;
	uint32_t lanes = o->w->knobs.needy ? l->lanes_max : 1;
	return !o->handed_out && lanes * waiting + 1 + o->declared <= l->window_max;
}

void oracle_told_stale(struct oracle *o, uint64_t number, const struct wire_ref *ref)
{
	struct subject *s = oracle_find(o, ref->task);
	uint32_t k = s ? subject_token(s, ref->token) : NO_TOKEN;
	o->w->seen.stale++;
	answered(o, ref);
	if (k == NO_TOKEN)
		return;
	bool its = s->lease == k && s->holder == number;
	if (its && s->adopted_in == o->runs) {
		bool suspect = s->tally.losses >= o->w->knobs.limits.alone_after;
		MUST(o->w,
		     suspect || s->late || s->due_ms > world_wall_least_ms(o->w) ||
			     !has_room_for_all(o),
		     "%s is not given to worker %llu, which has it since before the restart",
		     subject_name(s), (unsigned long long)number);
		lease_end(o, s);
		o->w->seen.adopted--;
		return;
	}
	s->told_stale = its;
	MUST(o->w,
	     s->closing != k || s->closing_by != number ||
		     s->closing_serial != oracle_worker(o, number)->serial,
	     "worker %llu is told that %s is stale, while its end is being recorded",
	     (unsigned long long)number, subject_name(s));
}

/* ---- after each run of the dispatcher ---- */

void oracle_ran(struct oracle *o)
{
	for (uint64_t i = 1; i <= o->w->hosts_made; i++) {
		struct worker_model *n = &o->workers[i];
		if (n->came)
			n->noted_at = o->asked;
		n->came = false;
		MUST(o->w, n->alone == 0 || n->leases == 1,
		     "worker %llu has %u tasks, one of which must be alone", (unsigned long long)i,
		     n->leases);
		MUST(o->w, n->leases == 0 || !n->gone || o->w->knobs.local,
		     "worker %llu is gone, and still has %u tasks", (unsigned long long)i,
		     n->leases);
	}
	for (uint32_t i = 0; i < o->lease_count; i++) {
		struct subject *s = o->leases[i];
		s->came_lost = s->came_left = false;
		MUST(o->w, s->missing < 2 || (s->missing < MISSING_SURE && !s->arrived),
		     "worker %llu does not have %s, and that was not taken from it",
		     (unsigned long long)s->holder, subject_name(s));
		MUST(o->w, !s->told_stale, "worker %llu is told that %s is stale, and has it",
		     (unsigned long long)s->holder, subject_name(s));
	}
	o->runs++;
}
