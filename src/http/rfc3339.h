/* Moments as text (RFC 3339): written in UTC with milliseconds, read with any offset. */
#ifndef FARHAND_HTTP_RFC3339_H
#define FARHAND_HTTP_RFC3339_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { RFC3339_TEXT = 25 }; /* "2024-01-02T03:04:05.678Z" and the terminator */

/* `ms` is a Unix time of the years 1970 to 9999; others are shown as the nearest of those. */
void rfc3339_format(int64_t ms, char text[RFC3339_TEXT]);

/* FH_EINVAL: malformed, no such day, or before 1970. A fraction beyond milliseconds is cut. */
int rfc3339_parse(const char *text, size_t len, int64_t *ret_ms) FH_MUST_USE;

#endif
