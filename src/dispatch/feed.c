/* Waiting for a group by cursor, the way of the SDK: what finished since the cursor, from memory.
 *
 * A feed is exact by construction: its counts are read once, in the store's order of events, and
 * kept up with every later submission and final; every final behind `floor_seq` is in its list.
 * Happy path: a wait finds new finals in the list, or parks; a final makes the feed dirty, and at
 * the end of the run its waits are answered, so a client that is slow gets many at once, without a
 * timer. Failure modes: a cursor below the floor (the cache dropped entries, the server restarted,
 * the store ended a task itself): that wait reads the store. An unknown group: FH_ENOTFOUND. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

enum { FEEDS_IDLE_MAX = 1024 };

/* Nothing is known to be complete: every wait reads the store first. */
static const uint64_t floor_unknown = UINT64_MAX;

struct feed_op {
	struct store_get_group get;
	struct dispatch *d;
	struct feed *feed;
};

struct list_op {
	struct store_list_finished list;
	struct dispatch *d;
	struct wait *wait;
};

int feeds_init(struct dispatch *d)
{
	list_init(&d->feeds_idle);
	list_init(&d->dirty);
	return map_init(&d->feeds);
}

static void unlink_finished(struct feed *f)
{
	while (list_pop_front(&f->finished))
		;
}

static void feed_free(struct dispatch *d, struct feed *f)
{
	unlink_finished(f);
	list_remove(&f->dirty);
	list_remove(&f->lru);
	(void)map_remove(&d->feeds, f->group);
	d->feed_count--;
	fh_free(f);
}

void feeds_release(struct dispatch *d)
{
	for (;;) {
		size_t pos = 0;
		struct feed *f = map_next(&d->feeds, &pos);
		if (!f)
			break;
		feed_free(d, f);
	}
	map_release(&d->feeds);
}

static void counts_read(struct store_op *op)
{
	struct feed_op *o = (struct feed_op *)op;
	struct dispatch *d = o->d;
	struct feed *f = o->feed;
	const uint64_t *counts = o->get.ret_group.counts;
	dispatch_op_done(op);
	if (op->ret == 0) {
		f->ready = true;
		f->total = o->get.ret_group.total;
		f->final = counts[TASK_COMPLETED] + counts[TASK_FAILED] + counts[TASK_CANCELLED];
		f->floor_seq = f->final == 0 ? 0 : d->last_seq ? d->last_seq : floor_unknown;
	}
	list_for_each_safe (l, &f->waits) {
		struct wait *w = list_entry(l, struct wait, in_feed);
		if (f->ready) {
			feed_wait_try(d, w);
		} else {
			(void)fh_err_set(&w->call->err, op->ret, "no such group");
			wait_answer(d, w, op->ret);
		}
	}
	if (list_empty(&f->waits)) {
		/* Either unknown, or everybody was answered at once. */
		list_remove(&f->lru);
		if (f->ready)
			list_push_back(&d->feeds_idle, &f->lru);
		else
			feed_free(d, f);
	}
	store_op_release(op);
	fh_free(o);
}

static struct feed *feed_new(struct dispatch *d, struct fh_id group)
{
	struct feed *f = dispatch_alloc(1, sizeof *f);
	f->group = group;
	list_init(&f->finished);
	list_init(&f->waits);
	list_init(&f->dirty);
	list_init(&f->lru);
	if (map_put(&d->feeds, group, f))
		fh_assert_fail(__FILE__, __LINE__, "map_put", "feeds");
	d->feed_count++;
	struct feed_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->feed = f;
	o->get.group = group;
	dispatch_op(d, &o->get.op, STORE_GET_GROUP, counts_read);
	return f;
}

void feed_wait_begin(struct dispatch *d, struct wait *w)
{
	const struct call_wait *c = (const struct call_wait *)w->call;
	struct feed *f = map_get(&d->feeds, c->group);
	if (!f)
		f = feed_new(d, c->group);
	list_remove(&f->lru);
	w->feed = f;
	list_push_back(&f->waits, &w->in_feed);
	if (f->ready)
		feed_wait_try(d, w);
}

void feed_wait_end(struct dispatch *d, struct wait *w)
{
	struct feed *f = w->feed;
	list_remove(&w->in_feed);
	w->feed = NULL;
	if (!list_empty(&f->waits) || !f->ready)
		return;
	list_remove(&f->lru);
	list_push_back(&d->feeds_idle, &f->lru);
	if (d->feed_count > FEEDS_IDLE_MAX) {
		struct feed *oldest = list_entry(d->feeds_idle.next, struct feed, lru);
		if (oldest != f)
			feed_free(d, oldest);
	}
}

static size_t text_len(const char *s)
{
	return s ? strlen(s) : 0;
}

static size_t bytes_of(const struct task_result *r)
{
	return (r->value ? r->value->len : 0) + text_len(r->error_type) +
	       text_len(r->error_message) + text_len(r->traceback);
}

/* Answers with the list's entries behind the cursor; there is at least one. */
static void answer_from(struct dispatch *d, struct wait *w, struct list *first)
{
	struct call_wait *c = (struct call_wait *)w->call;
	struct call_view *views = dispatch_alloc(c->limit, sizeof *views);
	uint64_t bytes = 0;
	for (struct list *l = first; l != &w->feed->finished && c->ret_count < c->limit;
	     l = l->next) {
		const struct finished *x = list_entry(l, struct finished, in_feed);
		if (c->want & CALL_WANT_RESULT)
			bytes += bytes_of(&x->result);
		if (c->ret_count > 0 && bytes > c->max_bytes)
			break;
		views[c->ret_count++] =
			(struct call_view){ &x->rec,
					    c->want & CALL_WANT_RESULT ? &x->result : NULL };
		c->ret_cursor = x->rec.finish_seq;
	}
	c->ret_views = views;
	wait_answer(d, w, 0);
	fh_free(views);
}

static void listed(struct store_op *op)
{
	struct list_op *o = (struct list_op *)op;
	struct dispatch *d = o->d;
	struct wait *w = o->wait;
	struct call_wait *c = (struct call_wait *)w->call;
	dispatch_op_done(op);
	w->reading = false;
	uint64_t pending = w->feed->total - w->feed->final;
	if (op->ret || w->abandoned) {
		wait_answer(d, w, op->ret ? op->ret : FH_ECLOSED);
	} else if (o->list.ret_count == 0) {
		/* Nothing finished behind this cursor up to now, so the list is complete from it.
		 */
		if (w->feed->floor_seq > w->after_seq)
			w->feed->floor_seq = w->after_seq;
		feed_wait_try(d, w);
	} else if (c->all && pending > 0 && !w->expired) {
		feed_wait_try(d, w); /* the group has grown meanwhile: wait on */
	} else {
		struct call_view *views = dispatch_alloc(o->list.ret_count, sizeof *views);
		for (uint32_t i = 0; i < o->list.ret_count; i++) {
			const struct store_task_view *v = &o->list.ret_views[i];
			views[i] = (struct call_view){ &v->task, c->want & CALL_WANT_RESULT
									 ? &v->result
									 : NULL };
			c->ret_cursor = v->task.finish_seq;
		}
		c->ret_views = views;
		c->ret_count = o->list.ret_count;
		c->ret_pending = pending; /* as it is now */
		wait_answer(d, w, 0);
		fh_free(views);
	}
	store_op_release(op);
	fh_free(o);
}

static void read_store(struct dispatch *d, struct wait *w)
{
	const struct call_wait *c = (const struct call_wait *)w->call;
	struct list_op *o = dispatch_alloc(1, sizeof *o);
	w->reading = true;
	o->d = d;
	o->wait = w;
	o->list.group = c->group;
	o->list.after_seq = w->after_seq;
	o->list.limit = c->limit;
	o->list.max_bytes = c->max_bytes;
	o->list.want = c->want & CALL_WANT_RESULT ? STORE_WANT_RESULT : 0;
	dispatch_op(d, &o->list.op, STORE_LIST_FINISHED, listed);
}

void feed_wait_try(struct dispatch *d, struct wait *w)
{
	struct feed *f = w->feed;
	struct call_wait *c = (struct call_wait *)w->call;
	if (w->reading || !f->ready)
		return;
	c->ret_pending = f->total - f->final;
	c->ret_cursor = c->after_seq;
	bool whole = !c->all || c->ret_pending == 0;
	if (whole && w->after_seq < f->floor_seq) {
		read_store(d, w);
		return;
	}
	struct list *first = &f->finished;
	while (whole && first->prev != &f->finished &&
	       list_entry(first->prev, struct finished, in_feed)->rec.finish_seq > w->after_seq)
		first = first->prev;
	if (first != &f->finished)
		answer_from(d, w, first);
	else if (c->ret_pending == 0 || w->expired)
		wait_answer(d, w, 0);
}

void feed_submitted(struct dispatch *d, struct fh_id group, uint64_t count)
{
	struct feed *f = fh_id_is_zero(group) ? NULL : map_get(&d->feeds, group);
	if (f && f->ready)
		f->total += count;
}

void feed_finished(struct dispatch *d, struct fh_id group, uint64_t seq, struct finished *x)
{
	struct feed *f = fh_id_is_zero(group) ? NULL : map_get(&d->feeds, group);
	if (!f || !f->ready)
		return;
	f->final++;
	if (x) {
		if (f->floor_seq == floor_unknown)
			f->floor_seq = seq - 1;
		list_push_back(&f->finished, &x->in_feed);
	} else {
		unlink_finished(f);
		f->floor_seq = seq;
	}
	if (!list_empty(&f->waits) && list_empty(&f->dirty))
		list_push_back(&d->dirty, &f->dirty);
}

void feed_forget(struct dispatch *d, struct finished *x)
{
	if (list_empty(&x->in_feed))
		return;
	struct feed *f = map_get(&d->feeds, x->rec.group_id);
	FH_ASSERT(f != NULL);
	list_remove(&x->in_feed);
	if (f->floor_seq < x->rec.finish_seq)
		f->floor_seq = x->rec.finish_seq;
}

void feeds_flush(struct dispatch *d)
{
	for (struct list *l; (l = list_pop_front(&d->dirty));) {
		struct feed *f = list_entry(l, struct feed, dirty);
		list_for_each_safe (p, &f->waits)
			feed_wait_try(d, list_entry(p, struct wait, in_feed));
	}
}
