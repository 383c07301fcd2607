/* What every store does with a call, whatever is behind it. For the folder only. */
#ifndef FARHAND_STORE_OP_H
#define FARHAND_STORE_OP_H

#include "store/store.h"

/* Empties the `ret_*` members, so that store_op_release() is safe however far the call got. */
void store_op_reset(struct store_op *op);

/* All calls of one list become another list. */
void store_ops_move(struct list *from, struct list *ret_to);

/* Puts all calls of one list in front of those of another. */
void store_ops_prepend(struct list *from, struct list *to);

/* Calls `done` of each, in order; they are in no list any more. */
void store_ops_done(struct list *ops);

/* Releases what calls hold that will never be done, and forgets the calls. */
void store_ops_drop(struct list *ops);

/* Our caller's side of the contract of a submission: asserts it. */
void store_submit_check(const struct store_submit *call);

/* When the task leaves the delayed ones; 0: it is not delayed. */
int64_t store_due_ms(const struct task_rec *t);

/* How many bytes of results, functions or payloads a read that was executed holds; a claim has a
 * bound of its own. */
uint64_t store_op_bytes(struct store_op *op);

/* How many bytes a result counts against `max_bytes`, given what is wanted. */
uint64_t store_result_bytes(const struct task_result *r);

#endif
