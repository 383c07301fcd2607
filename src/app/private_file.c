/* Reads and writes private files. Happy path: open, see whose it is and who may read it, read it
 * whole; write beside it, make that durable, put it in its place. Failure modes: it is not ours
 * alone, it is too large or holds a NUL, the disk is full: then what was there stays. */
#include "app/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static int failed(const char *what, struct fh_err *err)
{
	return fh_err_set(err, FH_EIO, "cannot %s it: %s", what, strerror(errno));
}

static int check(const struct stat *st, struct fh_err *err)
{
	if (!S_ISREG(st->st_mode))
		return fh_err_set(err, FH_EINVAL, "it is not a file");
	if (st->st_uid != geteuid())
		return fh_err_set(err, FH_EINVAL, "it belongs to another user (uid %u)",
				  (unsigned)st->st_uid);
	if (st->st_mode & 077)
		return fh_err_set(err, FH_EINVAL,
				  "others may use it (mode %04o): chmod 600, if nobody has",
				  (unsigned)st->st_mode & 07777);
	if (st->st_size > PRIVATE_FILE_MAX)
		return fh_err_set(err, FH_EINVAL, "it is too large");
	return 0;
}

static int read_all(int fd, char *text, size_t max, size_t *ret_len, struct fh_err *err)
{
	size_t len = 0;
	while (len < max) {
		ssize_t n = read(fd, text + len, max - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed("read", err);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	*ret_len = len;
	return 0;
}

static int read_text(int fd, const struct stat *st, char **ret_text, struct fh_err *err)
{
	size_t max = (size_t)st->st_size, len = 0;
	char *text = fh_calloc(1, max + 1);
	if (!text)
		return FH_ENOMEM;
	int ret = read_all(fd, text, max, &len, err);
	if (ret == 0 && strlen(text) != len)
		ret = fh_err_set(err, FH_EINVAL, "it is not text");
	if (ret)
		private_text_free(text);
	else
		*ret_text = text;
	return ret;
}

int private_file_read(int dir_fd, const char *path, char **ret_text, struct stat *ret_stat,
		      struct fh_err *err)
{
	struct stat st;
	int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && errno == ENOENT)
		return fh_err_set(err, FH_ENOTFOUND, "there is no such file");
	if (fd < 0)
		return failed("open", err);
	int ret = fstat(fd, &st) ? failed("examine", err) : check(&st, err);
	if (ret == 0)
		ret = read_text(fd, &st, ret_text, err);
	if (ret == 0 && ret_stat)
		*ret_stat = st;
	(void)close(fd);
	return ret;
}

void private_text_free(char *text)
{
	if (text)
		explicit_bzero(text, strlen(text));
	fh_free(text);
}

static int write_all(int fd, const char *text, struct fh_err *err)
{
	size_t len = strlen(text), done = 0;
	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);
		if (n < 0 && errno != EINTR)
			return failed("write", err);
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) ? failed("write", err) : 0;
}

static int make(int dir_fd, const char *path, const char *text, struct fh_err *err)
{
	int fd = openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EEXIST)
		return fh_err_set(err, FH_EEXISTS, "it exists already");
	if (fd < 0)
		return failed("make", err);
	int ret = write_all(fd, text, err);
	if (close(fd) && ret == 0)
		ret = failed("write", err);
	if (ret)
		(void)unlinkat(dir_fd, path, 0);
	return ret;
}

int private_file_make(const char *path, const char *text, struct fh_err *err)
{
	return make(AT_FDCWD, path, text, err);
}

int private_file_replace(int dir_fd, const char *name, const char *text, struct fh_err *err)
{
	char beside[256];
	(void)snprintf(beside, sizeof beside, "%.240s.new", name);
	/* Whoever wrote there last did not come to the end. */
	if (unlinkat(dir_fd, beside, 0) && errno != ENOENT)
		return failed("write", err);
	int ret = make(dir_fd, beside, text, err);
	if (ret == 0 && (renameat(dir_fd, beside, dir_fd, name) || fsync(dir_fd)))
		ret = failed("write", err);
	return ret;
}
