/* Which worker can run which task: needs (base/needs.h) as the core's classes.
 *
 * Tasks with the same needs are one class; a session's mask says which classes its worker can run.
 * A new class is matched with all workers once, a new worker with all classes once, so nothing is
 * matched when a task is handed out. */
#ifndef FARHAND_DISPATCH_FIT_H
#define FARHAND_DISPATCH_FIT_H

#include <stdint.h>

#include "base/err.h"
#include "base/needs.h"
#include "http/call.h"

struct dispatch;
struct function;
struct session;

/* What the worker has. Borrows from the session. */
struct needs_offer fit_offer(const struct session *s);

/* The classes that the worker can run. */
uint64_t fit_classes(const struct dispatch *d, const struct session *s);

/* The class of tasks with these needs, made if there is none. Not while actions are performed.
 * FH_ELIMIT: there are CORE_CLASSES_MAX. */
int fit_class(struct dispatch *d, const char *needs, uint32_t *ret_class_ix) FH_MUST_USE;

/* The same, made never: false if there is none. */
bool fit_find_class(const struct dispatch *d, const char *needs, uint32_t *ret_class_ix);

/* The class of a task that is submitted; its needs in all are written into its options. Modules
 * that every worker has are no need. FH_EUNFIT: workers are there, none of them can run it, and it
 * does not want to wait; FH_ELIMIT; FH_ENOMEM. */
int fit_task(struct dispatch *d, struct function *f, struct call_submit_item *item,
	     bool modules_anywhere, uint32_t *ret_class_ix) FH_MUST_USE;

/* Gives up what was remembered of modules. */
void fit_release(struct dispatch *d);

/* Why nobody can run tasks with these needs. */
void fit_explain(const struct dispatch *d, const char *needs, struct call_unfit *ret_unfit);

#endif
