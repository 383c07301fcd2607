/* The session's actions, performed: what is kept and released, what goes to the runner and what to
 * the dispatcher.
 *
 * Happy path: an ASSIGN is moved into the parcel of its job; RUN passes its payload on; the result
 * takes its place; SEND_RESULT sends a copy (blobs are shared, a success has no strings), FORGET
 * releases it.
 *
 * Failure modes: what the runner does not take is noted and told to the session afterwards. A
 * message that the transport does not take, or that there is no memory for, is dropped: the session
 * says again what matters. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/agent_priv.h"
#include "agent/host.h"
#include "base/assert.h"
#include "base/mem.h"

/* ---- what is kept ---- */

static void assign_release(struct wire_assign *assign)
{
	blob_free(&assign->payload);
	fh_free(assign->retry_classes);
	*assign = (struct wire_assign){ 0 };
}

void agent_parcel_release(struct parcel *p)
{
	assign_release(&p->assign);
	task_result_release(&p->result);
	p->retry_match = false;
}

void agent_function_release(struct wire_function *f)
{
	blob_free(&f->payload);
	*f = (struct wire_function){ 0 };
}

static struct parcel *parcel_of(struct agent *a, const struct session_action *action)
{
	return &a->parcels[session_job_index(action->job)];
}

static void keep_assign(struct parcel *p, struct cargo *cargo)
{
	FH_ASSERT(cargo && cargo->message && cargo->message->type == WIRE_ASSIGN);
	p->assign = cargo->message->assign;
	cargo->message->assign = (struct wire_assign){ 0 };
	list_init(&p->refused);
}

static void keep_function(struct wire_function *f, struct cargo *cargo)
{
	FH_ASSERT(cargo && cargo->message && cargo->message->type == WIRE_FUNCTION);
	*f = cargo->message->function;
	cargo->message->function = (struct wire_function){ 0 };
}

static void keep_result(struct parcel *p, struct cargo *cargo)
{
	FH_ASSERT(cargo && cargo->result);
	assign_release(&p->assign);
	p->result = *cargo->result;
	p->retry_match = cargo->retry_match;
	*cargo->result = (struct task_result){ 0 };
}

/* ---- to the runner ---- */

static void run(struct agent *a, const struct session_action *action)
{
	struct parcel *p = parcel_of(a, action);
	const struct wire_function *f = &a->functions[action->function];
	struct runner_function function = { f->function, f->serializer, f->payload };
	struct runner_job job = {
		.job = action->job,
		.function = &function,
		.payload = p->assign.payload,
		.mem_bytes = p->assign.mem_bytes,
		.retry_classes = p->assign.retry_classes,
		.announce = action->announce,
	};
	p->why = runner_run(a->runner, action->slot, &job);
	if (p->why == 0)
		return;
	p->job = action->job;
	p->slot = action->slot;
	list_push_back(&a->refused, &p->refused);
}

static void kill_job(struct agent *a, const struct session_action *action)
{
	int ret = runner_kill(a->runner, action->slot, action->job, action->reason);
	/* Not there: it has just finished, or comes back; its event is on its way. */
	(void)ret;
}

/* ---- to the dispatcher ---- */

static void transmit(struct agent *a, struct wire_msg *own_msg)
{
	if (transport_send(a->transport, 0, own_msg))
		wire_msg_release(own_msg);
}

void agent_say_bye(struct agent *a)
{
	struct wire_msg m = { .type = WIRE_BYE, .bye = { .why = WIRE_BYE_DRAINED } };
	transmit(a, &m);
}

static bool copy_text(char **ret_copy, const char *text)
{
	*ret_copy = text ? fh_strdup(text) : NULL;
	return *ret_copy || !text;
}

static int copy_result(struct task_result *ret_copy, const struct task_result *r)
{
	struct task_result copy = *r;
	blob_ref(copy.value);
	blob_ref(copy.out);
	blob_ref(copy.err);
	bool type = copy_text(&copy.error_type, r->error_type);
	bool message = copy_text(&copy.error_message, r->error_message);
	bool traceback = copy_text(&copy.traceback, r->traceback);
	if (type && message && traceback) {
		*ret_copy = copy;
		return 0;
	}
	task_result_release(&copy);
	return FH_ENOMEM;
}

struct task_result agent_made_result(enum task_state state, enum task_reason reason,
				     const char *type, const char *message)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	struct task_result r = { .state = state, .reason = reason };
	r.finished_ms = t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
	(void)copy_text(&r.error_type, type);
	(void)copy_text(&r.error_message, message);
	return r;
}

/* Of an attempt that no child has seen. */
static struct task_result unseen_result(const struct session_action *action, const struct parcel *p)
{
	char text[96], id[FH_ID_TEXT];
	switch (action->reason) {
	case REASON_CANCELLED:
		return agent_made_result(action->state, action->reason,
					 "concurrent.futures._base.CancelledError",
					 "cancelled before it began");
	case REASON_UNDECODABLE:
		fh_id_format(p->assign.function, id);
		(void)snprintf(text, sizeof text, "the server has no function %s", id);
		return agent_made_result(action->state, action->reason, "builtins.LookupError",
					 text);
	default:
		return agent_made_result(action->state, action->reason, "builtins.OSError",
					 "the worker took no more tasks");
	}
}

static void send_result(struct agent *a, const struct session_action *action)
{
	struct wire_msg m = { .type = WIRE_RESULT,
			      .result = { .task = action->ref.task, .token = action->ref.token } };
	struct parcel *p = action->job ? parcel_of(a, action) : NULL;
	if (!action->kept)
		m.result.result = unseen_result(action, p);
	else if (copy_result(&m.result.result, &p->result))
		return;
	m.result.retry_match = action->kept && p->retry_match;
	transmit(a, &m);
}

/* What the worker holds. FH_ENOMEM. */
static int in_flight(struct agent *a, struct wire_refs *ret_refs)
{
	uint32_t count = session_in_flight(a->session, NULL, 0);
	*ret_refs = (struct wire_refs){ .count = count };
	if (count == 0)
		return 0;
	ret_refs->list = fh_calloc(count, sizeof *ret_refs->list);
	if (!ret_refs->list)
		return FH_ENOMEM;
	(void)session_in_flight(a->session, ret_refs->list, count);
	return 0;
}

static void send_heartbeat(struct agent *a)
{
	struct wire_msg m = { .type = WIRE_HEARTBEAT,
			      .heartbeat = { .assigns = session_received(a->session) } };
	if (in_flight(a, &m.heartbeat.in_flight) == 0)
		transmit(a, &m);
}

/* Not there: the job is over, and its result brings all of it. */
static void send_log(struct agent *a, const struct session_action *action)
{
	const struct session_piece *p = &action->piece;
	struct wire_msg m = { .type = WIRE_LOG,
			      .log = { .task = action->ref.task,
				       .token = action->ref.token,
				       .is_error = p->is_error,
				       .offset = p->from } };
	if (runner_output(a->runner, action->slot, action->job, p->is_error, p->from, p->to,
			  &m.log.data) == 0)
		transmit(a, &m);
}

static void send_hello(struct agent *a)
{
	struct session_stats stats;
	session_stats(a->session, &stats);
	struct wire_msg m = { .type = WIRE_HELLO,
			      .hello = { .instance = a->config.instance,
					 .slots = stats.slots,
					 .mode = a->config.mode,
					 .cores = host_cores(),
					 .mem_bytes = host_mem_bytes() } };
	struct wire_hello *h = &m.hello;
	memcpy(h->runtime, stats.runtime, sizeof h->runtime);
	if (copy_text(&h->host, a->host) && copy_text(&h->labels, a->labels) &&
	    copy_text(&h->modules, a->modules) && in_flight(a, &h->in_flight) == 0)
		transmit(a, &m);
	else
		wire_msg_release(&m);
}

static void talk(struct agent *a, const struct session_action *action)
{
	struct wire_msg m = { 0 };
	switch (action->kind) {
	case SESSION_DO_SEND_CREDIT:
		m.type = WIRE_CREDIT;
		m.credit.granted_total = action->granted_total;
		break;
	case SESSION_DO_SEND_FUNCTION_GET:
		m.type = WIRE_FUNCTION_GET;
		m.function_get.function = action->id;
		break;
	case SESSION_DO_SEND_ASSIGN_ACK:
		m.type = WIRE_ASSIGN_ACK;
		m.assign_ack.assigns = action->assigns;
		break;
	case SESSION_DO_SEND_STARTED:
		m.type = WIRE_STARTED;
		m.ref = action->ref;
		break;
	case SESSION_DO_SEND_DRAIN:
		m.type = WIRE_DRAIN;
		m.drain.how = WIRE_DRAIN_LEAVE;
		break;
	default:
		FH_UNREACHABLE("not an action of the session");
	}
	transmit(a, &m);
}

static void reconnect(struct agent *a, enum session_reconnect_why why)
{
	static const char *const lines[] = {
		[SESSION_UNANSWERED] = "the dispatcher does not answer: connecting anew",
		[SESSION_UNKNOWN] = "the dispatcher has given this worker up: connecting anew",
		[SESSION_OVERSLEPT] = "this worker was stopped for long: connecting anew",
		[SESSION_FENCED] = "the dispatcher was silent: what ran is ended; connecting anew",
	};
	agent_log(a, lines[why]);
	transport_close_peer(a->transport, 0);
}

/* The owner hears of it when nothing of ours is below it any more. */
static void note_refusal(struct agent *a, const struct cargo *cargo)
{
	FH_ASSERT(cargo && cargo->message && cargo->message->type == WIRE_BYE);
	const char *why = cargo->message->bye.text;
	(void)snprintf(a->refusal, sizeof a->refusal, "%s", why && *why ? why : "no reason given");
	for (char *c = a->refusal; *c; c++) /* one line, whatever it was */
		*c = iscntrl((unsigned char)*c) ? ' ' : *c;
	event_active(a->work, EV_TIMEOUT, 0);
}

/* ---- all of them ---- */

static void perform(struct agent *a, const struct session_action *action, struct cargo *cargo)
{
	switch (action->kind) {
	case SESSION_DO_KEEP_ASSIGN:
		keep_assign(parcel_of(a, action), cargo);
		break;
	case SESSION_DO_KEEP_RESULT:
		keep_result(parcel_of(a, action), cargo);
		break;
	case SESSION_DO_FORGET:
		agent_parcel_release(parcel_of(a, action));
		break;
	case SESSION_DO_KEEP_FUNCTION:
		keep_function(&a->functions[action->function], cargo);
		break;
	case SESSION_DO_FORGET_FUNCTION:
		agent_function_release(&a->functions[action->function]);
		break;
	case SESSION_DO_RUN:
		run(a, action);
		break;
	case SESSION_DO_STEAL:
		runner_steal(a->runner, action->slot);
		break;
	case SESSION_DO_KILL:
		kill_job(a, action);
		break;
	case SESSION_DO_SEND_HELLO:
		send_hello(a);
		break;
	case SESSION_DO_SEND_RESULT:
		send_result(a, action);
		break;
	case SESSION_DO_SEND_LOG:
		send_log(a, action);
		break;
	case SESSION_DO_SEND_HEARTBEAT:
		send_heartbeat(a);
		break;
	case SESSION_DO_SEND_BYE:
		agent_say_bye(a);
		break;
	case SESSION_DO_RECONNECT:
		reconnect(a, action->why);
		break;
	case SESSION_DO_TELL_REFUSED:
		note_refusal(a, cargo);
		break;
	default:
		talk(a, action);
		break;
	}
}

void agent_perform(struct agent *a, struct cargo *cargo)
{
	for (uint32_t i = 0; i < a->out.count; i++)
		perform(a, &a->out.list[i], cargo);
}
