/* The worker's session: the step function, the messages about tasks, credit.
 *
 * Happy path: contact.c makes a session with the dispatcher; each ASSIGN becomes a job (job.c) that
 * fetches its function if need be (function.c) and goes through a slot (slot.c); its RESULT is kept
 * until RESULT_ACK. Credit is a cumulative total, so that a lost or doubled CREDIT does no harm: it
 * grows as jobs finish, and stops while too many results are not acknowledged. While their bytes
 * are too many, no job is begun.
 *
 * Failure modes: FUNCTION_GET and RESULT are said again when there is no answer. A message that
 * does not fit is counted and ignored; an ASSIGN beyond credit is answered as lost. */
#include "worker/session.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "worker/session_priv.h"

enum {
	/* What a step emits at most beside its loops: the handler of one event (4), and credit,
	 * heartbeat and BYE at its end; rounded up. */
	ACTIONS_RESERVED = 16,
};

int session_new(const struct session_config *config, struct session **ret_session)
{
	FH_ASSERT_CMP(config->ahead, <=, SESSION_AHEAD_MAX);
	if (config->slots == 0 || config->slots > SESSION_SLOTS_MAX)
		return FH_EINVAL;
	struct session *s = fh_calloc(1, sizeof *s);
	if (!s)
		return FH_ENOMEM;
	s->stats.slots = config->slots;
	s->window = config->slots * (config->ahead ? config->ahead : SESSION_AHEAD_LOCAL);
	s->next_us = s->ack_us = INT64_MAX;
	s->beat_us = SESSION_HEARTBEAT_US;
	if (session_jobs_init(s) || session_slots_init(s) || session_functions_init(s)) {
		session_free(&s);
		return FH_ENOMEM;
	}
	*ret_session = s;
	return 0;
}

void session_free(struct session **s)
{
	if (!*s)
		return;
	session_jobs_release(*s);
	session_slots_release(*s);
	session_functions_release(*s);
	fh_free(*s);
	*s = NULL;
}

/* ---- the step's output ---- */

struct session_action *session_emit(struct session *s, enum session_action_kind kind)
{
	FH_ASSERT_CMP(s->out->count, <, SESSION_ACTIONS_MAX);
	struct session_action *a = &s->out->list[s->out->count++];
	*a = (struct session_action){ .kind = kind };
	return a;
}

bool session_room(struct session *s)
{
	if (s->out->count + ACTIONS_RESERVED <= SESSION_ACTIONS_MAX)
		return true;
	s->out->more = true;
	return false;
}

void session_wake_by(struct session *s, int64_t at_us)
{
	if (at_us < s->next_us)
		s->next_us = at_us;
}

/* ---- credit ---- */

/* Grows by one for each job that finishes, as long as the unacknowledged results leave room for
 * everything that was granted. */
static uint64_t credit_total(const struct session *s)
{
	uint32_t to_run = s->window - session_jobs_unfinished(s);
	uint32_t to_hold = s->job_max - session_jobs_held(s);
	return s->received + (to_run < to_hold ? to_run : to_hold);
}

/* A quarter of the window at a time: three quarters are still granted then, so the dispatcher does
 * not wait for it, and it costs an eighth of a message a job or less. */
static void grant(struct session *s)
{
	if (s->link != LINK_WELCOMED || s->stats.draining || s->stats.staying)
		return;
	uint64_t total = credit_total(s);
	if (total < s->granted + s->window / 4)
		return;
	s->granted = total;
	session_emit(s, SESSION_DO_SEND_CREDIT)->granted_total = total;
}

/* ---- messages ---- */

static bool assign(struct session *s, const struct wire_assign *m)
{
	struct wire_ref ref = { m->task, m->token };
	/* It runs once. One that a later one has overtaken counts as lost: the dispatcher has been
	 * told that it would have come. */
	bool passed = m->number <= s->received && !PLANTED(ASSIGN_RUN_TWICE);
	if (passed || session_job_find(s, &ref))
		return false;
	if (m->number > s->granted) {
		struct session_action *a = session_emit(s, SESSION_DO_SEND_RESULT);
		a->ref = ref;
		a->state = TASK_FAILED;
		a->reason = REASON_WORKER_LOST;
		s->stats.refused++;
		return true;
	}
	s->received = m->number;
	session_ack_soon(s);
	s->stats.assigned++;
	struct session_job *j = session_job_add(s, m);
	session_emit(s, SESSION_DO_KEEP_ASSIGN)->job = j->number;
	return true;
}

static bool acknowledged(struct session *s, const struct wire_ref *ref)
{
	struct session_job *j = session_job_find(s, ref);
	if (!j || j->place != JOB_DONE)
		return false;
	session_job_forget(s, j);
	return true;
}

/* A result that will not be recorded is not worth running for. */
static bool stale(struct session *s, const struct wire_ref *ref)
{
	struct session_job *j = session_job_find(s, ref);
	if (!j)
		return false;
	if (j->place != JOB_PIPED) {
		session_job_forget(s, j);
		return true;
	}
	j->unwanted = true;
	session_slot_kill(s, j, REASON_CANCELLED);
	return true;
}

static bool cancel(struct session *s, const struct wire_ref *ref)
{
	struct session_job *j = session_job_find(s, ref);
	if (!j || j->place == JOB_DONE)
		return false;
	if (j->place == JOB_PIPED)
		session_slot_kill(s, j, REASON_CANCELLED);
	else
		session_job_end(s, j, TASK_CANCELLED, REASON_CANCELLED);
	return true;
}

static bool understood(struct session *s, const struct wire_msg *m)
{
	if (m->type == WIRE_WELCOME)
		return session_welcome(s, &m->welcome);
	if (m->type == WIRE_BYE)
		return session_bye(s, &m->bye);
	if (s->link != LINK_WELCOMED)
		return false;
	session_heard(s);
	switch (m->type) {
	case WIRE_HEARTBEAT:
		session_heartbeat(s, &m->heartbeat);
		return true;
	case WIRE_ASSIGN:
		return assign(s, &m->assign);
	case WIRE_FUNCTION:
		return session_function_come(s, &m->function);
	case WIRE_RESULT_ACK:
		return acknowledged(s, &m->ref);
	case WIRE_STALE:
		return stale(s, &m->ref);
	case WIRE_CANCEL:
		return cancel(s, &m->ref);
	case WIRE_DRAIN:
		return session_drain(s, &m->drain);
	default:
		return false;
	}
}

/* ---- time ---- */

static void ticked(struct session *s)
{
	s->next_us = INT64_MAX;
	session_wake_by(s, session_slots_tick(s));
	session_wake_by(s, session_jobs_tick(s));
	session_wake_by(s, session_functions_tick(s));
	session_contact_tick(s);
}

int64_t session_next_us(const struct session *s)
{
	return s->next_us;
}

/* ---- the step ---- */

static void ready(struct session *s, const char *runtime)
{
	size_t len = strlen(runtime);
	FH_ASSERT_CMP(len, <, sizeof s->stats.runtime);
	memcpy(s->stats.runtime, runtime, len + 1);
	s->stats.broken = false;
}

static void handle(struct session *s, const struct session_event *event)
{
	switch (event->kind) {
	case SESSION_EV_TICKED:
		ticked(s);
		break;
	case SESSION_EV_CONNECTED:
		session_connected(s);
		break;
	case SESSION_EV_DISCONNECTED:
		session_disconnected(s);
		break;
	case SESSION_EV_RECEIVED:
		if (!understood(s, event->message))
			s->stats.ignored++;
		break;
	case SESSION_EV_HEARD:
		if (s->link == LINK_WELCOMED)
			session_heard(s);
		break;
	case SESSION_EV_DRAINED:
		session_drain_by_owner(s);
		break;
	case SESSION_EV_READY:
		ready(s, event->runtime);
		break;
	case SESSION_EV_BROKEN:
		s->stats.broken = true;
		break;
	case SESSION_EV_SLOT_READY:
		session_slot_ready(s, event->slot.slot);
		break;
	case SESSION_EV_SLOT_DOWN:
		session_slot_down(s, event->slot.slot);
		break;
	case SESSION_EV_STARTED:
		session_slot_started(s, &event->slot);
		break;
	case SESSION_EV_PRINTED:
		session_slot_printed(s, &event->slot);
		break;
	case SESSION_EV_FINISHED:
		session_slot_finished(s, &event->slot);
		break;
	case SESSION_EV_RETURNED:
		session_slot_returned(s, &event->slot);
		break;
	case SESSION_EV_REFUSED:
		session_slot_refused(s, &event->slot);
		break;
	}
}

static void settle(struct session *s)
{
	session_contact_settle(s);
	session_functions_settle(s);
	session_slots_fill(s);
	grant(s);
	session_leave_if_drained(s);
}

void session_step(struct session *s, const struct session_event *event, int64_t now_us,
		  struct session_actions *out)
{
	out->count = 0;
	out->more = false;
	s->out = out;
	session_contact_clock(s, now_us);
	handle(s, event);
	settle(s);
	s->out = NULL;
}

/* ---- looking in ---- */

uint32_t session_job_count_max(const struct session *s)
{
	return s->job_max;
}

uint32_t session_function_count_max(const struct session *s)
{
	return s->function_max;
}

uint32_t session_in_flight(const struct session *s, struct wire_ref *ret_refs, uint32_t max)
{
	uint32_t held = 0;
	for (uint32_t i = 0; i < s->job_fresh; i++) {
		if (s->jobs[i].place == JOB_FREE || s->jobs[i].unwanted)
			continue;
		if (held < max)
			ret_refs[held] = s->jobs[i].ref;
		held++;
	}
	return held;
}

uint64_t session_received(const struct session *s)
{
	return s->received;
}

void session_stats(const struct session *s, struct session_stats *ret_stats)
{
	*ret_stats = s->stats;
	ret_stats->welcomed = s->link == LINK_WELCOMED;
	ret_stats->waiting = s->count[JOB_FETCH] + s->count[JOB_QUEUED];
	ret_stats->piped = s->count[JOB_PIPED];
	ret_stats->unacknowledged = s->count[JOB_DONE];
}
