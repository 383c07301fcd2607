/* Jobs begin and end by the clock; the session hears of it in order, and as late as its host is
 * slow. A child that dies gives back what had not begun, and another one comes up a while later. */
#include "runner.h"

#include "base/assert.h"
#include "base/mem.h"
#include "oracle.h"
#include "world.h"

enum { GRACE_US = 2000, RESPAWN_MAX_US = 20000 };

/* Who has stopped a child is undone within so long; of one that hangs there is another one. */
enum { CONTINUED_US = 4000000, REPLACED_US = 12000000 };

void runner_model_init(struct runner_model *r, struct world *w, uint64_t number, uint32_t slots)
{
	*r = (struct runner_model){ .w = w, .number = number, .slots = slots };
	r->ready_us = w->now_us + 1 + rng_skewed(&w->rng, 50000);
}

void runner_model_release(struct runner_model *r)
{
	while (r->news_len > 0) {
		struct news n = runner_model_news(r);
		task_result_release(&n.result);
	}
}

static struct news *tell(struct runner_model *r, enum session_event_kind kind, uint32_t slot,
			 uint64_t job)
{
	FH_ASSERT_CMP(r->news_len, <, NEWS_MAX);
	struct news *n = &r->news[(r->news_first + r->news_len++) % NEWS_MAX];
	*n = (struct news){ .event = { .kind = kind, .slot = { .slot = slot, .job = job } } };
	return n;
}

struct news runner_model_news(struct runner_model *r)
{
	FH_ASSERT_CMP(r->news_len, >, 0);
	struct news n = r->news[r->news_first];
	r->news_first = (r->news_first + 1) % NEWS_MAX;
	r->news_len--;
	if (n.event.kind == SESSION_EV_SLOT_READY)
		r->children[n.event.slot.slot].up = true;
	return n;
}

/* ---- the pipe of a child ---- */

static void schedule_head(struct runner_model *r, struct child *c)
{
	struct rng *rng = &r->w->rng;
	int64_t now_us = r->w->now_us;
	if (c->len == 0)
		return;
	struct job *j = &c->pipe[0];
	if (!r->w->calm && c->hears_us <= now_us && rng_chance(rng, r->w->knobs.deaf))
		c->hears_us =
			rng_chance(rng, 500) ? INT64_MAX : now_us + rng_skewed(rng, CONTINUED_US);
	j->begins_us = now_us + 1 + rng_skewed(rng, 20);
	if (j->begins_us < c->hears_us)
		j->begins_us = c->hears_us;
	if (!c->unread_us || c->hears_us <= now_us)
		c->unread_us = now_us + REPLACED_US;
	j->ends_us = INT64_MAX;
	if (j->begins_us < INT64_MAX && script_act(&j->script, j->token.attempt) != ACT_HANG)
		j->ends_us = j->begins_us + script_run_us(&j->script, j->token.attempt);
	j->prints_us = INT64_MAX;
}

/* ---- what a job prints ---- */

enum { PRINTS_WITHIN_US = 20000 };

static void schedule_print(struct runner_model *r, struct job *j)
{
	uint8_t bytes[OUTPUT_MAX];
	uint64_t left = 0;
	for (unsigned i = 0; i < 2; i++)
		left += script_output(&j->script, j->task, j->token, i, bytes) - j->printed[i];
	j->prints_us =
		left == 0 ? INT64_MAX : r->w->now_us + 1 + rng_skewed(&r->w->rng, PRINTS_WITHIN_US);
}

/* Some more of it, of which the session is told. */
static void print(struct runner_model *r, uint32_t slot, struct job *j)
{
	uint8_t bytes[OUTPUT_MAX];
	for (unsigned i = 0; i < 2; i++) {
		uint64_t len = script_output(&j->script, j->task, j->token, i, bytes);
		j->printed[i] += rng_below(&r->w->rng, (uint32_t)(len - j->printed[i]) + 1);
	}
	struct news *n = tell(r, SESSION_EV_PRINTED, slot, j->number);
	n->event.slot.printed[0] = j->printed[0];
	n->event.slot.printed[1] = j->printed[1];
	schedule_print(r, j);
}

struct blob *runner_model_output(const struct runner_model *r, uint32_t slot, uint64_t job,
				 const struct session_piece *piece)
{
	const struct job *j = &r->children[slot].pipe[0];
	if (r->children[slot].len == 0 || j->number != job)
		return NULL;
	return script_output_blob(&j->script, j->task, j->token, piece->is_error, piece->from,
				  piece->to);
}

/* A job that comes to its own end has printed all. */
static void keep_output(const struct job *j, bool all, struct task_result *r)
{
	uint8_t bytes[OUTPUT_MAX];
	struct blob **outputs[] = { &r->out, &r->err };
	for (unsigned i = 0; i < 2; i++)
		*outputs[i] = script_output_blob(&j->script, j->task, j->token, i, 0,
						 all ? script_output(&j->script, j->task, j->token,
								     i, bytes)
						     : j->printed[i]);
}

static void drop_head(struct child *c)
{
	c->len--;
	for (uint32_t i = 0; i < c->len; i++)
		c->pipe[i] = c->pipe[i + 1];
}

/* The head is over, in this way. */
static void finish(struct runner_model *r, uint32_t slot, enum task_state state,
		   enum task_reason reason, bool with_value)
{
	struct child *c = &r->children[slot];
	struct job j = c->pipe[0];
	struct news *n = tell(r, SESSION_EV_FINISHED, slot, j.number);
	n->task = j.task;
	n->token = j.token;
	n->result = (struct task_result){ .state = state, .reason = reason };
	n->result.run_us = (uint32_t)(j.begun ? r->w->now_us - j.begins_us : 0);
	n->result.finished_ms = world_wall_ms(r->w);
	keep_output(&j, with_value, &n->result);
	if (with_value)
		n->result.value = script_value_blob(script_value(&j.script, j.task, j.token));
	if (state == TASK_FAILED) {
		n->result.error_type = fh_strdup("builtins.ValueError");
		n->retry_match = script_act(&j.script, j.token.attempt) == ACT_MATCHED;
	}
	n->event.slot.state = state;
	n->event.slot.reason = reason;
	n->event.slot.run_us = n->result.run_us;
	drop_head(c);
}

/* The child is gone: what had not begun comes back, a new one is forked. */
static void die(struct runner_model *r, uint32_t slot)
{
	struct child *c = &r->children[slot];
	for (uint32_t i = 0; i < c->len; i++)
		(void)tell(r, SESSION_EV_RETURNED, slot, c->pipe[i].number);
	c->len = 0;
	c->hears_us = c->unread_us = 0;
	c->up = false;
	c->up_us = r->w->now_us + 1 + rng_skewed(&r->w->rng, RESPAWN_MAX_US);
	(void)tell(r, SESSION_EV_SLOT_DOWN, slot, 0);
}

bool runner_model_run(struct runner_model *r, uint32_t slot, const struct job *job)
{
	struct child *c = &r->children[slot];
	if (!c->up || c->len == PIPE_MAX)
		return false;
	if (c->len > 0 && !r->w->calm && rng_chance(&r->w->rng, 30))
		return false; /* its socket is full */
	c->pipe[c->len++] = *job;
	if (c->len == 1)
		schedule_head(r, c);
	return true;
}

/* What the child has not read comes back; `job` is over instead. */
static void take_back(struct runner_model *r, uint32_t slot, uint64_t job, enum task_reason reason)
{
	struct child *c = &r->children[slot];
	uint32_t read = c->len > 0 && c->pipe[0].begins_us <= r->w->now_us;
	for (uint32_t i = read; i < c->len; i++) {
		struct job *j = &c->pipe[i];
		if (j->number != job) {
			(void)tell(r, SESSION_EV_RETURNED, slot, j->number);
			continue;
		}
		struct news *n = tell(r, SESSION_EV_FINISHED, slot, job);
		n->task = j->task;
		n->token = j->token;
		n->result.reason = n->event.slot.reason = reason;
		n->result.state = n->event.slot.state =
			reason == REASON_CANCELLED ? TASK_CANCELLED : TASK_FAILED;
	}
	c->len = c->len < read ? c->len : read;
}

void runner_model_steal(struct runner_model *r, uint32_t slot)
{
	take_back(r, slot, 0, REASON_NONE);
}

void runner_model_kill(struct runner_model *r, uint32_t slot, uint64_t job, enum task_reason reason)
{
	struct child *c = &r->children[slot];
	uint32_t held = 0;
	for (uint32_t i = 0; i < c->len; i++)
		held += c->pipe[i].number == job;
	if (!held || c->pipe[0].killed)
		return;
	take_back(r, slot, job, reason);
	struct job *head = &c->pipe[0];
	if (c->len == 0 || head->number != job)
		return;
	head->killed = reason;
	head->killed_us = r->w->now_us + rng_below(&r->w->rng, GRACE_US);
	head->ends_us = INT64_MAX; /* its own end would come too late */
}

/* ---- time ---- */

static int64_t head_next_us(const struct child *c)
{
	const struct job *j = &c->pipe[0];
	int64_t at = !j->begun ? (j->begins_us < c->unread_us ? j->begins_us : c->unread_us)
		     : j->prints_us < j->ends_us ? j->prints_us
						 : j->ends_us;
	return j->killed && j->killed_us < at ? j->killed_us : at;
}

static void advance_head(struct runner_model *r, uint32_t slot)
{
	struct child *c = &r->children[slot];
	struct job *j = &c->pipe[0];
	if (j->killed && j->killed_us <= r->w->now_us) {
		finish(r, slot, j->killed == REASON_CANCELLED ? TASK_CANCELLED : TASK_FAILED,
		       j->killed, false);
		die(r, slot);
	} else if (!j->begun && j->begins_us > r->w->now_us) {
		die(r, slot); /* it has not read it */
	} else if (!j->begun) {
		j->begun = true;
		c->unread_us = 0;
		if (j->announce || rng_chance(&r->w->rng, 500))
			(void)tell(r, SESSION_EV_STARTED, slot, j->number);
		schedule_print(r, j);
	} else if (j->prints_us <= r->w->now_us && j->prints_us < j->ends_us) {
		print(r, slot, j);
	} else {
		enum act act = script_act(&j->script, j->token.attempt);
		bool dies = act == ACT_CRASH || act == ACT_MEMORY;
		if (act == ACT_KILL) {
			r->dead = true;
			return;
		}
		finish(r, slot, script_state(act), script_reason(act), true);
		if (dies)
			die(r, slot);
		else
			schedule_head(r, c);
	}
}

void runner_model_observe(struct runner_model *r)
{
	for (uint32_t i = 0; i < r->slots; i++) {
		struct job *j = &r->children[i].pipe[0];
		if (r->children[i].len == 0 || j->seen || j->begins_us > r->w->now_us)
			continue;
		j->seen = true;
		oracle_begun(r->w->oracle, r->number, j->task, j->token);
	}
}

void runner_model_fence(const struct runner_model *r)
{
	for (uint32_t i = 0; i < r->slots; i++)
		for (uint32_t k = 0; k < r->children[i].len; k++)
			oracle_fenced(r->w->oracle, r->children[i].pipe[k].task,
				      r->children[i].pipe[k].token);
	for (uint32_t i = 0; i < r->news_len; i++) {
		const struct news *n = &r->news[(r->news_first + i) % NEWS_MAX];
		if (n->event.kind == SESSION_EV_FINISHED)
			oracle_fenced(r->w->oracle, n->task, n->token);
	}
}

static void later(int64_t *at_us, int64_t now_us, int64_t by_us)
{
	if (*at_us != INT64_MAX && *at_us > now_us)
		*at_us += by_us;
}

void runner_model_freeze(struct runner_model *r, int64_t for_us)
{
	int64_t now_us = r->w->now_us;
	runner_model_observe(r);
	later(&r->ready_us, now_us, for_us);
	for (uint32_t i = 0; i < r->slots; i++) {
		struct child *c = &r->children[i];
		struct job *j = &c->pipe[0];
		later(&c->up_us, now_us, for_us);
		if (c->len == 0)
			continue;
		later(&c->hears_us, now_us, for_us);
		later(&j->begins_us, now_us, for_us);
		later(&c->unread_us, now_us, for_us);
		later(&j->ends_us, now_us, for_us);
		later(&j->killed_us, now_us, for_us);
		later(&j->prints_us, now_us, for_us);
	}
}

bool runner_model_advance(struct runner_model *r)
{
	int64_t now_us = r->w->now_us;
	if (r->dead)
		return false;
	if (r->ready_us) {
		if (now_us < r->ready_us)
			return false;
		r->ready_us = 0;
		tell(r, SESSION_EV_READY, 0, 0)->event.runtime = "cp311";
	}
	uint32_t first = rng_below(&r->w->rng, r->slots);
	for (uint32_t i = 0; i < r->slots && r->news_len < NEWS_MAX - 2 * PIPE_MAX && !r->dead;
	     i++) {
		uint32_t slot = (first + i) % r->slots;
		struct child *c = &r->children[slot];
		if (!c->up && c->up_us <= now_us) {
			c->up_us = INT64_MAX;
			(void)tell(r, SESSION_EV_SLOT_READY, slot, 0);
		} else if (c->up && c->len > 0 && head_next_us(c) <= now_us) {
			advance_head(r, slot);
		}
	}
	return r->news_len > 0;
}

int64_t runner_model_next_us(const struct runner_model *r)
{
	if (r->news_len > 0 || r->dead)
		return r->w->now_us;
	if (r->ready_us)
		return r->ready_us;
	int64_t next_us = INT64_MAX;
	for (uint32_t i = 0; i < r->slots; i++) {
		const struct child *c = &r->children[i];
		int64_t at = !c->up ? c->up_us : c->len > 0 ? head_next_us(c) : INT64_MAX;
		next_us = at < next_us ? at : next_us;
	}
	return next_us;
}

uint64_t runner_model_hash(const struct runner_model *r)
{
	uint64_t hash = r->news_len;
	for (uint32_t i = 0; i < r->slots; i++) {
		const struct child *c = &r->children[i];
		hash = hash * 31 + c->up;
		for (uint32_t k = 0; k < c->len; k++)
			hash = hash * UINT64_C(0x9E3779B97F4A7C15) + c->pipe[k].number;
	}
	return hash;
}
