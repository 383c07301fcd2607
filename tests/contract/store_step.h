/* One random call against a store, with what the model says that it must answer. */
#ifndef FARHAND_TESTS_STORE_STEP_H
#define FARHAND_TESTS_STORE_STEP_H

#include "store_model.h"

enum { ITEMS_MAX = 5 };

/* One call, what it was given, and what it must answer. */
struct step {
	union {
		struct store_op op;
		struct store_submit submit;
		struct store_claim claim;
		struct store_take take;
		struct store_unclaim unclaim;
		struct store_finish finish;
		struct store_retry retry;
		struct store_start start;
		struct store_note_worker worker;
		struct store_cancel cancel;
		struct store_expire expire;
		struct store_purge purge;
		struct store_get_task get;
		struct store_list_finished list;
		struct store_stats stats;
	};
	struct task_rec tasks[ITEMS_MAX];
	struct store_submit_item items[ITEMS_MAX];
	struct store_finish_item ends[ITEMS_MAX];
	struct store_retry_item retries[ITEMS_MAX];
	struct task_result results[ITEMS_MAX];
	struct fh_id ids[ITEMS_MAX];
	struct group_rec group;
	struct store_idempotency key;
	char key_text[16];
	int ret, rets[ITEMS_MAX];
	struct model_ids expected;
	unsigned lanes[ITEMS_MAX]; /* of what is taken */
	struct model_task task;	   /* the one that the answer is about */
	struct model_group counts;
	bool more;
	int64_t next_ms;
	uint64_t numbers[TASK_STATE_COUNT];
};

/* Asserts that the call, which is done, answered so. */
void step_check(const struct step *s);

#endif
