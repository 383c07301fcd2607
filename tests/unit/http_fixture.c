/* The sink and the loop of http_fixture.h. */
#include "http_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "base/assert.h"
#include "base/base64.h"
#include "base/mem.h"

static int64_t wall_ms(void *ctx)
{
	return ((struct fixture *)ctx)->now_ms;
}

static uint64_t random_bits(void *ctx)
{
	struct fixture *f = ctx;
	f->random = f->random * 6364136223846793005u + 1442695040888963407u;
	return f->random;
}

int64_t fixture_clock(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void answer_submit(struct fixture *f, struct call_submit *c)
{
	struct call_idempotency *i = &c->idempotency;
	if (i->key && strcmp(i->key, f->key) == 0) {
		i->ret_replayed = memcmp(i->fingerprint, f->fingerprint, 32) == 0;
		c->call.ret = i->ret_replayed ? 0 : FH_ECONFLICT;
		i->ret_status = f->status;
		i->ret_location = f->location[0] ? f->location : NULL;
		i->ret_body = f->body;
		return;
	}
	if (f->item_ret && c->count > 1)
		c->items[1].ret = f->item_ret;
	if (c->render)
		c->render(c);
	if (i->key) {
		(void)snprintf(f->key, sizeof f->key, "%s", i->key);
		(void)snprintf(f->location, sizeof f->location, "%s",
			       i->location ? i->location : "");
		memcpy(f->fingerprint, i->fingerprint, 32);
		f->status = i->status;
		blob_free(&f->body);
		f->body = blob_ref(i->body);
	}
	for (uint32_t n = 0; n < c->count; n++) /* as the store does: what is accepted moves away */
		if (c->items[n].ret == 0)
			task_rec_release(&c->items[n].task);
}

static void answer_get_task(struct fixture *f, struct call_get_task *c)
{
	c->ret_task = &f->task;
	c->ret_result = task_state_is_final(f->task.state) ? &f->result : NULL;
}

/* As many as are asked for, up to position `function_count`, all of them the same one. */
static void answer_list_functions(struct fixture *f, struct call_list_functions *c)
{
	uint64_t left = c->after_no < f->function_count ? f->function_count - c->after_no : 0;
	for (uint32_t i = 0; i < FIXTURE_FUNCTIONS_MAX; i++)
		f->functions[i] = f->function;
	c->ret_functions = f->functions;
	c->ret_count = left < c->limit ? (uint32_t)left : c->limit;
	c->ret_more = left > c->limit;
	c->ret_last_no = c->after_no + c->ret_count;
	FH_ASSERT_CMP(c->ret_count, <=, FIXTURE_FUNCTIONS_MAX);
}

/* The same as for functions; or one. */
static void answer_list_workers(struct fixture *f, struct call_list_workers *c)
{
	uint64_t count = fh_id_is_zero(c->id) ? f->worker_count : 1;
	uint64_t left = c->after_no < count ? count - c->after_no : 0;
	for (uint32_t i = 0; i < FIXTURE_WORKERS_MAX; i++)
		f->workers[i] = f->worker;
	c->ret_workers = f->workers;
	c->ret_count = left < c->limit ? (uint32_t)left : c->limit;
	c->ret_more = left > c->limit;
	c->ret_last_no = c->after_no + c->ret_count;
	FH_ASSERT_CMP(c->ret_count, <=, FIXTURE_WORKERS_MAX);
}

static void answer_order(struct fixture *f, struct call_order_worker *c)
{
	f->worker.state = c->order == CALL_WORKER_DRAIN ? CALL_WORKER_DRAINING : CALL_WORKER_ONLINE;
	c->ret_worker = &f->worker;
}

static void answer_stats(struct call_stats *c)
{
	static const struct call_stats_values values = { .counts = { 3, 1 },
							 .slots = 2,
							 .workers_broken = "no \"python3\"" };
	c->ret_values = &values;
}

/* Says what the test has set. */
static void answer(struct fixture *f, struct call *call)
{
	call->ret = f->ret;
	call->retry_after_s = f->retry_after_s;
	if (f->ret)
		(void)fh_err_set(&call->err, f->ret, "%s", f->err ? f->err : "as the test says");
	if (f->look)
		f->look(f, call);
	if (call->ret == 0) {
		switch (call->kind) {
		case CALL_PUT_FUNCTION: {
			struct call_put_function *c = (struct call_put_function *)call;
			c->ret_id = f->exists ? f->function.id : c->function.id;
			c->ret_created = !f->exists;
			break;
		}
		case CALL_GET_FUNCTION:
			((struct call_get_function *)call)->ret_function = &f->function;
			break;
		case CALL_LIST_FUNCTIONS:
			answer_list_functions(f, (struct call_list_functions *)call);
			break;
		case CALL_SUBMIT:
			answer_submit(f, (struct call_submit *)call);
			break;
		case CALL_GET_TASK:
			answer_get_task(f, (struct call_get_task *)call);
			break;
		case CALL_WAIT: {
			struct call_wait *c = (struct call_wait *)call;
			c->ret_views = f->views;
			c->ret_count = f->view_count;
			c->ret_pending = 7;
			c->ret_cursor = c->after_seq + 16;
			break;
		}
		case CALL_CANCEL:
			((struct call_cancel *)call)->ret_running = f->running;
			break;
		case CALL_PUT_GROUP:
			break;
		case CALL_GET_GROUP:
			((struct call_get_group *)call)->ret_group = &f->group;
			break;
		case CALL_STATS:
			answer_stats((struct call_stats *)call);
			break;
		case CALL_LIST_WORKERS:
			answer_list_workers(f, (struct call_list_workers *)call);
			break;
		case CALL_ORDER_WORKER:
			answer_order(f, (struct call_order_worker *)call);
			break;
		case CALL_EXPLAIN:
			((struct call_explain *)call)->ret_explanation = &f->explanation;
			break;
		}
	}
	f->answered++;
	list_remove(&call->link);
	call->done(call);
}

void fixture_answer(struct fixture *f)
{
	for (struct list *l; (l = f->calls.next) != &f->calls;)
		answer(f, list_entry(l, struct call, link));
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	struct fixture *f = arg;
	(void)fd;
	(void)what;
	if (!f->hold)
		fixture_answer(f);
}

static void sink_submit(void *ctx, struct call *c)
{
	struct fixture *f = ctx;
	list_push_back(&f->calls, &c->link);
	f->submitted++;
	event_active(f->work, 0, 0);
}

/* Only waiting calls end at once, as call.h says. */
static void sink_abandon(void *ctx, struct call *c)
{
	struct fixture *f = ctx;
	f->abandoned++;
	if (c->kind != CALL_WAIT && c->kind != CALL_GET_TASK)
		return;
	list_remove(&c->link);
	c->ret = FH_ECLOSED;
	f->answered++;
	c->done(c);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

static struct blob *decoded(const char *text)
{
	struct blob *b = blob_new(base64_decoded_max(strlen(text)));
	FH_ASSERT(b && base64_decode(text, strlen(text), b->data, &b->len) == 0);
	return b;
}

static struct fh_id parsed(const char *text)
{
	struct fh_id id;
	FH_ASSERT(fh_id_parse(text, 36, &id) == 0);
	return id;
}

static void fill_records(struct fixture *f)
{
	f->function = (struct function_rec){ .id = parsed(FUNCTION_ID),
					     .name = fh_strdup("f"),
					     .payload = decoded(PICKLE),
					     .payload_size = 20,
					     .created_ms = f->now_ms };
	f->task = (struct task_rec){ .id = parsed(TASK_ID),
				     .function_id = parsed(FUNCTION_ID),
				     .function_name = fh_strdup("f"),
				     .options = TASK_OPTIONS_DEFAULT,
				     .created_ms = f->now_ms };
	f->result = (struct task_result){ .state = TASK_COMPLETED,
					  .value = decoded(PICKLE),
					  .started_ms = f->now_ms,
					  .run_us = 5,
					  .runtime = "cp311" };
	f->group = (struct group_rec){
		.id = parsed(GROUP_ID), .created_ms = f->now_ms, .total = 4, .counts = { 3, 1 }
	};
	f->worker = (struct call_worker){ .id = parsed(WORKER_ID),
					  .host = "lab7",
					  .key_name = "anna",
					  .mode = CALL_WORKER_PUSH,
					  .runtime = "cp311",
					  .slots = 8,
					  .slots_busy = 2,
					  .in_flight = 3,
					  .cores = 16,
					  .mem_bytes = UINT64_C(64) << 30,
					  .labels = "gpu=1,site=lab",
					  .connected_ms = f->now_ms - 5000,
					  .heard_ms = f->now_ms - 250,
					  .finished = 40,
					  .failed = 1 };
	f->explanation = (struct call_explanation){ .waits_for = CALL_WAITS_FOR_CAPACITY,
						    .text = "all are \"busy\"" };
}

struct fixture *fixture_new(const struct http_limits *limits)
{
	struct fixture *f = fh_calloc(1, sizeof *f);
	struct fh_err err;
	static const struct timeval moment = { 0, 500 };
	(void)signal(SIGPIPE, SIG_IGN);
	f->now_ms = INT64_C(1800000000000);
	list_init(&f->calls);
	f->base = event_base_new();
	f->work = event_new(f->base, -1, 0, on_work, f);
	f->tick = event_new(f->base, -1, EV_PERSIST, on_tick, f);
	FH_ASSERT(f->work && event_add(f->tick, &moment) == 0);
	fill_records(f);
	f->config = (struct http_config){ .base = f->base,
					  .host = "127.0.0.1",
					  .sink = { f, sink_submit, sink_abandon },
					  .limits = HTTP_LIMITS_DEFAULT,
					  .now_ms = wall_ms,
					  .random = random_bits,
					  .ctx = f,
					  .version = "1.2.3" };
	if (limits)
		f->config.limits = *limits;
	FH_ASSERT(http_server_new(&f->config, &f->server, &err) == 0);
	http_server_set_ready(f->server, true);
	return f;
}

void fixture_free(struct fixture **fixture)
{
	struct fixture *f = *fixture;
	*fixture = NULL;
	http_server_free(&f->server);
	event_free(f->work);
	event_free(f->tick);
	event_base_free(f->base);
	function_rec_release(&f->function);
	task_rec_release(&f->task);
	task_result_release(&f->result);
	group_rec_release(&f->group);
	blob_free(&f->body);
	fh_free(f);
}

/* One turn of the loop, until something happens or a moment is over. */
void fixture_turn(struct fixture *f, int64_t until_ms, const char *condition)
{
	if (event_base_loop(f->base, EVLOOP_ONCE) < 0 || fixture_clock() > until_ms) {
		(void)fprintf(stderr, "never: %s\n", condition);
		abort();
	}
}
