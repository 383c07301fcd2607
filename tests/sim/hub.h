/* The dispatcher's side of the network: one transport for it, behind which each worker has a link
 * of its own, a pair of the real in-process transport. Peers are numbered and never reused. Shows
 * the oracle all that the dispatcher says and hears.
 *
 * In local mode the pair is all there is. Between machines there are lines (line.h) before each
 * end; links break, noticed by both sides, by one, or by none; and the network may be down in one
 * direction: then what is said comes late, or never, and no new link comes about. */
#ifndef FARHAND_SIM_HUB_H
#define FARHAND_SIM_HUB_H

#include <stdint.h>

#include "transport/transport.h"

struct world;
struct hub;

enum hub_way { HUB_UP, HUB_DOWN, HUB_WAYS }; /* to the dispatcher; from it */

struct hub *hub_new(struct world *w);
void hub_free(struct hub **h);

/* What the dispatcher takes for its transport. */
struct transport *hub_transport(struct hub *h);

/* A new link of this host (`number`: of its process); returns the worker's end, and the link's
 * number. NULL: not now. */
struct transport *hub_connect(struct hub *h, uint32_t host, uint64_t number, uint64_t *ret_peer);

/* The host sends through here, and not through its end. */
int hub_send_up(struct hub *h, uint64_t peer, struct wire_msg *own_msg) FH_MUST_USE;

/* How many ASSIGNs the dispatcher has said over it. */
uint64_t hub_assigns(const struct hub *h, uint64_t peer);

/* The host gives its end up, in the process or with it. */
void hub_leave(struct hub *h, uint64_t peer, struct transport **far);

/* The links of this host break, which the dispatcher notices first. */
void hub_break(struct hub *h, uint32_t host);

/* Nothing that is said from now on passes this way until then. */
void hub_cut(struct hub *h, uint32_t host, enum hub_way way, int64_t until_us);

/* What is due by now comes to its end. */
void hub_flow(struct hub *h);
int64_t hub_next_us(const struct hub *h);

/* The dispatcher is gone: every link breaks. Nobody is let in before `until_us`. */
void hub_break_all(struct hub *h, int64_t until_us);

/* The network works from now on, and what has broken is noticed. */
void hub_heal(struct hub *h);

#endif
