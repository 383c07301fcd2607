/* `farhand workers drain` and `resume`: a worker takes no more tasks, or takes tasks again.
 *
 * With --wait, drain asks until the worker has nothing left; one that leaves meanwhile has nothing
 * left either. */
#include <poll.h>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/worker.h"

enum { ASK_EVERY_MS = 200 };

static int64_t now_ms(void)
{
	return fh_monotonic_us() / 1000;
}

/* Asks again until it has nothing left; `a` is then the last answer. */
static int wait_empty(struct invocation *v, struct client_answer *a)
{
	int64_t until_ms = v->timeout_ms ? now_ms() + v->timeout_ms : INT64_MAX;
	while (worker_number(a->json, "in_flight") > 0) {
		struct client_answer newer;
		struct client_error error;
		int64_t left_ms = until_ms - now_ms();
		if (left_ms <= 0)
			return command_fail(v, CLI_TIMED_OUT, "timed_out",
					    "the worker still has tasks; it takes no more");
		(void)poll(NULL, 0, left_ms < ASK_EVERY_MS ? (int)left_ms : ASK_EVERY_MS);
		int ret = client_request(v->client, "GET", "/v1/workers/", v->argument, "", &newer,
					 &error);
		if (ret == CLI_NOT_FOUND)
			return CLI_OK;
		if (ret)
			return command_fail_request(v, ret, &error);
		client_answer_release(a);
		*a = newer;
	}
	return CLI_OK;
}

static int run(struct invocation *v)
{
	bool drain = v->command == &workers_drain;
	struct client_answer a;
	struct client_error error;
	struct table t = { .columns = WORKER_COLUMNS };
	int ret = client_request(v->client, "POST", "/v1/workers/", v->argument,
				 drain ? ":drain" : ":resume", &a, &error);
	if (ret)
		return command_fail_request(v, ret, &error);
	if (v->wait)
		ret = wait_empty(v, &a);
	if (ret == CLI_OK) {
		worker_head(&t);
		worker_row(&t, a.json);
		ret = command_print(v, &a, "id", &t);
	}
	client_answer_release(&a);
	return ret;
}

const struct command workers_drain = {
	.noun = "workers",
	.verb = "drain",
	.argument = "ID",
	.flags = COMMAND_WAIT,
	.summary = "Give a worker no more tasks; what it has goes on, and it stays connected.",
	.examples = "  farhand workers drain 01979f3a-6c4e-7d2b-9a55-0c7d3c1f8e21\n"
		    "  farhand workers drain ID --wait --timeout 600 && ssh lab7 sudo reboot\n",
	.quiet = "only its id",
	.run = run,
};

const struct command workers_resume = {
	.noun = "workers",
	.verb = "resume",
	.argument = "ID",
	.summary = "Give a worker tasks again.",
	.examples = "  farhand workers resume 01979f3a-6c4e-7d2b-9a55-0c7d3c1f8e21\n",
	.quiet = "only its id",
	.run = run,
};
