/* The inside of a worker's session: its jobs, slots and functions, and what its files call of one
 * another. A job is a task under one token, as this worker knows it. */
#ifndef FARHAND_WORKER_SESSION_PRIV_H
#define FARHAND_WORKER_SESSION_PRIV_H

#include "base/list.h"
#include "base/map.h"
#include "worker/session.h"

/* Where a job is. Each place has one list; session_job_move() alone changes it. */
enum job_place {
	JOB_FREE,   /* in the list of unused indices */
	JOB_FETCH,  /* in its function's list: the function is on its way */
	JOB_QUEUED, /* in the session's queue, oldest first */
	JOB_PIPED,  /* in its slot's pipe, in the order in which the child runs them */
	JOB_DONE,   /* in one of the resend lists: its result is not acknowledged */
	JOB_PLACES,
};

struct session_job {
	struct list link;
	struct wire_ref ref;
	uint64_t number;   /* (serial, index): the runner's name for it; serials follow arrival */
	int64_t begun_us;  /* PIPED: when the child said that it began; 0: it did not */
	int64_t resend_us; /* DONE: when to say the result again */
	uint64_t bytes;	   /* DONE: of the result that is kept */
	struct session_function *function; /* FETCH, QUEUED, PIPED */
	struct session_slot *slot;	   /* PIPED */
	uint64_t printed[2];		   /* PIPED: bytes of stdout and stderr so far */
	uint64_t logged[2];		   /* of those, said to this dispatcher */
	uint32_t hash_next;		   /* index + 1; 0: the last one of its bucket */
	uint32_t timeout_ms;		   /* 0: none */
	enum job_place place;
	enum task_state state;	 /* DONE */
	enum task_reason reason; /* DONE */
	enum task_reason kill;	 /* PIPED: the reason of the KILL that is out; NONE: none is */
	uint8_t resend_level;	 /* DONE: the list, and how often it was said again */
	bool ahead;
	bool reported; /* STARTED was said */
	bool kept;     /* DONE: a result is kept */
	bool unwanted; /* nobody waits for its result any more */
};

struct session_slot {
	struct list link;	  /* in `idle`, in `open`, or in none */
	struct list pipe;	  /* its jobs; the child runs the first one */
	struct session_job *head; /* the first one, or NULL */
	int64_t head_us;	  /* since when */
	int64_t check_us;	  /* when the head needs a look; INT64_MAX: never */
	int64_t log_us;		  /* no LOG before */
	uint32_t index;
	uint32_t len;	  /* busy mark: how many jobs the slot holds */
	uint32_t fill_to; /* while it is being filled: until it holds so many */
	uint32_t deep;	  /* so many are enough when no other slot idles */
	uint32_t kills;	  /* jobs that a KILL is out for */
	bool up;	  /* it has a live child */
	bool overdue;	  /* the head is not short after all */
	bool stealing;	  /* what waits behind the head is on its way back */
	bool choked;	  /* the child's socket is full until a job finishes */
};

enum function_place {
	FUNCTION_FREE,
	FUNCTION_ASKED,	  /* in `asked`: FUNCTION_GET was said */
	FUNCTION_USED,	  /* in no list: it is here and jobs need it */
	FUNCTION_IDLE,	  /* in `functions_idle`: it is here, no job needs it */
	FUNCTION_MISSING, /* in `missing`: the dispatcher does not have it, its jobs fail */
};

struct session_function {
	struct list link;
	struct list fetch; /* ASKED, MISSING: the jobs that wait for it */
	struct fh_id id;
	int64_t resend_us; /* ASKED: when to ask again */
	uint64_t bytes;
	uint32_t index;
	uint32_t jobs;	  /* unfinished ones that need it */
	uint32_t cost_us; /* an estimate of one run; 0: never measured */
	enum function_place place;
};

enum session_link {
	LINK_DOWN,     /* no dispatcher */
	LINK_UP,       /* connected; HELLO waits for the runtime's name */
	LINK_GREETED,  /* HELLO was said */
	LINK_WELCOMED, /* tasks may come */
	LINK_LEFT,     /* BYE was said, or came as a refusal */
};

struct session {
	enum session_link link;
	int64_t now_us;
	int64_t next_us;	     /* no timer is due before; may be too early */
	struct session_actions *out; /* of the step that runs */

	/* Contact with the dispatcher (contact.c). `heard_us` is of a clock that stands still while
	 * we do: now_us - paused_us. */
	int64_t paused_us, heard_us;
	int64_t silence_us;   /* WELCOMED: so much of it fences; 0: none does */
	int64_t beat_us;      /* between two heartbeats; a longer gap between steps was a pause */
	int64_t heartbeat_us; /* WELCOMED: when the next one is due */
	bool dropping;	      /* what is in no child goes: the dispatcher assigns it anew */
	bool fencing;	      /* what is in children goes, too */

	/* Jobs (job.c) */
	uint32_t job_max, window; /* indices; unfinished jobs */
	uint32_t job_fresh;	  /* indices from here on were never used */
	uint64_t serial;
	struct session_job *jobs;
	uint32_t *buckets; /* index + 1 of the first job of each; 0: none */
	uint32_t bucket_mask;
	struct list jobs_free;
	struct list queue;
	struct list resend[SESSION_RESEND_LEVELS]; /* each in the order of its times */
	uint32_t count[JOB_PLACES];		   /* without JOB_FREE */
	uint64_t result_bytes;			   /* of all that are DONE */

	/* Credit, of this session with the dispatcher */
	uint64_t received, granted; /* the number of the last ASSIGN; how many may come in all */
	uint64_t acked;		    /* ASSIGNs that ASSIGN_ACK was said for */
	int64_t ack_us;		    /* when the next one is due; INT64_MAX: none is */
	uint64_t awaited;	    /* `received` when one was found to be on its way */
	uint32_t awaited_beats;	    /* answers since then that said so, and nothing came */

	/* Slots (slot.c) */
	struct session_slot *slots;
	struct session_slot *filling; /* short jobs go there next; NULL: choose anew */
	struct list idle;	      /* up and empty; the most recently used one first */
	struct list open;	      /* run short jobs and may take more */

	/* Functions (function.c) */
	uint32_t function_max;
	struct session_function *functions;
	struct map function_by_id;
	struct list functions_free, asked, missing;
	struct list functions_idle; /* the least recently used one first */
	uint32_t idle_count;
	uint64_t idle_bytes;

	struct session_stats stats; /* kept up to date, but for what follows from the above */
};

/* ---- session.c ---- */

/* One more action of this step, zeroed but for its kind. */
struct session_action *session_emit(struct session *s, enum session_action_kind kind);

/* Whether a loop over things that wait may go on in this step; false asks for another step. */
bool session_room(struct session *s);

/* Makes sure that TICKED comes by then. */
void session_wake_by(struct session *s, int64_t at_us);

/* ---- contact.c ---- */

/* Each step, before its event: was the time since the last one a pause of ours? */
void session_contact_clock(struct session *s, int64_t now_us);

void session_connected(struct session *s);
void session_disconnected(struct session *s);

/* Messages that make, change or end the session; false: they do not fit. */
bool session_welcome(struct session *s, const struct wire_welcome *m);
bool session_drain(struct session *s, const struct wire_drain *m);
bool session_bye(struct session *s, const struct wire_bye *m);

/* The owner wants it to end. */
void session_drain_by_owner(struct session *s);

/* The dispatcher's answer: how many ASSIGNs it has sent. */
void session_heartbeat(struct session *s, const struct wire_heartbeat *m);

/* Something came from the dispatcher. */
void session_heard(struct session *s);

/* An ASSIGN has come: ASSIGN_ACK is due soon. */
void session_ack_soon(struct session *s);

/* Says heartbeat and ASSIGN_ACK when they are due, and fences when nothing was heard for too long.
 */
void session_contact_tick(struct session *s);

/* Ends what a lost dispatcher has left, then says HELLO as soon as that is possible. */
void session_contact_settle(struct session *s);

/* BYE, when it is drained. */
void session_leave_if_drained(struct session *s);

/* ---- job.c ---- */

int session_jobs_init(struct session *s) FH_MUST_USE;
void session_jobs_release(struct session *s);

/* NULL: not here. */
struct session_job *session_job_find(const struct session *s, const struct wire_ref *ref);

/* The job with this number; a runner that names another one broke its contract. */
struct session_job *session_job_at(struct session *s, uint64_t number);

/* A new job; it waits for its function or in the queue. There is room: credit sees to it. */
struct session_job *session_job_add(struct session *s, const struct wire_assign *assign);

/* Changes the place; the link now stands before `before` in the list of the new one. */
void session_job_move(struct session *s, struct session_job *j, enum job_place to,
		      struct list *before);

/* Into the queue, by age; the search starts at `from`, which is not younger. */
void session_job_enqueue(struct session *s, struct session_job *j, struct list *from);

/* The attempt is over. Its result goes out and is kept until it is acknowledged: it came with the
 * event of this step and has so many `bytes`. */
void session_job_finish(struct session *s, struct session_job *j, enum task_state state,
			enum task_reason reason, uint64_t bytes);

/* The same with a result that is made of state and reason. */
void session_job_end(struct session *s, struct session_job *j, enum task_state state,
		     enum task_reason reason);

/* From any place: nothing is known of it any more. */
void session_job_forget(struct session *s, struct session_job *j);

/* Says the result of a DONE job, if somebody listens. */
void session_job_send_result(struct session *s, const struct session_job *j);

/* Says again what was not acknowledged in time; returns when the next one is due. */
int64_t session_jobs_tick(struct session *s);

/* All that is not acknowledged is due now: there is a new listener. */
void session_jobs_resend_all(struct session *s);

/* Forgets what is in no child. */
void session_jobs_drop_waiting(struct session *s);

static inline uint32_t session_jobs_unfinished(const struct session *s)
{
	return s->count[JOB_FETCH] + s->count[JOB_QUEUED] + s->count[JOB_PIPED];
}

static inline uint32_t session_jobs_held(const struct session *s)
{
	return session_jobs_unfinished(s) + s->count[JOB_DONE];
}

/* ---- slot.c ---- */

int session_slots_init(struct session *s) FH_MUST_USE;
void session_slots_release(struct session *s);

/* The runner's events. */
void session_slot_ready(struct session *s, uint32_t slot);
void session_slot_down(struct session *s, uint32_t slot);
void session_slot_finished(struct session *s, const struct session_ev_slot *ev);
void session_slot_returned(struct session *s, const struct session_ev_slot *ev);
void session_slot_refused(struct session *s, const struct session_ev_slot *ev);

/* The PIPED job that an event is about. */
struct session_job *session_slot_job(struct session *s, const struct session_ev_slot *ev);

/* Everything that follows from a slot's pipe; called after each change of it. */
void session_slot_refresh(struct session *s, struct session_slot *slot);

/* Asks for what waits behind the head. */
void session_slot_steal(struct session *s, struct session_slot *slot);

/* Asks for the end of a PIPED job, once. */
void session_slot_kill(struct session *s, struct session_job *j, enum task_reason why);

/* Asks for the end of all PIPED jobs, whose results nobody wants any more; false: there was no room
 * for all of them in this step. */
bool session_slots_abandon(struct session *s);

/* Gives queued jobs to slots, as long as there are both. */
void session_slots_fill(struct session *s);

/* ---- head.c ---- */

/* When the first job of the slot needs a look; INT64_MAX: never. */
int64_t session_head_due_us(const struct session *s, const struct session_slot *slot);

/* The runner's events about it. */
void session_slot_started(struct session *s, const struct session_ev_slot *ev);
void session_slot_printed(struct session *s, const struct session_ev_slot *ev);

/* Looks at what the children run: limits, STARTED, LOG, overdue; returns when to look again. */
int64_t session_slots_tick(struct session *s);

/* What runs is said to have STARTED once more, and what it has printed: there is a new listener. */
void session_slots_report_all(struct session *s);

/* ---- function.c ---- */

int session_functions_init(struct session *s) FH_MUST_USE;
void session_functions_release(struct session *s);

/* The function of this id, asked for if it is not here, with one more job that needs it. */
struct session_function *session_function_use(struct session *s, struct fh_id id);
void session_function_unuse(struct session *s, struct session_function *f);

/* A FUNCTION message; false: nobody waits for it. */
bool session_function_come(struct session *s, const struct wire_function *m);

/* One run was measured; 0: it was not. */
void session_function_measured(struct session_function *f, uint32_t run_us);

/* What one job of it costs a child. */
uint32_t session_function_cost_us(const struct session_function *f);

/* Fails what waits for missing functions, lets go of idle ones beyond the limits. */
void session_functions_settle(struct session *s);

/* Asks again for what did not come; returns when the next one is due. */
int64_t session_functions_tick(struct session *s);

/* All that are still wanted are due now: there is a new listener. */
void session_functions_ask_all(struct session *s);

#endif
