/* The memory store from inside. Every call first checks and takes all the memory that it needs,
 * then changes the tables with steps that cannot fail: so a call that fails changed nothing.
 *
 * A task is in exactly one list (`live`, `finished` or `purged`), and while it is QUEUED also in
 *   the delayed heap     if it is delayed, claimed or not,
 *   its lane's heap      if it is ready and not claimed,
 *   no heap              if it is ready and claimed,
 * and in the heap of what expires if it can and is not claimed. mem_task_place() alone decides. */
#ifndef FARHAND_STORE_MEM_PRIV_H
#define FARHAND_STORE_MEM_PRIV_H

#include "base/map.h"
#include "store/lanes.h"
#include "store/mem_heap.h"
#include "store/store.h"

struct mem_lane {
	struct lane lane;
	struct mem_heap ready; /* has room for all live tasks of this lane */
};

struct mem_function {
	struct function_rec rec;
	uint64_t no; /* 1 is the first */
	struct list link;
};

struct mem_group {
	struct group_rec rec;
	uint64_t records;	    /* tasks that are still there */
	struct mem_task **finished; /* in the order of finishing; room for `rec.total` */
	size_t first, len, max;	    /* those before `first` are purged */
	struct list link;
};

struct mem_task {
	struct task_rec rec;
	struct task_result result; /* zeroed while QUEUED and once purged */
	struct mem_lane *lane;
	struct mem_group *group; /* or NULL */
	struct mem_heap *heap;	 /* that `place` is in, or NULL */
	struct mem_node place, expiry;
	bool delayed, claimed;
	struct list link;
};

struct mem_key {
	struct mem_key *next; /* same hash */
	char *key;
	uint32_t account;
	uint8_t fingerprint[32];
	int64_t created_ms;
	int status;
	char *location;
	struct blob *response;
	struct list link;
};

struct mem {
	struct store base;
	struct list waiting, done; /* calls */
	bool manual, awake;
	bool dirty; /* this commit wrote something */

	struct map tasks, functions, groups, keys;
	struct list function_list; /* newest first */
	struct list group_list, key_list;
	struct list keys_apart; /* planted bug: rows of the next commit */
	struct list live, finished, purged;
	struct lanes lanes;
	struct fh_id *workers; /* noted, in ascending order */
	size_t worker_count, worker_max;
	struct mem_heap delayed, expiring; /* room for all live tasks */
	size_t live_count;
	uint64_t live_bytes, finish_seq, commits, function_count, group_count;
	uint64_t counts[TASK_STATE_COUNT];
	uint32_t generation;
};

/* mem_task.c */

/* A task that is in no list and no heap yet; room for it is reserved everywhere. FH_ELIMIT: too
 * many lanes; FH_ENOMEM. */
int mem_task_new(struct mem *m, const struct store_submit_item *item, struct mem_group *group,
		 struct mem_task **ret_task) FH_MUST_USE;
/* Undoes mem_task_new(). */
void mem_task_discard(struct mem *m, struct mem_task **task);
/* Makes it a live task. */
void mem_task_link(struct mem *m, struct mem_task *t);
/* Puts it into the heaps where it belongs after its state, delay or claim has changed. */
void mem_task_place(struct mem *m, struct mem_task *t);
/* Records a final state; takes the result over. Precondition: it is QUEUED. */
void mem_task_end(struct mem *m, struct mem_task *t, struct task_result *own_result);
/* Forgets a final task, its place in its group included, and frees it. */
void mem_task_forget(struct mem *m, struct mem_task **task);
void mem_task_free(struct mem_task **task);
struct mem_task *mem_task_find(const struct mem *m, struct fh_id id);
void mem_group_free(struct mem_group **group);

/* mem_key.c */

/* 0: the key is new (or there is none); FH_EREPLAY with the answer, FH_ECONFLICT, FH_ENOMEM. */
int mem_key_check(const struct mem *m, struct store_idempotency *i) FH_MUST_USE;
/* Writes the row (none without a key). FH_ENOMEM. */
int mem_key_put(struct mem *m, const struct store_idempotency *i) FH_MUST_USE;
/* Planted bug: writes the rows of the commit before. */
void mem_key_put_apart(struct mem *m);
void mem_key_forget(struct mem *m, struct mem_key **key);
void mem_key_free(struct mem_key **key);

/* mem_copy.c: deep copies, FH_ENOMEM */
int mem_copy_function(const struct function_rec *from, bool payload,
		      struct function_rec *ret_copy) FH_MUST_USE;
int mem_copy_task(const struct mem *m, const struct mem_task *from, bool payload,
		  struct task_rec *ret_copy) FH_MUST_USE;
int mem_copy_result(const struct task_result *from, unsigned want,
		    struct task_result *ret_copy) FH_MUST_USE;
int mem_copy_group(const struct group_rec *from, struct group_rec *ret_copy) FH_MUST_USE;

/* The calls: 0 or what store.h says. mem_write.c */
int mem_put_function(struct mem *m, struct store_put_function *call) FH_MUST_USE;
int mem_put_group(struct mem *m, struct store_put_group *call) FH_MUST_USE;
int mem_submit(struct mem *m, struct store_submit *call) FH_MUST_USE;
int mem_finish(struct mem *m, struct store_finish *call) FH_MUST_USE;
int mem_retry(struct mem *m, struct store_retry *call) FH_MUST_USE;
int mem_start(struct mem *m, struct store_start *call) FH_MUST_USE;
int mem_note_worker(struct mem *m, const struct store_note_worker *call) FH_MUST_USE;

/* mem_queue.c */
int mem_claim(struct mem *m, struct store_claim *call) FH_MUST_USE;
int mem_take(struct mem *m, struct store_take *call) FH_MUST_USE;
int mem_unclaim(struct mem *m, struct store_unclaim *call) FH_MUST_USE;
int mem_cancel(struct mem *m, struct store_cancel *call) FH_MUST_USE;
int mem_expire(struct mem *m, struct store_expire *call) FH_MUST_USE;
int mem_purge(struct mem *m, struct store_purge *call) FH_MUST_USE;

/* mem_read.c */
int mem_get_function(const struct mem *m, struct store_get_function *call) FH_MUST_USE;
int mem_list_functions(const struct mem *m, struct store_list_functions *call) FH_MUST_USE;
int mem_get_task(const struct mem *m, struct store_get_task *call) FH_MUST_USE;
int mem_get_tasks(const struct mem *m, struct store_get_tasks *call) FH_MUST_USE;
int mem_list_finished(const struct mem *m, struct store_list_finished *call) FH_MUST_USE;
int mem_get_group(const struct mem *m, struct store_get_group *call) FH_MUST_USE;
int mem_stats(const struct mem *m, struct store_stats *call) FH_MUST_USE;

#endif
