/* Decides whether a request has the body and the id that its handler needs. */
#include <string.h>

#include "http/handlers.h"
#include "http/json_in.h"
#include "http/route.h"

/* A legacy client reads only the status: whatever is not a JSON object is 422 there. */
static void refuse(struct exchange *x, int ret, const char *detail)
{
	if (ret == FH_ENOMEM)
		problem_reply_later(x, PROBLEM_NO_MEMORY, detail, 1);
	else if (x->route->flags & ROUTE_LEGACY)
		problem_reply(x, PROBLEM_INVALID, detail);
	else
		problem_reply(x, PROBLEM_INVALID_JSON, detail);
}

json_t *body_object(struct exchange *x)
{
	size_t len = exchange_body_len(x);
	struct fh_err err = { "no memory to read the body" };
	json_t *value = NULL;
	if (len == 0 && x->route->flags & ROUTE_BODY_MAY_BE_ABSENT) {
		value = json_object();
		if (!value)
			refuse(x, FH_ENOMEM, err.text);
		return value;
	}
	const char *body = exchange_body(x);
	int ret = body ? json_read(body, len, &value, &err) : FH_ENOMEM;
	if (ret) {
		refuse(x, ret, err.text);
		return NULL;
	}
	if (!json_is_object(value)) {
		json_decref(value);
		problem_reply(x, PROBLEM_INVALID, "the body is not a JSON object");
		return NULL;
	}
	return value;
}

void query_refuse(struct exchange *x, int ret)
{
	if (ret == FH_ENOMEM)
		problem_reply_later(x, PROBLEM_NO_MEMORY, "no memory to read the query", 1);
	else if (ret == FH_ESYNTAX)
		problem_reply(x, PROBLEM_BAD_REQUEST, "the query is not well escaped");
	else
		problem_reply(x, PROBLEM_INVALID,
			      ret == FH_EEXISTS ? "a parameter stands in the query twice"
						: "the query has too many parameters");
}

bool path_id(struct exchange *x, struct fh_id *ret_id)
{
	if (fh_id_parse(x->part, strlen(x->part), ret_id) == 0)
		return true;
	problem_reply(x, PROBLEM_NOT_FOUND, "the id in the path is not a UUID");
	return false;
}
