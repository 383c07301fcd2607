/* Which worker can run which task: needs (base/needs.h) as the core's classes.
 *
 * Tasks with the same needs are one class; a session's mask says which classes its worker can run.
 * A new class is matched with all workers once, a new worker with all classes once, so nothing is
 * matched when a task is handed out.
 *
 * There are as many classes as a core has lanes, CORE_CLASSES_MAX at most. When all are made, a new
 * one takes the place of one that is idle: no task of it is live, no claim of one under way, and
 * the submission in hand does not name it. So the limit is one of needs that are in use at one
 * time. That of tasks without needs stays for ever. */
#ifndef FARHAND_DISPATCH_FIT_H
#define FARHAND_DISPATCH_FIT_H

#include <stdint.h>

#include "base/err.h"
#include "base/needs.h"
#include "core/event.h"
#include "http/call.h"

struct dispatch;
struct function;
struct session;

/* What the worker has. Borrows from the session. */
struct needs_offer fit_offer(const struct session *s);

/* The classes that the worker can run. */
uint64_t fit_classes(const struct dispatch *d, const struct session *s);

/* The class of tasks with these needs, made if there is none. Not while actions are performed.
 * FH_ELIMIT: all are in use. */
int fit_class(struct dispatch *d, const char *needs, uint32_t *ret_class_ix) FH_MUST_USE;

/* The same, made never: false if there is none. */
bool fit_find_class(const struct dispatch *d, const char *needs, uint32_t *ret_class_ix);

/* A task that the store has ended, for the core. Its class is there: it was live. */
struct core_dropped fit_dropped(const struct dispatch *d, uint32_t account, const char *needs,
				uint64_t bytes);

/* The class of a task that is submitted, which is kept until fit_settle(); its needs in all are
 * written into its options. Modules that every worker has are no need. FH_EUNFIT: workers are
 * there, none of them can run it, and it does not want to wait; FH_ELIMIT; FH_ENOMEM. */
int fit_task(struct dispatch *d, struct function *f, struct call_submit_item *item,
	     bool modules_anywhere, uint32_t *ret_class_ix) FH_MUST_USE;

/* The core has heard of the tasks of the submission in hand, or never will. */
void fit_settle(struct dispatch *d);

/* The most classes that there may be. */
uint32_t fit_classes_max(const struct dispatch *d);

/* That the classes agree with what the sessions and the core have. For tests. */
void fit_check(const struct dispatch *d);

/* Gives up what was remembered of modules. */
void fit_release(struct dispatch *d);

/* Why nobody can run tasks with these needs. */
void fit_explain(const struct dispatch *d, const char *needs, struct call_unfit *ret_unfit);

#endif
