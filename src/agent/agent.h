/* The agent: one worker host's glue. It turns what the transport, the runner and the clock say into
 * events of the worker's session (src/worker/session.h), performs the session's actions in order,
 * and owns what travels: payloads, functions, results. It decides nothing; the session does. The
 * local pool is an agent over the in-process transport.
 *
 * One thread: every call and callback happens on the loop of `base`; no callback is called from
 * inside a call of this header. */
#ifndef FARHAND_AGENT_AGENT_H
#define FARHAND_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "wire/msg.h"

struct agent;
struct event_base;
struct transport;

struct agent_config {
	struct event_base *base;
	struct transport *own_transport; /* the worker's end; the agent's from agent_new() on */
	struct fh_id instance;		 /* random, made at the worker's start */
	unsigned slots;			 /* 1..SESSION_SLOTS_MAX */
	enum wire_mode mode;
	uint32_t ahead;		  /* as in session_config */
	const char *host;	  /* its name, for people; NULL: not told */
	const char *labels;	  /* "gpu=1,site=lab", sorted by name; NULL: none */
	const char *python;	  /* executable: a path, or a name looked up on PATH */
	const char *const *paths; /* put on the children's sys.path */
	size_t path_count;
	uint32_t grace_ms;     /* between SIGTERM and SIGKILL of a killed task */
	size_t result_max;     /* bytes */
	size_t log_max;	       /* bytes kept of each of stdout and stderr */
	uint32_t recycle_jobs; /* a child is replaced after so many jobs; 0: never */

	void *ctx;
	/* A clock that never goes back, in microseconds. NULL: the machine's. */
	int64_t (*now_us)(void *ctx);
	/* One line for the log: the runner broke, works again, the dispatcher is lost. May be NULL.
	 */
	void (*log)(void *ctx, const char *line);
	/* The dispatcher has taken this worker: at the start, and after each connection that was
	 * lost. May be NULL. */
	void (*welcomed)(void *ctx);
	/* agent_drain() was called, or the dispatcher sent DRAIN, and nothing is left to do: every
	 * result is acknowledged and BYE is sent. At most once. May be NULL. */
	void (*drained)(void *ctx);
	/* The dispatcher does not take this worker, for the reason that it gives; nothing more will
	 * come of it. At most once. May be NULL. */
	void (*refused)(void *ctx, const char *why);
};

struct agent_stats {
	char runtime[8];	 /* "cp311"; empty before the first template is ready */
	bool broken;		 /* no child can be started; `broken_why` says why */
	char broken_why[256];	 /* empty unless broken */
	unsigned slots;		 /* configured */
	unsigned slots_up;	 /* with a live child */
	unsigned slots_busy;	 /* with a job in it */
	unsigned waiting;	 /* assigned, not yet in a child */
	unsigned unacknowledged; /* results that the dispatcher has not acknowledged yet */
	uint64_t finished;	 /* results produced since the start */
};

/* Starts the runner (asynchronously) and says HELLO as soon as its template answers. Everything in
 * the configuration but `own_transport` is borrowed for the call (strings are copied). On failure
 * the transport stays the caller's. FH_EINVAL, FH_ENOMEM, FH_EIO with the line in `err`. */
int agent_new(const struct agent_config *config, struct agent **ret_agent,
	      struct fh_err *err) FH_MUST_USE;

/* Kills what runs, at once, says BYE, so that it runs elsewhere soon, and frees everything, the
 * transport included (so that the other end is `lost`). Nulls the pointer; accepts a pointer to
 * NULL. */
void agent_free(struct agent **a);

/* Takes no more tasks, finishes what it has, then calls `drained`. */
void agent_drain(struct agent *a);

/* Slots whose child holds a job. */
unsigned agent_slots_busy(const struct agent *a);

/* Why no child can be started, in one line; NULL: one can. It is the agent's, until the loop runs
 * again. */
const char *agent_broken_why(const struct agent *a);

void agent_stats(const struct agent *a, struct agent_stats *ret_stats);

#endif
