/* Opening and closing the database.
 *
 *  - folder and lock, then the file, then whose it is and its version (nothing is written before);
 *  - write-ahead log, migration, prepared statements;
 *  - what the last commit left (db_recover).
 *
 * Failure modes: the reasons of store_open_sqlite(), with a line that begins with the path.
 * db_close() after a failure does not touch the log: what is in it is for the next start to read.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite_db.h"
#include "store/sqlite_folder.h"
#include "store/sqlite_schema.h"
#include "store/sqlite_why.h"

/* One connection, so the exclusive lock costs nobody anything and the log's index needs no shared
 * memory. The page cache is the store's whole memory, whatever the backlog. The log is checkpointed
 * by db_checkpoint(), which sees errors that the automatic one swallows; after a burst it is cut
 * back to 64 MiB. secure_delete would write zeroes over everything that is deleted. */
static const char locking[] = "PRAGMA locking_mode = EXCLUSIVE";
static const char pragmas[] = "PRAGMA page_size = 4096;"
			      "PRAGMA cache_size = -8192;"
			      "PRAGMA mmap_size = 0;"
			      "PRAGMA temp_store = MEMORY;"
			      "PRAGMA trusted_schema = OFF;"
			      "PRAGMA cell_size_check = ON;"
			      "PRAGMA secure_delete = OFF;"
			      "PRAGMA wal_autocheckpoint = 0;"
			      "PRAGMA journal_size_limit = 67108864;";
static const char durability[] = "PRAGMA journal_mode = WAL;"
				 "PRAGMA synchronous = FULL;";

int db_fail(struct db *db, const char *what)
{
	struct fh_err why = sqlite_why(db->handle);
	return fh_err_set(&db->failure, FH_EIO, "%s: %s: %s", db->path, what, why.text);
}

int db_fail_damaged(struct db *db, const char *what)
{
	return fh_err_set(&db->failure, FH_EIO, "%s: the database is damaged: %s", db->path, what);
}

/* What went wrong while serving, as the reason of a refused start. */
static int refused(const struct db *db, struct fh_err *err)
{
	return fh_err_set(err, FH_EIO, "%s", db->failure.text);
}

static int execute(struct db *db, const char *sql)
{
	if (sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(db, "cannot set it up");
	return 0;
}

static int open_file(struct db *db, struct fh_err *err)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int ret = folder_make_file(db->path, err);
	if (ret)
		return fh_err_wrap(err, ret, db->path);
	if (sqlite3_open_v2(db->path, &db->handle, flags, NULL) != SQLITE_OK) {
		(void)db_fail(db, "cannot open it");
		return refused(db, err);
	}
	(void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	struct stat st;
	if (stat(db->path, &st))
		return fh_err_set(err, FH_EIO, "%s: %s", db->path, strerror(errno));
	db->device = st.st_dev;
	db->inode = st.st_ino;
	return 0;
}

/* The log must really be a write-ahead log: a file system without it would answer with another
 * mode and no error. */
static int check_log(struct db *db)
{
	sqlite3_stmt *stmt = NULL;
	bool wal = false;
	if (sqlite3_prepare_v2(db->handle, "PRAGMA journal_mode", -1, &stmt, NULL) == SQLITE_OK &&
	    sqlite3_step(stmt) == SQLITE_ROW)
		wal = strcmp((const char *)sqlite3_column_text(stmt, 0), "wal") == 0;
	(void)sqlite3_finalize(stmt);
	return wal ? 0 : db_fail(db, "cannot use a write-ahead log");
}

static int note_log(void *ctx, sqlite3 *handle, const char *name, int pages)
{
	(void)handle;
	(void)name;
	((struct db *)ctx)->wal_pages = pages;
	return SQLITE_OK;
}

/* The version is looked at before the first write, so that what is not ours stays as it is. */
static int set_up(struct db *db, struct fh_err *err)
{
	if (execute(db, locking))
		return refused(db, err);
	int ret = schema_check(db->handle, schema_step_count, err);
	if (ret)
		return fh_err_wrap(err, ret, db->path);
	if (execute(db, pragmas) || execute(db, durability) || check_log(db))
		return refused(db, err);
	ret = schema_migrate(db->handle, schema_steps, schema_step_count, err);
	if (ret)
		return fh_err_wrap(err, ret, db->path);
	(void)sqlite3_wal_hook(db->handle, note_log, db);
	return queries_prepare(db) ? refused(db, err) : 0;
}

static char *join(const char *dir, const char *name)
{
	size_t size = strlen(dir) + strlen(name) + 2;
	char *path = fh_malloc(size);
	if (path)
		(void)snprintf(path, size, "%s/%s", dir, name);
	return path;
}

/* Statistics about memory cost a global lock at each allocation, and nobody reads them. It must be
 * said before SQLite starts; where another part has started it, things stay as they are. */
static void configure_once(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int open_parts(struct db *db, const char *dir, struct store_recovery *ret_recovery,
		      struct fh_err *err)
{
	int ret = folder_lock(dir, &db->lock_fd, err);
	if (ret)
		return fh_err_wrap(err, ret, dir);
	ret = open_file(db, err);
	if (!ret)
		ret = set_up(db, err);
	if (!ret && db_recover(db, ret_recovery))
		ret = refused(db, err);
	return ret;
}

int db_open(struct db *db, const char *dir, struct store_recovery *ret_recovery, struct fh_err *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, configure_once);
	*db = (struct db){ .lock_fd = -1, .path = join(dir, "farhand.db") };
	if (!db->path || claims_init(&db->claims)) {
		fh_free(db->path);
		return fh_err_set(err, FH_ENOMEM, "%s", fh_error_text(FH_ENOMEM));
	}
	int ret = open_parts(db, dir, ret_recovery, err);
	if (ret)
		db_close(db, false);
	return ret;
}

/* Marks the stop as orderly. It is the last commit; should it fail, the next start sees that the
 * stop was not orderly, which is true. */
static void say_orderly(struct db *db)
{
	db->server.clean = true;
	db->dirty = true;
	if (db_begin(db) == 0 && db_commit(db) == 0)
		return;
	(void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

void db_close(struct db *db, bool orderly)
{
	if (orderly)
		say_orderly(db);
	else if (db->handle)
		(void)sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	queries_finalize(db);
	(void)sqlite3_close(db->handle);
	claims_release(&db->claims);
	fh_free(db->path);
	if (db->lock_fd >= 0)
		(void)close(db->lock_fd);
	db->handle = NULL;
	db->path = NULL;
	db->lock_fd = -1;
}
