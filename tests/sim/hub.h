/* The dispatcher's side of the network: one transport for it, behind which each worker has a link
 * of its own, a pair of the real in-process transport. Links come and go; peers are numbered and
 * never reused. Shows the oracle every ASSIGN that leaves. */
#ifndef FARHAND_SIM_HUB_H
#define FARHAND_SIM_HUB_H

#include <stdint.h>

#include "transport/transport.h"

struct world;
struct hub;

struct hub *hub_new(struct world *w);
void hub_free(struct hub **h);

/* What the dispatcher takes for its transport. */
struct transport *hub_transport(struct hub *h);

/* A new link; returns the worker's end, which the worker frees, and its number. NULL: there are too
 * many that the dispatcher has not noticed to be gone. */
struct transport *hub_connect(struct hub *h, uint64_t *ret_peer);

/* Whether the link still stands at the dispatcher's side. */
bool hub_has(const struct hub *h, uint64_t peer);

/* The dispatcher is gone: every link breaks. */
void hub_break_all(struct hub *h);

#endif
