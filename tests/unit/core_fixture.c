#include "core_fixture.h"

#include <stdlib.h>
#include <string.h>

struct core_limits bench_limits(void)
{
	return (struct core_limits){
		.window_max = 16,
		.lane_max = 4,
		.lane_bytes_max = 1000,
		.lanes_max = 2,
		.sessions_max = 4,
		.functions_max = 8,
		.live_max = 100,
		.live_bytes_max = 10000,
		.ahead_per_slot = 4,
		.alone_after = 2,
		.strikes_max = 2,
		.short_us = 1000,
		.liveness_us = 4000000,
		.tick_gap_us = 1000000,
		.backstop_us = 5000000,
	};
}

void bench_open(struct bench *b, const struct core_limits *limits)
{
	*b = (struct bench){ .limits = *limits, .now_us = 1000000 };
	struct core_start start = { .generation = CF_GENERATION, .now_us = b->now_us };
	assert_int_equal(core_new(limits, &start, &b->core), 0);
}

void bench_close(struct bench *b)
{
	core_free(&b->core);
	core_free(&b->core);
}

int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof *b);
	struct core_limits limits = bench_limits();
	bench_open(b, &limits);
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	struct bench *b = *state;
	bench_close(b);
	free(b);
	return 0;
}

void bench_step(struct bench *b, struct core_event ev)
{
	assert_int_equal(b->taken, b->out.count);
	ev.random = b->random;
	core_step(b->core, &ev, b->now_us, &b->out);
	core_check(b->core);
	b->taken = 0;
}

void bench_pass(struct bench *b, int64_t us)
{
	b->now_us += us;
	bench_step(b, (struct core_event){ .kind = CORE_EV_TICKED });
}

const struct core_action *expect(struct bench *b, enum core_action_kind kind)
{
	assert_int_not_equal(b->taken, b->out.count);
	assert_int_equal(b->out.list[b->taken].kind, kind);
	return &b->out.list[b->taken++];
}

void expect_none(struct bench *b)
{
	if (b->taken < b->out.count)
		assert_int_equal(b->out.list[b->taken].kind, -1);
	assert_false(b->out.more);
}

struct fh_id id_of(uint32_t n)
{
	struct fh_id id = { { 0 } };
	for (int i = 0; i < 4; i++)
		id.b[12 + i] = (uint8_t)(n >> (24 - 8 * i));
	return id;
}

uint32_t number_of(struct fh_id id)
{
	uint32_t n = 0;
	for (int i = 0; i < 4; i++)
		n = n << 8 | id.b[12 + i];
	return n;
}

struct core_spec spec_of(uint32_t n)
{
	return (struct core_spec){
		.id = id_of(n),
		.bytes = 10,
		.retry_on = RETRY_ON_ALL,
		.backoff_initial_ms = 1000,
		.backoff_max_ms = 60000,
		.backoff_factor_milli = 2000,
		.ref = 12345,
	};
}

struct core_spec *submit(struct bench *b, struct core_spec spec)
{
	b->specs[0] = spec;
	b->spec_count = 1;
	bench_step(b, (struct core_event){
			      .kind = CORE_EV_SUBMITTED,
			      .submitted = { number_of(spec.id), b->specs, 1 },
		      });
	return &b->specs[0];
}

void stored(struct bench *b)
{
	uint64_t request = number_of(b->specs[0].id);
	bench_step(b, (struct core_event){
			      .kind = CORE_EV_STORED,
			      .stored = { request, b->specs, b->spec_count, true },
		      });
	assert_int_equal(expect(b, CORE_DO_REPLY)->request.request, request);
}

void settle(struct bench *b, struct core_spec spec)
{
	submit(b, spec);
	expect(b, CORE_DO_PERSIST);
	expect_none(b);
	stored(b);
	expect_none(b);
}

void claimed(struct bench *b, const struct core_spec *specs, uint32_t count, bool more,
	     int32_t more_priority, int64_t next_due_us)
{
	if (count)
		memcpy(b->specs, specs, count * sizeof *specs);
	b->spec_count = count;
	bench_step(b,
		   (struct core_event){
			   .kind = CORE_EV_CLAIMED,
			   .claimed = { 0, 0, b->specs, count, more, more_priority, next_due_us },
		   });
}

void session_opened(struct bench *b, uint32_t session, uint32_t slots, bool immortal)
{
	bench_step(b, (struct core_event){
			      .kind = CORE_EV_SESSION_OPENED,
			      .opened = { .session = session,
					  .slots = slots,
					  .classes = 1,
					  .instance = id_of(1000 + ++b->workers),
					  .immortal = immortal },
		      });
	expect_none(b);
}

void credited(struct bench *b, uint32_t session, uint64_t total)
{
	bench_step(b, (struct core_event){
			      .kind = CORE_EV_CREDITED,
			      .credited = { session, total },
		      });
}

void session_lost(struct bench *b, uint32_t session)
{
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_LOST, .session = session });
}

struct core_event started_event(const struct core_action *assign)
{
	return (struct core_event){
		.kind = CORE_EV_STARTED,
		.attempt = { .session = assign->session, .id = assign->id, .token = assign->token },
	};
}

struct core_event finished_event(const struct core_action *assign, enum task_state state,
				 enum task_reason reason)
{
	struct core_event ev = started_event(assign);
	ev.kind = CORE_EV_FINISHED;
	ev.attempt.state = state;
	ev.attempt.reason = reason;
	ev.attempt.run_us = 50000;
	return ev;
}

struct core_event ref_event(enum core_event_kind kind, uint32_t ref)
{
	return (struct core_event){ .kind = kind, .ref = { ref } };
}

struct core_event cancel_event(uint64_t request, uint32_t n, bool spare_running)
{
	return (struct core_event){
		.kind = CORE_EV_CANCEL_ASKED,
		.cancel = { request, id_of(n), spare_running },
	};
}

struct core_view view_of(struct bench *b, uint32_t n)
{
	struct core_view view;
	assert_true(core_find(b->core, id_of(n), &view));
	return view;
}

bool in_window(struct bench *b, uint32_t n)
{
	struct core_view view;
	return core_find(b->core, id_of(n), &view);
}

struct core_action leased(struct bench *b, struct core_spec spec)
{
	settle(b, spec);
	session_opened(b, 0, 1, true);
	credited(b, 0, 1000);
	struct core_action assign = *expect(b, CORE_DO_ASSIGN);
	expect_none(b);
	return assign;
}

struct core_action running(struct bench *b, struct core_spec spec)
{
	struct core_action assign = leased(b, spec);
	bench_step(b, started_event(&assign));
	expect(b, CORE_DO_NOTE_STARTED);
	expect_none(b);
	return assign;
}

void bench_paused(struct bench *b, uint32_t session, enum core_pause why, bool over)
{
	bench_step(b, (struct core_event){ .kind = CORE_EV_SESSION_PAUSED,
					   .paused = { session, why, over } });
}

void bench_loss_stored(struct bench *b, uint32_t losses)
{
	const struct core_action *retry = expect(b, CORE_DO_PERSIST_RETRY);
	assert_int_equal(retry->persist.tally.losses, losses);
	bench_step(b, ref_event(CORE_EV_RETRY_STORED, retry->ref));
}
