/* Drives a worker's session by hand: events in, the actions out as one line of text. It keeps what
 * the agent would keep, so that a KEEP or a FORGET too many or too few fails the test, and it
 * checks the whole state after every step. Tasks and functions are small numbers; all tasks have
 * the token (1, 1) unless a call names another attempt. */
#ifndef FARHAND_TESTS_SESSION_FIXTURE_H
#define FARHAND_TESTS_SESSION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/blob.h"
#include "number_ids.h"
#include "worker/session.h"

enum { FIXTURE_JOBS = 4096, FIXTURE_FUNCTIONS = 1024, FIXTURE_TEXT = 65536 };

struct fixture {
	struct session *s;
	int64_t now_us;
	char text[FIXTURE_TEXT]; /* what was asked for since the last expect() */
	size_t len;
	bool has_assign[FIXTURE_JOBS], has_result[FIXTURE_JOBS], has_function[FIXTURE_FUNCTIONS];
	unsigned task[FIXTURE_JOBS]; /* of a job's index */
	uint64_t job[FIXTURE_JOBS];  /* of a task's number, as of its last ASSIGN */
	unsigned coming;	     /* the task of the ASSIGN that is being handled */
	unsigned starteds;	     /* STARTED messages in all */
	uint64_t assigns;	     /* since the last WELCOME */
	unsigned acks;		     /* ASSIGN_ACKs in all, */
	uint64_t acked;		     /* and what the last one said */
};

__attribute__((format(printf, 2, 3))) static inline void say(struct fixture *f, const char *fmt,
							     ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(f->text + f->len, sizeof f->text - f->len, fmt, args);
	va_end(args);
	assert_true(n >= 0 && (size_t)n < sizeof f->text - f->len);
	f->len += (size_t)n;
}

static inline void perform_keeping(struct fixture *f, const struct session_action *a)
{
	uint32_t job = session_job_index(a->job), function = a->function;
	switch (a->kind) {
	case SESSION_DO_KEEP_ASSIGN:
		assert_false(f->has_assign[job] || f->has_result[job]);
		f->has_assign[job] = true;
		f->task[job] = f->coming;
		f->job[f->coming] = a->job;
		break;
	case SESSION_DO_KEEP_RESULT:
		assert_true(f->has_assign[job] && !f->has_result[job]);
		f->has_assign[job] = false;
		f->has_result[job] = true;
		break;
	case SESSION_DO_FORGET:
		assert_true(f->has_assign[job] || f->has_result[job]);
		f->has_assign[job] = f->has_result[job] = false;
		break;
	case SESSION_DO_KEEP_FUNCTION:
		assert_false(f->has_function[function]);
		f->has_function[function] = true;
		break;
	case SESSION_DO_FORGET_FUNCTION:
		assert_true(f->has_function[function]);
		f->has_function[function] = false;
		say(f, "drop; ");
		break;
	default:
		break;
	}
}

static inline void perform(struct fixture *f, const struct session_action *a)
{
	uint32_t job = session_job_index(a->job);
	const char *reason = task_reason_name(a->reason);
	perform_keeping(f, a);
	switch (a->kind) {
	case SESSION_DO_RUN:
		assert_true(f->has_assign[job] && f->has_function[a->function]);
		say(f, "run %u @%u%s; ", f->task[job], a->slot, a->announce ? "!" : "");
		break;
	case SESSION_DO_STEAL:
		say(f, "steal @%u; ", a->slot);
		break;
	case SESSION_DO_KILL:
		say(f, "kill %u @%u %s; ", f->task[job], a->slot, reason);
		break;
	case SESSION_DO_SEND_HELLO:
		say(f, "hello; ");
		break;
	case SESSION_DO_SEND_CREDIT:
		say(f, "credit %u; ", (unsigned)a->granted_total);
		break;
	case SESSION_DO_SEND_FUNCTION_GET:
		say(f, "get %u; ", number_of(a->id));
		break;
	case SESSION_DO_SEND_STARTED:
		f->starteds++;
		say(f, "started %u; ", number_of(a->ref.task));
		break;
	case SESSION_DO_SEND_RESULT:
		assert_true(!a->kept || f->has_result[job]);
		say(f, "result %u", number_of(a->ref.task));
		if (!a->kept)
			say(f, " made");
		say(f, " %s%s%s; ", task_state_name(a->state), reason ? " " : "",
		    reason ? reason : "");
		break;
	case SESSION_DO_SEND_ASSIGN_ACK:
		f->acks++;
		f->acked = a->assigns;
		break;
	case SESSION_DO_SEND_LOG:
		say(f, "log %u %s %u-%u; ", number_of(a->ref.task),
		    a->piece.is_error ? "err" : "out", (unsigned)a->piece.from,
		    (unsigned)a->piece.to);
		break;
	case SESSION_DO_SEND_HEARTBEAT:
		say(f, "heartbeat; ");
		break;
	case SESSION_DO_SEND_DRAIN:
		say(f, "drain; ");
		break;
	case SESSION_DO_SEND_BYE:
		say(f, "bye; ");
		break;
	case SESSION_DO_RECONNECT:
		say(f, "reconnect%s; ",
		    a->why == SESSION_FENCED	  ? " fenced"
		    : a->why == SESSION_UNKNOWN	  ? " unknown"
		    : a->why == SESSION_OVERSLEPT ? " overslept"
						  : "");
		break;
	case SESSION_DO_TELL_REFUSED:
		say(f, "refused; ");
		break;
	default:
		break;
	}
}

static inline void step(struct fixture *f, struct session_event event)
{
	struct session_actions out;
	do {
		session_step(f->s, &event, f->now_us, &out);
		session_check(f->s);
		for (uint32_t i = 0; i < out.count; i++)
			perform(f, &out.list[i]);
		event = (struct session_event){ .kind = SESSION_EV_TICKED };
	} while (out.more);
}

/* Forgets what was asked for so far. */
static inline void discard(struct fixture *f)
{
	f->len = 0;
	f->text[0] = '\0';
}

/* What was asked for since the last expect() or discard(), without the last "; ". */
static inline void expect(struct fixture *f, const char *text)
{
	if (f->len >= 2)
		f->text[f->len - 2] = '\0';
	assert_string_equal(f->text, text);
	discard(f);
}

static inline void happen(struct fixture *f, enum session_event_kind kind)
{
	step(f, (struct session_event){ .kind = kind, .runtime = "cp311" });
}

static inline void happen_to_slot(struct fixture *f, enum session_event_kind kind, uint32_t slot)
{
	step(f, (struct session_event){ .kind = kind, .slot = { .slot = slot } });
}

static inline void happen_to_task(struct fixture *f, enum session_event_kind kind, uint32_t slot,
				  unsigned task)
{
	step(f,
	     (struct session_event){ .kind = kind, .slot = { .slot = slot, .job = f->job[task] } });
}

static inline void finish(struct fixture *f, uint32_t slot, unsigned task, enum task_reason reason,
			  uint32_t run_us)
{
	enum task_state state = reason == REASON_NONE	     ? TASK_COMPLETED
				: reason == REASON_CANCELLED ? TASK_CANCELLED
							     : TASK_FAILED;
	step(f, (struct session_event){ .kind = SESSION_EV_FINISHED,
					.slot = { .slot = slot,
						  .job = f->job[task],
						  .state = state,
						  .reason = reason,
						  .run_us = run_us } });
}

static inline void receive(struct fixture *f, struct wire_msg m)
{
	step(f, (struct session_event){ .kind = SESSION_EV_RECEIVED, .message = &m });
}

static inline void receive_ref(struct fixture *f, enum wire_type type, unsigned task)
{
	receive(f, (struct wire_msg){ .type = type, .ref = { id_of(task), { 1, 1 } } });
}

static inline void receive_assign(struct fixture *f, struct wire_assign assign)
{
	if (assign.token.generation == 0)
		assign.token = (struct task_token){ 1, 1 };
	if (assign.number == 0)
		assign.number = ++f->assigns;
	f->coming = number_of(assign.task);
	receive(f, (struct wire_msg){ .type = WIRE_ASSIGN, .assign = assign });
}

static inline void assign_own(struct fixture *f, unsigned task, unsigned function)
{
	receive_assign(f, (struct wire_assign){ .task = id_of(task), .function = id_of(function) });
}

static inline void assign_ahead(struct fixture *f, unsigned task, unsigned function)
{
	receive_assign(f, (struct wire_assign){ .task = id_of(task),
						.function = id_of(function),
						.ahead = true });
}

/* The FUNCTION of `len` bytes; 0: the dispatcher does not have it. */
static inline void receive_function(struct fixture *f, unsigned function, size_t len)
{
	struct blob *payload = len ? blob_new(len) : NULL;
	receive(f, (struct wire_msg){
			   .type = WIRE_FUNCTION,
			   .function = { .function = id_of(function), .payload = payload } });
	blob_free(&payload);
}

static inline void pass(struct fixture *f, int64_t us)
{
	f->now_us += us;
	happen(f, SESSION_EV_TICKED);
}

static inline struct session_stats stats_of(const struct fixture *f)
{
	struct session_stats stats;
	session_stats(f->s, &stats);
	return stats;
}

static inline void welcome(struct fixture *f, uint32_t silence_ms)
{
	f->assigns = 0;
	receive(f,
		(struct wire_msg){ .type = WIRE_WELCOME, .welcome = { .silence_ms = silence_ms } });
}

static inline void receive_bye(struct fixture *f, enum wire_bye_why why)
{
	receive(f, (struct wire_msg){ .type = WIRE_BYE, .bye = { .why = why } });
}

static inline void receive_drain(struct fixture *f, enum wire_drain_how how)
{
	receive(f, (struct wire_msg){ .type = WIRE_DRAIN, .drain = { .how = how } });
}

static inline void open_session(struct fixture *f, struct session_config config)
{
	assert_int_equal(session_new(&config, &f->s), 0);
}

/* A session with this many slots up, welcomed, that knows function 1, which takes 100 us, and
 * function 2, which takes nothing. Slot 0 was used last, the others in order before it. Nothing is
 * heard from its dispatcher for `silence_ms`: it has given up (0: never). */
static inline void fixture_init_silence(struct fixture *f, uint32_t slots, uint32_t silence_ms)
{
	*f = (struct fixture){ .now_us = 1000000 };
	open_session(f, (struct session_config){ .slots = slots });
	happen(f, SESSION_EV_CONNECTED);
	happen(f, SESSION_EV_READY);
	for (uint32_t i = 0; i < slots; i++)
		happen_to_slot(f, SESSION_EV_SLOT_READY, i);
	welcome(f, silence_ms);
	for (unsigned function = 1; function <= 2; function++) {
		assign_own(f, 1000 + function, function);
		receive_function(f, function, 10);
		finish(f, 0, 1000 + function, REASON_NONE, function == 1 ? 100 : 1);
		receive_ref(f, WIRE_RESULT_ACK, 1000 + function);
	}
	discard(f);
}

static inline void fixture_init(struct fixture *f, uint32_t slots)
{
	fixture_init_silence(f, slots, 0);
}

static inline void fixture_release(struct fixture *f)
{
	session_free(&f->s);
	assert_null(f->s);
}

#endif
