/* Recounts everything that is counted, and follows every reference in both directions. The first
 * disagreement aborts with its place and both values. Costs the whole window: for tests and the
 * simulator. */
#include "base/assert.h"
#include "core/core.h"
#include "core/deadline.h"
#include "core/state.h"

struct recount {
	uint32_t phases[PHASE_COUNT];
	uint32_t deadlines;
	uint64_t bytes;
};

static void check_lease(const struct core *c, const struct task *t)
{
	FH_ASSERT_CMP(t->token.attempt, ==, t->tally.attempt);
	FH_ASSERT(t->phase != PHASE_STARTING || t->at_most_once);
	if (t->session == CORE_NO_SESSION) {
		FH_ASSERT_CMP(t->phase, ==, PHASE_STARTING);
		return;
	}
	FH_ASSERT_CMP(t->session, <, c->limits.sessions_max);
	const struct session *s = &c->sessions[t->session];
	FH_ASSERT(s->open);
	FH_ASSERT_CMP(s->serial, ==, t->session_serial);
}

static void check_task(const struct core *c, const struct task *t, struct recount *r)
{
	r->phases[t->phase]++;
	if (t->phase == PHASE_FREE) {
		FH_ASSERT(!heap_contains(&t->deadline));
		return;
	}
	FH_ASSERT(task_find(c, t->id) == t);
	FH_ASSERT_CMP(t->lane, <, c->lane_count);
	r->bytes += t->bytes;
	int64_t deadline = deadline_of(c, t);
	FH_ASSERT_CMP(heap_contains(&t->deadline), ==, deadline != 0);
	if (deadline) {
		r->deadlines++;
		FH_ASSERT_CMP(t->deadline.key, ==, deadline);
	}
	if (task_is_placed(t))
		check_lease(c, t);
	if (t->cancel_waits)
		FH_ASSERT(t->cancel_asked && !task_is_leased(t) && t->phase != PHASE_WAITING &&
			  t->phase != PHASE_SUSPECT);
	if (t->reported)
		FH_ASSERT_CMP(t->phase, >=, PHASE_ENDING);
}

static uint32_t count_suspects(const struct core *c, const struct list *list, bool placed)
{
	uint32_t count = 0;
	list_for_each (link, list) {
		const struct task *t = list_entry(link, struct task, link);
		FH_ASSERT_CMP(t->phase, ==, PHASE_SUSPECT);
		FH_ASSERT_CMP(t->session != CORE_NO_SESSION, ==, placed);
		if (placed)
			FH_ASSERT(c->sessions[t->session].kept_for == t);
		count++;
	}
	return count;
}

static void check_suspects(const struct core *c)
{
	uint32_t suspects = count_suspects(c, &c->suspects, false), kept = 0, of_lanes = 0;
	suspects += count_suspects(c, &c->suspects_placed, true);
	FH_ASSERT_CMP(suspects, ==, c->phase_count[PHASE_SUSPECT]);
	for (uint32_t i = 0; i < c->lane_count; i++)
		of_lanes += c->lanes[i].suspects;
	FH_ASSERT_CMP(suspects, ==, of_lanes);
	for (uint32_t i = 0; i < c->sessions_touched; i++) {
		const struct session *s = &c->sessions[i];
		if (!s->open || !s->kept_for)
			continue;
		kept++;
		FH_ASSERT_CMP(s->kept_for->session, ==, i);
		FH_ASSERT(s->kept_for->phase == PHASE_SUSPECT || task_is_leased(s->kept_for));
		FH_ASSERT(!task_is_leased(s->kept_for) || s->lengthy + s->ahead == 1);
	}
	FH_ASSERT_CMP(kept, ==, c->kept_count);
}

static void check_window(const struct core *c)
{
	struct recount r = { .bytes = 0 };
	for (uint32_t i = 0; i < c->tasks_touched; i++)
		check_task(c, &c->tasks[i], &r);
	uint32_t used = 0, free = c->limits.window_max - c->tasks_touched, freed = 0, orphans = 0;
	for (int p = PHASE_FREE + 1; p < PHASE_COUNT; p++) {
		FH_ASSERT_CMP(r.phases[p], ==, c->phase_count[p]);
		used += r.phases[p];
	}
	list_for_each (link, &c->free)
		free++;
	list_for_each (link, &c->freed)
		freed++;
	list_for_each (link, &c->orphans) {
		orphans++;
		FH_ASSERT_CMP(list_entry(link, struct task, link)->phase, ==, PHASE_ORPHANED);
	}
	FH_ASSERT_CMP(free, ==, c->free_count);
	FH_ASSERT_CMP(freed, ==, c->freed_count);
	FH_ASSERT_CMP(orphans, ==, r.phases[PHASE_ORPHANED]);
	check_suspects(c);
	FH_ASSERT_CMP(used + free + freed, ==, c->limits.window_max);
	FH_ASSERT_CMP(c->by_id.len, ==, used);
	FH_ASSERT_CMP(c->deadlines.len, ==, r.deadlines);
	FH_ASSERT_CMP(c->live, >=, used);
	FH_ASSERT_CMP(c->live_bytes, >=, r.bytes);
}

/* One list of waiting tasks: whose they are, and in which order. Adds them up. */
static void check_list(const struct core *c, const struct lane *l, const struct list *head,
		       uint32_t *count, uint64_t *bytes)
{
	const struct task *before = NULL;
	list_for_each (link, head) {
		const struct task *t = list_entry(link, struct task, link);
		FH_ASSERT_CMP(t->phase, ==, PHASE_WAITING);
		FH_ASSERT_CMP(t->lane, ==, lane_index(c, l));
		FH_ASSERT_CMP(t->started_once, ==, head == &l->queue.pinned);
		if (before && !t->started_once) {
			FH_ASSERT_CMP(before->priority, ==, t->priority);
			FH_ASSERT_CMP(fh_id_compare(before->id, t->id), <, 0);
		}
		before = t;
		(*count)++;
		*bytes += t->bytes;
	}
}

static void check_lane(const struct core *c, const struct lane *l)
{
	const struct queue *q = &l->queue;
	uint32_t count = 0, reserved = 0, used = 0;
	uint64_t bytes = 0, reserved_bytes = 0;
	check_list(c, l, &q->pinned, &count, &bytes);
	for (unsigned i = 0; i < QUEUE_PRIORITIES; i++) {
		bool filled = q->filled[i / 64] >> (i % 64) & 1;
		FH_ASSERT_CMP(filled, ==, !list_empty(&q->by_priority[i]));
		if (filled)
			check_list(c, l, &q->by_priority[i], &count, &bytes);
	}
	FH_ASSERT_CMP(count, ==, q->count);
	FH_ASSERT_CMP(bytes, ==, q->bytes);
	for (uint32_t i = 0; i < c->tasks_touched; i++) {
		const struct task *t = &c->tasks[i];
		if (t->phase == PHASE_FREE || t->lane != lane_index(c, l))
			continue;
		used++;
		if (t->phase != PHASE_RESERVED)
			continue;
		reserved++;
		reserved_bytes += t->bytes;
		FH_ASSERT_CMP(t->priority, >=, l->reserved_worst);
	}
	FH_ASSERT_CMP(reserved, ==, l->reserved);
	FH_ASSERT_CMP(reserved_bytes, ==, l->reserved_bytes);
	FH_ASSERT_CMP(list_empty(&l->turn), ==, q->count == 0);
	FH_ASSERT_CMP(l->deficit, <, 2 * c->limits.ahead_per_slot);
	FH_ASSERT(l->claiming || (l->promised == 0 && !l->grown));
	FH_ASSERT(!l->claiming || l->backlog);
	FH_ASSERT_CMP(l->live, >=, used);
	FH_ASSERT(l->live > 0 || l->backlog == l->claiming);
}

static void check_lanes(const struct core *c)
{
	uint32_t turns = 0, waiting = 0, promised = 0, lanes_live = 0;
	uint64_t live = 0;
	for (uint32_t i = 0; i < c->lane_count; i++) {
		check_lane(c, &c->lanes[i]);
		waiting += c->lanes[i].queue.count;
		promised += c->lanes[i].promised;
		live += c->lanes[i].live;
		lanes_live += c->lanes[i].live > 0;
	}
	FH_ASSERT_CMP(live, ==, c->live);
	FH_ASSERT_CMP(lanes_live, ==, c->lanes_live);
	list_for_each (link, &c->turns)
		turns++;
	FH_ASSERT_CMP(turns, ==, c->turn_count);
	FH_ASSERT_CMP(waiting, ==, c->phase_count[PHASE_WAITING]);
	FH_ASSERT_CMP(promised + c->adoptions, ==, c->promised);
	FH_ASSERT_CMP(promised, <=, c->free_count + c->freed_count);
}

static void check_session(const struct core *c, const struct session *s)
{
	uint32_t lengthy = 0, ahead = 0, running = 0;
	list_for_each (link, &s->in_flight) {
		const struct task *t = list_entry(link, struct task, link);
		FH_ASSERT(task_is_placed(t));
		FH_ASSERT_CMP(t->session, ==, worker_session_number(c, s));
		lengthy += !t->ahead;
		ahead += t->ahead;
		running += t->phase == PHASE_RUNNING;
	}
	FH_ASSERT_CMP(lengthy, ==, s->lengthy);
	FH_ASSERT_CMP(ahead, ==, s->ahead);
	FH_ASSERT_CMP(running, ==, s->running);
	FH_ASSERT_CMP(s->lengthy, <=, s->slots);
	FH_ASSERT_CMP(s->running, <=, s->slots);
	FH_ASSERT_CMP(s->assigned, <=, s->granted);
	bool can_take =
		!s->kept_for && !s->pauses && s->assigned < s->granted &&
		(s->lengthy + s->ahead < s->slots || s->ahead < worker_session_ahead_max(c, s));
	FH_ASSERT_CMP(list_empty(&s->ready), ==, !can_take);
	FH_ASSERT_CMP(list_empty(&s->contact), ==, s->immortal);
}

static uint32_t check_pool(const struct core *c, const struct pool *p)
{
	uint32_t ready = 0;
	FH_ASSERT_CMP(p->sessions, >, 0);
	for (unsigned i = 0; i < LOAD_COUNT; i++) {
		FH_ASSERT_CMP(p->loads >> i & 1, ==, !list_empty(&p->by_load[i]));
		list_for_each (link, &p->by_load[i]) {
			const struct session *s = list_entry(link, struct session, ready);
			FH_ASSERT(s->open && s->pool == p && s->load == i);
			FH_ASSERT_CMP(i < LOAD_FREE, ==, s->lengthy + s->ahead < s->slots);
			ready++;
		}
	}
	(void)c;
	return ready;
}

static void check_sessions(const struct core *c)
{
	uint32_t open = 0, in_pools = 0, ready = 0, in_flight = 0;
	for (uint32_t i = 0; i < c->sessions_touched; i++) {
		const struct session *s = &c->sessions[i];
		if (!s->open)
			continue;
		check_session(c, s);
		open++;
		in_flight += s->lengthy + s->ahead;
	}
	list_for_each (link, &c->pools) {
		const struct pool *p = list_entry(link, struct pool, link);
		in_pools += p->sessions;
		ready += check_pool(c, p);
	}
	FH_ASSERT_CMP(open, ==, c->session_count);
	FH_ASSERT_CMP(in_pools, ==, c->session_count);
	FH_ASSERT_CMP(ready, ==, c->ready_count);
	FH_ASSERT_CMP(in_flight, <=,
		      c->phase_count[PHASE_STARTING] + c->phase_count[PHASE_LEASED] +
			      c->phase_count[PHASE_RUNNING]);
	int64_t heard_us = INT64_MIN;
	list_for_each (link, &c->contacts) {
		const struct session *s = list_entry(link, struct session, contact);
		FH_ASSERT_CMP(heard_us, <=, s->heard_us);
		heard_us = s->heard_us;
	}
}

void core_check(const struct core *c)
{
	check_window(c);
	check_lanes(c);
	check_sessions(c);
	FH_ASSERT_CMP(c->live, <=, c->limits.live_max);
}
