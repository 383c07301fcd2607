/* An agent over the in-process transport, and a small dispatcher at the other end: it welcomes,
 * answers FUNCTION_GET from a table, acknowledges results and keeps the last one of each task. */
#ifndef FARHAND_TESTS_AGENT_FIXTURE_H
#define FARHAND_TESTS_AGENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "number_ids.h"
#include "transport/transport.h"

enum { POOL_TASKS = 2048, POOL_FUNCTIONS = 16, POOL_PATIENCE_S = 60 };

struct pool {
	struct event_base *base;
	struct transport *end;
	struct agent *agent;
	struct event *poll, *patience;
	struct blob *functions[POOL_FUNCTIONS]; /* NULL: unknown */
	struct task_result results[POOL_TASKS];
	bool retry_match[POOL_TASKS];
	unsigned result_count[POOL_TASKS];
	unsigned got[WIRE_TYPE_END]; /* messages by type */
	struct wire_hello hello;
	uint64_t granted, assigns, acknowledged;
	uint32_t silence_ms;	 /* that WELCOME allows */
	int64_t now_us, tick_us; /* of pool_now(): goes on by so much at each look */
	bool lost;
	bool acknowledges;
	unsigned welcomed, drained, refused, log_lines;
	char log[256];	  /* the last line */
	char why[256];	  /* it was refused */
	char logs[2][32]; /* what was said to be printed, to stdout and stderr */
	size_t log_len[2];
};

static inline void pool_say(struct pool *p, struct wire_msg m)
{
	assert_int_equal(transport_send(p->end, 1, &m), 0);
}

static inline void pool_printed(struct pool *p, const struct wire_log *l)
{
	assert_int_equal(l->offset, p->log_len[l->is_error]);
	assert_in_range(l->offset + l->data->len, 1, sizeof p->logs[0] - 1);
	memcpy(p->logs[l->is_error] + l->offset, l->data->data, l->data->len);
	p->log_len[l->is_error] += l->data->len;
}

static inline void pool_result(struct pool *p, struct wire_result *r)
{
	unsigned task = number_of(r->task);
	assert_in_range(task, 0, POOL_TASKS - 1);
	task_result_release(&p->results[task]);
	p->results[task] = r->result;
	p->retry_match[task] = r->retry_match;
	p->result_count[task]++;
	r->result = (struct task_result){ 0 };
	if (p->acknowledges)
		pool_say(p, (struct wire_msg){ .type = WIRE_RESULT_ACK,
					       .ref = { r->task, r->token } });
}

static inline void pool_forget_hello(struct pool *p)
{
	struct wire_msg m = { .type = WIRE_HELLO, .hello = p->hello };
	wire_msg_release(&m);
}

static inline void pool_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct pool *p = ctx;
	assert_int_equal(peer, 1);
	p->got[own_msg->type]++;
	switch (own_msg->type) {
	case WIRE_HELLO:
		pool_forget_hello(p);
		p->hello = own_msg->hello;
		own_msg->hello = (struct wire_hello){ 0 };
		p->assigns = 0;
		pool_say(p, (struct wire_msg){ .type = WIRE_WELCOME,
					       .welcome = { .session = 1,
							    .generation = 1,
							    .silence_ms = p->silence_ms } });
		break;
	case WIRE_CREDIT:
		p->granted = own_msg->credit.granted_total;
		break;
	case WIRE_FUNCTION_GET: {
		struct fh_id id = own_msg->function_get.function;
		pool_say(p,
			 (struct wire_msg){ .type = WIRE_FUNCTION,
					    .function = { .function = id,
							  .payload = blob_ref(
								  p->functions[number_of(id)]) } });
		break;
	}
	case WIRE_ASSIGN_ACK:
		p->acknowledged = own_msg->assign_ack.assigns;
		break;
	case WIRE_LOG:
		pool_printed(p, &own_msg->log);
		break;
	case WIRE_RESULT:
		pool_result(p, &own_msg->result);
		break;
	default:
		break;
	}
	wire_msg_release(own_msg);
}

static inline void pool_poll(evutil_socket_t fd, short what, void *ctx)
{
	struct pool *p = ctx;
	(void)fd;
	(void)what;
	(void)transport_poll(p->end, 64);
}

static inline void pool_wake(void *ctx)
{
	event_active(((struct pool *)ctx)->poll, EV_TIMEOUT, 0);
}

static inline void pool_impatient(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
	fail_msg("what the test waits for did not happen");
}

static inline int64_t pool_now(void *ctx)
{
	struct pool *p = ctx;
	return p->now_us += p->tick_us;
}

static inline void pool_log(void *ctx, const char *line)
{
	struct pool *p = ctx;
	p->log_lines++;
	(void)snprintf(p->log, sizeof p->log, "%s", line);
}

static inline void pool_welcomed(void *ctx)
{
	((struct pool *)ctx)->welcomed++;
}

static inline void pool_drained(void *ctx)
{
	((struct pool *)ctx)->drained++;
}

static inline void pool_refused(void *ctx, const char *why)
{
	struct pool *p = ctx;
	p->refused++;
	(void)snprintf(p->why, sizeof p->why, "%s", why);
}

static inline void pool_lost(void *ctx, uint64_t peer)
{
	(void)peer;
	((struct pool *)ctx)->lost = true;
}

static inline struct agent_config pool_config(struct pool *p, unsigned slots)
{
	return (struct agent_config){
		.base = p->base,
		.instance = id_of(77),
		.slots = slots,
		.host = "here",
		.labels = "gpu=1,site=lab",
		.python = "python3",
		.grace_ms = 200,
		.result_max = 1 << 20,
		.log_max = 1 << 16,
		.ctx = p,
		.log = pool_log,
		.welcomed = pool_welcomed,
		.drained = pool_drained,
		.refused = pool_refused,
	};
}

/* Everything but the agent; fills the transport into the configuration. */
static inline void pool_open(struct pool *p, struct agent_config *config)
{
	struct timeval patience = { .tv_sec = POOL_PATIENCE_S };
	assert_int_equal(transport_inproc_pair(4096, &p->end, &config->own_transport), 0);
	p->end->handler = (struct transport_handler){
		.ctx = p,
		.message = pool_message,
		.lost = pool_lost,
		.wake = pool_wake,
	};
	p->poll = event_new(p->base, -1, 0, pool_poll, p);
	p->patience = event_new(p->base, -1, 0, pool_impatient, p);
	assert_true(p->poll && p->patience);
	assert_int_equal(event_add(p->patience, &patience), 0);
	p->acknowledges = true;
}

static inline void pool_start_ticking(struct pool *p, unsigned slots, const char *python,
				      int64_t tick_us)
{
	struct fh_err err = { "" };
	*p = (struct pool){ .base = event_base_new(), .tick_us = tick_us };
	assert_non_null(p->base);
	struct agent_config config = pool_config(p, slots);
	config.python = python;
	if (tick_us)
		config.now_us = pool_now;
	pool_open(p, &config);
	if (agent_new(&config, &p->agent, &err))
		fail_msg("%s", err.text);
}

/* On the machine's clock. */
static inline void pool_start(struct pool *p, unsigned slots, const char *python)
{
	pool_start_ticking(p, slots, python, 0);
}

static inline void pool_stop(struct pool *p)
{
	agent_free(&p->agent);
	assert_null(p->agent);
	pool_forget_hello(p);
	transport_free(&p->end);
	event_free(p->poll);
	event_free(p->patience);
	event_base_free(p->base);
	for (unsigned i = 0; i < POOL_FUNCTIONS; i++)
		blob_free(&p->functions[i]);
	for (unsigned i = 0; i < POOL_TASKS; i++)
		task_result_release(&p->results[i]);
}

/* Runs the loop until the condition holds. */
#define pool_until(p, condition)                                                   \
	do {                                                                       \
		while (!(condition))                                               \
			assert_true(event_base_loop((p)->base, EVLOOP_ONCE) >= 0); \
	} while (0)

/* Runs what is ready, without waiting. */
static inline void pool_settle(struct pool *p)
{
	for (unsigned i = 0; i < 10; i++)
		(void)event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static inline void pool_assign(struct pool *p, struct wire_assign assign)
{
	if (assign.token.generation == 0)
		assign.token = (struct task_token){ 1, 1 };
	assign.number = ++p->assigns;
	pool_say(p, (struct wire_msg){ .type = WIRE_ASSIGN, .assign = assign });
}

static inline void pool_say_ref(struct pool *p, enum wire_type type, unsigned task)
{
	pool_say(p, (struct wire_msg){ .type = type, .ref = { id_of(task), { 1, 1 } } });
}

static inline struct agent_stats pool_stats(const struct pool *p)
{
	struct agent_stats stats;
	agent_stats(p->agent, &stats);
	return stats;
}

#endif
