/* The window's places: what the core's `ref` numbers stand for. A place is filled when the core
 * gave it out and its task is durable, and cleared on RELEASE or UNCLAIM. */
#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

int window_init(struct dispatch *d)
{
	list_init(&d->running);
	d->window = fh_calloc(d->config.limits.window_max, sizeof *d->window);
	return d->window ? 0 : FH_ENOMEM;
}

void window_release(struct dispatch *d)
{
	if (!d->window)
		return;
	for (uint32_t i = 0; i < d->config.limits.window_max; i++)
		if (d->window[i].used)
			window_clear(d, i);
	fh_free(d->window);
}

void window_put(struct dispatch *d, uint32_t ref, struct task_rec *own_task, struct function *f)
{
	FH_ASSERT_CMP(ref, <, d->config.limits.window_max);
	struct window_task *t = &d->window[ref];
	FH_ASSERT(!t->used);
	*t = (struct window_task){ .used = true, .rec = *own_task, .function = f };
	*own_task = (struct task_rec){ 0 };
	list_init(&t->running);
	if (f)
		f->pins++;
}

void window_clear(struct dispatch *d, uint32_t ref)
{
	struct window_task *t = &d->window[ref];
	FH_ASSERT(t->used);
	list_remove(&t->running);
	if (t->function)
		function_unpin(d, t->function);
	live_log_drop(d, t);
	task_rec_release(&t->rec);
	task_result_release(&t->result);
	t->used = false;
}

void dispatch_check(const struct dispatch *d)
{
	struct core_counts counts;
	core_check(d->core);
	fit_check(d);
	live_log_check(d);
	core_counts(d->core, &counts);
	uint32_t running = 0;
	list_for_each (l, &d->running) {
		const struct window_task *t = list_entry(l, struct window_task, running);
		FH_ASSERT(t->used);
		running++;
	}
	FH_ASSERT_CMP(running, ==, counts.running);
	size_t pos = 0, feeds = 0;
	for (const struct feed *f; (f = map_next(&d->feeds, &pos)); feeds++) {
		FH_ASSERT(!f->ready || f->final <= f->total);
		uint64_t last = f->floor_seq;
		list_for_each (l, &f->finished) {
			const struct finished *x = list_entry(l, struct finished, in_feed);
			FH_ASSERT_CMP(x->rec.finish_seq, >, last);
			last = x->rec.finish_seq;
		}
	}
	FH_ASSERT_CMP(feeds, ==, d->feed_count);
}
