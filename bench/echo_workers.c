/* Many workers without Python: real agents over real connections, whose slots answer every task at
 * once with the same value. For what dispatcher, protocol and connections take, and nothing else.
 *
 * usage: echo_workers PROCESSES SLOTS push|pull URL
 *
 * Each process is one worker, with a ZeroMQ context and a connection of its own. Prints `ready URL`
 * when the dispatcher has welcomed them all; ends with SIGTERM, or when one of them fails. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "agent/agent.h"
#include "base/assert.h"
#include "runner_model.h"
#include "transport/zeromq.h"
#include "worker/session.h"

enum { PROCESSES_MAX = 4096 };

/* Pickled None. */
static const char answer[] = "\x80\x04N.";

struct echo {
	unsigned slots;
	enum wire_mode mode;
	const char *url;
	int ready_fd; /* a byte for each that was welcomed */
};

/* ---- one worker ---- */

static uint64_t random_bits(void *env)
{
	uint64_t bits = 0;
	(void)env;
	FH_ASSERT(getrandom(&bits, sizeof bits, 0) == sizeof bits);
	return bits;
}

static void on_welcomed(void *ctx)
{
	const struct echo *e = ctx;
	FH_ASSERT(write(e->ready_fd, "", 1) == 1);
}

static void on_log(void *ctx, const char *line)
{
	(void)ctx;
	(void)fprintf(stderr, "echo_workers: %s\n", line);
}

static void on_refused(void *ctx, const char *why)
{
	on_log(ctx, why);
	exit(EXIT_FAILURE);
}

static int work(struct echo *e)
{
	struct fh_err err = { "" };
	struct agent *agent = NULL;
	struct fh_id_gen gen = { 0 };
	struct event_base *base = transport_zmq_base();
	struct blob *value = blob_copy(answer, sizeof answer - 1);
	FH_ASSERT(base && value);
	struct agent_config config = {
		.base = base,
		.instance = fh_id_next(&gen, (uint64_t)time(NULL) * 1000, random_bits(NULL)),
		.slots = e->slots,
		.mode = e->mode,
		.ahead = session_ahead_elsewhere(e->mode),
		.host = "echo",
		.result_max = 1 << 20,
		.ctx = e,
		.log = on_log,
		.welcomed = on_welcomed,
		.refused = on_refused,
	};
	int ret = transport_zmq_connect(base, &e->url, 1, NULL, random_bits, NULL,
					&config.own_transport, &err);
	if (ret == 0)
		ret = agent_new(&config, &agent, &err);
	if (ret) {
		on_log(e, err.text);
		return EXIT_FAILURE;
	}
	runner_model_echo(runner_model(), value);
	runner_model_ready(runner_model());
	(void)event_base_dispatch(base);
	return EXIT_FAILURE; /* it has work for ever */
}

/* ---- all of them ---- */

static void start_one(struct echo *e)
{
	pid_t parent = getpid(), pid = fork();
	if (pid < 0) {
		perror("echo_workers: fork");
		exit(EXIT_FAILURE);
	}
	if (pid > 0)
		return;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	exit(getppid() == parent ? work(e) : EXIT_FAILURE);
}

/* The processes end with this one. */
static int start_all(struct echo *e, unsigned long processes)
{
	int fds[2];
	char bytes[256];
	if (pipe(fds)) {
		perror("echo_workers: pipe");
		return EXIT_FAILURE;
	}
	e->ready_fd = fds[1];
	for (unsigned long i = 0; i < processes; i++)
		start_one(e);
	(void)close(fds[1]);
	for (unsigned long ready = 0; ready < processes;) {
		ssize_t n = read(fds[0], bytes, sizeof bytes);
		if (n <= 0)
			return EXIT_FAILURE;
		ready += (unsigned long)n;
	}
	(void)printf("ready %s\n", e->url);
	(void)fflush(stdout);
	(void)wait(NULL);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	unsigned long processes = argc == 5 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long slots = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	bool pull = argc == 5 && strcmp(argv[3], "pull") == 0;
	if (processes == 0 || processes > PROCESSES_MAX || slots == 0 || slots > 4096 ||
	    (!pull && strcmp(argv[3], "push") != 0)) {
		(void)fprintf(stderr, "usage: echo_workers PROCESSES SLOTS push|pull URL\n");
		return 2;
	}
	struct echo e = { .slots = (unsigned)slots,
			  .mode = pull ? WIRE_PULL : WIRE_PUSH,
			  .url = argv[4] };
	return start_all(&e, processes);
}
