/* Every route's success: what reaches the sink, and what its answer looks like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "http_json.h"

static void look_at_function(struct fixture *f, struct call *call)
{
	const struct call_put_function *c = (struct call_put_function *)call;
	(void)f;
	assert_int_equal(call->kind, CALL_PUT_FUNCTION);
	assert_string_equal(c->function.name, "f");
	assert_int_equal(c->function.payload->len, 20);
	assert_int_equal(c->function.payload_size, 20);
}

static void functions(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_function;
	struct response r = post(f, "/v1/functions",
				 "{\"name\":\"f\"," PAY ",\"serializer\":\"cloudpickle\","
				 "\"description\":\"line\\nline\"}");
	assert_int_equal(r.status, 201);
	json_t *body = parse(&r);
	char location[512];
	(void)snprintf(location, sizeof location, "/v1/functions/%s", at(body, "function_id"));
	assert_string_equal(response_header(&r, "Location"), location);
	assert_int_equal(strlen(at(body, "digest")), 64);
	assert_int_equal(strlen(at(body, "version")), 12);
	json_decref(body);
	response_release(&r);
	f->exists = true;
	r = post(f, "/v1/functions", "{\"name\":\"f\"," PAY "}");
	assert_int_equal(r.status, 200);
	response_release(&r);
	expect_body(post(f, "/register_function", "{\"name\":\"f\"," PAY "}"), 200,
		    "{\"function_id\":\"" FUNCTION_ID "\"}");
	f->look = NULL;
	for (int i = 0; i < 3; i++) {
		static const char *const targets[] = { ("/v1/functions/" FUNCTION_ID),
						       "/v1/functions/f",
						       "/v1/functions/%3Clambda%3E" };
		r = get(f, targets[i], "");
		assert_int_equal(r.status, 200);
		body = parse(&r);
		assert_string_equal(at(body, "name"), "f");
		assert_string_equal(at(body, "payload_size"), "20");
		assert_string_equal(at(body, "links.self"), "/v1/functions/" FUNCTION_ID);
		json_decref(body);
		response_release(&r);
	}
	r = get(f, "/v1/functions/f/payload", "");
	char if_none[128];
	(void)snprintf(if_none, sizeof if_none, "If-None-Match: %s\r\n",
		       response_header(&r, "ETag"));
	assert_string_equal(response_header(&r, "Content-Type"), "application/octet-stream");
	assert_int_equal(r.body_len, 20);
	response_release(&r);
	expect_body(get(f, "/v1/functions/f/payload", if_none), 304, "");
	expect_body(get(f, "/v1/functions/f", if_none), 304, "");
}

static void look_at_list(struct fixture *f, struct call *call)
{
	const struct call_list_functions *c = (struct call_list_functions *)call;
	assert_int_equal(call->kind, CALL_LIST_FUNCTIONS);
	if (f->look_at)
		assert_string_equal(c->name, f->look_at);
	else
		assert_null(c->name);
}

static void functions_page_by_page(void **state)
{
	struct fixture *f = *state;
	static char name[] = "<lambda> & \"more\"";
	char target[256] = "/v1/functions?limit=3&name=%3Clambda%3E+%26%20%22more%22";
	f->function_count = 7;
	f->look = look_at_list;
	f->look_at = name;
	for (int left = 7; left > 0; left -= 3) {
		struct response r = get(f, target, "");
		assert_int_equal(r.status, 200);
		json_t *body = parse(&r);
		assert_int_equal(json_array_size(json_object_get(body, "items")),
				 left < 3 ? left : 3);
		assert_string_equal(at(body, "items.0.name"), "f");
		assert_string_equal(at(body, "items.0.id"), FUNCTION_ID);
		const char *link = response_header(&r, "Link");
		if (left > 3) { /* it names the next page, cursor and filter included */
			assert_non_null(link);
			assert_non_null(strstr(link, at(body, "next_cursor")));
			assert_non_null(strstr(link, ">; rel=\"next\""));
			(void)snprintf(target, sizeof target, "%.*s", (int)strcspn(link + 1, ">"),
				       link + 1);
		} else {
			assert_null(link);
			assert_string_equal(at(body, "next_cursor"), "null");
		}
		json_decref(body);
		response_release(&r);
	}
	f->look_at = NULL;
	f->function_count = 0;
	expect_body(get(f, "/v1/functions", ""), 200, "{\"items\":[],\"next_cursor\":null}");
	assert_int_equal(fixture_status(f, "HEAD", "/v1/functions", "", NULL), 200);
}

static void look_at_name(struct fixture *f, struct call *call)
{
	const struct call_get_function *c = (struct call_get_function *)call;
	f->look_at = fh_strdup(c->name ? c->name : "");
	assert_int_equal(fh_id_is_zero(c->id), c->name != NULL);
}

static void names_are_decoded(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_name;
	struct response r = get(f, "/v1/functions/%3Clambda%3E%2Fa%3Ab+c", "");
	assert_string_equal(f->look_at, "<lambda>/a:b+c");
	fh_free(f->look_at);
	response_release(&r);
	r = get(f, "/v1/functions/" FUNCTION_ID, "");
	assert_string_equal(f->look_at, "");
	fh_free(f->look_at);
	response_release(&r);
}

static void look_at_options(struct fixture *f, struct call *call)
{
	const struct call_submit *c = (struct call_submit *)call;
	const struct task_rec *t = &c->items[0].task;
	const struct task_options *o = &t->options;
	char id[FH_ID_TEXT];
	assert_int_equal(call->kind, CALL_SUBMIT);
	assert_int_equal(c->count, 1);
	assert_true(c->single);
	fh_id_format(t->function_id, id);
	assert_string_equal(id, FUNCTION_ID);
	fh_id_format(t->group_id, id);
	assert_string_equal(id, GROUP_ID);
	assert_int_equal(o->priority, -7);
	assert_int_equal(o->retries, 3);
	assert_int_equal(o->retry_on, RETRY_ON_CRASH | RETRY_ON_TIMEOUT | RETRY_ON_CLASS);
	assert_string_equal(o->retry_classes, "builtins.OSError,a.b.C");
	assert_int_equal(o->backoff_initial_ms, 250);
	assert_int_equal(o->backoff_factor_milli, 1500);
	assert_int_equal(o->backoff_max_ms, 10000);
	assert_int_equal(o->timeout_ms, 1500);
	assert_int_equal(o->mem_bytes, 1 << 30);
	assert_int_equal(o->not_before_ms, INT64_C(1900000000123));
	assert_int_equal(o->expires_at_ms, f->now_ms + 2500);
	assert_true(o->at_most_once);
	assert_string_equal(o->tags, "{\"run\":\"7\"}");
	assert_int_equal(t->payload->len, 20);
	assert_int_equal(t->created_ms, f->now_ms);
}

static const char full_task[] =
	"{" TASK ",\"group_id\":\"" GROUP_ID "\",\"priority\":-7.0,\"retries\":3,"
	"\"retry_on\":[\"crash\",\"timeout\",\"builtins.OSError\",\"a.b.C\"],"
	"\"backoff\":{\"initial_s\":0.25,\"factor\":1.5,\"max_s\":10},\"timeout_s\":1.5,"
	"\"resources\":{\"mem\":1073741824},\"not_before\":\"2030-03-17T18:46:40.1239+01:00\","
	"\"expires_in\":2.5,\"at_most_once\":true,\"tags\":{\"run\":\"7\"}}";

static void a_task_with_all_its_options(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_options;
	struct response r = post(f, "/v1/tasks", full_task);
	assert_int_equal(r.status, 201);
	json_t *body = parse(&r);
	char location[512];
	(void)snprintf(location, sizeof location, "/v1/tasks/%s", at(body, "id"));
	assert_string_equal(response_header(&r, "Location"), location);
	assert_string_equal(at(body, "state"), "QUEUED");
	assert_string_equal(at(body, "reason"), "null");
	assert_string_equal(at(body, "group_id"), GROUP_ID);
	assert_string_equal(at(body, "priority"), "-7");
	assert_string_equal(at(body, "resources.mem"), "1073741824");
	assert_string_equal(at(body, "tags.run"), "7");
	assert_string_equal(at(body, "not_before"), "2030-03-17T17:46:40.123Z");
	assert_string_equal(at(body, "expires_at"), "2027-01-15T08:00:02.500Z");
	assert_string_equal(at(body, "created_at"), "2027-01-15T08:00:00.000Z");
	assert_int_equal(json_object_size(body), 22);
	json_decref(body);
	response_release(&r);
}

static void a_task_that_is_only_under_way(void **state)
{
	struct fixture *f = *state;
	struct response r =
		fixture_request(f, "POST", "/v1/tasks",
				JSON_TYPE "Prefer: wait=1, respond-async\r\n", "{" TASK "}");
	assert_int_equal(r.status, 202);
	assert_string_equal(response_header(&r, "Preference-Applied"), "respond-async");
	assert_non_null(response_header(&r, "Location"));
	response_release(&r);
}

static void a_task_from_raw_bytes(void **state)
{
	struct fixture *f = *state;
	uint8_t pickle[64];
	size_t len;
	struct client c;
	assert_int_equal(base64_decode(PICKLE, strlen(PICKLE), pickle, &len), 0);
	f->look = look_at_options;
	client_open(&c, f);
	client_print(&c,
		     "POST /v1/tasks?function_id=" FUNCTION_ID "&group_id=" GROUP_ID
		     "&priority=-7&retries=3&retry_on=%%5B%%22crash%%22,%%22timeout%%22,"
		     "%%22builtins.OSError%%22,%%22a.b.C%%22]&backoff=%%7B%%22initial_s%%22:0.25,"
		     "%%22factor%%22:1.5,%%22max_s%%22:10%%7D&timeout_s=1.5&"
		     "resources={%%22mem%%22:1073741824}&"
		     "not_before=2030-03-17T18:46:40.1239%%2B01:00&expires_in=2.5&"
		     "at_most_once=true&tags={%%22run%%22:%%227%%22} HTTP/1.1\r\n"
		     "Host: localhost\r\n" OCTETS_TYPE "Content-Length: %zu\r\n\r\n",
		     len);
	client_send(&c, pickle, len);
	struct response r = client_read(&c, false);
	assert_int_equal(r.status, 201);
	response_release(&r);
	client_close(&c);
	f->look = NULL;
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks?function_id=x", OCTETS_TYPE, "x"),
			 422);
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks", OCTETS_TYPE, "x"), 422);
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks?function_id=" FUNCTION_ID "&color=1",
					OCTETS_TYPE, "x"),
			 422);
	assert_int_equal(fixture_status(f, "POST",
					"/v1/tasks?function_id=" FUNCTION_ID "&retries=x",
					OCTETS_TYPE, "x"),
			 422);
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks?function_id=" FUNCTION_ID,
					OCTETS_TYPE, "not a pickle"),
			 400);
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks?function_id=" FUNCTION_ID,
					OCTETS_TYPE, NULL),
			 400);
}

static void look_at_batch(struct fixture *f, struct call *call)
{
	const struct call_submit *c = (struct call_submit *)call;
	(void)f;
	assert_int_equal(c->count, 3);
	assert_false(c->single);
	assert_non_null(c->new_group);
	assert_int_equal(c->items[0].task.options.priority, 5);
	assert_int_equal(c->items[0].task.options.said, TASK_OPTION_PRIORITY);
	assert_int_equal(c->items[1].task.options.priority, 9);
	assert_string_equal(c->items[1].task.options.tags, "{\"a\":\"b\"}");
	assert_string_equal(c->items[2].task.options.tags, "{\"c\":\"d\"}");
	for (uint32_t i = 0; i < 3; i++)
		assert_true(fh_id_equal(c->items[i].task.group_id, c->new_group->id));
}

static void a_batch_with_problems_among_it(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_batch;
	f->item_ret = FH_ENOTFOUND;
	struct response r = post(f, "/v1/tasks:batch",
				 "{" FUNC ",\"defaults\":{\"priority\":5,\"tags\":{\"a\":\"b\"}},"
				 "\"tasks\":[{" PAY "},{\"payload\":\"none\"},{" PAY
				 ",\"priority\":9},{" PAY ",\"tags\":{\"c\":\"d\"}}]}");
	assert_int_equal(r.status, 200);
	json_t *body = parse(&r);
	assert_int_equal(strlen(at(body, "group_id")), 36);
	assert_int_equal(json_array_size(json_object_get(body, "tasks")), 4);
	assert_int_equal(strlen(at(body, "tasks.0.id")), 36);
	assert_string_equal(at(body, "tasks.1.problem.code"), "invalid_payload");
	assert_string_equal(at(body, "tasks.1.problem.status"), "400");
	assert_string_equal(at(body, "tasks.2.problem.code"), "not_found");
	assert_int_equal(strlen(at(body, "tasks.3.id")), 36);
	json_decref(body);
	response_release(&r);
}

static void look_at_group_of_batch(struct fixture *f, struct call *call)
{
	const struct call_submit *c = (struct call_submit *)call;
	char id[FH_ID_TEXT];
	(void)f;
	assert_null(c->new_group);
	fh_id_format(c->items[0].task.group_id, id);
	assert_string_equal(id, GROUP_ID);
}

static void a_batch_for_a_group_that_exists(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_group_of_batch;
	struct response r = post(f, "/v1/tasks:batch",
				 "{\"group_id\":\"" GROUP_ID "\",\"tasks\":[{" TASK "}]}");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "group_id"), GROUP_ID);
	json_decref(body);
	response_release(&r);
}

static void the_same_key_gives_the_same_answer(void **state)
{
	static const struct {
		const char *target, *body, *other;
	} cases[] = {
		{ "/v1/tasks", "{" TASK "}", "{" TASK ",\"priority\":1}" },
		{ "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "}]}",
		  "{" FUNC ",\"tasks\":[{" PAY "},{" PAY "}]}" },
	};
	struct fixture *f = *state;
	static const char headers[] = JSON_TYPE "Idempotency-Key: 7f!\r\n";
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		f->key[0] = '\0';
		struct response first =
			fixture_request(f, "POST", cases[i].target, headers, cases[i].body);
		assert_null(response_header(&first, "Idempotency-Replayed"));
		struct response again =
			fixture_request(f, "POST", cases[i].target, headers, cases[i].body);
		assert_string_equal(response_header(&again, "Idempotency-Replayed"), "true");
		assert_int_equal(again.status, first.status);
		assert_string_equal(again.body, first.body);
		if (response_header(&first, "Location")) {
			char location[128];
			(void)snprintf(location, sizeof location, "%s",
				       response_header(&first, "Location"));
			assert_string_equal(response_header(&again, "Location"), location);
		}
		response_release(&again);
		response_release(&first);
		again = fixture_request(f, "POST", cases[i].target, headers, cases[i].other);
		assert_int_equal(again.status, 422);
		assert_non_null(strstr(again.body, "idempotency_key_reused"));
		response_release(&again);
	}
	/* The target is a part of the request too. */
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks", headers, cases[1].body), 422);
	assert_int_equal(fixture_status(f, "POST", "/v1/tasks",
					JSON_TYPE "Idempotency-Key: a b\r\n", cases[0].body),
			 422);
	assert_int_equal(fixture_status(f, "POST", "/v1/groups", JSON_TYPE "Idempotency-Key:\r\n",
					"{}"),
			 422);
}

static void groups(void **state)
{
	struct fixture *f = *state;
	struct response r = post(f, "/v1/groups", "{\"name\":\"sweep\",\"tags\":{\"a\":\"b\"}}");
	assert_int_equal(r.status, 201);
	json_t *body = parse(&r);
	assert_string_equal(at(body, "name"), "sweep");
	assert_string_equal(at(body, "tags.a"), "b");
	assert_string_equal(at(body, "total"), "0");
	json_decref(body);
	response_release(&r);
	assert_int_equal(fixture_status(f, "POST", "/v1/groups", "", NULL), 201);
	r = get(f, "/v1/groups/" GROUP_ID, "");
	body = parse(&r);
	assert_string_equal(at(body, "total"), "4");
	assert_string_equal(at(body, "counts"), "{\"QUEUED\":3,\"RUNNING\":1,\"COMPLETED\":0,"
						"\"FAILED\":0,\"CANCELLED\":0}");
	json_decref(body);
	response_release(&r);
}

static void the_server_itself(void **state)
{
	struct fixture *f = *state;
	static const char version[] = "{\"name\":\"farhand\",\"version\":\"1.2.3\",\"api\":\"v1\"}";
	expect_body(get(f, "/", ""), 200, version);
	expect_body(get(f, "/version", ""), 200, version);
	expect_body(get(f, "/livez", ""), 200, "{\"status\":\"ok\"}");
	expect_body(get(f, "/readyz?verbose", ""), 200, "{\"status\":\"ok\"}");
	expect_body(get(f, "/healthz", ""), 200, "{\"status\":\"ok\"}");
	http_server_set_ready(f->server, false);
	assert_int_equal(fixture_status(f, "GET", "/livez", "", NULL), 200);
	assert_int_equal(fixture_status(f, "GET", "/readyz", "", NULL), 503);
	assert_int_equal(fixture_status(f, "GET", "/healthz", "", NULL), 503);
	struct response r = get(f, "/v1/stats", "");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "tasks.QUEUED"), "3");
	assert_string_equal(at(body, "slots"), "2");
	assert_string_equal(at(body, "workers_broken"), "no \"python3\"");
	assert_string_equal(at(body, "connections"), "1");
	json_decref(body);
	response_release(&r);
	r = get(f, "/livez", "X-Request-Id: mine-7\r\n");
	assert_string_equal(response_header(&r, "X-Request-Id"), "mine-7");
	response_release(&r);
	r = get(f, "/livez", "X-Request-Id: not mine\r\n");
	assert_int_equal(strlen(response_header(&r, "X-Request-Id")), 36);
	response_release(&r);
}

static int set_up(void **state)
{
	*state = fixture_new(NULL);
	return 0;
}

static int tear_down(void **state)
{
	fixture_free((struct fixture **)state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(functions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(functions_page_by_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(names_are_decoded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_task_with_all_its_options, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_task_that_is_only_under_way, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_task_from_raw_bytes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_batch_with_problems_among_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_batch_for_a_group_that_exists, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_same_key_gives_the_same_answer, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(groups, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_server_itself, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
