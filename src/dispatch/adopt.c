/* Workers of the time before our start come back, and bring what they run.
 *
 * A store knows no leases: after a restart all tasks that are not final wait. But the store
 * remembers which workers may hold some. So a dispatcher that finds such workers hands nothing out
 * until they are back, or until a worker that lives must have come.
 *
 * Happy path: HELLO declares tasks under tokens of an earlier generation; the core keeps places;
 * the store gives those that nobody has claimed (STORE_TAKE); the session is opened, the core
 * adopts them, and only then WELCOME lets the worker speak: so its results find their lease.
 * Failure modes: what is not adopted is answered with STALE behind WELCOME. The worker's connection
 * may break meanwhile, and a second HELLO come first: then that session is resumed. A worker that
 * is not let in after all leaves what it has brought to others. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

enum { TAKE_MAX = 10000 }; /* of one call of the store */

/* Beyond the time after which a silent worker is given up, for one that is about to dial again. */
static const int64_t dial_us = 2000000;

struct adoption {
	struct store_take op;
	struct door *door;
	uint64_t peer;
	struct wire_hello hello;
	struct fh_id *ids;
	uint32_t promised;
	uint32_t declared; /* up to there its list is done with */
};

/* ---- who is remembered ---- */

/* One that could not be noted is not waited for after a restart: then its tasks run again. */
static void noted(struct store_op *op)
{
	struct dispatch *d = op->owner;
	dispatch_op_done(op);
	if (op->ret)
		dispatch_log(d, "a worker could not be remembered: %s", fh_error_text(op->ret));
	fh_free(op);
}

void worker_note(struct dispatch *d, struct fh_id instance, bool present)
{
	struct store_note_worker *n = dispatch_alloc(1, sizeof *n);
	n->instance = instance;
	n->present = present;
	n->op.owner = d;
	dispatch_op(d, &n->op, STORE_NOTE_WORKER, noted);
}

int expected_init(struct dispatch *d, const struct store_recovery *r, int64_t *ret_hold_until_us)
{
	*ret_hold_until_us = 0;
	if (r->worker_count == 0)
		return 0;
	d->expected = fh_calloc(r->worker_count, sizeof *d->expected);
	if (!d->expected)
		return FH_ENOMEM;
	for (uint32_t i = 0; i < r->worker_count; i++)
		d->expected[d->expected_len++] = r->workers[i];
	d->expect_until_us = dispatch_now_us(d);
	if (!d->config.remote)
		return 0; /* they find no way to us: forgotten at the first tick */
	d->expect_until_us += d->config.limits.liveness_us + dial_us;
	*ret_hold_until_us = d->expect_until_us;
	if (r->worker_count == 1)
		dispatch_log(d, "1 worker was there before, and may come back with what it runs: "
				"waiting for it");
	else
		dispatch_log(d,
			     "%" PRIu32 " workers were there before, and may come back with what "
			     "they run: waiting for them",
			     r->worker_count);
	return 0;
}

void expected_came(struct dispatch *d, struct fh_id instance)
{
	struct core_event ev = { .kind = CORE_EV_HOLD_OVER };
	uint32_t i = 0;
	while (i < d->expected_len && !fh_id_equal(d->expected[i], instance))
		i++;
	if (i == d->expected_len)
		return;
	d->expected[i] = d->expected[--d->expected_len];
	if (d->expected_len == 0)
		dispatch_step(d, &ev);
}

void expected_tick(struct dispatch *d, int64_t now_us)
{
	if (d->expected_len == 0 || now_us < d->expect_until_us || d->draining)
		return;
	dispatch_log(d, "%" PRIu32 " worker%s did not come back", d->expected_len,
		     fh_plural_s(d->expected_len));
	while (d->expected_len > 0)
		worker_note(d, d->expected[--d->expected_len], false);
}

/* ---- what they bring ---- */

/* Some of those that the store gave: as many as one event takes. */
struct portion {
	struct adoption *a;
	uint32_t at, count;
	struct function *functions[CORE_HELD_MAX];
	struct core_spec specs[CORE_HELD_MAX];
	struct task_token tokens[CORE_HELD_MAX];
};

static void fill_places(struct dispatch *d, struct core_event *ev, void *arg)
{
	struct portion *p = arg;
	(void)ev;
	for (uint32_t i = 0; i < p->count; i++)
		window_put(d, p->specs[i].ref, &p->a->op.ret_tasks[p->at + i], p->functions[i]);
}

/* What the store gives is in the order of what was declared. */
static struct task_token next_token(struct adoption *a, struct fh_id task)
{
	const struct wire_refs *held = &a->hello.in_flight;
	while (!fh_id_equal(held->list[a->declared].task, task)) {
		a->declared++;
		FH_ASSERT_CMP(a->declared, <, held->count);
	}
	return held->list[a->declared].token;
}

static void adopt_portion(struct adoption *a, uint32_t session, struct portion *p)
{
	struct dispatch *d = a->door->d;
	uint32_t left = a->op.ret_count - p->at;
	p->count = left < CORE_HELD_MAX ? left : CORE_HELD_MAX;
	for (uint32_t i = 0; i < p->count; i++) {
		const struct task_rec *t = &a->op.ret_tasks[p->at + i];
		p->functions[i] = function_pin(d, t->function_id);
		p->tokens[i] = next_token(a, t->id);
		uint32_t class_ix;
		int ret = fit_class(d, a->op.ret_class_keys[p->at + i], &class_ix);
		FH_ASSERT_CMP(ret, ==, 0); /* a lane of the store is known from the start on */
		submit_spec(d, t, p->functions[i], class_ix, &p->specs[i]);
	}
	struct core_event ev = { .kind = CORE_EV_ADOPTED,
				 .adopted = { .session = session,
					      .promised = p->count,
					      .specs = p->specs,
					      .tokens = p->tokens,
					      .count = p->count } };
	dispatch_step_then(d, &ev, fill_places, p);
	for (uint32_t i = 0; i < p->count; i++)
		function_unpin(d, p->functions[i]);
	p->at += p->count;
}

/* Those that are in the window already. */
static void adopt_here(struct adoption *a, uint32_t session)
{
	const struct wire_refs *held = &a->hello.in_flight;
	for (uint32_t at = 0; at < held->count; at += CORE_HELD_MAX) {
		uint32_t left = held->count - at;
		struct core_event ev = {
			.kind = CORE_EV_ADOPTED,
			.adopted = { .session = session,
				     .refs = held->list + at,
				     .ref_count = left < CORE_HELD_MAX ? left : CORE_HELD_MAX }
		};
		dispatch_step(a->door->d, &ev);
	}
}

void adopt_all(struct adoption *a, uint32_t session)
{
	struct dispatch *d = a->door->d;
	struct core_event unused = { .kind = CORE_EV_ADOPTED,
				     .adopted = { .session = session,
						  .promised = a->promised - a->op.ret_count } };
	dispatch_step(d, &unused);
	struct portion p = { .a = a };
	while (p.at < a->op.ret_count)
		adopt_portion(a, session, &p);
	if (session != CORE_NO_SESSION)
		adopt_here(a, session);
}

static void taken(struct store_op *op)
{
	struct adoption *a = (struct adoption *)op;
	dispatch_op_done(op);
	FH_ASSERT_CMP(op->ret, ==, 0);
	if (!session_enter(a->door, a->peer, &a->hello, a))
		adopt_all(a, CORE_NO_SESSION);
	cancel_ask_again(a->door->d);
	adopt_forget(op);
}

void adopt_forget(struct store_op *op)
{
	struct adoption *a = (struct adoption *)op;
	struct wire_msg m = { .type = WIRE_HELLO, .hello = a->hello };
	wire_msg_release(&m);
	fh_free(a->ids);
	store_op_release(op);
	fh_free(a);
}

static uint32_t older(const struct dispatch *d, const struct wire_refs *held)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < held->count; i++)
		count += held->list[i].token.generation < d->totals.generation;
	return count;
}

bool adopt_begin(struct door *door, uint64_t peer, struct wire_hello *h)
{
	struct dispatch *d = door->d;
	uint32_t count = older(d, &h->in_flight);
	struct core_event ev = { .kind = CORE_EV_ADOPTION_ASKED,
				 .adoption = { .count = count < TAKE_MAX ? count : TAKE_MAX } };
	if (count == 0)
		return false;
	dispatch_step(d, &ev);
	struct adoption *a = dispatch_alloc(1, sizeof *a);
	*a = (struct adoption){ .door = door, .peer = peer, .hello = *h };
	*h = (struct wire_hello){ 0 };
	a->promised = ev.adoption.ret_count;
	a->ids = dispatch_alloc(a->promised, sizeof *a->ids);
	const struct wire_refs *held = &a->hello.in_flight;
	for (uint32_t i = 0; i < held->count && a->op.count < a->promised; i++)
		if (held->list[i].token.generation < d->totals.generation)
			a->ids[a->op.count++] = held->list[i].task;
	a->op.tasks = a->ids;
	a->op.now_ms = dispatch_wall_ms(d);
	dispatch_op(d, &a->op.op, STORE_TAKE, taken);
	return true;
}
