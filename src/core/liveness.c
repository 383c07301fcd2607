/* Decides that a worker is gone. Happy path: every message moves its session to the end of the
 * list, and a tick finds at the front one that was heard of recently. A session in silence for
 * liveness_us is lost, as if its connection were. */
#include "core/liveness.h"

#include "base/assert.h"
#include "base/plant.h"
#include "core/state.h"

static int64_t lease_now(const struct core *c)
{
	return c->now_us - c->paused_us;
}

void liveness_clock(struct core *c, int64_t now_us)
{
	FH_ASSERT_CMP(now_us, >=, c->now_us);
	int64_t gap = now_us - c->now_us;
	if (gap > c->limits.tick_gap_us)
		c->paused_us += gap;
}

void liveness_heard(struct core *c, struct session *s)
{
	if (s->immortal)
		return;
	s->heard_us = lease_now(c);
	if (PLANTED(CONTACT_OUT_OF_ORDER) && s->pauses) /* the front is not the longest silent */
		return;
	list_remove(&s->contact);
	list_push_back(&c->contacts, &s->contact);
}

static struct session *front(const struct core *c)
{
	if (c->limits.liveness_us == 0 || list_empty(&c->contacts))
		return NULL;
	return list_entry(c->contacts.next, struct session, contact);
}

void liveness_check(struct core *c)
{
	for (struct session *s = front(c); s; s = front(c)) {
		if (lease_now(c) - s->heard_us < c->limits.liveness_us || !action_room(c))
			return;
		action_add(c, CORE_DO_CLOSE_SESSION)->session = worker_session_number(c, s);
		worker_session_lose(c, s, false);
	}
}

int64_t liveness_next_us(const struct core *c)
{
	const struct session *s = front(c);
	if (!s)
		return INT64_MAX;
	int64_t dead = s->heard_us + c->limits.liveness_us + c->paused_us;
	int64_t pulse = c->now_us + c->limits.tick_gap_us / 2;
	return dead < pulse ? dead : pulse;
}
