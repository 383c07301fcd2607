/* The jobs of a worker's session: found by (task, token), each in exactly one place.
 *
 *   ASSIGN -> FETCH -> QUEUED -> PIPED -> DONE -> forgotten
 *
 * Happy path: session_job_add() puts a job into the queue (or, while its function is on its way,
 * into the function's list), slot.c moves it into a child's pipe, session_job_finish() to the
 * results that wait for their acknowledgement; RESULT_ACK forgets it.
 *
 * Failure modes: a job that a child gives back goes to the queue again, where its age belongs. A
 * result that is not acknowledged is said again, later and later; the lists by level keep that
 * O(1), because all jobs of one level wait equally long. */
#include "base/assert.h"
#include "base/mem.h"
#include "worker/session_priv.h"

enum { NUMBER_SHIFT = 20 };

_Static_assert(1 << NUMBER_SHIFT == SESSION_JOBS_MAX, "a number holds an index");

int session_jobs_init(struct session *s)
{
	uint32_t results = s->stats.slots * SESSION_RESULTS_PER_SLOT;
	s->job_max = s->window + (results > SESSION_RESULTS_MIN ? results : SESSION_RESULTS_MIN);
	FH_ASSERT_CMP(s->job_max, <=, SESSION_JOBS_MAX);
	uint32_t buckets = 16;
	while (buckets < s->job_max)
		buckets *= 2;
	s->jobs = fh_calloc(s->job_max, sizeof *s->jobs);
	s->buckets = fh_calloc(buckets, sizeof *s->buckets);
	s->bucket_mask = buckets - 1;
	list_init(&s->jobs_free);
	list_init(&s->queue);
	for (unsigned i = 0; i < SESSION_RESEND_LEVELS; i++)
		list_init(&s->resend[i]);
	return s->jobs && s->buckets ? 0 : FH_ENOMEM;
}

void session_jobs_release(struct session *s)
{
	fh_free(s->jobs);
	fh_free(s->buckets);
}

static uint32_t *bucket_of(const struct session *s, const struct wire_ref *ref)
{
	uint64_t token = (uint64_t)ref->token.generation << 32 | ref->token.attempt;
	uint64_t h = fh_id_hash(ref->task) ^ token * 0x9E3779B97F4A7C15u;
	return &s->buckets[(h ^ h >> 29) & s->bucket_mask];
}

static bool same_ref(const struct wire_ref *a, const struct wire_ref *b)
{
	return fh_id_equal(a->task, b->task) && task_token_equal(a->token, b->token);
}

struct session_job *session_job_find(const struct session *s, const struct wire_ref *ref)
{
	for (uint32_t i = *bucket_of(s, ref); i != 0; i = s->jobs[i - 1].hash_next)
		if (same_ref(&s->jobs[i - 1].ref, ref))
			return &s->jobs[i - 1];
	return NULL;
}

struct session_job *session_job_at(struct session *s, uint64_t number)
{
	uint32_t index = session_job_index(number);
	FH_ASSERT_CMP(index, <, s->job_fresh);
	FH_ASSERT_CMP(s->jobs[index].number, ==, number);
	return &s->jobs[index];
}

static void unhash(struct session *s, const struct session_job *j)
{
	uint32_t self = session_job_index(j->number) + 1;
	uint32_t *at = bucket_of(s, &j->ref);
	while (*at != self)
		at = &s->jobs[*at - 1].hash_next;
	*at = j->hash_next;
}

static uint32_t take_index(struct session *s)
{
	struct list *link = list_pop_front(&s->jobs_free);
	if (link)
		return (uint32_t)(list_entry(link, struct session_job, link) - s->jobs);
	FH_ASSERT_CMP(s->job_fresh, <, s->job_max);
	return s->job_fresh++;
}

struct session_job *session_job_add(struct session *s, const struct wire_assign *assign)
{
	FH_ASSERT_CMP(session_jobs_unfinished(s), <, s->window);
	uint32_t index = take_index(s);
	struct session_job *j = &s->jobs[index];
	*j = (struct session_job){
		.ref = { assign->task, assign->token },
		.number = ++s->serial << NUMBER_SHIFT | index,
		.timeout_ms = assign->timeout_ms,
		.ahead = assign->ahead,
	};
	list_init(&j->link);
	uint32_t *bucket = bucket_of(s, &j->ref);
	j->hash_next = *bucket;
	*bucket = index + 1;
	j->function = session_function_use(s, assign->function);
	bool here = j->function->place == FUNCTION_USED;
	session_job_move(s, j, here ? JOB_QUEUED : JOB_FETCH,
			 here ? &s->queue : &j->function->fetch);
	return j;
}

void session_job_move(struct session *s, struct session_job *j, enum job_place to,
		      struct list *before)
{
	static const uint8_t allowed[JOB_PLACES] = {
		[JOB_FREE] = 1 << JOB_FETCH | 1 << JOB_QUEUED,
		[JOB_FETCH] = 1 << JOB_QUEUED | 1 << JOB_DONE | 1 << JOB_FREE,
		[JOB_QUEUED] = 1 << JOB_PIPED | 1 << JOB_DONE | 1 << JOB_FREE,
		[JOB_PIPED] = 1 << JOB_QUEUED | 1 << JOB_DONE | 1 << JOB_FREE,
		[JOB_DONE] = 1 << JOB_FREE,
	};
	FH_ASSERT(allowed[j->place] & 1 << to);
	FH_ASSERT(to == JOB_PIPED || !j->slot);
	if (j->place != JOB_FREE)
		s->count[j->place]--;
	if (to != JOB_FREE)
		s->count[to]++;
	list_remove(&j->link);
	list_push_back(before, &j->link);
	j->place = to;
}

void session_job_enqueue(struct session *s, struct session_job *j, struct list *from)
{
	while (from != &s->queue && list_entry(from, struct session_job, link)->number < j->number)
		from = from->next;
	session_job_move(s, j, JOB_QUEUED, from);
}

void session_job_forget(struct session *s, struct session_job *j)
{
	session_emit(s, SESSION_DO_FORGET)->job = j->number;
	unhash(s, j);
	s->result_bytes -= j->bytes;
	j->bytes = 0;
	session_job_move(s, j, JOB_FREE, s->jobs_free.next);
	if (j->function)
		session_function_unuse(s, j->function);
	j->function = NULL;
	j->number = 0;
}

void session_job_send_result(struct session *s, const struct session_job *j)
{
	if (s->link != LINK_WELCOMED)
		return;
	struct session_action *a = session_emit(s, SESSION_DO_SEND_RESULT);
	a->job = j->number;
	a->ref = j->ref;
	a->kept = j->kept;
	a->state = j->state;
	a->reason = j->reason;
}

static void wait_for_ack(struct session *s, struct session_job *j, unsigned level)
{
	j->resend_level = (uint8_t)level;
	j->resend_us = s->now_us + ((int64_t)SESSION_RESEND_US << level);
	session_wake_by(s, j->resend_us);
}

static void end(struct session *s, struct session_job *j, enum task_state state,
		enum task_reason reason, bool kept)
{
	s->stats.finished++;
	if (j->unwanted) {
		session_job_forget(s, j);
		return;
	}
	j->kept = kept;
	j->state = state;
	j->reason = reason;
	wait_for_ack(s, j, 0);
	session_job_move(s, j, JOB_DONE, &s->resend[0]);
	session_function_unuse(s, j->function);
	j->function = NULL;
	if (kept)
		session_emit(s, SESSION_DO_KEEP_RESULT)->job = j->number;
	session_job_send_result(s, j);
}

void session_job_finish(struct session *s, struct session_job *j, enum task_state state,
			enum task_reason reason, uint64_t bytes)
{
	if (!j->unwanted) {
		j->bytes = bytes;
		s->result_bytes += bytes;
	}
	end(s, j, state, reason, true);
}

void session_job_end(struct session *s, struct session_job *j, enum task_state state,
		     enum task_reason reason)
{
	end(s, j, state, reason, false);
}

int64_t session_jobs_tick(struct session *s)
{
	int64_t next_us = INT64_MAX;
	if (s->link != LINK_WELCOMED)
		return next_us;
	for (unsigned level = 0; level < SESSION_RESEND_LEVELS; level++) {
		struct list *waiting = &s->resend[level];
		while (!list_empty(waiting)) {
			struct session_job *j = list_entry(waiting->next, struct session_job, link);
			if (j->resend_us > s->now_us || !session_room(s)) {
				next_us = j->resend_us < next_us ? j->resend_us : next_us;
				break;
			}
			unsigned later = level + 1 < SESSION_RESEND_LEVELS ? level + 1 : level;
			wait_for_ack(s, j, later);
			list_remove(&j->link);
			list_push_back(&s->resend[later], &j->link);
			session_job_send_result(s, j);
			s->stats.resent++;
		}
	}
	return next_us;
}

void session_jobs_resend_all(struct session *s)
{
	for (unsigned level = 1; level < SESSION_RESEND_LEVELS; level++)
		list_for_each_safe (link, &s->resend[level]) {
			list_remove(link);
			list_push_back(&s->resend[0], link);
		}
	list_for_each (link, &s->resend[0]) {
		struct session_job *j = list_entry(link, struct session_job, link);
		j->resend_level = 0;
		j->resend_us = s->now_us;
	}
	session_wake_by(s, s->now_us);
}

void session_jobs_drop_waiting(struct session *s)
{
	while (!list_empty(&s->queue) && session_room(s))
		session_job_forget(s, list_entry(s->queue.next, struct session_job, link));
	while (!list_empty(&s->asked) && session_room(s)) {
		struct session_function *f =
			list_entry(s->asked.next, struct session_function, link);
		session_job_forget(s, list_entry(f->fetch.next, struct session_job, link));
	}
}
