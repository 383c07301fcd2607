/* Recent finals in memory, so that most clients are answered without the store. Bounded by bytes,
 * the oldest leave first; what leaves is told to its group's feed. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

int cache_init(struct dispatch *d)
{
	list_init(&d->cache);
	return map_init(&d->cache_ids);
}

/* What an allocation costs beyond its bytes, in glibc: a header, and rounding up to 16. */
enum { ALLOCATION = 24 };

static size_t text_bytes(const char *s)
{
	return s ? strlen(s) + 1 + ALLOCATION : 0;
}

static size_t blob_bytes(const struct blob *b)
{
	return b ? sizeof *b + b->len + ALLOCATION : 0;
}

static size_t size_of(const struct finished *f)
{
	const struct task_result *r = &f->result;
	return sizeof *f + ALLOCATION + sizeof(struct map_slot) * 2 +
	       text_bytes(f->rec.function_name) + text_bytes(f->rec.options.tags) +
	       text_bytes(f->rec.options.retry_classes) + text_bytes(f->rec.options.needs) +
	       blob_bytes(r->value) + blob_bytes(r->out) + blob_bytes(r->err) +
	       text_bytes(r->error_type) + text_bytes(r->error_message) + text_bytes(r->traceback);
}

static void drop(struct dispatch *d, struct finished *f)
{
	feed_forget(d, f);
	list_remove(&f->lru);
	(void)map_remove(&d->cache_ids, f->rec.id);
	d->cache_len_bytes -= f->bytes;
	task_rec_release(&f->rec);
	task_result_release(&f->result);
	fh_free(f);
}

void cache_release(struct dispatch *d)
{
	while (d->cache.next && !list_empty(&d->cache))
		drop(d, list_entry(d->cache.next, struct finished, lru));
	map_release(&d->cache_ids);
}

struct finished *cache_put(struct dispatch *d, struct task_rec *own_task,
			   struct task_result *own_result)
{
	struct finished *f = dispatch_alloc(1, sizeof *f);
	f->rec = *own_task;
	f->result = *own_result;
	*own_task = (struct task_rec){ 0 };
	*own_result = (struct task_result){ 0 };
	list_init(&f->in_feed);
	f->bytes = size_of(f);
	/* The newest always stays, however large, because it is being told. */
	while (!list_empty(&d->cache) && d->cache_len_bytes + f->bytes > d->config.cache_bytes)
		drop(d, list_entry(d->cache.next, struct finished, lru));
	if (map_put(&d->cache_ids, f->rec.id, f))
		fh_assert_fail(__FILE__, __LINE__, "map_put", "cache");
	list_push_back(&d->cache, &f->lru);
	d->cache_len_bytes += f->bytes;
	return f;
}

struct finished *cache_get(struct dispatch *d, struct fh_id id)
{
	return map_get(&d->cache_ids, id);
}
