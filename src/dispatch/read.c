/* One task: its state, result, logs, at once or when it has started or finished.
 *
 * Where it is looked for, in this order: the window (it is live), the cache (it is final), the
 * store. A call that must wait watches the task; what the watch says makes it look again. */
#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

struct read_op {
	struct store_get_task get;
	struct dispatch *d;
	struct call_get_task *call;
};

static void answer(struct dispatch *d, struct call_get_task *c, int ret)
{
	struct wait *w = c->call.state;
	if (w)
		wait_answer(d, w, ret);
	else
		dispatch_answer(&c->call, ret);
}

/* Whether a task that is not final is what the caller waits for; if not, the call is parked. */
static bool enough(struct dispatch *d, struct call_get_task *c, bool running)
{
	struct wait *w = c->call.state;
	if (running && c->wait_for == CALL_FOR_STARTED)
		return true;
	if (w ? w->expired || w->abandoned : c->wait_ms == 0)
		return true;
	if (!w) {
		w = wait_new(d, &c->call, c->wait_ms);
		if (!w)
			return true;
	}
	if (w->watches)
		return false;
	return !wait_watch(d, w, &c->task, 1);
}

static bool from_window(struct dispatch *d, struct call_get_task *c)
{
	struct core_view view;
	if (!core_find(d->core, c->task, &view) || !d->window[view.ref].used)
		return false;
	const struct window_task *t = &d->window[view.ref];
	bool running = t->started_ms != 0;
	if (!enough(d, c, running))
		return true;
	/* An end that is being recorded is not told yet. */
	struct task_rec rec = t->rec;
	rec.state = running ? TASK_RUNNING : TASK_QUEUED;
	rec.reason = REASON_NONE;
	rec.tally.attempt = view.attempt;
	rec.started_ms = t->started_ms;
	rec.finished_ms = 0;
	rec.result_size = 0;
	c->ret_task = &rec;
	struct task_result so_far = { 0 };
	bool printed =
		running && (c->want & CALL_WANT_LOGS) && live_log_copy(t, view.attempt, &so_far);
	c->ret_result = printed ? &so_far : NULL;
	answer(d, c, 0);
	task_result_release(&so_far);
	return true;
}

static bool from_cache(struct dispatch *d, struct call_get_task *c)
{
	const struct finished *f = cache_get(d, c->task);
	if (!f)
		return false;
	c->ret_task = &f->rec;
	c->ret_result = &f->result;
	answer(d, c, 0);
	return true;
}

static void read_done(struct store_op *op)
{
	struct read_op *o = (struct read_op *)op;
	struct dispatch *d = o->d;
	struct call_get_task *c = o->call;
	struct wait *w = c->call.state;
	dispatch_op_done(op);
	bool again = w && w->again;
	if (w)
		w->reading = w->again = false;
	if (op->ret == FH_ENOTFOUND)
		(void)fh_err_set(&c->call.err, op->ret, "no such task");
	if (op->ret == FH_EGONE)
		(void)fh_err_set(&c->call.err, op->ret, "the result is no longer kept");
	bool final = op->ret == 0 && task_state_is_final(o->get.ret_task.state);
	if (op->ret == 0 && !final && (again || !enough(d, c, false))) {
		/* It may have come into the window, or ended, during the read. */
		if (again)
			read_wait_try(d, w);
	} else {
		c->ret_task = op->ret == 0 || op->ret == FH_EGONE ? &o->get.ret_task : NULL;
		c->ret_result = final ? &o->get.ret_result : NULL;
		answer(d, c, op->ret);
	}
	store_op_release(op);
	fh_free(o);
}

static void look(struct dispatch *d, struct call_get_task *c)
{
	if (from_window(d, c) || from_cache(d, c))
		return;
	struct wait *w = c->call.state;
	if (w)
		w->reading = true;
	struct read_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->call = c;
	o->get.task = c->task;
	o->get.want = (c->want & CALL_WANT_RESULT ? STORE_WANT_RESULT : 0u) |
		      (c->want & CALL_WANT_LOGS ? STORE_WANT_LOGS : 0u);
	dispatch_op(d, &o->get.op, STORE_GET_TASK, read_done);
}

void read_call(struct dispatch *d, struct call_get_task *c)
{
	look(d, c);
}

void read_wait_try(struct dispatch *d, struct wait *w)
{
	/* The watch is over once it has told of an end; look() sets a new one if need be. */
	if (w->watches && !w->watches[0].watched) {
		fh_free(w->watches);
		w->watches = NULL;
		w->count = 0;
	}
	look(d, (struct call_get_task *)w->call);
}
