/* A tap on the store: passes every call on, and shows each one to the oracle at the moment when it
 * is committed, before anybody is told. */
#ifndef FARHAND_SIM_TAP_H
#define FARHAND_SIM_TAP_H

#include <stddef.h>

#include "store/store.h"

struct world;
struct tap;

struct tap *tap_new(struct world *w, struct store_recovery *ret_recovery);
void tap_free(struct tap **t);

/* What the dispatcher takes for its store. */
struct store *tap_store(struct tap *t);

size_t tap_waiting(const struct tap *t);

/* One atomic commit of the first calls that wait. */
void tap_commit(struct tap *t, size_t max_calls);

/* The process has crashed: what waits is lost. */
void tap_restart(struct tap *t, struct store_recovery *ret_recovery);

/* Performs a call of the simulator's own at once, when nothing waits. */
void tap_ask(struct tap *t, struct store_op *op, enum store_op_kind kind);

#endif
