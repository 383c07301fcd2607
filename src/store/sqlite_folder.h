/* The folder of an embedded store: ours alone, and used by one server at a time. */
#ifndef FARHAND_STORE_SQLITE_FOLDER_H
#define FARHAND_STORE_SQLITE_FOLDER_H

#include "base/err.h"

/* Makes the folder with mode 0700 if it is not there, closes an open one to others, and opens it,
 * whoever uses it. FH_EINVAL: not a folder, or not ours; FH_EIO. */
int folder_open(const char *dir, int *ret_fd, struct fh_err *err) FH_MUST_USE;

/* The same, and locks it for this process: `ret_lock_fd` holds the lock until it is closed.
 * FH_EBUSY: another server has it, which `err` names by its process id; FH_EIO. */
int folder_lock(const char *dir, int *ret_lock_fd, struct fh_err *err) FH_MUST_USE;

/* Makes the file with mode 0600 if it is not there. FH_EIO. */
int folder_make_file(const char *path, struct fh_err *err) FH_MUST_USE;

#endif
