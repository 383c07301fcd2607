/* The oracle's boundary with workers. */
#include "base/assert.h"
#include "base/mem.h"
#include "oracle.h"
#include "oracle_priv.h"

enum { FENCED_US = 10000 }; /* so long a child takes to die */

static bool expired(const struct oracle *o, const struct subject *s)
{
	int64_t at = s->wish->options.expires_at_ms;
	return at && at <= world_wall_most_ms(o->w);
}

/* First dispatch inside a lane is in order, as far as it can be known from outside: a task that was
 * accepted before another one of its priority was even asked for is not passed by it. Tasks that
 * wait for their time, or whose start is recorded first, have no such promise. */
static void check_order(struct oracle *o, const struct subject *s)
{
	if (s->wish->options.not_before_ms || s->wish->options.at_most_once || s->tally.failures)
		return;
	for (uint32_t i = 0; i < o->told_count; i++) {
		const struct subject *e = o->told[i];
		if (e->final || e->token_count || e->cancel_asked || expired(o, e) ||
		    e->wish->options.not_before_ms || e->wish->options.at_most_once ||
		    e->wish->options.priority != s->wish->options.priority ||
		    e->wish->labels != s->wish->labels)
			continue;
		MUST(o->w, e->told_at > s->asked_at || fh_id_compare(e->id, s->id) > 0,
		     "%s was sent before %s, which was accepted before it was asked for",
		     subject_name(s), subject_name(e));
	}
}

static void assigned(struct oracle *o, uint64_t number, const struct wire_assign *a)
{
	struct world *w = o->w;
	struct subject *s = oracle_find(o, a->task);
	MUST(w, s && s->durable, "an ASSIGN for a task that is not durable");
	const struct task_options *opt = &s->wish->options;
	MUST(w, !s->final, "%s was sent though it is final", subject_name(s));
	MUST(w, s->lease == NO_TOKEN, "%s was sent to worker %llu, and worker %llu has it",
	     subject_name(s), (unsigned long long)number, (unsigned long long)s->holder);
	MUST(w, a->token.generation == o->generation, "%s was sent under generation %u of %u",
	     subject_name(s), a->token.generation, o->generation);
	for (uint32_t i = 0; i < s->token_count; i++)
		MUST(w, !task_token_equal(s->tokens[i], a->token),
		     "%s: token (%u, %u) was issued twice", subject_name(s), a->token.attempt,
		     a->token.generation);
	MUST(w, !opt->at_most_once || (s->token_count == 0 && s->started_once),
	     "%s may run at most once, and is sent %s", subject_name(s),
	     s->token_count ? "again" : "before its start is durable");
	MUST(w, a->token.attempt == s->tally.attempt + !opt->at_most_once,
	     "%s: attempt %u is sent after attempt %u", subject_name(s), a->token.attempt,
	     s->tally.attempt);
	MUST(w, s->due_ms <= world_wall_most_ms(w), "%s was sent before its time", subject_name(s));
	struct script script = script_of(a->payload);
	MUST(w, script.salt == s->wish->script.salt && a->timeout_ms == opt->timeout_ms,
	     "%s was sent with something else's payload or limit", subject_name(s));
	if (s->token_count == 0)
		check_order(o, s);
	MUST(w, s->token_count < TOKENS_MAX, "%s was sent %u times", subject_name(s), TOKENS_MAX);
	s->numbers[s->token_count] = number;
	s->tokens[s->token_count++] = a->token;
	lease_begin(o, s, number, s->token_count - 1, false);
}

/* Who it is sent to can take it, and takes it. */
static void check_taker(struct oracle *o, uint64_t number, uint64_t peer,
			const struct wire_assign *a)
{
	struct world *w = o->w;
	struct worker_model *n = oracle_worker(o, number);
	MUST(w, !n->gone && n->peer == peer, "a task is sent to a worker that is not there");
	MUST(w, a->number == ++n->sent, "an ASSIGN has number %llu, and is the %lluth",
	     (unsigned long long)a->number, (unsigned long long)n->sent);
	MUST(w, n->sent <= n->granted, "worker %llu is sent %llu tasks, it has asked for %llu",
	     (unsigned long long)number, (unsigned long long)n->sent,
	     (unsigned long long)n->granted);
	MUST(w, !n->leaving && !n->ordered, "worker %llu takes no more, and is sent a task",
	     (unsigned long long)number);
	const struct subject *s = oracle_find(o, a->task);
	MUST(w, !s || (s->wish->labels & ~n->labels) == 0,
	     "%s needs labels %x and is sent to worker %llu, which has %x", subject_name(s),
	     s->wish->labels, (unsigned long long)number, n->labels);
	MUST(w, !oracle_holds(o), "a task is sent while a worker may come back with it");
	o->handed_out = true;
}

/* A worker of before the start may come back. */
bool oracle_holds(const struct oracle *o)
{
	return o->expected_count > 0 && o->w->now_us < o->start_us + o->w->knobs.limits.liveness_us;
}

void oracle_fleet_start(struct oracle *o, const struct store_recovery *r)
{
	o->runs = 1;
	o->declared = 0;
	o->handed_out = false;
	o->start_us = o->w->now_us;
	o->expected_count = 0;
	for (uint32_t i = 0; i < r->worker_count && !o->w->knobs.local; i++) {
		FH_ASSERT_CMP(i, <, sizeof o->expected / sizeof *o->expected);
		o->expected[o->expected_count++] = oracle_number_of(r->workers[i]);
	}
	for (uint32_t i = 0; i < o->remembered_count; i++) {
		uint32_t k = 0;
		while (k < o->expected_count && o->expected[k] != o->remembered[i])
			k++;
		MUST(o->w, k < o->expected_count || o->w->knobs.local,
		     "worker %llu was there, and is not remembered",
		     (unsigned long long)o->remembered[i]);
	}
}

static void forget_hello(struct oracle *o, uint64_t peer)
{
	uint32_t i = 0;
	while (i < o->hello_count && o->hellos[i].peer != peer)
		i++;
	if (i == o->hello_count)
		return;
	fh_free(o->hellos[i].refs.list);
	o->hellos[i] = o->hellos[--o->hello_count];
}

static void welcomed(struct oracle *o, uint64_t number, uint64_t peer)
{
	struct worker_model *n = oracle_worker(o, number);
	bool resumed = !n->gone;
	oracle_comes(o, number);
	uint32_t i = 0;
	while (i < o->hello_count && o->hellos[i].peer != peer)
		i++;
	MUST(o->w, i < o->hello_count, "worker %llu is welcomed, and did not come",
	     (unsigned long long)number);
	uint64_t serial = resumed ? n->serial : ++o->serials;
	/* One that was away and silent may have been given up, and nobody was told. */
	bool surely = resumed && o->w->now_us - n->heard_us < o->w->knobs.limits.liveness_us;
	bool leaving = surely && n->leaving, ordered = surely && n->ordered;
	*n = (struct worker_model){
		.peer = peer,
		.serial = serial,
		.heard_us = o->w->now_us,
		.leaving = leaving,
		.ordered = ordered,
		.came = !surely,
		.noted_at = surely ? n->noted_at : 0,
		.leases = n->leases,
		.alone = n->alone,
		.labels = o->hellos[i].labels,
	};
	oracle_brought(o, number, &o->hellos[i].refs, resumed);
	forget_hello(o, peer);
	for (uint32_t k = 0; k < o->expected_count; k++)
		if (o->expected[k] == number)
			o->expected[k--] = o->expected[--o->expected_count];
}

void oracle_ordered(struct oracle *o, uint64_t number, bool drain)
{
	oracle_worker(o, number)->ordered = drain;
}

static void said_bye(struct oracle *o, uint64_t number, uint64_t peer, enum wire_bye_why why)
{
	struct worker_model *n = oracle_worker(o, number);
	if (why == WIRE_BYE_REFUSED)
		forget_hello(o, peer);
	if (n->gone || n->peer != peer) /* over another link than that of its session */
		return;
	MUST(o->w,
	     why == WIRE_BYE_REFUSED ||
		     o->w->now_us - n->heard_us >= o->w->knobs.limits.liveness_us,
	     "worker %llu is given up, and was heard %lld us ago", (unsigned long long)number,
	     (long long)(o->w->now_us - n->heard_us));
	n->gone = true;
	n->broken |= why == WIRE_BYE_REFUSED;
}

void oracle_said(struct oracle *o, uint64_t number, uint64_t peer, const struct wire_msg *m)
{
	struct subject *s;
	switch (m->type) {
	case WIRE_ASSIGN:
		check_taker(o, number, peer, &m->assign);
		assigned(o, number, &m->assign);
		break;
	case WIRE_WELCOME:
		welcomed(o, number, peer);
		break;
	case WIRE_STALE:
		oracle_told_stale(o, number, &m->ref);
		break;
	case WIRE_RESULT_ACK:
		s = oracle_find(o, m->ref.task);
		MUST(o->w, s && (s->final || s->tally.attempt >= m->ref.token.attempt),
		     "a result is acknowledged before it is durable");
		break;
	case WIRE_BYE:
		said_bye(o, number, peer, m->bye.why);
		break;
	default:
		break;
	}
}

static void came(struct oracle *o, uint64_t number, uint64_t peer, const struct wire_hello *h)
{
	FH_ASSERT_CMP(o->hello_count, <, HELLOS_MAX);
	struct hello_model *model = &o->hellos[o->hello_count++];
	uint32_t count = h->in_flight.count;
	*model = (struct hello_model){ number,
				       peer,
				       { count, fh_calloc(count, sizeof(struct wire_ref)) },
				       labels_of(h->labels) };
	for (uint32_t i = 0; i < count; i++) {
		model->refs.list[i] = h->in_flight.list[i];
		o->declared += h->in_flight.list[i].token.generation < o->generation;
	}
}

/* A state that no worker may give, or no reason, is taken for the loss of the attempt. */
static bool may_end_so(const struct subject *s, const struct task_result *r)
{
	switch (r->reason) {
	case REASON_NONE:
		return r->state == TASK_COMPLETED;
	case REASON_CANCELLED:
		return r->state == TASK_CANCELLED && s->cancel_asked;
	case REASON_WORKER_LOST:
	case REASON_POISON:
	case REASON_EXPIRED:
		return false;
	default:
		return r->state == TASK_FAILED;
	}
}

/* It says that an attempt of its own has ended as only the loss of one can. */
static void reported(struct oracle *o, uint64_t number, const struct wire_result *r)
{
	struct subject *s = oracle_find(o, r->task);
	uint32_t k = s ? subject_token(s, r->token) : NO_TOKEN;
	if (k == NO_TOKEN || s->lease != k || s->holder != number || s->reported)
		return;
	s->reported = true;
	s->given_back = !may_end_so(s, &r->result);
}

void oracle_heard(struct oracle *o, uint64_t number, uint64_t peer, const struct wire_msg *m)
{
	struct worker_model *n = oracle_worker(o, number);
	if (m->type == WIRE_HELLO) {
		came(o, number, peer, &m->hello);
		return;
	}
	if (n->gone || n->peer != peer)
		return;
	n->heard_us = o->w->now_us;
	switch (m->type) {
	case WIRE_CREDIT:
		if (m->credit.granted_total > n->granted)
			n->granted = m->credit.granted_total;
		break;
	case WIRE_HEARTBEAT:
		oracle_listed_by(o, number, &m->heartbeat);
		break;
	case WIRE_RESULT:
		reported(o, number, &m->result);
		break;
	case WIRE_DRAIN:
		n->leaving = true;
		break;
	case WIRE_BYE:
		n->gone = true;
		n->left = m->bye.why == WIRE_BYE_DRAINED;
		n->broken = !n->left;
		break;
	default:
		break;
	}
}

void oracle_reports(struct oracle *o, uint64_t number, const struct wire_ref *ref)
{
	const struct subject *s = oracle_find(o, ref->task);
	uint32_t k = s ? subject_token(s, ref->token) : NO_TOKEN;
	MUST(o->w, k == NO_TOKEN || !s->fenced_us[k],
	     "worker %llu has given %s up, and says its result", (unsigned long long)number,
	     subject_name(s));
}

void oracle_fenced(struct oracle *o, struct fh_id task, struct task_token token)
{
	struct subject *s = oracle_find(o, task);
	uint32_t k = s ? subject_token(s, token) : NO_TOKEN;
	if (k != NO_TOKEN && !s->fenced_us[k]) {
		s->fenced_us[k] = o->w->now_us;
		o->w->seen.fenced++;
	}
}

uint32_t subject_token(const struct subject *s, struct task_token token)
{
	for (uint32_t i = 0; i < s->token_count; i++)
		if (task_token_equal(s->tokens[i], token))
			return i;
	return NO_TOKEN;
}

void oracle_begun(struct oracle *o, uint64_t number, struct fh_id task, struct task_token token)
{
	struct subject *s = oracle_find(o, task);
	uint32_t k = s ? subject_token(s, token) : NO_TOKEN;
	MUST(o->w, k != NO_TOKEN && s->numbers[k] == number,
	     "a child runs an attempt that was never sent to its host");
	MUST(o->w, !s->fenced_us[k] || o->w->now_us <= s->fenced_us[k] + FENCED_US,
	     "%s is begun by a worker that has given it up", subject_name(s));
	MUST(o->w, !s->begun[k], "%s: token (%u, %u) is run twice", subject_name(s), token.attempt,
	     token.generation);
	for (uint32_t i = 0; i < s->token_count; i++)
		MUST(o->w, !s->wish->options.at_most_once || !s->begun[i],
		     "%s may run at most once, and is begun again", subject_name(s));
	s->begun[k] = true;
}

bool oracle_has_begun(const struct subject *s, uint32_t attempt)
{
	for (uint32_t i = 0; i < s->token_count; i++)
		if (s->tokens[i].attempt == attempt && s->begun[i])
			return true;
	return false;
}
