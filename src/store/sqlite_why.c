/* "disk I/O error" alone tells nobody what to do, "disk I/O error: No space left on device" does.
 */
#include "store/sqlite_why.h"

#include <stdbool.h>
#include <string.h>

/* SQLite asks the system late, when another call may have succeeded since; the files remember it.
 */
static int system_error(sqlite3 *handle)
{
	int error = sqlite3_system_errno(handle);
	sqlite3_file *log = NULL;
	if (!error)
		(void)sqlite3_file_control(handle, NULL, SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (!error && log && log->pMethods)
		(void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error);
	if (!error)
		(void)sqlite3_file_control(handle, NULL, SQLITE_FCNTL_LAST_ERRNO, &error);
	return error;
}

struct fh_err sqlite_why(sqlite3 *handle)
{
	struct fh_err why;
	const char *message = sqlite3_errmsg(handle);
	int rc = sqlite3_errcode(handle) & 0xff;
	bool from_system = rc == SQLITE_IOERR || rc == SQLITE_CANTOPEN;
	int error = from_system ? system_error(handle) : 0;
	(void)fh_err_set(&why, 0, "%s%s%s", message, error ? ": " : "",
			 error ? strerror(error) : "");
	return why;
}
