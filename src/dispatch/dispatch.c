/* The pump: takes calls in, steps the core, performs its actions in order.
 *
 * Happy path of dispatch_run(): completions of the store, messages of workers, new calls, time;
 * each becomes a core event, whose actions are performed at once; at the end finals that piled up
 * go to the store as one op, and clients that wait for groups are answered. Failure modes: the
 * store failed: run() returns FH_EIO and nothing is said any more. Out of memory where no caller
 * can be told: abort, because nothing that was promised is lost by it. */
#include "dispatch/dispatch.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"
#include "dispatch/fit.h"

enum {
	REQUESTS_MAX = 1 << 20,
	MESSAGES_PER_RUN = 4096,
	CACHE_BYTES = 16 << 20,
	WATCH_MAX = 1000000,
	CALL_FUNCTIONS_MAX = 16384,
};

static const int64_t day_ms = 24 * 3600 * INT64_C(1000);

void *dispatch_alloc(size_t count, size_t size)
{
	void *p = fh_calloc(count, size);
	if (!p)
		fh_assert_fail(__FILE__, __LINE__, "memory", "out of memory with work in hand");
	return p;
}

void dispatch_wake(struct dispatch *d)
{
	if (d->woken || !d->config.wake)
		return;
	d->woken = true;
	d->config.wake(d->config.env);
}

void dispatch_log(struct dispatch *d, const char *fmt, ...)
{
	if (!d->config.log)
		return;
	char line[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	for (char *c = line; *c; c++) /* one line, whatever a worker says that it is called */
		*c = iscntrl((unsigned char)*c) ? ' ' : *c;
	d->config.log(d->config.env, line);
}

void dispatch_answer(struct call *c, int ret)
{
	if (ret == FH_ECLOSED && !c->err.text[0])
		(void)fh_err_set(&c->err, ret, "the server is stopping");
	c->ret = ret;
	c->state = NULL;
	c->done(c);
}

void dispatch_op(struct dispatch *d, struct store_op *op, enum store_op_kind kind,
		 void (*done)(struct store_op *op))
{
	op->kind = kind;
	op->done = done;
	list_push_back(&d->ops, &op->held);
	store_submit(d->config.store, op);
}

void dispatch_op_done(struct store_op *op)
{
	list_remove(&op->held);
}

static void op_free(struct store_op *op)
{
	store_op_release(op);
	fh_free(op);
}

void dispatch_op_answer(struct store_op *own_op, struct call *c, int ret)
{
	dispatch_answer(c, ret);
	op_free(own_op);
}

/* The store is closed, so nobody else knows of them; what became of them, nobody knows. */
static void forget_ops(struct dispatch *d)
{
	for (struct list *l; d->ops.next && (l = list_pop_front(&d->ops));) {
		struct store_op *op = list_entry(l, struct store_op, held);
		if (op->kind == STORE_SUBMIT)
			submit_forget(op);
		else if (op->kind == STORE_GET_TASKS)
			ids_forget(op);
		else if (op->kind == STORE_TAKE)
			adopt_forget(op);
		else
			op_free(op);
	}
}

int64_t dispatch_mono_us(struct dispatch *d, int64_t wall_ms)
{
	if (wall_ms == 0)
		return 0;
	int64_t mono_us = dispatch_now_us(d) + (wall_ms - dispatch_wall_ms(d)) * 1000;
	return mono_us > 0 ? mono_us : 1;
}

/* Requests: small numbers that the core echoes, so that no pointer enters its state. */

uint64_t dispatch_request_new(struct dispatch *d, void *what)
{
	if (d->request_free_len == 0) {
		uint32_t max = d->request_max ? 2 * d->request_max : 64;
		FH_ASSERT_CMP(max, <=, REQUESTS_MAX);
		void **requests = dispatch_alloc(max, sizeof *requests);
		uint32_t *free_list = dispatch_alloc(max, sizeof *free_list);
		for (uint32_t i = 0; i < d->request_max; i++)
			requests[i] = d->requests[i];
		for (uint32_t i = max; i > d->request_max; i--)
			free_list[d->request_free_len++] = i - 1;
		fh_free((void *)d->requests);
		fh_free(d->request_free);
		d->requests = requests;
		d->request_free = free_list;
		d->request_max = max;
	}
	uint32_t number = d->request_free[--d->request_free_len];
	d->requests[number] = what;
	return number;
}

void *dispatch_request_get(struct dispatch *d, uint64_t request)
{
	FH_ASSERT_CMP(request, <, d->request_max);
	FH_ASSERT(d->requests[request] != NULL);
	return d->requests[request];
}

void *dispatch_request_take(struct dispatch *d, uint64_t request)
{
	void *what = dispatch_request_get(d, request);
	d->requests[request] = NULL;
	d->request_free[d->request_free_len++] = (uint32_t)request;
	return what;
}

static void perform(struct dispatch *d, const struct core_action *a)
{
	switch (a->kind) {
	case CORE_DO_PERSIST:
	case CORE_DO_REJECT:
	case CORE_DO_REPLY:
		submit_perform(d, a);
		break;
	case CORE_DO_CLAIM:
		claim_perform(d, a);
		break;
	case CORE_DO_UNCLAIM:
		unclaim_perform(d, a);
		break;
	case CORE_DO_PERSIST_START:
	case CORE_DO_PERSIST_RETRY:
	case CORE_DO_PERSIST_FINAL:
	case CORE_DO_NOTE_STARTED:
	case CORE_DO_WAKE:
	case CORE_DO_RELEASE:
		finish_perform(d, a);
		break;
	case CORE_DO_ASSIGN:
	case CORE_DO_SEND_CANCEL:
	case CORE_DO_ACK:
	case CORE_DO_STALE:
	case CORE_DO_CLOSE_SESSION:
		session_perform(d, a);
		break;
	case CORE_DO_ANSWER_CANCEL:
	case CORE_DO_CANCEL_STORED:
	case CORE_DO_CANCEL_LATER:
		cancel_perform(d, a);
		break;
	case CORE_DO_EXPIRE_BACKLOG:
		upkeep_perform(d, a);
		break;
	}
}

void dispatch_step_then(struct dispatch *d, struct core_event *ev,
			void (*between)(struct dispatch *d, struct core_event *ev, void *arg),
			void *arg)
{
	ev->random = d->config.random(d->config.env);
	core_step(d->core, ev, dispatch_now_us(d), &d->actions);
	if (between)
		between(d, ev, arg);
	for (;;) {
		for (uint32_t i = 0; i < d->actions.count; i++)
			perform(d, &d->actions.list[i]);
		if (!d->actions.more)
			return;
		struct core_event more = { .kind = CORE_EV_CONTINUED,
					   .random = d->config.random(d->config.env) };
		core_step(d->core, &more, dispatch_now_us(d), &d->actions);
	}
}

void dispatch_step(struct dispatch *d, struct core_event *ev)
{
	dispatch_step_then(d, ev, NULL, NULL);
}

static void begin(struct dispatch *d, struct call *c)
{
	switch (c->kind) {
	case CALL_PUT_FUNCTION:
		function_call_put(d, (struct call_put_function *)c);
		break;
	case CALL_GET_FUNCTION:
		function_call_get(d, (struct call_get_function *)c);
		break;
	case CALL_LIST_FUNCTIONS:
		function_call_list(d, (struct call_list_functions *)c);
		break;
	case CALL_SUBMIT:
		submit_call(d, (struct call_submit *)c);
		break;
	case CALL_GET_TASK:
		read_call(d, (struct call_get_task *)c);
		break;
	case CALL_WAIT:
		wait_call(d, (struct call_wait *)c);
		break;
	case CALL_CANCEL:
		cancel_call(d, (struct call_cancel *)c);
		break;
	case CALL_PUT_GROUP:
		group_call_put(d, (struct call_put_group *)c);
		break;
	case CALL_GET_GROUP:
		group_call_get(d, (struct call_get_group *)c);
		break;
	case CALL_STATS:
		stats_call(d, (struct call_stats *)c);
		break;
	case CALL_LIST_WORKERS:
		workers_call_list(d, (struct call_list_workers *)c);
		break;
	case CALL_ORDER_WORKER:
		workers_call_order(d, (struct call_order_worker *)c);
		break;
	case CALL_EXPLAIN:
		explain_call(d, (struct call_explain *)c);
		break;
	}
}

static void take_in(void *ctx, struct call *c)
{
	struct dispatch *d = ctx;
	c->state = NULL;
	list_push_back(&d->inbox, &c->link);
	dispatch_wake(d);
}

static void abandon(void *ctx, struct call *c)
{
	wait_abandon(ctx, c);
}

struct call_sink dispatch_sink(struct dispatch *d)
{
	return (struct call_sink){ d, take_in, abandon };
}

static void tick(struct dispatch *d)
{
	int64_t now_us = dispatch_now_us(d);
	if (core_next_us(d->core) <= now_us) {
		struct core_event ev = { .kind = CORE_EV_TICKED };
		dispatch_step(d, &ev);
	}
	waits_expire(d);
	expected_tick(d, now_us);
	upkeep_tick(d, now_us);
}

static void refuse_calls(struct dispatch *d)
{
	for (struct list *l; (l = list_pop_front(&d->inbox));)
		dispatch_answer(list_entry(l, struct call, link), FH_ECLOSED);
	waits_close(d);
}

int dispatch_run(struct dispatch *d)
{
	d->woken = false;
	if (store_poll(d->config.store))
		return FH_EIO;
	if (d->closed) {
		refuse_calls(d);
		finish_flush(d);
		return 0;
	}
	for (int i = 0; i < DOORS; i++)
		if (d->doors[i].transport &&
		    transport_poll(d->doors[i].transport, MESSAGES_PER_RUN))
			dispatch_wake(d);
	sessions_settle(d);
	/* What a gateway adds while it is answered waits for the next run. */
	struct list calls;
	list_init(&calls);
	while (!list_empty(&d->inbox))
		list_push_back(&calls, list_pop_front(&d->inbox));
	for (struct list *l; (l = list_pop_front(&calls));)
		begin(d, list_entry(l, struct call, link));
	tick(d);
	finish_flush(d);
	feeds_flush(d);
	return 0;
}

int64_t dispatch_next_us(const struct dispatch *d)
{
	int64_t next_us = core_next_us(d->core);
	const struct heap_node *n = heap_first(&d->wait_deadlines);
	if (n && n->key < next_us)
		next_us = n->key;
	return !d->draining && d->next_upkeep_us < next_us ? d->next_upkeep_us : next_us;
}

void dispatch_drain(struct dispatch *d)
{
	if (d->draining)
		return;
	d->draining = true;
	struct core_event ev = { .kind = CORE_EV_DRAINED };
	dispatch_step(d, &ev);
	sessions_drain(d);
	dispatch_wake(d);
}

void dispatch_close(struct dispatch *d)
{
	dispatch_drain(d);
	d->closed = true;
	finish_flush(d);
	refuse_calls(d);
}

bool dispatch_settled(const struct dispatch *d)
{
	return list_empty(&d->ops) && list_empty(&d->inbox);
}

bool dispatch_idle(const struct dispatch *d)
{
	struct core_counts counts;
	core_counts(d->core, &counts);
	return counts.leased_here == 0 && list_empty(&d->ops) && list_empty(&d->inbox);
}

static int recover(struct dispatch *d, const struct store_recovery *r)
{
	for (uint32_t i = 0; i < r->lane_count; i++) {
		const struct store_lane *lane = &r->lanes[i];
		uint32_t class_ix;
		int ret = fit_class(d, lane->class_key, &class_ix);
		if (!ret)
			ret = core_recover_lane(d->core, lane->account, class_ix, lane->live,
						lane->top_priority);
		if (ret)
			return ret;
	}
	return 0;
}

static int build(struct dispatch *d, const struct store_recovery *r)
{
	struct core_start start = {
		.generation = r->generation,
		.live = r->live,
		.live_bytes = r->live_bytes,
		.next_due_us = dispatch_mono_us(d, r->next_due_ms),
		.next_expiry_us = dispatch_mono_us(d, r->next_expiry_ms),
		.now_us = dispatch_now_us(d),
	};
	if (expected_init(d, r, &start.hold_until_us))
		return FH_ENOMEM;
	d->totals.generation = r->generation;
	d->totals.started_ms = dispatch_wall_ms(d);
	d->class_count = 1; /* what needs nothing has a class, whoever else needs what */
	upkeep_init(d);
	if (core_new(&d->config.limits, &start, &d->core) || window_init(d) || functions_init(d) ||
	    sessions_init(d) || cache_init(d) || feeds_init(d) || waits_init(d))
		return FH_ENOMEM;
	return recover(d, r);
}

int dispatch_new(const struct dispatch_config *config, struct dispatch **ret_dispatch)
{
	struct dispatch *d = fh_calloc(1, sizeof *d);
	if (!d)
		return FH_ENOMEM;
	d->config = *config;
	d->config.recovery = NULL;
	if (!d->config.call_functions_max)
		d->config.call_functions_max = CALL_FUNCTIONS_MAX;
	/* Tasks of the window may come from calls, and each of its places may yet be given to a
	 * claimed task: see function_try_pin(). */
	d->config.limits.functions_max =
		2 * config->limits.window_max + d->config.call_functions_max;
	if (!d->config.cache_bytes)
		d->config.cache_bytes = CACHE_BYTES;
	if (!d->config.watch_max)
		d->config.watch_max = WATCH_MAX;
	if (!d->config.results_kept_ms)
		d->config.results_kept_ms = 7 * day_ms;
	if (!d->config.records_kept_ms)
		d->config.records_kept_ms = 30 * day_ms;
	list_init(&d->ops);
	list_init(&d->inbox);
	list_init(&d->cancel_later);
	int ret = build(d, config->recovery);
	if (ret) {
		dispatch_free(&d);
		return ret;
	}
	*ret_dispatch = d;
	return 0;
}

void dispatch_free(struct dispatch **dp)
{
	struct dispatch *d = *dp;
	if (!d)
		return;
	*dp = NULL;
	for (struct list *l; d->inbox.next && (l = list_pop_front(&d->inbox));)
		dispatch_answer(list_entry(l, struct call, link), FH_ECLOSED);
	waits_release(d);
	forget_ops(d);
	feeds_release(d);
	cache_release(d);
	sessions_release(d);
	window_release(d);
	functions_release(d);
	fit_release(d);
	if (d->core)
		core_free(&d->core);
	fh_free(d->expected);
	fh_free(d->batch);
	fh_free((void *)d->requests);
	fh_free(d->request_free);
	fh_free(d);
}

uint64_t dispatch_hash(const struct dispatch *d)
{
	return core_hash(d->core) * UINT64_C(0x9E3779B97F4A7C15) + d->last_seq;
}
