/* Assertions that stay on in every build. They state what only our own mistake can break; anything
 * from a socket, a file, the database or Python is checked and answered instead. The condition has
 * no side effects. A failure prints place, condition and values, then aborts: a process that no
 * longer believes its own state must not acknowledge anything. */
#ifndef FARHAND_BASE_ASSERT_H
#define FARHAND_BASE_ASSERT_H

#include <stdint.h>

_Noreturn void fh_assert_fail(const char *file, int line, const char *condition,
			      const char *detail);
_Noreturn void fh_assert_fail_values(const char *file, int line, const char *condition,
				     int64_t left, int64_t right);

#define FH_ASSERT(cond) ((cond) ? (void)0 : fh_assert_fail(__FILE__, __LINE__, #cond, ""))

/* FH_ASSERT_CMP(a, <=, b): prints both values when it fails. */
#define FH_ASSERT_CMP(a, op, b)                                                                \
	((a)op(b) ? (void)0                                                                    \
		  : fh_assert_fail_values(__FILE__, __LINE__, #a " " #op " " #b, (int64_t)(a), \
					  (int64_t)(b)))

#define FH_UNREACHABLE(why) fh_assert_fail(__FILE__, __LINE__, "unreachable", why)

#endif
