/* The way of a task without HTTP and SDK: dispatcher, store on disk, local pool with real children.
 * Submits no-ops in batches and waits for the group by cursor, as the gateway would.
 *
 * usage: path_bench DIR [TASKS [SLOTS [BATCH [PYTHON]]]]   DIR holds the store and is left there
 * Prints tasks a second, and the share of the loop thread's CPU. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/assert.h"
#include "dispatch/dispatch.h"

struct bench {
	struct event_base *base;
	struct event *work, *committed, *timer;
	int committed_fd;
	struct store *store;
	struct dispatch *dispatch;
	struct agent *agent;
	struct fh_id_gen gen;
	struct fh_id function, group;
	uint32_t tasks, batch, sent, got;
	bool started;
	struct call_wait wait;
	int64_t begin_us, end_us;
};

static int64_t now_us(void *env)
{
	struct timespec t;
	(void)env;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static int64_t wall_ms(void *env)
{
	(void)env;
	return time(NULL) * INT64_C(1000);
}

static uint64_t random_bits(void *env)
{
	static uint64_t x = 88172645463325252u;
	(void)env;
	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static void store_wakes(void *ctx)
{
	const struct bench *b = ctx;
	uint64_t one = 1;
	if (write(b->committed_fd, &one, sizeof one) < 0)
		abort();
}

static void wakes(void *env)
{
	event_active(((struct bench *)env)->work, EV_READ, 0);
}

static void log_line(void *env, const char *line)
{
	(void)env;
	(void)fprintf(stderr, "%s\n", line);
}

static struct fh_id new_id(struct bench *b)
{
	return fh_id_next(&b->gen, (uint64_t)wall_ms(NULL), random_bits(NULL));
}

static void submit(struct bench *b);

static void submitted(struct call *c)
{
	struct call_submit *s = (struct call_submit *)c;
	struct bench *b = c->owner;
	FH_ASSERT_CMP(c->ret, ==, 0);
	for (uint32_t i = 0; i < s->count; i++)
		task_rec_release(&s->items[i].task);
	free(s->items);
	free(s);
	submit(b);
}

static void submit(struct bench *b)
{
	static const char payload[] = "\x80\x04K\x01\x85}\x86.";
	if (b->sent == b->tasks)
		return;
	uint32_t n = b->tasks - b->sent < b->batch ? b->tasks - b->sent : b->batch;
	struct call_submit *s = calloc(1, sizeof *s);
	s->call = (struct call){ .kind = CALL_SUBMIT, .done = submitted, .owner = b };
	s->items = calloc(n, sizeof *s->items);
	s->count = n;
	for (uint32_t i = 0; i < n; i++)
		s->items[i].task = (struct task_rec){
			.id = new_id(b),
			.function_id = b->function,
			.group_id = b->group,
			.options = TASK_OPTIONS_DEFAULT,
			.created_ms = wall_ms(NULL),
			.payload = blob_copy(payload, sizeof payload - 1),
		};
	b->sent += n;
	struct call_sink sink = dispatch_sink(b->dispatch);
	sink.submit(sink.ctx, &s->call);
}

static void wait_again(struct bench *b);

static void waited(struct call *c)
{
	struct bench *b = c->owner;
	FH_ASSERT_CMP(c->ret, ==, 0);
	for (uint32_t i = 0; i < b->wait.ret_count; i++)
		FH_ASSERT_CMP(b->wait.ret_views[i].task->state, ==, TASK_COMPLETED);
	b->got += b->wait.ret_count;
	b->wait.after_seq = b->wait.ret_cursor;
	if (b->got < b->tasks) {
		wait_again(b);
		return;
	}
	b->end_us = now_us(NULL);
	(void)event_base_loopbreak(b->base);
}

static void wait_again(struct bench *b)
{
	uint64_t after = b->wait.after_seq;
	b->wait = (struct call_wait){
		.call = { .kind = CALL_WAIT, .done = waited, .owner = b },
		.group = b->group,
		.after_seq = after,
		.wait_ms = 60000,
		.want = CALL_WANT_RESULT,
		.limit = 10000,
		.max_bytes = 8 << 20,
	};
	struct call_sink sink = dispatch_sink(b->dispatch);
	sink.submit(sink.ctx, &b->wait.call);
}

static void registered(struct call *c)
{
	struct bench *b = c->owner;
	FH_ASSERT_CMP(c->ret, ==, 0);
	b->begin_us = now_us(NULL);
	submit(b);
	wait_again(b);
}

static void grouped(struct call *c)
{
	static const char function[] = "\x80\x04\x8c\x08operator\x8c\x03neg\x93.";
	static struct call_put_function put;
	struct bench *b = c->owner;
	FH_ASSERT_CMP(c->ret, ==, 0);
	put.call = (struct call){ .kind = CALL_PUT_FUNCTION, .done = registered, .owner = b };
	put.function.id = b->function;
	put.function.name = strdup("neg");
	put.function.payload = blob_copy(function, sizeof function - 1);
	struct call_sink sink = dispatch_sink(b->dispatch);
	sink.submit(sink.ctx, &put.call);
}

static void begin(struct bench *b)
{
	static struct call_put_group put;
	put.call = (struct call){ .kind = CALL_PUT_GROUP, .done = grouped, .owner = b };
	put.group.id = b->group;
	struct call_sink sink = dispatch_sink(b->dispatch);
	sink.submit(sink.ctx, &put.call);
}

static void run(struct bench *b)
{
	if (dispatch_run(b->dispatch)) {
		(void)fprintf(stderr, "%s\n", store_failure(b->store));
		exit(1);
	}
	if (!b->started && dispatch_has_worker(b->dispatch)) {
		b->started = true;
		begin(b);
	}
	int64_t wait_us = dispatch_next_us(b->dispatch) - now_us(NULL);
	wait_us = wait_us < 0 ? 0 : wait_us > 1000000 ? 1000000 : wait_us;
	struct timeval tv = { wait_us / 1000000, wait_us % 1000000 };
	(void)event_add(b->timer, &tv);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct bench *b = arg;
	uint64_t count;
	(void)what;
	if (fd == b->committed_fd && read(fd, &count, sizeof count) < 0 && errno != EAGAIN)
		abort();
	run(b);
}

static double cpu_s(int who)
{
	struct rusage u;
	(void)getrusage(who, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct store_recovery recovery;
	struct transport *ours, *theirs;
	struct fh_err err = { "" };
	if (argc < 2)
		return fprintf(stderr, "usage: path_bench DIR [TASKS [SLOTS [BATCH [PYTHON]]]]\n"),
		       2;
	b.tasks = argc > 2 ? (uint32_t)atoi(argv[2]) : 100000;
	unsigned slots = argc > 3 ? (unsigned)atoi(argv[3]) : 2;
	b.batch = argc > 4 ? (uint32_t)atoi(argv[4]) : 1000;
	b.base = event_base_new();
	b.committed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	b.work = event_new(b.base, -1, EV_PERSIST, on_event, &b);
	b.timer = event_new(b.base, -1, 0, on_event, &b);
	b.committed = event_new(b.base, b.committed_fd, EV_READ | EV_PERSIST, on_event, &b);
	(void)event_add(b.committed, NULL);
	b.function = new_id(&b);
	b.group = new_id(&b);
	struct store_config sc = { store_wakes, &b, wall_ms(NULL) };
	if (store_open_sqlite(argv[1], &sc, &b.store, &recovery, &err) ||
	    transport_inproc_pair(1 << 16, &ours, &theirs))
		return fprintf(stderr, "%s\n", err.text), 1;
	struct dispatch_config dc = {
		.limits = CORE_LIMITS_DEFAULT,
		.store = b.store,
		.recovery = &recovery,
		.local = ours,
		.env = &b,
		.now_us = now_us,
		.wall_ms = wall_ms,
		.random = random_bits,
		.wake = wakes,
		.log = log_line,
	};
	struct agent_config ac = {
		.base = b.base,
		.own_transport = theirs,
		.instance = new_id(&b),
		.slots = slots,
		.python = argc > 5 ? argv[5] : "python3",
		.grace_ms = 1000,
		.result_max = 1 << 20,
		.log_max = 1 << 16,
		.log = log_line,
	};
	if (dispatch_new(&dc, &b.dispatch) || agent_new(&ac, &b.agent, &err))
		return fprintf(stderr, "%s\n", err.text), 1;
	store_recovery_release(&recovery);
	wakes(&b);
	(void)event_base_dispatch(b.base);
	double seconds = (double)(b.end_us - b.begin_us) / 1e6;
	(void)printf("%u tasks, %u slots, batches of %u: %.0f tasks/s, %.2f us of our CPU a task\n",
		     b.tasks, slots, b.batch, b.tasks / seconds,
		     1e6 * cpu_s(RUSAGE_SELF) / b.tasks);
	agent_free(&b.agent);
	dispatch_free(&b.dispatch);
	transport_free(&ours);
	store_close(&b.store);
	return 0;
}
