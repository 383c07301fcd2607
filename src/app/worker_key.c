/* Makes, lists and revokes the keys of workers.
 *
 * `new`: the secret key goes into a file of its own, then the public one on the list; what the
 * other machine needs is one line on stdout. Failure modes: the file or the name is there already,
 * and nothing has changed; the list cannot be written, and the file is gone again. No secret is
 * printed. */
#include "app/worker_key.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/allow_list.h"
#include "app/flags.h"
#include "app/key_file.h"
#include "app/key_folder.h"
#include "app/process.h"
#include "cli/cli.h"
#include "cli/table.h"

enum { PATH_SIZE = 4096 };

struct options {
	const char *data, *out, *worker;
	bool json;
};

static int set_data(void *options, const char *flag, const char *value, struct fh_err *err)
{
	return flag_text(flag, value, "a folder", &((struct options *)options)->data, err);
}

static int set_out(void *options, const char *flag, const char *value, struct fh_err *err)
{
	return flag_text(flag, value, "a file", &((struct options *)options)->out, err);
}

static int set_output(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct options *o = options;
	if (strcmp(value, "json") != 0 && strcmp(value, "table") != 0)
		return flag_bad(err, flag, value, "json or table");
	o->json = strcmp(value, "json") == 0;
	return 0;
}

static int set_new_name(void *options, const char *operand, const char *value, struct fh_err *err)
{
	struct options *o = options;
	if (!allow_name_is_good(value))
		return flag_bad(err, operand, value,
				"a name: up to 64 letters, digits, and . _ - but not first");
	o->worker = value;
	return 0;
}

static int set_worker(void *options, const char *operand, const char *value, struct fh_err *err)
{
	return flag_text(operand, value, "a name or a key", &((struct options *)options)->worker,
			 err);
}

static int fail(int ret, const struct fh_err *err)
{
	(void)process_fail(err->text[0] ? err->text : fh_error_text(ret));
	return ret == FH_ENOTFOUND ? CLI_NOT_FOUND : CLI_FAILED;
}

/* What was asked for has been done, but it cannot be said. */
static int flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return CLI_OK;
	return process_fail("the answer cannot be written");
}

/* ---- new ---- */

static void describe(const char *name, const char *public_key, struct allow_entry *ret_entry)
{
	time_t now = time(NULL);
	struct tm tm;
	*ret_entry = (struct allow_entry){ .name = "" };
	(void)snprintf(ret_entry->name, sizeof ret_entry->name, "%s", name);
	memcpy(ret_entry->key, public_key, CURVE_KEY_SIZE);
	(void)strftime(ret_entry->created, sizeof ret_entry->created, "%Y-%m-%dT%H:%M:%SZ",
		       gmtime_r(&now, &tm));
}

/* The pair of the server, and the worker's in its file and on the list. */
static int make_keys(const struct options *o, const char *path, struct curve_pair *ret_server,
		     struct fh_err *err)
{
	int dir_fd;
	struct curve_pair pair;
	struct allow_entry entry;
	int ret = key_folder_open(o->data, &dir_fd, err);
	if (ret)
		return ret;
	ret = key_file_of_server(dir_fd, ret_server, err);
	if (ret == 0)
		ret = curve_pair_new(&pair, err);
	if (ret == 0) {
		describe(o->worker, pair.public_key, &entry);
		ret = key_file_make(path, o->worker, &pair, err);
		curve_pair_wipe(&pair);
		if (ret == 0) {
			ret = allow_list_add(dir_fd, &entry, err);
			if (ret)
				(void)unlink(path);
		}
	}
	(void)close(dir_fd);
	return ret;
}

/* As one word of a shell. */
static void print_quoted(const char *word)
{
	(void)putchar('\'');
	for (; *word; word++)
		(void)printf(*word == '\'' ? "'\\''" : "%c", *word);
	(void)putchar('\'');
}

static int run_new(const struct options *o)
{
	char path[PATH_SIZE];
	struct curve_pair server;
	struct fh_err err = { "" };
	int len = o->out ? snprintf(path, sizeof path, "%s", o->out)
			 : snprintf(path, sizeof path, "./%s.key", o->worker);
	if (len >= (int)sizeof path)
		return process_fail("the name of the file is too long");
	int ret = make_keys(o, path, &server, &err);
	if (ret)
		return fail(ret, &err);
	(void)fprintf(
		stderr,
		"The worker %s is on the list of %s; its secret key is in %s.\n"
		"Take that file to the other machine, let nobody else read it, and start there\n"
		"(HOST:PORT is where `farhand serve --bind` listens):\n",
		o->worker, o->data, path);
	const char *slash = strrchr(path, '/');
	(void)printf("farhand worker --server-key ");
	print_quoted(server.public_key);
	(void)printf(" --key-file ");
	print_quoted(slash ? slash + 1 : path);
	(void)printf(" HOST:PORT\n");
	curve_pair_wipe(&server);
	return flush();
}

/* ---- list, revoke ---- */

static int open_existing(const char *dir, int *ret_fd, struct fh_err *err)
{
	struct stat st;
	if (stat(dir, &st))
		return fh_err_set(err, FH_ENOTFOUND, "there is no folder %.200s", dir);
	return key_folder_open(dir, ret_fd, err);
}

/* Nothing in a name, a key or a time needs an escape. */
static void print_json(const struct allow_list *l)
{
	(void)putchar('[');
	for (size_t i = 0; i < l->count; i++)
		(void)printf("%s{\"name\":\"%s\",\"key\":\"%s\",\"created\":\"%s\"}",
			     i == 0 ? "" : ",", l->entries[i].name, l->entries[i].key,
			     l->entries[i].created);
	(void)printf("]\n");
}

static int print_table(const struct allow_list *l)
{
	struct table t = { .columns = 3 };
	table_add(&t, "NAME");
	table_add(&t, "KEY");
	table_add(&t, "CREATED");
	for (size_t i = 0; i < l->count; i++) {
		table_add(&t, l->entries[i].name);
		table_add(&t, l->entries[i].key);
		table_add(&t, l->entries[i].created);
	}
	bool broken = t.broken;
	if (!broken)
		table_print(&t, stdout);
	table_release(&t);
	if (l->count == 0)
		(void)fputs("no worker has a key\n", stderr);
	return broken ? process_fail(fh_error_text(FH_ENOMEM)) : CLI_OK;
}

static int run_list(const struct options *o)
{
	int dir_fd, status = CLI_OK;
	struct allow_list l;
	struct fh_err err = { "" };
	int ret = open_existing(o->data, &dir_fd, &err);
	if (ret)
		return fail(ret, &err);
	ret = allow_list_open(&l, dir_fd, &err);
	(void)close(dir_fd);
	if (ret)
		return fail(ret, &err);
	if (o->json)
		print_json(&l);
	else
		status = print_table(&l);
	allow_list_release(&l);
	return status ? status : flush();
}

static int run_revoke(const struct options *o)
{
	int dir_fd;
	struct allow_entry entry;
	struct fh_err err = { "" };
	int ret = open_existing(o->data, &dir_fd, &err);
	if (ret)
		return fail(ret, &err);
	ret = allow_list_remove(dir_fd, o->worker, &entry, &err);
	(void)close(dir_fd);
	if (ret)
		return fail(ret, &err);
	(void)printf("%s %s\n", entry.name, entry.key);
	(void)fprintf(stderr, "revoked: a server on %s closes what this worker has with it\n",
		      o->data);
	return flush();
}

/* ---- the way through ---- */

static const struct flag new_flags[] = { { "--data", "DIR", set_data },
					 { "--out", "FILE", set_out } };
static const struct flag list_flags[] = { { "--data", "DIR", set_data },
					  { "-o", "json|table", set_output },
					  { "--output", "json|table", set_output } };
static const struct flag revoke_flags[] = { { "--data", "DIR", set_data } };

static const struct {
	const char *verb;
	struct command command;
	int (*run)(const struct options *o);
} commands[] = {
	{ "new", { "worker-key new", new_flags, 2, "NAME", set_new_name }, run_new },
	{ "list", { "worker-key list", list_flags, 3, NULL, NULL }, run_list },
	{ "revoke", { "worker-key revoke", revoke_flags, 1, "NAME|KEY", set_worker }, run_revoke },
};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char help[] =
	"Usage: farhand worker-key new NAME | list | revoke NAME|KEY [FLAG]...\n"
	"Keys of workers: who may dial in to a server that listens beyond its own machine.\n"
	"\n"
	"  farhand worker-key new lab7           makes ./lab7.key, prints what to type on lab7\n"
	"  farhand worker-key list -o json\n"
	"  farhand worker-key revoke lab7        within a second it is out\n"
	"\n"
	"  --data DIR             the server's data folder (default ./farhand-data)\n"
	"  --out FILE             new: where the secret key goes (default ./NAME.key)\n"
	"  -o, --output json|table\n"
	"                         list: for programs, or for people (default)\n"
	"  --help                 this text\n"
	"\n"
	"It works on files, on the machine of the server, which need not run. Exit codes: 0 done,\n"
	"1 failed, 2 usage, 3 not found.\n";

static int usage(const char *line)
{
	(void)process_fail(line);
	return CLI_USAGE;
}

static int print_help(void)
{
	(void)fputs(help, stdout);
	return CLI_OK;
}

static int unknown_verb(const char *verb)
{
	const char *verbs[COMMAND_COUNT];
	char line[160];
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		verbs[i] = commands[i].verb;
	const char *meant = cli_suggest(verb, verbs, COMMAND_COUNT);
	(void)snprintf(line, sizeof line,
		       "unknown command 'worker-key %.40s'%s%s; see farhand worker-key --help",
		       verb, meant ? ", did you mean " : "", meant ? meant : "");
	return usage(line);
}

int worker_key_run(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	struct options o = { .data = "./farhand-data" };
	struct fh_err err = { "" };
	bool wants_help = strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0;
	if (wants_help)
		return print_help();
	if (!*verb)
		return usage("worker-key needs new, list or revoke; see farhand worker-key --help");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(verb, commands[i].verb) != 0)
			continue;
		if (command_parse(&commands[i].command, &o, argc - 1, argv + 1, &wants_help, &err))
			return usage(err.text);
		process_holds_secrets();
		return wants_help ? print_help() : commands[i].run(&o);
	}
	return unknown_verb(verb);
}
