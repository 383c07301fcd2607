/* The whole-state check of a worker's session: walks every list and table, recounts what is
 * counted, and asserts that all references agree. And a hash over what decides anything, for the
 * simulator's comparison of two runs. */
#include <stddef.h>

#include "base/assert.h"
#include "worker/session_priv.h"

static const struct session_job *job_of(const struct list *link)
{
	return list_entry(link, const struct session_job, link);
}

/* The length of a list whose jobs all are in this place. */
static uint32_t check_jobs_in(const struct list *head, enum job_place place)
{
	uint32_t len = 0;
	list_for_each (link, head) {
		FH_ASSERT(job_of(link)->place == place);
		FH_ASSERT(link->next->prev == link);
		len++;
	}
	return len;
}

static void check_job(const struct session *s, uint32_t index)
{
	const struct session_job *j = &s->jobs[index];
	if (j->place == JOB_FREE) {
		FH_ASSERT(j->number == 0 && !j->function && !j->slot);
		return;
	}
	FH_ASSERT_CMP(session_job_index(j->number), ==, index);
	FH_ASSERT(session_job_find(s, &j->ref) == j);
	FH_ASSERT((j->place == JOB_DONE) == !j->function);
	FH_ASSERT((j->place == JOB_PIPED) == (j->slot != NULL));
	FH_ASSERT(j->kill == REASON_NONE || j->place == JOB_PIPED || j->place == JOB_DONE);
	FH_ASSERT(!j->unwanted || j->place == JOB_PIPED);
	for (unsigned i = 0; i < 2; i++) {
		FH_ASSERT_CMP(j->logged[i], <=, j->printed[i]);
		FH_ASSERT(j->printed[i] == 0 || j->place == JOB_PIPED);
	}
	if (j->place == JOB_DONE)
		FH_ASSERT(task_state_is_final(j->state));
	else
		FH_ASSERT_CMP(j->bytes, ==, 0);
}

static void check_jobs(const struct session *s)
{
	uint32_t count[JOB_PLACES] = { 0 };
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < s->job_fresh; i++) {
		check_job(s, i);
		count[s->jobs[i].place]++;
		bytes += s->jobs[i].bytes;
	}
	FH_ASSERT_CMP(bytes, ==, s->result_bytes);
	for (unsigned place = JOB_FREE + 1; place < JOB_PLACES; place++)
		FH_ASSERT_CMP(count[place], ==, s->count[place]);
	FH_ASSERT_CMP(check_jobs_in(&s->jobs_free, JOB_FREE), ==, count[JOB_FREE]);
	FH_ASSERT_CMP(session_jobs_unfinished(s), <=, s->window);
	FH_ASSERT_CMP(session_jobs_held(s), <=, s->job_max);

	uint32_t done = 0;
	for (unsigned level = 0; level < SESSION_RESEND_LEVELS; level++) {
		done += check_jobs_in(&s->resend[level], JOB_DONE);
		int64_t last_us = INT64_MIN;
		list_for_each (link, &s->resend[level]) {
			FH_ASSERT_CMP(job_of(link)->resend_level, ==, level);
			FH_ASSERT_CMP(job_of(link)->resend_us, >=, last_us);
			last_us = job_of(link)->resend_us;
		}
	}
	FH_ASSERT_CMP(done, ==, s->count[JOB_DONE]);

	FH_ASSERT_CMP(check_jobs_in(&s->queue, JOB_QUEUED), ==, s->count[JOB_QUEUED]);
	uint64_t last = 0;
	list_for_each (link, &s->queue) {
		FH_ASSERT_CMP(job_of(link)->number, >, last);
		last = job_of(link)->number;
	}
}

static void check_slot(const struct session *s, uint32_t index)
{
	const struct session_slot *slot = &s->slots[index];
	uint32_t len = check_jobs_in(&slot->pipe, JOB_PIPED), kills = 0;
	FH_ASSERT_CMP(slot->index, ==, index);
	FH_ASSERT_CMP(slot->len, ==, len);
	FH_ASSERT_CMP(len, <=, SESSION_PIPE_MAX);
	list_for_each (link, &slot->pipe) {
		FH_ASSERT(job_of(link)->slot == slot);
		FH_ASSERT(job_of(link)->ahead || len == 1);
		kills += job_of(link)->kill != REASON_NONE;
	}
	FH_ASSERT_CMP(slot->kills, ==, kills);
	FH_ASSERT(slot->head == (len ? job_of(slot->pipe.next) : NULL));
	FH_ASSERT(slot->up || !slot->stealing || len > 1);
	FH_ASSERT_CMP(s->next_us, <=, slot->check_us);
}

static void check_slots(const struct session *s)
{
	uint32_t up = 0, busy = 0, piped = 0, listed = 0;
	for (uint32_t i = 0; i < s->stats.slots; i++) {
		const struct session_slot *slot = &s->slots[i];
		check_slot(s, i);
		up += slot->up;
		busy += slot->len > 0;
		piped += slot->len;
		listed += !list_empty(&slot->link);
		/* No slot is leaked: one that can work and has nothing to do is found. */
		FH_ASSERT(!slot->up || slot->len > 0 || !list_empty(&slot->link));
	}
	FH_ASSERT_CMP(up, ==, s->stats.slots_up);
	FH_ASSERT_CMP(busy, ==, s->stats.slots_busy);
	FH_ASSERT_CMP(piped, ==, s->count[JOB_PIPED]);
	list_for_each (link, &s->idle) {
		const struct session_slot *slot = list_entry(link, const struct session_slot, link);
		FH_ASSERT(slot->up && slot->len == 0);
		listed--;
	}
	list_for_each (link, &s->open) {
		const struct session_slot *slot = list_entry(link, const struct session_slot, link);
		FH_ASSERT(slot->up && slot->head->ahead && !slot->overdue && !slot->stealing);
		listed--;
	}
	FH_ASSERT_CMP(listed, ==, 0);
	if (s->filling)
		FH_ASSERT(s->filling->up && s->filling->len < s->filling->fill_to);
}

static void check_functions(const struct session *s)
{
	uint32_t known = 0, idle = 0;
	uint64_t idle_bytes = 0, fetch = 0, needed = 0, unfinished = session_jobs_unfinished(s);
	for (uint32_t i = 0; i < s->function_max; i++) {
		const struct session_function *f = &s->functions[i];
		FH_ASSERT_CMP(f->index, ==, i);
		if (f->place == FUNCTION_FREE)
			continue;
		known++;
		needed += f->jobs;
		FH_ASSERT(map_get(&s->function_by_id, f->id) == f);
		FH_ASSERT((f->place == FUNCTION_IDLE) == (f->jobs == 0));
		uint32_t waiting = check_jobs_in(&f->fetch, JOB_FETCH);
		fetch += waiting;
		if (f->place == FUNCTION_ASKED || f->place == FUNCTION_MISSING)
			FH_ASSERT_CMP(waiting, ==, f->jobs);
		if (f->place == FUNCTION_IDLE) {
			idle++;
			idle_bytes += f->bytes;
		}
	}
	FH_ASSERT_CMP(known, ==, s->function_by_id.len);
	FH_ASSERT_CMP(needed, ==, unfinished);
	FH_ASSERT_CMP(fetch, ==, s->count[JOB_FETCH]);
	FH_ASSERT_CMP(idle, ==, s->idle_count);
	FH_ASSERT_CMP(idle_bytes, ==, s->idle_bytes);
}

void session_check(const struct session *s)
{
	check_jobs(s);
	check_slots(s);
	check_functions(s);
	FH_ASSERT_CMP(s->received, <=, s->granted);
	FH_ASSERT_CMP(s->heard_us + s->paused_us, <=, s->now_us);
	if (s->link == LINK_GREETED || (s->link == LINK_WELCOMED && s->silence_us > 0))
		FH_ASSERT_CMP(s->next_us, <=, s->now_us + s->beat_us);
}

static uint64_t mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * 0x9E3779B97F4A7C15u;
	return h ^ h >> 29;
}

uint64_t session_hash(const struct session *s)
{
	uint64_t h = mix(s->link, s->serial);
	h = mix(mix(h, s->received), s->granted);
	h = mix(mix(h, s->awaited), s->awaited_beats);
	h = mix(mix(h, s->acked), (uint64_t)s->ack_us);
	h = mix(mix(h, (uint64_t)s->next_us), s->stats.draining + 2u * s->stats.staying);
	h = mix(mix(h, (uint64_t)s->heard_us), (uint64_t)s->paused_us);
	h = mix(mix(h, (uint64_t)s->silence_us), s->dropping + 2u * s->fencing);
	for (uint32_t i = 0; i < s->job_fresh; i++) {
		const struct session_job *j = &s->jobs[i];
		h = mix(mix(h, j->number), j->place);
		if (j->place != JOB_FREE)
			h = mix(mix(h, fh_id_hash(j->ref.task)), j->kill + 16u * j->unwanted);
		h = mix(mix(h, j->printed[0] + j->printed[1]), j->logged[0] + j->logged[1]);
	}
	for (uint32_t i = 0; i < s->stats.slots; i++) {
		const struct session_slot *slot = &s->slots[i];
		h = mix(mix(h, slot->len), slot->up);
		list_for_each (link, &slot->pipe)
			h = mix(h, job_of(link)->number);
	}
	list_for_each (link, &s->queue)
		h = mix(h, job_of(link)->number);
	return h;
}
