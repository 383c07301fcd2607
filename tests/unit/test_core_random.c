/* The core against a tiny model of everything around it: a store that answers late but in order,
 * workers that finish, fail, vanish and lie. Seeded; core_check() after every step. The model
 * knows what must hold whatever the core decides:
 *  - first dispatch inside a lane is in order (priority, then id)
 *  - no token is issued twice; at_most_once leaves once; no attempt beyond retries + 1
 *  - one end for each task, none for what was not stored; in the end nothing is left */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/core.h"

enum { TASKS = 400, OPS = 4096, LEASES = 1024, SESSIONS = 3, LANES = 2 };

enum op_kind {
	OP_SUBMIT,
	OP_CLAIM,
	OP_UNCLAIM,
	OP_START,
	OP_RETRY,
	OP_FINAL,
	OP_EXPIRE,
	OP_CANCEL
};

struct op {
	enum op_kind kind;
	uint32_t first, count; /* tasks */
	uint32_t ref, lane;
	int64_t delay_us;
	bool release;
};

struct model_task {
	struct core_spec spec; /* as the store would give it back */
	bool stored, claimed, final, ending, dispatched;
	int64_t due_us;
	uint32_t last_attempt, failures;
	int64_t accepted_at; /* position in the order of answers */
};

struct lease {
	uint32_t task, session;
	struct task_token token;
	bool cancelled;
};

struct world {
	struct core *core;
	struct core_limits limits;
	struct core_actions out;
	int64_t now_us;
	uint64_t seed;
	struct model_task tasks[TASKS];
	uint32_t task_count;
	struct op ops[OPS];
	uint32_t op_first, op_end;
	struct lease leases[LEASES];
	uint32_t lease_count;
	bool open[SESSIONS];
	uint64_t granted[SESSIONS], received[SESSIONS];
	uint32_t slots[SESSIONS];
	int64_t answers;
	uint32_t finals;
	bool calm; /* nothing new, nobody fails */
};

static uint64_t draw(struct world *w, uint64_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 7;
	w->seed ^= w->seed << 17;
	return below ? (w->seed * UINT64_C(0x2545F4914F6CDD1D) >> 16) % below : 0;
}

static struct fh_id id_of(uint32_t n)
{
	struct fh_id id = { { [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
	return id;
}

static uint32_t number_of(struct fh_id id)
{
	return (uint32_t)id.b[14] << 8 | id.b[15];
}

static struct op *ask(struct world *w, enum op_kind kind)
{
	struct op *op = &w->ops[w->op_end++ % OPS];
	assert_true(w->op_end - w->op_first < OPS);
	*op = (struct op){ .kind = kind };
	return op;
}

/* First dispatch is in order among tasks that were accepted, and not delayed, when this one came.
 */
static void check_order(struct world *w, uint32_t n)
{
	const struct model_task *t = &w->tasks[n];
	for (uint32_t i = 0; i < w->task_count; i++) {
		const struct model_task *o = &w->tasks[i];
		if (!o->stored || o->final || o->ending || o->dispatched || i == n || o->due_us ||
		    o->spec.account != t->spec.account || t->due_us)
			continue;
		if (o->spec.priority == t->spec.priority && i < n)
			fail_msg("task %u was dispatched before %u", n, i);
	}
}

static void on_assign(struct world *w, const struct core_action *a, bool leaves)
{
	struct model_task *t = &w->tasks[number_of(a->id)];
	assert_true(t->stored && t->claimed && !t->final);
	if (!t->dispatched)
		check_order(w, number_of(a->id));
	t->dispatched = true;
	if (!leaves)
		return;
	assert_true(a->token.attempt > t->last_attempt); /* one generation: no token twice */
	if (t->spec.at_most_once)
		assert_int_equal(t->last_attempt, 0);
	t->last_attempt = a->token.attempt;
	assert_true(w->open[a->session]);
	assert_true(++w->received[a->session] <= w->granted[a->session]);
	assert_true(w->lease_count < LEASES);
	w->leases[w->lease_count++] =
		(struct lease){ number_of(a->id), a->session, a->token, false };
}

static void perform(struct world *w, const struct core_action *a)
{
	struct op *op;
	switch (a->kind) {
	case CORE_DO_CLAIM:
		op = ask(w, OP_CLAIM);
		op->lane = a->claim.account;
		op->count = a->claim.count;
		break;
	case CORE_DO_UNCLAIM:
		ask(w, OP_UNCLAIM)->first = number_of(a->id);
		break;
	case CORE_DO_PERSIST_START:
		on_assign(w, a, false);
		op = ask(w, OP_START);
		op->ref = a->ref;
		op->first = number_of(a->id);
		break;
	case CORE_DO_PERSIST_RETRY:
	case CORE_DO_PERSIST_FINAL:
		op = ask(w, a->kind == CORE_DO_PERSIST_FINAL ? OP_FINAL : OP_RETRY);
		op->ref = a->ref;
		op->first = number_of(a->id);
		op->delay_us = a->persist.delay_us;
		op->release = a->persist.release;
		w->tasks[op->first].ending = a->kind == CORE_DO_PERSIST_FINAL;
		w->tasks[op->first].spec.tally.attempt = a->persist.tally.attempt;
		w->tasks[op->first].spec.tally.failures = a->persist.tally.failures;
		w->tasks[op->first].spec.tally.losses = a->persist.tally.losses;
		assert_true(a->persist.tally.failures <= w->tasks[op->first].spec.retries + 1);
		break;
	case CORE_DO_ASSIGN:
		on_assign(w, a, true);
		break;
	case CORE_DO_SEND_CANCEL:
		for (uint32_t i = 0; i < w->lease_count; i++)
			if (w->leases[i].task == number_of(a->id) &&
			    task_token_equal(w->leases[i].token, a->token))
				w->leases[i].cancelled = true;
		break;
	case CORE_DO_CANCEL_STORED:
		ask(w, OP_CANCEL)->first = number_of(a->id);
		break;
	case CORE_DO_EXPIRE_BACKLOG:
		ask(w, OP_EXPIRE);
		break;
	case CORE_DO_CLOSE_SESSION:
		w->open[a->session] = false;
		break;
	default: /* PERSIST is asked where it is submitted; answers and acknowledgements */
		break;
	}
}

static void step(struct world *w, struct core_event ev)
{
	do {
		ev.random = draw(w, UINT64_MAX);
		core_step(w->core, &ev, w->now_us, &w->out);
		core_check(w->core);
		if (ev.kind == CORE_EV_SUBMITTED) {
			struct op *op = NULL;
			for (uint32_t i = 0; i < w->out.count; i++)
				if (w->out.list[i].kind == CORE_DO_PERSIST)
					op = ask(w, OP_SUBMIT);
				else
					perform(w, &w->out.list[i]);
			if (op) {
				op->first = number_of(ev.submitted.specs[0].id);
				op->count = ev.submitted.count;
			} else {
				w->task_count -= ev.submitted.count;
			}
		} else {
			for (uint32_t i = 0; i < w->out.count; i++)
				perform(w, &w->out.list[i]);
		}
		ev = (struct core_event){ .kind = CORE_EV_CONTINUED };
	} while (w->out.more);
}

static void submit(struct world *w)
{
	static struct core_spec specs[8];
	uint32_t count = 1 + (uint32_t)draw(w, 6);
	if (w->task_count + count > TASKS)
		return;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t n = w->task_count++;
		struct core_spec *s = &w->tasks[n].spec;
		memset(&w->tasks[n], 0, sizeof w->tasks[n]);
		*s = (struct core_spec){
			.id = id_of(n),
			.account = (uint32_t)draw(w, LANES),
			.function = (uint32_t)draw(w, 2),
			.bytes = (uint32_t)draw(w, 300),
			.priority = draw(w, 4) ? 0 : (int32_t)draw(w, 3) - 1,
			.retries = (uint32_t)draw(w, 3),
			.retry_on = RETRY_ON_ALL,
			.backoff_initial_ms = (uint32_t)draw(w, 3),
			.backoff_max_ms = 10,
			.backoff_factor_milli = 2000,
			.timeout_ms = draw(w, 4) ? 0 : 20,
			.at_most_once = draw(w, 10) == 0,
			.not_before_us = draw(w, 8) ? 0 : w->now_us + (int64_t)draw(w, 20000),
			.expires_us = draw(w, 10) ? 0 : w->now_us + (int64_t)draw(w, 50000),
		};
		w->tasks[n].due_us = s->not_before_us;
		specs[i] = *s;
	}
	step(w, (struct core_event){ .kind = CORE_EV_SUBMITTED, .submitted = { 1, specs, count } });
	for (uint32_t i = 0; i < count && w->task_count; i++)
		w->tasks[number_of(specs[i].id)].spec.ref = specs[i].ref;
}

static bool ready(const struct world *w, const struct model_task *t, uint32_t lane)
{
	return t->stored && !t->claimed && !t->final && t->spec.account == lane &&
	       t->due_us <= w->now_us;
}

/* The best unclaimed task of a lane; TASKS: none. */
static uint32_t best(const struct world *w, uint32_t lane)
{
	uint32_t found = TASKS;
	for (uint32_t i = 0; i < w->task_count; i++)
		if (ready(w, &w->tasks[i], lane) &&
		    (found == TASKS || w->tasks[i].spec.priority > w->tasks[found].spec.priority))
			found = i;
	return found;
}

static int64_t next_due(const struct world *w)
{
	int64_t due = 0;
	for (uint32_t i = 0; i < w->task_count; i++) {
		const struct model_task *t = &w->tasks[i];
		if (t->stored && !t->claimed && !t->final && t->due_us > w->now_us &&
		    (!due || t->due_us < due))
			due = t->due_us;
	}
	return due;
}

static void store_claim(struct world *w, const struct op *op)
{
	static struct core_spec specs[TASKS];
	struct core_event ev = { .kind = CORE_EV_CLAIMED };
	ev.claimed.account = op->lane;
	ev.claimed.specs = specs;
	for (uint32_t n; ev.claimed.count < op->count && (n = best(w, op->lane)) < TASKS;) {
		w->tasks[n].claimed = true;
		specs[ev.claimed.count++] = w->tasks[n].spec;
	}
	uint32_t more = best(w, op->lane);
	ev.claimed.more = more < TASKS;
	ev.claimed.more_priority = more < TASKS ? w->tasks[more].spec.priority : 0;
	ev.claimed.next_due_us = next_due(w);
	step(w, ev);
}

static void store_submit(struct world *w, const struct op *op)
{
	static struct core_spec specs[8];
	bool ok = w->calm || draw(w, 20) > 0;
	for (uint32_t i = 0; i < op->count; i++) {
		struct model_task *t = &w->tasks[op->first + i];
		specs[i] = t->spec;
		t->stored = ok;
		t->final = !ok;
		w->finals += !ok;
		t->claimed = t->spec.ref != CORE_NO_REF;
	}
	step(w,
	     (struct core_event){ .kind = CORE_EV_STORED, .stored = { 1, specs, op->count, ok } });
}

static void end(struct world *w, uint32_t n)
{
	assert_true(w->tasks[n].stored && !w->tasks[n].final);
	w->tasks[n].final = true;
	w->tasks[n].claimed = false;
	w->finals++;
}

static void store_drop(struct world *w, const struct op *op)
{
	static struct core_dropped dropped[TASKS];
	struct core_event ev = { .kind = CORE_EV_DROPPED, .dropped = { .tasks = dropped } };
	ev.dropped.expiry = op->kind == OP_EXPIRE;
	for (uint32_t i = 0; i < w->task_count; i++) {
		struct model_task *t = &w->tasks[i];
		if (!t->stored || t->claimed || t->final)
			continue;
		bool expired = t->spec.expires_us && t->spec.expires_us <= w->now_us;
		if (op->kind == OP_EXPIRE ? expired : i == op->first) {
			end(w, i);
			dropped[ev.dropped.count++] =
				(struct core_dropped){ t->spec.account, t->spec.class_ix,
						       t->spec.bytes };
		} else if (t->spec.expires_us && (!ev.dropped.next_expiry_us ||
						  t->spec.expires_us < ev.dropped.next_expiry_us)) {
			ev.dropped.next_expiry_us = t->spec.expires_us;
		}
	}
	step(w, ev);
}

static void complete(struct world *w)
{
	if (w->op_first == w->op_end)
		return;
	struct op op = w->ops[w->op_first++ % OPS];
	struct model_task *t = &w->tasks[op.first];
	struct core_event ev = { .ref = { op.ref } };
	switch (op.kind) {
	case OP_SUBMIT:
		store_submit(w, &op);
		return;
	case OP_CLAIM:
		store_claim(w, &op);
		return;
	case OP_UNCLAIM:
		assert_true(t->claimed && !t->spec.started_once);
		t->claimed = false;
		return;
	case OP_START:
		t->spec.started_once = true;
		ev.kind = CORE_EV_START_STORED;
		break;
	case OP_RETRY:
		t->due_us = op.release ? w->now_us + op.delay_us : t->due_us;
		t->claimed = !op.release;
		ev.kind = CORE_EV_RETRY_STORED;
		break;
	case OP_FINAL:
		end(w, op.first);
		ev.kind = CORE_EV_FINAL_STORED;
		break;
	default:
		store_drop(w, &op);
		return;
	}
	step(w, ev);
}

/* A worker says something about one of its attempts: mostly true. */
static void report(struct world *w)
{
	if (w->lease_count == 0)
		return;
	uint32_t i = (uint32_t)draw(w, w->lease_count);
	struct lease l = w->leases[i];
	struct core_event ev = { .kind = CORE_EV_FINISHED };
	ev.attempt = (struct core_ev_attempt){ .session = l.session,
					       .id = id_of(l.task),
					       .token = l.token };
	if (draw(w, 3) == 0 && !w->calm) {
		ev.kind = CORE_EV_STARTED;
		step(w, ev);
		return;
	}
	uint64_t what = w->calm ? 9 : draw(w, 10);
	ev.attempt.run_us = (int64_t)draw(w, 10) == 0 ? 5000 : 5;
	ev.attempt.state = what < 3 ? TASK_FAILED : l.cancelled ? TASK_CANCELLED : TASK_COMPLETED;
	ev.attempt.reason = what == 0	  ? REASON_WORKER_LOST
			    : what < 3	  ? REASON_EXCEPTION
			    : l.cancelled ? REASON_CANCELLED
					  : REASON_NONE;
	if (what == 3) { /* a lie, and the attempt stays */
		ev.attempt.token.attempt++;
		step(w, ev);
		return;
	}
	w->leases[i] = w->leases[--w->lease_count];
	w->granted[l.session]++;
	step(w, ev);
	step(w, (struct core_event){ .kind = CORE_EV_CREDITED,
				     .credited = { l.session, w->granted[l.session] } });
}

static void toggle_session(struct world *w, uint32_t s)
{
	w->open[s] = !w->open[s];
	if (w->open[s]) {
		w->slots[s] = 1 + (uint32_t)draw(w, 3);
		w->received[s] = 0;
		w->granted[s] = 2 * w->slots[s];
		step(w, (struct core_event){ .kind = CORE_EV_SESSION_OPENED,
					     .opened = { .session = s,
							 .slots = w->slots[s],
							 .classes = 1,
							 .immortal = draw(w, 2) == 0 } });
		step(w, (struct core_event){ .kind = CORE_EV_CREDITED,
					     .credited = { s, w->granted[s] } });
		return;
	}
	for (uint32_t i = 0; i < w->lease_count;)
		if (w->leases[i].session == s)
			w->leases[i] = w->leases[--w->lease_count];
		else
			i++;
	step(w, (struct core_event){ .kind = CORE_EV_SESSION_LOST, .session = s });
}

static void pass(struct world *w, int64_t us)
{
	w->now_us += us;
	if (core_next_us(w->core) <= w->now_us)
		step(w, (struct core_event){ .kind = CORE_EV_TICKED });
	for (uint32_t s = 0; s < SESSIONS; s++)
		if (w->open[s] && draw(w, 3))
			step(w, (struct core_event){ .kind = CORE_EV_HEARD, .session = s });
}

static void something(struct world *w)
{
	uint64_t what = draw(w, 100);
	if (what < 15)
		submit(w);
	else if (what < 50)
		complete(w);
	else if (what < 80)
		report(w);
	else if (what < 82)
		toggle_session(w, (uint32_t)draw(w, SESSIONS));
	else if (what < 86 && w->task_count)
		step(w, (struct core_event){ .kind = CORE_EV_CANCEL_ASKED,
					     .cancel = { 1, id_of((uint32_t)draw(w, w->task_count)),
							 draw(w, 2) == 0 } });
	else
		pass(w, (int64_t)draw(w, 3000));
}

static void one_history(uint64_t seed)
{
	struct world *w = calloc(1, sizeof *w);
	w->seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	w->now_us = 1000000;
	w->limits = (struct core_limits){
		.window_max = 4 + (uint32_t)draw(w, 40),
		.lane_max = 1 + (uint32_t)draw(w, 12),
		.lane_bytes_max = 100 + draw(w, 2000),
		.lanes_max = LANES,
		.sessions_max = SESSIONS,
		.functions_max = 2,
		.live_max = 30 + draw(w, 100),
		.live_bytes_max = 100000,
		.ahead_per_slot = 1 + (uint32_t)draw(w, 4),
		.alone_after = 1,
		.strikes_max = 2,
		.short_us = 1000,
		.liveness_us = 40000,
		.tick_gap_us = 10000,
		.backstop_us = 20000,
	};
	struct core_start start = { .generation = 1, .now_us = w->now_us };
	assert_int_equal(core_new(&w->limits, &start, &w->core), 0);
	for (int i = 0; i < 3000; i++)
		something(w);
	w->calm = true;
	for (uint32_t s = 0; s < SESSIONS; s++)
		if (!w->open[s])
			toggle_session(w, s);
	for (int i = 0; i < 20000 && w->finals < w->task_count; i++) {
		complete(w);
		report(w);
		pass(w, 500);
		for (uint32_t s = 0; s < SESSIONS; s++)
			if (!w->open[s])
				toggle_session(w, s);
	}
	struct core_counts counts;
	core_counts(w->core, &counts);
	if (w->finals != w->task_count || counts.live != 0 || counts.window != 0)
		fail_msg("seed %u: %u of %u tasks have ended, %u live", (unsigned)seed, w->finals,
			 w->task_count, (unsigned)counts.live);
	core_free(&w->core);
	free(w);
}

static void many_histories(void **state)
{
	(void)state;
	const char *seeds = getenv("CORE_SEEDS");
	uint64_t count = seeds ? strtoull(seeds, NULL, 10) : 150;
	for (uint64_t seed = 1; seed <= count; seed++)
		one_history(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(many_histories) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
