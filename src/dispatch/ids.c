/* Waiting for a list of tasks by id.
 *
 * Happy path: what memory does not know is read from the store once (which also finds unknown ids);
 * from then on the watches say what finishes. When the wait is over, the records come from the
 * cache if all of them are there, else from the store. Failure mode: an unknown id: FH_ENOTFOUND
 * that names it. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

struct ids_op {
	struct store_get_tasks get;
	struct dispatch *d;
	struct wait *wait;
	struct fh_id *tasks;
	uint32_t *index; /* of the wait's tasks; NULL: this read fetches the answer */
};

struct ranked {
	uint64_t seq;
	uint32_t index;
};

static int by_seq(const void *a, const void *b)
{
	uint64_t left = ((const struct ranked *)a)->seq, right = ((const struct ranked *)b)->seq;
	return left < right ? -1 : left > right;
}

void ids_finished(struct wait *w, uint32_t index, uint64_t seq)
{
	if (seq == 0)
		w->unread = true; /* final, but how is only in the store */
	else if (w->finish_seq[index] == 0) {
		w->finish_seq[index] = seq;
		w->pending--;
	}
}

static void op_free(struct ids_op *o)
{
	store_op_release(&o->get.op);
	fh_free(o->tasks);
	fh_free(o->index);
	fh_free(o);
}

void ids_forget(struct store_op *op)
{
	op_free((struct ids_op *)op);
}

static void states_read(struct store_op *op)
{
	struct ids_op *o = (struct ids_op *)op;
	struct dispatch *d = o->d;
	struct wait *w = o->wait;
	int ret = op->ret;
	dispatch_op_done(op);
	w->reading = false;
	for (uint32_t i = 0; ret == 0 && i < o->get.count; i++) {
		const struct store_task_view *v = &o->get.ret_views[i];
		if (!v->known) {
			char text[FH_ID_TEXT];
			fh_id_format(o->tasks[i], text);
			ret = fh_err_set(&w->call->err, FH_ENOTFOUND, "no task %s", text);
		} else if (task_state_is_final(v->task.state)) {
			ids_finished(w, o->index[i], v->task.finish_seq);
		}
	}
	op_free(o);
	if (w->abandoned)
		ret = FH_ECLOSED;
	if (ret)
		wait_answer(d, w, ret);
	else
		ids_wait_try(d, w);
}

static struct ids_op *op_new(struct dispatch *d, struct wait *w, uint32_t count)
{
	struct ids_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->wait = w;
	o->tasks = dispatch_alloc(count, sizeof *o->tasks);
	o->get.tasks = o->tasks;
	return o;
}

/* Asks the store for all that memory does not know; false if there is nothing to ask. */
static bool read_unknown(struct dispatch *d, struct wait *w)
{
	const struct call_wait *c = (const struct call_wait *)w->call;
	struct ids_op *o = op_new(d, w, c->task_count);
	o->index = dispatch_alloc(c->task_count, sizeof *o->index);
	for (uint32_t i = 0; i < c->task_count; i++) {
		struct core_view view;
		const struct finished *f = cache_get(d, c->tasks[i]);
		if (w->finish_seq[i] || core_find(d->core, c->tasks[i], &view))
			continue;
		if (f) {
			ids_finished(w, i, f->rec.finish_seq);
			continue;
		}
		o->index[o->get.count] = i;
		o->tasks[o->get.count++] = c->tasks[i];
	}
	if (o->get.count == 0) {
		op_free(o);
		return false;
	}
	w->reading = true;
	dispatch_op(d, &o->get.op, STORE_GET_TASKS, states_read);
	return true;
}

void ids_wait_begin(struct dispatch *d, struct wait *w)
{
	const struct call_wait *c = (const struct call_wait *)w->call;
	if (!wait_watch(d, w, c->tasks, c->task_count)) {
		wait_answer(d, w, FH_ELIMIT);
		return;
	}
	w->finish_seq = dispatch_alloc(c->task_count, sizeof *w->finish_seq);
	w->pending = c->task_count;
	w->unread = true;
	ids_wait_try(d, w);
}

/* The answer's records are read. Order and count are those that were chosen. */
static void answer_read(struct store_op *op)
{
	struct ids_op *o = (struct ids_op *)op;
	struct call_wait *c = (struct call_wait *)o->wait->call;
	dispatch_op_done(op);
	o->wait->reading = false;
	struct call_view *views = dispatch_alloc(o->get.count, sizeof *views);
	for (uint32_t i = 0; op->ret == 0 && i < o->get.ret_filled; i++) {
		const struct store_task_view *v = &o->get.ret_views[i];
		if (!v->known)
			continue; /* purged while we looked */
		views[c->ret_count++] =
			(struct call_view){ &v->task,
					    c->want & CALL_WANT_RESULT ? &v->result : NULL };
		c->ret_cursor = v->task.finish_seq;
	}
	c->ret_views = views;
	wait_answer(o->d, o->wait, o->wait->abandoned ? FH_ECLOSED : op->ret);
	fh_free(views);
	op_free(o);
}

/* Sorted by the order of finishing; the number that the answer may hold. */
static uint32_t choose(const struct wait *w, const struct call_wait *c, struct ranked *ret_ranked)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < c->task_count; i++)
		if (w->finish_seq[i] > w->after_seq)
			ret_ranked[count++] = (struct ranked){ w->finish_seq[i], i };
	if (count)
		qsort(ret_ranked, count, sizeof *ret_ranked, by_seq);
	return count < c->limit ? count : c->limit;
}

static void answer(struct dispatch *d, struct wait *w)
{
	struct call_wait *c = (struct call_wait *)w->call;
	struct ranked *ranked = dispatch_alloc(c->task_count, sizeof *ranked);
	uint32_t count = choose(w, c, ranked);
	if (count == 0 || (w->expired && c->all && w->pending > 0)) {
		fh_free(ranked);
		wait_answer(d, w, 0);
		return;
	}
	struct ids_op *o = op_new(d, w, count);
	o->get.count = count;
	o->get.want = c->want & CALL_WANT_RESULT ? STORE_WANT_RESULT : 0;
	o->get.max_bytes = c->max_bytes;
	for (uint32_t i = 0; i < count; i++)
		o->tasks[i] = c->tasks[ranked[i].index];
	fh_free(ranked);
	w->reading = true;
	dispatch_op(d, &o->get.op, STORE_GET_TASKS, answer_read);
}

void ids_wait_try(struct dispatch *d, struct wait *w)
{
	struct call_wait *c = (struct call_wait *)w->call;
	if (w->unread) {
		w->unread = false;
		if (read_unknown(d, w))
			return;
	}
	c->ret_pending = w->pending;
	bool any_new = false;
	for (uint32_t i = 0; i < c->task_count && !any_new; i++)
		any_new = w->finish_seq[i] > w->after_seq;
	if (w->pending == 0 || w->expired || (any_new && !c->all))
		answer(d, w);
}
