/* Where a dispatcher listens and a worker dials: "tcp://HOST:PORT" or "HOST:PORT", where an IPv6
 * address stands in brackets. */
#ifndef FARHAND_TRANSPORT_ENDPOINT_H
#define FARHAND_TRANSPORT_ENDPOINT_H

#include <stdbool.h>

#include "base/err.h"

struct endpoint {
	char url[300];	  /* "tcp://HOST:PORT", as it was given */
	char numeric[80]; /* "tcp://ADDRESS:PORT", of the first address */
	bool ipv6;	  /* the first address is */
	bool loopback;	  /* all addresses of the host are */
};

/* Asks the resolver, so it may take a while. FH_EINVAL with a line that says what would be right;
 * FH_ENOTFOUND: there is no such host. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct fh_err *err) FH_MUST_USE;

#endif
