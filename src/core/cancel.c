/* Decides what a cancel request means for a task of the window.
 *
 *  - waiting, or leased and not begun: it ends now; the request is answered when that is durable
 *  - running: its worker is asked to end it; the request is answered now
 *  - between two phases (its start, or the loss of an attempt, is on its way to the store): held;
 *    it ends as soon as the store has answered
 *  - its end, or its way out of the window, is on its way to the store: asked again afterwards
 *  - not here: the store decides. That is right for a submitted task too, which is here but not yet
 *    stored: calls of the store take effect in order, so the cancellation finds it stored and
 *    claimed, and comes back when the core knows of it; or finds that it never was. */
#include "core/cancel.h"

#include "core/ending.h"
#include "core/state.h"

static struct core_action *answer(struct core *c, enum core_action_kind kind,
				  const struct core_ev_cancel *ev)
{
	struct core_action *a = action_add(c, kind);
	a->id = ev->id;
	a->request.request = ev->request;
	return a;
}

static void hold(struct task *t, const struct core_ev_cancel *ev)
{
	t->cancel_asked = true;
	t->cancel_waits = true;
	t->cancel_request = ev->request;
}

static void cancel_running(struct core *c, struct task *t, const struct core_ev_cancel *ev)
{
	if (ev->spare_running) {
		answer(c, CORE_DO_ANSWER_CANCEL, ev)->request.error = FH_EBUSY;
		return;
	}
	t->cancel_asked = true;
	action_add_task(c, CORE_DO_SEND_CANCEL, t);
	answer(c, CORE_DO_ANSWER_CANCEL, ev)->request.running = true;
}

void cancel_ask(struct core *c, const struct core_ev_cancel *ev)
{
	struct task *t = task_find(c, ev->id);
	if (!t || t->phase == PHASE_RESERVED) {
		answer(c, CORE_DO_CANCEL_STORED, ev);
		return;
	}
	if (t->cancel_waits) {
		answer(c, CORE_DO_CANCEL_LATER, ev);
		return;
	}
	switch ((enum phase)t->phase) {
	case PHASE_LEASED:
		action_add_task(c, CORE_DO_SEND_CANCEL, t);
		/* fall through */
	case PHASE_WAITING:
	case PHASE_SUSPECT:
		hold(t, ev);
		ending_final(c, t, TASK_CANCELLED, REASON_CANCELLED, false);
		return;
	case PHASE_RUNNING:
		cancel_running(c, t, ev);
		return;
	case PHASE_STARTING:
	case PHASE_ORPHANED:
	case PHASE_RETURNING:
		hold(t, ev);
		return;
	default:
		answer(c, CORE_DO_CANCEL_LATER, ev);
	}
}
