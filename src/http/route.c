/* Decides which handler a request gets. The hot paths stand first; the search is linear and stops
 * at the first difference, which for thirty routes is cheaper than anything clever. */
#include "http/route.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "http/handlers.h"

#define JSON_OPTIONAL (ROUTE_JSON | ROUTE_BODY_MAY_BE_ABSENT)
#define LEGACY	      ROUTE_LEGACY

const struct route routes[] = {
	{ "POST", "/v1/tasks:batch", ROUTE_JSON, sizeof(struct submit_request), batch_post,
	  submit_release, "Submit up to 10,000 tasks" },
	{ "POST", "/v1/tasks:wait", ROUTE_JSON, sizeof(struct wait_request), wait_post,
	  wait_release, "Wait for tasks of a group or of a list" },
	{ "POST", "/v1/tasks", ROUTE_JSON | ROUTE_OCTETS, sizeof(struct submit_request), task_post,
	  submit_release, "Submit a task" },
	{ "GET", "/v1/tasks/{id}", 0, sizeof(struct task_request), task_get, NULL,
	  "A task; may wait until it has started or finished" },
	{ "GET", "/v1/tasks/{id}/result", 0, sizeof(struct task_request), result_get, NULL,
	  "The result of a task; may wait for it" },
	{ "GET", "/v1/tasks/{id}/logs", 0, sizeof(struct task_request), logs_get, NULL,
	  "What a task has printed" },
	{ "GET", "/v1/tasks/{id}/explain", 0, sizeof(struct explain_request), explain_get, NULL,
	  "What a task waits for, and why" },
	{ "DELETE", "/v1/tasks/{id}", JSON_OPTIONAL, sizeof(struct cancel_request), cancel_post,
	  NULL, "Cancel a task" },
	{ "POST", "/v1/tasks/{id}:cancel", JSON_OPTIONAL, sizeof(struct cancel_request),
	  cancel_post, NULL, "Cancel a task" },
	{ "POST", "/execute_function", ROUTE_JSON | LEGACY, sizeof(struct legacy_request),
	  legacy_execute, submit_release, "Submit a task" },
	{ "GET", "/status/{id}", LEGACY, sizeof(struct task_request), legacy_status, NULL,
	  "The state of a task" },
	{ "GET", "/result/{id}", LEGACY, sizeof(struct task_request), legacy_result, NULL,
	  "The result of a task, or None" },
	{ "POST", "/register_function", ROUTE_JSON | LEGACY, sizeof(struct function_request),
	  legacy_register, function_release, "Register a function" },
	{ "POST", "/v1/functions", ROUTE_JSON, sizeof(struct function_request), function_post,
	  function_release, "Register a function" },
	{ "GET", "/v1/functions", 0, sizeof(struct function_list), functions_get,
	  function_list_release, "The functions, page by page; may be those of one name" },
	{ "GET", "/v1/functions/{function}", 0, sizeof(struct function_query), function_get, NULL,
	  "A function, by id or by name" },
	{ "GET", "/v1/functions/{function}/payload", 0, sizeof(struct function_query),
	  function_payload_get, NULL, "The pickled function" },
	{ "POST", "/v1/groups", JSON_OPTIONAL, sizeof(struct group_request), group_post,
	  group_release, "Make a group" },
	{ "GET", "/v1/groups/{id}", 0, sizeof(struct group_query), group_get, NULL,
	  "A group with its number of tasks in each state" },
	{ "GET", "/v1/workers", 0, sizeof(struct workers_request), workers_get, NULL,
	  "The workers, page by page" },
	{ "GET", "/v1/workers/{id}", 0, sizeof(struct workers_request), worker_get, NULL,
	  "A worker" },
	{ "POST", "/v1/workers/{id}:drain", JSON_OPTIONAL, sizeof(struct worker_order),
	  worker_drain, NULL, "Give a worker no more tasks" },
	{ "POST", "/v1/workers/{id}:resume", JSON_OPTIONAL, sizeof(struct worker_order),
	  worker_resume, NULL, "Give a worker tasks again" },
	{ "GET", "/v1/stats", 0, sizeof(struct stats_request), stats_get, NULL,
	  "What the server holds and does" },
	{ "GET", "/version", 0, sizeof(struct exchange), version_get, NULL, "Name and version" },
	{ "GET", "/livez", 0, sizeof(struct exchange), live_get, NULL, "200 while it runs" },
	{ "GET", "/readyz", 0, sizeof(struct exchange), ready_get, NULL,
	  "200 while it takes work, else 503" },
	{ "GET", "/healthz", 0, sizeof(struct exchange), ready_get, NULL, "The same as /readyz" },
	{ "GET", "/", LEGACY, sizeof(struct exchange), version_get, NULL, "Name and version" },
};

const size_t route_count = sizeof routes / sizeof *routes;

/* A part ends at a slash or at a verb (`{id}:cancel`). */
static size_t part_length(const char *path, size_t len)
{
	size_t part_len = 0;
	while (part_len < len && path[part_len] != '/' && path[part_len] != ':')
		part_len++;
	return part_len;
}

static bool matches(const struct route *r, const char *path, size_t len,
		    struct route_match *ret_match)
{
	const char *pattern = r->path;
	while (*pattern && len) {
		if (*pattern != '{') {
			if (*pattern++ != *path)
				return false;
			path++;
			len--;
			continue;
		}
		pattern = strchr(pattern, '}') + 1;
		size_t part_len = part_length(path, len);
		if (part_len == 0)
			return false;
		ret_match->part = path;
		ret_match->part_len = part_len;
		path += part_len;
		len -= part_len;
	}
	if (len == 1 && *path == '/' && !*pattern && r->flags & ROUTE_LEGACY)
		return true;
	return !*pattern && len == 0;
}

static void allow(struct route_match *match, const char *method)
{
	size_t len = strlen(match->allow);
	const char *more = strcmp(method, "GET") == 0 ? ", HEAD" : "";
	(void)snprintf(match->allow + len, sizeof match->allow - len, "%s%s%s", len ? ", " : "",
		       method, more);
}

void route_find(const char *method, const char *path, size_t path_len,
		struct route_match *ret_match)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
	*ret_match = (struct route_match){ 0 };
	for (size_t i = 0; i < route_count; i++) {
		if (!matches(&routes[i], path, path_len, ret_match))
			continue;
		if (strcmp(routes[i].method, wanted) == 0) {
			ret_match->route = &routes[i];
			return;
		}
		allow(ret_match, routes[i].method);
	}
}
