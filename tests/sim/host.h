/* A worker host: the real session, a model of the agent around it, and a model of the runner whose
 * children do what their tasks' scripts say, crash, hang, are slow to come back, and refuse. */
#ifndef FARHAND_SIM_HOST_H
#define FARHAND_SIM_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "wire/msg.h"

struct world;
struct host;

/* Connects when its runner is ready. */
struct host *host_new(struct world *w, uint32_t index);
/* All of it dies at once. */
void host_free(struct host **h);

/* The connection breaks; what runs goes on. */
void host_cut(struct host *h);

/* Does one piece of what is due: messages, time, children. False: nothing was due. */
bool host_run(struct host *h);

/* When something is due; INT64_MAX: never. */
int64_t host_next_us(const struct host *h);

/* It, or (`whole`) all of its machine, does nothing for a while. */
void host_hang(struct host *h, int64_t for_us, bool whole);

bool host_is_hung(const struct host *h);

/* Its owner wants it to end, when all is done. */
void host_drain(struct host *h);

/* It says something that is not so. */
void host_lie(struct host *h);
bool host_is_liar(const struct host *h);

/* What it ran has killed it, or it was refused: all of it is gone. */
bool host_is_dead(const struct host *h);

/* Whether its session has this task under this token. */
bool host_holds(const struct host *h, const struct wire_ref *ref);

/* The number of its link; 0: not connected. */
uint64_t host_peer(const struct host *h);
/* The number of its process, and the name that goes with it. */
uint64_t host_number(const struct host *h);
struct fh_id host_instance(const struct host *h);

/* Sends a message that its session knows nothing of. */
void host_transmit(struct host *h, struct wire_msg *own_msg);

/* It was told to drain, holds nothing any more, and would end now. */
bool host_has_drained(const struct host *h);

uint64_t host_hash(const struct host *h);

/* It has a session, holds nothing, has all its slots and its credit. */
bool host_is_at_rest(const struct host *h);
/* Ends the process if anything is held though nothing is to be done. */
void host_check_rest(const struct host *h);

#endif
