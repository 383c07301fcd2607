/* The workers that a server lets in: the file `workers.keys` in its data folder, one line a worker,
 * `NAME KEY CREATED`; lines that begin with `#` are for people. A server follows it while it runs.
 */
#ifndef FARHAND_APP_ALLOW_LIST_H
#define FARHAND_APP_ALLOW_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/map.h"
#include "transport/curve.h"
#include "transport/transport.h"

enum {
	ALLOW_MAX = 4096, /* workers */
	ALLOW_CREATED_SIZE = 24,
};

struct allow_entry {
	char name[TRANSPORT_NAME_MAX + 1]; /* letters, digits, and . _ - but not first */
	char key[CURVE_KEY_SIZE];	   /* public */
	char created[ALLOW_CREATED_SIZE];  /* RFC 3339, UTC */
};

struct allow_list {
	int dir_fd; /* borrowed */
	struct allow_entry *entries;
	size_t count;
	struct map by_key;
	struct stat seen; /* what the file was; all zero: there was none */
	bool failing;	  /* it could not be read; that was said */
	void *ctx;	  /* set by the owner */
	void (*log)(void *ctx, const char *line);
};

bool allow_name_is_good(const char *name);

/* Reads the list; a folder without one lets nobody in. FH_EINVAL: the file is not for its owner
 * alone, or a line is none, which `err` names; FH_EIO; FH_ENOMEM. Nothing is to be released then.
 */
int allow_list_open(struct allow_list *ret_list, int dir_fd, struct fh_err *err) FH_MUST_USE;
void allow_list_release(struct allow_list *l);

/* NULL: who has the key is not let in. */
const char *allow_list_name_of(const struct allow_list *l, const char *key);

/* Reads it anew if the file has changed; true: the list is another one. What is wrong is logged,
 * and lets nobody in: a line that is none, a file that others may write. A file that cannot be read
 * for now changes nothing. */
bool allow_list_refresh(struct allow_list *l);

/* ---- changes; the folder is locked by the caller */

/* FH_EEXISTS: the name is on it; and as allow_list_open(). */
int allow_list_add(int dir_fd, const struct allow_entry *entry, struct fh_err *err) FH_MUST_USE;

/* Takes off the one with this name or key. FH_ENOTFOUND; and as allow_list_open(). */
int allow_list_remove(int dir_fd, const char *name_or_key, struct allow_entry *ret_entry,
		      struct fh_err *err) FH_MUST_USE;

#endif
