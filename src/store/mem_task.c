/* The life of a task in memory: made, linked, moved between the heaps, ended, forgotten. Room in
 * every container is reserved when a task is made, so that nothing after that can fail. */
#include "base/assert.h"
#include "base/mem.h"
#include "store/mem_priv.h"
#include "store/op.h"

static int task_fill(struct mem_task *t, const struct store_submit_item *item)
{
	t->rec = *item->task;
	t->rec.function_name = NULL;
	t->rec.payload = NULL;
	t->rec.options = (struct task_options){ 0 };
	if (task_options_copy(&t->rec.options, &item->task->options))
		return FH_ENOMEM;
	t->rec.payload = blob_ref(item->task->payload);
	t->rec.payload_size = item->task->payload->len;
	t->rec.not_before_ms = store_due_ms(item->task);
	t->delayed = t->rec.not_before_ms != 0;
	t->claimed = item->claim;
	return 0;
}

/* Group, lane and both heaps of the store get room for one more. */
static int reserve(struct mem *m, const struct mem_task *t)
{
	if (mem_heap_reserve(&t->lane->ready, t->lane->lane.live + 1) ||
	    mem_heap_reserve(&m->delayed, m->live_count + 1) ||
	    mem_heap_reserve(&m->expiring, m->live_count + 1))
		return FH_ENOMEM;
	struct mem_group *g = t->group;
	if (!g || g->rec.total < g->max)
		return 0;
	size_t max = g->max ? 2 * g->max : 16;
	struct mem_task **finished = fh_realloc((void *)g->finished, max * sizeof *finished);
	if (!finished)
		return FH_ENOMEM;
	g->finished = finished;
	g->max = max;
	return 0;
}

/* What reserve() counts. */
static void count(struct mem *m, struct mem_task *t, bool more)
{
	t->lane->lane.live += more ? 1 : (uint64_t)-1;
	m->live_count += more ? 1 : (size_t)-1;
}

int mem_task_new(struct mem *m, const struct store_submit_item *item, struct mem_group *group,
		 struct mem_task **ret_task)
{
	struct mem_task *t = fh_calloc(1, sizeof *t);
	if (!t)
		return FH_ENOMEM;
	struct lane *lane = NULL;
	list_init(&t->link);
	t->group = group;
	int ret = lanes_get(&m->lanes, item->task->account, item->class_key ? item->class_key : "",
			    sizeof *t->lane, &lane);
	t->lane = (struct mem_lane *)(void *)lane;
	if (!ret)
		ret = task_fill(t, item);
	if (!ret)
		ret = reserve(m, t);
	if (!ret)
		ret = map_put(&m->tasks, t->rec.id, t);
	if (ret) {
		mem_task_free(&t);
		return ret;
	}
	count(m, t, true);
	if (group)
		group->rec.total++;
	*ret_task = t;
	return 0;
}

void mem_task_discard(struct mem *m, struct mem_task **task)
{
	struct mem_task *t = *task;
	count(m, t, false);
	if (t->group)
		t->group->rec.total--;
	(void)map_remove(&m->tasks, t->rec.id);
	mem_task_free(task);
}

void mem_task_link(struct mem *m, struct mem_task *t)
{
	m->counts[TASK_QUEUED]++;
	m->live_bytes += t->rec.payload_size;
	if (t->group) {
		t->group->rec.counts[TASK_QUEUED]++;
		t->group->records++;
	}
	list_push_back(&m->live, &t->link);
	mem_task_place(m, t);
}

void mem_task_place(struct mem *m, struct mem_task *t)
{
	struct mem_heap *heap = NULL;
	if (t->heap)
		mem_heap_remove(t->heap, &t->place);
	t->place.id = t->rec.id;
	if (task_state_is_final(t->rec.state)) {
		heap = NULL;
	} else if (t->delayed) {
		heap = &m->delayed;
		t->place.key = t->rec.not_before_ms;
	} else if (!t->claimed) {
		heap = &t->lane->ready;
		t->place.key = -(int64_t)t->rec.options.priority;
	}
	t->heap = heap;
	if (heap)
		mem_heap_insert(heap, &t->place);
	mem_heap_remove(&m->expiring, &t->expiry);
	t->expiry.id = t->rec.id;
	t->expiry.key = t->rec.options.expires_at_ms;
	if (t->expiry.key && !t->claimed && !task_state_is_final(t->rec.state))
		mem_heap_insert(&m->expiring, &t->expiry);
}

void mem_task_end(struct mem *m, struct mem_task *t, struct task_result *own_result)
{
	FH_ASSERT_CMP(t->rec.state, ==, TASK_QUEUED);
	FH_ASSERT(task_state_is_final(own_result->state));
	t->result = *own_result;
	*own_result = (struct task_result){ 0 };
	t->rec.state = t->result.state;
	t->rec.reason = t->result.reason;
	t->rec.started_ms = t->result.started_ms;
	t->rec.finished_ms = t->result.finished_ms;
	t->rec.result_size = t->result.value ? t->result.value->len : 0;
	t->rec.finish_seq = ++m->finish_seq;
	t->delayed = t->claimed = false;
	mem_task_place(m, t);
	count(m, t, false);
	m->live_bytes -= t->rec.payload_size;
	m->counts[TASK_QUEUED]--;
	m->counts[t->rec.state]++;
	list_remove(&t->link);
	list_push_back(&m->finished, &t->link);
	struct mem_group *g = t->group;
	if (g) {
		g->rec.counts[TASK_QUEUED]--;
		g->rec.counts[t->rec.state]++;
		FH_ASSERT_CMP(g->len, <, g->max);
		g->finished[g->len++] = t;
	}
	m->dirty = true;
}

void mem_task_forget(struct mem *m, struct mem_task **task)
{
	struct mem_task *t = *task;
	FH_ASSERT(task_state_is_final(t->rec.state));
	m->counts[t->rec.state]--;
	list_remove(&t->link);
	(void)map_remove(&m->tasks, t->rec.id);
	if (t->group) {
		/* Records go in the order of finishing, so it is the group's first. */
		FH_ASSERT(t->group->finished[t->group->first] == t);
		t->group->first++;
		t->group->records--;
	}
	mem_task_free(task);
}

void mem_task_free(struct mem_task **task)
{
	struct mem_task *t = *task;
	*task = NULL;
	if (!t)
		return;
	task_rec_release(&t->rec);
	task_result_release(&t->result);
	fh_free(t);
}

struct mem_task *mem_task_find(const struct mem *m, struct fh_id id)
{
	return map_get(&m->tasks, id);
}

void mem_group_free(struct mem_group **group)
{
	struct mem_group *g = *group;
	*group = NULL;
	if (!g)
		return;
	group_rec_release(&g->rec);
	fh_free((void *)g->finished);
	fh_free(g);
}
