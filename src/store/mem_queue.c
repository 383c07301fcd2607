/* The calls about what waits: claim, take, give back, cancel, expire, and the purge of what is
 * over. Every one is a bounded step. Failure modes: no memory for the answer, and then no claim, no
 * end and no deletion has happened. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "store/mem_priv.h"

#include <string.h>

enum { PROMOTE_MAX = 10000 };

static struct mem_task *by_place(struct mem_node *n)
{
	return n ? list_entry(n, struct mem_task, place) : NULL;
}

static struct mem_task *by_expiry(struct mem_node *n)
{
	return n ? list_entry(n, struct mem_task, expiry) : NULL;
}

/* Moves delayed tasks that are due into their lanes. */
static void promote(struct mem *m, int64_t now_ms)
{
	for (int i = 0; i < PROMOTE_MAX; i++) {
		struct mem_task *t = by_place(mem_heap_first(&m->delayed));
		if (!t || t->place.key > now_ms)
			break;
		t->delayed = false;
		mem_task_place(m, t);
		m->dirty = true;
	}
}

static void set_claimed(struct mem *m, struct mem_task *t, bool claimed)
{
	t->claimed = claimed;
	mem_task_place(m, t);
}

static void give_back(struct mem *m, const struct task_rec *tasks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		set_claimed(m, mem_task_find(m, tasks[i].id), false);
}

static int take(struct mem *m, struct mem_heap *ready, struct store_claim *call)
{
	uint64_t bytes = 0;
	size_t max = ready->len < call->max_count ? ready->len : call->max_count;
	call->ret_tasks = fh_calloc(max, sizeof *call->ret_tasks);
	if (!call->ret_tasks)
		return FH_ENOMEM;
	while (call->ret_count < max) {
		struct mem_task *t = by_place(mem_heap_first(ready));
		if (call->ret_count > 0 && t->rec.payload_size > call->max_bytes - bytes)
			break;
		if (mem_copy_task(m, t, true, &call->ret_tasks[call->ret_count]))
			return FH_ENOMEM;
		call->ret_count++;
		bytes += t->rec.payload_size;
		set_claimed(m, t, true);
		if (bytes > call->max_bytes)
			break;
	}
	return 0;
}

int mem_claim(struct mem *m, struct store_claim *call)
{
	promote(m, call->now_ms);
	const struct mem_task *delayed = by_place(mem_heap_first(&m->delayed));
	call->ret_next_due_ms = delayed ? delayed->rec.not_before_ms : 0;
	call->ret_more = false;
	call->ret_more_priority = 0;
	struct mem_lane *lane =
		(struct mem_lane *)(void *)lanes_find(&m->lanes, call->account, call->class_key);
	if (!lane)
		return 0;
	int ret = take(m, &lane->ready, call);
	if (ret)
		give_back(m, call->ret_tasks, call->ret_count);
	struct mem_task *next = by_place(mem_heap_first(&lane->ready));
	if (PLANTED(REFILL_SKIPS_TASK) && next && call->ret_count > 0)
		set_claimed(m, next, true);
	call->ret_more = next != NULL;
	call->ret_more_priority = next ? next->rec.options.priority : 0;
	return ret;
}

/* The named task, if it can be taken, else NULL. */
static struct mem_task *find_takeable(const struct mem *m, struct fh_id id, int64_t now_ms)
{
	struct mem_task *t = mem_task_find(m, id);
	if (!t || task_state_is_final(t->rec.state) || t->claimed)
		return NULL;
	return t->delayed && t->rec.not_before_ms > now_ms ? NULL : t;
}

int mem_take(struct mem *m, struct store_take *call)
{
	size_t max = m->live_count < call->count ? m->live_count : call->count;
	call->ret_tasks = fh_calloc(max, sizeof *call->ret_tasks);
	call->ret_class_keys = fh_calloc(max, sizeof *call->ret_class_keys);
	if (!call->ret_tasks || !call->ret_class_keys)
		return FH_ENOMEM;
	for (uint32_t i = 0; i < call->count; i++) {
		struct mem_task *t = find_takeable(m, call->tasks[i], call->now_ms);
		if (!t)
			continue;
		if (mem_copy_task(m, t, true, &call->ret_tasks[call->ret_count])) {
			give_back(m, call->ret_tasks, call->ret_count);
			return FH_ENOMEM;
		}
		memcpy(call->ret_class_keys[call->ret_count++], t->lane->lane.class_key,
		       sizeof *call->ret_class_keys);
		m->dirty |= t->delayed;
		t->delayed = false;
		set_claimed(m, t, true);
	}
	return 0;
}

int mem_unclaim(struct mem *m, struct store_unclaim *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		struct mem_task *t = mem_task_find(m, call->tasks[i]);
		if (t)
			set_claimed(m, t, false);
	}
	return 0;
}

int mem_cancel(struct mem *m, struct store_cancel *call)
{
	struct mem_task *t = mem_task_find(m, call->task);
	if (!t)
		return FH_ENOTFOUND;
	call->ret_state = t->rec.state;
	if (PLANTED(CANCEL_OVERWRITES_FINAL) && task_state_is_final(t->rec.state))
		t->rec.state = t->result.state = TASK_CANCELLED;
	if (task_state_is_final(t->rec.state))
		return FH_EFINAL;
	if (t->claimed)
		return FH_EBUSY;
	struct task_result result = {
		.state = TASK_CANCELLED,
		.reason = REASON_CANCELLED,
		.finished_ms = call->now_ms,
	};
	mem_task_end(m, t, &result);
	call->ret_state = TASK_CANCELLED;
	call->ret_group = t->rec.group_id;
	lane_name(&t->lane->lane, &call->ret_account, call->ret_class_key);
	call->ret_finish_seq = t->rec.finish_seq;
	call->ret_payload_size = t->rec.payload_size;
	return 0;
}

static void expire(struct mem *m, struct mem_task *t, int64_t now_ms, struct store_expired *ret)
{
	struct task_result result = {
		.state = TASK_FAILED,
		.reason = REASON_EXPIRED,
		.finished_ms = now_ms,
	};
	mem_task_end(m, t, &result);
	*ret = (struct store_expired){
		.task = t->rec.id,
		.group = t->rec.group_id,
		.finish_seq = t->rec.finish_seq,
		.payload_size = t->rec.payload_size,
	};
	lane_name(&t->lane->lane, &ret->account, ret->class_key);
}

int mem_expire(struct mem *m, struct store_expire *call)
{
	size_t max = m->expiring.len < call->max ? m->expiring.len : call->max;
	call->ret_expired = fh_calloc(max, sizeof *call->ret_expired);
	if (!call->ret_expired)
		return FH_ENOMEM;
	struct mem_task *t = by_expiry(mem_heap_first(&m->expiring));
	while (t && t->expiry.key <= call->now_ms && call->ret_count < max) {
		expire(m, t, call->now_ms, &call->ret_expired[call->ret_count++]);
		t = by_expiry(mem_heap_first(&m->expiring));
	}
	call->ret_next_expiry_ms = t ? t->expiry.key : 0;
	return 0;
}

static int64_t finished_ms(const struct list *link)
{
	return list_entry(link, const struct mem_task, link)->rec.finished_ms;
}

static int64_t key_ms(const struct list *link)
{
	return list_entry(link, const struct mem_key, link)->created_ms;
}

/* How many of the first entries go, up to one more than `max`: all before one that is old enough
 * are older. A time that is still to come was written by a wall clock that was ahead, and says
 * nothing. */
static uint32_t count_old(const struct list *const lists[2], int64_t (*ms_of)(const struct list *),
			  int64_t before_ms, int64_t now_ms, uint32_t max)
{
	uint32_t seen = 0, old = 0;
	for (int i = 0; i < 2 && lists[i]; i++)
		list_for_each (link, lists[i]) {
			int64_t ms = ms_of(link);
			seen++;
			if (ms < before_ms)
				old = seen;
			if (old > max || (ms >= before_ms && ms <= now_ms))
				return old;
		}
	return old;
}

static struct mem_group *empty_group(const struct mem *m, int64_t before_ms)
{
	list_for_each (link, &m->group_list) {
		struct mem_group *g = list_entry(link, struct mem_group, link);
		if (g->records == 0 && g->rec.created_ms < before_ms)
			return g;
	}
	return NULL;
}

static void purge_result(struct mem *m)
{
	struct mem_task *t = list_entry(m->finished.next, struct mem_task, link);
	task_result_release(&t->result);
	blob_free(&t->rec.payload);
	list_remove(&t->link);
	list_push_back(&m->purged, &t->link);
}

/* `purged` is older than `finished`. */
static void purge_record(struct mem *m)
{
	const struct list *from = list_empty(&m->purged) ? &m->finished : &m->purged;
	struct mem_task *t = list_entry(from->next, struct mem_task, link);
	mem_task_forget(m, &t);
}

static void purge_key(struct mem *m)
{
	struct mem_key *k = list_entry(m->key_list.next, struct mem_key, link);
	mem_key_forget(m, &k);
}

int mem_purge(struct mem *m, struct store_purge *call)
{
	const struct {
		const struct list *lists[2];
		int64_t (*ms_of)(const struct list *link);
		int64_t before_ms;
		void (*purge)(struct mem *m);
	} walks[] = {
		{ { &m->finished }, finished_ms, call->results_before_ms, purge_result },
		{ { &m->purged, &m->finished },
		  finished_ms,
		  call->records_before_ms,
		  purge_record },
		{ { &m->key_list }, key_ms, call->keys_before_ms, purge_key },
	};
	uint32_t left = call->max;
	call->ret_more = false;
	for (size_t i = 0; i < sizeof walks / sizeof *walks; i++) {
		uint32_t old = count_old(walks[i].lists, walks[i].ms_of, walks[i].before_ms,
					 call->now_ms, left);
		for (; old > 0 && left > 0; old--, left--)
			walks[i].purge(m);
		call->ret_more |= old > 0;
	}
	struct mem_group *g = NULL;
	for (; (g = empty_group(m, call->records_before_ms)) && left > 0; left--) {
		(void)map_remove(&m->groups, g->rec.id);
		list_remove(&g->link);
		m->group_count--;
		mem_group_free(&g);
	}
	call->ret_more |= g != NULL;
	m->dirty |= left < call->max;
	return 0;
}
