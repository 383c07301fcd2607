/* Small files that only their owner may read: keys, and the list of them. */
#ifndef FARHAND_APP_PRIVATE_FILE_H
#define FARHAND_APP_PRIVATE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"

enum { PRIVATE_FILE_MAX = 4 << 20 };

/* The whole file, as text that ends with a NUL, and what it was when it was read (`ret_stat` may be
 * NULL). The text is the caller's; private_text_free() wipes it. A path may be relative to a
 * folder, AT_FDCWD is the current one. FH_ENOTFOUND: there is none; FH_EINVAL: others can read it,
 * it is another user's, or no file of text; FH_EIO; FH_ENOMEM. All with a line, without the path.
 */
int private_file_read(int dir_fd, const char *path, char **ret_text, struct stat *ret_stat,
		      struct fh_err *err) FH_MUST_USE;

/* Wipes and frees; accepts NULL. */
void private_text_free(char *text);

/* A new file, mode 0600, durable. FH_EEXISTS; FH_EIO: and nothing is left of it. */
int private_file_make(const char *path, const char *text, struct fh_err *err) FH_MUST_USE;

/* The file has this content from now on, or still the old one; durable. The caller sees to it that
 * nobody else does the same. FH_EIO. */
int private_file_replace(int dir_fd, const char *name, const char *text,
			 struct fh_err *err) FH_MUST_USE;

#endif
