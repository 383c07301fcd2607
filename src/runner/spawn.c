/* Starts the Python process. Happy path: the name is looked up on PATH here, so that what is
 * missing can be named, then posix_spawn() gives it exactly five descriptors; all others of ours
 * are close-on-exec. It gets a session of its own: a terminal's interrupt is for the worker, which
 * ends its children itself. Failure modes: no such executable, or it cannot be executed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner/embedded.h"
#include "runner/runner_priv.h"

extern char **environ;

enum {
	FIRST_FREE_FD = 10, /* copies of descriptors lie above the numbers that they get */
	PATH_LEN_MAX = 4096,
};

static bool executable(const char *path)
{
	return access(path, X_OK) == 0;
}

/* As execvp() would; `path` holds the result. */
static int look_up(const char *name, char path[PATH_LEN_MAX], struct fh_err *err)
{
	if (strchr(name, '/')) {
		if (snprintf(path, PATH_LEN_MAX, "%s", name) < PATH_LEN_MAX && executable(path))
			return 0;
		return fh_err_set(err, FH_ENOTFOUND, "no Python at %s: %s", name, strerror(errno));
	}
	const char *dirs = getenv("PATH");
	for (const char *at = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin"; at;) {
		const char *end = strchrnul(at, ':');
		int len = end == at ? 1 : (int)(end - at);
		int n = snprintf(path, PATH_LEN_MAX, "%.*s/%s", len, end == at ? "." : at, name);
		if (n > 0 && n < PATH_LEN_MAX && executable(path))
			return 0;
		at = *end ? end + 1 : NULL;
	}
	return fh_err_set(err, FH_ENOTFOUND, "no Python: there is no %s on the PATH", name);
}

static int spawn_with(posix_spawn_file_actions_t *files, posix_spawnattr_t *attr, const char *path,
		      const int fds[3], pid_t *ret_pid)
{
	sigset_t all, none;
	sigfillset(&all);
	sigemptyset(&none);
	int e = posix_spawnattr_setsigdefault(attr, &all);
	if (!e)
		e = posix_spawnattr_setsigmask(attr, &none);
	if (!e)
		e = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
							   POSIX_SPAWN_SETSID);
	if (!e)
		e = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
	const int targets[4][2] = { { fds[0], 1 }, { fds[0], 2 }, { fds[1], 3 }, { fds[2], 4 } };
	for (int i = 0; i < 4 && !e; i++)
		e = posix_spawn_file_actions_adddup2(files, targets[i][0], targets[i][1]);
	char *const argv[] = { (char *)(uintptr_t)path, (char[]){ "-c" },
			       (char *)(uintptr_t)runner_bootstrap, NULL };
	return e ? e : posix_spawn(ret_pid, path, files, attr, argv, environ);
}

int spawn_python(const char *python, int output, int control, int modules, pid_t *ret_pid,
		 struct fh_err *err)
{
	char path[PATH_LEN_MAX];
	int ret = look_up(python, path, err);
	if (ret)
		return ret;
	const int from[3] = { output, control, modules };
	int fds[3] = { -1, -1, -1 };
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int e = posix_spawn_file_actions_init(&files);
	if (e)
		return fh_err_set(err, FH_EIO, "cannot start %s: %s", path, strerror(e));
	e = posix_spawnattr_init(&attr);
	if (e) {
		(void)posix_spawn_file_actions_destroy(&files);
		return fh_err_set(err, FH_EIO, "cannot start %s: %s", path, strerror(e));
	}
	for (int i = 0; i < 3 && !e; i++) {
		fds[i] = fcntl(from[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		e = fds[i] < 0 ? errno : 0;
	}
	if (!e)
		e = spawn_with(&files, &attr, path, fds, ret_pid);
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	return e ? fh_err_set(err, FH_EIO, "cannot start %s: %s", path, strerror(e)) : 0;
}
