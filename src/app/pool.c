/* Options of a pool of slots, and the limits that every agent of ours has. */
#include "app/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	GRACE_MS_DEFAULT = 10000,
	RESULT_MAX = 10 << 20, /* the API's limit of an inline result */
	LOG_MAX = 1 << 20,
	KILL_GRACE_MS = 2000, /* SIGTERM to SIGKILL of one task */
};

void pool_options_init(struct pool_options *ret_options)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const char *python = getenv("FARHAND_PYTHON");
	*ret_options = (struct pool_options){
		.slots = cores < 1		  ? 1
			 : cores > POOL_SLOTS_MAX ? POOL_SLOTS_MAX
						  : (unsigned)cores,
		.python = python && *python ? python : "python3",
		.grace_ms = GRACE_MS_DEFAULT,
	};
}

int pool_set_slots(struct pool_options *o, const char *flag, const char *value, unsigned min,
		   struct fh_err *err)
{
	uint64_t slots;
	if (strcmp(value, "auto") == 0)
		return 0;
	int ret = flag_whole(flag, value, min, POOL_SLOTS_MAX, &slots, err);
	if (ret == 0)
		o->slots = (unsigned)slots;
	return ret;
}

int pool_set_python(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct pool_options *o = options;
	return flag_text(flag, value, "an executable", &o->python, err);
}

int pool_set_path(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct pool_options *o = options;
	if (o->path_count == POOL_PATHS_MAX)
		return fh_err_set(err, FH_EINVAL, "%s: more than %d of them", flag, POOL_PATHS_MAX);
	o->paths[o->path_count++] = value;
	return 0;
}

/* Python itself skips what it cannot read without a word: then a task fails, on its own, much
 * later.
 */
static const char *path_trouble(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		return errno == ENOENT ? "there is no such folder" : strerror(errno);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return "it is neither a folder nor a file";
	return access(path, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK) ? strerror(errno) : NULL;
}

int pool_check_paths(const struct pool_options *o, struct fh_err *err)
{
	for (size_t i = 0; i < o->path_count; i++) {
		const char *trouble = path_trouble(o->paths[i]);
		if (trouble)
			return fh_err_set(err, FH_EINVAL,
					  "--path: '%.120s': %s; functions import from a folder or "
					  "a zip file that can be read",
					  o->paths[i], trouble);
	}
	return 0;
}

int pool_set_grace(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct pool_options *o = options;
	return flag_seconds(flag, value, 0, &o->grace_ms, err);
}

struct agent_config pool_agent_config(const struct pool_options *o)
{
	return (struct agent_config){
		.slots = o->slots,
		.python = o->python,
		.paths = o->paths,
		.path_count = o->path_count,
		.grace_ms = KILL_GRACE_MS,
		.result_max = RESULT_MAX,
		.log_max = LOG_MAX,
	};
}
