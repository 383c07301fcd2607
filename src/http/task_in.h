/* The fields of a task, as a client may give them: in a body, in a batch, in a query. */
#ifndef FARHAND_HTTP_TASK_IN_H
#define FARHAND_HTTP_TASK_IN_H

#include <jansson.h>

#include "base/record.h"
#include "http/http.h"
#include "http/json_in.h"
#include "http/query.h"

/* Where the fields stand: each place takes its own. */
enum task_place {
	TASK_ALONE = 1,	   /* POST /v1/tasks */
	TASK_IN_BATCH = 2, /* an element of `tasks` */
	TASK_DEFAULTS = 4, /* `defaults` of a batch */
};

struct task_fields {
	int64_t now_ms;
	struct fh_id function_id, group_id; /* zero: absent */
	const json_t *payload;		    /* a string, borrowed; NULL: absent */
	char *modules;			    /* of the payload, once it was read; owned */
	bool wait_for_worker;
	struct task_options options; /* owned */
};

/* Options are set to their defaults. */
void task_fields_init(struct task_fields *f, int64_t now_ms);
void task_fields_release(struct task_fields *f);

/* Reads an object's members into `f`, over what is there; errors are noted. */
void task_fields_read(struct json_in *in, const json_t *object, enum task_place place,
		      struct task_fields *f);

/* The same from a query: text as it is, everything else as JSON. All of its items count as used. */
void task_fields_read_query(struct json_in *in, struct query *q, struct task_fields *f);

/* The bytes of a pickle in base64, and the modules that it names, see pickle_modules(). FH_ESYNTAX:
 * it is neither; FH_ETOOBIG; FH_ENOMEM; `err` says it. */
int payload_read(const json_t *text, const struct http_limits *limits, struct blob **ret_payload,
		 char **ret_modules, struct fh_err *err) FH_MUST_USE;

/* The same check for bytes that came as they are. */
int payload_check(const struct blob *payload, const struct http_limits *limits, char **ret_modules,
		  struct fh_err *err) FH_MUST_USE;

#endif
