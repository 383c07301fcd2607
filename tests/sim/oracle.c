/* What the oracle knows. */
#include "oracle.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "oracle_priv.h"

enum { GROUPS_MAX = 1 << 14 };

struct oracle *oracle_new(struct world *w)
{
	struct oracle *o = fh_calloc(1, sizeof *o);
	FH_ASSERT(o != NULL);
	o->w = w;
	o->room = 1 << 17;
	o->subjects = fh_calloc(o->room, sizeof(struct subject *));
	o->told = fh_calloc(o->room, sizeof(struct subject *));
	o->doomed = fh_calloc(o->room, sizeof(struct subject *));
	o->groups = fh_calloc(GROUPS_MAX, sizeof(struct group_model *));
	o->told_groups = fh_calloc(GROUPS_MAX, sizeof(struct group_model *));
	o->workers = fh_calloc(WORKERS_MAX, sizeof *o->workers);
	FH_ASSERT(o->workers != NULL);
	int ret = map_init(&o->by_id);
	FH_ASSERT(o->subjects && o->told && o->doomed && o->groups && o->told_groups && ret == 0);
	return o;
}

void oracle_free(struct oracle **op)
{
	struct oracle *o = *op;
	oracle_crashed(o);
	for (uint32_t i = 0; i < o->count; i++)
		fh_free(o->subjects[i]);
	for (uint32_t i = 0; i < o->group_count; i++)
		fh_free(o->groups[i]);
	fh_free(o->workers);
	map_release(&o->by_id);
	fh_free((void *)o->subjects);
	fh_free((void *)o->told);
	fh_free((void *)o->doomed);
	fh_free((void *)o->groups);
	fh_free((void *)o->told_groups);
	fh_free(o);
	*op = NULL;
}

const char *subject_name(const struct subject *s)
{
	static char text[2][96];
	static int next;
	char id[FH_ID_TEXT];
	next = !next;
	fh_id_format(s->id, id);
	(void)snprintf(text[next], sizeof text[next], "task %s (request %u, try %u, item %ld)", id,
		       s->request->index, s->try, (long)(s->wish - s->request->wishes));
	return text[next];
}

struct subject *oracle_find(const struct oracle *o, struct fh_id id)
{
	return map_get(&o->by_id, id);
}

struct subject *oracle_propose(struct oracle *o, struct request *r, uint32_t item, struct fh_id id,
			       struct group_model *group)
{
	FH_ASSERT_CMP(o->count, <, o->room);
	struct subject *s = fh_calloc(1, sizeof *s);
	FH_ASSERT(s != NULL);
	s->id = id;
	s->request = r;
	s->wish = &r->wishes[item];
	s->try = r->tries;
	s->group = group;
	s->asked_at = ++o->moments;
	s->due_ms = s->wish->options.not_before_ms;
	s->lease = s->closing = s->output_token = NO_TOKEN;
	o->subjects[o->count++] = s;
	int ret = map_put(&o->by_id, id, s);
	FH_ASSERT_CMP(ret, ==, 0);
	return s;
}

struct group_model *oracle_propose_group(struct oracle *o, struct fh_id id)
{
	FH_ASSERT_CMP(o->group_count, <, GROUPS_MAX);
	struct group_model *g = fh_calloc(1, sizeof *g);
	FH_ASSERT(g != NULL);
	g->id = id;
	o->groups[o->group_count++] = g;
	return g;
}

struct group_model *oracle_group(const struct oracle *o, struct fh_id id)
{
	for (uint32_t i = o->group_count; i > 0; i--)
		if (fh_id_equal(o->groups[i - 1]->id, id))
			return o->groups[i - 1];
	return NULL;
}

struct subject *oracle_any_told(const struct oracle *o)
{
	return o->told_count ? o->told[rng_below(&o->w->rng, o->told_count)] : NULL;
}

struct subject *oracle_any_doomed(struct oracle *o)
{
	while (o->doomed_count > 0) {
		uint32_t i = rng_below(&o->w->rng, o->doomed_count);
		struct subject *s = o->doomed[i];
		if (s->final) {
			o->doomed[i] = o->doomed[--o->doomed_count];
			continue;
		}
		/* To have said it once must be enough. Mostly of what runs. */
		bool runs = s->token_count > 0 && s->begun[s->token_count - 1];
		bool now = runs || o->w->calm || rng_chance(&o->w->rng, 300);
		return now && s->cancel_life != o->w->life ? s : NULL;
	}
	return NULL;
}

struct group_model *oracle_any_group(const struct oracle *o)
{
	return o->told_group_count ? o->told_groups[rng_below(&o->w->rng, o->told_group_count)]
				   : NULL;
}

/* One that somebody has now, every other time, or that waits to be tried again: lies about those
 * are the interesting ones. */
static const struct subject *any_subject(const struct oracle *o)
{
	struct rng *rng = &o->w->rng;
	if (o->lease_count > 0 && rng_chance(rng, 500))
		return o->leases[rng_below(rng, o->lease_count)];
	const struct subject *s = o->subjects[rng_below(rng, o->count)];
	for (int tries = 0; tries < 4 && (s->final || s->token_count == 0); tries++)
		s = o->subjects[rng_below(rng, o->count)];
	return s;
}

bool oracle_any_token(const struct oracle *o, struct wire_ref *ret_ref, uint64_t *ret_number,
		      bool *ret_current)
{
	if (o->count == 0)
		return false;
	const struct subject *s = any_subject(o);
	if (s->token_count == 0)
		return false;
	uint32_t i = rng_below(&o->w->rng, s->token_count);
	*ret_ref = (struct wire_ref){ s->id, s->tokens[i] };
	*ret_number = s->numbers[i];
	*ret_current = i == s->token_count - 1 || i == s->lease;
	return true;
}

bool oracle_any_foreign(const struct oracle *o, uint64_t number, struct wire_ref *ret_ref)
{
	if (o->count == 0)
		return false;
	const struct subject *s = any_subject(o);
	if (s->token_count == 0)
		return false;
	uint32_t k = rng_below(&o->w->rng, s->token_count);
	bool its = s->numbers[k] == number;
	bool recorded = s->tokens[k].attempt <= s->tally.attempt && s->lease != k &&
			s->closing != k && !s->wish->options.at_most_once;
	bool over = s->final || recorded;
	bool another_has_it = s->lease != NO_TOKEN && s->holder != number;
	if (its || !(over || another_has_it))
		return false;
	*ret_ref = (struct wire_ref){ s->id, s->tokens[k] };
	return true;
}

uint64_t oracle_count(const struct oracle *o)
{
	return o->live + o->finals[TASK_COMPLETED] + o->finals[TASK_FAILED] +
	       o->finals[TASK_CANCELLED];
}
