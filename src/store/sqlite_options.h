/* A task's options as one column: what differs from the defaults, as "name=value" with a space
 * between two of them, in the order of the list in sqlite_options.c. Most tasks differ in nothing
 * and have NULL; a human can read the rest. Texts (retry_classes, tags) are columns of their own.
 */
#ifndef FARHAND_STORE_SQLITE_OPTIONS_H
#define FARHAND_STORE_SQLITE_OPTIONS_H

#include "base/err.h"
#include "base/record.h"

struct options_text {
	char text[512];
};

/* Returns the text, or NULL when nothing differs. */
const char *options_write(const struct task_options *o, struct options_text *buffer);

/* Sets the defaults and what the text (or NULL) says, and no strings. FH_EINVAL: malformed, and
 * `ret_options` holds the defaults. */
int options_read(const char *text, struct task_options *ret_options) FH_MUST_USE;

#endif
