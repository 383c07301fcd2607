/* The reference model of a store. */
#include "store_model.h"

#include <string.h>

#include "base/assert.h"

const struct model_lane model_lanes[MODEL_LANES] = {
	{ 0, "" }, { 0, "gpu" }, { 1, "" }, { 7, "big" }
};

struct model_task *model_task(struct model *m, struct fh_id id)
{
	for (unsigned i = 0; i < m->task_count; i++)
		if (!m->tasks[i].gone && fh_id_equal(m->tasks[i].id, id))
			return &m->tasks[i];
	return NULL;
}

struct model_group *model_group(struct model *m, struct fh_id id)
{
	for (unsigned i = 0; i < m->group_count; i++)
		if (!m->groups[i].gone && fh_id_equal(m->groups[i].id, id))
			return &m->groups[i];
	return NULL;
}

int model_key(struct model *m, const char *key, uint8_t fingerprint)
{
	for (unsigned i = 0; i < m->key_count; i++)
		if (!m->keys[i].gone && strcmp(m->keys[i].key, key) == 0)
			return m->keys[i].fingerprint == fingerprint ? FH_EREPLAY : FH_ECONFLICT;
	return 0;
}

void model_put_key(struct model *m, const char *key, uint8_t fingerprint, int64_t now_ms)
{
	struct model_key *k = &m->keys[m->key_count++];
	FH_ASSERT_CMP(m->key_count, <=, MODEL_KEYS_MAX);
	*k = (struct model_key){ .fingerprint = fingerprint, .created_ms = now_ms };
	strncpy(k->key, key, sizeof k->key - 1);
}

void model_put_group(struct model *m, struct fh_id id, int64_t now_ms)
{
	m->groups[m->group_count++] = (struct model_group){ .id = id, .created_ms = now_ms };
	FH_ASSERT_CMP(m->group_count, <=, MODEL_GROUPS_MAX);
}

void model_add(struct model *m, const struct model_task *task)
{
	struct model_group *g = model_group(m, task->group);
	m->tasks[m->task_count++] = *task;
	FH_ASSERT_CMP(m->task_count, <=, MODEL_TASKS_MAX);
	if (g) {
		g->total++;
		g->records++;
		g->counts[TASK_QUEUED]++;
	}
}

static bool is_live(const struct model_task *t)
{
	return !t->gone && t->state == TASK_QUEUED;
}

static bool before(const struct model_task *a, const struct model_task *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return fh_id_compare(a->id, b->id) < 0;
}

static struct model_task *first_ready(struct model *m, unsigned lane)
{
	struct model_task *first = NULL;
	for (unsigned i = 0; i < m->task_count; i++) {
		struct model_task *t = &m->tasks[i];
		if (is_live(t) && !t->claimed && !t->due_ms && t->lane == lane &&
		    (!first || before(t, first)))
			first = t;
	}
	return first;
}

void model_claim(struct model *m, unsigned lane, uint32_t max_count, uint64_t max_bytes,
		 int64_t now_ms, struct model_ids *ret_ids, struct model_task **ret_next)
{
	uint64_t bytes = 0;
	struct model_task *t;
	for (unsigned i = 0; i < m->task_count; i++)
		if (is_live(&m->tasks[i]) && m->tasks[i].due_ms <= now_ms)
			m->tasks[i].due_ms = 0;
	ret_ids->count = 0;
	while ((t = first_ready(m, lane)) != NULL && ret_ids->count < max_count) {
		if (ret_ids->count > 0 && bytes + t->payload_size > max_bytes)
			break;
		bytes += t->payload_size;
		t->claimed = true;
		ret_ids->ids[ret_ids->count++] = t->id;
	}
	*ret_next = t;
}

static int find_live(struct model *m, struct fh_id id, struct model_task **ret_task)
{
	*ret_task = model_task(m, id);
	if (!*ret_task)
		return FH_ENOTFOUND;
	return is_live(*ret_task) ? 0 : FH_EFINAL;
}

void model_take(struct model *m, const struct fh_id *ids, uint32_t count, int64_t now_ms,
		struct model_ids *ret_ids)
{
	ret_ids->count = 0;
	for (uint32_t i = 0; i < count; i++) {
		struct model_task *t = model_task(m, ids[i]);
		if (!t || !is_live(t) || t->claimed || t->due_ms > now_ms)
			continue;
		t->due_ms = 0;
		t->claimed = true;
		ret_ids->ids[ret_ids->count++] = t->id;
	}
}

int model_finish(struct model *m, struct fh_id id, enum task_state state, enum task_reason reason,
		 int64_t now_ms, uint64_t result_size)
{
	struct model_task *t;
	int ret = find_live(m, id, &t);
	if (ret)
		return ret;
	struct model_group *g = model_group(m, t->group);
	t->state = state;
	t->reason = reason;
	t->finished_ms = now_ms;
	t->result_size = result_size;
	t->finish_seq = ++m->finish_seq;
	t->claimed = false;
	if (g) {
		g->counts[TASK_QUEUED]--;
		g->counts[state]++;
	}
	return 0;
}

int model_retry(struct model *m, const struct store_retry_item *item)
{
	struct model_task *t;
	int ret = find_live(m, item->task, &t);
	if (ret)
		return ret;
	t->tally = item->tally;
	t->not_before_ms = t->due_ms = item->not_before_ms;
	t->claimed = t->claimed && !item->release;
	return 0;
}

int model_cancel(struct model *m, struct fh_id id, int64_t now_ms)
{
	struct model_task *t;
	int ret = find_live(m, id, &t);
	if (ret)
		return ret;
	if (t->claimed)
		return FH_EBUSY;
	return model_finish(m, id, TASK_CANCELLED, REASON_CANCELLED, now_ms, 0);
}

static struct model_task *first_expiring(struct model *m)
{
	struct model_task *first = NULL;
	for (unsigned i = 0; i < m->task_count; i++) {
		struct model_task *t = &m->tasks[i];
		if (!is_live(t) || t->claimed || !t->expires_at_ms)
			continue;
		if (!first || t->expires_at_ms < first->expires_at_ms ||
		    (t->expires_at_ms == first->expires_at_ms &&
		     fh_id_compare(t->id, first->id) < 0))
			first = t;
	}
	return first;
}

void model_expire(struct model *m, int64_t now_ms, uint32_t max, struct model_ids *ret_ids,
		  int64_t *ret_next_ms)
{
	struct model_task *t;
	ret_ids->count = 0;
	while ((t = first_expiring(m)) != NULL && t->expires_at_ms <= now_ms &&
	       ret_ids->count < max) {
		ret_ids->ids[ret_ids->count++] = t->id;
		(void)model_finish(m, t->id, TASK_FAILED, REASON_EXPIRED, now_ms, 0);
	}
	*ret_next_ms = t ? t->expires_at_ms : 0;
}

/* The first in the order of finishing behind `after_seq`, of a group or of all. */
static struct model_task *next_finished(struct model *m, const struct fh_id *group,
					uint64_t after_seq)
{
	struct model_task *first = NULL;
	for (unsigned i = 0; i < m->task_count; i++) {
		struct model_task *t = &m->tasks[i];
		if (!t->gone && t->finish_seq > after_seq &&
		    (!group || fh_id_equal(t->group, *group)) &&
		    (!first || t->finish_seq < first->finish_seq))
			first = t;
	}
	return first;
}

void model_list(struct model *m, struct fh_id group, uint64_t after_seq, uint32_t limit,
		struct model_ids *ret_ids, bool *ret_more)
{
	struct model_task *t;
	ret_ids->count = 0;
	while ((t = next_finished(m, &group, after_seq)) != NULL && ret_ids->count < limit) {
		ret_ids->ids[ret_ids->count++] = t->id;
		after_seq = t->finish_seq;
	}
	*ret_more = t != NULL;
}

static struct model_task *first_unpurged(struct model *m)
{
	uint64_t seq = 0;
	struct model_task *t;
	while ((t = next_finished(m, NULL, seq)) != NULL && t->purged)
		seq = t->finish_seq;
	return t;
}

static struct model_group *empty_group(struct model *m, int64_t before_ms)
{
	for (unsigned i = 0; i < m->group_count; i++)
		if (!m->groups[i].gone && m->groups[i].records == 0 &&
		    m->groups[i].created_ms < before_ms)
			return &m->groups[i];
	return NULL;
}

static struct model_key *old_key(struct model *m, int64_t before_ms)
{
	for (unsigned i = 0; i < m->key_count; i++)
		if (!m->keys[i].gone)
			return m->keys[i].created_ms < before_ms ? &m->keys[i] : NULL;
	return NULL;
}

bool model_purge(struct model *m, int64_t results, int64_t records, int64_t keys, uint32_t max)
{
	bool more = false;
	struct model_task *t;
	struct model_group *g;
	struct model_key *k;
	for (; (t = first_unpurged(m)) != NULL && t->finished_ms < results && max > 0; max--)
		t->purged = true;
	more |= t && t->finished_ms < results;
	for (; (t = next_finished(m, NULL, 0)) != NULL && t->finished_ms < records && max > 0;
	     max--) {
		struct model_group *of = model_group(m, t->group);
		if (of)
			of->records--;
		t->gone = true;
	}
	more |= t && t->finished_ms < records;
	for (; (g = empty_group(m, records)) != NULL && max > 0; max--)
		g->gone = true;
	for (; (k = old_key(m, keys)) != NULL && max > 0; max--)
		k->gone = true;
	return more || g || k;
}

void model_restart(struct model *m)
{
	for (unsigned i = 0; i < m->task_count; i++)
		m->tasks[i].claimed = false;
}

int64_t model_next_due_ms(const struct model *m)
{
	int64_t next = 0;
	for (unsigned i = 0; i < m->task_count; i++)
		if (is_live(&m->tasks[i]) && m->tasks[i].due_ms &&
		    (!next || m->tasks[i].due_ms < next))
			next = m->tasks[i].due_ms;
	return next;
}

uint64_t model_count(const struct model *m, enum task_state state, uint64_t *ret_bytes)
{
	uint64_t count = 0;
	*ret_bytes = 0;
	for (unsigned i = 0; i < m->task_count; i++) {
		if (m->tasks[i].gone || m->tasks[i].state != state)
			continue;
		count++;
		*ret_bytes += m->tasks[i].payload_size;
	}
	return count;
}
