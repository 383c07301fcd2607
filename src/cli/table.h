/* Text in columns, for people: as wide as its content, two spaces apart, without colours. */
#ifndef FARHAND_CLI_TABLE_H
#define FARHAND_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

enum { TABLE_COLUMNS_MAX = 16 };

struct table {
	size_t columns; /* set at the start, 1 to 16 */
	size_t count, room;
	char **cells; /* row by row */
	bool broken;  /* there was no memory for all of it */
};

/* The next cell. What would move the cursor of a terminal is written as `?`: it comes from other
 * machines. NULL and "" are an empty cell. */
void table_add(struct table *t, const char *text);
void table_printf(struct table *t, const char *fmt, ...) FH_PRINTF(2, 3);

void table_print(const struct table *t, FILE *out);
void table_release(struct table *t);

#endif
