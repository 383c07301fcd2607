/* The inside of an agent: what it keeps beside the session, and what its files call of one another.
 */
#ifndef FARHAND_AGENT_AGENT_PRIV_H
#define FARHAND_AGENT_AGENT_PRIV_H

#include <event2/event.h>

#include "agent/agent.h"
#include "base/list.h"
#include "runner/runner.h"
#include "transport/transport.h"
#include "worker/session.h"

/* What belongs to one of the session's jobs. */
struct parcel {
	struct wire_assign assign; /* until the result is there */
	struct task_result result;
	bool retry_match;
	/* While the runner has refused the job and the session was not told yet */
	struct list refused;
	uint64_t job;
	uint32_t slot;
	int why; /* FH_E* */
};

/* What came with the event of a step and is not anybody's yet. */
struct cargo {
	struct wire_msg *message;
	struct task_result *result;
	bool retry_match;
};

struct agent {
	struct agent_config config; /* without what was only borrowed */
	struct transport *transport;
	struct runner *runner;
	struct session *session;
	struct session_actions out;
	struct parcel *parcels;		 /* by session_job_index() */
	struct wire_function *functions; /* by the session's index */
	struct list refused;		 /* parcels, in the order of their RUNs */
	struct event *work;		 /* the transport has messages, or all is done */
	struct event *timer;		 /* for the session's TICK */
	int64_t timer_us;		 /* when it fires; INT64_MAX: it is not set */
	char *host, *labels;		 /* as in the configuration */
	char *modules;			 /* that can be imported; NULL: unknown */
	char broken_why[256];
	char refusal[256]; /* why the dispatcher does not take this worker; empty: it does */
	bool refusal_told;
	bool drained_told;
};

/* An event of the session, with what came with it (NULL: nothing), and all that follows from it. */
void agent_step(struct agent *a, const struct session_event *event, struct cargo *cargo);
void agent_step_kind(struct agent *a, enum session_event_kind kind);

/* children.c: the runner of this agent. As runner_new(). */
int agent_start_runner(struct agent *a, const struct agent_config *config,
		       struct fh_err *err) FH_MUST_USE;

/* Performs the actions of the last step in order. */
void agent_perform(struct agent *a, struct cargo *cargo);

/* To the dispatcher: this worker holds nothing any more. */
void agent_say_bye(struct agent *a);

/* One line for the owner's log. */
void agent_log(struct agent *a, const char *line);

/* A result for an attempt that no child reported on. Texts that memory does not suffice for are
 * left out. */
struct task_result agent_made_result(enum task_state state, enum task_reason reason,
				     const char *type, const char *message);

void agent_parcel_release(struct parcel *p);
void agent_function_release(struct wire_function *f);

#endif
