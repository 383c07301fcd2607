/* The head of each slot's pipe, which is what the child runs: when it needs a look, and what is
 * said or done then.
 *
 * Happy path: it has begun, and is over before anything is due. A task of its own is said to have
 * STARTED at once, a short one when it is not over soon; what it prints is said in LOGs, a few in a
 * second. Failure modes: at its limit it is killed; a short one that is not short (overdue) loses
 * what waits behind it to other slots. */
#include "base/assert.h"
#include "base/plant.h"
#include "worker/session_priv.h"

/* When the head's STARTED is due: not before it has begun; of a short one late, because most are
 * over by then. To be first in a pipe is not to have begun: the child may still be busy with its
 * own affairs. */
static int64_t report_us(const struct session_slot *slot)
{
	const struct session_job *head = slot->head;
	if (head->reported || !head->begun_us)
		return INT64_MAX;
	return head->ahead ? slot->head_us + SESSION_STARTED_US : head->begun_us;
}

/* The limit counts from the moment when it has begun, which the child of a job with a limit says.
 * A child that does not even begin is the runner's affair: it gives the job back. */
static int64_t limit_us(const struct session_slot *slot)
{
	const struct session_job *head = slot->head;
	int64_t from_us = head->begun_us;
	if (PLANTED(LIMIT_BEFORE_START) && !from_us)
		from_us = slot->head_us;
	if (head->timeout_ms == 0 || head->kill != REASON_NONE || !from_us)
		return INT64_MAX;
	return from_us + (int64_t)head->timeout_ms * 1000;
}

/* When more of what the head has printed may be said. */
static int64_t log_us(const struct session *s, const struct session_slot *slot)
{
	const struct session_job *head = slot->head;
	bool more = head->logged[0] < head->printed[0] || head->logged[1] < head->printed[1];
	return more && s->link == LINK_WELCOMED && !head->unwanted ? slot->log_us : INT64_MAX;
}

static int64_t overdue_us(const struct session_slot *slot)
{
	return slot->head->ahead && !slot->overdue ? slot->head_us + SESSION_OVERDUE_US : INT64_MAX;
}

int64_t session_head_due_us(const struct session *s, const struct session_slot *slot)
{
	int64_t first = INT64_MAX;
	if (!slot->head)
		return first;
	const int64_t due[] = { report_us(slot), limit_us(slot), overdue_us(slot),
				log_us(s, slot) };
	for (size_t i = 0; i < sizeof due / sizeof *due; i++)
		first = due[i] < first ? due[i] : first;
	return first;
}

/* ---- what the runner tells of it ---- */

static void report_started(struct session *s, struct session_job *j)
{
	j->reported = true;
	if (s->link == LINK_WELCOMED && !j->unwanted)
		session_emit(s, SESSION_DO_SEND_STARTED)->ref = j->ref;
}

void session_slot_started(struct session *s, const struct session_ev_slot *ev)
{
	struct session_job *j = session_slot_job(s, ev);
	j->begun_us = s->now_us;
	if (j == j->slot->head && report_us(j->slot) <= s->now_us)
		report_started(s, j);
	session_slot_refresh(s, j->slot);
}

void session_slot_printed(struct session *s, const struct session_ev_slot *ev)
{
	struct session_job *j = session_slot_job(s, ev);
	for (unsigned i = 0; i < 2; i++) {
		FH_ASSERT_CMP(ev->printed[i], >=, j->printed[i]);
		j->printed[i] = ev->printed[i];
	}
	session_slot_refresh(s, j->slot);
}

/* ---- the look ---- */

static void say_log(struct session *s, struct session_slot *slot)
{
	struct session_job *head = slot->head;
	slot->log_us = s->now_us + SESSION_LOG_US;
	for (unsigned i = 0; i < 2; i++) {
		if (head->logged[i] == head->printed[i])
			continue;
		struct session_action *a = session_emit(s, SESSION_DO_SEND_LOG);
		a->slot = slot->index;
		a->job = head->number;
		a->ref = head->ref;
		uint64_t left = head->printed[i] - head->logged[i];
		uint64_t to =
			head->logged[i] + (left < SESSION_LOG_BYTES ? left : SESSION_LOG_BYTES);
		a->piece = (struct session_piece){ i == 1, head->logged[i], to };
		head->logged[i] = to;
	}
}

static void look(struct session *s, struct session_slot *slot)
{
	struct session_job *head = slot->head;
	if (report_us(slot) <= s->now_us)
		report_started(s, head);
	if (log_us(s, slot) <= s->now_us)
		say_log(s, slot);
	if (overdue_us(slot) <= s->now_us) {
		slot->overdue = true;
		/* To a lone slot everything would come back, perhaps in another order: while the
		 * socket is emptied the child may read one from the middle. */
		if (s->stats.slots > 1)
			session_slot_steal(s, slot);
	}
	if (limit_us(slot) <= s->now_us)
		session_slot_kill(s, head, REASON_TIMEOUT);
	session_slot_refresh(s, slot);
}

int64_t session_slots_tick(struct session *s)
{
	int64_t next_us = INT64_MAX;
	for (uint32_t i = 0; i < s->stats.slots; i++) {
		struct session_slot *slot = &s->slots[i];
		if (slot->check_us <= s->now_us && session_room(s))
			look(s, slot);
		if (slot->check_us < next_us)
			next_us = slot->check_us;
	}
	return next_us;
}

void session_slots_report_all(struct session *s)
{
	for (uint32_t i = 0; i < s->stats.slots; i++) {
		struct session_slot *slot = &s->slots[i];
		if (!slot->head)
			continue;
		slot->head->reported = false;
		slot->head->logged[0] = slot->head->logged[1] = 0;
		slot->log_us = s->now_us;
		session_slot_refresh(s, slot);
	}
}
