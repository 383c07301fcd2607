/* Groups: made empty, shown with their number of tasks in each state. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "http/handlers.h"
#include "http/idempotency.h"
#include "http/json_in.h"
#include "http/render.h"

enum { NAME_MAX_BYTES = 512 };

struct group_fields {
	const char *name;
	char *tags; /* owned */
};

static void take_name(struct json_in *in, const json_t *value, void *target)
{
	struct group_fields *f = target;
	(void)json_in_string(in, value, NAME_MAX_BYTES, &f->name);
}

static void take_tags(struct json_in *in, const json_t *value, void *target)
{
	struct group_fields *f = target;
	f->tags = json_in_tags(in, value);
}

static void group_put(struct exchange *x)
{
	struct group_request *r = (struct group_request *)x;
	if (r->call.call.ret)
		problem_reply_call(x, &r->call.call);
	else
		idempotency_reply(x, &r->call.idempotency);
}

/* The answer is stored with the group, so it is rendered before. */
static int fill(struct group_request *r, const char *name, char *own_tags)
{
	struct group_rec *g = &r->call.group;
	struct call_idempotency *i = &r->call.idempotency;
	struct text t = { 0 };
	char id[FH_ID_TEXT], location[64];
	g->id = exchange_new_id(&r->x);
	g->created_ms = exchange_now_ms(&r->x);
	g->tags = own_tags;
	g->name = name ? fh_strdup(name) : NULL;
	if (name && !g->name)
		return FH_ENOMEM;
	render_group(&t, g);
	if (!t.broken)
		i->body = blob_copy(t.data, t.len);
	text_release(&t);
	fh_id_format(g->id, id);
	(void)snprintf(location, sizeof location, "/v1/groups/%s", id);
	i->status = 201;
	i->location = fh_strdup(location);
	return i->body && i->location ? 0 : FH_ENOMEM;
}

void group_post(struct exchange *x)
{
	static const struct json_field fields[] = {
		{ "name", take_name, 1 },
		{ "tags", take_tags, 1 },
		{ "max_running", NULL, 1 },
	};
	struct group_request *r = (struct group_request *)x;
	struct field_errors errors = { 0 };
	struct json_in in = { .errors = &errors };
	struct group_fields f = { 0 };
	json_t *body = body_object(x);
	if (!body)
		return;
	json_in_object(&in, body, fields, sizeof fields / sizeof *fields, 1, &f);
	if (errors.count) {
		fh_free(f.tags);
		problem_reply_fields(x, &errors);
	} else if (fill(r, f.name, f.tags)) {
		problem_reply_later(x, PROBLEM_NO_MEMORY, "no memory for the group", 1);
	} else if (idempotency_read(x, &r->call.idempotency)) {
		exchange_submit(x, &r->call.call, CALL_PUT_GROUP, group_put);
	}
	json_decref(body);
}

void group_release(struct exchange *x)
{
	struct group_request *r = (struct group_request *)x;
	group_rec_release(&r->call.group);
	idempotency_release(&r->call.idempotency);
}

static void group_got(struct exchange *x)
{
	struct group_query *q = (struct group_query *)x;
	struct text t = { 0 };
	if (q->call.call.ret) {
		problem_reply_call(x, &q->call.call);
		return;
	}
	render_group(&t, q->call.ret_group);
	exchange_reply_json(x, 200, &t);
}

void group_get(struct exchange *x)
{
	struct group_query *q = (struct group_query *)x;
	if (path_id(x, &q->call.group))
		exchange_submit(x, &q->call.call, CALL_GET_GROUP, group_got);
}
