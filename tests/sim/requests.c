/* Submissions and groups: made up, sent, answered, sent again. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "clients_priv.h"

enum { TRIES_MAX = 100 }; /* then a client gives up */

/* ---- making up ---- */

static struct task_options options_draw(struct world *w)
{
	const struct knobs *k = &w->knobs;
	struct rng *r = &w->rng;
	struct task_options o = TASK_OPTIONS_DEFAULT;
	if (rng_chance(r, k->urgent))
		o.priority = (int32_t)rng_below(r, 5) - 2;
	if (rng_chance(r, k->retried)) {
		o.retries = rng_range(r, 1, 3);
		if (rng_chance(r, 300)) {
			o.retry_on = rng_below(r, 32);
			if (o.retry_on & RETRY_ON_CLASS)
				o.retry_classes = fh_strdup("builtins.OSError");
		}
	}
	o.backoff_initial_ms = rng_below(r, 20);
	o.backoff_max_ms = rng_range(r, 5, 50);
	o.backoff_factor_milli = rng_range(r, 1000, 3000);
	if (rng_chance(r, k->limited))
		o.timeout_ms = rng_range(r, 5, 100);
	if (rng_chance(r, k->delayed))
		o.not_before_ms = world_wall_ms(w) + rng_skewed(r, 2000);
	if (rng_chance(r, k->expiring))
		o.expires_at_ms = world_wall_ms(w) + rng_skewed(r, 2000);
	o.at_most_once = rng_chance(r, k->once);
	return o;
}

static void draw_needs(struct world *w, struct wish *wish)
{
	char text[LABELS_TEXT];
	if (!w->knobs.needy || !rng_chance(&w->rng, w->knobs.needy))
		return;
	wish->labels = rng_range(&w->rng, 1, (1u << LABELS) - 1);
	labels_needed(wish->labels, text);
	wish->options.needs = fh_strdup(text);
}

static struct request *request_draw(struct clients *c)
{
	struct rng *rng = &c->w->rng;
	const struct knobs *k = &c->w->knobs;
	struct request *r = fh_calloc(1, sizeof *r);
	FH_ASSERT(r != NULL);
	r->index = c->request_count;
	r->count = rng_range(rng, 1, k->batch_max);
	r->single = r->count == 1 && rng_chance(rng, 500);
	r->keyed = rng_chance(rng, k->keyed);
	(void)snprintf(r->key, sizeof r->key, "key-%u", r->index);
	if (rng_chance(rng, 400))
		r->into = oracle_any_group(c->w->oracle);
	r->wants_group = !r->into && !r->single && rng_chance(rng, 700);
	r->send_us = c->w->now_us;
	for (uint32_t i = 0; i < r->count; i++) {
		struct wish *wish = &r->wishes[i];
		wish->options = options_draw(c->w);
		draw_needs(c->w, wish);
		wish->bytes = rng_skewed(rng, 200);
		wish->function = rng_chance(rng, 5) ? FUNCTIONS : rng_below(rng, k->functions);
		wish->by_default = function_retries(wish->function) > 0 && rng_chance(rng, 300);
		if (wish->by_default)
			wish->options.retries = function_retries(wish->function);
		wish->doomed = rng_chance(rng, k->doomed);
		wish->script =
			script_draw(rng, k->trouble, wish->options.timeout_ms > 0, k->run_max_us);
		if (rng_chance(rng, k->poison))
			script_make_poison(&wish->script, rng_chance(rng, 500));
		if (wish->doomed) {
			wish->script = script_hang(rng);
			wish->options.timeout_ms = 0;
		}
	}
	c->requests[c->request_count++] = r;
	return r;
}

/* ---- sending ---- */

static void render(struct call_submit *s)
{
	struct flight *f = s->call.owner;
	f->unrendered = !f->clients->w->calm &&
			rng_chance(&f->clients->w->rng, f->clients->w->knobs.starved / 10);
	if (f->unrendered)
		return;
	struct blob *body = blob_new(s->count * sizeof(struct fh_id));
	FH_ASSERT(body != NULL);
	memset(body->data, 0, body->len);
	for (uint32_t i = 0; i < s->count; i++)
		if (s->items[i].ret == 0)
			memcpy(body->data + i * sizeof(struct fh_id), s->items[i].task.id.b,
			       sizeof(struct fh_id));
	s->idempotency.status = 201;
	s->idempotency.body = body;
}

static void submit_done(struct call *call);

static void fill_item(struct flight *f, uint32_t i, struct group_model *group)
{
	struct clients *c = f->clients;
	const struct wish *wish = &f->request->wishes[i];
	struct task_rec *t = &f->items[i].task;
	t->id = clients_id(c);
	if (wish->function < FUNCTIONS)
		t->function_id = c->functions[wish->function];
	else
		t->function_id.b[0] = 0xEE; /* there is no such function */
	if (group)
		t->group_id = group->id;
	int ret = task_options_copy(&t->options, &wish->options);
	FH_ASSERT_CMP(ret, ==, 0);
	if (wish->by_default)
		t->options.retries = 0;
	else
		t->options.said = TASK_OPTION_RETRIES;
	f->items[i].wait_for_worker = true;
	t->created_ms = world_wall_ms(c->w);
	t->not_before_ms = t->options.not_before_ms;
	t->payload = script_payload(&wish->script, wish->bytes);
	t->payload_size = t->payload->len;
	(void)oracle_propose(c->w->oracle, f->request, i, t->id, group);
}

static void send_request(struct clients *c, struct request *r, bool again, bool altered)
{
	struct flight *f = flight_new(c, CALL_SUBMIT, submit_done);
	struct group_model *group = r->into;
	f->request = r;
	f->again = again;
	f->altered = altered;
	f->try = ++r->tries;
	r->in_flight = true;
	if (r->wants_group) {
		group = oracle_propose_group(c->w->oracle, clients_id(c));
		f->group_rec.id = group->id;
		f->group_rec.created_ms = world_wall_ms(c->w);
		f->submit.new_group = &f->group_rec;
	}
	f->submit.items = f->items;
	f->submit.count = r->count;
	f->submit.single = r->single;
	f->submit.render = render;
	if (r->keyed) {
		f->submit.idempotency.key = r->key;
		f->submit.idempotency.fingerprint[0] = (uint8_t)r->index;
		f->submit.idempotency.fingerprint[1] = altered;
	}
	for (uint32_t i = 0; i < r->count; i++)
		fill_item(f, i, group);
	flight_launch(f);
}

/* ---- answers ---- */

static void accepted(struct flight *f)
{
	struct world *w = f->clients->w;
	MUST(w, !f->altered, "request %u: its key was taken with another body", f->request->index);
	MUST(w, !f->again || f->submit.idempotency.ret_replayed || !f->request->durable_try,
	     "request %u is accepted a second time", f->request->index);
	oracle_accepted(w->oracle, &f->submit, f->request, f->try);
	f->request->settled = f->request->accepted = true;
}

/* Whether the queue takes it when it is empty. */
static bool may_fit(const struct world *w, const struct request *r)
{
	uint64_t bytes = 0;
	uint32_t seen = 0, needs = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		uint32_t bit = 1u << r->wishes[i].labels;
		bytes += sizeof(struct script) + r->wishes[i].bytes;
		needs += r->wishes[i].labels && !(seen & bit);
		seen |= bit;
	}
	if (needs >= w->knobs.limits.lanes_max)
		return false;
	return r->count <= w->knobs.limits.live_max && bytes <= w->knobs.limits.live_bytes_max;
}

static void submit_done(struct call *call)
{
	struct flight *f = call->owner;
	struct request *r = f->request;
	struct world *w = f->clients->w;
	if (w->crashing)
		return; /* clients_broken() follows */
	switch (call->ret) {
	case 0:
		accepted(f);
		break;
	case FH_ECONFLICT:
		MUST(w, f->altered, "request %u conflicts with itself", r->index);
		oracle_refused(w->oracle, &f->submit);
		break;
	case FH_ELIMIT: /* too many different functions, or needs, at once */
	case FH_EFULL:
		MUST(w, call->retry_after_s > 0, "a full queue, and no word when to try again");
		MUST(w, !r->keyed || !r->durable_try,
		     "request %u is refused, and is stored under its key", r->index);
		oracle_refused(w->oracle, &f->submit);
		/* The clients of a small queue are impatient. */
		r->send_us = w->now_us + 1000 + rng_below(&w->rng, call->retry_after_s * 100000);
		if (r->tries > TRIES_MAX || !may_fit(w, r))
			r->settled = true;
		break;
	case FH_ENOTFOUND:
		MUST(w, r->single && r->wishes[0].function == FUNCTIONS,
		     "request %u is refused: %s", r->index, call->err.text);
		oracle_refused(w->oracle, &f->submit);
		r->settled = true;
		break;
	case FH_ENOMEM:
		MUST(w, f->unrendered, "request %u finds no memory", r->index);
		oracle_refused(w->oracle, &f->submit);
		r->send_us = w->now_us + 10000;
		break;
	case FH_ECLOSED: /* it stops: another one will take it */
		oracle_refused(w->oracle, &f->submit);
		r->send_us = w->now_us + 10000;
		break;
	default:
		world_fail(w, "request %u is refused: %s (%s)", r->index, fh_error_name(call->ret),
			   call->err.text);
	}
	flight_free(f);
}

static void group_put(struct call *call)
{
	struct flight *f = call->owner;
	if (f->clients->w->crashing)
		return;
	if (call->ret == 0)
		oracle_told_of_group(f->clients->w->oracle, f->group);
	flight_free(f);
}

static void make_group(struct clients *c)
{
	struct flight *f = flight_new(c, CALL_PUT_GROUP, group_put);
	f->group = oracle_propose_group(c->w->oracle, clients_id(c));
	f->put_group.group.id = f->group->id;
	f->put_group.group.created_ms = world_wall_ms(c->w);
	flight_launch(f);
}

static struct request *due_request(struct clients *c)
{
	for (uint32_t i = 0; i < c->request_count; i++) {
		struct request *r = c->requests[i];
		if (!r->settled && !r->in_flight && r->send_us <= c->w->now_us)
			return r;
	}
	return NULL;
}

/* A request that was answered comes once more, as it was or altered. */
static bool ask_again(struct clients *c)
{
	if (c->w->calm || c->request_count == 0 || !rng_chance(&c->w->rng, 100))
		return false;
	struct request *r = c->requests[rng_below(&c->w->rng, c->request_count)];
	if (!r->keyed || !r->accepted || r->in_flight || !r->durable_try || r->tries > 8)
		return false;
	send_request(c, r, true, rng_chance(&c->w->rng, 300));
	return true;
}

/* How many there may be by now. */
static uint32_t submissions_by_now(const struct world *w)
{
	const struct knobs *k = &w->knobs;
	if (!k->spread)
		return k->submissions;
	return 2 + (uint32_t)(k->submissions * w->turn / k->turns);
}

bool requests_act(struct clients *c)
{
	struct request *r = due_request(c);
	if (ask_again(c))
		return true;
	if (!r && !c->w->calm && c->request_count < submissions_by_now(c->w)) {
		if (rng_chance(&c->w->rng, 100)) {
			make_group(c);
			return true;
		}
		r = request_draw(c);
	}
	if (!r)
		return false;
	send_request(c, r, false, false);
	return true;
}
