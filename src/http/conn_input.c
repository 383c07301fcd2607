/* Decides what of a connection's bytes evhttp may see.
 *
 *   HEAD ----whole head----> BODY or CHUNK_SIZE <-> CHUNK ----end----> HEAD
 *     |  (starving: no room for its body yet, nothing is read)
 *     +----fault----> LINGER: an answer, then everything is thrown away until the client closes
 *     +----body too large----> an answer, the body is thrown away, HEAD again
 *
 * Happy path: bytes arrive in evhttp's buffer -> conn_on_input() takes them out -> pump() finds a
 * whole head and what is there of its body -> they go back -> evhttp reads them.
 * Failure modes: a fault of the framing is replaced by a harmless request, or by the end of the
 * chunked body that it stands in, and answered in its turn. Without memory the connection is given
 * nothing more and closes. */
#include "http/conn_priv.h"

#include "base/assert.h"
#include "base/mem.h"

/* Gives back the room of this body; those in the queue may take it. */
void conn_release_room(struct conn *c)
{
	c->pool->reserved -= c->reserved;
	if (c->reserved && !list_empty(&c->pool->starving))
		event_active(c->pool->feed, 0, 0);
	c->reserved = 0;
}

void conn_set_read_room(struct conn *c, uint64_t more)
{
	size_t room = evbuffer_get_length(bufferevent_get_input(c->bev)) + (size_t)more;
	if (room < PIPELINED_MAX || more == 0)
		room = PIPELINED_MAX;
	if (room == c->room)
		return;
	bufferevent_setwatermark(c->bev, EV_READ, 0, room);
	c->room = room;
}

/* Nothing of this connection is shown any more. */
static void begin_linger(struct conn *c)
{
	conn_release_room(c);
	c->phase = CONN_LINGER;
	c->linger = true;
	(void)evbuffer_drain(c->raw, evbuffer_get_length(c->raw));
	if (!c->busy)
		conn_set_due(c, LINGER_MS);
}

/* Shows evhttp the first `len` bytes of what was held back. */
static void show(struct conn *c, size_t len)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	int ret;
	if (len == evbuffer_get_length(c->raw))
		ret = evbuffer_add_buffer(input, c->raw);
	else
		ret = evbuffer_remove_buffer(c->raw, input, len) == (int)len ? 0 : -1;
	if (ret)
		begin_linger(c); /* no memory: evhttp waits for the rest, and the deadline closes */
}

static void pass(struct conn *c, size_t len)
{
	if (c->discard)
		(void)evbuffer_drain(c->raw, len);
	else
		show(c, len);
}

static void refuse(struct conn *c, const struct frame_fault *fault)
{
	static const char harmless[] = "GET / HTTP/1.1\r\n\r\n";
	(void)evbuffer_add(bufferevent_get_input(c->bev), harmless, sizeof harmless - 1);
	c->fault = *fault;
	c->fault_at = ++c->shown;
}

/* Its room is kept until the answer: the bytes are still here, on their way to the disk. */
static void end_body(struct conn *c)
{
	conn_set_read_room(c, 0);
	c->phase = CONN_HEAD;
	c->scan = (struct frame_scan){ 0 };
	c->begun = c->discard = false;
	c->due_ms = 0;
}

static uint64_t body_room(const struct conn *c)
{
	return c->head.chunked ? c->head.body_limit : c->head.body_len;
}

/* Whether there is room for the body that was announced. A body that is here already needs none. */
static bool reserve_room(struct conn *c)
{
	struct conn_pool *pool = c->pool;
	uint64_t need = body_room(c);
	if (c->discard || need == 0 ||
	    (!c->head.chunked && evbuffer_get_length(c->raw) - c->head.len >= need))
		return true;
	/* In turn, and after the connection's own request before; one that is larger than all the
	 * room goes alone. */
	bool first = list_empty(&pool->starving) || pool->starving.next == &c->starving;
	bool fits = !pool->reserved || pool->reserved + need <= pool->limits->unfinished_bytes;
	if (!first || !fits || c->reserved) {
		if (list_empty(&c->starving))
			list_push_back(&pool->starving, &c->starving);
		return false;
	}
	list_remove(&c->starving);
	c->reserved = (size_t)need;
	pool->reserved += c->reserved;
	return true;
}

static void begin_body(struct conn *c)
{
	uint64_t room = body_room(c);
	c->body_seen = 0;
	c->chunk_left = c->head.body_len;
	c->phase = c->head.chunked ? CONN_CHUNK_SIZE : CONN_BODY;
	if (!c->head.chunked && room == 0) {
		end_body(c);
		return;
	}
	conn_set_read_room(c, c->discard ? 0 : room + FRAME_CHUNK_LINE_MAX);
	conn_set_body_due(c);
}

/* Each of these takes what it can of `raw`: true if there may be more to take. */
static bool pump_head(struct conn *c)
{
	size_t len = evbuffer_get_length(c->raw);
	size_t want = c->pool->limits->head_bytes + 2;
	struct frame_fault fault;
	const char *data =
		(const char *)evbuffer_pullup(c->raw, (ev_ssize_t)(len < want ? len : want));
	if (!data)
		return false;
	int ret = frame_read_head(c->pool->limits, data, len < want ? len : want, &c->scan,
				  &c->head, &fault);
	if (ret == 0) {
		if (!c->begun)
			conn_set_due(c, c->pool->limits->head_ms);
		c->begun = true;
		return false;
	}
	if (ret < 0) {
		refuse(c, &fault);
		begin_linger(c);
		return false;
	}
	c->discard = c->head.body_len > c->head.body_limit;
	if (!reserve_room(c)) {
		c->scan = (struct frame_scan){ 0 }; /* it is read again when there is room */
		c->due_ms = 0;
		(void)bufferevent_disable(c->bev, EV_READ);
		return false;
	}
	if (c->discard)
		refuse(c, &frame_fault_too_large);
	else
		c->shown++;
	pass(c, c->head.len);
	if (c->head.body_len > DISCARD_MAX)
		begin_linger(c);
	else if (c->phase != CONN_LINGER)
		begin_body(c);
	return true;
}

static bool pump_bytes(struct conn *c)
{
	size_t len = evbuffer_get_length(c->raw);
	size_t n = c->chunk_left < len ? (size_t)c->chunk_left : len;
	pass(c, n);
	c->chunk_left -= n;
	if (c->chunk_left)
		return false;
	if (c->phase == CONN_BODY)
		end_body(c);
	else if (c->phase == CONN_CHUNK)
		c->phase = CONN_CHUNK_END;
	return true;
}

/* evhttp stands behind a whole chunk now: the last one ends the request, whose answer is a fault.
 */
static void refuse_chunks(struct conn *c, const struct frame_fault *fault)
{
	static const char last[] = "0\r\n\r\n";
	(void)evbuffer_add(bufferevent_get_input(c->bev), last, sizeof last - 1);
	c->fault = *fault;
	c->fault_at = c->shown;
}

static bool pump_chunk_end(struct conn *c)
{
	const unsigned char *data = evbuffer_pullup(c->raw, 2);
	if (!data)
		return false;
	if (data[0] != '\r' || data[1] != '\n') {
		if (!c->discard)
			refuse_chunks(c, &frame_fault_chunk_end);
		begin_linger(c);
		return false;
	}
	pass(c, 2);
	if (c->phase == CONN_CHUNK_END)
		c->phase = CONN_CHUNK_SIZE;
	return true;
}

static bool pump_chunk_size(struct conn *c)
{
	size_t len = evbuffer_get_length(c->raw), used;
	uint64_t size;
	struct frame_fault fault;
	if (len > FRAME_CHUNK_LINE_MAX)
		len = FRAME_CHUNK_LINE_MAX;
	const char *data = (const char *)evbuffer_pullup(c->raw, (ev_ssize_t)len);
	int ret = data ? frame_read_chunk(data, len, &used, &size, &fault) : 0;
	if (ret == 0)
		return false;
	if (ret < 0 || c->body_seen + size > DISCARD_MAX) {
		if (!c->discard)
			refuse_chunks(c, ret < 0 ? &fault : &frame_fault_too_large);
		begin_linger(c);
		return false;
	}
	c->body_seen += size;
	if (!c->discard && c->body_seen > c->head.body_limit) {
		refuse_chunks(c, &frame_fault_too_large);
		conn_release_room(c);
		c->discard = true;
	}
	pass(c, used);
	c->chunk_left = size;
	if (c->phase == CONN_LINGER)
		return true;
	if (size == 0)
		end_body(c);
	else
		c->phase = CONN_CHUNK;
	return true;
}

static bool pump_once(struct conn *c)
{
	switch (c->phase) {
	case CONN_HEAD:
		/* Behind a refused body the next head waits until the refusal was taken. */
		return c->fault_at ? false : pump_head(c);
	case CONN_BODY:
	case CONN_CHUNK:
		return pump_bytes(c);
	case CONN_CHUNK_SIZE:
		return pump_chunk_size(c);
	case CONN_CHUNK_END:
		return pump_chunk_end(c);
	case CONN_LINGER:
		(void)evbuffer_drain(c->raw, evbuffer_get_length(c->raw));
		return false;
	}
	FH_UNREACHABLE("not a phase");
}

static void pump(struct conn *c)
{
	while (evbuffer_get_length(c->raw) > 0 && pump_once(c)) {
	}
	/* Only a head that must wait can be longer than a head may be. */
	if (evbuffer_get_length(c->raw) > PIPELINED_MAX)
		(void)bufferevent_disable(c->bev, EV_READ);
}

/* The middle of a body stays where it is: evhttp leaves all of it in its buffer until the end, so
 * that taking each read out from behind it would cost the square of its length. */
static bool stays(struct conn *c, size_t added)
{
	if (c->phase != CONN_BODY || c->discard || added > c->chunk_left ||
	    evbuffer_get_length(c->raw) > 0)
		return false;
	c->chunk_left -= added;
	if (c->chunk_left == 0)
		end_body(c);
	return true;
}

/* Runs inside of the bufferevent's read, before evhttp is told. */
void conn_on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
	struct conn *c = arg;
	if (c->in_tap || info->n_added == 0 || stays(c, info->n_added))
		return;
	c->in_tap = true;
	struct evbuffer *before = c->pool->scratch;
	size_t shown = evbuffer_get_length(input) - info->n_added;
	bool moved = true;
	if (shown)
		moved = evbuffer_remove_buffer(input, before, shown) == (int)shown;
	if (moved)
		moved = evbuffer_add_buffer(c->raw, input) == 0;
	if (shown && moved)
		moved = evbuffer_add_buffer(input, before) == 0;
	if (moved) {
		pump(c);
	} else { /* no memory: what was not looked at must not be seen */
		(void)evbuffer_drain(before, evbuffer_get_length(before));
		(void)evbuffer_drain(input, evbuffer_get_length(input));
		begin_linger(c);
	}
	c->in_tap = false;
}

/* Goes on with what was held back, outside of a read. */
void conn_resume(struct conn *c)
{
	struct evbuffer *input = bufferevent_get_input(c->bev);
	c->in_tap = true;
	(void)evbuffer_unfreeze(input, 0);
	pump(c);
	(void)evbuffer_freeze(input, 0);
	c->in_tap = false;
}

/* There is room again: first come, first served. */
void conn_on_feed(evutil_socket_t fd, short what, void *arg)
{
	struct conn_pool *pool = arg;
	(void)fd;
	(void)what;
	list_for_each_safe (l, &pool->starving) {
		struct conn *c = list_entry(l, struct conn, starving);
		conn_resume(c);
		if (!list_empty(&c->starving))
			break;
		if (c->busy)
			continue;
		(void)bufferevent_enable(c->bev, EV_READ);
		bufferevent_trigger(c->bev, EV_READ, BEV_OPT_DEFER_CALLBACKS);
	}
}
