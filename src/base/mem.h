/* All heap memory of ours passes here, so that a test can fail the n-th allocation and see the call
 * answered with FH_ENOMEM and nothing leaked. Memory is released with fh_free(). */
#ifndef FARHAND_BASE_MEM_H
#define FARHAND_BASE_MEM_H

#include <stddef.h>

/* `size` bytes, not initialised; NULL when there is none. */
void *fh_malloc(size_t size);

/* `count` times `size` zeroed bytes; NULL when there is none or the product overflows. */
void *fh_calloc(size_t count, size_t size);

/* As realloc(3); NULL leaves `p` as it was. */
void *fh_realloc(void *p, size_t size);

/* A copy of the string, or NULL. */
char *fh_strdup(const char *s);

/* Accepts NULL. */
void fh_free(void *p);

/* Tests only: the `after`-th allocation from now on (1 is the next) fails, once; 0 switches off. */
void fh_mem_fail_after(unsigned after);

#endif
