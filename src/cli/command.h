/* What the files of the client commands share: the table of commands, and one invocation of one. */
#ifndef FARHAND_CLI_COMMAND_H
#define FARHAND_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "cli/cli.h"

struct client;
struct client_answer;
struct client_error;
struct table;
struct invocation;

/* Flags that only some commands take. */
enum command_flag {
	COMMAND_WAIT = 1, /* --wait, --timeout */
};

struct command {
	const char *noun, *verb;
	const char *argument; /* "ID"; NULL: it takes none */
	unsigned flags;	      /* mask of command_flag */
	const char *summary;  /* a sentence */
	const char *examples; /* whole lines */
	const char *quiet;    /* what -q prints */
	int (*run)(struct invocation *v);
};

extern const struct command workers_ls, workers_show, workers_drain, workers_resume, task_explain;

enum output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_QUIET };

/* What the command line said, and where answers go. */
struct invocation {
	const struct command *command;
	FILE *out, *err;
	enum output output;
	const char *url; /* of the server */
	const char *argument;
	bool help, wait;
	uint32_t timeout_ms; /* 0: none */
	struct client *client;
};

/* ---- args.c */

/* Reads the words behind the verb. FH_EINVAL, with a line for people; `v->output` counts even so.
 */
int args_parse(struct invocation *v, int argc, char **argv, struct fh_err *err) FH_MUST_USE;

/* The lines about flags in a command's help. */
void args_help(const struct command *c, FILE *out);

/* ---- commands.c */

/* Says why a command fails: a line, or with -o json an object. Returns `exit`. */
int command_fail(const struct invocation *v, int exit, const char *code, const char *text);
int command_fail_request(const struct invocation *v, int exit, const struct client_error *error);

/* Prints an answer: the server's own with -o json; its member `quiet` with -q; else the table,
 * which is released in any case. */
int command_print(const struct invocation *v, const struct client_answer *a, const char *quiet,
		  struct table *own_table);

#endif
