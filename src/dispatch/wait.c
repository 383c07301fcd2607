/* Parked calls: their deadlines, the tasks that they watch, their end.
 *
 * A wait is made when a call cannot be answered at once. It ends by an event of a watched task, by
 * its deadline, or because its client left. While it reads the store it is left alone, and looked
 * at again when the read is done. */
#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

enum { WAITS_MAX = 65536 };

int waits_init(struct dispatch *d)
{
	list_init(&d->waits);
	if (map_init(&d->watched))
		return FH_ENOMEM;
	return heap_init(&d->wait_deadlines, WAITS_MAX);
}

static void free_if_unwatched(struct dispatch *d, struct watched *t)
{
	if (!list_empty(&t->watches))
		return;
	(void)map_remove(&d->watched, t->id);
	fh_free(t);
}

static void unwatch(struct dispatch *d, struct watch *w)
{
	struct watched *t = w->watched;
	if (!t)
		return;
	list_remove(&w->link);
	w->watched = NULL;
	d->watch_count--;
	free_if_unwatched(d, t);
}

static void wait_free(struct dispatch *d, struct wait *w)
{
	if (w->feed)
		feed_wait_end(d, w);
	for (uint32_t i = 0; i < w->count; i++)
		unwatch(d, &w->watches[i]);
	heap_remove(&d->wait_deadlines, &w->deadline);
	list_remove(&w->link);
	fh_free(w->watches);
	fh_free(w->finish_seq);
	fh_free(w);
}

void waits_release(struct dispatch *d)
{
	while (d->waits.next && !list_empty(&d->waits))
		wait_answer(d, list_entry(d->waits.next, struct wait, link), FH_ECLOSED);
	map_release(&d->watched);
	heap_release(&d->wait_deadlines);
}

void waits_close(struct dispatch *d)
{
	list_for_each_safe (l, &d->waits) {
		struct wait *w = list_entry(l, struct wait, link);
		if (!w->reading)
			wait_answer(d, w, FH_ECLOSED);
	}
}

struct wait *wait_new(struct dispatch *d, struct call *c, uint32_t wait_ms)
{
	if (d->wait_deadlines.len == WAITS_MAX) {
		c->retry_after_s = 1;
		(void)fh_err_set(&c->err, FH_ELIMIT, "too many clients are waiting");
		return NULL;
	}
	struct wait *w = dispatch_alloc(1, sizeof *w);
	w->call = c;
	w->expired = wait_ms == 0;
	list_init(&w->in_feed);
	list_push_back(&d->waits, &w->link);
	heap_insert(&d->wait_deadlines, &w->deadline, dispatch_now_us(d) + wait_ms * INT64_C(1000));
	c->state = w;
	return w;
}

void wait_answer(struct dispatch *d, struct wait *w, int ret)
{
	struct call *c = w->call;
	/* Answered first: the outputs may belong to what the wait holds on to. */
	dispatch_answer(c, ret);
	wait_free(d, w);
}

bool wait_watch(struct dispatch *d, struct wait *w, const struct fh_id *ids, uint32_t count)
{
	if (count > d->config.watch_max - d->watch_count) {
		w->call->retry_after_s = 1;
		(void)fh_err_set(&w->call->err, FH_ELIMIT, "too many tasks are being waited for");
		return false;
	}
	w->watches = dispatch_alloc(count, sizeof *w->watches);
	w->count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct watched *t = map_get(&d->watched, ids[i]);
		if (!t) {
			t = dispatch_alloc(1, sizeof *t);
			t->id = ids[i];
			list_init(&t->watches);
			if (map_put(&d->watched, ids[i], t))
				fh_assert_fail(__FILE__, __LINE__, "map_put", "watched");
		}
		w->watches[i] = (struct watch){ .watched = t, .wait = w, .index = i };
		list_push_back(&t->watches, &w->watches[i].link);
		d->watch_count++;
	}
	return true;
}

static void try_again(struct dispatch *d, struct wait *w)
{
	if (w->reading)
		w->again = true;
	else if (w->call->kind == CALL_GET_TASK)
		read_wait_try(d, w);
	else if (w->feed)
		feed_wait_try(d, w);
	else
		ids_wait_try(d, w);
}

void watch_started(struct dispatch *d, struct fh_id id)
{
	struct watched *t = d->watched.len ? map_get(&d->watched, id) : NULL;
	if (!t)
		return;
	/* Answering a wait ends its watches, and may end the last one of `t`: the guard keeps `t`,
	 * and each watch moves behind it before it is looked at. */
	struct list guard, *l;
	list_push_back(&t->watches, &guard);
	while ((l = t->watches.next) != &guard) {
		struct wait *w = list_entry(l, struct watch, link)->wait;
		const struct call_get_task *c = (const struct call_get_task *)w->call;
		list_remove(l);
		list_push_back(&t->watches, l);
		if (c->call.kind == CALL_GET_TASK && c->wait_for == CALL_FOR_STARTED)
			try_again(d, w);
	}
	list_remove(&guard);
	free_if_unwatched(d, t);
}

void watch_finished(struct dispatch *d, struct fh_id id, uint64_t seq)
{
	struct watched *t = d->watched.len ? map_get(&d->watched, id) : NULL;
	if (!t)
		return;
	/* Taken out one by one: answering a wait ends its watches, and may end `t` itself. */
	struct list watches;
	list_init(&watches);
	while (!list_empty(&t->watches))
		list_push_back(&watches, list_pop_front(&t->watches));
	(void)map_remove(&d->watched, id);
	fh_free(t);
	list_for_each (l, &watches) {
		list_entry(l, struct watch, link)->watched = NULL;
		d->watch_count--;
	}
	for (struct list *l; (l = list_pop_front(&watches));) {
		struct watch *watch = list_entry(l, struct watch, link);
		struct wait *w = watch->wait;
		if (w->finish_seq)
			ids_finished(w, watch->index, seq);
		try_again(d, w);
	}
}

void waits_expire(struct dispatch *d)
{
	int64_t now_us = dispatch_now_us(d);
	for (struct heap_node *n; (n = heap_first(&d->wait_deadlines)) && n->key <= now_us;) {
		struct wait *w = heap_entry(n, struct wait, deadline);
		heap_remove(&d->wait_deadlines, n);
		w->expired = true;
		try_again(d, w);
	}
}

void wait_abandon(struct dispatch *d, struct call *c)
{
	struct wait *w = c->state;
	if (c->kind == CALL_GET_TASK && !w)
		((struct call_get_task *)c)->wait_ms = 0;
	else if (c->kind == CALL_WAIT && !w)
		((struct call_wait *)c)->wait_ms = 0;
	else if ((c->kind == CALL_GET_TASK || c->kind == CALL_WAIT) && w->reading)
		w->abandoned = true;
	else if (c->kind == CALL_GET_TASK || c->kind == CALL_WAIT)
		wait_answer(d, w, FH_ECLOSED);
}

void wait_call(struct dispatch *d, struct call_wait *c)
{
	c->ret_views = NULL;
	c->ret_count = 0;
	c->ret_cursor = c->after_seq;
	struct wait *w = wait_new(d, &c->call, c->wait_ms);
	if (!w) {
		dispatch_answer(&c->call, FH_ELIMIT);
		return;
	}
	w->after_seq = c->after_seq;
	if (!fh_id_is_zero(c->group))
		feed_wait_begin(d, w);
	else
		ids_wait_begin(d, w);
}
