/* The process as a server part needs it. */
#include "app/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

/* Thousands of parked clients, or of children, need descriptors; the hard limit is the operator's.
 */
static void raise_limits(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

void process_prepare(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is the store's error to tell */
	raise_limits();
}

void process_holds_secrets(void)
{
	struct rlimit core;
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = 0;
		(void)setrlimit(RLIMIT_CORE, &core);
	}
}

int process_fail(const char *line)
{
	(void)fprintf(stderr, "farhand: %s\n", line);
	return EXIT_FAILURE;
}
