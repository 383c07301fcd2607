/* The oracle's boundary with workers. */
#include "oracle.h"
#include "oracle_priv.h"

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
		    e->wish->options.priority != s->wish->options.priority)
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
}

void oracle_said(struct oracle *o, uint64_t number, const struct wire_msg *m)
{
	if (m->type == WIRE_ASSIGN)
		assigned(o, number, &m->assign);
}

void oracle_heard(struct oracle *o, uint64_t number, const struct wire_msg *m)
{
	(void)o;
	(void)number;
	(void)m;
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
