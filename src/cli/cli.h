/* The client commands, such as `farhand workers ls`: each is one request or a few over the HTTP
 * interface, and an answer for people, for programs (`-o json`) or for a shell (`-q`). Data goes to
 * `out`, everything else to `err`. They know nothing of how a server works. */
#ifndef FARHAND_CLI_CLI_H
#define FARHAND_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How a command ends; part of the interface. */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_UNAUTHORIZED = 4,
	CLI_TIMED_OUT = 6,
	CLI_UNREACHABLE = 7,
	CLI_LIMITED = 8, /* the server is full, or we ask too often */
};

/* Whether `word` begins a client command: "workers", "task". */
bool cli_has(const char *word);

/* Runs the command whose words are argv[0], argv[1] ... The exit code. */
int cli_run(int argc, char **argv, FILE *out, FILE *err);

/* The lines about client commands in `farhand --help`. */
const char *cli_summary(void);

/* What a word that is none of `words` was probably meant to be; NULL: nothing is near. NULL among
 * the words is skipped. */
const char *cli_suggest(const char *word, const char *const *words, size_t count);

#endif
