/* The session of a worker with its dispatcher: which task runs in which slot, when the dispatcher
 * may send more, what has to be said again. Pure: event and time in, a bounded list of actions out.
 * It makes no system call, reads no clock, draws no random number, logs nothing and takes memory
 * only in session_new(), so the simulator runs this very code.
 *
 * It trusts neither side: a message that does not fit is ignored, or answered where an answer
 * helps. Only a runner that breaks its contract (src/runner/runner.h) is our own mistake, and
 * asserted.
 *
 * docs/worker.md has the picture. */
#ifndef FARHAND_WORKER_SESSION_H
#define FARHAND_WORKER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "wire/msg.h"
#include "worker/action.h"
#include "worker/event.h"

enum {
	SESSION_SLOTS_MAX = 1024,

	/* Tasks that a worker may hold unfinished, for each slot (session_config.ahead). 32 no-ops
	 * last about as long as one turn through dispatcher and store, so that a child need not
	 * wait for the next one. The turn over a network is longer, and with more in flight more of
	 * it shares a frame. A pull worker leaves others more: two full pipes. */
	SESSION_AHEAD_LOCAL = 32,
	SESSION_AHEAD_PUSH = 64,
	SESSION_AHEAD_PULL = 32,
	SESSION_AHEAD_MAX = 64,

	/* Results that may wait for their acknowledgement before credit is held back: 50 ms of
	 * 20,000 tasks a second, far more than a group commit takes. */
	SESSION_RESULTS_MIN = 1024,
	SESSION_RESULTS_PER_SLOT = 64,
	/* Their bytes, beyond which no job is begun: a function can make results faster than a disk
	 * takes them. It is what a disk of 100 MB/s writes in two thirds of a second. */
	SESSION_RESULT_BYTES = 64 << 20,

	/* Jobs that one child may hold, the running one included: the runner's limit. */
	SESSION_PIPE_MAX = 16,

	/* Functions that no unfinished task needs are kept up to these limits, the most recently
	 * used ones. */
	SESSION_FUNCTIONS_IDLE = 128,
	SESSION_FUNCTION_BYTES_IDLE = 64 << 20,

	/* Work that one child is given while another one idles. Waking a second child costs about
	 * 50 us of a core; half a millisecond of waiting is not noticed. */
	SESSION_BURST_US = 500,
	/* What a job costs a child beside the function itself. */
	SESSION_JOB_COST_US = 10,
	/* A function that was not measured here counts as this long: the limit of `ahead`. */
	SESSION_JOB_UNKNOWN_US = 1000,
	/* A longer run is counted as this long, so that one slow import is soon forgotten. */
	SESSION_JOB_LONG_US = 10000,

	/* A short task that is over sooner is not worth a STARTED. */
	SESSION_STARTED_US = 2000,
	/* A task that was said to be short and still runs after this time loses its pipe: what
	 * waits behind it moves to other children. Five times the limit of `ahead`, so that a
	 * stray context switch does not cause it. */
	SESSION_OVERDUE_US = 5000,

	/* Between an ASSIGN and its ASSIGN_ACK, so that one is said for many; and between two LOGs
	 * of a slot. A person who watches finds both soon enough. */
	SESSION_ACK_US = 100000,
	SESSION_LOG_US = 100000,
	/* Of a stream at a time. A task that prints more lags behind, and its result brings all; a
	 * thousand slots that print without end, or say all again over a new connection, take a
	 * third of a gigabyte a second at most, of a transport that drops what is too much. */
	SESSION_LOG_BYTES = 16 << 10,

	/* At most; a quarter of the silence that the dispatcher allows, if that is less. */
	SESSION_HEARTBEAT_US = 1000000,
	/* A HELLO that is not answered for so long was said to nobody: another connection. */
	SESSION_GREET_US = 5000000,
	/* Answers to heartbeats that say that an ASSIGN is on its way, while none comes: then it
	 * was lost, with those before it. The dispatcher waits for it as long. */
	SESSION_AWAITED_BEATS = 300,
	/* FUNCTION_GET and RESULT are said again after this time without an answer; RESULT twice as
	 * late each time, SESSION_RESEND_LEVELS - 1 times. Generous: a transport that loses nothing
	 * never needs it. */
	SESSION_RESEND_US = 1000000,
	SESSION_RESEND_LEVELS = 6,

	SESSION_JOBS_MAX = 1 << 20, /* a job's number holds its index, of so many values */
};

struct session;

struct session_config {
	uint32_t slots; /* 1..SESSION_SLOTS_MAX */
	uint32_t ahead; /* tasks that it asks for, for each slot; 0: SESSION_AHEAD_LOCAL */
};

/* For a worker that is elsewhere. */
static inline uint32_t session_ahead_elsewhere(enum wire_mode mode)
{
	return mode == WIRE_PULL ? SESSION_AHEAD_PULL : SESSION_AHEAD_PUSH;
}

struct session_stats {
	bool welcomed;
	bool broken;	 /* the runner cannot start children */
	bool draining;	 /* finishes what it has, then leaves */
	bool staying;	 /* takes nothing until the dispatcher says otherwise */
	char runtime[8]; /* empty: no template was ready yet */
	uint32_t slots, slots_up, slots_busy;
	uint32_t waiting;	 /* tasks that are in no child */
	uint32_t piped;		 /* in a child, running or behind the one that runs */
	uint32_t unacknowledged; /* results */
	/* Totals since the start */
	uint64_t assigned; /* ASSIGNs that were taken */
	uint64_t finished; /* results */
	uint64_t refused;  /* ASSIGNs beyond credit */
	uint64_t returned; /* jobs that left a child without having begun */
	uint64_t resent;   /* results that were said again */
	uint64_t ignored;  /* messages that did not fit */
	uint64_t fenced;   /* times that it ended all it ran, because nobody was heard */
};

/* FH_EINVAL: no slots or more than SESSION_SLOTS_MAX; FH_ENOMEM. */
int session_new(const struct session_config *config, struct session **ret_session) FH_MUST_USE;
void session_free(struct session **s);

/* One step. A `now_us` that goes back counts as the last one. `out` is cleared first. */
void session_step(struct session *s, const struct session_event *event, int64_t now_us,
		  struct session_actions *out);

/* When to step with TICKED at the latest; INT64_MAX: no need. Too early is harmless. */
int64_t session_next_us(const struct session *s);

/* It was told to drain, and holds nothing any more. */
bool session_is_drained(const struct session *s);

/* How many indices jobs and functions may have: the sizes of the arrays beside the session. */
uint32_t session_job_count_max(const struct session *s);
uint32_t session_function_count_max(const struct session *s);

static inline uint32_t session_job_index(uint64_t job)
{
	return (uint32_t)(job & (SESSION_JOBS_MAX - 1));
}

/* Writes at most `max` of the tasks that the session holds (waiting, in a child, or with a result
 * that is not acknowledged) and returns how many there are. Those that are only being ended,
 * because nobody waits for them, do not count. */
uint32_t session_in_flight(const struct session *s, struct wire_ref *ret_refs, uint32_t max);

/* The number of the last ASSIGN since the last WELCOME, or 0. */
uint64_t session_received(const struct session *s);

void session_stats(const struct session *s, struct session_stats *ret_stats);

/* Walks every cross-reference and recounts; aborts with the first that does not agree. For tests
 * and the simulator, after each step. */
void session_check(const struct session *s);

/* A hash over the whole state that decides anything; equal histories give equal hashes. */
uint64_t session_hash(const struct session *s);

#endif
