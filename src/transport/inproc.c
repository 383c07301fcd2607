/* The in-process transport: two ends, each with a ring of messages waiting to be polled. Both ends
 * live on one thread. Happy path: send() moves the message into the other end's ring and wakes it;
 * poll() hands out what was there when it began, so that a handler that answers cannot starve the
 * loop. Failure modes: a full ring refuses (FH_EAGAIN), a freed end makes the other one lost. */
#include "base/assert.h"
#include "base/mem.h"
#include "transport/transport.h"

struct inproc {
	struct transport base;
	struct inproc *other; /* NULL: gone */
	struct wire_msg *ring;
	unsigned head, len, max;
	bool awake; /* wake() was called since the last poll() */
	bool connected_pending, lost_pending;
	uint64_t other_number;
};

static void wake(struct inproc *end)
{
	if (end->awake || !end->base.handler.wake)
		return;
	end->awake = true;
	end->base.handler.wake(end->base.handler.ctx);
}

static int inproc_send(struct transport *t, uint64_t peer, struct wire_msg *own_msg)
{
	struct inproc *from = (struct inproc *)t, *to = from->other;
	if (!to || peer != from->other_number)
		return FH_ENOTFOUND;
	if (to->len == to->max)
		return FH_EAGAIN;
	/* From the front whenever it is empty: a ring that went round would touch all of its
	 * memory. */
	if (to->len == 0)
		to->head = 0;
	to->ring[(to->head + to->len++) % to->max] = *own_msg;
	*own_msg = (struct wire_msg){ 0 };
	wake(to);
	return 0;
}

static bool inproc_poll(struct transport *t, unsigned max)
{
	struct inproc *end = (struct inproc *)t;
	end->awake = false;
	if (end->connected_pending && end->base.handler.connected)
		end->base.handler.connected(end->base.handler.ctx, end->other_number);
	end->connected_pending = false;
	unsigned count = end->len < max ? end->len : max;
	while (count-- > 0 && end->len > 0) {
		struct wire_msg m = end->ring[end->head];
		end->head = (end->head + 1) % end->max;
		end->len--;
		end->base.handler.message(end->base.handler.ctx, end->other_number, &m);
	}
	if (end->len == 0 && end->lost_pending) {
		end->lost_pending = false;
		if (end->base.handler.lost)
			end->base.handler.lost(end->base.handler.ctx, end->other_number);
	}
	if (end->len > 0)
		wake(end);
	return end->len > 0;
}

static void disconnect(struct inproc *end)
{
	struct inproc *other = end->other;
	if (!other)
		return;
	end->other = NULL;
	other->other = NULL;
	other->lost_pending = true;
	wake(other);
}

static void inproc_close_peer(struct transport *t, uint64_t peer)
{
	struct inproc *end = (struct inproc *)t;
	if (peer == end->other_number)
		disconnect(end);
}

static void inproc_free(struct transport *t)
{
	struct inproc *end = (struct inproc *)t;
	disconnect(end);
	for (; end->len > 0; end->len--) {
		wire_msg_release(&end->ring[end->head]);
		end->head = (end->head + 1) % end->max;
	}
	fh_free(end->ring);
	fh_free(end);
}

static const struct transport_ops inproc_ops = {
	.send = inproc_send,
	.poll = inproc_poll,
	.close_peer = inproc_close_peer,
	.free = inproc_free,
};

static struct inproc *end_new(unsigned queue_max, uint64_t other_number)
{
	struct inproc *end = fh_calloc(1, sizeof *end);
	if (!end)
		return NULL;
	end->ring = fh_calloc(queue_max, sizeof *end->ring);
	if (!end->ring) {
		fh_free(end);
		return NULL;
	}
	end->base.ops = &inproc_ops;
	end->max = queue_max;
	end->other_number = other_number;
	return end;
}

int transport_inproc_pair(unsigned queue_max, struct transport **ret_dispatcher,
			  struct transport **ret_worker)
{
	FH_ASSERT_CMP(queue_max, >, 0);
	struct inproc *dispatcher = end_new(queue_max, 1), *worker = end_new(queue_max, 0);
	if (!dispatcher || !worker) {
		if (dispatcher)
			inproc_free(&dispatcher->base);
		if (worker)
			inproc_free(&worker->base);
		return FH_ENOMEM;
	}
	dispatcher->other = worker;
	worker->other = dispatcher;
	worker->connected_pending = true;
	*ret_dispatcher = &dispatcher->base;
	*ret_worker = &worker->base;
	return 0;
}
