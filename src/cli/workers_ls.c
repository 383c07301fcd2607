/* `farhand workers ls`: all of them, page after page. With -o json one page is the server's own
 * answer; several become one list. */
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/worker.h"

/* Puts the items of `page` behind those of `all`. False: no memory. */
static bool append(struct client_answer *all, const struct client_answer *page)
{
	json_t *items = json_object_get(all->json, "items");
	if (json_array_extend(items, json_object_get(page->json, "items")) ||
	    json_object_set_new(all->json, "next_cursor", json_null()))
		return false;
	char *body = json_dumps(all->json, JSON_COMPACT);
	if (!body)
		return false;
	fh_free(all->body);
	all->body = body;
	all->len = strlen(body);
	return true;
}

/* CLI_OK, with all of them in one answer. */
static int read_all(struct invocation *v, struct client_answer *ret_all)
{
	struct client_answer all = { 0 }, page;
	struct client_error error;
	char cursor[64] = "";
	do {
		char query[128];
		(void)snprintf(query, sizeof query, "/v1/workers?limit=1000%s%s",
			       *cursor ? "&cursor=" : "", cursor);
		int ret = client_request(v->client, "GET", query, NULL, "", &page, &error);
		if (ret) {
			client_answer_release(&all);
			return command_fail_request(v, ret, &error);
		}
		const char *next = json_string_value(json_object_get(page.json, "next_cursor"));
		(void)snprintf(cursor, sizeof cursor, "%s", next ? next : "");
		if (!all.json) {
			all = page;
			continue;
		}
		bool ok = append(&all, &page);
		client_answer_release(&page);
		if (!ok) {
			client_answer_release(&all);
			return command_fail(v, CLI_FAILED, "failed", "out of memory");
		}
	} while (*cursor);
	*ret_all = all;
	return CLI_OK;
}

static int run(struct invocation *v)
{
	struct client_answer all;
	struct table t = { .columns = v->output == OUTPUT_QUIET ? 1 : WORKER_COLUMNS };
	size_t i;
	json_t *worker;
	int ret = read_all(v, &all);
	if (ret)
		return ret;
	const json_t *items = json_object_get(all.json, "items");
	if (v->output == OUTPUT_JSON) {
		ret = command_print(v, &all, NULL, &t);
		client_answer_release(&all);
		return ret;
	}
	if (v->output == OUTPUT_TABLE)
		worker_head(&t);
	json_array_foreach(items, i, worker)
	{
		if (v->output == OUTPUT_QUIET)
			table_add(&t, worker_text(worker, "id"));
		else
			worker_row(&t, worker);
	}
	if (json_array_size(items) == 0 && v->output == OUTPUT_TABLE)
		(void)fputs("no worker is connected\n", v->err);
	if (t.broken)
		ret = command_fail(v, CLI_FAILED, "failed", "out of memory");
	else
		table_print(&t, v->out);
	table_release(&t);
	client_answer_release(&all);
	return ret;
}

const struct command workers_ls = {
	.noun = "workers",
	.verb = "ls",
	.summary = "The workers that are connected, or may come back.",
	.examples = "  farhand workers ls\n"
		    "  farhand workers ls -q | xargs -n 1 farhand workers show\n",
	.quiet = "only their ids",
	.run = run,
};
