/* Messages of workers in, messages to workers out.
 *
 * Happy path: CREDIT lets the core assign, STARTED and RESULT become its events, HEARTBEAT compares
 * what the worker holds and is answered. A message is only a claim: the core compares tokens, this
 * file checks who may speak. Failure modes: a second HELLO, a type that a
 * worker never sends: the connection is closed, and both sides log why. A message that the
 * transport does not take ends the connection, too: what was in it is said again over the next one,
 * or goes elsewhere. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

struct fh_id door_key(uint64_t peer)
{
	struct fh_id key = { { 0 } };
	memcpy(key.b, &peer, sizeof peer);
	return key;
}

/* ---- out ---- */

void session_send(struct dispatch *d, uint32_t session, struct wire_msg *own_msg)
{
	struct session *s = &d->sessions[session];
	if (!s->open || !s->connected) {
		wire_msg_release(own_msg);
		return;
	}
	if (transport_send(s->door->transport, s->peer, own_msg) == 0)
		return;
	wire_msg_release(own_msg);
	if (d->closed) /* at the end the local worker goes before us */
		return;
	if (list_empty(&s->ending))
		list_push_back(&d->broken, &s->ending);
	dispatch_wake(d);
}

static void send_ref(struct dispatch *d, const struct core_action *a, enum wire_type type)
{
	struct wire_msg m = { .type = type, .ref = { a->id, a->token } };
	session_send(d, a->session, &m);
}

static void assign(struct dispatch *d, const struct core_action *a)
{
	struct window_task *t = &d->window[a->ref];
	FH_ASSERT(t->used && fh_id_equal(t->rec.id, a->id));
	struct wire_msg m = {
		.type = WIRE_ASSIGN,
		.assign = {
			.task = a->id,
			.token = a->token,
			.number = a->assign.number,
			.function = t->rec.function_id,
			.payload = blob_ref(t->rec.payload),
			.timeout_ms = t->rec.options.timeout_ms,
			.mem_bytes = t->rec.options.mem_bytes,
			.ahead = a->assign.ahead,
		},
	};
	if (t->rec.options.retry_classes) {
		m.assign.retry_classes = fh_strdup(t->rec.options.retry_classes);
		FH_ASSERT(m.assign.retry_classes != NULL);
	}
	d->sessions[a->session].sent = a->assign.number;
	session_send(d, a->session, &m);
}

void session_perform(struct dispatch *d, const struct core_action *a)
{
	switch (a->kind) {
	case CORE_DO_ASSIGN:
		assign(d, a);
		break;
	case CORE_DO_SEND_CANCEL:
		send_ref(d, a, WIRE_CANCEL);
		break;
	case CORE_DO_ACK:
		send_ref(d, a, WIRE_RESULT_ACK);
		break;
	case CORE_DO_STALE:
		send_ref(d, a, WIRE_STALE);
		break;
	case CORE_DO_CLOSE_SESSION:
		session_given_up(d, &d->sessions[a->session]);
		break;
	default:
		FH_UNREACHABLE("not an action of a session");
	}
}

/* ---- in ---- */

void door_refuse(struct door *door, uint64_t peer, struct session *s, const char *why)
{
	struct wire_msg m = { .type = WIRE_BYE,
			      .bye = { .why = WIRE_BYE_REFUSED, .text = fh_strdup(why) } };
	dispatch_log(door->d, "a worker's connection was closed: %s", why);
	if (transport_send(door->transport, peer, &m))
		wire_msg_release(&m); /* then it sees the end of the connection alone */
	transport_close_peer(door->transport, peer);
	if (s)
		session_end(door->d, s, false, why);
}

/* A message before HELLO: of a session that was given up, or that an earlier start of ours had. */
static void door_send_away(struct door *door, uint64_t peer)
{
	struct wire_msg m = { .type = WIRE_BYE,
			      .bye = { .why = WIRE_BYE_UNKNOWN,
				       .text = fh_strdup("a message before HELLO") } };
	dispatch_log(door->d, "a worker is told to come anew: a message before HELLO");
	if (transport_send(door->transport, peer, &m))
		wire_msg_release(&m);
	transport_close_peer(door->transport, peer);
}

bool session_runs(struct dispatch *d, const struct session *s, struct fh_id task,
		  struct task_token token, struct core_view *ret_view)
{
	return s->open && core_find(d->core, task, ret_view) && ret_view->leased &&
	       ret_view->session == session_number(d, s) &&
	       task_token_equal(ret_view->token, token);
}

static void started(struct dispatch *d, uint32_t session, const struct wire_ref *r)
{
	struct core_event ev = { .kind = CORE_EV_STARTED,
				 .attempt = {
					 .session = session, .id = r->task, .token = r->token } };
	dispatch_step(d, &ev);
}

/* A worker elsewhere has a clock of its own: how long it took is all that it knows of our time. */
static void to_our_time(struct dispatch *d, struct task_result *r)
{
	int64_t now_ms = dispatch_wall_ms(d), took_ms;
	if (__builtin_sub_overflow(r->finished_ms, r->started_ms, &took_ms) || took_ms < 0 ||
	    took_ms > now_ms)
		took_ms = 0;
	if (r->started_ms)
		r->started_ms = now_ms - took_ms;
	r->finished_ms = now_ms;
}

static void result(struct dispatch *d, struct session *s, struct wire_result *r)
{
	if (!task_state_is_final(r->result.state) || r->result.state >= TASK_STATE_COUNT ||
	    (unsigned)r->result.reason >= REASON_COUNT) {
		door_refuse(s->door, s->peer, s, "RESULT with an impossible state");
		return;
	}
	struct core_event ev = {
		.kind = CORE_EV_FINISHED,
		.attempt = { .session = session_number(d, s),
			     .id = r->task,
			     .token = r->token,
			     .state = r->result.state,
			     .reason = r->result.reason,
			     .retry_match = r->retry_match,
			     .run_us = r->result.run_us },
	};
	struct core_view view;
	if (!s->door->local)
		to_our_time(d, &r->result);
	/* One that is said again, or is stale, is not another task. */
	if (session_runs(d, s, r->task, r->token, &view)) {
		s->finished++;
		s->failed += r->result.state == TASK_FAILED;
	}
	d->incoming = r;
	dispatch_step(d, &ev);
	d->incoming = NULL;
}

static void function_get(struct dispatch *d, uint32_t session, struct fh_id id)
{
	struct function *f = function_try_pin(d, id); /* pinned already, if the task is current */
	if (!f) {
		struct wire_msg m = { .type = WIRE_FUNCTION, .function = { .function = id } };
		session_send(d, session, &m);
		return;
	}
	function_send(d, f, session);
	function_unpin(d, f);
}

/* What was never sent cannot have come. */
static void arrived(struct session *s, uint64_t assigns)
{
	if (assigns > s->arrived && assigns <= s->sent)
		s->arrived = assigns;
}

static void heartbeat(struct dispatch *d, struct session *s, const struct wire_heartbeat *h)
{
	struct wire_msg m = { .type = WIRE_HEARTBEAT, .heartbeat.assigns = s->sent };
	session_send(d, session_number(d, s), &m);
	arrived(s, h->assigns);
	session_held(d, s, &h->in_flight, h->assigns, false);
}

/* It takes no more, as if it had been ordered so. */
static void leaving(struct dispatch *d, struct session *s)
{
	struct core_event ev = { .kind = CORE_EV_SESSION_PAUSED,
				 .paused = { .session = session_number(d, s),
					     .why = CORE_PAUSE_ORDERED } };
	struct core_event heard = { .kind = CORE_EV_HEARD, .session = ev.paused.session };
	s->drain_ordered = s->leaves = true;
	dispatch_log(d, "worker session %" PRIu32 " takes no more tasks: it leaves",
		     ev.paused.session);
	dispatch_step(d, &ev);
	if (s->open) /* no step in between has found it silent too long */
		dispatch_step(d, &heard);
}

static void bye(struct dispatch *d, struct session *s, const struct wire_bye *b)
{
	bool in_order = b->why == WIRE_BYE_DRAINED;
	transport_close_peer(s->door->transport, s->peer);
	session_end(d, s, in_order, in_order ? "it said BYE" : b->text ? b->text : "it gave up");
}

static void handle(struct dispatch *d, struct session *s, struct wire_msg *m)
{
	uint32_t session = session_number(d, s);
	struct core_event ev = { .kind = CORE_EV_HEARD, .session = session };
	switch (m->type) {
	case WIRE_CREDIT:
		ev.kind = CORE_EV_CREDITED;
		ev.credited = (struct core_ev_credited){ session, m->credit.granted_total };
		dispatch_step(d, &ev);
		break;
	case WIRE_STARTED:
		started(d, session, &m->ref);
		break;
	case WIRE_ASSIGN_ACK:
		dispatch_step(d, &ev);
		arrived(s, m->assign_ack.assigns);
		break;
	case WIRE_LOG: /* what prints has begun */
		started(d, session, &(struct wire_ref){ m->log.task, m->log.token });
		live_log_add(d, s, &m->log);
		break;
	case WIRE_RESULT:
		result(d, s, &m->result);
		break;
	case WIRE_FUNCTION_GET:
		dispatch_step(d, &ev);
		function_get(d, session, m->function_get.function);
		break;
	case WIRE_HEARTBEAT:
		heartbeat(d, s, &m->heartbeat);
		break;
	case WIRE_DRAIN:
		leaving(d, s);
		break;
	case WIRE_BYE:
		bye(d, s, &m->bye);
		break;
	default:
		door_refuse(s->door, s->peer, s, wire_type_name(m->type));
	}
}

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct door *door = ctx;
	struct session *s = map_get(&door->peers, door_key(peer));
	if (s && own_msg->type != WIRE_HELLO)
		handle(door->d, s, own_msg);
	else if (!s && own_msg->type == WIRE_HELLO)
		session_hello(door, peer, &own_msg->hello);
	else if (s)
		door_refuse(door, peer, s, "a second HELLO");
	else
		door_send_away(door, peer);
	wire_msg_release(own_msg);
}

static void on_heard(void *ctx, uint64_t peer)
{
	struct door *door = ctx;
	const struct session *s = map_get(&door->peers, door_key(peer));
	if (!s)
		return;
	struct core_event ev = { .kind = CORE_EV_HEARD, .session = session_number(door->d, s) };
	dispatch_step(door->d, &ev);
}

static void on_lost(void *ctx, uint64_t peer)
{
	struct door *door = ctx;
	struct session *s = map_get(&door->peers, door_key(peer));
	if (s)
		session_away(door->d, s, "its connection is gone");
}

static void on_wake(void *ctx)
{
	struct door *door = ctx;
	dispatch_wake(door->d);
}

static void on_trouble(void *ctx, const char *line)
{
	struct door *door = ctx;
	dispatch_log(door->d, "%s", line);
}

void door_open(struct door *door)
{
	if (door->transport)
		door->transport->handler = (struct transport_handler){
			.ctx = door,
			.message = on_message,
			.heard = on_heard,
			.lost = on_lost,
			.wake = on_wake,
			.trouble = on_trouble,
		};
}

void door_close(struct door *door)
{
	if (door->transport)
		door->transport->handler = (struct transport_handler){ 0 };
}
