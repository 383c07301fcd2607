/* Where workers on other machines come in: the transport, and who is let in by which key. */
#ifndef FARHAND_APP_DOORWAY_H
#define FARHAND_APP_DOORWAY_H

#include "app/allow_list.h"
#include "app/options.h"

struct event_base;

struct doorway {
	struct transport *workers; /* NULL: closed */
	bool has_lock;
	int dir_fd;
	struct allow_list list;
};

/* Listens as the options say; beyond loopback, and with --curve, workers need keys, and the data
 * folder holds them. It stays where it is until it is closed. FH_EINVAL, FH_ENOTFOUND, FH_EIO with
 * a line in `err`; FH_ENOMEM. */
int doorway_open(struct doorway *d, struct event_base *base, const struct serve_options *o,
		 struct fh_err *err) FH_MUST_USE;

/* Accepts one that was never opened. */
void doorway_close(struct doorway *d);

#endif
