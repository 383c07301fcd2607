/* Groups and totals: what the store counts, plus what only memory knows, which is what runs. */
#include "dispatch/dispatch_priv.h"

struct group_op {
	union {
		struct store_put_group put;
		struct store_get_group get;
		struct store_stats stats;
	};
	struct store_idempotency idempotency;
	struct dispatch *d;
	struct call *call;
};

static struct group_op *op_new(struct dispatch *d, struct call *c)
{
	struct group_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->call = c;
	return o;
}

static void put_done(struct store_op *op)
{
	struct group_op *o = (struct group_op *)op;
	struct call_put_group *c = (struct call_put_group *)o->call;
	dispatch_op_done(op);
	if (op->ret == FH_EREPLAY) {
		c->idempotency.ret_replayed = true;
		c->idempotency.ret_status = o->idempotency.ret_status;
		c->idempotency.ret_location = o->idempotency.ret_location;
		c->idempotency.ret_body = o->idempotency.ret_response;
	}
	dispatch_op_answer(op, &c->call, op->ret == FH_EREPLAY ? 0 : op->ret);
}

void idempotency_fill(struct dispatch *d, const struct call_idempotency *from,
		      struct store_idempotency *ret_row)
{
	*ret_row = (struct store_idempotency){
		.key = from->key,
		.created_ms = dispatch_wall_ms(d),
		.status = from->status,
		.location = from->location,
		.response = from->body,
	};
	for (size_t i = 0; i < sizeof ret_row->fingerprint; i++)
		ret_row->fingerprint[i] = from->fingerprint[i];
}

void group_call_put(struct dispatch *d, struct call_put_group *c)
{
	if (d->draining) {
		dispatch_answer(&c->call, FH_ECLOSED);
		return;
	}
	struct group_op *o = op_new(d, &c->call);
	o->put.group = &c->group;
	if (c->idempotency.key) {
		idempotency_fill(d, &c->idempotency, &o->idempotency);
		o->put.idempotency = &o->idempotency;
	}
	dispatch_op(d, &o->put.op, STORE_PUT_GROUP, put_done);
}

static void get_done(struct store_op *op)
{
	struct group_op *o = (struct group_op *)op;
	struct call_get_group *c = (struct call_get_group *)o->call;
	struct dispatch *d = o->d;
	struct group_rec *g = &o->get.ret_group;
	dispatch_op_done(op);
	if (op->ret == 0) {
		list_for_each (l, &d->running) {
			const struct window_task *t = list_entry(l, struct window_task, running);
			if (!fh_id_equal(t->rec.group_id, c->group) || !g->counts[TASK_QUEUED])
				continue;
			g->counts[TASK_QUEUED]--;
			g->counts[TASK_RUNNING]++;
		}
		c->ret_group = g;
	} else if (op->ret == FH_ENOTFOUND) {
		(void)fh_err_set(&c->call.err, op->ret, "no such group");
	}
	dispatch_op_answer(op, &c->call, op->ret);
}

void group_call_get(struct dispatch *d, struct call_get_group *c)
{
	struct group_op *o = op_new(d, &c->call);
	o->get.group = c->group;
	dispatch_op(d, &o->get.op, STORE_GET_GROUP, get_done);
}

static void stats_done(struct store_op *op)
{
	struct group_op *o = (struct group_op *)op;
	struct call_stats *c = (struct call_stats *)o->call;
	struct dispatch *d = o->d;
	struct core_counts n;
	dispatch_op_done(op);
	core_counts(d->core, &n);
	struct call_stats_values v = d->totals;
	for (int i = 0; i < TASK_STATE_COUNT; i++)
		v.counts[i] = o->stats.ret_counts[i];
	uint64_t running = n.running < v.counts[TASK_QUEUED] ? n.running : v.counts[TASK_QUEUED];
	v.counts[TASK_RUNNING] = running;
	v.counts[TASK_QUEUED] -= running;
	v.functions = o->stats.ret_functions;
	v.groups = o->stats.ret_groups;
	v.store_bytes = o->stats.ret_bytes;
	v.store_commits = o->stats.ret_commits;
	v.queued_max = d->config.limits.live_max;
	v.queued_bytes = n.live_bytes;
	v.queued_bytes_max = d->config.limits.live_bytes_max;
	v.slots = n.slots;
	v.slots_busy = n.slots_busy;
	v.workers = n.sessions;
	if (d->config.workers_broken)
		v.workers_broken = d->config.workers_broken(d->config.env);
	v.waiting_calls = (uint32_t)d->wait_deadlines.len;
	v.window = n.window;
	v.window_max = d->config.limits.window_max;
	v.stale_results_total = n.stale;
	v.retries_total = n.retries;
	v.lost_total = n.lost;
	c->ret_values = &v;
	dispatch_op_answer(op, &c->call, op->ret);
}

void stats_call(struct dispatch *d, struct call_stats *c)
{
	struct group_op *o = op_new(d, &c->call);
	dispatch_op(d, &o->stats.op, STORE_STATS, stats_done);
}
