/* The slots of a worker: which job runs in which child.
 *
 * Happy path, a task of its own: it takes the slot that idled last (its child is warm) and is alone
 * in it. Short tasks (`ahead`) share a child's pipe, so that it never waits for the next one: one
 * idle slot is filled with a burst of about SESSION_BURST_US, then the next one; when none idles,
 * pipes that are half empty are filled up to twice as much, in one go, so that writes come in
 * bursts. Nothing is ever put behind a task that is not short. The queue is served strictly in
 * order: a task that needs a slot for itself holds up the short ones behind it, else these could
 * keep every slot busy for ever.
 *
 * No job is begun while too many bytes of results wait for their acknowledgement.
 *
 * Failure modes: a short task that is not short (overdue) loses its pipe to other slots, if there
 * are any. A child that dies gives back what had not begun; its slot is out until the runner has a
 * new one. A child whose socket is full is left alone until it finishes something. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "worker/session_priv.h"

int session_slots_init(struct session *s)
{
	list_init(&s->idle);
	list_init(&s->open);
	s->slots = fh_calloc(s->stats.slots, sizeof *s->slots);
	if (!s->slots)
		return FH_ENOMEM;
	for (uint32_t i = 0; i < s->stats.slots; i++) {
		s->slots[i].index = i;
		s->slots[i].check_us = INT64_MAX;
		list_init(&s->slots[i].link);
		list_init(&s->slots[i].pipe);
	}
	return 0;
}

void session_slots_release(struct session *s)
{
	fh_free(s->slots);
}

/* ---- which slots may take more ---- */

static bool may_share(const struct session_slot *slot)
{
	return slot->up && slot->head && slot->head->ahead && !slot->overdue && !slot->stealing &&
	       !slot->choked && slot->kills == 0;
}

void session_slot_refresh(struct session *s, struct session_slot *slot)
{
	struct session_job *head = list_empty(&slot->pipe)
					   ? NULL
					   : list_entry(slot->pipe.next, struct session_job, link);
	if (head != slot->head) {
		slot->head = head;
		slot->head_us = s->now_us;
		slot->overdue = false;
	}
	if (slot->len <= 1)
		slot->stealing = false;
	if (slot->len == 0)
		slot->choked = false;
	slot->check_us = session_head_due_us(s, slot);
	session_wake_by(s, slot->check_us);

	list_remove(&slot->link);
	if (s->filling == slot && (!may_share(slot) || slot->len >= slot->fill_to))
		s->filling = NULL;
	if (slot->up && slot->len == 0)
		list_push_front(&s->idle, &slot->link);
	else if (s->filling != slot && may_share(slot) && slot->len <= slot->deep / 2)
		list_push_back(&s->open, &slot->link);
}

static void add(struct session *s, struct session_slot *slot, struct session_job *j)
{
	j->slot = slot;
	j->begun_us = 0;
	session_job_move(s, j, JOB_PIPED, &slot->pipe);
	if (slot->len++ == 0)
		s->stats.slots_busy++;
	session_slot_refresh(s, slot);
}

/* The job leaves its slot; the caller moves it to its next place, then calls
 * session_slot_refresh(). */
static struct session_slot *take_out(struct session *s, struct session_job *j)
{
	struct session_slot *slot = j->slot;
	list_remove(&j->link);
	if (j->kill != REASON_NONE)
		slot->kills--;
	if (--slot->len == 0)
		s->stats.slots_busy--;
	j->slot = NULL;
	j->begun_us = 0;
	j->printed[0] = j->printed[1] = j->logged[0] = j->logged[1] = 0;
	return slot;
}

/* ---- jobs into slots ---- */

static uint32_t clamp(uint32_t value, uint32_t low, uint32_t high)
{
	return value < low ? low : value > high ? high : value;
}

static struct session_slot *first_of(const struct list *slots)
{
	return list_empty(slots) ? NULL : list_entry(slots->next, struct session_slot, link);
}

static struct session_slot *choose(struct session *s, const struct session_job *j)
{
	if (!j->ahead)
		return first_of(&s->idle);
	if (s->filling)
		return s->filling;
	uint32_t burst = clamp(SESSION_BURST_US / session_function_cost_us(j->function), 1,
			       SESSION_PIPE_MAX);
	uint32_t deep = clamp(2 * burst, 2, SESSION_PIPE_MAX);
	struct session_slot *slot = first_of(&s->idle);
	uint32_t fill_to = burst;
	if (!slot) {
		slot = first_of(&s->open);
		fill_to = deep;
	}
	if (!slot)
		return NULL;
	slot->fill_to = fill_to;
	slot->deep = deep;
	s->filling = slot;
	return slot;
}

void session_slots_fill(struct session *s)
{
	if (s->result_bytes > SESSION_RESULT_BYTES)
		return;
	while (!list_empty(&s->queue) && session_room(s)) {
		struct session_job *j = list_entry(s->queue.next, struct session_job, link);
		struct session_slot *slot = choose(s, j);
		if (!slot)
			return;
		FH_ASSERT(slot->up && (slot->len == 0 || (j->ahead && may_share(slot))));
		FH_ASSERT_CMP(slot->len, <, SESSION_PIPE_MAX);
		struct session_action *run = session_emit(s, SESSION_DO_RUN);
		run->slot = slot->index;
		run->job = j->number;
		run->function = j->function->index;
		run->announce = !j->ahead || j->timeout_ms > 0;
		add(s, slot, j);
	}
}

/* ---- the runner's events ---- */

static struct session_slot *slot_at(struct session *s, uint32_t index)
{
	FH_ASSERT_CMP(index, <, s->stats.slots);
	return &s->slots[index];
}

struct session_job *session_slot_job(struct session *s, const struct session_ev_slot *ev)
{
	struct session_job *j = session_job_at(s, ev->job);
	FH_ASSERT(j->place == JOB_PIPED && j->slot == slot_at(s, ev->slot));
	return j;
}

static void set_up(struct session *s, struct session_slot *slot, bool up)
{
	if (slot->up != up)
		s->stats.slots_up += up ? 1 : UINT32_MAX;
	slot->up = up;
	session_slot_refresh(s, slot);
}

void session_slot_ready(struct session *s, uint32_t index)
{
	struct session_slot *slot = slot_at(s, index);
	FH_ASSERT(list_empty(&slot->pipe));
	set_up(s, slot, true);
	if (slot->len > 0)
		return;
	list_remove(&slot->link); /* a new child is cold: the others go first */
	list_push_back(&s->idle, &slot->link);
}

void session_slot_down(struct session *s, uint32_t index)
{
	FH_ASSERT(list_empty(&slot_at(s, index)->pipe));
	set_up(s, slot_at(s, index), false);
}

void session_slot_finished(struct session *s, const struct session_ev_slot *ev)
{
	struct session_job *j = session_slot_job(s, ev);
	session_function_measured(j->function, ev->run_us);
	struct session_slot *slot = take_out(s, j);
	slot->choked = false;
	if (PLANTED(SLOT_LEAKED_ON_CRASH) && ev->reason == REASON_CRASH)
		slot->len++; /* the busy mark stays: the slot never idles again */
	session_job_finish(s, j, ev->state, ev->reason, ev->bytes);
	session_slot_refresh(s, slot);
}

/* A job that left its slot without having begun. A cancellation stands; what a former dispatcher
 * assigned is not begun for a new one. */
static void unbegun(struct session *s, struct session_job *j)
{
	enum task_reason kill = j->kill;
	j->kill = REASON_NONE;
	j->reported = false;
	if (j->unwanted || s->link == LINK_DOWN)
		session_job_forget(s, j);
	else if (kill == REASON_CANCELLED)
		session_job_end(s, j, TASK_CANCELLED, REASON_CANCELLED);
	else
		session_job_enqueue(s, j, s->queue.next);
}

void session_slot_returned(struct session *s, const struct session_ev_slot *ev)
{
	struct session_job *j = session_slot_job(s, ev);
	struct session_slot *slot = take_out(s, j);
	s->stats.returned++;
	unbegun(s, j);
	session_slot_refresh(s, slot);
}

/* An empty slot that takes nothing has lost its child; SLOT_READY will tell of the next one. */
void session_slot_refused(struct session *s, const struct session_ev_slot *ev)
{
	struct session_job *j = session_slot_job(s, ev);
	struct session_slot *slot = take_out(s, j);
	unbegun(s, j);
	slot->choked = true;
	if (slot->len == 0)
		set_up(s, slot, false);
	else
		session_slot_refresh(s, slot);
}

/* ---- what ends or moves jobs in a slot ---- */

void session_slot_steal(struct session *s, struct session_slot *slot)
{
	if (slot->len <= 1 || slot->stealing)
		return;
	slot->stealing = true;
	session_emit(s, SESSION_DO_STEAL)->slot = slot->index;
}

void session_slot_kill(struct session *s, struct session_job *j, enum task_reason why)
{
	struct session_slot *slot = j->slot;
	if (j->kill != REASON_NONE)
		return;
	if (j == slot->head)
		session_slot_steal(s, slot);
	j->kill = why;
	slot->kills++;
	struct session_action *kill = session_emit(s, SESSION_DO_KILL);
	kill->slot = slot->index;
	kill->job = j->number;
	kill->reason = why;
	session_slot_refresh(s, slot);
}

bool session_slots_abandon(struct session *s)
{
	for (uint32_t i = 0; i < s->stats.slots; i++) {
		list_for_each (link, &s->slots[i].pipe) {
			struct session_job *j = list_entry(link, struct session_job, link);
			if (j->unwanted)
				continue;
			if (!session_room(s))
				return false;
			j->unwanted = !PLANTED(FENCED_SAYS_RESULT);
			session_slot_kill(s, j, REASON_CANCELLED);
		}
	}
	return true;
}
