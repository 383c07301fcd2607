/* What a store must answer, said as simply as possible: arrays and linear searches, no index, no
 * durability. The random test applies every call to a store and to this, and compares. */
#ifndef FARHAND_TESTS_STORE_MODEL_H
#define FARHAND_TESTS_STORE_MODEL_H

#include "store/store.h"

enum {
	MODEL_TASKS_MAX = 4096,
	MODEL_GROUPS_MAX = 256,
	MODEL_KEYS_MAX = 512,
	MODEL_LANES = 4,
	MODEL_WORKERS = 6,
	MODEL_IDS_MAX = 64, /* in one answer */
};

/* Its lanes, by number. */
extern const struct model_lane {
	uint32_t account;
	const char *class_key;
} model_lanes[MODEL_LANES];

struct model_task {
	struct fh_id id, group;
	unsigned lane;
	int32_t priority;
	int64_t due_ms; /* 0: ready */
	int64_t not_before_ms, expires_at_ms, finished_ms;
	enum task_state state;
	enum task_reason reason;
	struct task_tally tally;
	bool started_once, claimed;
	uint64_t payload_size, result_size, finish_seq;
	bool purged; /* the result is gone */
	bool gone;   /* the record too */
};

struct model_group {
	struct fh_id id;
	int64_t created_ms;
	uint64_t total, counts[TASK_STATE_COUNT], records;
	bool gone;
};

struct model_key {
	char key[16];
	uint8_t fingerprint;
	int64_t created_ms;
	bool gone;
};

struct model {
	struct model_task tasks[MODEL_TASKS_MAX];
	struct model_group groups[MODEL_GROUPS_MAX];
	struct model_key keys[MODEL_KEYS_MAX];
	unsigned task_count, group_count, key_count;
	bool workers[MODEL_WORKERS]; /* noted */
	uint64_t finish_seq;
};

/* Ids in an answer. */
struct model_ids {
	struct fh_id ids[MODEL_IDS_MAX];
	unsigned count;
};

struct model_task *model_task(struct model *m, struct fh_id id); /* NULL: unknown */
struct model_group *model_group(struct model *m, struct fh_id id);

/* The answers: the call's `ret`, or an item's. */
int model_key(struct model *m, const char *key, uint8_t fingerprint);
void model_put_key(struct model *m, const char *key, uint8_t fingerprint, int64_t now_ms);
void model_put_group(struct model *m, struct fh_id id, int64_t now_ms);
void model_add(struct model *m, const struct model_task *task);
void model_claim(struct model *m, unsigned lane, uint32_t max_count, uint64_t max_bytes,
		 int64_t now_ms, struct model_ids *ret_ids, struct model_task **ret_next);
void model_take(struct model *m, const struct fh_id *ids, uint32_t count, int64_t now_ms,
		struct model_ids *ret_ids);
int model_finish(struct model *m, struct fh_id id, enum task_state state, enum task_reason reason,
		 int64_t now_ms, uint64_t result_size);
int model_retry(struct model *m, const struct store_retry_item *item);
int model_cancel(struct model *m, struct fh_id id, int64_t now_ms);
void model_expire(struct model *m, int64_t now_ms, uint32_t max, struct model_ids *ret_ids,
		  int64_t *ret_next_ms);
void model_list(struct model *m, struct fh_id group, uint64_t after_seq, uint32_t limit,
		struct model_ids *ret_ids, bool *ret_more);
bool model_purge(struct model *m, int64_t results, int64_t records, int64_t keys, uint32_t max);
void model_restart(struct model *m);
int64_t model_next_due_ms(const struct model *m);
uint64_t model_count(const struct model *m, enum task_state state, uint64_t *ret_bytes);

#endif
