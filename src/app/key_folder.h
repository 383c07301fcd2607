/* The data folder as the place of keys. Its store is not touched, so a server may run on it. */
#ifndef FARHAND_APP_KEY_FOLDER_H
#define FARHAND_APP_KEY_FOLDER_H

#include "base/err.h"

/* Makes the folder if it is not there, opens it, and waits until nobody else changes keys in it:
 * the descriptor holds that lock (flock) until it is closed or unlocked. FH_EINVAL: not a folder,
 * or not ours; FH_EIO; with a line that names it. */
int key_folder_open(const char *dir, int *ret_fd, struct fh_err *err) FH_MUST_USE;

#endif
