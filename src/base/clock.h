/* The machine's clock that never goes back. Not for the pure parts: time comes to them. */
#ifndef FARHAND_BASE_CLOCK_H
#define FARHAND_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since some moment before the process began. */
int64_t fh_monotonic_us(void);

#endif
