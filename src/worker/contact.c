/* The contact of a worker with its dispatcher: how a session comes about, how it is kept up and how
 * it ends.
 *
 *   DOWN -connected-> UP -runtime known: HELLO-> GREETED -WELCOME-> WELCOMED -drained: BYE-> LEFT
 *
 * Happy path: HELLO declares what is held, WELCOME answers it; results and STARTED are said again,
 * and what the dispatcher does not accept is answered STALE, which ends it. A heartbeat goes out
 * every `beat_us`, and its answer comes back.
 *
 * Failure modes:
 *
 *  - The connection is lost. The dispatcher has crashed or restarts: what runs goes on, without any
 *    limit, results wait. What is in no child is forgotten: it will be assigned anew, under a new
 *    token.
 *  - BYE: the dispatcher does not know this session any more. The same, and another connection is
 *    made: over this one something of the old session may still come.
 *  - BYE: it refuses this worker. The owner is told, nothing more is said.
 *  - Nothing is heard for three quarters of the silence after which the dispatcher gives a worker
 *    up: the worker is fenced. What runs is ended, for it will run elsewhere soon; what is over and
 *    not acknowledged is kept, and is declared in the next HELLO. Then another connection is made,
 *    as this one leads nowhere.
 *  - HELLO is not answered: another connection, and nothing else. (It is not said again: a second
 *    one is a violation.)
 *
 * Time in which this process itself was stopped is not silence: what came meanwhile is in the
 * socket and was not read yet. If it was long, the dispatcher may have given the worker up: nothing
 * that it was given before is begun any more, and another connection is made, as after BYE. What
 * runs is declared, and what was given to others is answered STALE; so nothing is ended that is
 * still wanted, as when both sides slept on one laptop. Fencing keeps a task from running twice for
 * long. That it is recorded once is the token's affair. */
#include "base/assert.h"
#include "base/plant.h"
#include "worker/session_priv.h"

static void reconnect(struct session *s, enum session_reconnect_why why)
{
	session_emit(s, SESSION_DO_RECONNECT)->why = why;
	session_disconnected(s);
	if (why != SESSION_FENCED)
		return;
	s->fencing = true;
	s->stats.fenced++;
}

bool session_is_drained(const struct session *s)
{
	return s->stats.draining && session_jobs_held(s) == 0;
}

/* A large payload may take its time on a slow line. But what was lost, which happens only inside a
 * connection that loses messages, must not cost credit for ever. */
void session_heartbeat(struct session *s, const struct wire_heartbeat *m)
{
	uint64_t sent = m->assigns < s->granted ? m->assigns : s->granted;
	if (sent <= s->received || PLANTED(LOST_ASSIGN_COSTS_CREDIT)) {
		s->awaited_beats = 0;
	} else if (s->awaited_beats == 0 || s->awaited != s->received) {
		s->awaited = s->received;
		s->awaited_beats = 1;
	} else if (++s->awaited_beats == SESSION_AWAITED_BEATS) {
		s->received = sent;
		s->awaited_beats = 0;
	}
}

void session_contact_clock(struct session *s, int64_t now_us)
{
	int64_t gap_us = now_us - s->now_us;
	if (gap_us <= 0)
		return;
	if (gap_us > s->beat_us)
		s->paused_us += gap_us;
	s->now_us = now_us;
	if (s->link == LINK_WELCOMED && s->silence_us > 0 && gap_us >= s->silence_us)
		reconnect(s, SESSION_OVERSLEPT);
}

void session_heard(struct session *s)
{
	s->heard_us = s->now_us - s->paused_us;
}

/* Steps must come more often than what counts as a pause. */
static void step_soon(struct session *s)
{
	session_wake_by(s, s->now_us + s->beat_us / 2);
}

/* ---- how it comes about ---- */

void session_connected(struct session *s)
{
	if (s->link == LINK_DOWN)
		s->link = LINK_UP;
}

void session_disconnected(struct session *s)
{
	s->link = LINK_DOWN;
	s->dropping = true;
}

/* After all that the last dispatcher left has gone: HELLO declares the rest. A draining worker
 * greets only to deliver results. */
static void greet_if_possible(struct session *s)
{
	if (s->link != LINK_UP || !s->stats.runtime[0] || session_is_drained(s))
		return;
	session_emit(s, SESSION_DO_SEND_HELLO);
	s->link = LINK_GREETED;
	session_heard(s);
	step_soon(s);
}

bool session_welcome(struct session *s, const struct wire_welcome *m)
{
	if (s->link != LINK_GREETED)
		return false;
	int64_t silence_us = (int64_t)m->silence_ms * 1000;
	s->link = LINK_WELCOMED;
	s->received = s->granted = s->acked = 0;
	s->ack_us = INT64_MAX;
	s->awaited_beats = 0;
	s->stats.staying = false;
	s->silence_us = silence_us / 4 * 3;
	s->beat_us = SESSION_HEARTBEAT_US;
	if (silence_us > 0 && silence_us / 4 < s->beat_us)
		s->beat_us = silence_us / 4;
	s->heartbeat_us = s->now_us + s->beat_us;
	if (s->stats.draining)
		session_emit(s, SESSION_DO_SEND_DRAIN);
	session_heard(s);
	session_wake_by(s, s->heartbeat_us);
	step_soon(s);
	session_jobs_resend_all(s);
	session_functions_ask_all(s);
	session_slots_report_all(s);
	return true;
}

/* ---- how it ends ---- */

bool session_drain(struct session *s, const struct wire_drain *m)
{
	switch (m->how) {
	case WIRE_DRAIN_LEAVE:
		s->stats.draining = true;
		return true;
	case WIRE_DRAIN_STAY:
		s->stats.staying = true;
		return true;
	case WIRE_DRAIN_OVER:
		s->stats.staying = false;
		return true;
	default:
		return false;
	}
}

/* No credit can take back what was granted, so the dispatcher is told; what is on its way already
 * is run. */
void session_drain_by_owner(struct session *s)
{
	s->stats.draining = true;
	if (s->link == LINK_WELCOMED && !session_is_drained(s))
		session_emit(s, SESSION_DO_SEND_DRAIN);
}

bool session_bye(struct session *s, const struct wire_bye *m)
{
	if (m->why == WIRE_BYE_UNKNOWN && (s->link == LINK_GREETED || s->link == LINK_WELCOMED)) {
		reconnect(s, SESSION_UNKNOWN);
		return true;
	}
	if (m->why == WIRE_BYE_REFUSED && (s->link == LINK_GREETED || s->link == LINK_WELCOMED)) {
		session_emit(s, SESSION_DO_TELL_REFUSED);
		s->link = LINK_LEFT;
		return true;
	}
	return false;
}

void session_leave_if_drained(struct session *s)
{
	if (!session_is_drained(s) || (s->link != LINK_GREETED && s->link != LINK_WELCOMED))
		return;
	session_emit(s, SESSION_DO_SEND_BYE);
	s->link = LINK_LEFT;
}

/* ---- time ---- */

static void mind_silence(struct session *s)
{
	int64_t limit_us = s->link == LINK_WELCOMED  ? s->silence_us
			   : s->link == LINK_GREETED ? SESSION_GREET_US
						     : 0;
	if (limit_us == 0)
		return;
	int64_t end_us = s->heard_us + s->paused_us + limit_us;
	if (end_us <= s->now_us) {
		reconnect(s, s->link == LINK_WELCOMED ? SESSION_FENCED : SESSION_UNANSWERED);
		return;
	}
	session_wake_by(s, end_us);
	step_soon(s);
}

void session_ack_soon(struct session *s)
{
	if (s->ack_us == INT64_MAX)
		s->ack_us = s->now_us + SESSION_ACK_US;
	session_wake_by(s, s->ack_us);
}

static void acknowledge_if_due(struct session *s)
{
	if (s->ack_us <= s->now_us && s->acked < s->received) {
		s->acked = s->received;
		session_emit(s, SESSION_DO_SEND_ASSIGN_ACK)->assigns = s->acked;
	}
	if (s->acked == s->received)
		s->ack_us = INT64_MAX;
	session_wake_by(s, s->ack_us);
}

void session_contact_tick(struct session *s)
{
	mind_silence(s);
	if (s->link != LINK_WELCOMED)
		return;
	acknowledge_if_due(s);
	if (s->heartbeat_us <= s->now_us) {
		s->heartbeat_us = s->now_us + s->beat_us;
		session_emit(s, SESSION_DO_SEND_HEARTBEAT);
		session_emit(s, SESSION_DO_SEND_CREDIT)->granted_total = s->granted;
	}
	session_wake_by(s, s->heartbeat_us);
}

void session_contact_settle(struct session *s)
{
	if (s->dropping) {
		session_jobs_drop_waiting(s);
		s->dropping = s->out->more;
	}
	if (s->fencing)
		s->fencing = !session_slots_abandon(s);
	if (!s->dropping && !s->fencing)
		greet_if_possible(s);
}
