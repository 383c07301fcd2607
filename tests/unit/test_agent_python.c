/* The agent with real Python children: results, every way to fail, kills, warm slots, drain.
 *
 * Functions and arguments are pickles written by hand: a function of the standard library by
 * reference, ((args...), {}) as arguments. FARHAND_TEST_PYTHON names another Python. */
#include "agent_fixture.h"

#include <stdlib.h>

#include "base/mem.h"

#define PICKLE(bytes) blob_copy(bytes, sizeof(bytes) - 1)

/* K: a byte-sized integer; \x85, \x86: tuples of one and two; }: an empty dict; .: the end. */
#define ARGS_NONE     "\x80\x02)}\x86."
#define ARGS_1(value) "\x80\x02K" value "\x85}\x86."
#define ARGS_2(a, b)  "\x80\x02K" a "K" b "\x86}\x86."

enum { GETPID = 1, ADD, DIVIDE, EXIT, SLEEP, ABORT, JUNK, MISSING_MODULE };

static const char *test_python(void)
{
	const char *python = getenv("FARHAND_TEST_PYTHON");
	return python ? python : "python3";
}

static void start(struct pool *p, unsigned slots)
{
	pool_start(p, slots, test_python());
	p->functions[GETPID] = PICKLE("\x80\x02"
				      "cos\ngetpid\n.");
	p->functions[ADD] = PICKLE("\x80\x02"
				   "coperator\nadd\n.");
	p->functions[DIVIDE] = PICKLE("\x80\x02"
				      "coperator\ntruediv\n.");
	p->functions[EXIT] = PICKLE("\x80\x02"
				    "cos\n_exit\n.");
	p->functions[SLEEP] = PICKLE("\x80\x02"
				     "ctime\nsleep\n.");
	p->functions[ABORT] = PICKLE("\x80\x02"
				     "cos\nabort\n.");
	p->functions[JUNK] = PICKLE("\x80\x02"
				    "(((");
	p->functions[MISSING_MODULE] = PICKLE("\x80\x02"
					      "cno_such_module_here\nf\n.");
	pool_until(p, p->granted > 0);
}

static void assign(struct pool *p, unsigned task, unsigned function, struct blob *args)
{
	pool_assign(p, (struct wire_assign){
			       .task = id_of(task), .function = id_of(function), .payload = args });
}

static void assign_ahead(struct pool *p, unsigned task, unsigned function, struct blob *args)
{
	pool_assign(p, (struct wire_assign){ .task = id_of(task),
					     .function = id_of(function),
					     .payload = args,
					     .ahead = true });
}

static void await(struct pool *p, unsigned task)
{
	pool_until(p, p->result_count[task] > 0);
}

static void assert_failed(const struct pool *p, unsigned task, enum task_reason reason)
{
	const struct task_result *r = &p->results[task];
	if (r->state != TASK_FAILED || r->reason != reason)
		fail_msg("task %u: %s %s: %s: %s", task, task_state_name(r->state),
			 task_reason_name(r->reason), r->error_type, r->error_message);
}

/* The pickled integer, of any protocol 2 or later: behind K, M or J, little-endian. */
static long integer(const struct pool *p, unsigned task)
{
	const struct task_result *r = &p->results[task];
	assert_int_equal(r->state, TASK_COMPLETED);
	const uint8_t *at = r->value->data + 2, *end = r->value->data + r->value->len;
	if (at < end && *at == 0x95) /* FRAME and its length */
		at += 9;
	assert_true(at + 2 <= end);
	switch (*at) {
	case 'K':
		return at[1];
	case 'M':
		return at[1] | at[2] << 8;
	case 'J':
		return at[1] | at[2] << 8 | at[3] << 16 | (long)at[4] << 24;
	default:
		fail_msg("not an integer");
		return 0;
	}
}

static void a_result_comes_back(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 2);
	assign(&p, 1, ADD, PICKLE(ARGS_2("\x02", "\x03")));
	await(&p, 1);
	assert_int_equal(integer(&p, 1), 5);
	assert_int_equal(p.got[WIRE_STARTED], 1);
	assert_string_equal(p.results[1].runtime, p.hello.runtime);
	pool_stop(&p);
}

static void a_warm_slot_is_used_again(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 2);
	pool_until(&p, pool_stats(&p).slots_up == 2);
	for (unsigned task = 1; task <= 10; task++) {
		assign(&p, task, GETPID, PICKLE(ARGS_NONE));
		await(&p, task);
		assert_int_equal(integer(&p, task), integer(&p, 1));
	}
	pool_stop(&p);
}

static void short_tasks_all_come_back(void **state)
{
	(void)state;
	enum { COUNT = 2000, AT_ONCE = 32 };
	struct pool p;
	start(&p, 2);
	unsigned sent = 0, done = 0;
	while (done < COUNT) {
		for (; sent < COUNT && sent < done + AT_ONCE; sent++) {
			char args[] = ARGS_2("\x01", "\x01");
			args[3] = (char)(sent % 200);
			assign_ahead(&p, sent, ADD, blob_copy(args, sizeof args - 1));
		}
		pool_until(&p, p.result_count[done] > 0);
		assert_int_equal(integer(&p, done), done % 200 + 1);
		done++;
	}
	for (unsigned task = 0; task < COUNT; task++)
		assert_int_equal(p.result_count[task], 1);
	pool_stop(&p);
}

static void an_exception_is_a_failure(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	pool_assign(&p,
		    (struct wire_assign){ .task = id_of(1),
					  .function = id_of(DIVIDE),
					  .payload = PICKLE(ARGS_2("\x01", "\x00")),
					  .retry_classes = fh_strdup("builtins.ArithmeticError") });
	await(&p, 1);
	assert_failed(&p, 1, REASON_EXCEPTION);
	assert_string_equal(p.results[1].error_type, "builtins.ZeroDivisionError");
	assert_true(p.retry_match[1]);
	assert_non_null(p.results[1].value);
	pool_stop(&p);
}

static void undecodable_functions_are_named(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, JUNK, PICKLE(ARGS_NONE));
	assign(&p, 2, MISSING_MODULE, PICKLE(ARGS_NONE));
	assign(&p, 3, 15, PICKLE(ARGS_NONE)); /* not in the table */
	for (unsigned task = 1; task <= 3; task++) {
		await(&p, task);
		assert_failed(&p, task, REASON_UNDECODABLE);
	}
	assert_non_null(strstr(p.results[2].error_message, "no_such_module_here"));
	pool_stop(&p);
}

static void a_crash_costs_its_own_task_only(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, EXIT, PICKLE(ARGS_1("\x03")));
	assign(&p, 2, ADD, PICKLE(ARGS_2("\x02", "\x03")));
	assign(&p, 3, ABORT, PICKLE(ARGS_NONE));
	assign(&p, 4, ADD, PICKLE(ARGS_2("\x02", "\x04")));
	for (unsigned task = 1; task <= 4; task++)
		await(&p, task);
	assert_failed(&p, 1, REASON_CRASH);
	assert_int_equal(integer(&p, 2), 5);
	assert_failed(&p, 3, REASON_CRASH);
	assert_int_equal(integer(&p, 4), 6);
	pool_until(&p, pool_stats(&p).slots_up == 1);
	assert_int_equal(agent_slots_busy(p.agent), 0);
	pool_stop(&p);
}

/* The child that dies has others in its pipe; they had not begun and run elsewhere. */
static void a_crash_among_short_tasks(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign_ahead(&p, 1, ADD, PICKLE(ARGS_2("\x01", "\x01")));
	await(&p, 1);
	assign_ahead(&p, 2, EXIT, PICKLE(ARGS_1("\x03")));
	for (unsigned task = 3; task <= 12; task++)
		assign_ahead(&p, task, ADD, PICKLE(ARGS_2("\x01", "\x02")));
	for (unsigned task = 2; task <= 12; task++)
		await(&p, task);
	assert_failed(&p, 2, REASON_CRASH);
	for (unsigned task = 3; task <= 12; task++)
		assert_int_equal(integer(&p, task), 3);
	pool_stop(&p);
}

static void a_limit_kills(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	pool_assign(&p, (struct wire_assign){ .task = id_of(1),
					      .function = id_of(SLEEP),
					      .payload = PICKLE(ARGS_1("\x7f")),
					      .timeout_ms = 100 });
	assign(&p, 2, ADD, PICKLE(ARGS_2("\x01", "\x02")));
	await(&p, 1);
	assert_failed(&p, 1, REASON_TIMEOUT);
	await(&p, 2);
	assert_int_equal(integer(&p, 2), 3);
	pool_stop(&p);
}

static void cancel_kills(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 1);
	assign(&p, 1, SLEEP, PICKLE(ARGS_1("\x7f")));
	pool_until(&p, p.got[WIRE_STARTED] == 1);
	pool_say_ref(&p, WIRE_CANCEL, 1);
	await(&p, 1);
	assert_int_equal(p.results[1].state, TASK_CANCELLED);
	assert_int_equal(p.results[1].reason, REASON_CANCELLED);
	pool_stop(&p);
}

/* Said to be short, and sleeps: what waits behind it moves to the other slot. */
static void an_overdue_task_holds_nobody_up(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 2);
	pool_until(&p, pool_stats(&p).slots_up == 2);
	assign_ahead(&p, 1, ADD, PICKLE(ARGS_2("\x01", "\x01")));
	await(&p, 1);
	/* A sleep of no time is measured short, so that the next ones share a pipe. */
	for (unsigned task = 2; task <= 20; task++) {
		assign_ahead(&p, task, SLEEP, PICKLE(ARGS_1("\x00")));
		await(&p, task);
	}
	assign_ahead(&p, 21, SLEEP, PICKLE(ARGS_1("\x7f")));
	for (unsigned task = 22; task <= 30; task++)
		assign_ahead(&p, task, ADD, PICKLE(ARGS_2("\x01", "\x03")));
	for (unsigned task = 22; task <= 30; task++) {
		await(&p, task);
		assert_int_equal(integer(&p, task), 4);
	}
	assert_int_equal(p.result_count[21], 0);
	assert_int_equal(agent_slots_busy(p.agent), 1);
	pool_stop(&p);
}

static void a_drained_agent_finishes_what_runs(void **state)
{
	(void)state;
	struct pool p;
	start(&p, 2);
	for (unsigned task = 1; task <= 5; task++)
		assign(&p, task, ADD, PICKLE(ARGS_2("\x01", "\x02")));
	pool_until(&p, p.result_count[1] > 0);
	pool_say(&p, (struct wire_msg){ .type = WIRE_DRAIN });
	pool_until(&p, p.drained == 1);
	for (unsigned task = 1; task <= 5; task++)
		assert_int_equal(p.result_count[task], 1);
	pool_until(&p, p.got[WIRE_BYE] == 1);
	pool_stop(&p);
}

static void no_python_is_said(void **state)
{
	(void)state;
	struct pool p;
	pool_start(&p, 1, "/no/such/python");
	pool_until(&p, pool_stats(&p).broken);
	assert_non_null(strstr(p.log, "/no/such/python"));
	assert_int_equal(p.got[WIRE_HELLO], 0);
	pool_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_result_comes_back),
		cmocka_unit_test(a_warm_slot_is_used_again),
		cmocka_unit_test(short_tasks_all_come_back),
		cmocka_unit_test(an_exception_is_a_failure),
		cmocka_unit_test(undecodable_functions_are_named),
		cmocka_unit_test(a_crash_costs_its_own_task_only),
		cmocka_unit_test(a_crash_among_short_tasks),
		cmocka_unit_test(a_limit_kills),
		cmocka_unit_test(cancel_kills),
		cmocka_unit_test(an_overdue_task_holds_nobody_up),
		cmocka_unit_test(a_drained_agent_finishes_what_runs),
		cmocka_unit_test(no_python_is_said),
	};
	return cmocka_run_group_tests_name("agent_python", tests, NULL, NULL);
}
