/* Compares what a store answered with what the model said. */
#include "store_step.h"

#include "store_fixture.h"

static void check_task(const struct task_rec *t, const struct model_task *m)
{
	assert_id_equal(t->id, m->id);
	assert_id_equal(t->group_id, m->group);
	assert_int_equal(t->state, m->state);
	assert_int_equal(t->reason, m->reason);
	assert_same_tally(&t->tally, &m->tally);
	assert_int_equal(t->started_once, m->started_once);
	assert_int_equal(t->not_before_ms, m->not_before_ms);
	assert_int_equal(t->options.priority, m->priority);
	assert_int_equal(t->options.expires_at_ms, m->expires_at_ms);
	assert_int_equal(t->payload_size, m->payload_size);
	assert_int_equal(t->result_size, m->result_size);
	assert_int_equal(t->finished_ms, m->finished_ms);
	assert_int_equal(t->finish_seq, m->finish_seq);
}

static void check_claim(const struct step *s)
{
	assert_int_equal(s->claim.ret_count, s->expected.count);
	for (unsigned i = 0; i < s->expected.count; i++) {
		assert_id_equal(s->claim.ret_tasks[i].id, s->expected.ids[i]);
		assert_int_equal(s->claim.ret_tasks[i].payload->len,
				 s->claim.ret_tasks[i].payload_size);
	}
	assert_int_equal(s->claim.ret_more, s->more);
	assert_int_equal(s->claim.ret_more_priority, s->more ? s->task.priority : 0);
	assert_int_equal(s->claim.ret_next_due_ms, s->next_ms);
}

static void check_take(const struct step *s)
{
	assert_int_equal(s->take.ret_count, s->expected.count);
	for (unsigned i = 0; i < s->expected.count; i++) {
		const struct task_rec *t = &s->take.ret_tasks[i];
		assert_id_equal(t->id, s->expected.ids[i]);
		assert_int_equal(t->payload->len, t->payload_size);
		assert_int_equal(t->account, model_lanes[s->lanes[i]].account);
		assert_string_equal(s->take.ret_class_keys[i], model_lanes[s->lanes[i]].class_key);
	}
}

static void check_list(const struct step *s)
{
	assert_int_equal(s->list.ret_count, s->expected.count);
	assert_int_equal(s->list.ret_more, s->more);
	for (unsigned i = 0; i < s->expected.count; i++)
		assert_id_equal(s->list.ret_views[i].task.id, s->expected.ids[i]);
	assert_int_equal(s->list.ret_group.total, s->counts.total);
	for (int state = 0; state < TASK_STATE_COUNT; state++)
		assert_int_equal(s->list.ret_group.counts[state], s->counts.counts[state]);
}

static void check_expire(const struct step *s)
{
	assert_int_equal(s->expire.ret_count, s->expected.count);
	for (unsigned i = 0; i < s->expected.count; i++)
		assert_id_equal(s->expire.ret_expired[i].task, s->expected.ids[i]);
	assert_int_equal(s->expire.ret_next_expiry_ms, s->next_ms);
}

static void check_cancel(const struct step *s)
{
	if (s->ret == FH_EFINAL)
		assert_int_equal(s->cancel.ret_state, s->task.state);
	if (s->ret)
		return;
	assert_int_equal(s->cancel.ret_finish_seq, s->task.finish_seq);
	assert_int_equal(s->cancel.ret_account, model_lanes[s->task.lane].account);
	assert_string_equal(s->cancel.ret_class_key, model_lanes[s->task.lane].class_key);
}

void step_check(const struct step *s)
{
	assert_int_equal(s->op.ret, s->ret);
	if (s->op.kind == STORE_CANCEL)
		check_cancel(s);
	if (s->op.kind == STORE_FINISH)
		for (unsigned i = 0; i < s->finish.count; i++)
			assert_int_equal(s->ends[i].ret, s->rets[i]);
	if (s->op.kind == STORE_RETRY)
		for (unsigned i = 0; i < s->retry.count; i++)
			assert_int_equal(s->retries[i].ret, s->rets[i]);
	if (s->op.kind == STORE_GET_TASK && s->ret != FH_ENOTFOUND)
		check_task(&s->get.ret_task, &s->task);
	if (s->op.kind == STORE_STATS)
		for (int state = 0; state < TASK_STATE_COUNT; state++)
			assert_int_equal(s->stats.ret_counts[state], s->numbers[state]);
	if (s->op.kind == STORE_PURGE)
		assert_int_equal(s->purge.ret_more, s->more);
	if (s->ret)
		return;
	if (s->op.kind == STORE_CLAIM)
		check_claim(s);
	if (s->op.kind == STORE_TAKE)
		check_take(s);
	if (s->op.kind == STORE_LIST_FINISHED)
		check_list(s);
	if (s->op.kind == STORE_EXPIRE)
		check_expire(s);
}
