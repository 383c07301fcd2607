/* `farhand`: picks the subcommand. */
#include <event2/event.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "app/options.h"
#include "app/serve.h"
#include "app/worker.h"
#include "app/worker_key.h"
#include "cli/cli.h"
#include "farhand/version.h"

enum { EXIT_USAGE = 2 };

static void print_commands(FILE *to)
{
	(void)fprintf(to,
		      "Usage: farhand COMMAND [FLAG]...\n"
		      "Borrow strong machines: run Python functions by REST, durably.\n"
		      "\n"
		      "  serve      gateway, dispatcher and local pool in one process\n"
		      "  worker     runs functions for a dispatcher elsewhere\n"
		      "  worker-key keys of workers: new, list, revoke\n"
		      "%s"
		      "  version    versions of Farhand and of its libraries\n"
		      "\n"
		      "  --help, --version\n"
		      "`farhand COMMAND --help` says more.\n",
		      cli_summary());
}

static int print_version(void)
{
	int major, minor, patch;
	zmq_version(&major, &minor, &patch);
	(void)printf("farhand %s (libevent %s, SQLite %s, ZeroMQ %d.%d.%d)\n", FH_VERSION,
		     event_get_version(), sqlite3_libversion(), major, minor, patch);
	return 0;
}

static int usage_error(const char *line)
{
	(void)fprintf(stderr, "farhand: %s\n", line);
	return EXIT_USAGE;
}

static int print_help(const char *text)
{
	(void)fputs(text, stdout);
	return 0;
}

static int command_serve(int argc, char **argv)
{
	struct serve_options options;
	struct fh_err err = { "" };
	bool wants_help;
	if (serve_options_parse(&options, argc, argv, &wants_help, &err))
		return usage_error(err.text);
	return wants_help ? print_help(serve_options_help()) : serve_run(&options);
}

static int command_worker(int argc, char **argv)
{
	struct worker_options options;
	struct fh_err err = { "" };
	bool wants_help;
	if (worker_options_parse(&options, argc, argv, &wants_help, &err))
		return usage_error(err.text);
	return wants_help ? print_help(worker_options_help()) : worker_run(&options);
}

static int unknown_command(const char *command)
{
	static const char *const words[] = { "serve", "worker",	 "worker-key", "workers",
					     "task",  "version", "help" };
	const char *meant = cli_suggest(command, words, sizeof words / sizeof *words);
	char line[160];
	(void)snprintf(line, sizeof line, "unknown command '%.60s'%s%s; see farhand --help",
		       command, meant ? ", did you mean " : "", meant ? meant : "");
	return usage_error(line);
}

/* A standard descriptor that is closed would be the number of what we open next, and our lines
 * would go there. */
static void open_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= STDIN_FILENO && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

int main(int argc, char **argv)
{
	open_standard_descriptors();
	if (argc < 2) {
		print_commands(stderr);
		return EXIT_USAGE;
	}
	const char *command = argv[1];
	if (strcmp(command, "serve") == 0)
		return command_serve(argc - 1, argv + 1);
	if (strcmp(command, "worker") == 0)
		return command_worker(argc - 1, argv + 1);
	if (strcmp(command, "worker-key") == 0)
		return worker_key_run(argc - 1, argv + 1);
	if (strcmp(command, "--version") == 0 || strcmp(command, "version") == 0)
		return print_version();
	if (strcmp(command, "--help") == 0 || strcmp(command, "-h") == 0 ||
	    strcmp(command, "help") == 0) {
		print_commands(stdout);
		return 0;
	}
	if (cli_has(command))
		return cli_run(argc - 1, argv + 1, stdout, stderr);
	return unknown_command(command);
}
