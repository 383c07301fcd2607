/* The functions that a worker's session knows: fetched once, kept while jobs need them and, within
 * limits, afterwards.
 *
 * Happy path: the first job of a function makes it ASKED; its FUNCTION arrives, the jobs that
 * waited go to the queue; when the last of them is over the function is IDLE, and the least
 * recently used idle one goes when there are too many or they are too large.
 *
 * Failure modes: the dispatcher does not have it: its jobs fail, naming it. The answer does not
 * come: it is asked for again. Nobody waits for it any more: it is not asked for any more. */
#include "base/assert.h"
#include "base/mem.h"
#include "worker/session_priv.h"

/* Each unfinished job needs one function at most, so one more than their number and the idle ones
 * is always enough. */
int session_functions_init(struct session *s)
{
	list_init(&s->functions_free);
	list_init(&s->asked);
	list_init(&s->missing);
	list_init(&s->functions_idle);
	s->function_max = s->window + SESSION_FUNCTIONS_IDLE + 1;
	s->functions = fh_calloc(s->function_max, sizeof *s->functions);
	if (!s->functions)
		return FH_ENOMEM;
	for (uint32_t i = 0; i < s->function_max; i++) {
		s->functions[i].index = i;
		list_push_back(&s->functions_free, &s->functions[i].link);
		list_init(&s->functions[i].fetch);
	}
	return map_init_fixed(&s->function_by_id, s->function_max);
}

void session_functions_release(struct session *s)
{
	fh_free(s->functions);
	map_release(&s->function_by_id);
}

static void move(struct session *s, struct session_function *f, enum function_place to)
{
	struct list *lists[] = {
		[FUNCTION_FREE] = &s->functions_free,
		[FUNCTION_ASKED] = &s->asked,
		[FUNCTION_USED] = NULL,
		[FUNCTION_IDLE] = &s->functions_idle,
		[FUNCTION_MISSING] = &s->missing,
	};
	if (f->place == FUNCTION_IDLE) {
		s->idle_count--;
		s->idle_bytes -= f->bytes;
	}
	if (to == FUNCTION_IDLE) {
		s->idle_count++;
		s->idle_bytes += f->bytes;
	}
	f->place = to;
	list_remove(&f->link);
	if (lists[to])
		list_push_back(lists[to], &f->link);
}

static void drop(struct session *s, struct session_function *f)
{
	if (f->place == FUNCTION_IDLE)
		session_emit(s, SESSION_DO_FORGET_FUNCTION)->function = f->index;
	(void)map_remove(&s->function_by_id, f->id);
	move(s, f, FUNCTION_FREE);
}

static void ask(struct session *s, struct session_function *f)
{
	session_emit(s, SESSION_DO_SEND_FUNCTION_GET)->id = f->id;
	f->resend_us = s->now_us + SESSION_RESEND_US;
	session_wake_by(s, f->resend_us);
	move(s, f, FUNCTION_ASKED);
}

struct session_function *session_function_use(struct session *s, struct fh_id id)
{
	struct session_function *f = map_get(&s->function_by_id, id);
	if (!f) {
		if (list_empty(&s->functions_free))
			drop(s, list_entry(s->functions_idle.next, struct session_function, link));
		f = list_entry(s->functions_free.next, struct session_function, link);
		f->id = id;
		f->bytes = 0;
		f->jobs = f->cost_us = 0;
		int error = map_put(&s->function_by_id, id, f);
		FH_ASSERT(!error);
		ask(s, f);
	} else if (f->place == FUNCTION_IDLE) {
		move(s, f, FUNCTION_USED);
	}
	f->jobs++;
	return f;
}

void session_function_unuse(struct session *s, struct session_function *f)
{
	FH_ASSERT_CMP(f->jobs, >, 0);
	if (--f->jobs > 0)
		return;
	if (f->place == FUNCTION_USED)
		move(s, f, FUNCTION_IDLE);
	else
		drop(s, f);
}

bool session_function_come(struct session *s, const struct wire_function *m)
{
	struct session_function *f = map_get(&s->function_by_id, m->function);
	if (!f || f->place != FUNCTION_ASKED)
		return false;
	if (!m->payload) {
		move(s, f, FUNCTION_MISSING);
		return true;
	}
	f->bytes = m->payload->len;
	move(s, f, FUNCTION_USED);
	session_emit(s, SESSION_DO_KEEP_FUNCTION)->function = f->index;
	struct list *from = s->queue.next;
	while (!list_empty(&f->fetch)) {
		struct session_job *j = list_entry(f->fetch.next, struct session_job, link);
		session_job_enqueue(s, j, from);
		from = &j->link;
	}
	return true;
}

/* Follows a shorter run at once and a longer one slowly, so that the first call's imports are
 * forgotten soon and a single slow call does not make a short function long. */
void session_function_measured(struct session_function *f, uint32_t run_us)
{
	if (run_us == 0)
		return;
	if (run_us > SESSION_JOB_LONG_US)
		run_us = SESSION_JOB_LONG_US;
	if (f->cost_us == 0)
		f->cost_us = run_us;
	else if (run_us < f->cost_us)
		f->cost_us -= (f->cost_us - run_us + 1) / 2;
	else
		f->cost_us += (run_us - f->cost_us) / 8;
}

uint32_t session_function_cost_us(const struct session_function *f)
{
	return SESSION_JOB_COST_US + (f->cost_us ? f->cost_us : SESSION_JOB_UNKNOWN_US);
}

void session_functions_settle(struct session *s)
{
	while (!list_empty(&s->missing) && session_room(s)) {
		struct session_function *f =
			list_entry(s->missing.next, struct session_function, link);
		struct session_job *j = list_entry(f->fetch.next, struct session_job, link);
		session_job_end(s, j, TASK_FAILED, REASON_UNDECODABLE);
	}
	while ((s->idle_count > SESSION_FUNCTIONS_IDLE ||
		s->idle_bytes > SESSION_FUNCTION_BYTES_IDLE) &&
	       session_room(s))
		drop(s, list_entry(s->functions_idle.next, struct session_function, link));
}

int64_t session_functions_tick(struct session *s)
{
	if (s->link != LINK_WELCOMED)
		return INT64_MAX;
	while (!list_empty(&s->asked)) {
		struct session_function *f =
			list_entry(s->asked.next, struct session_function, link);
		if (f->resend_us > s->now_us || !session_room(s))
			return f->resend_us;
		ask(s, f);
	}
	return INT64_MAX;
}

void session_functions_ask_all(struct session *s)
{
	list_for_each (link, &s->asked)
		list_entry(link, struct session_function, link)->resend_us = s->now_us;
	session_wake_by(s, s->now_us);
}
