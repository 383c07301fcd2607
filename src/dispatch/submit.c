/* A submission's way: functions are looked up, the answer is rendered, the core admits, the store
 * persists, the core is told, the answer leaves.
 *
 * Happy path:  submit_call -> (functions read) -> admit -> CORE_DO_PERSIST -> stored ->
 * CORE_DO_REPLY Failure modes: unknown functions (their items are left out, or the call fails), a
 * full queue (CORE_DO_REJECT before anything is stored), an idempotency key that was used (the
 * first answer is given again), an unknown group. In all of them the core is told that nothing was
 * stored. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

struct unfit {
	struct unfit *next;
	char needs[NEEDS_TEXT];
	struct call_unfit why;
};

struct submission {
	struct store_submit op;
	struct store_idempotency idempotency;
	struct dispatch *d;
	struct call_submit *call;
	uint64_t request;
	int refusal;		 /* why none of it is taken */
	uint32_t looked_up;	 /* items whose function is settled */
	uint32_t count;		 /* items that go to the store */
	struct core_spec *specs; /* of those */
	struct store_submit_item *items;
	struct unfit *unfit;	     /* why some items are left out */
	struct function **functions; /* of all items of the call, pinned; NULL: left out */
};

void submit_forget(struct store_op *op)
{
	struct submission *s = (struct submission *)op;
	store_op_release(op);
	for (struct unfit *u; (u = s->unfit);) {
		s->unfit = u->next;
		fh_free(u);
	}
	fh_free(s->specs);
	fh_free(s->items);
	fh_free((void *)s->functions);
	fh_free(s);
}

static void submission_end(struct submission *s, int ret)
{
	struct dispatch *d = s->d;
	struct call *c = &s->call->call;
	if (s->functions)
		for (uint32_t i = 0; i < s->call->count; i++)
			if (s->functions[i])
				function_unpin(d, s->functions[i]);
	dispatch_answer(c, ret);
	submit_forget(&s->op.op);
}

/* The key was used before: the first answer is given again. */
static void replay(struct submission *s)
{
	struct call_submit *c = s->call;
	c->idempotency.ret_replayed = true;
	c->idempotency.ret_status = s->idempotency.ret_status;
	c->idempotency.ret_location = s->idempotency.ret_location;
	c->idempotency.ret_body = s->idempotency.ret_response;
	submission_end(s, 0);
}

static void use_key(struct submission *s)
{
	const struct call_idempotency *i = &s->call->idempotency;
	if (!i->key)
		return;
	idempotency_fill(s->d, i, &s->idempotency);
	s->op.idempotency = &s->idempotency;
}

static void key_looked_up(struct store_op *op)
{
	struct submission *s = (struct submission *)op;
	dispatch_op_done(op);
	if (op->ret == FH_EREPLAY)
		replay(s);
	else
		submission_end(s, op->ret == FH_ENOTFOUND ? s->refusal : op->ret);
}

/* Nothing of it is taken, as `err` and `retry_after_s` say. But "nothing was accepted" is true of a
 * key only if no earlier request with it was: its client may not have heard the answer. */
static void refuse(struct submission *s, int why)
{
	s->refusal = why;
	if (!s->call->idempotency.key) {
		submission_end(s, why);
		return;
	}
	use_key(s);
	s->op.only_key = true;
	dispatch_op(s->d, &s->op.op, STORE_SUBMIT, key_looked_up);
}

void submit_spec(struct dispatch *d, const struct task_rec *t, struct function *f,
		 uint32_t class_ix, struct core_spec *ret_spec)
{
	const struct task_options *o = &t->options;
	int64_t not_before_ms =
		t->not_before_ms > o->not_before_ms ? t->not_before_ms : o->not_before_ms;
	*ret_spec = (struct core_spec){
		.id = t->id,
		.account = t->account,
		.class_ix = class_ix,
		.function = f->handle,
		.bytes = (uint32_t)t->payload_size,
		.priority = o->priority,
		.retries = o->retries,
		.retry_on = o->retry_on,
		.backoff_initial_ms = o->backoff_initial_ms,
		.backoff_max_ms = o->backoff_max_ms,
		.backoff_factor_milli = o->backoff_factor_milli,
		.tally = t->tally,
		.timeout_ms = o->timeout_ms,
		.not_before_us = dispatch_mono_us(d, not_before_ms),
		.expires_us = dispatch_mono_us(d, o->expires_at_ms),
		.at_most_once = o->at_most_once,
		.started_once = t->started_once,
		.ref = CORE_NO_REF,
	};
}

/* What the function was registered with stands in where the task says nothing. */
static void apply_defaults(const struct dispatch *d, struct task_options *o,
			   const struct task_options *defaults)
{
	if (!o->timeout_ms)
		o->timeout_ms =
			defaults->timeout_ms ? defaults->timeout_ms : d->config.default_timeout_ms;
	if (!o->mem_bytes)
		o->mem_bytes = defaults->mem_bytes;
	if (!o->retries && !(o->said & TASK_OPTION_RETRIES))
		o->retries = defaults->retries;
	if (!o->priority && !(o->said & TASK_OPTION_PRIORITY))
		o->priority = defaults->priority;
}

static void name_function(struct task_rec *t, const struct function *f)
{
	if (!t->function_name && f->rec.name)
		t->function_name = fh_strdup(f->rec.name);
}

/* No worker can run it. Neighbours mostly share the reason. */
static void leave_out(struct submission *s, struct call_submit_item *item)
{
	const char *needs = item->task.options.needs;
	struct unfit *u = s->unfit;
	if (!u || strcmp(u->needs, needs) != 0) {
		u = dispatch_alloc(1, sizeof *u);
		(void)snprintf(u->needs, sizeof u->needs, "%s", needs);
		fit_explain(s->d, needs, &u->why);
		u->next = s->unfit;
		s->unfit = u;
	}
	item->ret = FH_EUNFIT;
	item->unfit = &u->why;
}

/* Specs and store items of what is accepted. FH_ELIMIT: too many classes; FH_ENOMEM. */
static int collect(struct submission *s)
{
	struct call_submit *c = s->call;
	s->specs = dispatch_alloc(c->count, sizeof *s->specs);
	s->items = dispatch_alloc(c->count, sizeof *s->items);
	for (uint32_t i = 0; i < c->count; i++) {
		struct task_rec *t = &c->items[i].task;
		if (c->items[i].ret)
			continue;
		apply_defaults(s->d, &t->options, &s->functions[i]->rec.defaults);
		name_function(t, s->functions[i]);
		t->payload_size = t->payload ? t->payload->len : 0;
		uint32_t class_ix;
		int ret = fit_task(s->d, s->functions[i], &c->items[i], c->modules_anywhere,
				   &class_ix);
		if (ret == FH_EUNFIT) {
			leave_out(s, &c->items[i]);
			continue;
		}
		if (ret)
			return ret;
		submit_spec(s->d, t, s->functions[i], class_ix, &s->specs[s->count]);
		s->items[s->count].class_key = t->options.needs;
		s->items[s->count++].task = t;
	}
	return 0;
}

/* Why there is no class or no lane for its tasks. */
static void say_too_many_needs(struct submission *s)
{
	struct call *c = &s->call->call;
	c->retry_after_s = 60;
	s->d->totals.rejected_total += s->call->count;
	(void)fh_err_set(
		&c->err, FH_ELIMIT,
		"tasks with %d different needs were submitted since the server's start; use one "
		"of these, or start it anew",
		CORE_CLASSES_MAX - 1);
}

static void admit(struct submission *s)
{
	struct call_submit *c = s->call;
	if (c->single && c->items[0].ret) {
		(void)fh_err_set(&c->call.err, c->items[0].ret, "no such function");
		submission_end(s, c->items[0].ret);
		return;
	}
	int ret = collect(s);
	if (ret == FH_ELIMIT)
		say_too_many_needs(s);
	if (ret == 0 && c->single && c->items[0].ret) {
		ret = c->items[0].ret;
		c->call.err = c->items[0].unfit->detail;
		c->call.advice = c->items[0].unfit->advice;
		c->call.lacking = c->items[0].unfit->lacking;
	}
	if (ret) {
		refuse(s, ret);
		return;
	}
	if (c->render)
		c->render(c);
	if (c->render && !c->idempotency.body) {
		(void)fh_err_set(&c->call.err, FH_ENOMEM, "no memory for the answer");
		c->call.retry_after_s = 1;
		refuse(s, FH_ENOMEM);
		return;
	}
	s->request = dispatch_request_new(s->d, s);
	struct core_event ev = { .kind = CORE_EV_SUBMITTED,
				 .submitted = { s->request, s->specs, s->count } };
	dispatch_step(s->d, &ev);
}

/* Settles the functions of all items; waits in a function's list where one must be read first. */
static void look_up(struct submission *s)
{
	struct call_submit *c = s->call;
	for (; s->looked_up < c->count; s->looked_up++) {
		uint32_t i = s->looked_up;
		struct function *f = s->functions[i];
		if (!f) {
			f = function_try_pin(s->d, c->items[i].task.function_id);
			if (!f) {
				(void)fh_err_set(&c->call.err, FH_ELIMIT,
						 "too many different functions at once");
				c->call.retry_after_s = 1;
				s->d->totals.rejected_total += c->count;
				refuse(s, FH_ELIMIT);
				return;
			}
			s->functions[i] = f;
			if (!f->known) {
				list_push_back(&f->calls, &c->call.link);
				function_read(s->d, f);
				return;
			}
		}
		if (!f->known) {
			c->items[i].ret = FH_ENOTFOUND;
			s->functions[i] = NULL;
			function_unpin(s->d, f);
		}
	}
	admit(s);
}

void submit_resume(struct dispatch *d, struct call *c)
{
	(void)d;
	look_up(c->state);
}

void submit_call(struct dispatch *d, struct call_submit *c)
{
	if (d->draining) {
		dispatch_answer(&c->call, FH_ECLOSED);
		return;
	}
	struct submission *s = dispatch_alloc(1, sizeof *s);
	s->d = d;
	s->call = c;
	s->functions = dispatch_alloc(c->count, sizeof(struct function *));
	c->call.state = s;
	look_up(s);
}

/* The refs were given at SUBMITTED; the places are filled before the core may assign them. */
static void take_places(struct submission *s)
{
	uint32_t item = 0;
	for (uint32_t i = 0; i < s->count; i++, item++) {
		while (s->call->items[item].ret)
			item++;
		struct task_rec *t = &s->call->items[item].task;
		feed_submitted(s->d, t->group_id, 1);
		if (s->specs[i].ref != CORE_NO_REF)
			window_put(s->d, s->specs[i].ref, t, s->functions[item]);
	}
	s->d->totals.accepted_total += s->count;
}

static void stored(struct store_op *op)
{
	struct submission *s = (struct submission *)op;
	struct dispatch *d = s->d;
	dispatch_op_done(op);
	bool ok = op->ret == 0;
	if (ok)
		take_places(s);
	struct core_event ev = { .kind = CORE_EV_STORED,
				 .stored = { s->request, s->specs, s->count, ok } };
	dispatch_step(d, &ev);
	cancel_ask_again(d);
	if (ok)
		return; /* CORE_DO_REPLY has ended it */
	(void)dispatch_request_take(d, s->request);
	if (op->ret == FH_EREPLAY) {
		replay(s);
		return;
	}
	if (op->ret == FH_ENOTFOUND)
		(void)fh_err_set(&s->call->call.err, op->ret, "no such group");
	if (op->ret == FH_ELIMIT)
		say_too_many_needs(s);
	submission_end(s, op->ret);
}

static void persist(struct submission *s)
{
	const struct call_submit *c = s->call;
	for (uint32_t i = 0; i < s->count; i++)
		s->items[i].claim = s->specs[i].ref != CORE_NO_REF;
	s->op.new_group = c->new_group;
	s->op.items = s->items;
	s->op.count = s->count;
	use_key(s);
	dispatch_op(s->d, &s->op.op, STORE_SUBMIT, stored);
}

static void reject(struct submission *s, const struct core_action *a)
{
	struct call *c = &s->call->call;
	int why = a->request.error;
	s->d->totals.rejected_total += s->count;
	c->retry_after_s = a->request.retry_after_s;
	(void)fh_err_set(&c->err, why, "%s: %u task%s not accepted; try again later",
			 fh_error_text(why), s->count, s->count == 1 ? " was" : "s were");
	refuse(s, why);
}

void submit_perform(struct dispatch *d, const struct core_action *a)
{
	struct submission *s = dispatch_request_get(d, a->request.request);
	switch (a->kind) {
	case CORE_DO_PERSIST:
		persist(s);
		break;
	case CORE_DO_REJECT:
		(void)dispatch_request_take(d, a->request.request);
		reject(s, a);
		break;
	case CORE_DO_REPLY:
		(void)dispatch_request_take(d, a->request.request);
		submission_end(s, 0);
		break;
	default:
		FH_UNREACHABLE("not an action of a submission");
	}
}
