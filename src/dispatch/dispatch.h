/* The dispatcher: the only glue between gateway calls, core, store and transport. It turns calls,
 * messages, completions and time into events of the core, and performs the core's actions in order.
 * Payloads, records, functions, waiting clients and the cache of recent results are its own; every
 * decision about a task is the core's.
 *
 * It touches no socket, clock or random source: all come through the config, so the simulator runs
 * this very code. One thread. Nothing happens outside dispatch_run() except that calls are taken
 * in. */
#ifndef FARHAND_DISPATCH_DISPATCH_H
#define FARHAND_DISPATCH_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "core/limits.h"
#include "http/call.h"
#include "store/store.h"
#include "transport/transport.h"

struct dispatch;

struct dispatch_config {
	struct core_limits limits;
	struct store *store;		       /* borrowed */
	const struct store_recovery *recovery; /* borrowed during dispatch_new() */
	/* The dispatcher's ends, borrowed; NULL: none. The worker behind `local` lives in this
	 * process and dies with it; those behind `remote` come, go and come back. */
	struct transport *local, *remote;
	uint32_t default_timeout_ms; /* for tasks without a limit of their own; 0: none */
	/* Different functions that calls may hold at once, beside those of the window; 0: 16384 */
	uint32_t call_functions_max;
	size_t cache_bytes;			  /* recent results kept in memory; 0: 16 MiB */
	uint32_t watch_max;			  /* tasks that clients wait for; 0: 1,000,000 */
	int64_t results_kept_ms, records_kept_ms; /* after the end; 0: 7 and 30 days */

	void *env;
	int64_t (*now_us)(void *env);  /* monotonic */
	int64_t (*wall_ms)(void *env); /* Unix time */
	uint64_t (*random)(void *env);
	/* There is work: call dispatch_run() soon, not from inside. May be NULL. */
	void (*wake)(void *env);
	/* Why the workers of this process can start no child, in one line; NULL: they can. Shown in
	 * the statistics. May be NULL. */
	const char *(*workers_broken)(void *env);
	/* One line for the operator; may be NULL. */
	void (*log)(void *env, const char *line);
};

/* Takes over the transports' handlers. FH_ENOMEM; FH_ELIMIT: more lanes than the limits allow. */
int dispatch_new(const struct dispatch_config *config, struct dispatch **ret_dispatch) FH_MUST_USE;

/* Calls that are parked or not begun are done with FH_ECLOSED first; those that the store had under
 * way are forgotten. The store must be closed before. Nulls the pointer; accepts a pointer to NULL.
 */
void dispatch_free(struct dispatch **d);

/* Where a gateway puts its calls. */
struct call_sink dispatch_sink(struct dispatch *d);

/* Polls store and transport, takes calls, lets time pass, answers. 0, or FH_EIO: the store failed,
 * nothing may be said any more, the process must end. */
int dispatch_run(struct dispatch *d) FH_MUST_USE;

/* When dispatch_run() is due at the latest; INT64_MAX: no need. */
int64_t dispatch_next_us(const struct dispatch *d);

/* Stop: nothing is assigned or claimed any more, new submissions are refused (FH_ECLOSED), workers
 * are told to drain. */
void dispatch_drain(struct dispatch *d);

/* Nothing runs in this process and nothing waits for the store. What runs elsewhere goes on, and
 * its workers come back with it. */
bool dispatch_idle(const struct dispatch *d);

/* The end: what is parked, not begun or comes later is answered with FH_ECLOSED. dispatch_run()
 * goes on until dispatch_settled(): it takes nothing in any more, and tells what the store has
 * still made durable. */
void dispatch_close(struct dispatch *d);

/* The store has nothing of ours under way, and no call waits to be answered. */
bool dispatch_settled(const struct dispatch *d);

/* The local worker is connected. */
bool dispatch_has_local_worker(const struct dispatch *d);

/* Tests and the simulator: checks the core and our own cross-references; aborts if they disagree.
 */
void dispatch_check(const struct dispatch *d);
uint64_t dispatch_hash(const struct dispatch *d);

#endif
