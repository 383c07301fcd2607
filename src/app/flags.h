/* Command lines as data: a command is a table of flags, each with a setter, and errors name the
 * flag. `--flag VALUE` and `--flag=VALUE` are the same. */
#ifndef FARHAND_APP_FLAGS_H
#define FARHAND_APP_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Puts a value into `options`, which is the command's own struct. FH_EINVAL with a line in `err`.
 */
typedef int flag_set(void *options, const char *flag, const char *value, struct fh_err *err);

struct flag {
	const char *name, *value; /* "--listen", "HOST:PORT"; no value: NULL, and set() gets "" */
	flag_set *set;
};

struct command {
	const char *name; /* "serve" */
	const struct flag *flags;
	size_t flag_count;
	const char *operand; /* what stands without a flag, exactly once; NULL: nothing does */
	flag_set *set_operand;
};

/* Reads argv (argv[0] is skipped) into `options`. Strings are borrowed from argv. With --help in it
 * nothing needs to be complete. FH_EINVAL with one line that names the flag and says what would be
 * right. */
int command_parse(const struct command *command, void *options, int argc, char **argv,
		  bool *ret_help, struct fh_err *err) FH_MUST_USE;

/* ---- values ---- */

/* "FLAG: 'VALUE' is not RIGHT" */
int flag_bad(struct fh_err *err, const char *flag, const char *value, const char *right);

int flag_whole(const char *flag, const char *value, uint64_t min, uint64_t max,
	       uint64_t *ret_number, struct fh_err *err) FH_MUST_USE;

/* Decimals are allowed. */
int flag_seconds(const char *flag, const char *value, double min, uint32_t *ret_ms,
		 struct fh_err *err) FH_MUST_USE;

/* Not empty; borrowed. */
int flag_text(const char *flag, const char *value, const char *right, const char **ret_text,
	      struct fh_err *err) FH_MUST_USE;

#endif
