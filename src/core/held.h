/* What a worker says that it holds, against what the core believes: after a new connection, with
 * each heartbeat, and after a restart of the core, when only the worker knows. */
#ifndef FARHAND_CORE_HELD_H
#define FARHAND_CORE_HELD_H

#include "core/event.h"

struct core;

void held_listed(struct core *c, const struct core_ev_held *ev);

void held_adoption_asked(struct core *c, struct core_ev_adoption_asked *ev);
void held_adopted(struct core *c, const struct core_ev_adopted *ev);

#endif
