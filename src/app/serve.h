/* `farhand serve`: gateway, dispatcher and local pool in one process. */
#ifndef FARHAND_APP_SERVE_H
#define FARHAND_APP_SERVE_H

#include "app/options.h"

/* Runs until it is told to stop; the exit status. */
int serve_run(const struct serve_options *options);

#endif
