/* The doors of the window: submissions and claims; and the count of all that is accepted and not
 * final, wherever it is. */
#ifndef FARHAND_CORE_ADMIT_H
#define FARHAND_CORE_ADMIT_H

#include <stdint.h>

#include "core/event.h"

struct core;

void admit_submitted(struct core *c, const struct core_ev_submitted *ev);
void admit_stored(struct core *c, const struct core_ev_stored *ev);
void admit_claimed(struct core *c, const struct core_ev_claimed *ev);
void admit_dropped(struct core *c, const struct core_ev_dropped *ev);

/* So many tasks with so many bytes of payload are final now. */
void admit_ended(struct core *c, uint64_t count, uint64_t bytes);

#endif
