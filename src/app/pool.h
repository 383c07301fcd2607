/* What the local pool of `farhand serve` and a `farhand worker` have in common: slots, a Python,
 * and how their agent is made. */
#ifndef FARHAND_APP_POOL_H
#define FARHAND_APP_POOL_H

#include "agent/agent.h"
#include "app/flags.h"

enum { POOL_PATHS_MAX = 32, POOL_SLOTS_MAX = 1024 };

/* The first member of the options of both. */
struct pool_options {
	unsigned slots;
	const char *python;
	const char *paths[POOL_PATHS_MAX];
	size_t path_count;
	uint32_t grace_ms; /* how long running tasks may go on at a stop */
};

/* As many slots as there are cores, $FARHAND_PYTHON or python3. */
void pool_options_init(struct pool_options *ret_options);

/* "auto" or a number from `min` on; the setters of both commands' flags for slots. */
int pool_set_slots(struct pool_options *o, const char *flag, const char *value, unsigned min,
		   struct fh_err *err) FH_MUST_USE;

/* FH_EINVAL and a line for people if functions could import nothing from one of the paths: it is
 * neither a folder nor a file (a zip file, say), or may not be read. */
int pool_check_paths(const struct pool_options *o, struct fh_err *err) FH_MUST_USE;

/* For the tables of flags. */
#define POOL_FLAGS                                                                  \
	{ "--python", "EXE", pool_set_python }, { "--path", "DIR", pool_set_path }, \
	{                                                                           \
		"--grace", "S", pool_set_grace                                      \
	}
flag_set pool_set_python, pool_set_path, pool_set_grace;

/* The part of an agent's configuration that follows from the options. */
struct agent_config pool_agent_config(const struct pool_options *o);

#endif
