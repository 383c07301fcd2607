/* The inside of the oracle, for its files. */
#ifndef FARHAND_SIM_ORACLE_PRIV_H
#define FARHAND_SIM_ORACLE_PRIV_H

#include "base/map.h"
#include "oracle.h"
#include "world.h"

struct oracle {
	struct world *w;
	struct subject **subjects;
	uint32_t count, room;
	struct subject **told; /* those that clients know */
	uint32_t told_count;
	struct subject **doomed; /* durable ones, and some that have ended */
	uint32_t doomed_count;
	struct map by_id;
	struct group_model **groups;
	uint32_t group_count;
	struct group_model **told_groups;
	uint32_t told_group_count;
	uint64_t moments;
	uint32_t generation;
	uint64_t commits, delivered; /* all that was committed up to `delivered` has been told */
	uint64_t live, live_bytes, finals[TASK_STATE_COUNT], last_seq;
};

/* Short text for a task in a message. */
const char *subject_name(const struct subject *s);

/* Whether a child has begun this attempt. */
bool oracle_has_begun(const struct subject *s, uint32_t attempt);

/* Which token this is, among those that were issued for the task; or NO_TOKEN. */
enum { NO_TOKEN = TOKENS_MAX };
uint32_t subject_token(const struct subject *s, struct task_token token);

struct group_model *oracle_group(const struct oracle *o, struct fh_id id);

/* The task, which must be durable for the store to do this with it. */
struct subject *oracle_durable(struct oracle *o, struct fh_id id, const char *what);

/* -- oracle_read.c: what the store gives back, against the model. */
void oracle_read(struct oracle *o, const struct task_rec *t, const struct task_result *r,
		 bool with_result);
void oracle_read_view(struct oracle *o, const struct store_task_view *v, unsigned want);
/* All that the group has behind the cursor, in order, up to the limit. */
void oracle_listed(struct oracle *o, const struct store_list_finished *c);
/* By CLAIM or TAKE. */
void oracle_claimed(struct oracle *o, const struct task_rec *tasks, uint32_t count);
void oracle_counted(struct oracle *o, const uint64_t *counts, const uint64_t *finals,
		    uint64_t queued);

#endif
