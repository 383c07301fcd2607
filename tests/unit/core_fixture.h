/* A core on a bench: one call a happening, the actions to look at, core_check() after every step.
 * Whatever a test does not ask for, it must not get: actions are taken one by one, and an
 * unexpected one fails the test (expect_none()). */
#ifndef FARHAND_TESTS_CORE_FIXTURE_H
#define FARHAND_TESTS_CORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/core.h"

enum { CF_SPECS = 64, CF_GENERATION = 7 };

struct bench {
	struct core *core;
	struct core_limits limits;
	struct core_actions out;
	uint32_t workers; /* sessions that were opened: each is a worker of its own */
	uint32_t taken;	  /* actions that the test has looked at */
	int64_t now_us;
	uint64_t random;
	struct core_spec specs[CF_SPECS]; /* of the last request or claim */
	uint32_t spec_count;
};

/* Small limits: window 16, lane 4, 2 lanes, 4 sessions, live 100. */
struct core_limits bench_limits(void);

void bench_open(struct bench *b, const struct core_limits *limits);
void bench_close(struct bench *b);

/* Steps; the actions of before must have been taken. */
void bench_step(struct bench *b, struct core_event ev);
/* Time passes, and the core is told. */
void bench_pass(struct bench *b, int64_t us);

/* The next action is of this kind: returned. */
const struct core_action *expect(struct bench *b, enum core_action_kind kind);
void expect_none(struct bench *b);

/* The id of task number n: ids grow with n. */
struct fh_id id_of(uint32_t n);
uint32_t number_of(struct fh_id id);

/* Task n as it is by default: lane (0, class 0), function 0, 10 bytes, priority 0. */
struct core_spec spec_of(uint32_t n);

/* SUBMITTED with one task, as the request n; returns the spec with its ref. */
struct core_spec *submit(struct bench *b, struct core_spec spec);
/* STORED of the last request; takes its REPLY. */
void stored(struct bench *b);
/* Both, with nothing else happening: the task waits. */
void settle(struct bench *b, struct core_spec spec);

/* CLAIMED for lane (0, 0) with these tasks; `more_priority` counts if `more`. */
void claimed(struct bench *b, const struct core_spec *specs, uint32_t count, bool more,
	     int32_t more_priority, int64_t next_due_us);

void session_opened(struct bench *b, uint32_t session, uint32_t slots, bool immortal);
void credited(struct bench *b, uint32_t session, uint64_t total);
void session_lost(struct bench *b, uint32_t session);

struct core_event started_event(const struct core_action *assign);
struct core_event finished_event(const struct core_action *assign, enum task_state state,
				 enum task_reason reason);
struct core_event ref_event(enum core_event_kind kind, uint32_t ref);
struct core_event cancel_event(uint64_t request, uint32_t n, bool spare_running);

/* Task n as the core shows it; fails the test if it is not there. */
struct core_view view_of(struct bench *b, uint32_t n);
bool in_window(struct bench *b, uint32_t n);

/* A session with one slot and much credit that has task n: its ASSIGN, copied. */
struct core_action leased(struct bench *b, struct core_spec spec);
/* The same, and a child has begun it. */
struct core_action running(struct bench *b, struct core_spec spec);

#define core_test(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
int bench_setup(void **state);
int bench_teardown(void **state);

/* Its connection is gone, or an operator wants it to empty; `over`: not any more. */
void bench_paused(struct bench *b, uint32_t session, enum core_pause why, bool over);

/* The loss of an attempt goes through the store; then the task is assigned, if there is a place. */
void bench_loss_stored(struct bench *b, uint32_t losses);

#endif
