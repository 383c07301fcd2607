/* One step of the core: note the time, let the event's handler change the state, then do what has
 * become possible, in a fixed order, as far as the list of actions has room. Whatever is left shows
 * in the state itself (orphans, passed deadlines, waiting tasks beside free slots), so the next
 * step simply finds it again. An event's own actions always fit: the list starts empty. */
#include "base/assert.h"
#include "base/plant.h"
#include "core/admit.h"
#include "core/alone.h"
#include "core/attempt.h"
#include "core/cancel.h"
#include "core/core.h"
#include "core/deadline.h"
#include "core/ending.h"
#include "core/held.h"
#include "core/liveness.h"
#include "core/state.h"

/* The most actions that one piece of work causes. */
enum { ACTIONS_AT_ONCE = 4 };

struct core_action *action_add(struct core *c, enum core_action_kind kind)
{
	FH_ASSERT_CMP(c->out->count, <, CORE_ACTIONS_MAX);
	struct core_action *a = &c->out->list[c->out->count++];
	*a = (struct core_action){
		.kind = kind,
		.ref = CORE_NO_REF,
		.session = CORE_NO_SESSION,
	};
	return a;
}

struct core_action *action_add_task(struct core *c, enum core_action_kind kind,
				    const struct task *t)
{
	struct core_action *a = action_add(c, kind);
	a->ref = task_ref(c, t);
	a->session = t->session;
	a->id = t->id;
	a->token = t->token;
	return a;
}

bool action_room(struct core *c)
{
	if (c->out->count + ACTIONS_AT_ONCE <= CORE_ACTIONS_MAX)
		return true;
	c->out->more = true;
	return false;
}

/* The session that an event comes from has been heard. */
static void heard(struct core *c, uint32_t session)
{
	struct session *s = worker_session(c, session);
	if (PLANTED(IDLE_IS_SILENT) && list_empty(&s->in_flight))
		return; /* only who works is heard */
	liveness_heard(c, s);
}

static void handle_session(struct core *c, struct core_event *ev)
{
	switch (ev->kind) {
	case CORE_EV_SESSION_OPENED:
		worker_session_open(c, &ev->opened);
		break;
	case CORE_EV_SESSION_RESUMED:
		heard(c, ev->session);
		worker_session_resume(c, worker_session(c, ev->session));
		break;
	case CORE_EV_SESSION_CLASSES:
		worker_session_classes(c, &ev->classes);
		break;
	case CORE_EV_SESSION_PAUSED:
		worker_session_pause(c, &ev->paused);
		break;
	case CORE_EV_SESSION_LEFT:
		worker_session_lose(c, worker_session(c, ev->session), true);
		break;
	case CORE_EV_SESSION_LOST:
		worker_session_lose(c, worker_session(c, ev->session), false);
		break;
	case CORE_EV_HELD:
		heard(c, ev->held.session);
		held_listed(c, &ev->held);
		break;
	case CORE_EV_HEARD:
		heard(c, ev->session);
		break;
	case CORE_EV_CREDITED:
		heard(c, ev->credited.session);
		worker_session_credit(c, &ev->credited);
		break;
	case CORE_EV_STARTED:
		heard(c, ev->attempt.session);
		attempt_started(c, &ev->attempt);
		break;
	case CORE_EV_FINISHED:
		heard(c, ev->attempt.session);
		attempt_finished(c, &ev->attempt);
		break;
	case CORE_EV_ADOPTION_ASKED:
		held_adoption_asked(c, &ev->adoption);
		break;
	case CORE_EV_ADOPTED:
		held_adopted(c, &ev->adopted);
		break;
	default:
		FH_UNREACHABLE("an event that is not in the vocabulary");
	}
}

static void handle(struct core *c, struct core_event *ev)
{
	switch (ev->kind) {
	case CORE_EV_CONTINUED:
	case CORE_EV_TICKED:
		liveness_check(c);
		break;
	case CORE_EV_SUBMITTED:
		admit_submitted(c, &ev->submitted);
		break;
	case CORE_EV_STORED:
		admit_stored(c, &ev->stored);
		break;
	case CORE_EV_CLAIMED:
		admit_claimed(c, &ev->claimed);
		break;
	case CORE_EV_DROPPED:
		admit_dropped(c, &ev->dropped);
		break;
	case CORE_EV_START_STORED:
		attempt_start_stored(c, ev->ref.ref);
		break;
	case CORE_EV_RETRY_STORED:
		ending_retry_stored(c, ev->ref.ref);
		break;
	case CORE_EV_FINAL_STORED:
		ending_final_stored(c, ev->ref.ref);
		break;
	case CORE_EV_CANCEL_ASKED:
		cancel_ask(c, &ev->cancel);
		break;
	case CORE_EV_WALL_COMPARED:
		deadline_wall_compared(c, ev->wall_step_us);
		break;
	case CORE_EV_HOLD_OVER:
		c->hold_until_us = 0;
		break;
	case CORE_EV_FUNCTION_FORGOTTEN:
		function_forget(c, ev->function);
		break;
	case CORE_EV_DRAINED:
		c->draining = true;
		break;
	default:
		handle_session(c, ev);
	}
}

/* The places that the last step freed may be given out now. */
static void settle_places(struct core *c)
{
	while (!list_empty(&c->freed))
		list_push_back(&c->free, list_pop_front(&c->freed));
	c->free_count += c->freed_count;
	c->freed_count = 0;
}

void core_step(struct core *c, struct core_event *event, int64_t now_us, struct core_actions *out)
{
	out->count = 0;
	out->more = false;
	c->out = out;
	c->random = event->random;
	c->stepped = true;
	liveness_clock(c, now_us);
	c->now_us = now_us;
	settle_places(c);
	if (c->hold_until_us <= now_us && !PLANTED(HOLD_NEVER_OVER))
		c->hold_until_us = 0;

	handle(c, event);
	attempt_judge_orphans(c);
	deadline_run(c);
	lane_trim_all(c);
	alone_assign_all(c);
	attempt_assign_all(c);
	lane_claim_all(c);
	c->out = NULL;
}

int64_t core_next_us(const struct core *c)
{
	if (!c->stepped)
		return c->now_us;
	int64_t next_us = deadline_next_us(c), liveness = liveness_next_us(c);
	if (liveness < next_us)
		next_us = liveness;
	return c->hold_until_us && c->hold_until_us < next_us ? c->hold_until_us : next_us;
}
