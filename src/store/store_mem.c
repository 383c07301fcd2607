/* The store in memory: the first citizen of tests and of the simulator, with the semantics of the
 * durable ones on one thread.
 *
 *  - submit() queues the call and wakes the owner.
 *  - poll() commits everything that waits, in order, then calls `done` of all of it. In manual mode
 *    the commit is store_mem_commit() instead, and poll() only delivers.
 *  - store_mem_restart() is a crash: what waits is dropped, what is committed stays.
 *
 * Failure modes: FH_ENOMEM is an answer about one call, which then changed nothing. There is no
 * medium that could fail. */
#include "store/store_mem.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "store/mem_priv.h"
#include "store/op.h"

#include <string.h>

static struct mem *mem_of(struct store *s)
{
	return (struct mem *)s;
}

static void wake(struct mem *m)
{
	if (m->awake)
		return;
	m->awake = true;
	m->base.config.wake(m->base.config.ctx);
}

static void mem_submit_op(struct store *s, struct store_op *op)
{
	struct mem *m = mem_of(s);
	FH_ASSERT(op->done != NULL);
	if (op->kind == STORE_SUBMIT)
		store_submit_check((struct store_submit *)op);
	list_push_back(&m->waiting, &op->link);
	if (!m->manual)
		wake(m);
}

static int execute(struct mem *m, struct store_op *op)
{
	switch (op->kind) {
	case STORE_PUT_FUNCTION:
		return mem_put_function(m, (struct store_put_function *)op);
	case STORE_GET_FUNCTION:
		return mem_get_function(m, (struct store_get_function *)op);
	case STORE_LIST_FUNCTIONS:
		return mem_list_functions(m, (struct store_list_functions *)op);
	case STORE_SUBMIT:
		return mem_submit(m, (struct store_submit *)op);
	case STORE_FINISH:
		return mem_finish(m, (struct store_finish *)op);
	case STORE_RETRY:
		return mem_retry(m, (struct store_retry *)op);
	case STORE_START:
		return mem_start(m, (struct store_start *)op);
	case STORE_CLAIM:
		return mem_claim(m, (struct store_claim *)op);
	case STORE_TAKE:
		return mem_take(m, (struct store_take *)op);
	case STORE_UNCLAIM:
		return mem_unclaim(m, (struct store_unclaim *)op);
	case STORE_CANCEL:
		return mem_cancel(m, (struct store_cancel *)op);
	case STORE_GET_TASK:
		return mem_get_task(m, (struct store_get_task *)op);
	case STORE_GET_TASKS:
		return mem_get_tasks(m, (struct store_get_tasks *)op);
	case STORE_LIST_FINISHED:
		return mem_list_finished(m, (struct store_list_finished *)op);
	case STORE_PUT_GROUP:
		return mem_put_group(m, (struct store_put_group *)op);
	case STORE_GET_GROUP:
		return mem_get_group(m, (struct store_get_group *)op);
	case STORE_EXPIRE:
		return mem_expire(m, (struct store_expire *)op);
	case STORE_PURGE:
		return mem_purge(m, (struct store_purge *)op);
	case STORE_NOTE_WORKER:
		return mem_note_worker(m, (struct store_note_worker *)op);
	case STORE_STATS:
		return mem_stats(m, (struct store_stats *)op);
	case STORE_OP_COUNT:
		break;
	}
	FH_UNREACHABLE("no such call");
}

static size_t commit(struct mem *m, size_t max_calls)
{
	size_t count = 0;
	if (PLANTED(IDEMPOTENCY_APART))
		mem_key_put_apart(m);
	for (; count < max_calls && !list_empty(&m->waiting); count++) {
		struct store_op *op =
			list_entry(list_pop_front(&m->waiting), struct store_op, link);
		store_op_reset(op);
		op->ret = execute(m, op);
		if (op->ret == FH_ENOMEM)
			store_op_release(op);
		list_push_back(&m->done, &op->link);
	}
	m->commits += m->dirty;
	m->dirty = false;
	return count;
}

static int mem_poll(struct store *s)
{
	struct mem *m = mem_of(s);
	m->awake = false;
	if (!m->manual)
		(void)commit(m, SIZE_MAX);
	struct list done;
	store_ops_move(&m->done, &done);
	store_ops_done(&done);
	return 0;
}

static const char *mem_failure(struct store *s)
{
	(void)s;
	return "the memory store cannot fail";
}

static void free_tasks(struct list *tasks)
{
	for (struct list *link; (link = list_pop_front(tasks)) != NULL;) {
		struct mem_task *t = list_entry(link, struct mem_task, link);
		mem_task_free(&t);
	}
}

static void free_keys(struct list *keys)
{
	for (struct list *link; (link = list_pop_front(keys)) != NULL;) {
		struct mem_key *k = list_entry(link, struct mem_key, link);
		mem_key_free(&k);
	}
}

static void mem_free(struct mem *m)
{
	free_tasks(&m->live);
	free_tasks(&m->finished);
	free_tasks(&m->purged);
	free_keys(&m->key_list);
	free_keys(&m->keys_apart);
	for (struct list *link; (link = list_pop_front(&m->group_list)) != NULL;) {
		struct mem_group *g = list_entry(link, struct mem_group, link);
		mem_group_free(&g);
	}
	for (struct list *link; (link = list_pop_front(&m->function_list)) != NULL;) {
		struct mem_function *f = list_entry(link, struct mem_function, link);
		function_rec_release(&f->rec);
		fh_free(f);
	}
	for (size_t i = 0; i < m->lanes.len; i++)
		mem_heap_release(&((struct mem_lane *)(void *)m->lanes.items[i])->ready);
	lanes_release(&m->lanes);
	mem_heap_release(&m->delayed);
	mem_heap_release(&m->expiring);
	map_release(&m->tasks);
	map_release(&m->functions);
	map_release(&m->groups);
	map_release(&m->keys);
	fh_free(m->workers);
	fh_free(m);
}

static void mem_close(struct store *s)
{
	struct mem *m = mem_of(s);
	(void)commit(m, SIZE_MAX);
	store_ops_drop(&m->done);
	mem_free(m);
}

static const struct store_ops mem_ops = {
	.submit = mem_submit_op,
	.poll = mem_poll,
	.failure = mem_failure,
	.close = mem_close,
};

/* What a start finds: as a durable store would, from the tables alone. Takes `own_workers`. */
static void recover(const struct mem *m, struct fh_id *own_workers,
		    struct store_recovery *ret_recovery)
{
	*ret_recovery = (struct store_recovery){
		.generation = m->generation,
		.live = m->counts[TASK_QUEUED],
		.live_bytes = m->live_bytes,
		.workers = own_workers,
		.worker_count = (uint32_t)m->worker_count,
	};
	const struct mem_node *due = mem_heap_first(&m->delayed);
	const struct mem_node *expiry = mem_heap_first(&m->expiring);
	ret_recovery->next_due_ms = due ? due->key : 0;
	ret_recovery->next_expiry_ms = expiry ? expiry->key : 0;
	for (size_t i = 0; i < m->lanes.len; i++) {
		const struct mem_lane *lane =
			(const struct mem_lane *)(const void *)m->lanes.items[i];
		if (lane->lane.live == 0)
			continue;
		struct store_lane *to = &ret_recovery->lanes[ret_recovery->lane_count++];
		const struct mem_node *top = mem_heap_first(&lane->ready);
		to->account = lane->lane.account;
		memcpy(to->class_key, lane->lane.class_key, sizeof to->class_key);
		to->live = lane->lane.live;
		to->ready = lane->ready.len;
		to->top_priority = top ? (int32_t)-top->key : 0;
	}
}

int store_open_mem(const struct store_config *config, struct store **ret_store,
		   struct store_recovery *ret_recovery)
{
	struct mem *m = fh_calloc(1, sizeof *m);
	if (!m)
		return FH_ENOMEM;
	m->base = (struct store){ .ops = &mem_ops, .config = *config };
	struct list *lists[] = { &m->waiting,	 &m->done,     &m->function_list,
				 &m->group_list, &m->key_list, &m->keys_apart,
				 &m->live,	 &m->finished, &m->purged };
	for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
		list_init(lists[i]);
	if (map_init(&m->tasks) || map_init(&m->functions) || map_init(&m->groups) ||
	    map_init(&m->keys)) {
		mem_free(m);
		return FH_ENOMEM;
	}
	m->generation = 1;
	recover(m, NULL, ret_recovery);
	ret_recovery->clean = true;
	*ret_store = &m->base;
	return 0;
}

void store_mem_set_manual(struct store *s)
{
	mem_of(s)->manual = true;
}

size_t store_mem_waiting(const struct store *s)
{
	const struct mem *m = (const struct mem *)s;
	size_t count = 0;
	list_for_each (link, &m->waiting)
		count++;
	return count;
}

size_t store_mem_commit(struct store *s, size_t max_calls)
{
	struct mem *m = mem_of(s);
	size_t count = commit(m, max_calls);
	if (!list_empty(&m->done))
		wake(m);
	return count;
}

/* NULL when there are none. */
static int copy_workers(const struct mem *m, struct fh_id **ret_workers)
{
	*ret_workers = NULL;
	if (m->worker_count == 0)
		return 0;
	*ret_workers = fh_calloc(m->worker_count, sizeof **ret_workers);
	if (!*ret_workers)
		return FH_ENOMEM;
	memcpy(*ret_workers, m->workers, m->worker_count * sizeof *m->workers);
	return 0;
}

int store_mem_restart(struct store *s, const struct store_config *config,
		      struct store_recovery *ret_recovery)
{
	struct mem *m = mem_of(s);
	struct fh_id *workers;
	int ret = copy_workers(m, &workers);
	if (ret)
		return ret;
	while (list_pop_front(&m->waiting))
		;
	store_ops_drop(&m->done);
	free_keys(&m->keys_apart);
	m->base.config = *config;
	m->awake = false;
	m->commits = 0;
	if (!PLANTED(GENERATION_NOT_DURABLE))
		m->generation++;
	list_for_each (link, &m->live) {
		struct mem_task *t = list_entry(link, struct mem_task, link);
		t->claimed = false;
		mem_task_place(m, t);
		if (PLANTED(DELAYED_LOST_AT_RESTART) && t->delayed)
			mem_heap_remove(&m->delayed, &t->place);
		if (PLANTED(FAILED_ATTEMPT_FORGOTTEN))
			t->rec.tally = (struct task_tally){ 0 };
	}
	recover(m, workers, ret_recovery);
	return 0;
}
