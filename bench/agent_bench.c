/* What a task costs in the worker: short tasks through the in-process transport, agent and session,
 * and back.
 *
 * usage: agent_bench N SLOTS [PYTHON]     with real Python children (default python3)
 *        agent_bench_model N SLOTS        with a model of the runner: agent and session alone
 *
 * The dispatcher's end assigns as much as credit allows and acknowledges every result at once.
 * Prints one line of JSON. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "base/assert.h"
#include "transport/transport.h"
#ifdef BENCH_MODEL
#include "runner_model.h"
#endif

enum { SLOTS_MAX = 1024, QUEUE_MAX = 1 << 16, POLL_MAX = 256 };

struct bench {
	struct event_base *base;
	struct transport *end;
	struct event *poll;
	struct blob *args, *function;
	uint64_t total, granted, sent, done, failed;
	int64_t started_us;
};

static int64_t now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static struct fh_id id_of(uint64_t number)
{
	struct fh_id id = { { 0 } };
	memcpy(id.b + 8, &number, sizeof number);
	return id;
}

static void say(struct bench *b, struct wire_msg m)
{
	int error = transport_send(b->end, 1, &m);
	FH_ASSERT(!error);
}

static void assign_more(struct bench *b)
{
	while (b->sent < b->granted && b->sent < b->total) {
		b->sent++;
		say(b, (struct wire_msg){ .type = WIRE_ASSIGN,
					  .assign = { .task = id_of(b->sent),
						      .token = { 1, 1 },
						      .number = b->sent,
						      .function = id_of(0),
						      .payload = blob_ref(b->args),
						      .ahead = true } });
	}
}

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct bench *b = ctx;
	(void)peer;
	switch (own_msg->type) {
	case WIRE_HELLO:
		say(b, (struct wire_msg){ .type = WIRE_WELCOME, .welcome = { 1, 1 } });
		break;
	case WIRE_CREDIT:
		b->granted = own_msg->credit.granted_total;
		if (b->started_us == 0)
			b->started_us = now_us();
		assign_more(b);
		break;
	case WIRE_FUNCTION_GET:
		say(b, (struct wire_msg){ .type = WIRE_FUNCTION,
					  .function = { .function = id_of(0),
							.payload = blob_ref(b->function) } });
		break;
	case WIRE_RESULT:
		b->failed += own_msg->result.result.state != TASK_COMPLETED;
		if (++b->done == b->total)
			(void)event_base_loopbreak(b->base);
		say(b, (struct wire_msg){ .type = WIRE_RESULT_ACK,
					  .ref = { own_msg->result.task, own_msg->result.token } });
		break;
	default:
		break;
	}
	wire_msg_release(own_msg);
}

static void on_poll(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)transport_poll(((struct bench *)ctx)->end, POLL_MAX);
}

static void on_wake(void *ctx)
{
	event_active(((struct bench *)ctx)->poll, EV_TIMEOUT, 0);
}

static void on_log(void *ctx, const char *line)
{
	(void)ctx;
	(void)fprintf(stderr, "agent_bench: %s\n", line);
}

static int run(struct bench *b, struct agent_config *config)
{
	static const char args[] = "\x80\x02K\x01K\x02\x86}\x86.";
	static const char function[] = "\x80\x02"
				       "coperator\nadd\n.";
	struct agent *agent = NULL;
	struct fh_err err = { "" };
	b->args = blob_copy(args, sizeof args - 1);
	b->function = blob_copy(function, sizeof function - 1);
	b->poll = event_new(b->base, -1, 0, on_poll, b);
	FH_ASSERT(b->args && b->function && b->poll);
	int error = transport_inproc_pair(QUEUE_MAX, &b->end, &config->own_transport);
	FH_ASSERT(!error);
	b->end->handler =
		(struct transport_handler){ .ctx = b, .message = on_message, .wake = on_wake };
	if (agent_new(config, &agent, &err)) {
		(void)fprintf(stderr, "agent_bench: %s\n", err.text);
		return EXIT_FAILURE;
	}
#ifdef BENCH_MODEL
	runner_model_echo(runner_model(), b->args);
	runner_model_ready(runner_model());
#endif
	(void)event_base_dispatch(b->base);
	double seconds = (double)(now_us() - b->started_us) / 1e6;
	printf("{\"tasks\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"slots\": %u, "
	       "\"seconds\": %.3f, \"us_per_task\": %.2f}\n",
	       b->done, b->failed, config->slots, seconds, seconds * 1e6 / (double)b->done);
	agent_free(&agent);
	transport_free(&b->end);
	event_free(b->poll);
	blob_free(&b->args);
	blob_free(&b->function);
	return b->failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct bench b = { .total = argc > 1 ? strtoull(argv[1], NULL, 10) : 0 };
	unsigned long slots = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	if (b.total == 0 || slots == 0 || slots > SLOTS_MAX) {
		(void)fprintf(stderr, "usage: agent_bench N SLOTS [PYTHON]\n");
		return 2;
	}
	b.base = event_base_new();
	FH_ASSERT(b.base != NULL);
	struct agent_config config = {
		.base = b.base,
		.slots = (unsigned)slots,
		.python = argc > 3 ? argv[3] : "python3",
		.grace_ms = 1000,
		.result_max = 1 << 20,
		.log_max = 1 << 16,
		.log = on_log,
	};
	int status = run(&b, &config);
	event_base_free(b.base);
	return status;
}
