/* Why a call of SQLite failed. */
#ifndef FARHAND_STORE_SQLITE_WHY_H
#define FARHAND_STORE_SQLITE_WHY_H

#include <sqlite3.h>

#include "base/err.h"

/* SQLite's message of the last error on this connection and, after an I/O error, the system's. */
struct fh_err sqlite_why(sqlite3 *handle);

#endif
