/* What a worker says of a task before it is over: that it has come, and what it prints. */
#include "dispatch_fixture.h"

enum { MIB = 1 << 20 };

/* What a client is shown. */
struct shown {
	struct call_get_task get;
	struct call_explain explain;
	struct call_list_workers list;
	enum task_state state;
	char out[64], err[64], text[256];
	size_t out_len;
	bool out_cut, err_cut;
};

static void keep(const struct blob *b, char text[64])
{
	size_t len = !b ? 0 : b->len < 63 ? b->len : 63;
	memcpy(text, b ? (const char *)b->data : "", len);
	text[len] = '\0';
}

static void got_task(struct call *c)
{
	struct shown *s = c->owner;
	const struct task_result *r = s->get.ret_result;
	assert_int_equal(c->ret, 0);
	s->state = s->get.ret_task->state;
	keep(r ? r->out : NULL, s->out);
	keep(r ? r->err : NULL, s->err);
	s->out_len = r && r->out ? r->out->len : 0;
	s->out_cut = r && r->out_cut;
	s->err_cut = r && r->err_cut;
}

static void got_explanation(struct call *c)
{
	struct shown *s = c->owner;
	assert_int_equal(c->ret, 0);
	(void)snprintf(s->text, sizeof s->text, "%s", s->explain.ret_explanation->text);
}

static void ask(struct bench *b, struct shown *s, struct call *c, enum call_kind kind,
		void (*done)(struct call *c))
{
	struct call_sink sink = dispatch_sink(b->dispatch);
	c->kind = kind;
	c->done = done;
	c->owner = s;
	sink.submit(sink.ctx, c);
	run(b);
	run(b);
}

/* The logs of TASK. */
static struct shown look(struct bench *b)
{
	struct shown s = { .get = { .task = id_of(TASK), .want = CALL_WANT_LOGS } };
	ask(b, &s, &s.get.call, CALL_GET_TASK, got_task);
	return s;
}

static void expect_shown(struct bench *b, enum task_state state, const char *out, const char *err)
{
	struct shown s = look(b);
	assert_int_equal(s.state, state);
	assert_string_equal(s.out, out);
	assert_string_equal(s.err, err);
}

static void prints(struct bench *b, uint64_t peer, struct wire_ref ref, bool is_error,
		   uint64_t offset, const char *text)
{
	says(b, peer,
	     (struct wire_msg){ .type = WIRE_LOG,
				.log = { .task = ref.task,
					 .token = ref.token,
					 .is_error = is_error,
					 .offset = offset,
					 .data = blob_copy(text, strlen(text)) } });
	run(b);
}

/* Worker 10 at peer 1 has TASK, worker 20 at peer 2 has nothing. */
static struct wire_ref assigned(struct bench *b)
{
	says_hello(b, 1, 10, NULL);
	says_hello(b, 2, 20, NULL);
	pass(b, 3500000);
	says(b, 1, (struct wire_msg){ .type = WIRE_HEARTBEAT });
	says(b, 2, (struct wire_msg){ .type = WIRE_HEARTBEAT });
	grants(b, 1, 10);
	pass(b, 3500000); /* nobody else comes back */
	assert_int_equal(b->wires.held, 1);
	return b->wires.assigned[0];
}

static void what_runs_is_shown_with_what_it_has_printed(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	expect_shown(b, TASK_QUEUED, "", "");
	prints(b, 1, ref, false, 0, "one\n"); /* what prints has begun */
	prints(b, 1, ref, true, 0, "!");
	prints(b, 1, ref, false, 4, "two\n");
	expect_shown(b, TASK_RUNNING, "one\ntwo\n", "!");
}

static void what_is_being_recorded_is_still_shown(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	prints(b, 1, ref, false, 0, "one\n");
	struct wire_msg m = { .type = WIRE_RESULT,
			      .result = { .task = ref.task, .token = ref.token } };
	m.result.result.state = TASK_COMPLETED;
	m.result.result.out = blob_copy("one\ntwo\n", 8);
	says(b, 1, m);
	expect_shown(b, TASK_RUNNING, "one\n", "");
	expect_shown(b, TASK_COMPLETED, "one\ntwo\n", "");
}

static void count_workers(struct call *c)
{
	struct shown *s = c->owner;
	s->out_len = 0;
	for (uint32_t i = 0; i < s->list.ret_count; i++)
		s->out_len += s->list.ret_workers[i].finished;
}

static void a_result_counts_once_for_its_worker(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	for (unsigned i = 0; i < 3; i++) {
		struct wire_msg m = { .type = WIRE_RESULT,
				      .result = { .task = ref.task, .token = ref.token } };
		m.result.result.state = TASK_COMPLETED;
		says(b, 1 + i % 2, m); /* again, and by another one */
		if (i == 1)
			run(b);
	}
	struct shown s = { .list = { .limit = 10 } };
	ask(b, &s, &s.list.call, CALL_LIST_WORKERS, count_workers);
	assert_int_equal(s.out_len, 1);
}

static void pieces_that_repeat_or_leave_a_gap_do_no_harm(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	prints(b, 1, ref, false, 0, "abc");
	prints(b, 1, ref, false, 0, "abc");
	prints(b, 1, ref, false, 0, "abcde");
	prints(b, 1, ref, false, 6, "ghi");
	prints(b, 1, ref, false, UINT64_MAX, "xyz");
	says(b, 1,
	     (struct wire_msg){ .type = WIRE_LOG,
				.log = { .task = ref.task, .token = ref.token } });
	expect_shown(b, TASK_RUNNING, "abcde", "");
	prints(b, 1, ref, false, 5, "f");
	expect_shown(b, TASK_RUNNING, "abcdef", "");
}

static void who_does_not_run_it_says_nothing_about_it(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b), older = ref;
	older.token.attempt--;
	prints(b, 2, ref, false, 0, "not mine");
	expect_shown(b, TASK_QUEUED, "", "");
	prints(b, 1, ref, false, 0, "mine");
	prints(b, 2, ref, false, 4, ", not mine");
	prints(b, 1, older, false, 4, ", of old");
	prints(b, 1, (struct wire_ref){ id_of(7), ref.token }, false, 0, "of nobody");
	expect_shown(b, TASK_RUNNING, "mine", "");
	assert_false(b->wires.closed[1] || b->wires.closed[2]);
}

static void too_much_is_cut(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	char *most = malloc(MIB);
	assert_non_null(most);
	memset(most, 'x', MIB - 1);
	most[MIB - 1] = '\0';
	prints(b, 1, ref, false, 0, most);
	prints(b, 1, ref, false, MIB - 1, "y");
	struct shown s = look(b);
	assert_true(s.out_len == MIB && !s.out_cut);
	prints(b, 1, ref, false, MIB, "z");
	s = look(b);
	assert_true(s.out_len == MIB && s.out_cut && !s.err_cut);
	/* Of a piece that does not fit, its beginning is seen. */
	prints(b, 1, ref, true, 0, "begin ");
	prints(b, 1, ref, true, 6, most);
	s = look(b);
	assert_true(strncmp(s.err, "begin xxx", 9) == 0 && s.err_cut);
	free(most);
}

static void lose(struct bench *b, uint64_t peer)
{
	says(b, peer, (struct wire_msg){ .type = WIRE_BYE, .bye = { .why = WIRE_BYE_REFUSED } });
	run(b);
	run(b);
}

static void what_a_lost_attempt_printed_is_not_the_next_one_s(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	prints(b, 1, ref, false, 0, "first");
	grants(b, 2, 10);
	lose(b, 1);
	assert_int_equal(b->wires.held, 2);
	expect_shown(b, TASK_QUEUED, "", "");
	prints(b, 2, b->wires.assigned[1], false, 0, "second");
	expect_shown(b, TASK_RUNNING, "second", "");
}

/* It may not run again: what it printed is all that there will ever be. */
static void the_last_words_of_a_lost_task_are_recorded(void **state)
{
	struct bench *b = *state;
	struct task_options options = TASK_OPTIONS_DEFAULT;
	struct wire_ref first = assigned(b);
	grants(b, 2, 10);
	options.at_most_once = true;
	struct call_submit_item item = item_of(7, options, "");
	struct call_submit submit = { .items = &item, .count = 1, .single = true };
	assert_int_equal(call(b, &submit.call, CALL_SUBMIT), 0);
	task_rec_release(&item.task);
	assert_int_equal(b->wires.held, 2);
	struct wire_ref once = b->wires.assigned[1];
	assert_false(fh_id_equal(once.task, first.task));
	prints(b, 2, once, true, 0, "I am afraid");
	lose(b, 2);
	struct shown s = { .get = { .task = id_of(7), .want = CALL_WANT_LOGS } };
	ask(b, &s, &s.get.call, CALL_GET_TASK, got_task);
	assert_int_equal(s.state, TASK_FAILED);
	assert_string_equal(s.err, "I am afraid");
	assert_true(s.err_cut && s.out_cut);
}

static void explain(struct bench *b, const char *part)
{
	struct shown s = { .explain = { .task = id_of(TASK) } };
	ask(b, &s, &s.explain.call, CALL_EXPLAIN, got_explanation);
	if (!strstr(s.text, part))
		fail_msg("'%s' does not say '%s'", s.text, part);
}

static void acknowledge(struct bench *b, uint64_t assigns)
{
	says(b, 1, (struct wire_msg){ .type = WIRE_ASSIGN_ACK, .assign_ack = { assigns } });
}

static void a_task_is_on_its_way_until_that_is_acknowledged(void **state)
{
	struct bench *b = *state;
	(void)assigned(b);
	explain(b, "it is on its way to worker");
	acknowledge(b, 0);
	acknowledge(b, 2); /* there was no such ASSIGN */
	acknowledge(b, UINT64_MAX);
	explain(b, "it is on its way to worker");
	acknowledge(b, 1);
	explain(b, "has it and is about to begin it");
	acknowledge(b, 0);
	explain(b, "has it and is about to begin it");
	assert_false(b->wires.closed[1]);
}

/* Numbers count from one over each connection. */
static void what_came_over_another_connection_is_not_on_its_way(void **state)
{
	struct bench *b = *state;
	struct transport *t = &b->wires.base;
	struct wire_ref ref = assigned(b);
	acknowledge(b, 1);
	b->wires.gone[1] = true;
	t->handler.lost(t->handler.ctx, 1);
	run(b);
	says_hello(b, 3, 10, &ref);
	run(b);
	assert_int_equal(got(b, 3, WIRE_WELCOME), 1);
	assert_int_equal(got(b, 3, WIRE_STALE), 0);
	explain(b, "has it and is about to begin it");
}

static void a_heartbeat_acknowledges_too(void **state)
{
	struct bench *b = *state;
	struct wire_ref ref = assigned(b);
	struct wire_msg m = { .type = WIRE_HEARTBEAT, .heartbeat = { .assigns = 1 } };
	m.heartbeat.in_flight = (struct wire_refs){ 1, fh_calloc(1, sizeof ref) };
	m.heartbeat.in_flight.list[0] = ref;
	says(b, 1, m);
	explain(b, "has it and is about to begin it");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bench_test(what_runs_is_shown_with_what_it_has_printed),
		bench_test(what_is_being_recorded_is_still_shown),
		bench_test(a_result_counts_once_for_its_worker),
		bench_test(pieces_that_repeat_or_leave_a_gap_do_no_harm),
		bench_test(who_does_not_run_it_says_nothing_about_it),
		bench_test(too_much_is_cut),
		bench_test(what_a_lost_attempt_printed_is_not_the_next_one_s),
		bench_test(the_last_words_of_a_lost_task_are_recorded),
		bench_test(a_task_is_on_its_way_until_that_is_acknowledged),
		bench_test(what_came_over_another_connection_is_not_on_its_way),
		bench_test(a_heartbeat_acknowledges_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
