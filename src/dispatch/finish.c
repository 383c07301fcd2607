/* The ends of attempts: recorded first, then told.
 *
 * Happy path: a worker's RESULT -> FINISHED -> CORE_DO_PERSIST_FINAL (collected in a batch) ->
 * stored
 * -> FINAL_STORED -> the worker is acknowledged, clients are woken, the place is free.
 * An attempt that is retried goes the same way as CORE_DO_PERSIST_RETRY, with no one to wake.
 * Failure mode: the store says that the task is final already. Then its record stands, ours is
 * dropped and logged, and who waits reads the record. */
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "dispatch/dispatch_priv.h"

struct retry_op {
	struct store_retry retry;
	struct store_retry_item item;
	struct dispatch *d;
	uint32_t ref;
};

struct start_op {
	struct store_start start;
	struct dispatch *d;
	uint32_t ref;
};

static void step_ref(struct dispatch *d, enum core_event_kind kind, uint32_t ref)
{
	struct core_event ev = { .kind = kind, .ref = { ref } };
	dispatch_step(d, &ev);
}

/* The words for an end that no runner described. */
static void describe(const struct window_task *t, enum task_reason reason, struct task_result *r)
{
	char text[128];
	const char *type = "builtins.RuntimeError", *message = text;
	switch (reason) {
	case REASON_CANCELLED:
		type = "concurrent.futures._base.CancelledError";
		message = "the task was cancelled";
		break;
	case REASON_EXPIRED:
		type = "builtins.TimeoutError";
		message = "the task expired before it was started";
		break;
	case REASON_TIMEOUT:
		type = "builtins.TimeoutError";
		(void)snprintf(text, sizeof text,
			       "the task ran longer than its limit of %" PRIu32 " ms",
			       t->rec.options.timeout_ms);
		break;
	case REASON_WORKER_LOST:
		message = "the worker that ran the task was lost";
		break;
	case REASON_POISON:
		(void)snprintf(text, sizeof text,
			       "%" PRIu32 " workers were lost while they ran the task, %" PRIu32
			       " of them while they ran nothing else",
			       t->rec.tally.losses, t->rec.tally.strikes);
		break;
	default:
		(void)snprintf(text, sizeof text, "the task ended: %s", task_reason_name(reason));
	}
	r->error_type = fh_strdup(type);
	r->error_message = fh_strdup(message);
}

static struct finish_batch *batch_of(struct dispatch *d)
{
	if (d->batch && d->batch->op.count == FINISH_BATCH)
		finish_flush(d);
	if (!d->batch) {
		d->batch = dispatch_alloc(1, sizeof *d->batch);
		d->batch->op.items = d->batch->items;
		d->batch->op.op.owner = d;
	}
	return d->batch;
}

static void persist_final(struct dispatch *d, const struct core_action *a)
{
	struct window_task *t = &d->window[a->ref];
	struct task_result *r = &t->result;
	FH_ASSERT(t->used && fh_id_equal(t->rec.id, a->id));
	list_remove(&t->running); /* its slot may run the next one while this end is recorded */
	t->rec.tally = a->persist.tally;
	if (a->persist.by_worker) {
		FH_ASSERT(d->incoming != NULL);
		*r = d->incoming->result;
		d->incoming->result = (struct task_result){ 0 };
	} else {
		describe(t, a->persist.reason, r);
		/* It may have printed more that nobody has seen. */
		if (live_log_copy(t, a->persist.tally.attempt, r))
			r->out_cut = r->err_cut = true;
	}
	r->state = a->persist.state;
	r->reason = a->persist.reason;
	if (!r->started_ms || (t->started_ms && t->started_ms < r->started_ms))
		r->started_ms = t->started_ms;
	if (r->started_ms && r->started_ms < t->rec.created_ms)
		r->started_ms = t->rec.created_ms;
	if (!r->finished_ms)
		r->finished_ms = dispatch_wall_ms(d);
	t->rec.state = r->state;
	t->rec.reason = r->reason;
	t->rec.started_ms = r->started_ms;
	t->rec.finished_ms = r->finished_ms;
	t->rec.result_size = r->value ? r->value->len : 0;
	struct finish_batch *b = batch_of(d);
	b->refs[b->op.count] = a->ref;
	b->items[b->op.count++] = (struct store_finish_item){
		.task = a->id,
		.tally = t->rec.tally,
		.result = r,
	};
}

static void final_stored(struct store_op *op)
{
	struct finish_batch *b = (struct finish_batch *)op;
	struct dispatch *d = op->owner;
	dispatch_op_done(op);
	for (uint32_t i = 0; i < b->op.count; i++) {
		struct window_task *t = &d->window[b->refs[i]];
		t->rec.finish_seq = b->items[i].ret ? 0 : b->items[i].ret_finish_seq;
		if (b->items[i].ret)
			dispatch_log(d, "a final state was refused by the store: %s",
				     fh_error_text(b->items[i].ret));
		else
			d->last_seq = b->items[i].ret_finish_seq;
		step_ref(d, CORE_EV_FINAL_STORED, b->refs[i]);
	}
	d->totals.finished_total += b->op.count;
	fh_free(b);
	cancel_ask_again(d);
}

void finish_flush(struct dispatch *d)
{
	struct finish_batch *b = d->batch;
	if (!b)
		return;
	d->batch = NULL;
	dispatch_op(d, &b->op.op, STORE_FINISH, final_stored);
}

static void wake_waiting(struct dispatch *d, uint32_t ref)
{
	struct window_task *t = &d->window[ref];
	struct fh_id id = t->rec.id, group = t->rec.group_id;
	uint64_t seq = t->rec.finish_seq;
	if (seq == 0) {
		watch_finished(d, id, 0);
		return;
	}
	blob_free(&t->rec.payload);
	struct finished *f = cache_put(d, &t->rec, &t->result);
	feed_finished(d, group, seq, f);
	watch_finished(d, id, seq);
}

void finish_outside(struct dispatch *d, struct fh_id task, struct fh_id group, uint64_t seq)
{
	d->last_seq = seq;
	d->totals.finished_total++;
	feed_finished(d, group, seq, NULL);
	watch_finished(d, task, seq);
}

static void retry_stored(struct store_op *op)
{
	struct retry_op *o = (struct retry_op *)op;
	struct dispatch *d = o->d;
	uint32_t ref = o->ref;
	dispatch_op_done(op);
	if (o->item.ret)
		dispatch_log(d, "a retry was refused by the store: %s", fh_error_text(o->item.ret));
	fh_free(o);
	step_ref(d, CORE_EV_RETRY_STORED, ref);
	cancel_ask_again(d);
}

static void persist_retry(struct dispatch *d, const struct core_action *a)
{
	struct window_task *t = &d->window[a->ref];
	FH_ASSERT(t->used && fh_id_equal(t->rec.id, a->id));
	list_remove(&t->running);
	t->started_ms = 0;
	if (!PLANTED(LOG_OF_LOST_ATTEMPT))
		live_log_drop(d, t);
	t->rec.tally = a->persist.tally;
	struct retry_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->ref = a->ref;
	o->item = (struct store_retry_item){
		.task = a->id,
		.tally = t->rec.tally,
		.not_before_ms = a->persist.delay_us
					 ? dispatch_wall_ms(d) + (a->persist.delay_us + 999) / 1000
					 : 0,
		.release = a->persist.release,
	};
	o->retry.items = &o->item;
	o->retry.count = 1;
	dispatch_op(d, &o->retry.op, STORE_RETRY, retry_stored);
}

static void start_stored(struct store_op *op)
{
	struct start_op *o = (struct start_op *)op;
	struct dispatch *d = o->d;
	uint32_t ref = o->ref;
	dispatch_op_done(op);
	fh_free(o);
	d->starts--;
	step_ref(d, CORE_EV_START_STORED, ref);
	if (d->draining)
		sessions_drain(d);
	cancel_ask_again(d);
}

static void persist_start(struct dispatch *d, const struct core_action *a)
{
	struct start_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->ref = a->ref;
	o->start.task = a->id;
	o->start.attempt = a->persist.tally.attempt;
	d->starts++;
	dispatch_op(d, &o->start.op, STORE_START, start_stored);
}

static void note_started(struct dispatch *d, uint32_t ref)
{
	struct window_task *t = &d->window[ref];
	t->started_ms = dispatch_wall_ms(d);
	list_remove(&t->running);
	list_push_back(&d->running, &t->running);
	watch_started(d, t->rec.id);
}

void finish_perform(struct dispatch *d, const struct core_action *a)
{
	switch (a->kind) {
	case CORE_DO_PERSIST_FINAL:
		persist_final(d, a);
		break;
	case CORE_DO_PERSIST_RETRY:
		persist_retry(d, a);
		break;
	case CORE_DO_PERSIST_START:
		persist_start(d, a);
		break;
	case CORE_DO_NOTE_STARTED:
		note_started(d, a->ref);
		break;
	case CORE_DO_WAKE:
		wake_waiting(d, a->ref);
		break;
	case CORE_DO_RELEASE:
		window_clear(d, a->ref);
		break;
	default:
		FH_UNREACHABLE("not an action about an attempt");
	}
}
