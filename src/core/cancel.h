/* Cancelling a task: at once if no child has begun it, by its worker if one has. */
#ifndef FARHAND_CORE_CANCEL_H
#define FARHAND_CORE_CANCEL_H

#include "core/event.h"

struct core;

void cancel_ask(struct core *c, const struct core_ev_cancel *ev);

#endif
