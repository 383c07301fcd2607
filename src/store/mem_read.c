/* The calls that only read. Happy path: find, copy deeply (blobs are shared), count bytes. Failure
 * modes: what store.h says about the call, and FH_ENOMEM, after which the caller of these functions
 * releases what was copied so far. */
#include "base/assert.h"
#include "base/mem.h"
#include "store/mem_priv.h"
#include "store/op.h"

#include <string.h>

static const struct mem_function *newest_of(const struct mem *m, const char *name)
{
	list_for_each (link, &m->function_list) {
		const struct mem_function *f = list_entry(link, struct mem_function, link);
		if (strcmp(f->rec.name, name) == 0)
			return f;
	}
	return NULL;
}

int mem_get_function(const struct mem *m, struct store_get_function *call)
{
	const struct mem_function *f = fh_id_is_zero(call->id) ? newest_of(m, call->name)
							       : map_get(&m->functions, call->id);
	if (!f)
		return FH_ENOTFOUND;
	return mem_copy_function(&f->rec, call->want_payload, &call->ret_function);
}

int mem_list_functions(const struct mem *m, struct store_list_functions *call)
{
	call->ret_more = false;
	call->ret_last_no = call->after_no;
	call->ret_functions = fh_calloc(call->limit, sizeof *call->ret_functions);
	if (!call->ret_functions)
		return FH_ENOMEM;
	for (const struct list *l = m->function_list.prev; l != &m->function_list; l = l->prev) {
		const struct mem_function *f = list_entry(l, struct mem_function, link);
		if (f->no <= call->after_no || (call->name && strcmp(f->rec.name, call->name) != 0))
			continue;
		if (call->ret_count == call->limit) {
			call->ret_more = true;
			return 0;
		}
		if (mem_copy_function(&f->rec, false, &call->ret_functions[call->ret_count]))
			return FH_ENOMEM;
		call->ret_count++;
		call->ret_last_no = f->no;
	}
	return 0;
}

static bool is_purged(const struct mem_task *t)
{
	return task_state_is_final(t->rec.state) && !task_state_is_final(t->result.state);
}

int mem_get_task(const struct mem *m, struct store_get_task *call)
{
	const struct mem_task *t = mem_task_find(m, call->task);
	if (!t)
		return FH_ENOTFOUND;
	int ret = mem_copy_task(m, t, false, &call->ret_task);
	if (ret)
		return ret;
	if (is_purged(t))
		return call->want ? FH_EGONE : 0;
	return mem_copy_result(&t->result, call->want, &call->ret_result);
}

/* FH_EAGAIN: it does not fit into `max_bytes` any more. */
static int fill_view(const struct mem *m, const struct mem_task *t, unsigned want, bool first,
		     uint64_t max_bytes, uint64_t *bytes, struct store_task_view *ret_view)
{
	struct store_task_view view = { .known = true };
	if (mem_copy_result(&t->result, want, &view.result))
		return FH_ENOMEM;
	uint64_t more = store_result_bytes(&view.result);
	int ret = !first && more > max_bytes - *bytes ? FH_EAGAIN : 0;
	if (!ret)
		ret = mem_copy_task(m, t, false, &view.task);
	if (ret) {
		task_result_release(&view.result);
		return ret;
	}
	*bytes = more > max_bytes - *bytes ? max_bytes : *bytes + more;
	*ret_view = view;
	return 0;
}

int mem_get_tasks(const struct mem *m, struct store_get_tasks *call)
{
	uint64_t bytes = 0;
	call->ret_views = fh_calloc(call->count, sizeof *call->ret_views);
	if (!call->ret_views)
		return FH_ENOMEM;
	for (uint32_t i = 0; i < call->count; i++) {
		const struct mem_task *t = mem_task_find(m, call->tasks[i]);
		int ret = t ? fill_view(m, t, call->want, i == 0, call->max_bytes, &bytes,
					&call->ret_views[i])
			    : 0;
		if (ret)
			return ret == FH_EAGAIN ? 0 : ret;
		call->ret_filled++;
	}
	return 0;
}

/* The first finished task of the group behind `after_seq`. */
static size_t finished_after(const struct mem_group *g, uint64_t after_seq)
{
	size_t low = g->first, high = g->len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (g->finished[middle]->rec.finish_seq <= after_seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int mem_list_finished(const struct mem *m, struct store_list_finished *call)
{
	const struct mem_group *g = map_get(&m->groups, call->group);
	if (!g)
		return FH_ENOTFOUND;
	size_t from = finished_after(g, call->after_seq);
	size_t count = g->len - from < call->limit ? g->len - from : call->limit;
	uint64_t bytes = 0;
	call->ret_views = fh_calloc(count, sizeof *call->ret_views);
	if (!call->ret_views || mem_copy_group(&g->rec, &call->ret_group))
		return FH_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		int ret = fill_view(m, g->finished[from + i], call->want, i == 0, call->max_bytes,
				    &bytes, &call->ret_views[i]);
		if (ret == FH_EAGAIN)
			break;
		if (ret)
			return ret;
		call->ret_count++;
	}
	call->ret_more = from + call->ret_count < g->len;
	return 0;
}

int mem_get_group(const struct mem *m, struct store_get_group *call)
{
	const struct mem_group *g = map_get(&m->groups, call->group);
	return g ? mem_copy_group(&g->rec, &call->ret_group) : FH_ENOTFOUND;
}

int mem_stats(const struct mem *m, struct store_stats *call)
{
	memcpy(call->ret_counts, m->counts, sizeof call->ret_counts);
	call->ret_functions = m->function_count;
	call->ret_groups = m->group_count;
	call->ret_bytes = 0;
	call->ret_commits = m->commits;
	return 0;
}
