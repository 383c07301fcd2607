/* Decides whether a task that an attempt has left goes on or ends.
 *
 *  - final: PERSIST_FINAL; once stored ACK the worker, answer who cancelled, WAKE, RELEASE
 *  - retried: PERSIST_RETRY with a delay; once stored ACK, RELEASE: the store has it, delayed
 *  - lost: PERSIST_RETRY without; once stored ACK, and it waits again at its old place
 *
 * A task that was asked to be cancelled never goes on. One that may run at most once never does
 * either, whatever `retries` says. The store does not refuse: a medium that fails stops us. */
#include "core/ending.h"

#include "base/assert.h"
#include "core/admit.h"
#include "core/alone.h"
#include "core/deadline.h"
#include "core/retry.h"
#include "core/state.h"

static struct core_action *persist(struct core *c, enum core_action_kind kind, const struct task *t)
{
	struct core_action *a = action_add_task(c, kind, t);
	a->persist.tally = t->tally;
	return a;
}

void ending_final(struct core *c, struct task *t, enum task_state state, enum task_reason reason,
		  bool by_worker)
{
	task_move(c, t, PHASE_ENDING);
	t->final_state = (uint8_t)state;
	struct core_action *a = persist(c, CORE_DO_PERSIST_FINAL, t);
	a->persist.state = state;
	a->persist.reason = reason;
	a->persist.by_worker = by_worker;
}

static void pause_task(struct core *c, struct task *t)
{
	int64_t delay_us = retry_delay_us(t, t->tally.failures, c->random ^ fh_id_hash(t->id));
	task_move(c, t, PHASE_PAUSING);
	t->due_us = c->now_us + delay_us;
	c->retries++;
	struct core_action *a = persist(c, CORE_DO_PERSIST_RETRY, t);
	a->persist.delay_us = delay_us;
	a->persist.release = true;
}

void ending_failed(struct core *c, struct task *t, enum task_reason reason, bool matched,
		   bool by_worker)
{
	bool retry = retry_applies(t, reason, matched);
	t->tally.failures++;
	if (!retry)
		ending_final(c, t, TASK_FAILED, reason, by_worker);
	else if (t->cancel_asked)
		ending_final(c, t, TASK_CANCELLED, REASON_CANCELLED, false);
	else
		pause_task(c, t);
}

void ending_lost(struct core *c, struct task *t)
{
	c->lost++;
	if (t->cancel_asked) {
		ending_final(c, t, TASK_CANCELLED, REASON_CANCELLED, false);
	} else if (t->at_most_once) {
		ending_final(c, t, TASK_FAILED, REASON_WORKER_LOST, false);
	} else if (alone_is_poison(c, t)) {
		ending_final(c, t, TASK_FAILED, REASON_POISON, false);
	} else {
		task_move(c, t, PHASE_RETURNING);
		persist(c, CORE_DO_PERSIST_RETRY, t);
	}
}

/* The worker may forget the result, if it is still the same session. */
static void acknowledge(struct core *c, struct task *t)
{
	if (!t->reported)
		return;
	t->reported = false;
	const struct session *s = &c->sessions[t->session];
	if (s->open && s->serial == t->session_serial)
		action_add_task(c, CORE_DO_ACK, t);
}

void ending_final_stored(struct core *c, uint32_t ref)
{
	struct task *t = task_at(c, ref);
	FH_ASSERT_CMP(t->phase, ==, PHASE_ENDING);
	acknowledge(c, t);
	if (t->cancel_waits) {
		FH_ASSERT_CMP(t->final_state, ==, TASK_CANCELLED);
		action_add_task(c, CORE_DO_ANSWER_CANCEL, t)->request.request = t->cancel_request;
	}
	action_add_task(c, CORE_DO_WAKE, t);
	action_add_task(c, CORE_DO_RELEASE, t);
	admit_ended(c, 1, t->bytes);
	lane_shrink(c, lane_of(c, t));
	task_move(c, t, PHASE_FREE);
}

void ending_retry_stored(struct core *c, uint32_t ref)
{
	struct task *t = task_at(c, ref);
	acknowledge(c, t);
	if (t->phase == PHASE_PAUSING) {
		if (t->due_us <= c->now_us)
			lane_backlog_grew(lane_of(c, t), t->priority);
		else
			deadline_due_at(c, t->due_us);
		deadline_expiry_at(c, t->expires_us);
		action_add_task(c, CORE_DO_RELEASE, t);
		task_move(c, t, PHASE_FREE);
		return;
	}
	FH_ASSERT_CMP(t->phase, ==, PHASE_RETURNING);
	t->session = CORE_NO_SESSION;
	if (t->cancel_asked)
		ending_final(c, t, TASK_CANCELLED, REASON_CANCELLED, false);
	else
		task_wait(c, t);
}
