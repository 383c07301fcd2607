/* The client commands, against a real gateway over a sink that the test is. */
#include "cli_fixture.h"

static void workers_are_listed(void **state)
{
	struct fixture *f = *state;
	expect(f, "workers ls", 0,
	       "ID  HOST  MODE  STATE  RUNTIME  SLOTS  IN FLIGHT  KEY  LABELS\n",
	       "no worker is connected\n");
	expect(f, "workers ls -q", 0, NULL, NULL);
	f->worker_count = 1;
	expect(f, "workers ls", 0,
	       "ID                                    HOST  MODE  STATE   RUNTIME  SLOTS  IN FLIGHT"
	       "  KEY   LABELS\n" WORKER_ID
	       "  lab7  push  online  cp311    2/8    3          anna  gpu=1,site=lab\n",
	       NULL);
	expect(f, "workers ls -q", 0, WORKER_ID "\n", NULL);
	f->worker = (struct call_worker){ .id = f->worker.id, .slots = 1 };
	expect(f, "workers ls", 0,
	       WORKER_ID "  -     local  online  -        0/1    0          -    -\n", NULL);
}

static void look_for_page(struct fixture *f, struct call *call)
{
	struct call_list_workers *c = (struct call_list_workers *)call;
	assert_int_equal(c->limit, 1000);
	c->limit = 3; /* so that there are pages */
	*(int *)f->look_at += 1;
}

static void all_pages_are_one_list(void **state)
{
	struct fixture *f = *state;
	int pages = 0;
	struct session s = { .exit = -1 };
	f->worker_count = 1;
	session_start(&s, "workers ls -o json");
	fixture_until(f, atomic_load(&s.done));
	session_end(&s);
	struct response r = fixture_request(f, "GET", "/v1/workers", "", NULL);
	assert_memory_equal(s.out, r.body, r.body_len); /* as it came */
	assert_string_equal(s.out + r.body_len, "\n");
	response_release(&r);
	session_release(&s);
	f->worker_count = 7;
	f->look = look_for_page;
	f->look_at = &pages;
	expect(f, "workers ls -q", 0,
	       WORKER_ID "\n" WORKER_ID "\n" WORKER_ID "\n" WORKER_ID "\n" WORKER_ID "\n" WORKER_ID
			 "\n" WORKER_ID "\n",
	       NULL);
	assert_int_equal(pages, 3);
	expect(f, "workers ls -o json", 0, "\"}},{\"id\":\"" WORKER_ID, NULL);
	expect(f, "workers ls -o json", 0, "}],\"next_cursor\":null}\n", NULL);
}

static void a_worker_is_shown(void **state)
{
	struct fixture *f = *state;
	expect(f, "workers show " WORKER_ID, 0,
	       "id         " WORKER_ID "\n"
	       "host       lab7\n"
	       "key        anna\n"
	       "mode       push\n"
	       "state      online\n"
	       "runtime    cp311\n"
	       "slots      8, 2 busy\n"
	       "in flight  3\n"
	       "cores      16\n"
	       "memory     64.0 GiB\n"
	       "labels     gpu=1,site=lab\n"
	       "connected  2027-01-15T07:59:55.000Z\n"
	       "heard      2027-01-15T07:59:59.750Z\n"
	       "finished   40, 1 of them failed\n",
	       NULL);
	expect(f, "workers show -q " WORKER_ID, 0, WORKER_ID "\n", NULL);
	expect(f, "workers show -o json " WORKER_ID, 0,
	       "{\"id\":\"" WORKER_ID "\",\"host\":\"lab7\"", NULL);
	f->worker = (struct call_worker){ .id = f->worker.id };
	expect(f, "workers show " WORKER_ID, 0, "host       -\nkey        -\n", NULL);
	expect(f, "workers show " WORKER_ID, 0, "cores      -\nmemory     -\nlabels     -\n", NULL);
}

static void orders_are_given(void **state)
{
	struct fixture *f = *state;
	expect(f, "workers drain " WORKER_ID, 0, "  draining  cp311", NULL);
	expect(f, "workers resume " WORKER_ID, 0, "  online  cp311", NULL);
	expect(f, "workers drain -o json " WORKER_ID, 0, "\"state\":\"draining\"", NULL);
	expect(f, "workers resume -q " WORKER_ID, 0, WORKER_ID "\n", NULL);
}

/* Each time that it is asked about, a worker has one task less; then it leaves, or goes on. */
static void look_less(struct fixture *f, struct call *call)
{
	int *leaves = f->look_at;
	if (call->kind != CALL_LIST_WORKERS)
		return;
	if (leaves && (*leaves)-- == 0)
		call->ret = FH_ENOTFOUND;
	else if (f->worker.in_flight > 0)
		f->worker.in_flight--;
}

static void a_drained_worker_is_waited_for(void **state)
{
	struct fixture *f = *state;
	int leaves = 1;
	expect(f, "workers drain --wait --timeout 0.05 " WORKER_ID, 6, NULL,
	       "farhand: the worker still has tasks; it takes no more\n");
	expect(f, "workers drain --wait --timeout 0.05 -o json " WORKER_ID, 6, NULL,
	       "\"code\":\"timed_out\"");
	f->look = look_less;
	expect(f, "workers drain --wait -o json " WORKER_ID, 0, "\"in_flight\":0", NULL);
	assert_int_equal(f->worker.in_flight, 0);
	f->worker.in_flight = 100;
	f->look_at = &leaves;
	expect(f, "workers drain --wait --timeout 30 " WORKER_ID, 0, "draining", NULL);
	f->worker.in_flight = 0;
	expect(f, "workers drain --wait " WORKER_ID, 0, "draining", NULL);
}

static void a_task_is_explained(void **state)
{
	static const struct call_need needs[] = {
		{ NEEDS_LABEL, "gpu=1", 4, 0, "0 of 4 workers have label gpu=1" },
		{ NEEDS_RUNTIME, "cp313", 4, 1, "1 of 4 workers has Python 3.13 (cp313)" },
	};
	struct fixture *f = *state;
	expect(f, "task explain " TASK_ID, 0,
	       "task       " TASK_ID "\nstate      QUEUED\nwaits for  capacity\n"
	       "why        all are \"busy\"\n",
	       NULL);
	expect(f, "task explain -q " TASK_ID, 0, "capacity\n", NULL);
	expect(f, "task explain -o json " TASK_ID, 0, "\"waits_for\":\"capacity\"", NULL);
	f->explanation = (struct call_explanation){ .waits_for = CALL_WAITS_FOR_NEEDS,
						    .text = "nobody fits",
						    .until_ms = f->now_ms,
						    .position_known = true,
						    .position = 17,
						    .worker = f->worker.id,
						    .needs = needs,
						    .need_count = 2 };
	expect(f, "task explain " TASK_ID, 0,
	       "why        nobody fits\nuntil      2027-01-15T08:00:00.000Z\nbefore it  17\n"
	       "worker     " WORKER_ID "\nneeds      0 of 4 workers have label gpu=1\n"
	       "           1 of 4 workers has Python 3.13 (cp313)\n",
	       NULL);
}

static void ids_are_one_part_of_the_path(void **state)
{
	static const char *const ids[] = { "x", "..", "a/b", "a?b", "a%20b", "\xC3\xA9", ":drain" };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		char line[128];
		(void)snprintf(line, sizeof line, "workers show %s", ids[i]);
		expect(f, line, 3, NULL, "farhand: the id in the path is not a UUID\n");
	}
	assert_int_equal(f->submitted, 0);
}

static void what_the_server_refuses(void **state)
{
	static const struct {
		int ret, exit;
		const char *code;
	} rows[] = {
		{ FH_ENOTFOUND, 3, "not_found" }, { FH_EGONE, 3, "gone" },
		{ FH_EFULL, 8, "queue_full" },	  { FH_ECLOSED, 8, "closing" },
		{ FH_EFINAL, 1, "final" },	  { FH_EIO, 1, "internal" },
	};
	static const char *const commands[] = { "workers ls", "workers show " WORKER_ID,
						"workers drain " WORKER_ID,
						"workers resume " WORKER_ID,
						"task explain " TASK_ID };
	struct fixture *f = *state;
	f->err = "because of \"it\"";
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (size_t n = 0; n < sizeof commands / sizeof *commands; n++) {
			char line[128], says[128];
			f->ret = rows[i].ret;
			expect(f, commands[n], rows[i].exit, NULL, "farhand: because of \"it\"\n");
			(void)snprintf(line, sizeof line, "%s -o json", commands[n]);
			(void)snprintf(says, sizeof says,
				       "{\"error\":\"because of \\\"it\\\"\",\"code\":\"%s\","
				       "\"status\":",
				       rows[i].code);
			expect(f, line, rows[i].exit, NULL, says);
		}
	}
}

static void addresses(void **state)
{
	struct fixture *f = *state;
	char line[128];
	unsigned port = http_server_port(f->server);
	f->worker_count = 1;
	(void)snprintf(line, sizeof line, "workers ls -q --url 127.0.0.1:%u", port);
	expect(f, line, 0, WORKER_ID, NULL);
	(void)snprintf(line, sizeof line, "workers ls -q --url http://127.0.0.1:%u//", port);
	expect(f, line, 0, WORKER_ID, NULL);
	(void)snprintf(line, sizeof line, "workers ls -q --url http://127.0.0.1:%u/under", port);
	expect(f, line, 3, NULL, "farhand: ");
	/* Whatever the environment says, a loopback address is not behind a proxy. */
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	expect(f, "workers ls -q", 0, WORKER_ID, NULL);
	assert_int_equal(unsetenv("http_proxy"), 0);
	use_url("127.0.0.1", 1);
	expect(NULL, "workers ls", 7, NULL, "farhand: no server answers at http://127.0.0.1:1: ");
	expect(NULL, "workers ls -o json", 7, NULL, "\"code\":\"unreachable\"}");
}

static void what_cannot_be_written_is_a_failure(void **state)
{
	struct fixture *f = *state;
	struct session s = { .exit = -1, .out_file = fopen("/dev/full", "w") };
	assert_non_null(s.out_file);
	session_start(&s, "workers ls");
	fixture_until(f, atomic_load(&s.done));
	session_end(&s);
	assert_int_equal(s.exit, 1);
	assert_non_null(strstr(s.err, "cannot be written"));
	session_release(&s);
}

static int set_up(void **state)
{
	struct fixture *f = fixture_new(NULL);
	use_url("127.0.0.1", http_server_port(f->server));
	*state = f;
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
		cmocka_unit_test_setup_teardown(workers_are_listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_pages_are_one_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_worker_is_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(orders_are_given, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_drained_worker_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_task_is_explained, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ids_are_one_part_of_the_path, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_server_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_a_failure, set_up,
						tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
