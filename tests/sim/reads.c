/* What clients ask about tasks and groups, and cancelling. */
#include "base/assert.h"
#include "clients_priv.h"

static uint32_t wait_draw(struct clients *c)
{
	return rng_chance(&c->w->rng, 400) ? 0 : rng_skewed(&c->w->rng, 2000);
}

/* True if the answer is to be looked at. */
static bool counts(const struct flight *f)
{
	int ret = f->call.ret;
	if (f->clients->w->crashing)
		return false;
	MUST(f->clients->w, ret != FH_ECLOSED || f->abandoned, "a call ends with CLOSED");
	return ret != FH_ECLOSED;
}

static void unknown(struct flight *f, struct fh_id id)
{
	MUST(f->clients->w, f->call.ret == FH_ENOTFOUND, "a call ends with %s (%s)",
	     fh_error_name(f->call.ret), f->call.err.text);
	oracle_told_unknown(f->clients->w->oracle, id);
}

/* ---- one task ---- */

static void task_got(struct call *call)
{
	struct flight *f = call->owner;
	struct world *w = f->clients->w;
	if (w->crashing)
		return;
	if (counts(f) && call->ret) {
		unknown(f, f->get_task.task);
	} else if (counts(f)) {
		const struct task_rec *t = f->get_task.ret_task;
		bool want = f->get_task.want & CALL_WANT_RESULT;
		struct subject *s = oracle_told(w->oracle, t, want ? f->get_task.ret_result : NULL);
		if (f->get_task.want & CALL_WANT_LOGS)
			oracle_told_output(w->oracle, s, t, f->get_task.ret_result);
		bool enough =
			task_state_is_final(t->state) ||
			(f->get_task.wait_for == CALL_FOR_STARTED && t->state == TASK_RUNNING);
		MUST(w, enough || f->abandoned || w->now_us >= f->deadline_us,
		     "a wait for a task ends %lld us early, in state %s",
		     (long long)(f->deadline_us - w->now_us), task_state_name(t->state));
	}
	flight_free(f);
}

static void get_task(struct clients *c, struct fh_id id)
{
	struct flight *f = flight_new(c, CALL_GET_TASK, task_got);
	f->get_task.task = id;
	f->get_task.want = rng_chance(&c->w->rng, 500) ? CALL_WANT_LOGS : CALL_WANT_RESULT;
	f->get_task.wait_ms = wait_draw(c);
	f->get_task.wait_for = rng_chance(&c->w->rng, 300) ? CALL_FOR_STARTED : CALL_FOR_FINISHED;
	f->deadline_us = c->w->now_us + f->get_task.wait_ms * INT64_C(1000);
	flight_launch(f);
}

/* ---- cancelling ---- */

static void cancelled(struct call *call)
{
	struct flight *f = call->owner;
	struct world *w = f->clients->w;
	const struct subject *s = f->subject;
	if (w->crashing)
		return;
	if (!s) {
		unknown(f, f->cancel.task);
	} else if (call->ret == 0 && !f->cancel.ret_running) {
		MUST(w, s->final && s->state == TASK_CANCELLED,
		     "a task is said to be cancelled, and is %s",
		     s->final ? task_state_name(s->state) : "open");
	} else if (call->ret == FH_EFINAL) {
		MUST(w, s->final, "a task is said to be final, and is not");
	} else if (call->ret) {
		MUST(w, call->ret == FH_EBUSY && f->cancel.spare_running,
		     "a cancellation ends with %s (%s)", fh_error_name(call->ret), call->err.text);
	} else {
		MUST(w, !f->was_final && !f->cancel.spare_running,
		     "a task is said to be running, and was final before");
		f->subject->cancel_life = w->life;
	}
	flight_free(f);
}

static void cancel_task(struct clients *c, struct subject *s)
{
	struct flight *f = flight_new(c, CALL_CANCEL, cancelled);
	f->subject = s;
	f->cancel.task = s ? s->id : clients_id(c);
	f->cancel.spare_running = !c->w->calm && rng_chance(&c->w->rng, 300);
	f->was_final = s && s->told_final;
	if (s)
		s->cancel_asked = true;
	flight_launch(f);
}

/* ---- waiting ---- */

static void group_waited(struct call *call)
{
	struct flight *f = call->owner;
	struct world *w = f->clients->w;
	const struct call_wait *c = &f->wait;
	struct group_model *g = f->group;
	if (w->crashing)
		return;
	if (counts(f)) {
		MUST(w, call->ret == 0, "waiting for a group ends with %s (%s)",
		     fh_error_name(call->ret), call->err.text);
		uint64_t seq = c->after_seq;
		for (uint32_t i = 0; i < c->ret_count; i++) {
			struct subject *s = oracle_told(w->oracle, c->ret_views[i].task,
							c->ret_views[i].result);
			MUST(w, s->group == g && s->finish_seq > seq,
			     "a group's list is out of order, or shows a stranger");
			seq = s->finish_seq;
			s->delivered++;
			g->delivered++;
			MUST(w, s->delivered == 1, "a group's list shows a task twice");
		}
		MUST(w, c->ret_cursor == seq, "a cursor does not stand at the last one shown");
		oracle_told_pending(w->oracle, g, c->ret_pending);
		MUST(w,
		     f->abandoned || w->now_us >= f->deadline_us || c->ret_pending == 0 ||
			     (!c->all && c->ret_count > 0) || c->ret_count == c->limit,
		     "waiting for a group ends early, with %llu open",
		     (unsigned long long)c->ret_pending);
		g->cursor = seq;
	}
	flight_free(f);
}

static bool follow_group(struct clients *c, struct group_model *g)
{
	if (!g || g->following || (c->w->calm && g->delivered == g->total))
		return false;
	struct flight *f = flight_new(c, CALL_WAIT, group_waited);
	g->following = true;
	f->group = g;
	f->wait.group = g->id;
	f->wait.after_seq = g->cursor;
	f->wait.all = rng_chance(&c->w->rng, 300);
	f->wait.wait_ms = c->w->calm ? 500 : wait_draw(c);
	f->wait.want = rng_chance(&c->w->rng, 500) ? CALL_WANT_RESULT : 0;
	f->wait.limit = rng_chance(&c->w->rng, 300) ? rng_range(&c->w->rng, 1, 5) : 1000;
	f->wait.max_bytes = UINT64_MAX;
	f->deadline_us = c->w->now_us + f->wait.wait_ms * INT64_C(1000);
	flight_launch(f);
	return true;
}

static void ids_waited(struct call *call)
{
	struct flight *f = call->owner;
	struct world *w = f->clients->w;
	const struct call_wait *c = &f->wait;
	if (w->crashing)
		return;
	if (counts(f)) {
		MUST(w, call->ret == 0, "waiting for tasks ends with %s (%s)",
		     fh_error_name(call->ret), call->err.text);
		uint64_t seq = c->after_seq, open = 0;
		for (uint32_t i = 0; i < c->ret_count; i++) {
			const struct subject *s = oracle_told(w->oracle, c->ret_views[i].task,
							      c->ret_views[i].result);
			MUST(w, s->finish_seq > seq, "a list of tasks is out of order");
			seq = s->finish_seq;
		}
		for (uint32_t i = 0; i < c->task_count; i++)
			open += !oracle_find(w->oracle, f->ids[i])->final;
		MUST(w, c->ret_pending >= open, "%llu tasks are said to be open, %llu are",
		     (unsigned long long)c->ret_pending, (unsigned long long)open);
		MUST(w,
		     f->abandoned || w->now_us >= f->deadline_us || c->ret_pending == 0 ||
			     (!c->all && c->ret_count > 0) || c->ret_count == c->limit,
		     "waiting for tasks ends early");
	}
	flight_free(f);
}

static void wait_for_tasks(struct clients *c)
{
	struct flight *f = flight_new(c, CALL_WAIT, ids_waited);
	uint32_t count = rng_range(&c->w->rng, 1, IDS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct fh_id id = oracle_any_told(c->w->oracle)->id;
		bool there = false;
		for (uint32_t k = 0; k < f->wait.task_count; k++)
			there |= fh_id_equal(f->ids[k], id);
		if (!there)
			f->ids[f->wait.task_count++] = id;
	}
	f->wait.tasks = f->ids;
	f->wait.all = rng_chance(&c->w->rng, 500);
	f->wait.wait_ms = wait_draw(c);
	f->wait.want = rng_chance(&c->w->rng, 500) ? CALL_WANT_RESULT : 0;
	f->wait.limit = 1000;
	f->wait.max_bytes = UINT64_MAX;
	f->deadline_us = c->w->now_us + f->wait.wait_ms * INT64_C(1000);
	flight_launch(f);
}

/* ---- totals ---- */

static void group_got(struct call *call)
{
	struct flight *f = call->owner;
	if (f->clients->w->crashing)
		return;
	MUST(f->clients->w, call->ret == 0, "a group cannot be read: %s", call->err.text);
	oracle_told_group(f->clients->w->oracle, f->get_group.ret_group);
	flight_free(f);
}

static void stats_got(struct call *call)
{
	struct flight *f = call->owner;
	if (f->clients->w->crashing)
		return;
	MUST(f->clients->w, call->ret == 0, "the totals cannot be read: %s", call->err.text);
	oracle_told_stats(f->clients->w->oracle, f->stats.ret_values);
	flight_free(f);
}

static void look_at_totals(struct clients *c)
{
	struct group_model *g = oracle_any_group(c->w->oracle);
	if (!g || rng_chance(&c->w->rng, 500)) {
		flight_launch(flight_new(c, CALL_STATS, stats_got));
		return;
	}
	struct flight *f = flight_new(c, CALL_GET_GROUP, group_got);
	f->get_group.group = g->id;
	flight_launch(f);
}

void reads_act(struct clients *c)
{
	struct subject *s = oracle_any_told(c->w->oracle);
	uint32_t what = rng_below(&c->w->rng, 100);
	struct subject *doomed = what < 10 || c->w->calm ? oracle_any_doomed(c->w->oracle) : NULL;
	if (doomed && rng_chance(&c->w->rng, 400)) {
		cancel_task(c, doomed);
		return;
	}
	if (c->w->calm || what < 35) {
		(void)follow_group(c, oracle_any_group(c->w->oracle));
		return;
	}
	if (what < 37)
		get_task(c, clients_id(c));
	else if (what < 39)
		cancel_task(c, NULL);
	else if (!s)
		return;
	else if (what < 65)
		get_task(c, s->id);
	else if (what < 80)
		cancel_task(c, s);
	else if (what < 92)
		wait_for_tasks(c);
	else
		look_at_totals(c);
}
