/* Decides whether a session can take a task, and keeps the pools in which the least loaded session
 * is found.
 *
 *  - open: the session joins the pool of its classes; with its first credit it is ready
 *  - take / drop: counts, then the session moves to the bucket of its new load
 *  - lose: what it has become orphans, which the step judges
 *  - resume: the same worker over a new connection; held.c compares what it holds
 *
 * Credit that is granted beyond reason changes nothing: slots bound what is in flight. */
#include "core/worker.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/alone.h"
#include "core/liveness.h"
#include "core/state.h"

struct session *worker_session(struct core *c, uint32_t number)
{
	FH_ASSERT_CMP(number, <, c->limits.sessions_max);
	FH_ASSERT(c->sessions[number].open);
	return &c->sessions[number];
}

uint32_t worker_session_number(const struct core *c, const struct session *s)
{
	return (uint32_t)(s - c->sessions);
}

bool worker_session_can_run(const struct session *s)
{
	return s->running < s->slots;
}

uint64_t worker_session_ahead_max(const struct core *c, const struct session *s)
{
	FH_ASSERT_CMP(s->lengthy, <=, s->slots);
	return (uint64_t)(s->slots - s->lengthy) * c->limits.ahead_per_slot;
}

/* Which bucket: by the share of its slots that are taken, then by how far it is ahead. */
static unsigned load_of(const struct core *c, const struct session *s)
{
	uint64_t n = (uint64_t)s->lengthy + s->ahead;
	if (s->pull) /* in the order of asking */
		return n < s->slots ? 0 : LOAD_FREE;
	if (n < s->slots)
		return (unsigned)(n * LOAD_FREE / s->slots);
	uint64_t beyond = (n - s->slots) * (LOAD_COUNT - LOAD_FREE) /
			  ((uint64_t)s->slots * c->limits.ahead_per_slot + 1);
	return LOAD_FREE +
	       (unsigned)(beyond < LOAD_COUNT - LOAD_FREE ? beyond : LOAD_COUNT - LOAD_FREE - 1);
}

static void unlist(struct core *c, struct session *s)
{
	if (list_empty(&s->ready))
		return;
	list_remove(&s->ready);
	c->ready_count--;
	if (list_empty(&s->pool->by_load[s->load]))
		s->pool->loads &= ~(1u << s->load);
}

static bool can_take(const struct core *c, const struct session *s)
{
	if (s->kept_for || s->pauses || s->granted <= s->assigned || s->slots == 0)
		return false;
	return (uint64_t)s->lengthy + s->ahead < s->slots ||
	       s->ahead < worker_session_ahead_max(c, s);
}

/* Kept for a task, and nothing is in its way any more. */
static bool is_free_for_suspect(const struct session *s)
{
	bool empty = list_empty(&s->in_flight) || PLANTED(SUSPECT_IN_COMPANY);
	return s->kept_for && empty && !s->pauses && s->granted > s->assigned;
}

/* Puts the session where its counts say that it belongs. */
static void relist(struct core *c, struct session *s)
{
	unlist(c, s);
	list_remove(&s->kept_free);
	if (is_free_for_suspect(s))
		list_push_back(&c->kept_free, &s->kept_free);
	if (!can_take(c, s))
		return;
	s->load = (uint8_t)load_of(c, s);
	list_push_back(&s->pool->by_load[s->load], &s->ready);
	s->pool->loads |= 1u << s->load;
	c->ready_count++;
}

static struct pool *pool_join(struct core *c, uint64_t classes)
{
	list_for_each (link, &c->pools) {
		struct pool *p = list_entry(link, struct pool, link);
		if (p->classes == classes) {
			p->sessions++;
			return p;
		}
	}
	struct list *unused = list_pop_front(&c->pools_free);
	struct pool *p =
		unused ? list_entry(unused, struct pool, link) : &c->pool_table[c->pools_touched++];
	FH_ASSERT_CMP(c->pools_touched, <=, c->limits.sessions_max);
	*p = (struct pool){ .classes = classes, .sessions = 1 };
	for (unsigned i = 0; i < LOAD_COUNT; i++)
		list_init(&p->by_load[i]);
	list_push_back(&c->pools, &p->link);
	return p;
}

static void pool_leave(struct core *c, struct session *s)
{
	struct pool *p = s->pool;
	s->pool = NULL;
	if (--p->sessions > 0)
		return;
	list_remove(&p->link);
	list_push_back(&c->pools_free, &p->link);
}

void worker_session_open(struct core *c, const struct core_ev_session_opened *ev)
{
	FH_ASSERT_CMP(ev->session, <, c->limits.sessions_max);
	struct session *s = &c->sessions[ev->session];
	FH_ASSERT(!s->open);
	if (ev->session >= c->sessions_touched)
		c->sessions_touched = ev->session + 1;
	*s = (struct session){
		.open = true,
		.immortal = ev->immortal,
		.pull = ev->pull,
		.instance = ev->instance,
		.serial = ++c->next_serial,
		.slots = ev->slots,
		.pool = pool_join(c, ev->classes),
	};
	list_init(&s->contact);
	list_init(&s->ready);
	list_init(&s->in_flight);
	list_init(&s->kept_free);
	c->session_count++;
	liveness_heard(c, s);
}

/* Nothing has left for the worker: the task starts elsewhere, once its start is stored. */
static void detach_starting(struct core *c, struct task *t)
{
	worker_session_drop(c, t);
	t->session = CORE_NO_SESSION;
}

void worker_session_lose(struct core *c, struct session *s, bool in_order)
{
	alone_let_go(c, s);
	list_for_each_safe (link, &s->in_flight) {
		struct task *t = list_entry(link, struct task, link);
		if (t->phase == PHASE_STARTING) {
			detach_starting(c, t);
		} else {
			if (!in_order || PLANTED(LEFT_IS_LOST))
				alone_lost(s, t);
			task_move(c, t, PHASE_ORPHANED);
		}
	}
	FH_ASSERT(s->lengthy == 0 && s->ahead == 0 && s->running == 0);
	unlist(c, s);
	list_remove(&s->kept_free);
	list_remove(&s->contact);
	pool_leave(c, s);
	s->open = false;
	c->session_count--;
}

/* No ASSIGN that leaves from now on would come, or find somebody who still takes it. */
static void detach_all_starting(struct core *c, struct session *s)
{
	list_for_each_safe (link, &s->in_flight) {
		struct task *t = list_entry(link, struct task, link);
		if (t->phase == PHASE_STARTING)
			detach_starting(c, t);
	}
}

void worker_session_resume(struct core *c, struct session *s)
{
	detach_all_starting(c, s);
	s->sent = 0;
	if (!PLANTED(CREDIT_KEPT_AT_RESUME)) /* the worker counts anew */
		s->granted = s->assigned = 0;
	s->pauses &= PLANTED(PAUSE_FORGOTTEN_AT_RESUME) ? 0 : (uint8_t)~CORE_PAUSE_AWAY;
	relist(c, s);
}

void worker_session_classes(struct core *c, const struct core_ev_session_classes *ev)
{
	struct session *s = worker_session(c, ev->session);
	if (s->pool->classes == ev->classes)
		return;
	unlist(c, s);
	pool_leave(c, s);
	s->pool = pool_join(c, ev->classes);
	relist(c, s);
}

void worker_session_pause(struct core *c, const struct core_ev_session_paused *ev)
{
	struct session *s = worker_session(c, ev->session);
	if (ev->over)
		s->pauses &= (uint8_t)~ev->why;
	else
		s->pauses |= (uint8_t)ev->why;
	if (!ev->over)
		alone_let_go(c, s);
	/* A core that drains hands out nothing anew: better there than nowhere. */
	if (!ev->over && (ev->why == CORE_PAUSE_AWAY || !c->draining) &&
	    !PLANTED(START_LOST_WITH_LINK))
		detach_all_starting(c, s);
	relist(c, s);
}

void worker_session_credit(struct core *c, const struct core_ev_credited *ev)
{
	struct session *s = worker_session(c, ev->session);
	if (ev->granted_total <= s->granted)
		return;
	s->granted = ev->granted_total;
	relist(c, s);
}

void worker_session_take(struct core *c, struct task *t)
{
	struct session *s = worker_session(c, t->session);
	FH_ASSERT_CMP(s->assigned, <, s->granted);
	t->session_serial = s->serial;
	s->assigned++;
	if (t->ahead)
		s->ahead++;
	else
		s->lengthy++;
	list_push_back(&s->in_flight, &t->link);
	relist(c, s);
}

void worker_session_keep(struct core *c, struct session *s, struct task *suspect)
{
	s->kept_for = suspect;
	relist(c, s);
}

void worker_session_adopt(struct core *c, struct session *s, struct task *t)
{
	t->session = worker_session_number(c, s);
	t->session_serial = s->serial;
	t->ahead = s->lengthy == s->slots;
	if (t->ahead)
		s->ahead++;
	else
		s->lengthy++;
	list_push_back(&s->in_flight, &t->link);
	relist(c, s);
}

void worker_session_drop(struct core *c, struct task *t)
{
	if (t->session == CORE_NO_SESSION)
		return;
	struct session *s = worker_session(c, t->session);
	FH_ASSERT_CMP(t->ahead ? s->ahead : s->lengthy, >, 0);
	list_remove(&t->link);
	if (t->ahead)
		s->ahead--;
	else
		s->lengthy--;
	if (s->kept_for == t)
		alone_over(c, s);
	if (t->phase == PHASE_RUNNING)
		s->running--;
	if (t->phase == PHASE_STARTING)
		s->assigned--; /* no ASSIGN has left: the credit was not used */
	relist(c, s);
}
