/* The simulated clients and their gateway: they make the calls of src/http/call.h, wait, give up,
 * and after a broken connection or a full queue ask again, under the same idempotency key. */
#ifndef FARHAND_SIM_CLIENTS_H
#define FARHAND_SIM_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

struct world;
struct clients;

struct clients *clients_new(struct world *w);
void clients_free(struct clients **c);

/* Makes one call, perhaps. */
void clients_act(struct clients *c);

/* In the calm: no worker is to stay drained. */
void clients_resume_workers(struct clients *c);

/* Calls under way whose connection is broken now: the dispatcher is gone. */
void clients_broken(struct clients *c);

/* When somebody wants to ask again; INT64_MAX: nobody. */
int64_t clients_next_us(const struct clients *c);

/* Every request has its answer, every group was followed to its end, no call is under way. */
bool clients_done(const struct clients *c);

/* For the message when that does not come true. */
void clients_describe(const struct clients *c);

#endif
