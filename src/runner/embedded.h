/* The Python side, carried in the executable (made by embed.py at build time). */
#ifndef FARHAND_RUNNER_EMBEDDED_H
#define FARHAND_RUNNER_EMBEDDED_H

#include <stddef.h>

/* What `python -c` gets; ends with a NUL, which its length counts. */
extern const unsigned char runner_bootstrap[];
extern const size_t runner_bootstrap_len;

/* The modules that it loads: name, NUL, source, NUL; the last one has main(). */
extern const unsigned char runner_modules[];
extern const size_t runner_modules_len;

#endif
