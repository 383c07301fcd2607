/* Decides who gets a task, what a worker's word is worth, and what a lost worker means.
 *
 *  - assign: the policies choose task and session; a new attempt, a new token, ASSIGN
 *  - at_most_once: its start is made durable first, so that no crash can send it twice; then it is
 *    sent even by a core that drains, because a start without a run cannot be taken back
 *  - STARTED, FINISHED: compared with the lease, then ending.c
 *
 * A result that does not fit its lease is stale: counted, answered, not recorded. A worker that
 * says what cannot be (a state that is not final, a cancellation that nobody asked for) has lost
 * the attempt. */
#include "core/attempt.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/alone.h"
#include "core/ending.h"
#include "core/function.h"
#include "core/policy.h"
#include "core/state.h"

static void send(struct core *c, struct task *t)
{
	struct session *s = worker_session(c, t->session);
	t->sent_no = ++s->sent;
	t->beat = s->beat;
	task_move(c, t, PHASE_LEASED);
	struct core_action *a = action_add_task(c, CORE_DO_ASSIGN, t);
	a->assign.ahead = t->ahead;
	a->assign.number = t->sent_no;
}

void attempt_assign(struct core *c, struct task *t, const struct session *s, bool ahead)
{
	t->session = worker_session_number(c, s);
	t->ahead = ahead;
	if (t->started_once) { /* its start was stored, but its session was lost before ASSIGN */
		send(c, t);
		return;
	}
	t->tally.attempt += !PLANTED(REVOKED_TOKEN_AGAIN) || t->sent_no == 0;
	t->token = (struct task_token){ t->tally.attempt, c->generation };
	if (PLANTED(TOKEN_REUSED_AFTER_RESTART)) /* after a crash the same attempt comes again */
		t->token.generation = 0;
	if (!t->at_most_once) {
		send(c, t);
		return;
	}
	task_move(c, t, PHASE_STARTING);
	action_add_task(c, CORE_DO_PERSIST_START, t)->persist.tally.attempt = t->tally.attempt;
}

void attempt_assign_all(struct core *c)
{
	struct choice choice;
	bool held = c->hold_until_us && !PLANTED(HOLD_IGNORED);
	while (!c->draining && !held && c->turn_count > 0 && c->ready_count > 0 && action_room(c)) {
		if (!policy_fair_next(c, &choice))
			return;
		attempt_assign(c, choice.task, choice.session, choice.ahead);
	}
}

void attempt_start_stored(struct core *c, uint32_t ref)
{
	struct task *t = task_at(c, ref);
	FH_ASSERT_CMP(t->phase, ==, PHASE_STARTING);
	t->started_once = true;
	if (t->cancel_asked)
		ending_final(c, t, TASK_CANCELLED, REASON_CANCELLED, false);
	else if (t->session == CORE_NO_SESSION)
		task_wait(c, t);
	else
		send(c, t);
}

/* The fence: everything that a worker says of a task passes here. */
static bool holds(const struct core *c, const struct task *t, const struct core_ev_attempt *ev)
{
	if (!t || !task_is_leased(t))
		return false;
	if (PLANTED(STALE_RESULT_RECORDED)) /* a late result of an old attempt overtakes the new one
					     */
		return true;
	if (PLANTED(RESENT_RESULT_DROPPED) && t->sent_no > c->sessions[t->session].sent)
		return false; /* it was sent over an earlier connection */
	return t->session == ev->session && task_token_equal(t->token, ev->token);
}

void attempt_started(struct core *c, const struct core_ev_attempt *ev)
{
	struct task *t = task_find(c, ev->id);
	bool its = holds(c, t, ev) || (PLANTED(LATE_STARTED_RUNS) && t && task_is_leased(t));
	if (!its || t->phase == PHASE_RUNNING)
		return;
	if (!worker_session_can_run(worker_session(c, t->session)))
		return;
	t->started_us = c->now_us;
	task_move(c, t, PHASE_RUNNING);
	action_add_task(c, CORE_DO_NOTE_STARTED, t);
}

/* The same report again, while the first one is on its way to the store: the ACK will come. */
static bool is_repeated(const struct core *c, const struct task *t,
			const struct core_ev_attempt *ev)
{
	return !PLANTED(STALE_WHILE_RECORDED) && t && t->reported && t->session == ev->session &&
	       t->session_serial == c->sessions[ev->session].serial &&
	       task_token_equal(t->token, ev->token);
}

static void answer_stale(struct core *c, const struct core_ev_attempt *ev)
{
	struct core_action *a = action_add(c, CORE_DO_STALE);
	a->session = ev->session;
	a->id = ev->id;
	a->token = ev->token;
	c->stale++;
}

/* Why an attempt may fail, by the word of a worker. */
static bool is_failure(const struct core_ev_attempt *ev)
{
	switch (ev->reason) {
	case REASON_EXCEPTION:
	case REASON_TIMEOUT:
	case REASON_MEMORY:
	case REASON_CRASH:
	case REASON_UNDECODABLE:
	case REASON_UNSERIALISABLE:
	case REASON_RESULT_TOO_LARGE:
	case REASON_NO_SUCH_RUNTIME:
		return ev->state == TASK_FAILED;
	default:
		return false;
	}
}

static void measure(struct core *c, const struct task *t, const struct core_ev_attempt *ev)
{
	bool ran = ev->state == TASK_COMPLETED || ev->reason == REASON_EXCEPTION ||
		   ev->reason == REASON_TIMEOUT;
	if (ran)
		function_measured(c, t->function, ev->run_us);
}

/* CANCEL is said for clients alone; of what was adopted an earlier life of ours may have said it.
 */
static bool may_be_cancelled(const struct task *t)
{
	return t->cancel_asked || t->sent_no == 0;
}

static void lost_by_worker(struct core *c, struct task *t)
{
	alone_lost(worker_session(c, t->session), t);
	ending_lost(c, t);
}

void attempt_finished(struct core *c, const struct core_ev_attempt *ev)
{
	struct task *t = task_find(c, ev->id);
	if (!holds(c, t, ev)) {
		if (!is_repeated(c, t, ev))
			answer_stale(c, ev);
		return;
	}
	t->reported = true;
	measure(c, t, ev);
	if (ev->state == TASK_COMPLETED)
		ending_final(c, t, TASK_COMPLETED, REASON_NONE, true);
	else if (ev->state == TASK_CANCELLED && may_be_cancelled(t))
		ending_final(c, t, TASK_CANCELLED, REASON_CANCELLED, true);
	else if (is_failure(ev))
		ending_failed(c, t, ev->reason, ev->retry_match, true);
	else
		lost_by_worker(c, t);
}

void attempt_judge_orphans(struct core *c)
{
	while (!list_empty(&c->orphans) && action_room(c))
		ending_lost(c, list_entry(c->orphans.next, struct task, link));
}

void attempt_overran(struct core *c, struct task *t)
{
	action_add_task(c, CORE_DO_STALE, t);
	ending_failed(c, t, REASON_TIMEOUT, false, false);
}

void attempt_expired(struct core *c, struct task *t)
{
	if (t->phase == PHASE_LEASED)
		action_add_task(c, CORE_DO_STALE, t);
	ending_final(c, t, TASK_FAILED, REASON_EXPIRED, false);
}
