/* `farhand task explain`: what a task waits for, and why. */
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* A line for what is there. */
static void line(struct table *t, const char *name, const char *text)
{
	if (!text)
		return;
	table_add(t, name);
	table_add(t, text);
}

static void lines(struct table *t, const json_t *explanation)
{
	const json_t *needs = json_object_get(explanation, "needs");
	const json_t *position = json_object_get(explanation, "position");
	size_t i;
	json_t *need;
	line(t, "task", text_of(explanation, "id"));
	line(t, "state", text_of(explanation, "state"));
	line(t, "waits for", text_of(explanation, "waits_for"));
	line(t, "why", text_of(explanation, "text"));
	line(t, "until", text_of(explanation, "until"));
	if (json_is_integer(position)) {
		table_add(t, "before it");
		table_printf(t, "%lld", (long long)json_integer_value(position));
	}
	line(t, "worker", text_of(explanation, "worker_id"));
	json_array_foreach(needs, i, need) line(t, i ? "" : "needs", text_of(need, "text"));
}

static int run(struct invocation *v)
{
	struct client_answer a;
	struct client_error error;
	struct table t = { .columns = 2 };
	int ret =
		client_request(v->client, "GET", "/v1/tasks/", v->argument, "/explain", &a, &error);
	if (ret)
		return command_fail_request(v, ret, &error);
	lines(&t, a.json);
	ret = command_print(v, &a, "waits_for", &t);
	client_answer_release(&a);
	return ret;
}

const struct command task_explain = {
	.noun = "task",
	.verb = "explain",
	.argument = "ID",
	.summary = "What a task waits for: a slot, a worker that has what it needs, a time.",
	.examples = "  farhand task explain 01979f3a-6c4e-7d2b-9a55-0c7d3c1f8e21\n"
		    "  [ \"$(farhand task explain ID -q)\" = needs ] && echo 'nobody can run it'\n",
	.quiet = "only the word for what it waits for",
	.run = run,
};
