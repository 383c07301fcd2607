/* The tables and how they come from those of an older version. */
#ifndef FARHAND_STORE_SQLITE_SCHEMA_H
#define FARHAND_STORE_SQLITE_SCHEMA_H

#include <sqlite3.h>
#include <stddef.h>

#include "base/err.h"

/* "FHnd": says to `file` and to us whose database it is. */
#define SCHEMA_APPLICATION_ID 0x46486E64

/* SQL that leads from one version to the next: step i from version i to i + 1. */
struct schema_step {
	const char *sql;
};

extern const struct schema_step schema_steps[];
extern const size_t schema_step_count; /* the version that this program reads and writes */

/* Looks, and writes nothing: 0 if the database is ours and not newer than version `count`. Errors
 * as below. */
int schema_check(sqlite3 *handle, size_t count, struct fh_err *err) FH_MUST_USE;

/* Brings a database to version `count`: all missing steps in one transaction, none if one of them
 * fails. An empty file is version 0. FH_EVERSION: it is newer than `count`; FH_EINVAL: not a
 * database of ours; FH_EBUSY: another program has it; FH_EIO. Says why in `err`, without the path.
 */
int schema_migrate(sqlite3 *handle, const struct schema_step *steps, size_t count,
		   struct fh_err *err) FH_MUST_USE;

#endif
