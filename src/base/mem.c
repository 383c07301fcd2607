#include "base/mem.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static atomic_uint fail_after;

/* Counts down only while armed, so that the normal path costs one relaxed load. */
static bool must_fail(void)
{
	if (atomic_load_explicit(&fail_after, memory_order_relaxed) == 0)
		return false;
	return atomic_fetch_sub(&fail_after, 1) == 1;
}

void fh_mem_fail_after(unsigned after)
{
	atomic_store(&fail_after, after);
}

void *fh_malloc(size_t size)
{
	return must_fail() ? NULL : malloc(size ? size : 1);
}

void *fh_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : calloc(count ? count : 1, size ? size : 1);
}

void *fh_realloc(void *p, size_t size)
{
	return must_fail() ? NULL : realloc(p, size ? size : 1);
}

char *fh_strdup(const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = fh_malloc(size);
	if (copy)
		memcpy(copy, s, size);
	return copy;
}

void fh_free(void *p)
{
	free(p);
}
