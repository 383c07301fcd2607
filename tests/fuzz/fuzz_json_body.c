/* Any body on any route, through the real server to the call that it becomes: it is answered, never
 * with 500, and the connection takes the next one. The first byte chooses the route. */
#include <stdio.h>
#include <string.h>

#include "../unit/http_fixture.h"
#include "base/assert.h"
#include "base/needs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a function adds, the needs of a task can be said. */
static void check_needs(const struct call_submit_item *item)
{
	const struct task_options *o = &item->task.options;
	struct needs_parts parts = { o->needs, "runtime=cp313t", o->mem_bytes, item->modules,
				     "mylab,numpy" };
	char text[NEEDS_TEXT];
	FH_ASSERT(needs_join(&parts, text) == 0);
}

/* What the sink gets must be within the bounds that its contract names. */
static void look(struct fixture *f, struct call *call)
{
	(void)f;
	if (call->kind == CALL_SUBMIT) {
		const struct call_submit *c = (struct call_submit *)call;
		FH_ASSERT(c->count > 0 && c->count <= 10000);
		for (uint32_t i = 0; i < c->count; i++) {
			const struct task_rec *t = &c->items[i].task;
			FH_ASSERT(!fh_id_is_zero(t->id) && !fh_id_is_zero(t->function_id));
			FH_ASSERT(t->payload && t->payload->len == t->payload_size);
			FH_ASSERT(t->options.priority >= -100 && t->options.priority <= 100);
			FH_ASSERT(t->options.not_before_ms >= 0 && t->options.expires_at_ms >= 0);
			check_needs(&c->items[i]);
		}
	} else if (call->kind == CALL_WAIT) {
		const struct call_wait *c = (struct call_wait *)call;
		FH_ASSERT(fh_id_is_zero(c->group) != (c->task_count == 0));
		FH_ASSERT(c->task_count <= 10000 && c->wait_ms <= 60000 && c->max_bytes > 0);
	} else if (call->kind == CALL_PUT_FUNCTION) {
		const struct call_put_function *c = (struct call_put_function *)call;
		FH_ASSERT(c->function.name && c->function.payload);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const requests[] = {
		"POST /register_function", "POST /execute_function",	  "POST /v1/functions",
		"POST /v1/tasks",	   "POST /v1/tasks:batch",	  "POST /v1/tasks:wait",
		"POST /v1/groups",	   ("DELETE /v1/tasks/" TASK_ID),
	};
	static struct fixture *f;
	static struct client c;
	if (size == 0)
		return 0;
	if (!f) {
		f = fixture_new(NULL);
		f->look = look;
		client_open(&c, f);
	}
	client_print(&c,
		     "%s HTTP/1.1\r\nHost: localhost\r\n" JSON_TYPE "Content-Length: %zu\r\n\r\n",
		     requests[data[0] % (sizeof requests / sizeof *requests)], size - 1);
	client_send(&c, data + 1, size - 1);
	struct response r = client_read(&c, false);
	FH_ASSERT_CMP(r.status, >=, 200);
	FH_ASSERT_CMP(r.status, !=, 500);
	response_release(&r);
	return 0;
}
