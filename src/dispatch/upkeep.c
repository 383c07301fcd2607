/* What the clock asks for: expiry in the backlog when the core says so, and the purge of what is
 * older than its retention, in bounded steps, once a minute. Failure mode: the store has no memory
 * for it; then it is asked again, a second or a minute later. */
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

enum {
	EXPIRE_MAX = 1000, /* of one step: they share the store thread with everybody */
	PURGE_MAX = 1000,
};

static const int64_t upkeep_us = 60 * INT64_C(1000000);
static const int64_t expire_again_us = 1000000; /* after a failure */
static const int64_t keys_kept_ms = 24 * 3600 * INT64_C(1000);

struct upkeep_op {
	union {
		struct store_expire expire;
		struct store_purge purge;
	};
	struct dispatch *d;
};

static void expired(struct store_op *op)
{
	struct upkeep_op *o = (struct upkeep_op *)op;
	struct dispatch *d = o->d;
	const struct store_expire *x = &o->expire;
	struct core_event ev = {
		.kind = CORE_EV_DROPPED,
		.dropped = { .count = x->ret_count,
			     .expiry = true,
			     .next_expiry_us =
				     op->ret ? dispatch_now_us(d) + expire_again_us
					     : dispatch_mono_us(d, x->ret_next_expiry_ms) },
	};
	dispatch_op_done(d);
	if (op->ret)
		dispatch_log(d, "tasks could not be expired: %s", fh_error_text(op->ret));
	for (uint32_t i = 0; i < x->ret_count; i++)
		ev.dropped.bytes += x->ret_expired[i].payload_size;
	dispatch_step(d, &ev);
	for (uint32_t i = 0; i < x->ret_count; i++)
		finish_outside(d, x->ret_expired[i].task, x->ret_expired[i].group,
			       x->ret_expired[i].finish_seq);
	store_op_release(op);
	fh_free(o);
}

void upkeep_perform(struct dispatch *d, const struct core_action *a)
{
	(void)a;
	struct upkeep_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->expire.now_ms = dispatch_wall_ms(d);
	o->expire.max = EXPIRE_MAX;
	dispatch_op(d, &o->expire.op, STORE_EXPIRE, expired);
}

static void purged(struct store_op *op)
{
	struct upkeep_op *o = (struct upkeep_op *)op;
	struct dispatch *d = o->d;
	dispatch_op_done(d);
	d->purging = false;
	if (op->ret == 0 && o->purge.ret_more)
		d->next_upkeep_us = dispatch_now_us(d);
	store_op_release(op);
	fh_free(o);
}

void upkeep_tick(struct dispatch *d, int64_t now_us)
{
	if (now_us < d->next_upkeep_us || d->purging || d->draining)
		return;
	int64_t wall_ms = dispatch_wall_ms(d);
	struct upkeep_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->purge.results_before_ms = wall_ms - d->config.results_kept_ms;
	o->purge.records_before_ms = wall_ms - d->config.records_kept_ms;
	o->purge.keys_before_ms = wall_ms - keys_kept_ms;
	o->purge.max = PURGE_MAX;
	d->purging = true;
	d->next_upkeep_us = now_us + upkeep_us;
	dispatch_op(d, &o->purge.op, STORE_PURGE, purged);
}
