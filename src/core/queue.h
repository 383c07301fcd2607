/* The waiting tasks of one lane: a list for each priority, oldest id first, and a bitmap of the
 * lists that are not empty, so that the best and the worst task are found in O(1). A task that
 * comes back (a lost attempt, a retry) gets its old place; it is searched from both ends at once,
 * which is short because what comes back is old and what is new is young. */
#ifndef FARHAND_CORE_QUEUE_H
#define FARHAND_CORE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "core/task.h"

enum {
	PRIORITY_MIN = -100,
	PRIORITY_MAX = 100,
	QUEUE_PRIORITIES = PRIORITY_MAX - PRIORITY_MIN + 1,
	QUEUE_WORDS = (QUEUE_PRIORITIES + 63) / 64,
};

struct queue {
	struct list pinned; /* first of all; never the worst: see queue_insert() */
	struct list by_priority[QUEUE_PRIORITIES];
	uint64_t filled[QUEUE_WORDS];
	uint32_t count;
	uint64_t bytes; /* of payload */
};

void queue_init(struct queue *q);

/* A task whose start is recorded (`started_once`) but whose ASSIGN never left must not go back to
 * the store, which would take it for one that has run: it is pinned. */
void queue_insert(struct queue *q, struct task *t);
void queue_remove(struct queue *q, struct task *t);

/* The next one to dispatch, or NULL. */
struct task *queue_head(const struct queue *q);

/* The last one to dispatch that may leave the window, or NULL. */
struct task *queue_worst(const struct queue *q);

#endif
