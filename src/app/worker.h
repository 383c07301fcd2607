/* `farhand worker`: slots for a dispatcher elsewhere. */
#ifndef FARHAND_APP_WORKER_H
#define FARHAND_APP_WORKER_H

#include "app/options.h"

/* Runs until it is told to stop, or the dispatcher does not take it; the exit status. */
int worker_run(const struct worker_options *options);

#endif
