/* What the files of the dispatcher share. See dispatch.h for what it is. */
#ifndef FARHAND_DISPATCH_DISPATCH_PRIV_H
#define FARHAND_DISPATCH_DISPATCH_PRIV_H

#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "core/core.h"
#include "dispatch/dispatch.h"

/* A registered function in memory. The handle is the core's name for it. */
struct function {
	struct fh_id id;
	uint32_t handle;
	uint32_t pins;		 /* tasks of the window and calls that need it */
	bool known;		 /* it exists in the store */
	bool asked;		 /* a read of it is under way */
	struct function_rec rec; /* payload NULL: not loaded */
	char *rare; /* modules of it that some worker lacks, as of that change of the fleet */
	uint64_t rare_at;
	struct list lru;    /* in dispatch.functions_idle while pins == 0 */
	struct list calls;  /* submissions that wait for the read (call.link) */
	uint64_t *sessions; /* bit set: sessions that wait for the payload; NULL: none */
};

struct live_log;

/* A place of the window, under the core's `ref`. */
struct window_task {
	bool used;
	struct task_rec rec;
	struct function *function;
	int64_t started_ms;	   /* 0: no child has begun this attempt */
	struct list running;	   /* in dispatch.running while it takes a slot */
	struct live_log *live_log; /* what the attempt has printed so far; NULL: nothing */
	struct task_result result; /* while its end is being recorded */
};

/* A final task in memory: answers clients without the store. */
struct finished {
	struct task_rec rec;
	struct task_result result;
	size_t bytes;
	struct list lru;     /* oldest first: dispatch.cache */
	struct list in_feed; /* feed.finished, in the order of finishing */
};

/* A group that somebody waits for. Exact from the moment it was made: every final of the group
 * behind `floor_seq` is in `finished`. */
struct feed {
	struct fh_id group;
	uint64_t floor_seq;
	uint64_t total, final;
	struct list finished;
	struct list waits; /* parked waits (wait.in_feed) */
	struct list dirty; /* in dispatch.dirty when waits may be answered */
	struct list lru;   /* in dispatch.feeds_idle while nobody waits */
	bool ready;	   /* the counts have been read */
};

/* A task that clients wait for. */
struct watched {
	struct fh_id id;
	struct list watches;
};

struct watch {
	struct watched *watched; /* NULL: not watching */
	struct list link;
	struct wait *wait;
	uint32_t index; /* which of the wait's tasks */
};

/* A call that waits for tasks: GET_TASK with a time, or WAIT. */
struct wait {
	struct call *call;
	struct heap_node deadline;
	bool expired;
	bool reading;	  /* a store read is under way */
	bool again;	  /* something changed during that read */
	bool abandoned;	  /* its client left during that read */
	struct list link; /* dispatch.waits */
	/* by group */
	struct feed *feed;
	struct list in_feed;
	uint64_t after_seq;
	/* by ids */
	uint32_t count;
	struct watch *watches;
	uint64_t *finish_seq; /* 0: not final yet, as far as we know */
	uint32_t pending;
	bool unread; /* the store must be asked about some of them */
};

enum { DOORS = 2 };

struct adoption;

/* A transport, and how its messages find us. */
struct door {
	struct dispatch *d;
	struct transport *transport; /* NULL: there is none */
	bool local;		     /* its worker lives in this process */
	struct map peers;	     /* peer number -> struct session */
};

/* A worker, from its HELLO until it has left or was given up. It may be without a connection for a
 * while; then it comes back, or the core loses it. */
struct session {
	bool open;
	struct door *door;
	bool connected;
	uint64_t peer;			       /* while connected */
	uint64_t sent;			       /* ASSIGNs over this connection */
	uint64_t arrived;		       /* of these, known to have come */
	char key_name[TRANSPORT_NAME_MAX + 1]; /* of the worker's key; empty: it has none */
	struct wire_hello hello;	       /* without the list of what it held */
	int64_t connected_ms;		       /* wall clock of its first HELLO */
	uint64_t classes;		       /* that its worker can run */
	bool drain_ordered;
	bool leaves;	    /* it has said so itself, and cannot be told otherwise */
	struct list ending; /* in dispatch.broken: a message could not be sent */
	uint64_t finished, failed;
};

enum { FINISH_BATCH = 256 };

/* Finals that go to the store together. */
struct finish_batch {
	struct store_finish op;
	uint32_t refs[FINISH_BATCH];
	struct store_finish_item items[FINISH_BATCH];
};

struct dispatch {
	struct dispatch_config config;
	struct core *core;
	struct core_actions actions;
	struct list inbox; /* calls to begin */
	bool draining, closed, woken;
	struct list ops; /* of the store, under way */
	uint32_t starts; /* of those: of tasks that are sent when it is done */

	struct window_task *window;
	struct list running;
	size_t live_log_bytes;	      /* of memory, for all of the window */
	struct wire_result *incoming; /* the RESULT whose event is being performed */
	struct finish_batch *batch;   /* collects until the end of the run */

	void **requests; /* numbers that the core echoes */
	uint32_t request_max, request_free_len;
	uint32_t *request_free;

	struct map functions; /* id -> struct function */
	struct list functions_idle;
	size_t functions_idle_len;
	struct function **handles; /* by handle */
	uint32_t *handle_free;
	uint32_t handle_free_len;
	size_t function_bytes;

	struct session *sessions;
	uint32_t *session_free; /* numbers that were used and are free again */
	uint32_t session_free_len, sessions_touched;
	struct map instances; /* of workers -> struct session */
	struct door doors[DOORS];
	struct list broken;
	struct fh_id *expected; /* workers of before our start that may come back, and until when */
	uint32_t expected_len;
	int64_t expect_until_us;
	uint32_t local_sessions;
	uint64_t fleet_changes; /* workers that have come or gone, from 1 on */
	/* fit.c: modules of the last payload, those of them that some worker lacks, as of which
	 * change of the fleet; 0: none */
	char *rare_of, *rare;
	uint64_t rare_at;

	struct map cache_ids; /* id -> struct finished */
	struct list cache;
	size_t cache_len_bytes;
	uint64_t last_seq; /* the newest finish position that we know */

	struct map feeds; /* group -> struct feed */
	struct list feeds_idle, dirty;
	size_t feed_count;
	struct map watched; /* id -> struct watched */
	uint32_t watch_count;
	struct list waits;
	struct heap wait_deadlines;
	struct list cancel_later; /* calls to ask again (call.link) */

	char class_keys[CORE_CLASSES_MAX][STORE_CLASS_KEY_SIZE]; /* the first is "", always */
	uint32_t class_count, class_last;			 /* the one that was made last */
	uint64_t classes_named; /* by the submission in hand, whose tasks are not live yet */
	int64_t next_upkeep_us, upkeep_us; /* the next and the last one */
	/* Wall clock less monotonic: as compared last; as the purge takes it. */
	int64_t wall_offset_ms, purge_offset_ms;
	bool purging;

	struct call_stats_values totals; /* the running totals in it are ours */
};

/* -- dispatch.c */
void dispatch_step(struct dispatch *d, struct core_event *ev);
/* The same, with what must happen between the core's decision and the performing of its actions. */
void dispatch_step_then(struct dispatch *d, struct core_event *ev,
			void (*between)(struct dispatch *d, struct core_event *ev, void *arg),
			void *arg);
void dispatch_wake(struct dispatch *d);
void dispatch_log(struct dispatch *d, const char *fmt, ...) FH_PRINTF(2, 3);
/* Calls `done`. Never from inside the sink's submit(), so the gateway is not re-entered; what it
 * submits from there waits in the inbox, so neither are we. */
void dispatch_answer(struct call *c, int ret);
/* Zeroed memory; there is no going on without it, so it never returns NULL. */
void *dispatch_alloc(size_t count, size_t size);
/* Hands an op to the store and holds it; `done` must call dispatch_op_done(). */
void dispatch_op(struct dispatch *d, struct store_op *op, enum store_op_kind kind,
		 void (*done)(struct store_op *op));
void dispatch_op_done(struct store_op *op);
/* The end of an op that is done and was made for one call: answers it, and then releases and frees
 * the op, whose outputs the call may point into. */
void dispatch_op_answer(struct store_op *own_op, struct call *c, int ret);
uint64_t dispatch_request_new(struct dispatch *d, void *what);
void *dispatch_request_get(struct dispatch *d, uint64_t request);
void *dispatch_request_take(struct dispatch *d, uint64_t request);
static inline int64_t dispatch_now_us(struct dispatch *d)
{
	return d->config.now_us(d->config.env);
}
static inline int64_t dispatch_wall_ms(struct dispatch *d)
{
	return d->config.wall_ms(d->config.env);
}
/* Wall clock to monotonic; 0 stays 0. */
int64_t dispatch_mono_us(struct dispatch *d, int64_t wall_ms);

/* -- function.c */
int functions_init(struct dispatch *d) FH_MUST_USE;
void functions_release(struct dispatch *d);
/* The entry of an id, made if needed, pinned. For a claimed task: there always is a handle. */
struct function *function_pin(struct dispatch *d, struct fh_id id);
/* The same for a call. NULL: the handles that are left are for the places of the window. */
struct function *function_try_pin(struct dispatch *d, struct fh_id id);
void function_unpin(struct dispatch *d, struct function *f);
/* Reads it from the store, with its payload; function_loaded() follows. */
void function_read(struct dispatch *d, struct function *f);
void function_send(struct dispatch *d, struct function *f, uint32_t session);
/* The number will mean another session, which has not asked for anything. */
void functions_forget_session(struct dispatch *d, uint32_t session);
void function_call_put(struct dispatch *d, struct call_put_function *c);
void function_call_get(struct dispatch *d, struct call_get_function *c);
void function_call_list(struct dispatch *d, struct call_list_functions *c);

/* -- submit.c */
void submit_call(struct dispatch *d, struct call_submit *c);
void submit_perform(struct dispatch *d, const struct core_action *a);
/* Frees a submission whose op is under way, or that waits for a function; the call is not touched.
 */
void submit_forget(struct store_op *op);
/* The reading of a function that the submission waits for is over. */
void submit_resume(struct dispatch *d, struct call *c);
void submit_spec(struct dispatch *d, const struct task_rec *t, struct function *f,
		 uint32_t class_ix, struct core_spec *ret_spec);

/* -- claim.c */
void claim_perform(struct dispatch *d, const struct core_action *a);
void unclaim_perform(struct dispatch *d, const struct core_action *a);

/* -- window.c */
int window_init(struct dispatch *d) FH_MUST_USE;
void window_release(struct dispatch *d);
/* Moves the record into its place. */
void window_put(struct dispatch *d, uint32_t ref, struct task_rec *own_task, struct function *f);
void window_clear(struct dispatch *d, uint32_t ref);

/* -- live_log.c */
/* A LOG of this session's worker. */
void live_log_add(struct dispatch *d, const struct session *s, const struct wire_log *m);
/* Copies of what this attempt has printed into `out` and `err`, with whether they were cut; false:
 * nothing is known. */
bool live_log_copy(const struct window_task *t, uint32_t attempt, struct task_result *ret_result);
/* Nobody is to see it any more: another attempt follows, or the end is recorded. */
void live_log_drop(struct dispatch *d, struct window_task *t);
/* What is counted is what is held, and it is no more than may be. */
void live_log_check(const struct dispatch *d);

/* -- finish.c */
void finish_perform(struct dispatch *d, const struct core_action *a);
void finish_flush(struct dispatch *d);
/* An end that the store made itself (cancelled, expired in the backlog). */
void finish_outside(struct dispatch *d, struct fh_id task, struct fh_id group, uint64_t seq);

/* -- session.c: workers come, are away, and go */
int sessions_init(struct dispatch *d) FH_MUST_USE;
void sessions_release(struct dispatch *d);
uint32_t session_number(const struct dispatch *d, const struct session *s);
/* A HELLO: opens a session, or resumes that of the same worker. Moves what it keeps out of `hello`.
 */
void session_hello(struct door *door, uint64_t peer, struct wire_hello *hello);
/* The HELLO may take effect: its worker's session is opened or resumed; `a`: with what it brings.
 * False: it was refused. */
bool session_enter(struct door *door, uint64_t peer, struct wire_hello *hello, struct adoption *a);
/* The connection is gone; the worker may come back. */
void session_away(struct dispatch *d, struct session *s, const char *why);
/* It is gone for good: it has left `in_order`, or broken the protocol. */
void session_end(struct dispatch *d, struct session *s, bool in_order, const char *why);
/* After CORE_DO_CLOSE_SESSION. */
void session_given_up(struct dispatch *d, struct session *s);
/* What it says that it holds; `resumed`: behind the WELCOME of a session that is resumed. */
void session_held(struct dispatch *d, struct session *s, const struct wire_refs *refs,
		  uint64_t received, bool resumed);
/* The dispatcher drains: tells the local worker, when nothing more is to be sent to it. */
void sessions_drain(struct dispatch *d);
/* Ends the connections that took no message. Not while actions are performed. */
void sessions_settle(struct dispatch *d);

/* -- adopt.c: workers that were there before our start */
int expected_init(struct dispatch *d, const struct store_recovery *r,
		  int64_t *ret_hold_until_us) FH_MUST_USE;
void expected_came(struct dispatch *d, struct fh_id instance);
void expected_tick(struct dispatch *d, int64_t now_us);
/* The store remembers that this worker may hold tasks, or that it does not. */
void worker_note(struct dispatch *d, struct fh_id instance, bool present);
/* Begins to fetch what a worker holds from before our start, and takes the HELLO over;
 * session_enter() follows. False: it holds nothing of that. */
bool adopt_begin(struct door *door, uint64_t peer, struct wire_hello *own_hello);
/* Between the opening of the session and its WELCOME. CORE_NO_SESSION: there is no place for the
 * worker; what was fetched waits for others. */
void adopt_all(struct adoption *a, uint32_t session);
/* Frees one whose op is under way. */
void adopt_forget(struct store_op *op);

/* -- message.c: what workers say, and what is said to them */
void door_open(struct door *door);
void door_close(struct door *door);
/* Closes a connection for what came over it; says why on both sides. `s` may be NULL. */
void door_refuse(struct door *door, uint64_t peer, struct session *s, const char *why);
struct fh_id door_key(uint64_t peer);
void session_perform(struct dispatch *d, const struct core_action *a);
/* Whether it has this task, under this token, and has not said how it ended. */
bool session_runs(struct dispatch *d, const struct session *s, struct fh_id task,
		  struct task_token token, struct core_view *ret_view);
/* To a session without a connection nothing is sent. */
void session_send(struct dispatch *d, uint32_t session, struct wire_msg *own_msg);

/* -- cache.c */
int cache_init(struct dispatch *d) FH_MUST_USE;
void cache_release(struct dispatch *d);
/* Takes record and result over. */
struct finished *cache_put(struct dispatch *d, struct task_rec *own_task,
			   struct task_result *own_result);
struct finished *cache_get(struct dispatch *d, struct fh_id id);

/* -- feed.c: waiting for a group */
int feeds_init(struct dispatch *d) FH_MUST_USE;
void feeds_release(struct dispatch *d);
void feed_wait_begin(struct dispatch *d, struct wait *w);
void feed_wait_end(struct dispatch *d, struct wait *w);
/* Answers, parks or reads. */
void feed_wait_try(struct dispatch *d, struct wait *w);
void feed_submitted(struct dispatch *d, struct fh_id group, uint64_t count);
void feed_finished(struct dispatch *d, struct fh_id group, uint64_t seq, struct finished *f);
/* The cache drops this entry. */
void feed_forget(struct dispatch *d, struct finished *f);
void feeds_flush(struct dispatch *d);

/* -- wait.c: parked calls and watched tasks */
int waits_init(struct dispatch *d) FH_MUST_USE;
void waits_release(struct dispatch *d);
void wait_call(struct dispatch *d, struct call_wait *c);
struct wait *wait_new(struct dispatch *d, struct call *c, uint32_t wait_ms);
/* Ends the wait and answers its call. */
void wait_answer(struct dispatch *d, struct wait *w, int ret);
bool wait_watch(struct dispatch *d, struct wait *w, const struct fh_id *ids, uint32_t count);
void watch_started(struct dispatch *d, struct fh_id id);
void watch_finished(struct dispatch *d, struct fh_id id, uint64_t seq);
void waits_expire(struct dispatch *d);
/* Ends all but those that are reading, which come back here when they are done. */
void waits_close(struct dispatch *d);
void wait_abandon(struct dispatch *d, struct call *c);

/* -- ids.c: waiting for a list of tasks; read.c: one task */
void ids_wait_begin(struct dispatch *d, struct wait *w);
/* Frees its op that is under way. */
void ids_forget(struct store_op *op);
void ids_wait_try(struct dispatch *d, struct wait *w);
/* One of its tasks is final; seq 0: ask the store. */
void ids_finished(struct wait *w, uint32_t index, uint64_t seq);
void read_call(struct dispatch *d, struct call_get_task *c);
void read_wait_try(struct dispatch *d, struct wait *w);

/* -- cancel.c */
void cancel_call(struct dispatch *d, struct call_cancel *c);
void cancel_perform(struct dispatch *d, const struct core_action *a);
void cancel_ask_again(struct dispatch *d);

/* -- group.c: groups and totals */
void group_call_put(struct dispatch *d, struct call_put_group *c);
void group_call_get(struct dispatch *d, struct call_get_group *c);
void stats_call(struct dispatch *d, struct call_stats *c);
void idempotency_fill(struct dispatch *d, const struct call_idempotency *from,
		      struct store_idempotency *ret_row);

/* -- workers.c: what operators see of workers, and order them to do */
void workers_call_list(struct dispatch *d, struct call_list_workers *c);
void workers_call_order(struct dispatch *d, struct call_order_worker *c);

/* -- explain.c */
void explain_call(struct dispatch *d, struct call_explain *c);

/* -- upkeep.c */
void upkeep_init(struct dispatch *d);
void upkeep_perform(struct dispatch *d, const struct core_action *a);
void upkeep_tick(struct dispatch *d, int64_t now_us);

#endif
