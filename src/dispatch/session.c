/* Workers' connections: messages in, messages out.
 *
 * Happy path: HELLO opens a session (WELCOME), CREDIT lets the core assign, STARTED and RESULT
 * become core events. A message is only a claim: the core compares tokens, this file checks who may
 * speak. Failure modes: a message before HELLO, a second HELLO, a type that a worker never sends:
 * the connection is closed with a logged reason; a full or broken connection is a lost session. */
#include <inttypes.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

enum { SLOTS_MAX = 4096 };

static struct fh_id peer_key(uint64_t peer)
{
	struct fh_id key = { { 0 } };
	memcpy(key.b, &peer, sizeof peer);
	return key;
}

static uint32_t number_of(const struct dispatch *d, const struct session *s)
{
	return (uint32_t)(s - d->sessions);
}

static void forget_session(struct dispatch *d, struct session *s)
{
	(void)map_remove(&d->peers, peer_key(s->peer));
	functions_forget_session(d, number_of(d, s));
	*s = (struct session){ 0 };
}

/* Tells the core; the places of its tasks are dealt with by the actions that follow. */
static void lose(struct dispatch *d, struct session *s, const char *why)
{
	struct core_event ev = { .kind = CORE_EV_SESSION_LOST, .session = number_of(d, s) };
	dispatch_log(d, "worker session %u is lost: %s", ev.session, why);
	forget_session(d, s);
	dispatch_step(d, &ev);
}

void session_send(struct dispatch *d, uint32_t session, struct wire_msg *own_msg)
{
	struct session *s = &d->sessions[session];
	if (!s->open || transport_send(d->config.transport, s->peer, own_msg)) {
		/* What cannot be sent is lost with the connection: the `lost` of the transport or
		 * the liveness list ends the session. A queue holds more than credit lets in. At
		 * the end the worker goes before us. */
		if (s->open && !d->closed)
			dispatch_log(d, "worker session %u takes no message", session);
		wire_msg_release(own_msg);
	}
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
		dispatch_log(d, "worker session %u was silent too long", a->session);
		transport_close_peer(d->config.transport, d->sessions[a->session].peer);
		forget_session(d, &d->sessions[a->session]);
		break;
	default:
		FH_UNREACHABLE("not an action of a session");
	}
}

static void reject_peer(struct dispatch *d, uint64_t peer, struct session *s, const char *why)
{
	dispatch_log(d, "a worker's connection was closed: %s", why);
	transport_close_peer(d->config.transport, peer);
	if (s)
		lose(d, s, why);
}

static void send_drain(struct dispatch *d, uint32_t session)
{
	struct wire_msg m = { .type = WIRE_DRAIN };
	session_send(d, session, &m);
}

static void hello(struct dispatch *d, uint64_t peer, const struct wire_hello *h)
{
	uint32_t number = 0;
	while (number < d->config.limits.sessions_max && d->sessions[number].open)
		number++;
	if (number == d->config.limits.sessions_max) {
		reject_peer(d, peer, NULL, "too many workers");
		return;
	}
	if (h->slots == 0 || h->slots > SLOTS_MAX) {
		reject_peer(d, peer, NULL, "HELLO with an impossible number of slots");
		return;
	}
	struct session *s = &d->sessions[number];
	*s = (struct session){ .open = true, .peer = peer, .hello = *h };
	s->hello.runtime[sizeof s->hello.runtime - 1] = '\0';
	if (map_put(&d->peers, peer_key(peer), s))
		fh_assert_fail(__FILE__, __LINE__, "map_put", "peers");
	struct core_event ev = { .kind = CORE_EV_SESSION_OPENED,
				 .opened = { number, h->slots, UINT64_MAX, true } };
	struct wire_msg m = { .type = WIRE_WELCOME, .welcome = { number, d->totals.generation } };
	session_send(d, number, &m);
	dispatch_step(d, &ev);
	dispatch_log(d, "worker session %u: %u slots, %s", number, h->slots, s->hello.runtime);
	if (d->draining && d->starts == 0)
		send_drain(d, number);
}

static void started(struct dispatch *d, uint32_t session, const struct wire_ref *r)
{
	struct core_event ev = { .kind = CORE_EV_STARTED,
				 .attempt = {
					 .session = session, .id = r->task, .token = r->token } };
	dispatch_step(d, &ev);
}

static void result(struct dispatch *d, uint32_t session, struct wire_result *r)
{
	if (!task_state_is_final(r->result.state) || r->result.state >= TASK_STATE_COUNT ||
	    (unsigned)r->result.reason >= REASON_COUNT) {
		reject_peer(d, d->sessions[session].peer, &d->sessions[session],
			    "RESULT with an impossible state");
		return;
	}
	struct core_event ev = {
		.kind = CORE_EV_FINISHED,
		.attempt = { .session = session,
			     .id = r->task,
			     .token = r->token,
			     .state = r->result.state,
			     .reason = r->result.reason,
			     .retry_match = r->retry_match,
			     .run_us = r->result.run_us },
	};
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

static void handle(struct dispatch *d, struct session *s, struct wire_msg *m)
{
	uint32_t session = number_of(d, s);
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
	case WIRE_RESULT:
		result(d, session, &m->result);
		break;
	case WIRE_FUNCTION_GET:
		function_get(d, session, m->function_get.function);
		break;
	case WIRE_HEARTBEAT:
		dispatch_step(d, &ev);
		break;
	case WIRE_BYE:
		lose(d, s, "it said BYE");
		break;
	default:
		reject_peer(d, s->peer, s, wire_type_name(m->type));
	}
}

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct dispatch *d = ctx;
	struct session *s = map_get(&d->peers, peer_key(peer));
	if (s && own_msg->type != WIRE_HELLO)
		handle(d, s, own_msg);
	else if (!s && own_msg->type == WIRE_HELLO)
		hello(d, peer, &own_msg->hello);
	else
		reject_peer(d, peer, s, s ? "a second HELLO" : "a message before HELLO");
	wire_msg_release(own_msg);
}

static void on_lost(void *ctx, uint64_t peer)
{
	struct dispatch *d = ctx;
	struct session *s = map_get(&d->peers, peer_key(peer));
	if (s)
		lose(d, s, "its connection is gone");
}

static void on_wake(void *ctx)
{
	dispatch_wake(ctx);
}

static void on_trouble(void *ctx, const char *line)
{
	dispatch_log(ctx, "%s", line);
}

int sessions_init(struct dispatch *d)
{
	d->sessions = fh_calloc(d->config.limits.sessions_max, sizeof *d->sessions);
	if (!d->sessions || map_init_fixed(&d->peers, d->config.limits.sessions_max))
		return FH_ENOMEM;
	if (d->config.transport)
		d->config.transport->handler = (struct transport_handler){
			.ctx = d,
			.message = on_message,
			.lost = on_lost,
			.wake = on_wake,
			.trouble = on_trouble,
		};
	return 0;
}

void sessions_release(struct dispatch *d)
{
	if (d->config.transport)
		d->config.transport->handler = (struct transport_handler){ 0 };
	map_release(&d->peers);
	fh_free(d->sessions);
}

/* Wrong: to tell them while a start is on its way to the store. (1) DRAIN; (2) the worker holds
 * nothing and leaves; (3) the start is durable, and its task was never sent. */
void sessions_drain(struct dispatch *d)
{
	if (d->starts > 0)
		return;
	for (uint32_t i = 0; i < d->config.limits.sessions_max; i++)
		if (d->sessions[i].open)
			send_drain(d, i);
}

bool dispatch_has_worker(const struct dispatch *d)
{
	return d->peers.len > 0;
}
