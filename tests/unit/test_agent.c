/* The agent between the in-process transport and a model of a runner: what is kept and released,
 * what is said, and what happens when runner or transport refuse. */
#include "agent_fixture.h"
#include "runner_model.h"

#include "base/mem.h"

static void start(struct pool *p, unsigned slots)
{
	pool_start(p, slots, "python3");
	p->functions[1] = blob_copy("function", 8);
	pool_settle(p);
	runner_model_ready(runner_model());
	pool_settle(p);
	assert_int_equal(p->got[WIRE_HELLO], 1);
}

static void assign(struct pool *p, unsigned task, bool ahead)
{
	pool_assign(p, (struct wire_assign){ .task = id_of(task),
					     .function = id_of(1),
					     .payload = blob_copy("payload", 7),
					     .ahead = ahead });
	pool_settle(p);
}

static void complete(struct pool *p, unsigned slot, const char *value)
{
	struct task_result result = { .state = TASK_COMPLETED,
				      .value = blob_copy(value, strlen(value)) };
	runner_model_finish(runner_model(), slot, &result, false);
	pool_settle(p);
}

static void assert_value(const struct pool *p, unsigned task, const char *value)
{
	const struct blob *b = p->results[task].value;
	assert_non_null(b);
	assert_int_equal(b->len, strlen(value));
	assert_memory_equal(b->data, value, b->len);
}

static void hello_names_the_worker(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 3);
	assert_true(fh_id_equal(p.hello.instance, id_of(77)));
	assert_int_equal(p.hello.slots, 3);
	assert_string_equal(p.hello.runtime, "cp311");
	assert_int_equal(p.welcomed, 1);
	assert_string_equal(p.hello.host, "here");
	assert_string_equal(p.hello.labels, "gpu=1,site=lab");
	assert_string_equal(p.hello.modules, "abc,numpy");
	assert_int_equal(p.hello.mode, WIRE_PUSH);
	assert_true(p.hello.cores >= 1 && p.hello.mem_bytes > 1 << 20);
	assert_int_equal(p.hello.in_flight.count, 0);
	assert_int_equal(p.granted, 3 * 32);
	struct agent_stats stats = pool_stats(&p);
	assert_int_equal(stats.slots_up, 3);
	assert_string_equal(stats.runtime, "cp311");
	pool_stop(&p);
}

static void a_task_goes_there_and_back(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	pool_assign(&p, (struct wire_assign){ .task = id_of(1),
					      .function = id_of(1),
					      .payload = blob_copy("payload", 7),
					      .mem_bytes = 5,
					      .retry_classes = fh_strdup("builtins.OSError") });
	pool_settle(&p);
	assert_int_equal(agent_slots_busy(p.agent), 1);
	const struct runner_job *job = runner_model_job(runner_model(), 0, 0);
	assert_true(job->announce);
	assert_int_equal(job->mem_bytes, 5);
	assert_string_equal(job->retry_classes, "builtins.OSError");
	assert_memory_equal(job->payload->data, "payload", 7);
	runner_model_started(runner_model(), 0);
	pool_settle(&p);
	assert_int_equal(p.got[WIRE_STARTED], 1);
	struct task_result result = { .state = TASK_FAILED,
				      .reason = REASON_EXCEPTION,
				      .value = blob_copy("exception", 9),
				      .error_type = fh_strdup("builtins.OSError"),
				      .error_message = fh_strdup("no"),
				      .traceback = fh_strdup("line 1"),
				      .out = blob_copy("out", 3),
				      .err = blob_copy("err", 3),
				      .runtime = "cp311" };
	runner_model_finish(runner_model(), 0, &result, true);
	pool_settle(&p);
	assert_value(&p, 1, "exception");
	assert_true(p.retry_match[1]);
	assert_string_equal(p.results[1].error_type, "builtins.OSError");
	assert_string_equal(p.results[1].traceback, "line 1");
	assert_memory_equal(p.results[1].err->data, "err", 3);
	assert_int_equal(pool_stats(&p).unacknowledged, 0);
	assert_int_equal(agent_slots_busy(p.agent), 0);
	pool_stop(&p);
}

static void what_is_not_over_is_released_at_the_end(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	p.acknowledges = false;
	assign(&p, 1, false);
	complete(&p, 0, "kept");
	assign(&p, 2, false);
	assign(&p, 3, false);
	pool_assign(&p,
		    (struct wire_assign){ .task = id_of(4), .payload = blob_copy("unpolled", 8) });
	pool_stop(&p); /* the sanitizer sees a leak */
}

static void a_missing_function_is_named(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	pool_assign(&p, (struct wire_assign){ .task = id_of(1), .function = id_of(9) });
	pool_settle(&p);
	assert_int_equal(p.results[1].state, TASK_FAILED);
	assert_int_equal(p.results[1].reason, REASON_UNDECODABLE);
	char id[FH_ID_TEXT];
	fh_id_format(id_of(9), id);
	assert_non_null(strstr(p.results[1].error_message, id));
	pool_stop(&p);
}

static void cancel_before_the_start(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	assign(&p, 2, false);
	pool_say_ref(&p, WIRE_CANCEL, 2);
	pool_say_ref(&p, WIRE_CANCEL, 1);
	pool_settle(&p);
	assert_int_equal(p.results[2].state, TASK_CANCELLED);
	assert_int_equal(p.results[2].reason, REASON_CANCELLED);
	assert_int_equal(runner_model_killed(runner_model()), REASON_CANCELLED);
	complete(&p, 0, "it had just finished");
	assert_value(&p, 1, "it had just finished");
	pool_stop(&p);
}

static void a_slot_that_refuses_is_left_alone(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 2);
	runner_model_answer(runner_model(), FH_ECLOSED);
	assign(&p, 1, false);
	assert_int_equal(pool_stats(&p).slots_up, 0);
	assert_int_equal(pool_stats(&p).waiting, 1);
	runner_model_answer(runner_model(), 0);
	runner_model_slot(runner_model(), 1, true);
	assert_int_equal(runner_model_len(runner_model(), 1), 1);
	complete(&p, 1, "value");
	assert_value(&p, 1, "value");
	pool_stop(&p);
}

static void a_full_socket_takes_more_after_an_answer(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, true);
	runner_model_answer(runner_model(), FH_EAGAIN);
	assign(&p, 2, true);
	runner_model_answer(runner_model(), 0);
	assign(&p, 3, true);
	assert_int_equal(runner_model_len(runner_model(), 0), 1);
	complete(&p, 0, "one");
	assert_true(runner_model_len(runner_model(), 0) > 0);
	while (runner_model_len(runner_model(), 0) > 0)
		complete(&p, 0, "more");
	assert_value(&p, 2, "more");
	assert_value(&p, 3, "more");
	pool_stop(&p);
}

static void a_host_in_trouble_costs_the_attempt(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	runner_model_answer(runner_model(), FH_ENOMEM);
	assign(&p, 1, false);
	assert_int_equal(p.results[1].state, TASK_FAILED);
	assert_int_equal(p.results[1].reason, REASON_WORKER_LOST);
	runner_model_answer(runner_model(), 0);
	assign(&p, 2, false);
	complete(&p, 0, "value");
	assert_value(&p, 2, "value");
	pool_stop(&p);
}

/* The session's own clock rules are tested with the session; here, that the timer is set. */
static void an_overdue_task_is_stolen_from(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 2);
	assign(&p, 1, true);
	complete(&p, 0, "measured");
	assign(&p, 2, true);
	assign(&p, 3, true);
	assert_int_equal(runner_model_len(runner_model(), 0), 2);
	runner_model_started(runner_model(), 0);
	pool_until(&p, runner_model_steals(runner_model()) == 1);
	assert_int_equal(p.got[WIRE_STARTED], 1);
	runner_model_return(runner_model(), 0);
	complete(&p, 1, "three");
	assert_value(&p, 3, "three");
	pool_stop(&p);
}

static void a_result_that_there_was_no_memory_for_is_said_later(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	struct task_result result = { .state = TASK_FAILED,
				      .reason = REASON_EXCEPTION,
				      .error_type = fh_strdup("builtins.OSError") };
	fh_mem_fail_after(1);
	runner_model_finish(runner_model(), 0, &result, false);
	fh_mem_fail_after(0);
	pool_settle(&p);
	assert_int_equal(p.result_count[1], 0);
	assert_int_equal(pool_stats(&p).unacknowledged, 1);
	pool_until(&p, p.result_count[1] == 1);
	assert_string_equal(p.results[1].error_type, "builtins.OSError");
	pool_stop(&p);
}

static void what_a_task_prints_goes_to_the_dispatcher(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	runner_model_started(runner_model(), 0);
	runner_model_printed(runner_model(), 0, 3, 0);
	pool_until(&p, p.got[WIRE_LOG] == 1);
	runner_model_printed(runner_model(), 0, 5, 2);
	pool_until(&p, p.got[WIRE_LOG] == 3);
	assert_string_equal(p.logs[0], "abcde");
	assert_string_equal(p.logs[1], "ab");
	/* It ends before its last words can be asked for: the result has them. */
	runner_model_printed(runner_model(), 0, 6, 2);
	complete(&p, 0, "value");
	assert_value(&p, 1, "value");
	pool_settle(&p);
	assert_int_equal(p.got[WIRE_LOG], 3);
	pool_stop(&p);
}

static void assigns_are_acknowledged(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	assign(&p, 2, false);
	pool_until(&p, p.got[WIRE_ASSIGN_ACK] == 1);
	assert_int_equal(p.acknowledged, 2);
	pool_stop(&p);
}

static void a_heartbeat_lists_what_is_held(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	pool_until(&p, p.got[WIRE_HEARTBEAT] == 1);
	pool_stop(&p);
}

static void broken_is_said_once_and_healed(void **state)
{
	(void)state;
	struct pool p;
	pool_start(&p, 1, "python3");
	runner_model_broken(runner_model(), "no such python");
	runner_model_broken(runner_model(), "no such python");
	assert_int_equal(p.log_lines, 1);
	assert_string_equal(p.log, "no such python");
	assert_true(pool_stats(&p).broken);
	assert_string_equal(pool_stats(&p).broken_why, "no such python");
	pool_settle(&p);
	assert_int_equal(p.got[WIRE_HELLO], 0);
	runner_model_ready(runner_model());
	assert_int_equal(p.log_lines, 2);
	assert_false(pool_stats(&p).broken);
	pool_settle(&p);
	assert_int_equal(p.got[WIRE_HELLO], 1);
	pool_stop(&p);
}

static void a_drained_agent_says_bye(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	agent_drain(p.agent);
	pool_settle(&p);
	assert_int_equal(p.drained, 0);
	complete(&p, 0, "value");
	assert_int_equal(p.drained, 1);
	assert_int_equal(p.got[WIRE_BYE], 1);
	agent_drain(p.agent);
	pool_settle(&p);
	assert_int_equal(p.drained, 1);
	pool_stop(&p);
}

static void an_agent_that_is_freed_leaves_what_it_had_to_others(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	agent_free(&p.agent);
	pool_settle(&p);
	assert_int_equal(p.got[WIRE_BYE], 1);
	assert_int_equal(p.got[WIRE_RESULT], 0);
	assert_true(p.lost);
	pool_stop(&p);
}

static void an_idle_agent_drains_at_once_but_not_inside_the_call(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	agent_drain(p.agent);
	assert_int_equal(p.drained, 0);
	pool_settle(&p);
	assert_int_equal(p.drained, 1);
	pool_stop(&p);
}

static void a_lost_dispatcher_is_noticed(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, false);
	transport_free(&p.end);
	pool_settle(&p);
	assert_int_equal(p.log_lines, 1);
	complete(&p, 0, "for nobody");
	assert_int_equal(pool_stats(&p).unacknowledged, 1);
	pool_stop(&p);
}

static void a_refusal_is_told_once_in_one_line(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	for (int i = 0; i < 2; i++) {
		pool_say(&p, (struct wire_msg){ .type = WIRE_BYE,
						.bye = { .why = WIRE_BYE_REFUSED,
							 .text = fh_strdup("too\nmany") } });
		pool_settle(&p);
	}
	assert_int_equal(p.refused, 1);
	assert_string_equal(p.why, "too many");
	assert_int_equal(p.drained, 0);
	pool_stop(&p);
}

/* Silence is time in which the agent looked and nothing came, so its time passes by its looks: a
 * machine that is busy elsewhere makes none of it. */
static void a_silent_dispatcher_s_connection_is_given_up(void **state)
{
	(void)state;
	struct pool p;
	pool_start_ticking(&p, 1, "python3", 5000);
	p.functions[1] = blob_copy("function", 8);
	p.silence_ms = 100;
	runner_model_ready(runner_model());
	pool_settle(&p);
	assign(&p, 1, false);
	pool_until(&p, p.lost);
	assert_int_equal(p.log_lines, 1);
	assert_non_null(strstr(p.log, "silent"));
	assert_int_equal(runner_model_killed(runner_model()), REASON_CANCELLED);
	complete(&p, 0, "for nobody");
	assert_int_equal(pool_stats(&p).unacknowledged, 0);
	pool_stop(&p);
}

static void a_bad_configuration_leaves_the_transport(void **state)
{
	(void)state;
	struct pool p = { .base = event_base_new() };
	struct agent_config config = pool_config(&p, 0);
	struct fh_err err = { "" };
	pool_open(&p, &config);
	assert_int_equal(agent_new(&config, &p.agent, &err), FH_EINVAL);
	assert_non_null(strstr(err.text, "slots"));
	config.slots = 1;
	for (unsigned after = 1;; after++) {
		fh_mem_fail_after(after);
		int ret = agent_new(&config, &p.agent, &err);
		fh_mem_fail_after(0);
		if (ret == 0)
			break;
		assert_int_equal(ret, FH_ENOMEM);
		assert_null(p.agent);
	}
	pool_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_names_the_worker),
		cmocka_unit_test(a_task_goes_there_and_back),
		cmocka_unit_test(what_is_not_over_is_released_at_the_end),
		cmocka_unit_test(a_missing_function_is_named),
		cmocka_unit_test(cancel_before_the_start),
		cmocka_unit_test(a_slot_that_refuses_is_left_alone),
		cmocka_unit_test(a_full_socket_takes_more_after_an_answer),
		cmocka_unit_test(a_host_in_trouble_costs_the_attempt),
		cmocka_unit_test(an_overdue_task_is_stolen_from),
		cmocka_unit_test(a_result_that_there_was_no_memory_for_is_said_later),
		cmocka_unit_test(what_a_task_prints_goes_to_the_dispatcher),
		cmocka_unit_test(assigns_are_acknowledged),
		cmocka_unit_test(a_heartbeat_lists_what_is_held),
		cmocka_unit_test(broken_is_said_once_and_healed),
		cmocka_unit_test(a_drained_agent_says_bye),
		cmocka_unit_test(an_agent_that_is_freed_leaves_what_it_had_to_others),
		cmocka_unit_test(an_idle_agent_drains_at_once_but_not_inside_the_call),
		cmocka_unit_test(a_lost_dispatcher_is_noticed),
		cmocka_unit_test(a_refusal_is_told_once_in_one_line),
		cmocka_unit_test(a_silent_dispatcher_s_connection_is_given_up),
		cmocka_unit_test(a_bad_configuration_leaves_the_transport),
	};
	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
