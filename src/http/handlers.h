/* The handlers of all routes, and the structs in which their requests live. */
#ifndef FARHAND_HTTP_HANDLERS_H
#define FARHAND_HTTP_HANDLERS_H

#include <jansson.h>

#include "http/call.h"
#include "http/exchange.h"
#include "http/problem.h"
#include "http/query.h"

/* body.c: what every handler with a JSON body does first. The value, an object, or NULL: the
 * exchange is answered. An absent body is an empty object where the route says so. */
json_t *body_object(struct exchange *x);

/* Answers a query that query_init() refuses with `ret`. */
void query_refuse(struct exchange *x, int ret);

/* The id in the path. False: it is none, and the exchange is answered with 404. */
bool path_id(struct exchange *x, struct fh_id *ret_id);

/* page.c: lists come in pages. */
struct json_in;

/* Takes `?limit=` and `?cursor=`, and refuses what nobody has asked for. */
void page_take(struct json_in *in, struct query *q, uint32_t *ret_limit, uint64_t *ret_after);
/* Answers with the items that stand in `t`, behind `{"items":[`, and with where the next page is.
 * `name`: the filter to keep, or NULL. */
void page_reply(struct exchange *x, struct text *t, bool more, uint64_t last_no, uint32_t limit,
		const char *name);

/* functions.c */
struct function_request {
	struct exchange x;
	struct call_put_function call;
};

struct function_query {
	struct exchange x;
	struct call_get_function call;
};

struct function_list {
	struct exchange x;
	struct call_list_functions call;
	struct query query; /* what call.name points into */
};

struct function_fields {
	const char *name, *description; /* the latter may be NULL */
	const json_t *payload;
	enum serializer serializer;
	char *needs; /* of its tasks; NULL: none. Owned */
};

/* Reads and registers a function, and takes its needs; answers if that is not possible. */
void function_submit(struct function_request *r, struct function_fields *fields,
		     void (*finish)(struct exchange *x));
void function_post(struct exchange *x);
void function_release(struct exchange *x);
void function_get(struct exchange *x);
void function_payload_get(struct exchange *x);
void functions_get(struct exchange *x);
void function_list_release(struct exchange *x);

/* submit.c, batch.c */
struct batch_slot {
	enum problem_kind problem; /* refused here; PROBLEM_NONE: it is an item of the call */
	char *detail;		   /* why; NULL: no memory to say it */
};

struct submit_request {
	struct exchange x;
	struct call_submit call;
	struct group_rec group;	  /* a batch without group_id makes it */
	struct batch_slot *slots; /* one for each task of a batch, in its order */
	size_t slot_count;
	struct fh_id single_id; /* of the only task, which is moved away when accepted */
};

struct task_fields;

/* Makes a task of what was read; takes the payload, its modules and the options. */
void submit_fill(struct exchange *x, struct call_submit_item *item, struct task_fields *own_fields,
		 struct blob *own_payload);
/* Submits one task; takes the same. FH_ENOMEM: not answered. */
int submit_single(struct submit_request *r, struct task_fields *own_fields,
		  struct blob *own_payload, void (*render)(struct call_submit *c),
		  void (*finish)(struct exchange *x)) FH_MUST_USE;
/* Answers a call that is done, with its answer or its problem. */
void submit_reply(struct exchange *x);
void task_post(struct exchange *x);
void batch_post(struct exchange *x);
void submit_release(struct exchange *x);

/* tasks.c */
struct task_request {
	struct exchange x;
	struct call_get_task call;
	bool octets; /* result: the bytes themselves */
	int stream;  /* logs: 0 both, 1 stdout, 2 stderr */
};

struct cancel_request {
	struct exchange x;
	struct call_cancel call;
};

void task_get(struct exchange *x);
void result_get(struct exchange *x);
void logs_get(struct exchange *x);
void cancel_post(struct exchange *x);

/* wait.c */
struct wait_request {
	struct exchange x;
	struct call_wait call;
	struct fh_id *ids;
	unsigned fields;
};

void wait_post(struct exchange *x);
void wait_release(struct exchange *x);

/* groups.c */
struct group_request {
	struct exchange x;
	struct call_put_group call;
};

struct group_query {
	struct exchange x;
	struct call_get_group call;
};

void group_post(struct exchange *x);
void group_release(struct exchange *x);
void group_get(struct exchange *x);

/* legacy.c */
struct legacy_request {
	struct submit_request submit;
	struct call_get_function lookup;
	struct fh_err err;
};

void legacy_register(struct exchange *x);
void legacy_execute(struct exchange *x);
void legacy_status(struct exchange *x);
void legacy_result(struct exchange *x);

/* admin.c */
struct stats_request {
	struct exchange x;
	struct call_stats call;
};

void stats_get(struct exchange *x);
void version_get(struct exchange *x);
void live_get(struct exchange *x);
void ready_get(struct exchange *x);

/* workers.c */
struct workers_request {
	struct exchange x;
	struct call_list_workers call;
};

struct worker_order {
	struct exchange x;
	struct call_order_worker call;
};

void workers_get(struct exchange *x);
void worker_get(struct exchange *x);
void worker_drain(struct exchange *x);
void worker_resume(struct exchange *x);

/* explain.c */
struct explain_request {
	struct exchange x;
	struct call_explain call;
};

void explain_get(struct exchange *x);

#endif
