/* Random calls against a reference model, several in flight at a time, with restarts between them.
 * The calls are applied to the model when they are submitted, so the answers are known before. A
 * failure prints the seed; FARHAND_SEED sets it. */
#include "store_tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store_fixture.h"
#include "store_model.h"
#include "store_step.h"

enum { BATCH_MAX = 8, PAYLOADS = 10 };

struct world {
	struct fixture *f;
	struct model *m;
	struct blob *payloads[PAYLOADS]; /* of that many bytes */
	struct step steps[BATCH_MAX];
	uint64_t random;
	int64_t now_ms;
};

static uint32_t draw(struct world *w, uint32_t below)
{
	w->random ^= w->random << 13; /* xorshift64 */
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random >> 32) % below);
}

/* A known task's id most of the time, rather a recent one. */
static struct fh_id draw_task(struct world *w)
{
	unsigned count = w->m->task_count;
	if (count == 0 || draw(w, 30) == 0)
		return id_of(9);
	unsigned window = draw(w, 4) ? 40 : count;
	return w->m->tasks[count - 1 - draw(w, window < count ? window : count)].id;
}

static struct fh_id draw_group(struct world *w)
{
	if (w->m->group_count == 0 || draw(w, 3) == 0)
		return (struct fh_id){ { 0 } };
	if (draw(w, 20) == 0)
		return id_of(9);
	unsigned window = w->m->group_count < 6 ? w->m->group_count : 6;
	return w->m->groups[w->m->group_count - 1 - draw(w, window)].id;
}

static void make_task(struct world *w, struct step *s, unsigned i, struct fh_id group)
{
	unsigned lane = draw(w, MODEL_LANES), size = draw(w, PAYLOADS);
	struct task_rec *t = &s->tasks[i];
	*t = (struct task_rec){ .id = new_id(w->f),
				.function_id = id_of(1),
				.group_id = group,
				.account = model_lanes[lane].account,
				.options = TASK_OPTIONS_DEFAULT,
				.created_ms = w->now_ms,
				.payload = w->payloads[size] };
	t->options.priority = (int32_t)draw(w, 3) - 1;
	if (draw(w, 4) == 0)
		t->not_before_ms = w->now_ms - 50 + draw(w, 200);
	if (draw(w, 4) == 0)
		t->options.expires_at_ms = w->now_ms + draw(w, 300);
	s->items[i] = (struct store_submit_item){ .task = t,
						  .class_key = model_lanes[lane].class_key,
						  .claim = draw(w, 4) == 0 };
	int64_t due = t->not_before_ms > w->now_ms ? t->not_before_ms : 0;
	const struct model_task model = { .id = t->id,
					  .group = group,
					  .lane = lane,
					  .priority = t->options.priority,
					  .due_ms = due,
					  .not_before_ms = due,
					  .expires_at_ms = t->options.expires_at_ms,
					  .payload_size = size,
					  .claimed = s->items[i].claim };
	if (s->ret == 0)
		model_add(w->m, &model);
}

static void make_submit(struct world *w, struct step *s)
{
	struct fh_id group = draw_group(w);
	uint8_t fingerprint = (uint8_t)draw(w, 2);
	s->submit.op.kind = STORE_SUBMIT;
	s->submit.items = s->items;
	s->submit.count = 1 + draw(w, ITEMS_MAX);
	if (draw(w, 3) == 0) {
		(void)snprintf(s->key_text, sizeof s->key_text, "key-%u", draw(w, 200));
		s->key = (struct store_idempotency){ .key = s->key_text,
						     .fingerprint = { fingerprint },
						     .created_ms = w->now_ms,
						     .status = 201 };
		s->submit.idempotency = &s->key;
		s->ret = model_key(w->m, s->key_text, fingerprint);
	}
	if (s->ret == 0 && draw(w, 10) == 0) {
		s->group = (struct group_rec){ .id = new_id(w->f), .created_ms = w->now_ms };
		s->submit.new_group = &s->group;
		group = s->group.id;
		model_put_group(w->m, group, w->now_ms);
	}
	if (s->ret == 0 && !fh_id_is_zero(group) && !model_group(w->m, group))
		s->ret = FH_ENOTFOUND;
	for (unsigned i = 0; i < s->submit.count; i++)
		make_task(w, s, i, group);
	if (s->ret == 0 && s->submit.idempotency)
		model_put_key(w->m, s->key_text, fingerprint, w->now_ms);
}

static void make_claim(struct world *w, struct step *s)
{
	unsigned lane = draw(w, MODEL_LANES);
	s->claim = (struct store_claim){ .op.kind = STORE_CLAIM,
					 .account = model_lanes[lane].account,
					 .class_key = model_lanes[lane].class_key,
					 .max_count = draw(w, 8),
					 .max_bytes = draw(w, 40),
					 .now_ms = w->now_ms };
	struct model_task *next;
	model_claim(w->m, lane, s->claim.max_count, s->claim.max_bytes, w->now_ms, &s->expected,
		    &next);
	s->more = next != NULL;
	if (next)
		s->task = *next;
	s->next_ms = model_next_due_ms(w->m);
}

static void make_take(struct world *w, struct step *s)
{
	s->take = (struct store_take){ .op.kind = STORE_TAKE,
				       .tasks = s->ids,
				       .count = draw(w, ITEMS_MAX + 1),
				       .now_ms = w->now_ms };
	for (unsigned i = 0; i < s->take.count; i++)
		s->ids[i] = draw_task(w);
	model_take(w->m, s->ids, s->take.count, w->now_ms, &s->expected);
	for (unsigned i = 0; i < s->expected.count; i++)
		s->lanes[i] = model_task(w->m, s->expected.ids[i])->lane;
}

static void make_worker(struct world *w, struct step *s)
{
	unsigned i = draw(w, MODEL_WORKERS);
	s->worker = (struct store_note_worker){ .op.kind = STORE_NOTE_WORKER,
						.instance = id_of((uint8_t)(i + 1)),
						.present = draw(w, 2) == 0 };
	w->m->workers[i] = s->worker.present;
}

static void make_unclaim(struct world *w, struct step *s)
{
	s->unclaim = (struct store_unclaim){ .op.kind = STORE_UNCLAIM,
					     .tasks = s->ids,
					     .count = draw(w, ITEMS_MAX) };
	for (unsigned i = 0; i < s->unclaim.count; i++) {
		s->ids[i] = draw_task(w);
		struct model_task *t = model_task(w->m, s->ids[i]);
		if (t)
			t->claimed = false;
	}
}

static struct task_tally draw_tally(struct world *w)
{
	struct task_tally tally = { .attempt = draw(w, 9),
				    .failures = draw(w, 9),
				    .losses = draw(w, 9) };
	tally.strikes = draw(w, 3);
	if (tally.strikes)
		tally.struck_by = id_of((uint8_t)(1 + draw(w, 3)));
	tally.struck_by_two = tally.strikes == 2;
	return tally;
}

static void make_finish(struct world *w, struct step *s)
{
	s->finish = (struct store_finish){ .op.kind = STORE_FINISH,
					   .items = s->ends,
					   .count = 1 + draw(w, ITEMS_MAX) };
	for (unsigned i = 0; i < s->finish.count; i++) {
		bool failed = draw(w, 3) == 0;
		struct task_result *r = &s->results[i];
		*r = (struct task_result){ .state = failed ? TASK_FAILED : TASK_COMPLETED,
					   .reason = failed ? REASON_EXCEPTION : REASON_NONE,
					   .value = w->payloads[draw(w, PAYLOADS)],
					   .finished_ms = w->now_ms };
		s->ends[i] = (struct store_finish_item){ .task = draw_task(w),
							 .tally = draw_tally(w),
							 .result = r };
		s->rets[i] = model_finish(w->m, s->ends[i].task, r->state, r->reason, w->now_ms,
					  r->value->len);
		if (s->rets[i])
			continue;
		model_task(w->m, s->ends[i].task)->tally = s->ends[i].tally;
	}
}

static void make_retry(struct world *w, struct step *s)
{
	s->retry = (struct store_retry){ .op.kind = STORE_RETRY,
					 .items = s->retries,
					 .count = 1 + draw(w, ITEMS_MAX) };
	for (unsigned i = 0; i < s->retry.count; i++) {
		s->retries[i] = (struct store_retry_item){
			.task = draw_task(w),
			.tally = draw_tally(w),
			.not_before_ms = draw(w, 2) ? w->now_ms + draw(w, 100) : 0,
			.release = draw(w, 2) == 0,
		};
		s->rets[i] = model_retry(w->m, &s->retries[i]);
	}
}

static void make_start(struct world *w, struct step *s)
{
	s->start = (struct store_start){ .op.kind = STORE_START,
					 .task = draw_task(w),
					 .attempt = draw(w, 9) };
	struct model_task *t = model_task(w->m, s->start.task);
	s->ret = !t ? FH_ENOTFOUND : t->state != TASK_QUEUED ? FH_EFINAL : 0;
	if (s->ret)
		return;
	t->tally.attempt = s->start.attempt;
	t->started_once = true;
}

static void make_cancel(struct world *w, struct step *s)
{
	s->cancel = (struct store_cancel){ .op.kind = STORE_CANCEL,
					   .task = draw_task(w),
					   .now_ms = w->now_ms };
	s->ret = model_cancel(w->m, s->cancel.task, w->now_ms);
	const struct model_task *t = model_task(w->m, s->cancel.task);
	if (t)
		s->task = *t;
}

static void make_expire(struct world *w, struct step *s)
{
	s->expire = (struct store_expire){ .op.kind = STORE_EXPIRE,
					   .now_ms = w->now_ms,
					   .max = draw(w, 6) };
	model_expire(w->m, w->now_ms, s->expire.max, &s->expected, &s->next_ms);
}

static void make_purge(struct world *w, struct step *s)
{
	s->purge = (struct store_purge){ .op.kind = STORE_PURGE,
					 .now_ms = w->now_ms,
					 .results_before_ms = w->now_ms - 500,
					 .records_before_ms = w->now_ms - 900,
					 .keys_before_ms = w->now_ms - 700,
					 .max = draw(w, 20) };
	s->more = model_purge(w->m, s->purge.results_before_ms, s->purge.records_before_ms,
			      s->purge.keys_before_ms, s->purge.max);
}

static void make_get(struct world *w, struct step *s)
{
	s->get = (struct store_get_task){ .op.kind = STORE_GET_TASK,
					  .task = draw_task(w),
					  .want = draw(w, 4) };
	const struct model_task *t = model_task(w->m, s->get.task);
	s->ret = !t ? FH_ENOTFOUND : t->purged && s->get.want ? FH_EGONE : 0;
	if (t)
		s->task = *t;
}

static void make_list(struct world *w, struct step *s)
{
	s->list =
		(struct store_list_finished){ .op.kind = STORE_LIST_FINISHED,
					      .group = draw_group(w),
					      .after_seq = draw(w, (uint32_t)w->m->finish_seq + 1),
					      .limit = draw(w, 8),
					      .max_bytes = UINT64_MAX,
					      .want = STORE_WANT_RESULT };
	const struct model_group *g = model_group(w->m, s->list.group);
	s->ret = g ? 0 : FH_ENOTFOUND;
	if (!g)
		return;
	s->counts = *g;
	model_list(w->m, s->list.group, s->list.after_seq, s->list.limit, &s->expected, &s->more);
}

static void make_stats(struct world *w, struct step *s)
{
	uint64_t bytes;
	s->stats.op.kind = STORE_STATS;
	for (int state = 0; state < TASK_STATE_COUNT; state++)
		s->numbers[state] = model_count(w->m, (enum task_state)state, &bytes);
}

static void make_step(struct world *w, struct step *s)
{
	static void (*const makers[])(struct world *, struct step *) = {
		make_submit, make_submit, make_submit,	make_claim, make_claim, make_claim,
		make_finish, make_finish, make_unclaim, make_retry, make_start, make_cancel,
		make_expire, make_purge,  make_get,	make_get,   make_list,	make_stats,
		make_take,   make_take,	  make_worker,
	};
	memset(s, 0, sizeof *s);
	makers[draw(w, sizeof makers / sizeof *makers)](w, s);
}

static void run_batch(struct world *w)
{
	unsigned count = 1 + draw(w, BATCH_MAX), before = w->f->done;
	w->now_ms += draw(w, 10);
	for (unsigned i = 0; i < count; i++) {
		make_step(w, &w->steps[i]);
		fixture_submit(w->f, &w->steps[i].op);
	}
	fixture_wait(w->f, before + count);
	for (unsigned i = 0; i < count; i++) {
		step_check(&w->steps[i]);
		store_op_release(&w->steps[i].op);
	}
}

static void check_workers(const struct world *w)
{
	uint32_t count = 0;
	for (unsigned i = 0; i < MODEL_WORKERS; i++)
		if (w->m->workers[i])
			assert_id_equal(w->f->recovery.workers[count++], id_of((uint8_t)(i + 1)));
	assert_int_equal(w->f->recovery.worker_count, count);
}

static void restart(struct world *w)
{
	uint64_t bytes;
	fixture_restart(w->f);
	model_restart(w->m);
	assert_int_equal(w->f->recovery.live, model_count(w->m, TASK_QUEUED, &bytes));
	assert_int_equal(w->f->recovery.live_bytes, bytes);
	assert_int_equal(w->f->recovery.next_due_ms, model_next_due_ms(w->m));
	check_workers(w);
}

void random_calls_agree_with_a_model(void **state)
{
	static struct world w;
	const char *seed = getenv("FARHAND_SEED");
	w = (struct world){ .f = *state, .now_ms = 1000 };
	w.random = seed ? strtoull(seed, NULL, 0) : 0x5EED;
	w.m = calloc(1, sizeof *w.m);
	assert_non_null(w.m);
	for (unsigned i = 0; i < PAYLOADS; i++)
		w.payloads[i] = blob_copy("0123456789", i);
	print_message("seed %llu\n", (unsigned long long)w.random);
	for (int i = 0; i < 800; i++) {
		run_batch(&w);
		if (draw(&w, 40) == 0)
			restart(&w);
	}
	restart(&w);
	for (unsigned i = 0; i < PAYLOADS; i++)
		blob_free(&w.payloads[i]);
	free(w.m);
}
