/* Which sessions have been silent too long. One list, ordered by last contact: any message moves
 * its session to the end, and only the front is ever looked at, whatever the number of sessions.
 *
 * Leases run on a clock of their own: time in which we were not running ourselves (stopped,
 * suspended, swapped out) is not counted, so that waking up does not bury every worker at once. */
#ifndef FARHAND_CORE_LIVENESS_H
#define FARHAND_CORE_LIVENESS_H

#include <stdint.h>

struct core;
struct session;

/* Before c->now_us moves on to `now_us`. */
void liveness_clock(struct core *c, int64_t now_us);

/* The session has said something. */
void liveness_heard(struct core *c, struct session *s);

/* Closes the sessions that were silent too long. */
void liveness_check(struct core *c);

/* When the check has something to say at the earliest, or a step is needed so that a pause of ours
 * can be told from an idle time; INT64_MAX: never. */
int64_t liveness_next_us(const struct core *c);

#endif
