/* The model of agent, runner and dispatcher: what they make of a session's actions. */
#include "session_storm.h"

static void model_run(struct storm *t, const struct session_action *a)
{
	struct child *c = &t->children[a->slot];
	FH_ASSERT(t->has_assign[session_job_index(a->job)] && t->has_function[a->function]);
	FH_ASSERT_CMP(c->len, <, SESSION_PIPE_MAX);
	const struct task *task = &t->tasks[t->task_of[session_job_index(a->job)]];
	FH_ASSERT(!c->own && (task->ahead || c->len == 0));
	FH_ASSERT_CMP(a->announce, ==, !task->ahead || task->limited);
	c->own = !task->ahead;
	c->jobs[c->len++] = (struct held){ .job = a->job };
}

static void model_result(struct storm *t, const struct session_action *a)
{
	unsigned task = number_of(a->ref.task);
	if (a->job == 0) {
		FH_ASSERT(t->tasks[task].fate == NEVER);
		return;
	}
	FH_ASSERT_CMP(t->task_of[session_job_index(a->job)], ==, task);
	FH_ASSERT(t->tasks[task].fate == ENDED);
	FH_ASSERT(!a->kept || t->has_result[session_job_index(a->job)]);
	FH_ASSERT(!t->tasks[task].stale && !t->tasks[task].fenced);
}

static void ended(struct storm *t, unsigned task)
{
	if (t->tasks[task].fate != ASSIGNED)
		return;
	t->tasks[task].fate = ENDED;
	t->tasks[task].results++;
}

static void forget(struct storm *t, uint64_t job)
{
	uint32_t index = session_job_index(job);
	struct task *task = &t->tasks[t->task_of[index]];
	FH_ASSERT(t->has_assign[index] || t->has_result[index]);
	t->has_assign[index] = t->has_result[index] = false;
	if (task->fate == ASSIGNED)
		FH_ASSERT(task->stale || task->fenced || !t->connected);
	task->fate = task->fate == ENDED ? ACKED : LOST;
}

static void model_kill(struct storm *t, const struct session_action *a)
{
	struct child *c = &t->children[a->slot];
	for (unsigned i = 0; i < c->len; i++)
		if (c->jobs[i].job == a->job)
			c->jobs[i].killed = a->reason;
}

/* Piece by piece, from the start for each dispatcher. */
static void model_log(struct storm *t, const struct session_action *a)
{
	struct held *head = &t->children[a->slot].jobs[0];
	const struct session_piece *p = &a->piece;
	const struct task *task = &t->tasks[number_of(a->ref.task)];
	FH_ASSERT(t->welcomed && t->children[a->slot].len > 0 && head->job == a->job);
	FH_ASSERT(task->fate == ASSIGNED && !task->stale && !task->fenced);
	FH_ASSERT_CMP(p->from, ==, head->logged[p->is_error]);
	FH_ASSERT(p->to > p->from && p->to <= head->printed[p->is_error]);
	head->logged[p->is_error] = p->to;
}

static bool is_declared(const struct task *k)
{
	return k->fate == ENDED || (k->fate == ASSIGNED && !k->fenced && !k->stale);
}

static void model_hello(struct storm *t)
{
	static struct wire_ref refs[JOBS];
	uint32_t count = session_in_flight(t->s, refs, JOBS), declared = 0;
	FH_ASSERT(t->connected && !t->welcomed && !t->greeted);
	t->greeted = true;
	for (uint32_t i = 0; i < count; i++)
		FH_ASSERT(is_declared(&t->tasks[number_of(refs[i].task)]));
	for (unsigned task = 0; task < t->next_task; task++)
		declared += is_declared(&t->tasks[task]);
	FH_ASSERT_CMP(count, ==, declared);
}

/* Of what is fenced and not over, no result will be said. */
static void model_reconnect(struct storm *t, const struct session_action *a)
{
	bool fenced = a->why == SESSION_FENCED;
	FH_ASSERT(t->greeted && (t->welcomed || !fenced));
	t->connected = t->greeted = t->welcomed = false;
	for (unsigned task = 0; fenced && task < t->next_task; task++)
		t->tasks[task].fenced |= t->tasks[task].fate == ASSIGNED;
}

/* What the agent keeps beside the session. */
static void perform_keeping(struct storm *t, const struct session_action *a)
{
	uint32_t index = session_job_index(a->job);
	switch (a->kind) {
	case SESSION_DO_KEEP_ASSIGN:
		FH_ASSERT(!t->has_assign[index] && !t->has_result[index]);
		FH_ASSERT(t->tasks[t->coming].fate == NEVER);
		t->has_assign[index] = true;
		t->task_of[index] = t->coming;
		t->tasks[t->coming].fate = ASSIGNED;
		break;
	case SESSION_DO_KEEP_RESULT:
		FH_ASSERT(t->has_assign[index] && !t->has_result[index]);
		t->has_assign[index] = false;
		t->has_result[index] = true;
		ended(t, t->task_of[index]);
		break;
	case SESSION_DO_FORGET:
		forget(t, a->job);
		break;
	case SESSION_DO_KEEP_FUNCTION:
		t->has_function[a->function] = true;
		break;
	case SESSION_DO_FORGET_FUNCTION:
		FH_ASSERT(t->has_function[a->function]);
		t->has_function[a->function] = false;
		break;
	default:
		break;
	}
}

static void perform(struct storm *t, const struct session_action *a)
{
	switch (a->kind) {
	case SESSION_DO_RUN:
		model_run(t, a);
		break;
	case SESSION_DO_STEAL:
		break; /* the model's children give back when they like */
	case SESSION_DO_KILL:
		model_kill(t, a);
		break;
	case SESSION_DO_SEND_CREDIT:
		FH_ASSERT(t->welcomed && a->granted_total >= t->granted);
		t->granted = a->granted_total;
		break;
	case SESSION_DO_SEND_ASSIGN_ACK:
		FH_ASSERT(t->welcomed && a->assigns > t->acknowledged && a->assigns <= t->sent);
		t->acknowledged = a->assigns;
		break;
	case SESSION_DO_SEND_LOG:
		model_log(t, a);
		break;
	case SESSION_DO_SEND_FUNCTION_GET:
		t->asked[number_of(a->id)] = true;
		break;
	case SESSION_DO_SEND_RESULT:
		FH_ASSERT(t->welcomed);
		if (!a->kept)
			ended(t, number_of(a->ref.task));
		model_result(t, a);
		break;
	case SESSION_DO_SEND_BYE:
		FH_ASSERT(!t->left);
		t->left = true;
		break;
	case SESSION_DO_SEND_HELLO:
		model_hello(t);
		break;
	case SESSION_DO_RECONNECT:
		model_reconnect(t, a);
		break;
	case SESSION_DO_TELL_REFUSED:
		FH_UNREACHABLE("nobody has refused it");
	default:
		perform_keeping(t, a);
		break;
	}
}

void storm_tell(struct storm *t, struct session_event event)
{
	do {
		session_step(t->s, &event, t->now_us, &t->out);
		session_check(t->s);
		for (uint32_t i = 0; i < t->out.count; i++)
			perform(t, &t->out.list[i]);
		event = (struct session_event){ .kind = SESSION_EV_TICKED };
	} while (t->out.more);
}
