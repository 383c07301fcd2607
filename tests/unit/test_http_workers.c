/* Workers and explanations: what they look like, and what the dispatcher is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_json.h"

#define ONE "/v1/workers/" WORKER_ID

static void look_at_id(struct fixture *f, struct call *call)
{
	const struct call_list_workers *c = (struct call_list_workers *)call;
	assert_int_equal(call->kind, CALL_LIST_WORKERS);
	assert_true(fh_id_equal(c->id, f->worker.id));
	assert_true(c->limit > 0);
}

static void a_worker(void **state)
{
	struct fixture *f = *state;
	f->look = look_at_id;
	expect_body(get(f, ONE, ""), 200,
		    "{\"id\":\"" WORKER_ID "\",\"host\":\"lab7\","
		    "\"key_name\":\"anna\",\"mode\":\"push\","
		    "\"state\":\"online\",\"runtime\":\"cp311\",\"slots\":8,\"slots_busy\":2,"
		    "\"in_flight\":3,\"cores\":16,\"mem_bytes\":68719476736,"
		    "\"labels\":{\"gpu\":\"1\",\"site\":\"lab\"},"
		    "\"connected_at\":\"2027-01-15T07:59:55.000Z\","
		    "\"heard_at\":\"2027-01-15T07:59:59.750Z\","
		    "\"finished_total\":40,\"failed_total\":1,\"links\":{\"self\":\"" ONE "\"}}");
	assert_int_equal(fixture_status(f, "HEAD", ONE, "", NULL), 200);
}

static void what_is_not_known_is_null(void **state)
{
	struct fixture *f = *state;
	f->worker = (struct call_worker){ .id = f->worker.id, .mode = CALL_WORKER_LOCAL };
	struct response r = get(f, ONE, "");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "mode"), "local");
	static const char *const names[] = { "host",	  "key_name",	  "runtime", "cores",
					     "mem_bytes", "connected_at", "heard_at" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		assert_string_equal(at(body, names[i]), "null");
	assert_string_equal(at(body, "slots"), "0");
	assert_string_equal(at(body, "labels"), "{}");
	json_decref(body);
	response_release(&r);
}

static void labels_are_an_object(void **state)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "a=1", "{\"a\":\"1\"}" },
		{ "a=", "{\"a\":\"\"}" },
		{ "a", "{\"a\":\"\"}" },
		{ "a=b=c,d=\"", "{\"a\":\"b=c\",\"d\":\"\\\"\"}" },
		{ "", "{}" },
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		f->worker.labels = cases[i].text;
		struct response r = get(f, ONE, "");
		json_t *body = parse(&r);
		assert_string_equal(at(body, "labels"), cases[i].json);
		json_decref(body);
		response_release(&r);
	}
}

static void modes_and_states_have_words(void **state)
{
	static const char *const modes[] = { "local", "push", "pull" };
	static const char *const states[] = { "online", "draining", "lost" };
	struct fixture *f = *state;
	for (int i = 0; i < 3; i++) {
		f->worker.mode = (enum call_worker_mode)i;
		f->worker.state = (enum call_worker_state)i;
		struct response r = get(f, ONE, "");
		json_t *body = parse(&r);
		assert_string_equal(at(body, "mode"), modes[i]);
		assert_string_equal(at(body, "state"), states[i]);
		json_decref(body);
		response_release(&r);
	}
}

static void workers_page_by_page(void **state)
{
	struct fixture *f = *state;
	char target[128] = "/v1/workers?limit=3";
	f->worker_count = 7;
	for (int left = 7; left > 0; left -= 3) {
		struct response r = get(f, target, "");
		assert_int_equal(r.status, 200);
		json_t *body = parse(&r);
		assert_int_equal(json_array_size(json_object_get(body, "items")),
				 left < 3 ? left : 3);
		assert_string_equal(at(body, "items.0.id"), WORKER_ID);
		const char *link = response_header(&r, "Link");
		if (left > 3) {
			assert_non_null(strstr(link, at(body, "next_cursor")));
			(void)snprintf(target, sizeof target, "%.*s", (int)strcspn(link + 1, ">"),
				       link + 1);
		} else {
			assert_null(link);
			assert_string_equal(at(body, "next_cursor"), "null");
		}
		json_decref(body);
		response_release(&r);
	}
	f->worker_count = 0;
	expect_body(get(f, "/v1/workers", ""), 200, "{\"items\":[],\"next_cursor\":null}");
}

static void look_at_order(struct fixture *f, struct call *call)
{
	const struct call_order_worker *c = (struct call_order_worker *)call;
	assert_int_equal(call->kind, CALL_ORDER_WORKER);
	assert_true(fh_id_equal(c->id, f->worker.id));
	assert_int_equal(c->order, *(enum call_worker_order *)f->look_at);
}

static void orders(void **state)
{
	static const struct {
		const char *verb, *state;
		enum call_worker_order order;
	} cases[] = {
		{ "drain", "draining", CALL_WORKER_DRAIN },
		{ "resume", "online", CALL_WORKER_RESUME },
	};
	struct fixture *f = *state;
	f->look = look_at_order;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char target[128];
		enum call_worker_order order = cases[i].order;
		f->look_at = &order;
		(void)snprintf(target, sizeof target, ONE ":%s", cases[i].verb);
		for (int with_body = 0; with_body < 2; with_body++) {
			struct response r =
				fixture_request(f, "POST", target, with_body ? JSON_TYPE : "",
						with_body ? "{}" : NULL);
			assert_int_equal(r.status, 200);
			json_t *body = parse(&r);
			assert_string_equal(at(body, "id"), WORKER_ID);
			assert_string_equal(at(body, "state"), cases[i].state);
			json_decref(body);
			response_release(&r);
		}
		f->look_at = NULL;
		assert_int_equal(fixture_status(f, "POST", target, JSON_TYPE, "{\"wait\":1}"), 422);
		assert_int_equal(fixture_status(f, "POST", target, OCTETS_TYPE, "x"), 415);
	}
}

static void look_at_task(struct fixture *f, struct call *call)
{
	const struct call_explain *c = (struct call_explain *)call;
	assert_int_equal(call->kind, CALL_EXPLAIN);
	assert_true(fh_id_equal(c->task, f->task.id));
}

static void an_explanation(void **state)
{
	static const struct call_need needs[] = {
		{ NEEDS_LABEL, "gpu=1", 4, 0, "0 of 4 workers have label gpu=1" },
		{ NEEDS_RUNTIME, "cp313", 4, 1, "1 of 4 workers has Python 3.13" },
		{ NEEDS_MODULE, "mylab", 4, 0, "module" },
		{ NEEDS_CORES, "8", 4, 2, "cores" },
		{ NEEDS_MEM, "1", 4, 3, "memory" },
	};
	struct fixture *f = *state;
	f->look = look_at_task;
	f->explanation = (struct call_explanation){ .waits_for = CALL_WAITS_FOR_NEEDS,
						    .text = "none of 4 workers fits",
						    .position_known = true,
						    .position = 17,
						    .needs = needs,
						    .need_count = 2 };
	expect_body(get(f, "/v1/tasks/" TASK_ID "/explain", ""), 200,
		    "{\"id\":\"" TASK_ID "\",\"state\":\"QUEUED\",\"waits_for\":\"needs\","
		    "\"text\":\"none of 4 workers fits\",\"until\":null,\"position\":17,"
		    "\"worker_id\":null,\"needs\":["
		    "{\"why\":\"label\",\"wanted\":\"gpu=1\",\"workers\":4,\"fitting\":0,"
		    "\"text\":\"0 of 4 workers have label gpu=1\"},"
		    "{\"why\":\"runtime\",\"wanted\":\"cp313\",\"workers\":4,\"fitting\":1,"
		    "\"text\":\"1 of 4 workers has Python 3.13\"}]}");
	f->explanation.need_count = 5;
	struct response r = get(f, "/v1/tasks/" TASK_ID "/explain", "");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "needs.2.why"), "module");
	assert_string_equal(at(body, "needs.3.why"), "cores");
	assert_string_equal(at(body, "needs.4.why"), "memory");
	json_decref(body);
	response_release(&r);
}

static void explanations_of_all_kinds(void **state)
{
	static const char *const words[CALL_WAITS_FOR_COUNT] = {
		"nothing",  "final",  "running",   "delayed", "retry",
		"capacity", "window", "no_worker", "needs",   "grace",
	};
	struct fixture *f = *state;
	for (int i = 0; i < CALL_WAITS_FOR_COUNT; i++) {
		f->explanation = (struct call_explanation){ .state = TASK_RUNNING,
							    .waits_for = (enum call_waits_for)i,
							    .text = "\"",
							    .until_ms = f->now_ms,
							    .worker = f->worker.id };
		struct response r = get(f, "/v1/tasks/" TASK_ID "/explain", "");
		json_t *body = parse(&r);
		assert_string_equal(at(body, "state"), "RUNNING");
		assert_string_equal(at(body, "waits_for"), words[i]);
		assert_string_equal(at(body, "text"), "\"");
		assert_string_equal(at(body, "until"), "2027-01-15T08:00:00.000Z");
		assert_string_equal(at(body, "position"), "null");
		assert_string_equal(at(body, "worker_id"), WORKER_ID);
		assert_string_equal(at(body, "needs"), "[]");
		json_decref(body);
		response_release(&r);
	}
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
		cmocka_unit_test_setup_teardown(a_worker, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_null, set_up, tear_down),
		cmocka_unit_test_setup_teardown(labels_are_an_object, set_up, tear_down),
		cmocka_unit_test_setup_teardown(modes_and_states_have_words, set_up, tear_down),
		cmocka_unit_test_setup_teardown(workers_page_by_page, set_up, tear_down),
		cmocka_unit_test_setup_teardown(orders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_explanation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(explanations_of_all_kinds, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
