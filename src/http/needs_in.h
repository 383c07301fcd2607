/* The fields that say what a task needs of a worker. Each changes the text `*needs` (base/needs.h;
 * NULL: nothing yet), which is the caller's; what is wrong is noted. */
#ifndef FARHAND_HTTP_NEEDS_IN_H
#define FARHAND_HTTP_NEEDS_IN_H

#include "http/json_in.h"

void needs_take_runtime(struct json_in *in, const json_t *value, char **needs);
void needs_take_cpus(struct json_in *in, const json_t *value, char **needs);
/* An object; all of it stands in the place of labels that were there before. */
void needs_take_labels(struct json_in *in, const json_t *value, char **needs);

#endif
