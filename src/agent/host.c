/* Cores from the C library, memory from the kernel's files.
 *
 * Happy path: /proc/meminfo, then the limits of our control group and of those above it, in the
 * second version (memory.max) or the first (memory.limit_in_bytes). Failure modes: a file that is
 * not there, or holds "max", limits nothing. */
#include "agent/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_LEN = 1024 };

uint32_t host_cores(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores > 1 ? (uint32_t)cores : 1;
}

static uint64_t machine_bytes(void)
{
	uint64_t kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");
	if (!f)
		return 0;
	char line[256];
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "MemTotal: %" SCNu64 " kB", &kib) == 1)
			break;
	(void)fclose(f);
	return kib * 1024;
}

static uint64_t lower(uint64_t limit, const char *folder, const char *name)
{
	char path[PATH_LEN + 64];
	uint64_t bytes = limit;
	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "re");
	if (!f)
		return limit;
	if (fscanf(f, "%" SCNu64, &bytes) != 1)
		bytes = limit;
	(void)fclose(f);
	return bytes < limit ? bytes : limit;
}

/* Of a group and of all above it, up to the folder where they are mounted. */
static uint64_t lowest(uint64_t limit, const char *mount, const char *group, const char *name)
{
	char folder[PATH_LEN];
	int len = snprintf(folder, sizeof folder, "%s%s", mount, group);
	if (len < 0 || len >= (int)sizeof folder)
		return limit;
	for (size_t least = strlen(mount);;) {
		limit = lower(limit, folder, name);
		char *slash = strrchr(folder, '/');
		if (slash < folder + least)
			return limit;
		*slash = '\0';
	}
}

uint64_t host_mem_bytes(void)
{
	uint64_t limit = machine_bytes();
	FILE *f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return limit;
	char line[PATH_LEN];
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = '\0';
		const char *first = strstr(line, ":memory:");
		if (strncmp(line, "0::", 3) == 0)
			limit = lowest(limit, "/sys/fs/cgroup", line + 3, "memory.max");
		else if (first)
			limit = lowest(limit, "/sys/fs/cgroup/memory", first + 8,
				       "memory.limit_in_bytes");
	}
	(void)fclose(f);
	return limit;
}
