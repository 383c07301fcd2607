/* A worker's JSON object, for people. */
#ifndef FARHAND_CLI_WORKER_H
#define FARHAND_CLI_WORKER_H

#include <jansson.h>

struct table;

enum { WORKER_COLUMNS = 9 };

/* The names of the columns, and a row of them. */
void worker_head(struct table *t);
void worker_row(struct table *t, const json_t *worker);

/* All that is known of it, a line each; a table of two columns. */
void worker_lines(struct table *t, const json_t *worker);

/* Its member `name`: text, or "-" where there is none; a number, or 0. */
const char *worker_text(const json_t *worker, const char *name);
long long worker_number(const json_t *worker, const char *name);

#endif
