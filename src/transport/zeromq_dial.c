/* How a worker's end comes to a connection: one socket for each attempt.
 *
 *   WAITING -timer-> DIALLING -handshake-> UP -gone-> WAITING
 *
 * Happy path: the monitor of the socket tells when the handshake is done, the handler hears
 * `connected`, and frames go both ways. Failure modes: whatever ends a connection, or does not let
 * it come about, drops the socket with all that is queued in it, so that nothing of an old session
 * reaches a new one; the next address is dialled after a delay that doubles and is spread by
 * chance, up to DEALER_DELAY_MAX_MS. The delay is short again once a frame came over a connection.
 */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "transport/zeromq_dealer_priv.h"
#include "transport/zeromq_priv.h"

enum {
	/* A name that is not resolved any more makes no event at all. */
	DIAL_MAX_MS = 12000,
};

/* One line for each kind of trouble, not one for each attempt. Who refuses closes the connection,
 * too, and chance decides which of the two is noticed: after a reason, or another guess, a guess is
 * no news. */
static void trouble(struct dealer *d, const char *why, enum dealer_end end)
{
	struct dealer_told *told = &d->told[d->url];
	char line[sizeof told->why + 128];
	if (strcmp(told->why, why) == 0 || (end == ENDED_SOMEHOW && told->end != ENDED))
		return;
	told->end = end;
	(void)snprintf(told->why, sizeof told->why, "%s", why);
	(void)snprintf(line, sizeof line, "dispatcher %s: %s", d->urls[d->url].url, why);
	if (d->base.handler.trouble)
		d->base.handler.trouble(d->base.handler.ctx, line);
}

static void set_timer(struct dealer *d, uint32_t ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000 };
	if (event_add(d->timer, &tv))
		fh_assert_fail(__FILE__, __LINE__, "event_add", "a timer that exists");
}

static void free_event(struct event **e)
{
	if (*e)
		event_free(*e);
	*e = NULL;
}

static void drop_socket(struct dealer *d)
{
	free_event(&d->readable);
	free_event(&d->monitored);
	/* First the events end, then their reader: ZeroMQ's thread would wait for ever with an
	 * event that nobody reads, and no later attempt would come about. */
	if (d->socket)
		FH_ASSERT(zmq_socket_monitor(d->socket, NULL, 0) == 0);
	zsocket_close(d->monitor);
	zsocket_close(d->socket);
	d->monitor = d->socket = NULL;
	if (d->receiving)
		d->dropped = true; /* the link is in use below us: receive_one() frees it */
	else
		wire_link_free(&d->link);
}

/* Half to all of the delay. */
static void wait_for_next(struct dealer *d)
{
	uint32_t half = d->delay_ms / 2;
	set_timer(d, half + (uint32_t)(d->random(d->env) % (half + 1)));
	d->delay_ms = d->delay_ms * 2 < DEALER_DELAY_MAX_MS ? d->delay_ms * 2 : DEALER_DELAY_MAX_MS;
	d->url = (d->url + 1) % d->url_count;
}

static void end_attempt(struct dealer *d, const char *why, enum dealer_end end)
{
	/* Who has not heard of the connection does not hear of its end. */
	bool was_told = d->state == UP && !d->tell_connected;
	trouble(d, why, end);
	drop_socket(d);
	d->state = WAITING;
	d->tell_connected = false;
	d->tell_lost = d->tell_lost || was_told;
	if (d->tell_lost)
		dealer_wake(d);
	wait_for_next(d);
}

void dealer_end_attempt(struct dealer *d, const char *why)
{
	end_attempt(d, why, ENDED);
}

static void came_up(struct dealer *d)
{
	if (d->state != DIALLING)
		return;
	if (wire_link_new(&d->link)) {
		dealer_end_attempt(d, "no memory for a connection");
		return;
	}
	(void)event_del(d->timer);
	d->state = UP;
	memset(d->told, 0, sizeof d->told);
	d->tell_connected = true;
	dealer_wake(d);
}

static void on_monitored(evutil_socket_t fd, short what, void *ctx);

static bool watch(struct dealer *d, void *socket, event_callback_fn callback, struct event **ret)
{
	*ret = event_new(d->loop, zsocket_fd(socket), EV_READ | EV_PERSIST, callback, d);
	return *ret && event_add(*ret, NULL) == 0;
}

static bool open_monitor(struct dealer *d)
{
	/* A name of its own: the last attempt's socket may still be on its way out. */
	char url[40];
	(void)snprintf(url, sizeof url, "inproc://monitor-%u", ++d->attempts);
	if (zmq_socket_monitor(d->socket, url, ZMQ_EVENT_ALL))
		return false;
	d->monitor = zmq_socket(d->zmq, ZMQ_PAIR);
	return d->monitor && zmq_connect(d->monitor, url) == 0;
}

/* A name may mean another address by now. Plain text goes to the one that was looked at. */
static void dial(struct dealer *d)
{
	d->state = DIALLING;
	d->reached = false;
	const struct endpoint *e = &d->urls[d->url];
	d->socket = zsocket_new(d->zmq, ZMQ_DEALER, e->ipv6);
	if (d->socket && d->has_key)
		zsocket_key(d->socket, &d->key);
	if (!d->socket || !open_monitor(d) ||
	    !watch(d, d->socket, dealer_on_readable, &d->readable) ||
	    !watch(d, d->monitor, on_monitored, &d->monitored) ||
	    zmq_connect(d->socket, d->has_key ? e->url : e->numeric)) {
		dealer_end_attempt(d, zmq_strerror(zmq_errno()));
		return;
	}
	set_timer(d, DIAL_MAX_MS);
	on_monitored(-1, 0, d); /* what happened before we watched made no edge */
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	(void)fd;
	(void)what;
	if (d->state == WAITING)
		dial(d);
	else
		dealer_end_attempt(d, "it does not answer");
}

/* ---- what the monitor says ---- */

static const char *why_closed(const struct dealer *d)
{
	if (d->state == UP)
		return "the connection is gone";
	if (!d->reached)
		return "it cannot be reached";
	/* It cannot read what is not encrypted for it, nor say so. */
	return d->has_key ? "it closed the connection: is its key the one that was given here?"
			  : "it closed the connection";
}

static const char *why_failed(const struct dealer *d, unsigned event, uint32_t value)
{
	if (event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
		return d->has_key ? why_closed(d)
				  : "no handshake: what answers there wants a key, or is not "
				    "a dispatcher of Farhand, or the way to it is bad";
	if (value != ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
		return "what answers there is not a dispatcher of Farhand";
	return d->has_key ? "it speaks plain text, and this worker was given a key"
			  : "it wants a key, and this worker was given none";
}

static void closed(struct dealer *d)
{
	bool in_handshake = d->state == DIALLING && d->reached;
	end_attempt(d, why_closed(d), in_handshake ? ENDED_SOMEHOW : ENDED);
}

static void monitor_event(struct dealer *d, unsigned event, uint32_t value)
{
	switch (event) {
	case ZMQ_EVENT_CONNECTED:
		d->reached = true;
		break;
	case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
		came_up(d);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
		end_attempt(d, "it does not accept this worker's key", ENDED_REFUSED);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
		end_attempt(d, why_failed(d, event, value), ENDED_SOMEHOW);
		break;
	case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
		end_attempt(d, why_failed(d, event, value), ENDED_REFUSED);
		break;
	case ZMQ_EVENT_CLOSED:
	case ZMQ_EVENT_DISCONNECTED:
		closed(d);
		break;
	default:
		break;
	}
}

static void on_monitored(evutil_socket_t fd, short what, void *ctx)
{
	struct dealer *d = ctx;
	(void)fd;
	(void)what;
	zmq_msg_t part;
	(void)zmq_msg_init(&part);
	while (d->monitor && zsocket_receive(d->monitor, &part) == 0) {
		uint32_t value;
		unsigned event = zmonitor_event(d->monitor, &part, &value);
		monitor_event(d, event, value);
	}
	(void)zmq_msg_close(&part);
}

/* ---- life ---- */

int dealer_begin(struct dealer *d)
{
	d->timer = event_new(d->loop, -1, 0, on_timer, d);
	if (!d->timer)
		return FH_ENOMEM;
	d->delay_ms = DEALER_DELAY_MIN_MS;
	set_timer(d, 0);
	return 0;
}

void dealer_stop(struct dealer *d)
{
	drop_socket(d);
	free_event(&d->timer);
}
