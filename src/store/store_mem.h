/* The memory store's second face, for the deterministic simulator: commits by hand and a crash of
 * the process that it lives in. Nothing here depends on a clock, a thread or the order of a hash
 * table: the same calls give the same answers. */
#ifndef FARHAND_STORE_STORE_MEM_H
#define FARHAND_STORE_STORE_MEM_H

#include <stddef.h>

#include "store/store.h"

/* From now on nothing is committed but by store_mem_commit(). Normally store_poll() commits
 * everything that waits. */
void store_mem_set_manual(struct store *s);

/* Calls that were submitted and are not committed. */
size_t store_mem_waiting(const struct store *s);

/* Applies the first `max_calls` waiting calls as one atomic commit; the next store_poll() calls
 * their `done`. Returns how many there were. */
size_t store_mem_commit(struct store *s, size_t max_calls);

/* The process crashes and starts again: what was not committed is lost, no call from before is ever
 * done (the memory of those calls must be valid until this returns), claims are forgotten, the
 * generation rises, what is durable stays. FH_ENOMEM: nothing has happened yet. */
int store_mem_restart(struct store *s, const struct store_config *config,
		      struct store_recovery *ret_recovery) FH_MUST_USE;

#endif
