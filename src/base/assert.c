#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void fh_assert_fail(const char *file, int line, const char *condition, const char *detail)
{
	(void)fprintf(stderr, "farhand: assertion failed at %s:%d: %s %s\n", file, line, condition,
		      detail);
	abort();
}

_Noreturn void fh_assert_fail_values(const char *file, int line, const char *condition,
				     int64_t left, int64_t right)
{
	char detail[64];
	(void)snprintf(detail, sizeof detail, "(%" PRId64 ", %" PRId64 ")", left, right);
	fh_assert_fail(file, line, condition, detail);
}
