/* What a task needs of a worker: as fields, on its way to the sink, when no worker has it, and read
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/needs.h"
#include "http_json.h"

/* A pickle of ((mylab.fit, numpy.array), {}), as by protocol 2. */
#define NAMING "\"payload\":\"gAJjbXlsYWIuY29yZQpmaXQKY251bXB5CmFycmF5CoZ9hi4=\""

static void wrong_values_are_named(void **state)
{
#define LABEL_64 "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccdddddddddddddddd"
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{" TASK ",\"runtime\":311}", 422, "/runtime" },
		{ "POST", "/v1/tasks", "{" TASK ",\"runtime\":\"3.11\"}", 422, "like cp311" },
		{ "POST", "/v1/tasks", "{" TASK ",\"runtime\":\"\"}", 422, "/runtime" },
		{ "POST", "/v1/tasks", "{" TASK ",\"resources\":{\"cpus\":0}}", 422,
		  "/resources/cpus" },
		{ "POST", "/v1/tasks", "{" TASK ",\"resources\":{\"cpus\":0.5}}", 422,
		  "not an integer from 1 to 1000000" },
		{ "POST", "/v1/tasks", "{" TASK ",\"resources\":{\"cpus\":\"4\"}}", 422,
		  "/resources/cpus" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":[\"gpu\"]}", 422, "not an object" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"gpu\":[]}}", 422, "/labels/gpu" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"gpu\":false}}", 422,
		  "/labels/gpu" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"gpu\":\"\"}}", 422, "not a label" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"gpu\":\"a b\"}}", 422,
		  "/labels/gpu" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"gpu\":\"1,site=x\"}}", 422,
		  "/labels/gpu" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"\":\"1\"}}", 422, "/labels/" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"a=b\":null}}", 422, "/labels/a=b" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"\u00fc\":null}}", 422,
		  "not a label" },
		{ "POST", "/v1/tasks", "{" TASK ",\"labels\":{\"" LABEL_64 "\":1}}", 422,
		  "not a label" },
		{ "POST", "/v1/tasks",
		  "{" TASK ",\"labels\":{\"a\":\"" LABEL_64 "\",\"b\":\"" LABEL_64
		  "\",\"c\":\"" LABEL_64 "\"}}",
		  422, "too many bytes in all" },
		{ "POST", "/v1/tasks", "{" TASK ",\"wait_for_worker\":1}", 422,
		  "/wait_for_worker" },
		{ "POST", "/v1/tasks:batch",
		  "{" FUNC ",\"defaults\":{\"runtime\":1},\"tasks\":[{" PAY "}]}", 422,
		  "/defaults/runtime" },
		{ "POST", "/v1/tasks:batch",
		  "{" FUNC ",\"tasks\":[{" PAY ",\"labels\":{\"x y\":1}}]}", 422,
		  "/tasks/0/labels/x y" },
		{ "POST", "/v1/functions", "{\"name\":\"f\"," PAY ",\"runtime\":true}", 422,
		  "/runtime" },
	};
	struct fixture *f = *state;
	CHECK(f, rows);
	assert_int_equal(f->submitted, 0);
}

/* What the sink saw last. */
static struct {
	char needs[NEEDS_TEXT], modules[NEEDS_TEXT];
	bool wait, anywhere;
	uint64_t mem_bytes;
	uint8_t digest[32];
} seen[2];

static void note(char to[NEEDS_TEXT], const char *text)
{
	(void)snprintf(to, NEEDS_TEXT, "%s", text ? text : "NULL");
}

static void look(struct fixture *f, struct call *call)
{
	(void)f;
	if (call->kind == CALL_PUT_FUNCTION) {
		const struct function_rec *function = &((struct call_put_function *)call)->function;
		note(seen[0].needs, function->defaults.needs);
		note(seen[0].modules, function->modules);
		memcpy(seen[0].digest, function->digest, 32);
		return;
	}
	const struct call_submit *c = (struct call_submit *)call;
	for (uint32_t i = 0; i < c->count && i < 2; i++) {
		note(seen[i].needs, c->items[i].task.options.needs);
		note(seen[i].modules, c->items[i].modules);
		seen[i].wait = c->items[i].wait_for_worker;
		seen[i].anywhere = c->modules_anywhere;
		seen[i].mem_bytes = c->items[i].task.options.mem_bytes;
	}
}

static void send(struct fixture *f, const char *target, const char *body, int status)
{
	struct response r = post(f, target, body);
	if (r.status != status)
		fail_msg("%s: %d %s", body, r.status, r.body);
	response_release(&r);
}

static void fields_become_needs(void **state)
{
	struct fixture *f = *state;
	f->look = look;
	send(f, "/v1/tasks", "{" TASK "}", 201);
	assert_string_equal(seen[0].needs, "NULL");
	assert_string_equal(seen[0].modules, "NULL");
	assert_false(seen[0].wait);
	send(f, "/v1/tasks",
	     "{" TASK
	     ",\"runtime\":\"cp313t\",\"labels\":{\"site\":\"lab\",\"gpu\":1,\"fast\":true,"
	     "\"tpu\":null,\"load\":0.5},\"resources\":{\"cpus\":4,\"mem\":5000000000},"
	     "\"wait_for_worker\":true}",
	     201);
	/* The memory is stated when everything is joined. */
	assert_string_equal(seen[0].needs,
			    "cores=4;label=fast=true;label=gpu=1;label=load=0.5;label=site=lab;"
			    "label=tpu;runtime=cp313t");
	assert_int_equal(seen[0].mem_bytes, 5000000000);
	assert_true(seen[0].wait);
	/* What restricts nothing is nothing. */
	send(f, "/v1/tasks",
	     "{" TASK ",\"runtime\":null,\"labels\":{},\"resources\":{\"cpus\":1},"
	     "\"wait_for_worker\":false}",
	     201);
	assert_string_equal(seen[0].needs, "NULL");
	assert_false(seen[0].wait);
}

static void a_query_says_the_same(void **state)
{
	struct fixture *f = *state;
	f->look = look;
	struct response r = fixture_request(f, "POST",
					    "/v1/tasks?function_id=" FUNCTION_ID
					    "&runtime=cp311&labels=%7B%22gpu%22:null%7D"
					    "&resources=%7B%22cpus%22:2%7D&wait_for_worker=true",
					    OCTETS_TYPE, "\x80\x02K\x01\x85}\x86.");
	assert_int_equal(r.status, 201);
	response_release(&r);
	assert_string_equal(seen[0].needs, "cores=2;label=gpu;runtime=cp311");
	assert_true(seen[0].wait);
}

static void items_of_a_batch_say_otherwise(void **state)
{
	struct fixture *f = *state;
	f->look = look;
	send(f, "/v1/tasks:batch",
	     "{" FUNC ",\"defaults\":{\"runtime\":\"cp311\",\"labels\":{\"gpu\":\"1\"},"
	     "\"resources\":{\"cpus\":2},\"wait_for_worker\":true},\"tasks\":[{" PAY "},{" NAMING
	     ",\"labels\":{\"site\":\"x\"},\"runtime\":\"cp312\",\"wait_for_worker\":false}]}",
	     200);
	assert_string_equal(seen[0].needs, "cores=2;label=gpu=1;runtime=cp311");
	assert_string_equal(seen[0].modules, "NULL");
	assert_true(seen[0].wait);
	assert_string_equal(seen[1].needs, "cores=2;label=site=x;runtime=cp312");
	assert_string_equal(seen[1].modules, "mylab,numpy");
	assert_false(seen[1].wait);
}

static void modules_are_handed_on(void **state)
{
	struct fixture *f = *state;
	f->look = look;
	send(f, "/v1/tasks", "{" FUNC "," NAMING "}", 201);
	assert_string_equal(seen[0].modules, "mylab,numpy");
	assert_false(seen[0].anywhere);
	send(f, "/v1/functions", "{\"name\":\"f\"," NAMING "}", 201);
	assert_string_equal(seen[0].modules, "mylab,numpy");
	/* The old interface promises that the task itself names what is missing. */
	send(f, "/execute_function", "{" FUNC "," NAMING "}", 201);
	assert_true(seen[0].anywhere);
	/* A payload that is refused leaves nothing behind. */
	send(f, "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" NAMING "},{\"payload\":\"AAAA\"}]}",
	     200);
	assert_string_equal(seen[0].modules, "mylab,numpy");
}

static void a_function_has_a_runtime(void **state)
{
	struct fixture *f = *state;
	uint8_t digest[2][32];
	f->look = look;
	send(f, "/v1/functions", "{\"name\":\"f\"," PAY "}", 201);
	assert_string_equal(seen[0].needs, "NULL");
	memcpy(digest[0], seen[0].digest, 32);
	send(f, "/v1/functions", "{\"name\":\"f\"," PAY ",\"runtime\":\"cp311\"}", 201);
	assert_string_equal(seen[0].needs, "runtime=cp311");
	memcpy(digest[1], seen[0].digest, 32);
	send(f, "/v1/functions", "{\"name\":\"f\"," PAY ",\"runtime\":\"cp312\"}", 201);
	assert_string_equal(seen[0].needs, "runtime=cp312");
	/* They are three functions. */
	assert_memory_not_equal(digest[0], digest[1], 32);
	assert_memory_not_equal(digest[0], seen[0].digest, 32);
	assert_memory_not_equal(digest[1], seen[0].digest, 32);
	struct response r = get(f, "/v1/functions/f", "");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "runtime"), "null");
	json_decref(body);
	response_release(&r);
	f->function.defaults.needs = fh_strdup("runtime=cp311");
	r = get(f, "/v1/functions/f", "");
	body = parse(&r);
	assert_string_equal(at(body, "runtime"), "cp311");
	json_decref(body);
	response_release(&r);
}

static void refuse(struct fixture *f, struct call *call)
{
	(void)f;
	(void)fh_err_set(&call->advice, 0, "Start a worker with --label gpu=1.");
	call->lacking = 1u << NEEDS_LABEL | 1u << NEEDS_RUNTIME;
}

static void no_worker_is_a_conflict_with_advice(void **state)
{
	static const struct row rows[] = {
		{ "POST", "/v1/tasks", "{" TASK "}", 409, "\"code\":\"no_worker\"" },
		{ "POST", "/v1/tasks", "{" TASK "}", 409,
		  "\"detail\":\"no worker has label gpu=1\","
		  "\"advice\":\"Start a worker with --label gpu=1.\","
		  "\"lacking\":[\"label\",\"runtime\"]" },
		{ "POST", "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "}]}", 409,
		  "\"advice\"" },
		{ "POST", "/execute_function", "{" TASK "}", 409, "\"advice\"" },
	};
	struct fixture *f = *state;
	f->ret = FH_EUNFIT;
	f->err = "no worker has label gpu=1";
	f->look = refuse;
	CHECK(f, rows);
}

static void look_unfit(struct fixture *f, struct call *call)
{
	static const struct call_unfit unfit = { { "no worker has label gpu=1" },
						 { "Start one." },
						 1u << NEEDS_LABEL };
	(void)f;
	((struct call_submit *)call)->items[1].unfit = &unfit;
}

static void an_item_alone_can_be_unfit(void **state)
{
	struct fixture *f = *state;
	f->item_ret = FH_EUNFIT;
	f->look = look_unfit;
	struct response r =
		post(f, "/v1/tasks:batch", "{" FUNC ",\"tasks\":[{" PAY "},{" PAY "},{" PAY "}]}");
	assert_int_equal(r.status, 200);
	json_t *body = parse(&r);
	assert_int_equal(strlen(at(body, "tasks.0.id")), 36);
	assert_string_equal(at(body, "tasks.1.problem.code"), "no_worker");
	assert_string_equal(at(body, "tasks.1.problem.status"), "409");
	assert_string_equal(at(body, "tasks.1.problem.detail"), "no worker has label gpu=1");
	assert_string_equal(at(body, "tasks.1.problem.advice"), "Start one.");
	assert_string_equal(at(body, "tasks.1.problem.lacking"), "[\"label\"]");
	assert_int_equal(strlen(at(body, "tasks.2.id")), 36);
	json_decref(body);
	response_release(&r);
}

static void expect_task(struct fixture *f, const char *runtime, const char *resources,
			const char *labels)
{
	struct response r = get(f, "/v1/tasks/" TASK_ID, "");
	json_t *body = parse(&r);
	assert_string_equal(at(body, "runtime"), runtime);
	assert_string_equal(at(body, "resources"), resources);
	assert_string_equal(at(body, "labels"), labels);
	json_decref(body);
	response_release(&r);
}

static void tasks_show_their_needs(void **state)
{
	struct fixture *f = *state;
	expect_task(f, "null", "{}", "{}");
	f->task.options.mem_bytes = 5;
	expect_task(f, "null", "{\"mem\":5}", "{}");
	f->task.options.needs = fh_strdup("cores=4;label=gpu=1;label=site=a=b;label=tpu;"
					  "mem=1073741824;module=mylab;runtime=cp311");
	expect_task(f, "cp311", "{\"cpus\":4,\"mem\":5}",
		    "{\"gpu\":\"1\",\"site\":\"a=b\",\"tpu\":null}");
	f->task.options.mem_bytes = 0;
	f->task.state = TASK_COMPLETED;
	(void)snprintf(f->result.runtime, sizeof f->result.runtime, "cp313");
	expect_task(f, "cp313", "{\"cpus\":4}", "{\"gpu\":\"1\",\"site\":\"a=b\",\"tpu\":null}");
	/* What a later version may have written. */
	f->task.options.needs[0] = 'C';
	expect_task(f, "cp313", "{}", "{}");
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
		cmocka_unit_test_setup_teardown(wrong_values_are_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fields_become_needs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_query_says_the_same, set_up, tear_down),
		cmocka_unit_test_setup_teardown(items_of_a_batch_say_otherwise, set_up, tear_down),
		cmocka_unit_test_setup_teardown(modules_are_handed_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_function_has_a_runtime, set_up, tear_down),
		cmocka_unit_test_setup_teardown(no_worker_is_a_conflict_with_advice, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_item_alone_can_be_unfit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(tasks_show_their_needs, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
