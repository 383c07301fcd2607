/* A worker's session under a seeded storm: a model of a runner that crashes, returns, refuses and
 * restarts, and a dispatcher that assigns, repeats, cancels, loses messages, falls silent, forgets
 * the session and goes away. After every step the whole state is checked; in the end everything
 * heals, and every task that was taken must have got exactly one result, acknowledged, and every
 * slot must be free.
 *
 * SESSION_SEEDS and SESSION_SEED choose how many seeds, and which one first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "session_storm.h"

static void receive(struct storm *t, struct wire_msg m)
{
	storm_tell(t, (struct session_event){ .kind = SESSION_EV_RECEIVED, .message = &m });
}

/* ---- what happens in children ---- */

static struct held take(struct child *c, unsigned i)
{
	struct held held = c->jobs[i];
	memmove(&c->jobs[i], &c->jobs[i + 1], (c->len - i - 1) * sizeof held);
	if (--c->len == 0)
		c->own = false;
	return held;
}

static void about(struct storm *t, enum session_event_kind kind, unsigned slot, uint64_t job,
		  enum task_reason reason)
{
	enum task_state state = reason == REASON_NONE	     ? TASK_COMPLETED
				: reason == REASON_CANCELLED ? TASK_CANCELLED
							     : TASK_FAILED;
	storm_tell(t, (struct session_event){
			      .kind = kind,
			      .slot = { .slot = slot,
					.job = job,
					.state = state,
					.reason = reason,
					.run_us = below(t, 3) ? below(t, 2000) : 0 } });
}

/* The child refuses from now on; jobs that it was given come back as REFUSED. */
static void refuse_all_unbegun(struct storm *t, unsigned slot, enum session_event_kind how)
{
	struct child *c = &t->children[slot];
	while (c->len > 0) {
		struct held held = take(c, c->len - 1);
		about(t, how, slot, held.job, REASON_NONE);
	}
}

static void die(struct storm *t, unsigned slot, enum task_reason reason)
{
	struct child *c = &t->children[slot];
	if (!c->up)
		return;
	c->dying = true;
	unsigned own = c->len;
	if (own > 0 && (c->jobs[0].begun || one_in(t, 2))) {
		struct held head = take(c, 0);
		about(t, SESSION_EV_FINISHED, slot, head.job, head.killed ? head.killed : reason);
		own--;
	}
	for (; own > 0; own--) {
		struct held held = take(c, 0);
		about(t, SESSION_EV_RETURNED, slot, held.job, REASON_NONE);
	}
	refuse_all_unbegun(t, slot, SESSION_EV_REFUSED);
	c->up = c->dying = false;
	storm_tell(t, (struct session_event){ .kind = SESSION_EV_SLOT_DOWN,
					      .slot = { .slot = slot } });
}

static void child_acts(struct storm *t, unsigned slot)
{
	struct child *c = &t->children[slot];
	if (!c->up) {
		c->up = true;
		storm_tell(t, (struct session_event){ .kind = SESSION_EV_SLOT_READY,
						      .slot = { .slot = slot } });
		return;
	}
	if (c->len == 0)
		return;
	struct held *head = &c->jobs[0];
	unsigned choice = t->healing ? 2 : below(t, 12);
	if (head->killed == REASON_TIMEOUT || (head->killed && head->begun)) {
		die(t, slot, REASON_CRASH);
	} else if (choice < 2 && !head->begun) {
		head->begun = true;
		about(t, SESSION_EV_STARTED, slot, head->job, REASON_NONE);
	} else if ((choice == 8 || choice == 9) && head->begun) {
		head->printed[0] += below(t, 3);
		head->printed[1] += below(t, 2);
		storm_tell(t,
			   (struct session_event){
				   .kind = SESSION_EV_PRINTED,
				   .slot = { .slot = slot,
					     .job = head->job,
					     .printed = { head->printed[0], head->printed[1] } } });
	} else if (choice == 10 && c->len > 1) { /* stolen, or killed in the pipe */
		struct held held = take(c, 1 + below(t, c->len - 1));
		if (held.killed)
			about(t, SESSION_EV_FINISHED, slot, held.job, held.killed);
		else
			about(t, SESSION_EV_RETURNED, slot, held.job, REASON_NONE);
	} else if (choice == 11) { /* full socket: refuses what came last */
		unsigned last = c->len - 1;
		if (c->jobs[last].begun || c->jobs[last].killed)
			return;
		if (last == 0)
			c->dying = true;
		struct held held = take(c, last);
		about(t, SESSION_EV_REFUSED, slot, held.job, REASON_NONE);
		if (last == 0) {
			c->dying = c->up = false;
			storm_tell(t, (struct session_event){ .kind = SESSION_EV_SLOT_DOWN,
							      .slot = { .slot = slot } });
		}
	} else {
		struct held held = take(c, 0);
		about(t, SESSION_EV_FINISHED, slot, held.job,
		      held.killed    ? held.killed
		      : one_in(t, 9) ? REASON_EXCEPTION
				     : REASON_NONE);
	}
}

/* ---- what the dispatcher does ---- */

static void assign(struct storm *t)
{
	if (t->next_task == TASKS)
		return;
	bool over = t->sent >= t->granted;
	if (over && !one_in(t, 20))
		return;
	unsigned task = t->next_task++;
	t->coming = task;
	t->tasks[task].ahead = one_in(t, 2);
	t->tasks[task].limited = one_in(t, 5);
	if (t->welcomed && !over)
		t->sent++;
	receive(t, (struct wire_msg){
			   .type = WIRE_ASSIGN,
			   .assign = { .task = id_of(task),
				       .token = { 1, 1 },
				       .number = over ? t->granted + 1 : t->sent,
				       .function = id_of(below(t, FUNCTIONS)),
				       .timeout_ms = t->tasks[task].limited ? 1 + below(t, 20) : 0,
				       .ahead = t->tasks[task].ahead } });
}

/* Some known task, most likely a young one. */
static unsigned some_task(struct storm *t)
{
	unsigned reach = t->next_task < 60 ? t->next_task : 60;
	return reach ? t->next_task - 1 - below(t, reach) : 0;
}

static void say_about(struct storm *t, enum wire_type type, unsigned task)
{
	receive(t, (struct wire_msg){ .type = type, .ref = ref_of(task) });
}

/* Types and references that fit nothing here. */
static void receive_junk(struct storm *t, unsigned task)
{
	static const enum wire_type types[] = { WIRE_HELLO,   WIRE_CREDIT,     WIRE_FUNCTION_GET,
						WIRE_STARTED, WIRE_RESULT_ACK, WIRE_STALE,
						WIRE_CANCEL,  WIRE_TYPE_END };
	receive(t, (struct wire_msg){ .type = types[below(t, sizeof types / sizeof *types)],
				      .ref = { id_of(TASKS + task), { 9, 9 } } });
}

static void drain(struct storm *t, enum wire_drain_how how)
{
	receive(t, (struct wire_msg){ .type = WIRE_DRAIN, .drain = { .how = how } });
}

/* What a dispatcher says, or does not say, about the session itself. */
static void disturb(struct storm *t)
{
	switch (below(t, 40)) {
	case 0:
		receive(t,
			(struct wire_msg){ .type = WIRE_BYE, .bye = { .why = WIRE_BYE_UNKNOWN } });
		break;
	case 1:
		t->mute = below(t, 200);
		break;
	case 2:
		drain(t, WIRE_DRAIN_STAY);
		break;
	default:
		drain(t, WIRE_DRAIN_OVER);
		break;
	}
}

static void dispatcher_acts(struct storm *t)
{
	unsigned task = some_task(t);
	if (t->mute > 0) {
		t->mute--;
		return;
	}
	switch (below(t, 18)) {
	case 16:
		receive(t, (struct wire_msg){ .type = WIRE_HEARTBEAT });
		break;
	case 17:
		disturb(t);
		break;
	case 0:
		say_about(t, WIRE_CANCEL, task);
		break;
	case 1:
		if (t->welcomed && t->tasks[task].fate == ASSIGNED)
			t->tasks[task].stale = true;
		say_about(t, WIRE_STALE, task);
		break;
	case 2:
		if (t->tasks[task].fate != ASSIGNED && t->tasks[task].fate != ENDED)
			break; /* only what is held is known to be a repetition */
		t->coming = task;
		receive(t, (struct wire_msg){ .type = WIRE_ASSIGN,
					      .assign = { .task = id_of(task),
							  .token = { 1, 1 },
							  .number = t->sent + below(t, 2) } });
		break;
	case 3:
		receive_junk(t, task);
		break;
	case 4:
	case 5:
	case 6:
		for (unsigned f = 0; f < FUNCTIONS; f++) {
			static struct blob payload;
			if (!t->asked[f])
				continue;
			t->asked[f] = false;
			receive(t, (struct wire_msg){
					   .type = WIRE_FUNCTION,
					   .function = { .function = id_of(f),
							 .payload = f == 3 ? NULL : &payload } });
		}
		break;
	case 7:
	case 8:
	case 9:
		if (t->tasks[task].fate == ENDED)
			say_about(t, WIRE_RESULT_ACK, task);
		break;
	default:
		assign(t);
		break;
	}
}

static void connection_acts(struct storm *t)
{
	if (!t->connected) {
		t->connected = true;
		storm_tell(t, (struct session_event){ .kind = SESSION_EV_CONNECTED });
	} else if (!t->welcomed) {
		t->welcomed = true;
		t->granted = t->sent = t->acknowledged = 0;
		for (uint32_t i = 0; i < t->slots; i++)
			memset(t->children[i].jobs[0].logged, 0, sizeof(uint64_t[2]));
		receive(t, (struct wire_msg){
				   .type = WIRE_WELCOME,
				   .welcome = { .silence_ms = t->healing ? 0 : SILENCE_MS } });
	} else if (!t->healing) {
		t->connected = t->greeted = t->welcomed = false;
		storm_tell(t, (struct session_event){ .kind = SESSION_EV_DISCONNECTED });
	}
}

static void lose_template(struct storm *t)
{
	for (unsigned slot = 0; slot < t->slots; slot++)
		die(t, slot, REASON_WORKER_LOST);
	storm_tell(t, (struct session_event){ .kind = SESSION_EV_BROKEN });
	storm_tell(t, (struct session_event){ .kind = SESSION_EV_READY, .runtime = "cp311" });
}

static void storm_step(struct storm *t)
{
	t->now_us += below(t, 300);
	if (one_in(t, 50))
		t->now_us += below(t, 3000000);
	if (session_next_us(t->s) <= t->now_us || one_in(t, 10))
		storm_tell(t, (struct session_event){ .kind = SESSION_EV_TICKED });
	unsigned choice = below(t, 200);
	if (choice < 90)
		child_acts(t, below(t, t->slots));
	else if (choice < 94)
		die(t, below(t, t->slots), REASON_CRASH);
	else if (choice == 94)
		lose_template(t);
	else if (!t->welcomed || choice == 95)
		connection_acts(t);
	else
		dispatcher_acts(t);
}

/* ---- and the end ---- */

static void heal(struct storm *t, bool leave)
{
	struct session_stats stats;
	t->healing = true;
	drain(t, WIRE_DRAIN_OVER);
	if (leave)
		storm_tell(t, (struct session_event){ .kind = SESSION_EV_DRAINED });
	for (unsigned round = 0; round < 20000; round++) {
		t->now_us += 100000;
		while (!t->welcomed)
			connection_acts(t);
		storm_tell(t, (struct session_event){ .kind = SESSION_EV_TICKED });
		for (unsigned slot = 0; slot < t->slots; slot++)
			child_acts(t, slot);
		for (unsigned f = 0; f < FUNCTIONS; f++) {
			static struct blob payload;
			if (t->asked[f])
				receive(t,
					(struct wire_msg){ .type = WIRE_FUNCTION,
							   .function = { .function = id_of(f),
									 .payload = &payload } });
			t->asked[f] = false;
		}
		for (unsigned task = 0; task < t->next_task; task++)
			if (t->tasks[task].fate == ENDED)
				say_about(t, WIRE_RESULT_ACK, task);
		session_stats(t->s, &stats);
		if (stats.waiting + stats.piped + stats.unacknowledged == 0 &&
		    stats.slots_up == t->slots && session_is_drained(t->s) == leave)
			return;
	}
	FH_UNREACHABLE("the worker did not come to rest");
}

static void check_end(const struct storm *t, bool drained)
{
	struct session_stats stats;
	session_stats(t->s, &stats);
	FH_ASSERT_CMP(stats.slots_busy, ==, 0);
	FH_ASSERT_CMP(stats.slots_up, ==, t->slots);
	for (unsigned i = 0; i < JOBS; i++)
		FH_ASSERT(!t->has_assign[i] && !t->has_result[i]);
	for (unsigned task = 0; task < t->next_task; task++) {
		const struct task *k = &t->tasks[task];
		FH_ASSERT(k->fate == ACKED || k->fate == LOST || k->fate == NEVER);
		FH_ASSERT_CMP(k->results, <=, 1);
		FH_ASSERT((k->fate == ACKED) == (k->results == 1));
	}
	/* Credit is back: all that a worker at rest may hold is granted, but for a rest that is
	 * not worth a message. */
	FH_ASSERT_CMP(t->left, ==, drained && t->greeted);
	uint32_t window = t->slots * t->ahead;
	if (!drained)
		FH_ASSERT_CMP(t->granted, >, t->sent + window / 2);
}

static uint64_t run_storm(uint64_t seed)
{
	struct storm *t = calloc(1, sizeof *t);
	assert_non_null(t);
	t->seed = seed;
	t->now_us = 1;
	t->slots = 1 + below(t, SLOTS_MAX);
	t->ahead = one_in(t, 3) ? SESSION_AHEAD_LOCAL : SESSION_AHEAD_PUSH;
	struct session_config config = { .slots = t->slots, .ahead = t->ahead };
	assert_int_equal(session_new(&config, &t->s), 0);
	storm_tell(t, (struct session_event){ .kind = SESSION_EV_READY, .runtime = "cp311" });
	for (unsigned i = 0; i < STEPS; i++)
		storm_step(t);
	bool leave = one_in(t, 4);
	heal(t, leave);
	check_end(t, leave);
	uint64_t hash = session_hash(t->s);
	session_free(&t->s);
	free(t);
	return hash;
}

static uint64_t number_in_environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void every_task_gets_one_result(void **state)
{
	(void)state;
	uint64_t first = number_in_environment("SESSION_SEED", 1);
	uint64_t seeds = number_in_environment("SESSION_SEEDS", 30);
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		uint64_t hash = run_storm(seed);
		if (seed == first)
			assert_true(hash == run_storm(seed));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_task_gets_one_result),
	};
	return cmocka_run_group_tests_name("session_random", tests, NULL, NULL);
}
