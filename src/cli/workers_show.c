/* `farhand workers show`: one of them, with all that is known of it. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/worker.h"

static int run(struct invocation *v)
{
	struct client_answer a;
	struct client_error error;
	struct table t = { .columns = 2 };
	int ret = client_request(v->client, "GET", "/v1/workers/", v->argument, "", &a, &error);
	if (ret)
		return command_fail_request(v, ret, &error);
	worker_lines(&t, a.json);
	ret = command_print(v, &a, "id", &t);
	client_answer_release(&a);
	return ret;
}

const struct command workers_show = {
	.noun = "workers",
	.verb = "show",
	.argument = "ID",
	.summary = "A worker: its host, what it runs, what it has run.",
	.examples = "  farhand workers show 01979f3a-6c4e-7d2b-9a55-0c7d3c1f8e21\n"
		    "  farhand workers show ID -o json\n",
	.quiet = "only its id",
	.run = run,
};
