/* The calls that write what a client or a worker brought: functions, groups, submissions, ends of
 * attempts, workers. Each first checks and takes all memory that it needs, then changes the tables
 * with steps that cannot fail. Failure modes: what store.h says about the call, and FH_ENOMEM. */
#include "base/assert.h"
#include "base/mem.h"
#include "store/mem_priv.h"
#include "store/op.h"

#include <string.h>

static struct mem_function *function_by_digest(const struct mem *m, const uint8_t digest[32])
{
	list_for_each (link, &m->function_list) {
		struct mem_function *f = list_entry(link, struct mem_function, link);
		if (memcmp(f->rec.digest, digest, 32) == 0)
			return f;
	}
	return NULL;
}

int mem_put_function(struct mem *m, struct store_put_function *call)
{
	struct mem_function *f = function_by_digest(m, call->function->digest);
	if (f) {
		call->ret_id = f->rec.id;
		call->ret_created = false;
		return 0;
	}
	f = fh_calloc(1, sizeof *f);
	if (!f)
		return FH_ENOMEM;
	int ret = mem_copy_function(call->function, true, &f->rec);
	if (!ret)
		ret = map_put(&m->functions, call->function->id, f);
	if (ret) {
		function_rec_release(&f->rec);
		fh_free(f);
		return ret;
	}
	f->rec.payload_size = f->rec.payload->len;
	list_push_front(&m->function_list, &f->link);
	f->no = ++m->function_count;
	m->dirty = true;
	call->ret_id = f->rec.id;
	call->ret_created = true;
	return 0;
}

/* A group with no tasks, in the table but in no list. FH_EEXISTS, FH_ENOMEM. */
static int group_new(struct mem *m, const struct group_rec *rec, struct mem_group **ret_group)
{
	struct mem_group *g = fh_calloc(1, sizeof *g);
	if (!g)
		return FH_ENOMEM;
	list_init(&g->link);
	int ret = mem_copy_group(rec, &g->rec);
	g->rec.total = 0;
	memset(g->rec.counts, 0, sizeof g->rec.counts);
	if (!ret)
		ret = map_put(&m->groups, rec->id, g);
	if (ret) {
		mem_group_free(&g);
		return ret;
	}
	*ret_group = g;
	return 0;
}

static void group_discard(struct mem *m, struct mem_group **group)
{
	(void)map_remove(&m->groups, (*group)->rec.id);
	mem_group_free(group);
}

static void group_link(struct mem *m, struct mem_group *g)
{
	list_push_back(&m->group_list, &g->link);
	m->group_count++;
	m->dirty = true;
}

int mem_put_group(struct mem *m, struct store_put_group *call)
{
	struct mem_group *g;
	int ret = mem_key_check(m, call->idempotency);
	if (ret)
		return ret;
	ret = group_new(m, call->group, &g);
	if (ret)
		return ret;
	ret = mem_key_put(m, call->idempotency);
	if (ret) {
		group_discard(m, &g);
		return ret;
	}
	group_link(m, g);
	return 0;
}

/* The group of a submission: found, made, or NULL. */
static int submit_group(struct mem *m, const struct store_submit *call,
			struct mem_group **ret_group)
{
	*ret_group = NULL;
	if (call->new_group)
		return group_new(m, call->new_group, ret_group);
	if (call->count == 0 || fh_id_is_zero(call->items[0].task->group_id))
		return 0;
	*ret_group = map_get(&m->groups, call->items[0].task->group_id);
	return *ret_group ? 0 : FH_ENOTFOUND;
}

/* Makes all tasks or none. */
static int submit_tasks(struct mem *m, const struct store_submit *call, struct mem_group *group,
			struct list *made)
{
	int ret = 0;
	for (uint32_t i = 0; i < call->count && !ret; i++) {
		struct mem_task *t;
		ret = mem_task_new(m, &call->items[i], group, &t);
		if (!ret)
			list_push_back(made, &t->link);
	}
	return ret;
}

int mem_submit(struct mem *m, struct store_submit *call)
{
	struct mem_group *group;
	struct list made;
	list_init(&made);
	int ret = mem_key_check(m, call->idempotency);
	if (ret || call->only_key)
		return ret ? ret : FH_ENOTFOUND;
	ret = submit_group(m, call, &group);
	if (ret)
		return ret;
	ret = submit_tasks(m, call, group, &made);
	if (!ret)
		ret = mem_key_put(m, call->idempotency);
	if (!ret && call->new_group)
		group_link(m, group);
	for (struct list *link; (link = list_pop_front(&made)) != NULL;) {
		struct mem_task *t = list_entry(link, struct mem_task, link);
		if (ret)
			mem_task_discard(m, &t);
		else
			mem_task_link(m, t);
	}
	if (ret && call->new_group)
		group_discard(m, &group);
	m->dirty |= !ret;
	return ret;
}

/* The QUEUED task, or why not. */
static int find_queued(const struct mem *m, struct fh_id id, struct mem_task **ret_task)
{
	struct mem_task *t = mem_task_find(m, id);
	if (!t)
		return FH_ENOTFOUND;
	if (task_state_is_final(t->rec.state))
		return FH_EFINAL;
	*ret_task = t;
	return 0;
}

int mem_finish(struct mem *m, struct store_finish *call)
{
	const unsigned all = STORE_WANT_RESULT | STORE_WANT_LOGS;
	struct task_result *copies = fh_calloc(call->count, sizeof *copies);
	int ret = copies ? 0 : FH_ENOMEM;
	for (uint32_t i = 0; i < call->count && !ret; i++)
		ret = mem_copy_result(call->items[i].result, all, &copies[i]);
	for (uint32_t i = 0; i < call->count && !ret; i++) {
		struct store_finish_item *item = &call->items[i];
		struct mem_task *t;
		item->ret = find_queued(m, item->task, &t);
		if (item->ret)
			continue;
		t->rec.tally = item->tally;
		mem_task_end(m, t, &copies[i]);
		item->ret_finish_seq = t->rec.finish_seq;
	}
	for (uint32_t i = 0; copies && i < call->count; i++)
		task_result_release(&copies[i]);
	fh_free(copies);
	return ret;
}

int mem_retry(struct mem *m, struct store_retry *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		struct store_retry_item *item = &call->items[i];
		struct mem_task *t;
		item->ret = find_queued(m, item->task, &t);
		if (item->ret)
			continue;
		t->rec.tally = item->tally;
		t->rec.not_before_ms = item->not_before_ms;
		t->delayed = item->not_before_ms != 0;
		t->claimed = t->claimed && !item->release;
		mem_task_place(m, t);
		m->dirty = true;
	}
	return 0;
}

/* Where the worker stands, or would. */
static size_t worker_position(const struct mem *m, struct fh_id instance)
{
	size_t low = 0, high = m->worker_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (fh_id_compare(m->workers[middle], instance) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int reserve_worker(struct mem *m)
{
	if (m->worker_count < m->worker_max)
		return 0;
	if (m->worker_count == STORE_WORKERS_MAX)
		return FH_ELIMIT;
	size_t max = m->worker_max ? 2 * m->worker_max : 64;
	struct fh_id *workers = fh_realloc(m->workers, max * sizeof *workers);
	if (!workers)
		return FH_ENOMEM;
	m->workers = workers;
	m->worker_max = max;
	return 0;
}

int mem_note_worker(struct mem *m, const struct store_note_worker *call)
{
	size_t i = worker_position(m, call->instance);
	bool known = i < m->worker_count && fh_id_equal(m->workers[i], call->instance);
	if (known == call->present)
		return 0;
	int ret = call->present ? reserve_worker(m) : 0;
	if (ret)
		return ret;
	size_t behind = m->worker_count - i - known;
	memmove(&m->workers[i + call->present], &m->workers[i + known],
		behind * sizeof *m->workers);
	if (call->present)
		m->workers[i] = call->instance;
	m->worker_count += call->present ? 1 : (size_t)-1;
	m->dirty = true;
	return 0;
}

int mem_start(struct mem *m, struct store_start *call)
{
	struct mem_task *t;
	int ret = find_queued(m, call->task, &t);
	if (ret)
		return ret;
	t->rec.tally.attempt = call->attempt;
	t->rec.started_once = true;
	m->dirty = true;
	return 0;
}
