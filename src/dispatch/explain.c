/* What a task waits for, and why, in a word and in a sentence.
 *
 * Happy path: the task is looked for in the window (the core knows where it stands), in the cache
 * (it is final), in the store (it is delayed, or in the backlog). Of one that waits for a worker,
 * what it needs is compared with each worker, and the first that holds is told: nothing is handed
 * out yet, nobody is there, nobody fits, nobody of those takes tasks, their slots are taken.
 * Failure modes: FH_ENOTFOUND. A task that comes into the window during the read is looked for
 * again. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/needs_advice.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

struct explain_op {
	struct store_get_task get;
	struct dispatch *d;
	struct call_explain *call;
};

struct explanation {
	struct call_explanation told;
	struct fh_err text;
	char needs[NEEDS_TEXT]; /* what the items point into: cut at each end */
	struct call_need items[NEEDS_ITEMS_MAX];
	struct fh_err item_texts[NEEDS_ITEMS_MAX];
};

/* The workers, as a task with such needs sees them. */
struct fleet {
	struct needs_tally tally;
	uint32_t away;	       /* of those that fit */
	uint32_t ready;	       /* ... that take tasks */
	uint32_t remote;       /* ... and are in other processes */
	uint64_t slots, taken; /* ... of those that take tasks */
};

enum { SPAN_TEXT = 24 };

/* "4.2 s", "12 min", "3.5 h", "40 days" */
static const char *span(int64_t us, char text[SPAN_TEXT])
{
	static const struct {
		double below_s, unit_s;
		int digits;
		const char *unit;
	} scale[] = {
		{ 120, 1, 1, "s" },
		{ 7200, 60, 0, "min" },
		{ 48 * 3600, 3600, 1, "h" },
		{ INFINITY, 24 * 3600, 0, "days" },
	};
	double s = us > 0 ? (double)us / 1e6 : 0;
	size_t i = 0;
	while (s >= scale[i].below_s)
		i++;
	(void)snprintf(text, SPAN_TEXT, "%.*f %s", scale[i].digits, s / scale[i].unit_s,
		       scale[i].unit);
	return text;
}

static void tell(struct explanation *e, enum call_waits_for what, const char *fmt, ...)
	FH_PRINTF(3, 4);

static void tell(struct explanation *e, enum call_waits_for what, const char *fmt, ...)
{
	va_list ap;
	e->told.waits_for = what;
	va_start(ap, fmt);
	(void)vsnprintf(e->text.text, sizeof e->text.text, fmt, ap);
	va_end(ap);
}

/* ---- workers ---- */

static void count_fitting(struct dispatch *d, const struct session *s, struct fleet *f)
{
	struct core_session_view view;
	f->away += !s->connected;
	if (!s->connected || s->drain_ordered || d->draining)
		return;
	core_session_look(d->core, session_number(d, s), &view);
	f->ready++;
	f->remote += !s->door->local;
	f->slots += s->hello.slots;
	f->taken += view.in_flight < s->hello.slots ? view.in_flight : s->hello.slots;
}

static void survey(struct dispatch *d, const char *needs, struct fleet *f)
{
	*f = (struct fleet){ .away = 0 };
	for (uint32_t i = 0; i < d->sessions_touched; i++) {
		const struct session *s = &d->sessions[i];
		struct needs_verdict verdict = { 0 };
		if (!s->open)
			continue;
		const struct needs_offer offer = fit_offer(s);
		if (needs_match(needs, &offer, &verdict) < 0)
			verdict.unmet = UINT32_MAX; /* not our text: nobody fits */
		needs_tally_add(&f->tally, &offer, &verdict);
		if (!verdict.unmet)
			count_fitting(d, s, f);
	}
}

/* Each thing that it needs, and how many workers have it. */
static void list_needs(struct explanation *e, const char *needs, const struct needs_tally *t)
{
	struct needs_item item;
	const char *at = e->needs;
	uint32_t n = 0;
	(void)snprintf(e->needs, sizeof e->needs, "%s", needs);
	while (n < NEEDS_ITEMS_MAX && needs_next(&at, &item) > 0) {
		struct fh_err noun;
		uint32_t fitting = t->workers - t->unmet[n];
		needs_item_describe(&item, &noun);
		(void)fh_err_set(&e->item_texts[n], 0,
				 "%" PRIu32 " of %" PRIu32 " worker%s %s %.200s", fitting,
				 t->workers, fh_plural_s(t->workers),
				 fitting == 1 || t->workers == 1 ? "has" : "have", noun.text);
		e->items[n] = (struct call_need){ .kind = item.kind,
						  .wanted = item.value,
						  .workers = t->workers,
						  .fitting = fitting,
						  .text = e->item_texts[n].text };
		n++;
	}
	for (uint32_t i = 1; i < n; i++)
		e->needs[strcspn(e->needs, ";")] = '\0';
	e->told.needs = e->items;
	e->told.need_count = n;
}

/* ---- it waits for a worker ---- */

/* "the worker that could run it has", "all 3 workers that could run it have" */
static const char *subject(char text[64], uint32_t count)
{
	if (count == 1)
		return "the worker that could run it has";
	(void)snprintf(text, 64, "all %" PRIu32 " workers that could run it have", count);
	return text;
}

/* Why there is no worker for it that takes tasks; false: there is one. */
static bool tell_no_worker(struct dispatch *d, struct explanation *e, const char *needs,
			   const struct fleet *f)
{
	char text[64], time[SPAN_TEXT];
	const char *broken = NULL;
	int64_t hold_us = core_hold_until_us(d->core) - dispatch_now_us(d);
	if (hold_us > 0) {
		tell(e, CALL_WAITS_FOR_GRACE,
		     "the server was started anew, and gives workers %s more to come back with "
		     "what they run",
		     span(hold_us, time));
		return true;
	}
	if (f->ready && !f->remote && d->config.workers_broken)
		broken = d->config.workers_broken(d->config.env);
	if (f->ready && !broken)
		return false;
	if (broken)
		tell(e, CALL_WAITS_FOR_NO_WORKER, "the local pool can start no child: %.200s",
		     broken);
	else if (!f->tally.workers)
		tell(e, CALL_WAITS_FOR_NO_WORKER, "no worker is connected");
	else if (!f->tally.fitting) {
		e->told.waits_for = CALL_WAITS_FOR_NEEDS;
		needs_advice(needs, &f->tally, &e->text, NULL);
	} else if (f->away == f->tally.fitting)
		tell(e, CALL_WAITS_FOR_GRACE, "%s lost its connection, and may come back",
		     subject(text, f->away));
	else
		tell(e, CALL_WAITS_FOR_NO_WORKER, "%s been told to take no more tasks",
		     subject(text, f->tally.fitting));
	return true;
}

static void tell_line(struct explanation *e, const struct fleet *f, bool stored)
{
	uint64_t before = e->told.position;
	char place[64] = "it is the next one", slots[80];
	if (before || stored)
		(void)snprintf(place, sizeof place, "%s%" PRIu64 " %s before it",
			       stored ? "at least " : "", before,
			       before == 1 ? "task is" : "tasks are");
	if (f->slots == 1)
		(void)snprintf(slots, sizeof slots, "the slot that could run it is %s",
			       f->taken ? "taken" : "free");
	else
		(void)snprintf(slots, sizeof slots,
			       "%" PRIu64 " of %" PRIu64 " slots that could run it are taken",
			       f->taken, f->slots);
	tell(e, stored ? CALL_WAITS_FOR_WINDOW : CALL_WAITS_FOR_CAPACITY, "%s; %s", place, slots);
}

/* `stored`: it is in the backlog. */
static void wait_in_line(struct dispatch *d, struct explanation *e, const char *needs,
			 uint64_t before, bool stored)
{
	struct fleet f;
	survey(d, needs, &f);
	list_needs(e, needs, &f.tally);
	e->told.position_known = true;
	e->told.position = before;
	if (!tell_no_worker(d, e, needs, &f))
		tell_line(e, &f, stored);
}

static void wait_alone(struct dispatch *d, struct explanation *e, const char *needs,
		       uint32_t losses)
{
	struct fleet f;
	survey(d, needs, &f);
	list_needs(e, needs, &f.tally);
	if (!tell_no_worker(d, e, needs, &f))
		tell(e, CALL_WAITS_FOR_CAPACITY,
		     "%" PRIu32 " workers were lost with it, so it runs alone: it waits for a "
		     "worker that has nothing else",
		     losses);
}

/* ---- it waits for a time ---- */

static void wait_until(struct dispatch *d, struct explanation *e, bool retry, int64_t until_ms)
{
	char time[SPAN_TEXT];
	(void)span((until_ms - dispatch_wall_ms(d)) * 1000, time);
	e->told.until_ms = until_ms;
	if (retry)
		tell(e, CALL_WAITS_FOR_RETRY,
		     "an attempt has failed; the next one begins in %s at the earliest", time);
	else
		tell(e, CALL_WAITS_FOR_DELAYED, "its not_before is in %s", time);
}

/* ---- a worker has it ---- */

static void with_worker(struct dispatch *d, struct explanation *e,
			const struct core_wait_view *wait)
{
	const struct session *s = &d->sessions[wait->session];
	struct core_session_view view;
	char id[FH_ID_TEXT], name[80] = "the local pool", time[SPAN_TEXT];
	core_session_look(d->core, wait->session, &view);
	int64_t left_us = d->config.limits.liveness_us - view.silent_us;
	fh_id_format(s->hello.instance, id);
	if (!s->door->local)
		(void)snprintf(name, sizeof name, "worker %.64s",
			       s->hello.host ? s->hello.host : id);
	e->told.worker = s->hello.instance;
	bool silent = d->config.limits.liveness_us > 0 && left_us < view.silent_us;
	if (!s->connected || silent)
		tell(e, CALL_WAITS_FOR_GRACE,
		     "%s has it, and %s; if it is not back in %s, the task goes on elsewhere", name,
		     s->connected ? "says nothing" : "has lost its connection",
		     span(left_us, time));
	else if (wait->wait == CORE_WAITS_END)
		tell(e, CALL_WAITS_FOR_RUNNING, "it runs on %s", name);
	else if (wait->sent_no > s->arrived && wait->sent_no <= s->sent) /* not over another one */
		tell(e, CALL_WAITS_FOR_NOTHING, "it is on its way to %s", name);
	else
		tell(e, CALL_WAITS_FOR_NOTHING, "%s has it and is about to begin it", name);
}

/* ---- where it is ---- */

static void answer(struct call_explain *c, struct explanation *e)
{
	e->told.text = e->text.text;
	c->ret_explanation = &e->told;
	dispatch_answer(&c->call, 0);
}

static bool from_window(struct dispatch *d, struct call_explain *c)
{
	struct core_wait_view view;
	struct explanation e = { .told = { .state = TASK_QUEUED } };
	if (!core_find_wait(d->core, c->task, &view) || !d->window[view.ref].used)
		return false;
	const struct window_task *t = &d->window[view.ref];
	if (t->started_ms)
		e.told.state = TASK_RUNNING;
	switch (view.wait) {
	case CORE_WAITS_TURN:
		wait_in_line(d, &e, d->class_keys[view.class_ix], view.before, false);
		break;
	case CORE_WAITS_ALONE:
		wait_alone(d, &e, d->class_keys[view.class_ix], view.losses);
		break;
	case CORE_WAITS_START:
	case CORE_WAITS_END:
		with_worker(d, &e, &view);
		break;
	case CORE_WAITS_RETRY:
		wait_until(d, &e, true,
			   dispatch_wall_ms(d) + (view.due_us - dispatch_now_us(d)) / 1000);
		break;
	case CORE_WAITS_RECORDING:
		tell(&e, CALL_WAITS_FOR_NOTHING, "what has become of it is being recorded");
		break;
	}
	answer(c, &e);
	return true;
}

static void answer_final(struct call_explain *c, const struct task_rec *t)
{
	struct explanation e = { .told = { .state = t->state } };
	const char *reason = task_reason_name(t->reason);
	if (t->state == TASK_FAILED)
		tell(&e, CALL_WAITS_FOR_FINAL, "it has failed: %s", reason ? reason : "");
	else
		tell(&e, CALL_WAITS_FOR_FINAL, "it %s",
		     t->state == TASK_COMPLETED ? "has completed" : "was cancelled");
	answer(c, &e);
}

static bool from_cache(struct dispatch *d, struct call_explain *c)
{
	const struct finished *f = cache_get(d, c->task);
	if (f)
		answer_final(c, &f->rec);
	return f != NULL;
}

static void answer_stored(struct dispatch *d, struct call_explain *c, const struct task_rec *t)
{
	struct explanation e = { .told = { .state = TASK_QUEUED } };
	const char *needs = t->options.needs ? t->options.needs : "";
	uint32_t class_ix, before = 0;
	if (fit_find_class(d, needs, &class_ix))
		before = core_lane_waiting(d->core, t->account, class_ix);
	if (t->not_before_ms > dispatch_wall_ms(d))
		wait_until(d, &e, t->tally.failures > 0, t->not_before_ms);
	else
		wait_in_line(d, &e, needs, before, true);
	answer(c, &e);
}

static void read_done(struct store_op *op)
{
	struct explain_op *o = (struct explain_op *)op;
	struct dispatch *d = o->d;
	struct call_explain *c = o->call;
	const struct task_rec *t = &o->get.ret_task;
	dispatch_op_done(op);
	if (op->ret) {
		if (op->ret == FH_ENOTFOUND)
			(void)fh_err_set(&c->call.err, op->ret, "no such task");
		dispatch_answer(&c->call, op->ret);
	} else if (task_state_is_final(t->state)) {
		answer_final(c, t);
	} else if (!from_window(d, c) && !from_cache(d, c)) {
		answer_stored(d, c, t);
	}
	store_op_release(op);
	fh_free(o);
}

void explain_call(struct dispatch *d, struct call_explain *c)
{
	if (from_window(d, c) || from_cache(d, c))
		return;
	struct explain_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->call = c;
	o->get.task = c->task;
	dispatch_op(d, &o->get.op, STORE_GET_TASK, read_done);
}
