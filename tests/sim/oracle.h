/* The oracle: a model of what must be true, fed at three boundaries, and ending the simulation when
 * something else shows. It knows nothing of how the system does it.
 *
 *  - clients: what was asked for, and what is told;
 *  - the store: what is durable, at the moment of the commit;
 *  - workers: which attempts were sent and begun. */
#ifndef FARHAND_SIM_ORACLE_H
#define FARHAND_SIM_ORACLE_H

#include <stddef.h>

#include "base/record.h"
#include "http/call.h"
#include "store/store.h"
#include "subject.h"

struct world;
struct oracle;

struct oracle *oracle_new(struct world *w);
void oracle_free(struct oracle **o);

/* -- clients */
struct subject *oracle_propose(struct oracle *o, struct request *r, uint32_t item, struct fh_id id,
			       struct group_model *group);
struct group_model *oracle_propose_group(struct oracle *o, struct fh_id id);
/* The try was answered: its tasks are accepted, or certainly are not. */
void oracle_accepted(struct oracle *o, const struct call_submit *c, struct request *r,
		     uint32_t try);
void oracle_refused(struct oracle *o, const struct call_submit *c);
/* A client is shown a task. `result` may be NULL. */
struct subject *oracle_told(struct oracle *o, const struct task_rec *t,
			    const struct task_result *result);
/* What it has printed, or nothing. */
void oracle_told_output(struct oracle *o, const struct subject *s, const struct task_rec *t,
			const struct task_result *r);
void oracle_told_group(struct oracle *o, const struct group_rec *g);
/* `pending` of a group's tasks are said not to be final. */
void oracle_told_pending(struct oracle *o, const struct group_model *g, uint64_t pending);
void oracle_told_stats(struct oracle *o, const struct call_stats_values *v);
/* A task is said not to be there. */
void oracle_told_unknown(struct oracle *o, struct fh_id id);

void oracle_told_of_group(struct oracle *o, struct group_model *g);

struct subject *oracle_find(const struct oracle *o, struct fh_id id);
/* One of the tasks that clients know, or NULL. */
struct subject *oracle_any_told(const struct oracle *o);
/* A task that only a cancellation ends, and that is open; or NULL. */
struct subject *oracle_any_doomed(struct oracle *o);
struct group_model *oracle_any_group(const struct oracle *o);
/* An attempt that was sent some time: false if there is none. */
bool oracle_any_token(const struct oracle *o, struct wire_ref *ret_ref, uint64_t *ret_number,
		      bool *ret_current);

/* ... that this worker has no right to, and that nobody could bring back. */
bool oracle_any_foreign(const struct oracle *o, uint64_t number, struct wire_ref *ret_ref);

/* -- the store: asked; committed together, not yet told; then everything is told */
void oracle_asked(struct oracle *o, const struct store_op *op);
void oracle_commit(struct oracle *o, struct store_op *const *ops, size_t count);
void oracle_delivered(struct oracle *o);
void oracle_start(struct oracle *o, const struct store_recovery *r);

/* -- workers, each process of a host by its number: what the dispatcher says to it, 0: to nobody;
 * what it hears of it; and a child of it begins to run */
void oracle_said(struct oracle *o, uint64_t number, uint64_t peer, const struct wire_msg *m);
void oracle_heard(struct oracle *o, uint64_t number, uint64_t peer, const struct wire_msg *m);
/* A worker was ordered to take no more tasks; or will be to take them again. */
void oracle_ordered(struct oracle *o, uint64_t number, bool drain);
/* ... and has done what follows from that. */
void oracle_answered(struct oracle *o);
/* The dispatcher has run. */
void oracle_ran(struct oracle *o);
/* The dispatcher is gone. */
void oracle_crashed(struct oracle *o);
/* A worker says how an attempt has ended. */
void oracle_reports(struct oracle *o, uint64_t number, const struct wire_ref *ref);
/* The worker has given the attempt up: its child ends it soon, and its result is never said. */
void oracle_fenced(struct oracle *o, struct fh_id task, struct task_token token);
void oracle_begun(struct oracle *o, uint64_t number, struct fh_id task, struct task_token token);

/* Reads everything back from the store and compares; nothing waits there. */
void oracle_audit(struct oracle *o);

/* All that was accepted is final, and every follower has got everything once. */
bool oracle_all_final(const struct oracle *o);
void oracle_check_end(struct oracle *o);
/* In the calm: what has expired does not stay queued for long. */
void oracle_check_prompt(const struct oracle *o);

/* After an orderly stop: what may run only once has been sent if its start is durable. */
void oracle_check_stopped(const struct oracle *o);

/* Prints what is missing. */
void oracle_describe(const struct oracle *o);
uint64_t oracle_count(const struct oracle *o);

#endif
