/* One server, spoken to over HTTP: a request at a time, JSON answers. */
#ifndef FARHAND_CLI_CLIENT_H
#define FARHAND_CLI_CLIENT_H

#include <stddef.h>

#include <jansson.h>

#include "base/err.h"

struct client;

/* An answer of 2xx. */
struct client_answer {
	char *body; /* as it came; not terminated */
	size_t len;
	json_t *json; /* the same; an object */
};

/* Why there is none. */
struct client_error {
	char code[40]; /* the server's, such as "not_found"; or "unreachable", "failed", "usage" */
	struct fh_err err;
	long status; /* of HTTP; 0: there was no answer */
};

/* `url` is borrowed; it may have a path, under which the interface then lies. A cli_exit, with
 * `error` if it is not CLI_OK. */
int client_new(const char *url, struct client **ret_client, struct client_error *error) FH_MUST_USE;
void client_free(struct client **c);

/* Asks for `before` + `id` + `after`, where whatever is in `id` becomes one part of the path; it
 * may be NULL. A POST sends an empty object. A cli_exit: CLI_OK with an answer to be released, else
 * with `error`. */
int client_request(struct client *c, const char *method, const char *before, const char *id,
		   const char *after, struct client_answer *ret_answer,
		   struct client_error *error) FH_MUST_USE;
void client_answer_release(struct client_answer *a);

#endif
