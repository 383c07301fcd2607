/* What the clock asks for: expiry in the backlog when the core says so, and once a minute a look
 * whether the wall clock was set, and the purge of what is older than its retention, in bounded
 * steps. Failure mode: the store has no memory for it; then it is asked again, a second or a minute
 * later. */
#include <inttypes.h>

#include "base/mem.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

enum {
	EXPIRE_MAX = 1000, /* of one step: they share the store thread with everybody */
	PURGE_MAX = 1000,
};

static const int64_t upkeep_us = 60 * INT64_C(1000000);
static const int64_t expire_again_us = 1000000; /* after a failure */
static const int64_t notable_ms = 5000;
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
	struct core_dropped *dropped = dispatch_alloc(x->ret_count, sizeof *dropped);
	struct core_event ev = {
		.kind = CORE_EV_DROPPED,
		.dropped = { .tasks = dropped,
			     .count = x->ret_count,
			     .expiry = true,
			     .next_expiry_us =
				     op->ret ? dispatch_now_us(d) + expire_again_us
					     : dispatch_mono_us(d, x->ret_next_expiry_ms) },
	};
	dispatch_op_done(op);
	if (op->ret)
		dispatch_log(d, "tasks could not be expired: %s", fh_error_text(op->ret));
	for (uint32_t i = 0; i < x->ret_count; i++)
		dropped[i] = fit_dropped(d, x->ret_expired[i].account, x->ret_expired[i].class_key,
					 x->ret_expired[i].payload_size);
	dispatch_step(d, &ev);
	fh_free(dropped);
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
	dispatch_op_done(op);
	d->purging = false;
	if (op->ret == 0 && o->purge.ret_more)
		d->next_upkeep_us = dispatch_now_us(d);
	store_op_release(op);
	fh_free(o);
}

static int64_t wall_offset_ms(struct dispatch *d, int64_t now_us)
{
	return dispatch_wall_ms(d) - now_us / 1000;
}

void upkeep_init(struct dispatch *d)
{
	int64_t now_us = dispatch_now_us(d);
	d->wall_offset_ms = d->purge_offset_ms = wall_offset_ms(d, now_us);
	d->next_upkeep_us = d->upkeep_us = now_us;
}

/* The moments that the core knows were computed with the wall clock as it was then. */
static void compare_wall(struct dispatch *d, int64_t now_us)
{
	int64_t offset_ms = wall_offset_ms(d, now_us), step_ms = offset_ms - d->wall_offset_ms;
	struct core_event ev = { .kind = CORE_EV_WALL_COMPARED, .wall_step_us = step_ms * 1000 };
	d->wall_offset_ms = offset_ms;
	if (step_ms <= -notable_ms || step_ms >= notable_ms)
		dispatch_log(d, "the wall clock was set by %" PRId64 " s", step_ms / 1000);
	dispatch_step(d, &ev);
}

/* The wall clock as the purge takes it. One that is set forward is followed only as fast as time
 * passes: were it wrong, by years perhaps, all that is kept would be old at once; and were it
 * right, what it dated before would be. So a purge may be late, until the next start at most, but
 * not early. Returns Unix milliseconds. */
static int64_t purge_now_ms(struct dispatch *d, int64_t now_us)
{
	int64_t passed_ms = (now_us - d->upkeep_us) / 1000;
	int64_t ahead_ms = wall_offset_ms(d, now_us) - d->purge_offset_ms;
	d->upkeep_us = now_us;
	d->purge_offset_ms += ahead_ms < passed_ms ? ahead_ms : passed_ms;
	return now_us / 1000 + d->purge_offset_ms;
}

void upkeep_tick(struct dispatch *d, int64_t now_us)
{
	/* One that is set back is followed at once: it may be set forward again within the minute,
	 * and what was dated in between would look old. */
	int64_t offset_ms = wall_offset_ms(d, now_us);
	if (offset_ms < d->purge_offset_ms)
		d->purge_offset_ms = offset_ms;
	if (now_us < d->next_upkeep_us || d->draining)
		return;
	d->next_upkeep_us = now_us + upkeep_us;
	compare_wall(d, now_us);
	if (d->purging)
		return;
	int64_t wall_ms = purge_now_ms(d, now_us);
	struct upkeep_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->purge.now_ms = wall_ms;
	o->purge.results_before_ms = wall_ms - d->config.results_kept_ms;
	o->purge.records_before_ms = wall_ms - d->config.records_kept_ms;
	o->purge.keys_before_ms = wall_ms - keys_kept_ms;
	o->purge.max = PURGE_MAX;
	d->purging = true;
	dispatch_op(d, &o->purge.op, STORE_PURGE, purged);
}
