/* Files with a pair of keys: `server.key` in the data folder, and one for each worker host. Two
 * lines, `public KEY` and `secret KEY`; lines that begin with `#` say what it is. */
#ifndef FARHAND_APP_KEY_FILE_H
#define FARHAND_APP_KEY_FILE_H

#include "base/err.h"
#include "transport/curve.h"

/* FH_ENOTFOUND; FH_EINVAL: it is not for its owner alone, or no such file; FH_EIO; FH_ENOMEM. All
 * with a line that names the file and no key. */
int key_file_read(const char *path, struct curve_pair *ret_pair, struct fh_err *err) FH_MUST_USE;

/* A new file with the key of the worker `name`. FH_EEXISTS, FH_EIO, as above. */
int key_file_make(const char *path, const char *name, const struct curve_pair *pair,
		  struct fh_err *err) FH_MUST_USE;

/* The pair of the server whose data folder this is; both are made at first need. `dir_fd` is the
 * folder, which is locked meanwhile. FH_EINVAL, FH_EIO, FH_ENOMEM, as above. */
int key_file_of_server(int dir_fd, struct curve_pair *ret_pair, struct fh_err *err) FH_MUST_USE;

#endif
