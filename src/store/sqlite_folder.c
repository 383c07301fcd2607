/* Who may use the folder. Happy path: make it (and make its name durable), see that it is ours,
 * close it to others, take the lock, write our process id into the lock file. The lock is flock(2):
 * the kernel drops it with the process, however that ends, so there is no stale one; the file
 * stays. Failure modes: the folder is something else or somebody else's, another server has the
 * lock. */
#include "store/sqlite_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const char *what, struct fh_err *err)
{
	return fh_err_set(err, FH_EIO, "cannot %s: %s", what, strerror(errno));
}

/* The new entry in the parent must survive a power cut as well. */
static int sync_parent(int dir_fd, struct fh_err *err)
{
	int parent_fd = openat(dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = parent_fd < 0 || fsync(parent_fd) ? failed("make the folder durable", err) : 0;
	if (parent_fd >= 0)
		(void)close(parent_fd);
	return ret;
}

static int check_owner(int dir_fd, struct fh_err *err)
{
	struct stat st;
	if (fstat(dir_fd, &st))
		return failed("examine the folder", err);
	if (st.st_uid != geteuid())
		return fh_err_set(err, FH_EINVAL, "the folder belongs to another user (uid %u)",
				  (unsigned)st.st_uid);
	if ((st.st_mode & 077) && fchmod(dir_fd, 0700))
		return failed("close the folder to others", err);
	return 0;
}

int folder_open(const char *dir, int *ret_fd, struct fh_err *err)
{
	bool made = mkdir(dir, 0700) == 0;
	if (!made && errno != EEXIST)
		return failed("make the folder", err);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		return fh_err_set(err, FH_EINVAL, "it is not a folder");
	if (fd < 0)
		return failed("open the folder", err);
	int ret = made ? sync_parent(fd, err) : 0;
	if (!ret)
		ret = check_owner(fd, err);
	if (ret)
		(void)close(fd);
	else
		*ret_fd = fd;
	return ret;
}

static int say_who(int lock_fd, struct fh_err *err)
{
	char text[32] = "";
	ssize_t len = pread(lock_fd, text, sizeof text - 1, 0);
	text[len > 0 ? strspn(text, "0123456789") : 0] = '\0';
	if (*text == '\0')
		return fh_err_set(err, FH_EBUSY, "another server uses it");
	return fh_err_set(err, FH_EBUSY, "another server uses it (process %s)", text);
}

static int write_pid(int lock_fd, struct fh_err *err)
{
	char text[32];
	int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
	if (ftruncate(lock_fd, 0) || pwrite(lock_fd, text, (size_t)len, 0) != len)
		return failed("write the lock file", err);
	return 0;
}

int folder_lock(const char *dir, int *ret_lock_fd, struct fh_err *err)
{
	int dir_fd = -1;
	int ret = folder_open(dir, &dir_fd, err);
	if (ret)
		return ret;
	int fd = openat(dir_fd, "farhand.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	(void)close(dir_fd);
	if (fd < 0)
		return failed("open the lock file", err);
	if (flock(fd, LOCK_EX | LOCK_NB))
		ret = errno == EWOULDBLOCK ? say_who(fd, err) : failed("lock the folder", err);
	else
		ret = write_pid(fd, err);
	if (ret)
		(void)close(fd);
	else
		*ret_lock_fd = fd;
	return ret;
}

int folder_make_file(const char *path, struct fh_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return failed("open the database", err);
	(void)close(fd);
	return 0;
}
