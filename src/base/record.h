/* The records that travel between the folders: a function, a task, a group, as they are stored and
 * shown. Times are Unix milliseconds of the wall clock (0: not set) unless a name says otherwise.
 * Strings and blobs in a record belong to it; `_release` gives all of them up and is safe on a
 * zeroed record. */
#ifndef FARHAND_BASE_RECORD_H
#define FARHAND_BASE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/id.h"

/* Numbers of states and reasons stand in databases and on the wire: append only. */
#define TASK_STATES(X)  \
	X(QUEUED, 0)    \
	X(RUNNING, 1)   \
	X(COMPLETED, 2) \
	X(FAILED, 3)    \
	X(CANCELLED, 4)

#define TASK_REASONS(X)                            \
	X(NONE, 0, NULL)                           \
	X(EXCEPTION, 1, "exception")               \
	X(TIMEOUT, 2, "timeout")                   \
	X(MEMORY, 3, "memory")                     \
	X(CRASH, 4, "crash")                       \
	X(WORKER_LOST, 5, "worker_lost")           \
	X(UNDECODABLE, 6, "undecodable")           \
	X(UNSERIALISABLE, 7, "unserialisable")     \
	X(RESULT_TOO_LARGE, 8, "result_too_large") \
	X(POISON, 9, "poison")                     \
	X(EXPIRED, 10, "expired")                  \
	X(DEPENDENCY, 11, "dependency")            \
	X(NO_SUCH_RUNTIME, 12, "no_such_runtime")  \
	X(CANCELLED, 13, "cancelled")

enum task_state {
#define X(name, number) TASK_##name = number,
	TASK_STATES(X)
#undef X
		TASK_STATE_COUNT,
};

enum task_reason {
#define X(name, number, text) REASON_##name = number,
	TASK_REASONS(X)
#undef X
		REASON_COUNT,
};

static inline bool task_state_is_final(enum task_state s)
{
	return s >= TASK_COMPLETED;
}

const char *task_state_name(enum task_state s);	  /* "QUEUED" */
const char *task_reason_name(enum task_reason r); /* "exception"; NULL for REASON_NONE */

/* What may be retried: a mask. RETRY_ON_CLASS: the runner matches class names itself and says so.
 */
enum retry_on {
	RETRY_ON_EXCEPTION = 1,
	RETRY_ON_TIMEOUT = 2,
	RETRY_ON_MEMORY = 4,
	RETRY_ON_CRASH = 8,
	RETRY_ON_CLASS = 16,
	RETRY_ON_ALL = 15, /* the default */
};

/* Options of which 0 may be said as well as not said, and then a function's own default counts. */
enum task_option {
	TASK_OPTION_PRIORITY = 1,
	TASK_OPTION_RETRIES = 2,
};

enum { TASK_NEEDS_MAX = 255 };

/* What a submitter asks for beside function and payload. */
struct task_options {
	uint32_t said;		       /* mask of enum task_option; of a submission, not stored */
	int32_t priority;	       /* -100..100, larger first */
	uint32_t retries;	       /* failed attempts that are forgiven; default 0 */
	uint32_t retry_on;	       /* mask of enum retry_on; default RETRY_ON_ALL */
	char *retry_classes;	       /* comma-separated qualified class names, or NULL */
	uint32_t backoff_initial_ms;   /* default 1000 */
	uint32_t backoff_max_ms;       /* default 60000 */
	uint32_t backoff_factor_milli; /* default 2000: twice as long each time */
	uint32_t timeout_ms;	       /* execution limit; 0: none */
	uint64_t mem_bytes;	       /* memory limit of the child; 0: none */
	int64_t not_before_ms;	       /* 0: at once */
	int64_t expires_at_ms;	       /* not started by then: FAILED(expired); 0: never */
	bool at_most_once;
	char *needs; /* of a worker, as in base/needs.h, at most TASK_NEEDS_MAX bytes; NULL: nothing
		      */
	char *tags;  /* JSON object text, or NULL */
};

#define TASK_OPTIONS_DEFAULT                                                                   \
	{                                                                                      \
		.retry_on = RETRY_ON_ALL, .backoff_initial_ms = 1000, .backoff_max_ms = 60000, \
		.backoff_factor_milli = 2000                                                   \
	}

/* Serialisers, as the API names them; the number is stored. */
enum serializer {
	SERIALIZER_PICKLE = 0,
	SERIALIZER_DILL = 1,
	SERIALIZER_CLOUDPICKLE = 2,
	SERIALIZER_COUNT,
};
const char *serializer_name(enum serializer s);

struct function_rec {
	struct fh_id id;
	uint8_t digest[32]; /* SHA-256 over name, serializer, payload, needs: makes it idempotent */
	char *name;
	enum serializer serializer;
	char *description;    /* or NULL */
	struct blob *payload; /* the pickled callable; NULL where it was not asked for */
	char *modules;	      /* of the payload, see pickle_modules(); not stored: they are computed
				 where the payload is read. NULL: none, or not computed */
	uint64_t payload_size;
	struct task_options defaults;
	int64_t created_ms;
};

/* What has become of a task's attempts so far. Recorded whole whenever an attempt is over, so a
 * counter more is a line here and a column in the store. */
struct task_tally {
	uint32_t attempt;  /* attempts that were recorded, the current one included once final */
	uint32_t failures; /* failed attempts that counted against `retries` */
	uint32_t losses;   /* attempts whose worker was lost */
	uint32_t strikes;  /* losses that it took while it ran alone on its worker */
	struct fh_id struck_by; /* the worker of its last strike, by its instance; zero: none */
	bool struck_by_two;	/* the strikes came from two workers or more */
};

struct task_rec {
	struct fh_id id;
	struct fh_id function_id;
	struct fh_id group_id; /* zero: none */
	char *function_name;   /* filled on reading; may be NULL */
	uint32_t account;      /* 0 until there are accounts */
	struct task_options options;
	enum task_state state; /* a store knows QUEUED and final states, never RUNNING */
	enum task_reason reason;
	struct task_tally tally;
	bool started_once; /* at_most_once: an ASSIGN may have left */
	int64_t created_ms, not_before_ms /* of the next attempt */, started_ms, finished_ms;
	uint64_t finish_seq; /* position in the order of finishing; 0: not final */
	uint64_t payload_size, result_size;
	struct blob *payload; /* pickled ((args...), {kwargs}); NULL where not asked for */
};

/* How an attempt ended: what a runner reports, what a store keeps, what a client reads. */
struct task_result {
	enum task_state state; /* final */
	enum task_reason reason;
	struct blob *value; /* the pickled value, or the pickled exception; NULL: none */
	char *error_type;   /* "builtins.ValueError"; NULL on success */
	char *error_message;
	char *traceback;	/* formatted; may be NULL */
	struct blob *out, *err; /* captured stdout and stderr, bounded; NULL: empty */
	bool out_cut, err_cut;	/* the bound was reached */
	int64_t started_ms, finished_ms;
	uint32_t deserialize_us, run_us, serialize_us;
	char runtime[8]; /* "cp311"; empty: none ran */
};

struct group_rec {
	struct fh_id id;
	char *name; /* or NULL */
	char *tags; /* JSON object text, or NULL */
	uint32_t account;
	int64_t created_ms;
	uint64_t total;
	uint64_t counts[TASK_STATE_COUNT]; /* RUNNING stays 0 in a store */
};

void task_options_release(struct task_options *o);
/* A deep copy; FH_ENOMEM. */
int task_options_copy(struct task_options *ret_copy, const struct task_options *o) FH_MUST_USE;
void function_rec_release(struct function_rec *f);
void task_rec_release(struct task_rec *t);
void task_result_release(struct task_result *r);
void group_rec_release(struct group_rec *g);

#endif
