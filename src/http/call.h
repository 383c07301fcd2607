/* What the gateway asks of a dispatcher: one request struct a call, the gateway's own, which comes
 * back through `done` exactly once. The gateway fills the inputs and hands the call to a call_sink;
 * it knows nothing of scheduling, the other side knows nothing of HTTP. The simulator's clients
 * make the same calls.
 *
 *  - `done` is never called from inside submit(). It may be called from inside abandon().
 *  - Inputs belong to the gateway until `done` and after, except what is said to be moved.
 *  - Outputs (`ret_*`) are borrowed and valid only during `done`: render them there.
 *  - `ret` is 0 or an FH_E* code; `err` then holds one line for people.
 *  - Everything that is said with ret = 0 is durable before it is said. */
#ifndef FARHAND_HTTP_CALL_H
#define FARHAND_HTTP_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/needs.h"
#include "base/record.h"

enum call_kind {
	CALL_PUT_FUNCTION,
	CALL_GET_FUNCTION,
	CALL_LIST_FUNCTIONS,
	CALL_SUBMIT,
	CALL_GET_TASK,
	CALL_WAIT,
	CALL_CANCEL,
	CALL_PUT_GROUP,
	CALL_GET_GROUP,
	CALL_STATS,
	CALL_LIST_WORKERS,
	CALL_ORDER_WORKER,
	CALL_EXPLAIN,
};

struct call {
	enum call_kind kind;
	int ret;
	struct fh_err err;
	struct fh_err advice;	/* with FH_EUNFIT: what would help, */
	unsigned lacking;	/* and what no worker has, see needs_advice() */
	uint32_t retry_after_s; /* with FH_EFULL, FH_EBUSY, FH_ELIMIT */
	void (*done)(struct call *c);
	void *owner;	  /* the gateway's */
	struct list link; /* the dispatcher's, until done */
	void *state;	  /* the dispatcher's, until done */
};

struct call_sink {
	void *ctx;
	void (*submit)(void *ctx, struct call *c);
	/* Nobody waits for the answer any more: a parked call is done at once with FH_ECLOSED, any
	 * other ends as it would have. What was accepted stays accepted. */
	void (*abandon)(void *ctx, struct call *c);
};

/* An answer that is remembered under an Idempotency-Key; see `call_submit.render`. */
struct call_idempotency {
	const char *key;	 /* NULL: none */
	uint8_t fingerprint[32]; /* SHA-256 of method, path and body */
	int status;
	char *location;	   /* or NULL; the gateway's */
	struct blob *body; /* the gateway's */
	bool ret_replayed; /* the three below are the first answer's */
	int ret_status;
	const char *ret_location;
	struct blob *ret_body;
};

/* POST /v1/functions, /register_function. The id is a proposal: the same digest gives the first id.
 */
struct call_put_function {
	struct call call;
	struct function_rec function;
	struct fh_id ret_id;
	bool ret_created;
};

struct call_get_function {
	struct call call;
	struct fh_id id;  /* or zero, and then: */
	const char *name; /* the newest of that name */
	bool want_payload;
	const struct function_rec *ret_function;
};

/* Functions in the order of registration, behind a cursor, without payloads. */
struct call_list_functions {
	struct call call;
	const char *name;  /* only those of this name; NULL: all */
	uint64_t after_no; /* the cursor; 0: from the beginning */
	uint32_t limit;	   /* <= 1,000 */
	const struct function_rec *ret_functions;
	uint32_t ret_count;
	bool ret_more;
	uint64_t ret_last_no; /* position of the last one in ret_functions, or after_no */
};

/* Why no worker can run a task, and what would help: as needs_advice() says it. */
struct call_unfit {
	struct fh_err detail, advice;
	unsigned lacking;
};

struct call_submit_item {
	struct task_rec task; /* id, function, options, payload ... moved away when accepted */
	char *modules;	      /* of the payload, see pickle_modules(); NULL: none. The gateway's */
	bool wait_for_worker; /* taken although no worker that is there can run it */
	/* FH_ENOTFOUND: no such function. FH_EUNFIT: workers are there, and none can run it;
	 * `unfit` says why and stays until render() has returned. Set before render() */
	int ret;
	const struct call_unfit *unfit;
};

/* Tasks, all of one group or of none. Items whose `ret` is not 0 are left out; with `single` the
 * whole call fails instead. render() is called once, when item results and function names are known
 * and before anything is stored: it writes the answer that is stored with the tasks; without a body
 * from it the call ends with FH_ENOMEM. */
struct call_submit {
	struct call call;
	struct call_submit_item *items;
	uint32_t count;
	bool single;
	bool modules_anywhere; /* modules are no need: where one is missing, the task fails and
				  names it */
	struct group_rec *new_group; /* or NULL: the tasks' group_id exists already, or is zero */
	void (*render)(struct call_submit *c); /* or NULL */
	struct call_idempotency idempotency;
};

enum call_wait_for { CALL_FOR_FINISHED, CALL_FOR_STARTED };

enum call_want {
	CALL_WANT_RESULT = 1,
	CALL_WANT_LOGS = 2,
};

/* One task: status, result or logs. Answers at once, or when the task has started or finished, or
 * after `wait_ms`, with what is true then. FH_ENOTFOUND; FH_EGONE: the result was purged;
 * FH_ELIMIT: too many are waiting. */
struct call_get_task {
	struct call call;
	struct fh_id task;
	unsigned want; /* mask of call_want */
	uint32_t wait_ms;
	enum call_wait_for wait_for;
	const struct task_rec *ret_task; /* state may be RUNNING here */
	/* While not final: only what it has printed so far, if logs are wanted and something is
	 * known of them; else NULL */
	const struct task_result *ret_result;
};

struct call_view {
	const struct task_rec *task;
	const struct task_result *result; /* NULL where results were not asked for */
};

/* Tasks of a group (or of a list of ids) that are final, in the order of finishing, behind a
 * cursor. `all` waits until none is pending, else until at least one is there; or `wait_ms` are
 * over. FH_ENOTFOUND: no such group, or an unknown id (named in err). */
struct call_wait {
	struct call call;
	struct fh_id group; /* or zero, and then: */
	const struct fh_id *tasks;
	uint32_t task_count; /* <= 10,000, no duplicates */
	uint64_t after_seq;  /* the cursor; 0: from the beginning */
	bool all;
	uint32_t wait_ms;
	unsigned want;
	uint32_t limit;	    /* tasks in one answer, <= 10,000 */
	uint64_t max_bytes; /* of results, beyond the first */
	const struct call_view *ret_views;
	uint32_t ret_count;
	uint64_t ret_pending;
	uint64_t ret_cursor; /* position of the last one in ret_views, or after_seq */
};

/* 0: CANCELLED, durable. 0 with ret_running: it runs and is being ended (202).
 * FH_ENOTFOUND, FH_EFINAL; FH_EBUSY: it runs and `spare_running` was set. */
struct call_cancel {
	struct call call;
	struct fh_id task;
	bool spare_running;
	bool ret_running;
};

struct call_put_group {
	struct call call;
	struct group_rec group;
	struct call_idempotency idempotency; /* filled before the call */
};

struct call_get_group {
	struct call call;
	struct fh_id group;
	const struct group_rec *ret_group; /* counts with RUNNING */
};

struct call_stats_values {
	uint64_t counts[TASK_STATE_COUNT];
	uint64_t functions, groups, store_bytes, store_commits;
	uint64_t queued_max, queued_bytes, queued_bytes_max;
	uint32_t slots, slots_busy, workers, waiting_calls, window, window_max;
	uint64_t accepted_total, finished_total, rejected_total, stale_results_total, retries_total,
		lost_total;
	const char *workers_broken; /* why no child of ours can be started; NULL: one can */
	int64_t started_ms;	    /* wall clock of this start */
	uint32_t generation;
};

struct call_stats {
	struct call call;
	const struct call_stats_values *ret_values;
};

enum call_worker_mode { CALL_WORKER_LOCAL, CALL_WORKER_PUSH, CALL_WORKER_PULL };

/* LOST: its connection is gone; it may come back until its silence has lasted too long. */
enum call_worker_state { CALL_WORKER_ONLINE, CALL_WORKER_DRAINING, CALL_WORKER_LOST };

/* A worker, as operators see it. */
struct call_worker {
	struct fh_id id;  /* its instance: new at each of its starts, kept when it connects anew */
	const char *host; /* NULL: not known */
	const char *key_name; /* of the key with which it came; NULL: none */
	enum call_worker_mode mode;
	enum call_worker_state state;
	const char *runtime;  /* "cp311" */
	uint32_t slots;	      /* places for one running task each */
	uint32_t slots_busy;  /* tasks that run */
	uint32_t in_flight;   /* tasks that it has, those included */
	uint32_t cores;	      /* of its host; 0: not known */
	uint64_t mem_bytes;   /* of its host; 0: not known */
	const char *labels;   /* "gpu=1,site=lab"; NULL: none */
	int64_t connected_ms; /* wall clock of its first HELLO */
	int64_t heard_ms;     /* wall clock of its last message */
	uint64_t finished;    /* attempts that it has ended since then */
	uint64_t failed;      /* ... of those */
};

/* The workers, behind a cursor; or one, and then FH_ENOTFOUND. Who comes or goes between two pages
 * may be missed. */
struct call_list_workers {
	struct call call;
	struct fh_id id;   /* only this one; zero: all */
	uint64_t after_no; /* the cursor; 0: from the beginning */
	uint32_t limit;	   /* <= 1,000 */
	const struct call_worker *ret_workers;
	uint32_t ret_count;
	bool ret_more;
	uint64_t ret_last_no; /* position of the last one in ret_workers, or after_no */
};

enum call_worker_order {
	CALL_WORKER_DRAIN,  /* it gets no more tasks, ends what it has, and stays */
	CALL_WORKER_RESUME, /* it gets tasks again */
};

/* Twice the same order is one. FH_ENOTFOUND. */
struct call_order_worker {
	struct call call;
	struct fh_id id;
	enum call_worker_order order;
	const struct call_worker *ret_worker; /* as it is now */
};

/* What a task waits for, and the word for it. */
#define CALL_WAITS_FOR(X)                                                                        \
	X(NOTHING, "nothing")	  /* it is under way */                                          \
	X(FINAL, "final")	  /* it waits no more */                                         \
	X(RUNNING, "running")	  /* its own end */                                              \
	X(DELAYED, "delayed")	  /* its not_before */                                           \
	X(RETRY, "retry")	  /* the pause before its next attempt */                        \
	X(CAPACITY, "capacity")	  /* a slot: those that could run it are taken */                \
	X(WINDOW, "window")	  /* tasks before it that are not yet handed out */              \
	X(NO_WORKER, "no_worker") /* a worker: there is none */                                  \
	X(NEEDS, "needs")	  /* a worker that has what it needs: none of those here does */ \
	X(GRACE, "grace")	  /* a worker that may come back with it */

enum call_waits_for {
#define X(name, word) CALL_WAITS_FOR_##name,
	CALL_WAITS_FOR(X)
#undef X
		CALL_WAITS_FOR_COUNT,
};

struct call_need {
	enum needs_kind kind;
	const char *wanted; /* "gpu=1" */
	uint32_t workers;   /* that are here */
	uint32_t fitting;   /* ... and have it */
	const char *text;   /* "0 of 4 workers have label gpu=1" */
};

/* Where a task stands, and what it waits for. */
struct call_explanation {
	enum task_state state;
	enum call_waits_for waits_for;
	const char *text; /* one sentence for people */
	int64_t until_ms; /* DELAYED, RETRY: wall clock of its end; 0: not known */
	bool position_known;
	uint64_t position;   /* tasks that are handed out before it, as far as is known */
	struct fh_id worker; /* that has it; zero: none */
	const struct call_need *needs;
	uint32_t need_count;
};

/* FH_ENOTFOUND. */
struct call_explain {
	struct call call;
	struct fh_id task;
	const struct call_explanation *ret_explanation;
};

#endif
