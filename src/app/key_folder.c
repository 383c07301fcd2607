#include "app/key_folder.h"

#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "store/sqlite_folder.h"

int key_folder_open(const char *dir, int *ret_fd, struct fh_err *err)
{
	int fd = -1, locked;
	int ret = folder_open(dir, &fd, err);
	if (ret)
		return fh_err_wrap(err, ret, dir);
	do
		locked = flock(fd, LOCK_EX);
	while (locked && errno == EINTR);
	if (locked) {
		(void)close(fd);
		return fh_err_set(err, FH_EIO, "%s: cannot lock it: %s", dir, strerror(errno));
	}
	*ret_fd = fd;
	return 0;
}
