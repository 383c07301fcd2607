/* Command lines of the server parts: flags are data, errors name the flag. */
#ifndef FARHAND_APP_OPTIONS_H
#define FARHAND_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { OPTIONS_PATHS_MAX = 32 };

struct serve_options {
	char host[256];
	uint16_t port;
	const char *data;
	unsigned slots; /* of the local pool; 0: none */
	const char *python;
	const char *paths[OPTIONS_PATHS_MAX];
	size_t path_count;
	uint32_t task_timeout_ms; /* 0: none */
	uint32_t grace_ms;
	uint64_t queued_max, queued_bytes_max;
	bool help;
};

/* Fills in the defaults, then what argv says (argv[0] is skipped). Strings are borrowed from argv
 * and the environment. FH_EINVAL with one line that names the flag and says what would be right. */
int serve_options_parse(struct serve_options *ret_options, int argc, char **argv,
			struct fh_err *err) FH_MUST_USE;

/* The text behind `farhand serve --help`. Static memory. */
const char *serve_options_help(void);

#endif
