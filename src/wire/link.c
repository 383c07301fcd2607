/* Frames of a connection. Happy path: send() queues a message, next() fills a frame with what is
 * urgent, then with what the window lets through, LOGs last; receive() takes frames apart again and
 * counts their bytes, which the next frame out reports. A large message is encoded once, when its
 * turn comes, and leaves in pieces.
 *
 * Failure modes: all that comes is checked before it is believed; a piece that does not continue
 * the message before it, a count that goes back or beyond what was sent, a length beyond the frame
 * end the connection. Memory for a message in pieces grows with what has come, not with what was
 * announced. */
#include "wire/link.h"

#include <string.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "wire/bytes.h"

/* The head of a frame. The first four bytes, and all of a refusal, are the same in all versions:
 *
 *   'F' 'H' version kind | received (u64): bytes of frames that its sender has received
 *   REFUSAL:  a sentence in UTF-8 instead of the rest
 *   MESSAGES: { length (u32), message }, as many as there are
 *   PIECE:    total (u32), offset (u32), bytes */
enum {
	HEAD = 12,
	REFUSAL_HEAD = 4,
	PIECE_HEAD = HEAD + 8,
	ENTRY_HEAD = 4,
	ENTRY_MAX = WIRE_FRAME_MAX - HEAD - ENTRY_HEAD,
	PIECE_MAX = WIRE_FRAME_MAX - PIECE_HEAD,
	/* Bytes that came and were not reported, at most. It is a sign of life, too: over a line of
	 * 1 Mbit/s one comes every two seconds. */
	REPORT = 256 << 10,
	REFUSAL_TEXT_MAX = 200,
};

enum frame_kind { KIND_REFUSAL, KIND_MESSAGES, KIND_PIECE };

struct outgoing {
	struct list link;
	struct wire_msg msg;
	size_t len; /* encoded */
};

/* A message in pieces, on its way out or in. */
struct parts {
	uint8_t *data; /* NULL: none */
	size_t total, done, room;
};

struct wire_link {
	struct list urgent, bulk, logs; /* struct outgoing */
	size_t queued, log_bytes;
	struct parts out, in;
	uint64_t sent, acknowledged; /* bytes of our frames; how many the other side has */
	uint64_t received, reported; /* bytes of its frames; how many we have said so */
};

int wire_link_new(struct wire_link **ret_link)
{
	struct wire_link *l = fh_calloc(1, sizeof *l);
	if (!l)
		return FH_ENOMEM;
	list_init(&l->urgent);
	list_init(&l->bulk);
	list_init(&l->logs);
	*ret_link = l;
	return 0;
}

static void outgoing_free(struct outgoing *o)
{
	wire_msg_release(&o->msg);
	fh_free(o);
}

void wire_link_free(struct wire_link **link)
{
	struct wire_link *l = *link;
	if (!l)
		return;
	*link = NULL;
	struct list *const queues[] = { &l->urgent, &l->bulk, &l->logs };
	for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
		for (struct list *item; (item = list_pop_front(queues[i]));)
			outgoing_free(list_entry(item, struct outgoing, link));
	fh_free(l->out.data);
	fh_free(l->in.data);
	fh_free(l);
}

/* ---- out ---- */

/* The heartbeat of a large worker is long, and still what it is known to live by. */
static bool is_urgent(enum wire_type type, size_t len)
{
	if (type == WIRE_HEARTBEAT)
		return len <= ENTRY_MAX;
	return type != WIRE_ASSIGN && type != WIRE_FUNCTION && type != WIRE_RESULT &&
	       len <= WIRE_URGENT_MAX;
}

/* Wrong: LOGs among what is large. A no-op's RESULT waited five seconds behind what three others
 * had printed, over a line of 8 Mbit/s. */
static struct list *queue_for(struct wire_link *link, enum wire_type type, size_t len)
{
	return type == WIRE_LOG ? &link->logs : is_urgent(type, len) ? &link->urgent : &link->bulk;
}

int wire_link_send(struct wire_link *link, struct wire_msg *own_msg)
{
	size_t len = wire_encoded_len(own_msg);
	if (len > WIRE_MESSAGE_MAX)
		return FH_ETOOBIG;
	bool is_log = own_msg->type == WIRE_LOG;
	if (link->queued >= WIRE_QUEUE_MAX ||
	    (is_log && link->log_bytes + len > WIRE_LOG_QUEUE_MAX))
		return FH_EFULL;
	struct outgoing *o = fh_malloc(sizeof *o);
	if (!o)
		return FH_ENOMEM;
	o->msg = *own_msg;
	o->len = len;
	*own_msg = (struct wire_msg){ 0 };
	list_init(&o->link);
	list_push_back(queue_for(link, o->msg.type, len), &o->link);
	link->queued++;
	link->log_bytes += is_log ? len : 0;
	return 0;
}

static bool window_open(const struct wire_link *link)
{
	return link->sent - link->acknowledged < WIRE_WINDOW;
}

/* What is large and may go now; NULL: nothing. */
static const struct list *next_queue(const struct wire_link *link)
{
	if (!window_open(link))
		return NULL;
	if (!list_empty(&link->bulk))
		return &link->bulk;
	bool few = link->sent - link->acknowledged < WIRE_LOG_WINDOW;
	return few && !list_empty(&link->logs) ? &link->logs : NULL;
}

bool wire_link_pending(const struct wire_link *link)
{
	return !list_empty(&link->urgent) || (link->out.data && window_open(link)) ||
	       next_queue(link) || link->received - link->reported >= REPORT;
}

static struct outgoing *first_of(const struct list *queue)
{
	return list_empty(queue) ? NULL : list_entry(queue->next, struct outgoing, link);
}

static void done_with(struct wire_link *link, struct outgoing *o)
{
	list_remove(&o->link);
	link->queued--;
	link->log_bytes -= o->msg.type == WIRE_LOG ? o->len : 0;
	outgoing_free(o);
}

/* Moves messages from the queue into the frame while they fit; gives its new length. */
static size_t fill(struct wire_link *link, const struct list *queue, uint8_t *frame, size_t len)
{
	for (struct outgoing *o; (o = first_of(queue));) {
		/* Wrong: o->len > WIRE_FRAME_MAX - ENTRY_HEAD - len. Less room than a head needs
		 * would count as endless room. */
		if (ENTRY_HEAD + o->len > WIRE_FRAME_MAX - len)
			break;
		bytes_put_u32(frame + len, (uint32_t)o->len);
		wire_encode(&o->msg, frame + len + ENTRY_HEAD);
		len += ENTRY_HEAD + o->len;
		done_with(link, o);
	}
	return len;
}

/* The message is too long for a frame: it goes in pieces from here on. */
static int cut(struct wire_link *link, struct outgoing *o)
{
	link->out.data = fh_malloc(o->len);
	if (!link->out.data)
		return FH_ENOMEM;
	wire_encode(&o->msg, link->out.data);
	link->out.total = o->len;
	link->out.done = 0;
	done_with(link, o);
	return 0;
}

static size_t next_piece(struct wire_link *link, uint8_t *frame)
{
	struct parts *out = &link->out;
	size_t len = out->total - out->done < PIECE_MAX ? out->total - out->done : PIECE_MAX;
	bytes_put_u32(frame + HEAD, (uint32_t)out->total);
	bytes_put_u32(frame + HEAD + 4, (uint32_t)out->done);
	memcpy(frame + PIECE_HEAD, out->data + out->done, len);
	out->done += len;
	if (out->done == out->total) {
		fh_free(out->data);
		*out = (struct parts){ 0 };
	}
	return PIECE_HEAD + len;
}

int wire_link_next(struct wire_link *link, uint8_t frame[WIRE_FRAME_MAX], size_t *ret_len)
{
	*ret_len = 0;
	if (!wire_link_pending(link))
		return 0;
	enum frame_kind kind = KIND_MESSAGES;
	size_t len = fill(link, &link->urgent, frame, HEAD);
	for (const struct list *queue; !link->out.data && (queue = next_queue(link));) {
		len = fill(link, queue, frame, len);
		struct outgoing *o = first_of(queue);
		if (!o)
			continue; /* LOGs fill what is left */
		if (o->len > ENTRY_MAX && cut(link, o))
			return FH_ENOMEM;
		break;
	}
	if (len == HEAD && link->out.data && window_open(link)) {
		kind = KIND_PIECE;
		len = next_piece(link, frame);
	}
	memcpy(frame, "FH", 2);
	frame[2] = WIRE_VERSION;
	frame[3] = (uint8_t)kind;
	bytes_put_u64(frame + 4, link->received);
	link->reported = link->received;
	link->sent += len;
	*ret_len = len;
	return 0;
}

size_t wire_link_refusal(uint8_t frame[WIRE_FRAME_MAX], const char *text)
{
	size_t len = strnlen(text, REFUSAL_TEXT_MAX);
	memcpy(frame, "FH", 2);
	frame[2] = WIRE_VERSION;
	frame[3] = KIND_REFUSAL;
	memcpy(frame + REFUSAL_HEAD, text, len);
	return REFUSAL_HEAD + len;
}

/* ---- in ---- */

static int receive_message(const uint8_t *data, size_t len, wire_deliver_fn deliver, void *ctx,
			   bool *ret_go_on, struct fh_err *err)
{
	struct wire_msg m;
	int ret = wire_decode(data, len, &m, err);
	if (ret == 0)
		*ret_go_on = deliver(ctx, &m);
	return ret;
}

static int receive_messages(const uint8_t *data, size_t len, wire_deliver_fn deliver, void *ctx,
			    struct fh_err *err)
{
	bool go_on = true;
	while (len > 0 && go_on) {
		size_t entry = len >= ENTRY_HEAD ? bytes_get_u32(data) : 0;
		if (len < ENTRY_HEAD || entry > len - ENTRY_HEAD)
			return fh_err_set(err, FH_EPROTO, "a message that ends beyond its frame");
		int ret = receive_message(data + ENTRY_HEAD, entry, deliver, ctx, &go_on, err);
		if (ret)
			return ret;
		data += ENTRY_HEAD + entry;
		len -= ENTRY_HEAD + entry;
	}
	return 0;
}

static int make_room(struct parts *in, size_t len)
{
	size_t need = in->done + len;
	if (need <= in->room)
		return 0;
	size_t room = 2 * need < in->total ? 2 * need : in->total;
	uint8_t *data = fh_realloc(in->data, room);
	if (!data)
		return FH_ENOMEM;
	in->data = data;
	in->room = room;
	return 0;
}

static int receive_piece(struct wire_link *link, const uint8_t *data, size_t len,
			 wire_deliver_fn deliver, void *ctx, struct fh_err *err)
{
	struct parts *in = &link->in;
	if (len <= 8)
		return fh_err_set(err, FH_EPROTO, "a piece without bytes");
	size_t total = bytes_get_u32(data), offset = bytes_get_u32(data + 4);
	data += 8;
	len -= 8;
	if (offset == 0 && !in->data)
		in->total = total;
	if (total != in->total || offset != in->done || total > WIRE_MESSAGE_MAX ||
	    len > total - offset)
		return fh_err_set(err, FH_EPROTO,
				  "a piece of %zu bytes at %zu of %zu, where %zu of %zu had come",
				  len, offset, total, in->done, in->total);
	if (make_room(in, len))
		return fh_err_set(err, FH_ENOMEM, "no memory for a message of %zu bytes", total);
	memcpy(in->data + in->done, data, len);
	in->done += len;
	if (in->done < in->total)
		return 0;
	struct parts whole = *in;
	*in = (struct parts){ 0 };
	bool go_on;
	int ret = receive_message(whole.data, whole.total, deliver, ctx, &go_on, err);
	fh_free(whole.data);
	return ret;
}

static int refused(const uint8_t *text, size_t len, struct fh_err *err)
{
	len = len < REFUSAL_TEXT_MAX ? len : REFUSAL_TEXT_MAX;
	len = utf8_valid_len(text, len);
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] == 0x7F)
			len = i;
	return fh_err_set(err, FH_ECLOSED, "the other side refuses: %.*s", (int)len,
			  (const char *)text);
}

/* The fixed part of a frame; 0: it is one of ours. */
static int check_head(const uint8_t *frame, size_t len, struct fh_err *err)
{
	if (len < REFUSAL_HEAD || memcmp(frame, "FH", 2) != 0)
		return fh_err_set(err, FH_EPROTO, "what came is not a frame of Farhand");
	if (frame[3] == KIND_REFUSAL)
		return refused(frame + REFUSAL_HEAD, len - REFUSAL_HEAD, err);
	if (frame[2] != WIRE_VERSION)
		return fh_err_set(err, FH_EVERSION,
				  "protocol version %u meets version %u: both sides need the same "
				  "version of Farhand",
				  frame[2], WIRE_VERSION);
	if (len < HEAD || len > WIRE_FRAME_MAX || frame[3] > KIND_PIECE)
		return fh_err_set(err, FH_EPROTO, "a frame of %zu bytes and kind %u", len,
				  frame[3]);
	return 0;
}

int wire_link_receive(struct wire_link *link, const uint8_t *frame, size_t len,
		      wire_deliver_fn deliver, void *ctx, struct fh_err *err)
{
	int ret = check_head(frame, len, err);
	if (ret)
		return ret;
	uint64_t received = bytes_get_u64(frame + 4);
	if (link->sent == 0 && received > 0)
		return fh_err_set(err, FH_EPROTO, "it belongs to an earlier connection, given up");
	if (received < link->acknowledged || received > link->sent)
		return fh_err_set(err, FH_EPROTO, "a count of received bytes that cannot be");
	link->acknowledged = received;
	link->received += len;
	if (frame[3] == KIND_PIECE)
		return receive_piece(link, frame + HEAD, len - HEAD, deliver, ctx, err);
	return receive_messages(frame + HEAD, len - HEAD, deliver, ctx, err);
}
