/* Cancelling: the core decides about what is in the window, the store about its backlog. A task can
 * move between the two while it is asked for; then it is asked for again, which ends because every
 * move is a step towards a final state. */
#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

struct cancel_op {
	struct store_cancel cancel;
	struct dispatch *d;
	struct call_cancel *call;
};

static void answer(struct call_cancel *c, int ret)
{
	if (ret == FH_ENOTFOUND)
		(void)fh_err_set(&c->call.err, ret, "no such task");
	else if (ret == FH_EFINAL)
		(void)fh_err_set(&c->call.err, ret, "the task is final already");
	else if (ret == FH_EBUSY)
		(void)fh_err_set(&c->call.err, ret, "the task is running");
	dispatch_answer(&c->call, ret);
}

static void cancel_stored(struct store_op *op)
{
	struct cancel_op *o = (struct cancel_op *)op;
	struct dispatch *d = o->d;
	struct call_cancel *c = o->call;
	dispatch_op_done(op);
	if (op->ret == FH_EBUSY) {
		/* Claimed: it is in the window by now, or its end is recorded. */
		cancel_call(d, c);
	} else {
		if (op->ret == 0) {
			struct core_dropped dropped =
				fit_dropped(d, o->cancel.ret_account, o->cancel.ret_class_key,
					    o->cancel.ret_payload_size);
			struct core_event ev = { .kind = CORE_EV_DROPPED,
						 .dropped = { .tasks = &dropped, .count = 1 } };
			dispatch_step(d, &ev);
			finish_outside(d, c->task, o->cancel.ret_group, o->cancel.ret_finish_seq);
		}
		answer(c, op->ret);
	}
	store_op_release(op);
	fh_free(o);
}

void cancel_call(struct dispatch *d, struct call_cancel *c)
{
	struct core_event ev = {
		.kind = CORE_EV_CANCEL_ASKED,
		.cancel = { dispatch_request_new(d, c), c->task, c->spare_running },
	};
	dispatch_step(d, &ev);
}

void cancel_perform(struct dispatch *d, const struct core_action *a)
{
	struct call_cancel *c = dispatch_request_take(d, a->request.request);
	struct cancel_op *o;
	switch (a->kind) {
	case CORE_DO_ANSWER_CANCEL:
		c->ret_running = a->request.running;
		answer(c, a->request.error);
		break;
	case CORE_DO_CANCEL_STORED:
		o = dispatch_alloc(1, sizeof *o);
		o->d = d;
		o->call = c;
		o->cancel.task = c->task;
		o->cancel.now_ms = dispatch_wall_ms(d);
		dispatch_op(d, &o->cancel.op, STORE_CANCEL, cancel_stored);
		break;
	case CORE_DO_CANCEL_LATER:
		list_push_back(&d->cancel_later, &c->call.link);
		break;
	default:
		FH_UNREACHABLE("not an action of a cancel");
	}
}

void cancel_ask_again(struct dispatch *d)
{
	if (list_empty(&d->cancel_later))
		return;
	struct list calls;
	list_init(&calls);
	while (!list_empty(&d->cancel_later))
		list_push_back(&calls, list_pop_front(&d->cancel_later));
	for (struct list *l; (l = list_pop_front(&calls));)
		cancel_call(d, (struct call_cancel *)list_entry(l, struct call, link));
}
