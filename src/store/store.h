/* What must survive a crash. One asynchronous table of calls; in memory and SQLite behind it, Redis
 * later; one contract suite over all (tests/contract).
 *
 * A call is a request struct of the caller's that begins with `struct store_op`. store_submit()
 * hands it over, `done` is called from store_poll() once everything that the call wrote is durable,
 * with `ret` set. Calls take effect in the order of submission. What waits is committed together:
 * one transaction, one fsync, then all of it is done. Every read is a bounded step.
 *
 *  - Inputs are borrowed until `done`; outputs (`ret_*`) belong to the caller from `done` on, are
 *    set only when `ret` is 0 unless said otherwise, and are released with store_op_release().
 *  - `ret` is an answer about that call alone (FH_ENOTFOUND ...). A failure of the medium (any I/O
 *    error, a full disk) is fatal: no call of that commit or later is ever done, store_poll()
 *    returns FH_EIO, store_failure() says why in one line, and the process must end. Never a retry.
 *    From then on the store has forgotten all calls; their memory may go.
 *  - A store knows QUEUED and final states. RUNNING and leases are the dispatcher's memory; here is
 *    only a set, in memory too, of tasks that the dispatcher has claimed into its window.
 *
 * Order inside a lane (account, class): priority descending, then id ascending (ids are ordered by
 * time). A task with a not_before in the future is delayed: in no lane until a claim finds it due.
 */
#ifndef FARHAND_STORE_STORE_H
#define FARHAND_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/record.h"

struct store;

/* Of a lane's class: what its tasks need of a worker. Bytes, the terminator included. */
enum { STORE_CLASS_KEY_SIZE = TASK_NEEDS_MAX + 1 };

/* Lanes that have QUEUED tasks, at a time; one of them is for tasks that need nothing. */
enum { STORE_LANES_MAX = 64 };

/* Workers that are noted, at a time. */
enum { STORE_WORKERS_MAX = 16384 };

enum store_op_kind {
	STORE_PUT_FUNCTION,
	STORE_GET_FUNCTION,
	STORE_LIST_FUNCTIONS,
	STORE_SUBMIT,
	STORE_FINISH,
	STORE_RETRY,
	STORE_START,
	STORE_CLAIM,
	STORE_TAKE,
	STORE_UNCLAIM,
	STORE_CANCEL,
	STORE_GET_TASK,
	STORE_GET_TASKS,
	STORE_LIST_FINISHED,
	STORE_PUT_GROUP,
	STORE_GET_GROUP,
	STORE_EXPIRE,
	STORE_PURGE,
	STORE_NOTE_WORKER,
	STORE_STATS,
	STORE_OP_COUNT,
};

struct store_op {
	enum store_op_kind kind;
	int ret;
	void (*done)(struct store_op *op);
	void *owner;	  /* the caller's */
	struct list held; /* the caller's */
	struct list link; /* the store's, while submitted */
};

/* An idempotency row, written in the transaction of what it protects. When the key is known:
 * FH_EREPLAY with the first answer if the fingerprint is equal, else FH_ECONFLICT; nothing else of
 * the call takes effect. Kept for 24 h (STORE_PURGE). */
struct store_idempotency {
	const char *key; /* scope is (account, key) */
	uint32_t account;
	uint8_t fingerprint[32];
	int64_t created_ms;
	int status;	      /* the answer to remember */
	const char *location; /* or NULL */
	struct blob *response;
	/* out, with FH_EREPLAY */
	int ret_status;
	char *ret_location;
	struct blob *ret_response;
};

/* Functions are idempotent by digest: the same digest gives the first one's id. */
struct store_put_function {
	struct store_op op;
	const struct function_rec *function;
	struct fh_id ret_id;
	bool ret_created;
};

struct store_get_function {
	struct store_op op;
	struct fh_id id;  /* or zero, and then: */
	const char *name; /* the newest of that name */
	bool want_payload;
	struct function_rec ret_function; /* FH_ENOTFOUND */
};

/* Functions in the order of registration, behind position `after_no`, at most `limit`, without
 * their payloads. */
struct store_list_functions {
	struct store_op op;
	const char *name; /* only those of this name; NULL: all */
	uint64_t after_no;
	uint32_t limit; /* <= 1,000 */
	struct function_rec *ret_functions;
	uint32_t ret_count;
	bool ret_more;
	uint64_t ret_last_no; /* position of the last one in ret_functions, or after_no */
};

struct store_submit_item {
	const struct task_rec *task; /* with payload; state QUEUED */
	const char *class_key;	     /* its lane's, shorter than STORE_CLASS_KEY_SIZE; NULL: "" */
	bool claim;		     /* goes straight into the dispatcher's window */
};

/* Stores tasks, the group that they make (if `new_group`), the idempotency row: all or nothing.
 * FH_ENOTFOUND: tasks name a group that does not exist. FH_EEXISTS: an id is there already.
 * FH_ELIMIT: a task's lane is empty, and as many others as may be are not.
 * FH_EREPLAY, FH_ECONFLICT: see above. All tasks of one call have the same group.
 * A task is delayed if its not_before_ms (or that of its options) is later than its created_ms. */
struct store_submit {
	struct store_op op;
	const struct group_rec *new_group; /* or NULL */
	const struct store_submit_item *items;
	uint32_t count;
	struct store_idempotency *idempotency; /* or NULL */
	bool only_key; /* stores nothing: FH_EREPLAY, FH_ECONFLICT, or FH_ENOTFOUND: no such key */
};

struct store_finish_item {
	struct fh_id task;
	struct task_tally tally;
	const struct task_result *result;
	/* out, per item */
	int ret; /* FH_ENOTFOUND, FH_EFINAL: nothing was written for it */
	uint64_t ret_finish_seq;
};

/* Records final states, once: a task that is final stays as it is. Drops them from the claims. */
struct store_finish {
	struct store_op op;
	struct store_finish_item *items;
	uint32_t count;
};

struct store_retry_item {
	struct fh_id task;
	struct task_tally tally;
	int64_t not_before_ms; /* 0: at once */
	bool release;	       /* drop the claim: back to its lane or to the delayed ones */
	int ret;	       /* FH_ENOTFOUND, FH_EFINAL */
};

/* Records that attempts are over and the task goes on (a failed attempt that is retried, a loss).
 */
struct store_retry {
	struct store_op op;
	struct store_retry_item *items;
	uint32_t count;
};

/* Records, before its first ASSIGN, that an at_most_once task may have started. */
struct store_start {
	struct store_op op;
	struct fh_id task;
	uint32_t attempt;
};

/* The next tasks of a lane that nobody has claimed, in order, with payloads; at least one if there
 * is one, else until `max_count` or `max_bytes` of payload. Due delayed tasks are moved into their
 * lanes first (bounded by 10,000 a call). Adds them to the claims. */
struct store_claim {
	struct store_op op;
	uint32_t account;
	const char *class_key;
	uint32_t max_count;
	uint64_t max_bytes;
	int64_t now_ms;
	struct task_rec *ret_tasks;
	uint32_t ret_count;
	bool ret_more;		   /* the lane holds more, unclaimed */
	int32_t ret_more_priority; /* the highest priority among those */
	int64_t ret_next_due_ms;   /* when the first delayed task (of any lane) is due; 0: none */
};

/* Of the named tasks (<= 10,000) those that are QUEUED, due and claimed by nobody, claimed as by
 * STORE_CLAIM, in the order of `tasks`; all others are left out. For what workers still run that
 * come back after a restart of the dispatcher. */
struct store_take {
	struct store_op op;
	const struct fh_id *tasks;
	uint32_t count;
	int64_t now_ms;
	struct task_rec *ret_tasks;		      /* with payloads */
	char (*ret_class_keys)[STORE_CLASS_KEY_SIZE]; /* of their lanes */
	uint32_t ret_count;
};

/* Gives claimed tasks back to their lanes, nothing written. Unknown ids are ignored. */
struct store_unclaim {
	struct store_op op;
	const struct fh_id *tasks;
	uint32_t count;
};

/* Cancels a task that nobody has claimed: CANCELLED(cancelled). FH_ENOTFOUND; FH_EFINAL (ret_state
 * is set); FH_EBUSY: it is claimed, ask the dispatcher's core. */
struct store_cancel {
	struct store_op op;
	struct fh_id task;
	int64_t now_ms;
	enum task_state ret_state;
	struct fh_id ret_group;
	uint32_t ret_account; /* with the class key: its lane */
	char ret_class_key[STORE_CLASS_KEY_SIZE];
	uint64_t ret_finish_seq;
	uint64_t ret_payload_size;
};

enum store_want {
	STORE_WANT_RESULT = 1, /* value and error of final tasks */
	STORE_WANT_LOGS = 2,   /* out and err too */
};

/* FH_ENOTFOUND; FH_EGONE: the record is there, its result was purged (ret_task is set). */
struct store_get_task {
	struct store_op op;
	struct fh_id task;
	unsigned want;
	struct task_rec ret_task;
	struct task_result ret_result; /* zeroed while the task is not final */
};

struct store_task_view {
	struct task_rec task;
	struct task_result result;
	bool known; /* false: no such task (GET_TASKS) */
};

/* `count` <= 10,000 tasks by id, order kept. It stops where results (if wanted) pass `max_bytes`,
 * but always fills the first; the caller asks again for the rest. */
struct store_get_tasks {
	struct store_op op;
	const struct fh_id *tasks;
	uint32_t count;
	unsigned want;
	uint64_t max_bytes;
	struct store_task_view *ret_views; /* `count` of them */
	uint32_t ret_filled;		   /* views[0..ret_filled) are complete */
};

/* Tasks of a group in the order of finishing, after position `after_seq`, at most `limit` and
 * (beyond the first) `max_bytes` of results. FH_ENOTFOUND: no such group. */
struct store_list_finished {
	struct store_op op;
	struct fh_id group;
	uint64_t after_seq;
	uint32_t limit;
	uint64_t max_bytes;
	unsigned want;
	struct store_task_view *ret_views;
	uint32_t ret_count;
	bool ret_more;
	struct group_rec ret_group; /* counts as of this commit: pending = total - finals */
};

struct store_put_group {
	struct store_op op;
	const struct group_rec *group;
	struct store_idempotency *idempotency; /* or NULL */
};

struct store_get_group {
	struct store_op op;
	struct fh_id group;
	struct group_rec ret_group; /* FH_ENOTFOUND */
};

struct store_expired {
	struct fh_id task, group;
	uint32_t account; /* with the class key: its lane */
	char class_key[STORE_CLASS_KEY_SIZE];
	uint64_t finish_seq, payload_size;
};

/* Ends unclaimed tasks whose expires_at has come: FAILED(expired). At most `max`. */
struct store_expire {
	struct store_op op;
	int64_t now_ms;
	uint32_t max;
	struct store_expired *ret_expired;
	uint32_t ret_count;
	int64_t ret_next_expiry_ms; /* of what is left and not claimed (claimed ones are the
				       dispatcher's core to watch); 0: none */
};

/* Deletes, in one bounded step: payloads and results of tasks that finished before
 * `results_before_ms`, records and empty groups before `records_before_ms`, idempotency rows before
 * `keys_before_ms`. A time later than `now_ms` was written by a wall clock that was ahead and says
 * nothing: such a row goes with the next one that it is not true of, which is younger. */
struct store_purge {
	struct store_op op;
	int64_t now_ms; /* wall clock; none of the next three is later */
	int64_t results_before_ms, records_before_ms, keys_before_ms;
	uint32_t max;
	bool ret_more;
};

/* Remembers that a worker may hold tasks, or forgets it; again is fine. The next start finds those
 * that are remembered. FH_ELIMIT: STORE_WORKERS_MAX others are. */
struct store_note_worker {
	struct store_op op;
	struct fh_id instance;
	bool present;
};

struct store_stats {
	struct store_op op;
	uint64_t ret_counts[TASK_STATE_COUNT];	       /* RUNNING stays 0 */
	uint64_t ret_functions, ret_groups, ret_bytes; /* bytes: size of the database */
	uint64_t ret_commits;			       /* since start */
};

struct store_lane {
	uint32_t account;
	char class_key[STORE_CLASS_KEY_SIZE];
	uint64_t live;	/* QUEUED tasks, delayed ones included */
	uint64_t ready; /* not delayed */
	int32_t top_priority;
};

/* What a start finds. `lanes` names every lane that has QUEUED tasks, delayed ones included. The
 * caller releases it with store_recovery_release(). */
struct store_recovery {
	uint32_t generation; /* this start's, durable already; never used before */
	uint64_t live,
		live_bytes; /* QUEUED tasks, delayed ones included, and their payload bytes */
	int64_t next_due_ms, next_expiry_ms; /* 0: none */
	struct store_lane lanes[STORE_LANES_MAX];
	uint32_t lane_count;
	struct fh_id *workers; /* that were noted, in ascending order; NULL: none */
	uint32_t worker_count;
	bool clean; /* the last stop was orderly */
};

struct store_config {
	/* Something is done: call store_poll() soon. May come from another thread: only schedule.
	 */
	void (*wake)(void *ctx);
	void *ctx;
	int64_t now_ms; /* wall clock at the start */
};

struct store_ops {
	void (*submit)(struct store *s, struct store_op *op);
	int (*poll)(struct store *s);
	const char *(*failure)(struct store *s);
	void (*close)(struct store *s);
};

/* The first member of every store. */
struct store {
	const struct store_ops *ops;
	struct store_config config;
};

/* Never fails and never calls back; the answer comes from store_poll(). */
static inline void store_submit(struct store *s, struct store_op *op)
{
	s->ops->submit(s, op);
}

/* Calls `done` of what is durable, in order. 0, or FH_EIO: see above. */
static inline FH_MUST_USE
int store_poll(struct store *s)
{
	return s->ops->poll(s);
}

/* The one line that says why poll() failed; valid while the store is open. */
static inline const char *store_failure(struct store *s)
{
	return s->ops->failure(s);
}

/* Commits what was submitted, marks the stop as orderly, closes. No `done` is called any more.
 * Nulls the pointer; accepts a pointer to NULL. */
static inline void store_close(struct store **s)
{
	if (*s)
		(*s)->ops->close(*s);
	*s = NULL;
}

/* Safe on one that is zeroed or released. */
void store_recovery_release(struct store_recovery *r);

/* Releases the `ret_*` members of a call that is done; safe when they are empty. */
void store_op_release(struct store_op *op);

/* In memory: nothing survives the process. FH_ENOMEM. */
int store_open_mem(const struct store_config *config, struct store **ret_store,
		   struct store_recovery *ret_recovery) FH_MUST_USE;

/* An embedded SQLite database in the folder `dir`, which is made with mode 0700 if it is not there.
 * Refuses, with the reason in `err`: FH_EBUSY (another server has it), FH_EVERSION (a newer Farhand
 * wrote it), FH_EIO, FH_EINVAL (not a folder, not ours). An older version is migrated in one
 * transaction. */
int store_open_sqlite(const char *dir, const struct store_config *config, struct store **ret_store,
		      struct store_recovery *ret_recovery, struct fh_err *err) FH_MUST_USE;

#endif
