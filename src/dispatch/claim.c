/* Refilling the window from the store's backlog, and giving tasks back to it.
 *
 * Happy path: CORE_DO_CLAIM -> the store's next tasks of a lane -> CLAIMED: the core gives places,
 * which are filled before its further actions are performed.
 * Failure modes: none of its own. Every claimed task has a place, promised by the core when it
 * asked for the claim, and a handle for its function, which calls leave alone (function_try_pin).
 */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

struct claim {
	struct store_claim op;
	struct dispatch *d;
	uint32_t class_ix;
	struct core_spec *specs;
	struct function **functions;
};

struct unclaim {
	struct store_unclaim op;
	struct fh_id task;
};

static void unclaim_done(struct store_op *op)
{
	struct unclaim *u = (struct unclaim *)op;
	dispatch_op_done(op);
	fh_free(u);
}

void unclaim_perform(struct dispatch *d, const struct core_action *a)
{
	FH_ASSERT(fh_id_equal(d->window[a->ref].rec.id, a->id));
	window_clear(d, a->ref);
	struct unclaim *u = dispatch_alloc(1, sizeof *u);
	u->task = a->id;
	u->op.tasks = &u->task;
	u->op.count = 1;
	dispatch_op(d, &u->op.op, STORE_UNCLAIM, unclaim_done);
}

static void fill_places(struct dispatch *d, struct core_event *ev, void *arg)
{
	struct claim *c = arg;
	(void)ev;
	for (uint32_t i = 0; i < c->op.ret_count; i++)
		window_put(d, c->specs[i].ref, &c->op.ret_tasks[i], c->functions[i]);
}

static void claimed(struct store_op *op)
{
	struct claim *c = (struct claim *)op;
	struct dispatch *d = c->d;
	uint32_t count = c->op.ret_count;
	dispatch_op_done(op);
	FH_ASSERT_CMP(op->ret, ==, 0);
	c->specs = dispatch_alloc(count, sizeof *c->specs);
	c->functions = dispatch_alloc(count, sizeof(struct function *));
	for (uint32_t i = 0; i < count; i++) {
		c->functions[i] = function_pin(d, c->op.ret_tasks[i].function_id);
		submit_spec(d, &c->op.ret_tasks[i], c->functions[i], c->class_ix, &c->specs[i]);
	}
	struct core_event ev = {
		.kind = CORE_EV_CLAIMED,
		.claimed = { c->op.account, c->class_ix, c->specs, count, c->op.ret_more,
			     c->op.ret_more_priority, dispatch_mono_us(d, c->op.ret_next_due_ms) },
	};
	dispatch_step_then(d, &ev, fill_places, c);
	for (uint32_t i = 0; i < count; i++)
		function_unpin(d, c->functions[i]);
	cancel_ask_again(d);
	store_op_release(op);
	fh_free(c->specs);
	fh_free((void *)c->functions);
	fh_free(c);
}

void claim_perform(struct dispatch *d, const struct core_action *a)
{
	struct claim *c = dispatch_alloc(1, sizeof *c);
	c->d = d;
	c->class_ix = a->claim.class_ix;
	c->op.account = a->claim.account;
	c->op.class_key = d->class_keys[a->claim.class_ix];
	c->op.max_count = a->claim.count;
	c->op.max_bytes = a->claim.bytes;
	c->op.now_ms = dispatch_wall_ms(d);
	dispatch_op(d, &c->op.op, STORE_CLAIM, claimed);
}
