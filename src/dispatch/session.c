/* Workers come, are away for a while, and go.
 *
 * Happy path: HELLO opens a session: the core learns of it, the worker gets WELCOME, and CREDIT
 * will follow. A connection that is gone is not a worker that is gone: the same worker (by its
 * instance id) says HELLO over a new one and declares what it still holds; nothing is run again. If
 * it does not come in time, the core gives it up, as any worker that is silent too long. Failure
 * modes: a second connection of a worker replaces the first. The worker in this process cannot come
 * back: its session ends with its connection. What is declared from before a restart of ours is
 * adopt.c's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

enum { SLOTS_MAX = 4096 };

uint32_t session_number(const struct dispatch *d, const struct session *s)
{
	return (uint32_t)(s - d->sessions);
}

/* ---- their numbers ---- */

static struct session *session_new(struct dispatch *d)
{
	uint32_t number;
	if (d->session_free_len > 0)
		number = d->session_free[--d->session_free_len];
	else if (d->sessions_touched < d->config.limits.sessions_max)
		number = d->sessions_touched++;
	else
		return NULL;
	return &d->sessions[number];
}

static void hello_release(struct wire_hello *h)
{
	struct wire_msg m = { .type = WIRE_HELLO, .hello = *h };
	wire_msg_release(&m);
	*h = (struct wire_hello){ 0 };
}

/* Takes over what is kept of it. */
static void hello_keep(struct session *s, struct wire_hello *h)
{
	hello_release(&s->hello);
	s->hello = *h;
	s->hello.runtime[sizeof s->hello.runtime - 1] = '\0';
	s->hello.in_flight = (struct wire_refs){ 0 };
	*h = (struct wire_hello){ .in_flight = h->in_flight };
}

static void session_forget(struct dispatch *d, struct session *s)
{
	if (s->connected)
		(void)map_remove(&s->door->peers, door_key(s->peer));
	(void)map_remove(&d->instances, s->hello.instance);
	functions_forget_session(d, session_number(d, s));
	list_remove(&s->ending);
	if (s->door->local)
		d->local_sessions--;
	else
		worker_note(d, s->hello.instance, false);
	hello_release(&s->hello);
	d->fleet_changes++;
	*s = (struct session){ 0 };
	d->session_free[d->session_free_len++] = session_number(d, s);
}

/* ---- they come ---- */

static void connect_to(struct session *s, struct door *door, uint64_t peer)
{
	s->door = door;
	s->peer = peer;
	s->sent = s->arrived = 0;
	s->connected = true;
	const char *name = transport_peer_name(door->transport, peer);
	(void)snprintf(s->key_name, sizeof s->key_name, "%s", name ? name : "");
	if (map_put(&door->peers, door_key(peer), s))
		fh_assert_fail(__FILE__, __LINE__, "map_put", "peers");
}

static void send_drain(struct dispatch *d, struct session *s, enum wire_drain_how how)
{
	struct wire_msg m = { .type = WIRE_DRAIN, .drain = { how } };
	session_send(d, session_number(d, s), &m);
}

static void welcome(struct dispatch *d, struct session *s)
{
	struct wire_msg m = { .type = WIRE_WELCOME,
			      .welcome = { .session = session_number(d, s),
					   .generation = d->totals.generation } };
	if (!s->door->local)
		m.welcome.silence_ms = (uint32_t)(d->config.limits.liveness_us / 1000);
	session_send(d, session_number(d, s), &m);
	if (s->drain_ordered)
		send_drain(d, s, WIRE_DRAIN_STAY);
}

enum { DESCRIPTION_MAX = 240 };

/* "lab7 with the key anna, 4 slots, cp311, push" */
static void describe(const struct session *s, char text[DESCRIPTION_MAX])
{
	const struct wire_hello *h = &s->hello;
	(void)snprintf(text, DESCRIPTION_MAX, "%.64s%s%s, %" PRIu32 " slot%s, %s, %s",
		       h->host ? h->host : "local", s->key_name[0] ? " with the key " : "",
		       s->key_name, h->slots, fh_plural_s(h->slots), h->runtime,
		       s->door->local	      ? "local"
		       : h->mode == WIRE_PULL ? "pull"
					      : "push");
}

static void session_open(struct door *door, uint64_t peer, struct session *s, struct wire_hello *h,
			 struct adoption *a)
{
	struct dispatch *d = door->d;
	uint32_t number = session_number(d, s);
	struct wire_refs held = h->in_flight;
	char text[DESCRIPTION_MAX], id[FH_ID_TEXT];
	*s = (struct session){ .open = true, .connected_ms = dispatch_wall_ms(d) };
	list_init(&s->ending);
	hello_keep(s, h);
	s->classes = fit_classes(d, s);
	d->fleet_changes++;
	connect_to(s, door, peer);
	if (map_put(&d->instances, s->hello.instance, s))
		fh_assert_fail(__FILE__, __LINE__, "map_put", "instances");
	if (door->local)
		d->local_sessions++;
	struct core_event ev = { .kind = CORE_EV_SESSION_OPENED,
				 .opened = { .session = number,
					     .slots = s->hello.slots,
					     .classes = s->classes,
					     .instance = s->hello.instance,
					     .immortal = door->local,
					     .pull = s->hello.mode == WIRE_PULL } };
	dispatch_step(d, &ev);
	if (a)
		adopt_all(a, number);
	welcome(d, s);
	describe(s, text);
	fh_id_format(s->hello.instance, id);
	dispatch_log(d, "worker session %" PRIu32 ": %s, id %s", number, text, id);
	if (!door->local) {
		session_held(d, s, &held, 0, false);
		expected_came(d, s->hello.instance);
		worker_note(d, s->hello.instance, true);
	}
	if (door->local && d->draining && d->starts == 0)
		send_drain(d, s, WIRE_DRAIN_LEAVE);
}

/* Its modules may have changed: its template has started anew. */
static void look_anew(struct dispatch *d, struct session *s)
{
	struct core_event ev = { .kind = CORE_EV_SESSION_CLASSES };
	d->fleet_changes++;
	s->classes = fit_classes(d, s);
	ev.classes = (struct core_ev_session_classes){ session_number(d, s), s->classes };
	dispatch_step(d, &ev);
}

static void session_resume(struct door *door, uint64_t peer, struct session *s,
			   struct wire_hello *h, struct adoption *a)
{
	struct dispatch *d = door->d;
	if (s->connected && !PLANTED(OLD_LINK_HEARD)) {
		(void)map_remove(&s->door->peers, door_key(s->peer));
		transport_close_peer(s->door->transport, s->peer);
		list_remove(&s->ending); /* that was the old one */
	}
	hello_keep(s, h);
	connect_to(s, door, peer);
	functions_forget_session(d, session_number(d, s));
	struct core_event ev = { .kind = CORE_EV_SESSION_RESUMED, .session = session_number(d, s) };
	dispatch_step(d, &ev);
	look_anew(d, s);
	if (a)
		adopt_all(a, ev.session);
	welcome(d, s);
	dispatch_log(d, "worker session %" PRIu32 " is back, with %" PRIu32 " task%s", ev.session,
		     h->in_flight.count, fh_plural_s(h->in_flight.count));
	session_held(d, s, &h->in_flight, 0, true);
}

/* A worker with another key is another worker, whatever instance it says it is: the time in front
 * of an instance gives way to a sum over the name of the key (FNV-1a), of which each list has but
 * one. */
static void bind_to_key(struct wire_hello *h, const char *key_name)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);
	for (const char *c = key_name; *c; c++)
		sum = (sum ^ (uint8_t)*c) * UINT64_C(0x100000001b3);
	sum ^= sum >> 48; /* 6 bytes: the version of the UUID follows */
	memcpy(h->instance.b, &sum, 6);
}

void session_hello(struct door *door, uint64_t peer, struct wire_hello *h)
{
	struct dispatch *d = door->d;
	if (h->slots == 0 || h->slots > SLOTS_MAX) {
		door_refuse(door, peer, NULL, "HELLO with an impossible number of slots");
		return;
	}
	const char *key_name = transport_peer_name(door->transport, peer);
	if (key_name)
		bind_to_key(h, key_name);
	struct session *s = map_get(&d->instances, h->instance);
	if (s && (s->door != door || door->local)) {
		door_refuse(door, peer, NULL, "HELLO with the instance of another worker");
		return;
	}
	if (d->draining && !door->local) { /* it will find us after the restart */
		transport_close_peer(door->transport, peer);
		return;
	}
	if (s || !adopt_begin(door, peer, h))
		(void)session_enter(door, peer, h, NULL);
}

bool session_enter(struct door *door, uint64_t peer, struct wire_hello *h, struct adoption *a)
{
	struct session *s = map_get(&door->peers, door_key(peer));
	if (s) { /* it came while the store was asked about the first one */
		door_refuse(door, peer, s, "a second HELLO");
		return false;
	}
	s = map_get(&door->d->instances, h->instance);
	if (s) {
		session_resume(door, peer, s, h, a);
		return true;
	}
	s = session_new(door->d);
	if (s)
		session_open(door, peer, s, h, a);
	else
		door_refuse(door, peer, NULL, "there are too many workers");
	return s != NULL;
}

/* ---- what they hold ---- */

void session_held(struct dispatch *d, struct session *s, const struct wire_refs *refs,
		  uint64_t received, bool resumed)
{
	uint32_t at = 0;
	do {
		uint32_t left = refs->count - at;
		uint32_t count = left < CORE_HELD_MAX ? left : CORE_HELD_MAX;
		struct core_event ev = { .kind = CORE_EV_HELD,
					 .held = { .session = session_number(d, s),
						   .refs = refs->list + at,
						   .count = count,
						   .received = received,
						   .resumed = resumed,
						   .first = at == 0,
						   .last = count == left } };
		dispatch_step(d, &ev);
		at += count;
	} while (at < refs->count && s->open);
}

/* ---- they go ---- */

void session_away(struct dispatch *d, struct session *s, const char *why)
{
	struct core_event ev = { .kind = CORE_EV_SESSION_PAUSED,
				 .paused = { .session = session_number(d, s),
					     .why = CORE_PAUSE_AWAY } };
	if (s->door->local) {
		session_end(d, s, false, why);
		return;
	}
	(void)map_remove(&s->door->peers, door_key(s->peer));
	s->connected = false;
	list_remove(&s->ending);
	if (PLANTED(WORKER_FORGOTTEN_AWAY)) /* a restart now would not wait for it */
		worker_note(d, s->hello.instance, false);
	dispatch_log(d, "worker session %" PRIu32 " is away: %s", ev.paused.session, why);
	dispatch_step(d, &ev);
}

/* Tells the core; the places of its tasks are dealt with by the actions that follow. */
void session_end(struct dispatch *d, struct session *s, bool in_order, const char *why)
{
	struct core_event ev = { .kind = in_order ? CORE_EV_SESSION_LEFT : CORE_EV_SESSION_LOST,
				 .session = session_number(d, s) };
	dispatch_log(d, "worker session %" PRIu32 " %s: %s", ev.session,
		     in_order ? "has left" : "is lost", why);
	session_forget(d, s);
	dispatch_step(d, &ev);
}

void session_given_up(struct dispatch *d, struct session *s)
{
	dispatch_log(d, "worker session %" PRIu32 " was silent too long", session_number(d, s));
	if (s->connected) {
		struct wire_msg m = { .type = WIRE_BYE, .bye = { .why = WIRE_BYE_UNKNOWN } };
		session_send(d, session_number(d, s), &m);
		transport_close_peer(s->door->transport, s->peer);
	}
	session_forget(d, s);
}

void sessions_settle(struct dispatch *d)
{
	for (struct list *l; (l = list_pop_front(&d->broken));) {
		struct session *s = list_entry(l, struct session, ending);
		transport_close_peer(s->door->transport, s->peer);
		session_away(d, s, "it takes no message");
	}
}

/* Wrong: to tell it while a start is on its way to the store. (1) DRAIN; (2) the worker holds
 * nothing and leaves; (3) the start is durable, and its task was never sent. */
void sessions_drain(struct dispatch *d)
{
	if (d->starts > 0)
		return;
	for (uint32_t i = 0; i < d->sessions_touched; i++)
		if (d->sessions[i].open && d->sessions[i].door->local)
			send_drain(d, &d->sessions[i], WIRE_DRAIN_LEAVE);
}

bool dispatch_has_local_worker(const struct dispatch *d)
{
	return d->local_sessions > 0;
}

/* ---- life ---- */

int sessions_init(struct dispatch *d)
{
	uint32_t max = d->config.limits.sessions_max;
	list_init(&d->broken);
	d->fleet_changes = 1;
	d->sessions = fh_calloc(max, sizeof *d->sessions);
	d->session_free = fh_calloc(max, sizeof *d->session_free);
	if (!d->sessions || !d->session_free || map_init_fixed(&d->instances, max))
		return FH_ENOMEM;
	d->doors[0] = (struct door){ .d = d, .transport = d->config.local, .local = true };
	d->doors[1] = (struct door){ .d = d, .transport = d->config.remote };
	for (int i = 0; i < DOORS; i++)
		if (d->doors[i].transport && map_init(&d->doors[i].peers))
			return FH_ENOMEM;
	for (int i = 0; i < DOORS; i++)
		door_open(&d->doors[i]);
	return 0;
}

void sessions_release(struct dispatch *d)
{
	for (int i = 0; i < DOORS; i++) {
		door_close(&d->doors[i]);
		map_release(&d->doors[i].peers);
	}
	for (uint32_t i = 0; i < d->sessions_touched; i++)
		hello_release(&d->sessions[i].hello);
	map_release(&d->instances);
	fh_free(d->sessions);
	fh_free(d->session_free);
}
