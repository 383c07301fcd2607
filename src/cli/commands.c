/* The table of client commands, and what happens around each: words are read, a client is made, the
 * command runs, and what it wrote has really gone out. */
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/table.h"

static const struct command *const commands[] = {
	&workers_ls, &workers_show, &workers_drain, &workers_resume, &task_explain,
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

bool cli_has(const char *word)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i]->noun, word) == 0)
			return true;
	return false;
}

const char *cli_summary(void)
{
	return "  workers    what workers there are; drain and resume them\n"
	       "  task       what a task waits for\n";
}

/* ---- help ---- */

static void print_commands(const char *noun, FILE *to)
{
	(void)fprintf(to, "Usage: farhand %s COMMAND [FLAG]...\n\n", noun);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct command *c = commands[i];
		char text[32];
		if (strcmp(c->noun, noun) != 0)
			continue;
		(void)snprintf(text, sizeof text, "%s %s", c->verb, c->argument ? c->argument : "");
		(void)fprintf(to, "  %-12s %s\n", text, c->summary);
	}
	(void)fprintf(to, "\n`farhand %s COMMAND --help` says more.\n", noun);
}

static void print_help(const struct command *c, FILE *out)
{
	(void)fprintf(out, "Usage: farhand %s %s%s%s [FLAG]...\n%s\n\n%s\n", c->noun, c->verb,
		      c->argument ? " " : "", c->argument ? c->argument : "", c->summary,
		      c->examples);
	args_help(c, out);
	(void)fputs("\nExit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 not allowed, "
		    "6 waited too long,\n7 no server answers, 8 the server is full.\n",
		    out);
}

/* ---- answers ---- */

static int fail(const struct invocation *v, int exit, const char *code, const char *text,
		long status)
{
	json_t *object = NULL;
	char *dumped = NULL;
	if (v->output == OUTPUT_JSON) {
		object = json_pack("{s:s, s:s, s:I}", "error", text, "code", code, "status",
				   (json_int_t)status);
		if (object && !status)
			(void)json_object_del(object, "status");
		dumped = object ? json_dumps(object, JSON_COMPACT) : NULL;
	}
	if (dumped)
		(void)fprintf(v->err, "%s\n", dumped);
	else
		(void)fprintf(v->err, "farhand: %s\n", text);
	fh_free(dumped);
	json_decref(object);
	return exit;
}

int command_fail(const struct invocation *v, int exit, const char *code, const char *text)
{
	return fail(v, exit, code, text, 0);
}

int command_fail_request(const struct invocation *v, int exit, const struct client_error *error)
{
	return fail(v, exit, error->code, error->err.text, error->status);
}

int command_print(const struct invocation *v, const struct client_answer *a, const char *quiet,
		  struct table *own_table)
{
	int ret = CLI_OK;
	const char *word = json_string_value(json_object_get(a->json, quiet));
	if (v->output == OUTPUT_JSON)
		(void)fprintf(v->out, "%.*s\n", (int)a->len, a->body);
	else if (v->output == OUTPUT_QUIET)
		(void)fprintf(v->out, "%s\n", word ? word : "");
	else if (own_table->broken)
		ret = command_fail(v, CLI_FAILED, "failed", "out of memory");
	else
		table_print(own_table, v->out);
	table_release(own_table);
	return ret;
}

/* ---- the way through ---- */

static int run(struct invocation *v)
{
	struct client_error error;
	int ret = client_new(v->url, &v->client, &error);
	if (ret)
		return command_fail_request(v, ret, &error);
	ret = v->command->run(v);
	client_free(&v->client);
	if (ret == CLI_OK && (fflush(v->out) || ferror(v->out)))
		return command_fail(v, CLI_FAILED, "failed", "the answer cannot be written");
	return ret;
}

static int unknown_verb(const char *noun, const char *verb, FILE *err)
{
	const char *verbs[COMMAND_COUNT];
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		verbs[i] = strcmp(commands[i]->noun, noun) == 0 ? commands[i]->verb : NULL;
	const char *meant = cli_suggest(verb, verbs, COMMAND_COUNT);
	(void)fprintf(err, "farhand: unknown command '%s %.60s'%s%s; see farhand %s --help\n", noun,
		      verb, meant ? ", did you mean " : "", meant ? meant : "", noun);
	return CLI_USAGE;
}

int cli_run(int argc, char **argv, FILE *out, FILE *err)
{
	const char *noun = argv[0], *verb = argc > 1 ? argv[1] : "";
	struct invocation v = { .out = out, .err = err };
	struct fh_err why = { "" };
	bool help = strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0;
	if (argc < 2 || help) {
		print_commands(noun, help ? out : err);
		return help ? CLI_OK : CLI_USAGE;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (strcmp(commands[i]->noun, noun) == 0 && strcmp(commands[i]->verb, verb) == 0)
			v.command = commands[i];
	if (!v.command)
		return unknown_verb(noun, verb, err);
	if (args_parse(&v, argc - 2, argv + 2, &why))
		return command_fail(&v, CLI_USAGE, "usage", why.text);
	if (v.help) {
		print_help(v.command, out);
		return CLI_OK;
	}
	return run(&v);
}
