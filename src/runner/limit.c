/* The memory of a running job that has a limit. RLIMIT_AS in the child turns most excess into a
 * MemoryError; this look from outside sees what that does not: processes that the function started.
 * Happy path: the resident sizes of the process and everything below it, added, are within the
 * limit. They count shared pages more than once, so that only the proportional sizes, which cost
 * more to ask, condemn a job. Failure modes: what has ended meanwhile counts nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runner/runner_priv.h"

enum {
	TREE_MAX = 1024, /* processes that are looked at */
	NAME_MAX_LEN = 64,
};

static uint64_t resident(pid_t pid)
{
	char name[NAME_MAX_LEN];
	uint64_t pages = 0;
	(void)snprintf(name, sizeof name, "/proc/%d/statm", (int)pid);
	FILE *f = fopen(name, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %" SCNu64, &pages) != 1)
		pages = 0;
	(void)fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t proportional(pid_t pid)
{
	char name[NAME_MAX_LEN], line[256];
	uint64_t kb = 0;
	(void)snprintf(name, sizeof name, "/proc/%d/smaps_rollup", (int)pid);
	FILE *f = fopen(name, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "Pss: %" SCNu64, &kb) == 1)
			break;
	}
	(void)fclose(f);
	return kb * 1024;
}

/* The process and what descends from it, breadth first. */
static size_t tree(pid_t root, pid_t pids[TREE_MAX])
{
	size_t len = 1;
	pids[0] = root;
	for (size_t i = 0; i < len; i++) {
		char name[NAME_MAX_LEN];
		(void)snprintf(name, sizeof name, "/proc/%d/task/%d/children", (int)pids[i],
			       (int)pids[i]);
		FILE *f = fopen(name, "re");
		if (!f)
			continue;
		int child;
		while (len < TREE_MAX && fscanf(f, "%d", &child) == 1)
			pids[len++] = child;
		(void)fclose(f);
	}
	return len;
}

bool limit_exceeded(pid_t pid, uint64_t limit_bytes)
{
	pid_t pids[TREE_MAX];
	size_t len = tree(pid, pids);
	uint64_t sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += resident(pids[i]);
	if (sum <= limit_bytes)
		return false;
	sum = 0;
	for (size_t i = 0; i < len; i++)
		sum += proportional(pids[i]);
	return sum > limit_bytes;
}
