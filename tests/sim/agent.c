/* The agent's model: it does with the session's actions what src/agent does, over the model of a
 * runner. */
#include "base/assert.h"
#include "base/mem.h"
#include "host_priv.h"
#include "hub.h"
#include "oracle.h"

/* ---- what is kept ---- */

static void assign_release(struct wire_assign *a)
{
	blob_free(&a->payload);
	fh_free(a->retry_classes);
	*a = (struct wire_assign){ 0 };
}

void host_parcel_release(struct parcel *p)
{
	assign_release(&p->assign);
	task_result_release(&p->result);
}

static struct parcel *parcel_of(struct host *h, uint64_t job)
{
	return &h->parcels[session_job_index(job)];
}

static struct task_result copy_result(const struct task_result *r)
{
	struct task_result copy = *r;
	(void)blob_ref(copy.value);
	(void)blob_ref(copy.out);
	(void)blob_ref(copy.err);
	copy.error_type = r->error_type ? fh_strdup(r->error_type) : NULL;
	copy.error_message = r->error_message ? fh_strdup(r->error_message) : NULL;
	copy.traceback = r->traceback ? fh_strdup(r->traceback) : NULL;
	return copy;
}

/* ---- messages out ---- */

void host_transmit(struct host *h, struct wire_msg *own_msg)
{
	if (!h->transport || hub_send_up(h->w->hub, h->peer, own_msg))
		wire_msg_release(own_msg);
}

static void send_result(struct host *h, const struct session_action *a)
{
	struct wire_msg m = { .type = WIRE_RESULT };
	oracle_reports(h->w->oracle, h->number, &a->ref);
	m.result.task = a->ref.task;
	m.result.token = a->ref.token;
	if (a->kept) {
		const struct parcel *p = parcel_of(h, a->job);
		m.result.result = copy_result(&p->result);
		m.result.retry_match = p->retry_match;
	} else {
		m.result.result.state = a->state;
		m.result.result.reason = a->reason;
	}
	if (h->late_len < KEPT_MAX && !h->w->calm && rng_chance(&h->w->rng, 50)) {
		struct wire_msg *late = &h->late[h->late_len++];
		*late = m;
		late->result.result = copy_result(&m.result.result);
	}
	host_transmit(h, &m);
}

struct wire_refs host_in_flight(const struct host *h)
{
	struct wire_refs refs = { .count = session_in_flight(h->session, NULL, 0) };
	refs.list = fh_calloc(refs.count, sizeof *refs.list);
	(void)session_in_flight(h->session, refs.list, refs.count);
	return refs;
}

static void send_heartbeat(struct host *h)
{
	struct wire_msg m = { .type = WIRE_HEARTBEAT,
			      .heartbeat = { .assigns = session_received(h->session),
					     .in_flight = host_in_flight(h) } };
	host_transmit(h, &m);
}

static void send_log(struct host *h, const struct session_action *a)
{
	struct wire_msg m = { .type = WIRE_LOG,
			      .log = { .task = a->ref.task,
				       .token = a->ref.token,
				       .is_error = a->piece.is_error,
				       .offset = a->piece.from } };
	m.log.data = runner_model_output(&h->runner, a->slot, a->job, &a->piece);
	if (m.log.data)
		host_transmit(h, &m);
}

static void send_other(struct host *h, const struct session_action *a)
{
	struct wire_msg m = { 0 };
	char labels[LABELS_TEXT];
	switch (a->kind) {
	case SESSION_DO_SEND_HELLO:
		m.type = WIRE_HELLO;
		labels_said(h->w->knobs.host[h->index].labels, labels);
		m.hello = (struct wire_hello){ .instance = h->instance,
					       .slots = h->runner.slots,
					       .runtime = "cp311",
					       .mode = h->w->knobs.host[h->index].pull ? WIRE_PULL
										       : WIRE_PUSH,
					       .labels = *labels ? fh_strdup(labels) : NULL,
					       .in_flight = host_in_flight(h) };
		if (!h->w->calm && rng_chance(&h->w->rng, h->w->knobs.lie * 10))
			host_lie_in_hello(h, &m.hello.in_flight);
		break;
	case SESSION_DO_SEND_CREDIT:
		m.type = WIRE_CREDIT;
		m.credit.granted_total = h->granted = a->granted_total;
		break;
	case SESSION_DO_SEND_FUNCTION_GET:
		m.type = WIRE_FUNCTION_GET;
		m.function_get.function = a->id;
		h->functions_asked++;
		break;
	case SESSION_DO_SEND_ASSIGN_ACK:
		m.type = WIRE_ASSIGN_ACK;
		m.assign_ack.assigns = a->assigns;
		break;
	case SESSION_DO_SEND_STARTED:
		m.type = WIRE_STARTED;
		m.ref = a->ref;
		break;
	case SESSION_DO_SEND_DRAIN:
		m.type = WIRE_DRAIN;
		break;
	case SESSION_DO_SEND_BYE:
		m.type = WIRE_BYE;
		break;
	default:
		FH_UNREACHABLE("not an action of the session");
	}
	host_transmit(h, &m);
}

/* ---- the session's actions ---- */

static void run(struct host *h, const struct session_action *a)
{
	const struct parcel *p = parcel_of(h, a->job);
	struct job job = {
		.number = a->job,
		.task = p->assign.task,
		.token = p->assign.token,
		.script = script_of(p->assign.payload),
		.announce = a->announce,
	};
	MUST(h->w, h->functions[a->function].payload != NULL, "a job without its function");
	if (runner_model_run(&h->runner, a->slot, &job))
		return;
	FH_ASSERT_CMP(h->refused_len, <, REFUSED_MAX);
	h->refused[h->refused_len++] = (struct refused){ a->slot, a->job };
}

static void perform(struct host *h, const struct session_action *a, struct cargo *cargo)
{
	struct parcel *p = parcel_of(h, a->job);
	switch (a->kind) {
	case SESSION_DO_KEEP_ASSIGN:
		p->assign = cargo->message->assign;
		cargo->message->assign = (struct wire_assign){ 0 };
		break;
	case SESSION_DO_KEEP_RESULT:
		assign_release(&p->assign);
		p->result = *cargo->result;
		p->retry_match = cargo->retry_match;
		*cargo->result = (struct task_result){ 0 };
		break;
	case SESSION_DO_FORGET:
		host_parcel_release(p);
		break;
	case SESSION_DO_KEEP_FUNCTION:
		h->functions[a->function] = cargo->message->function;
		cargo->message->function = (struct wire_function){ 0 };
		break;
	case SESSION_DO_FORGET_FUNCTION:
		blob_free(&h->functions[a->function].payload);
		break;
	case SESSION_DO_RUN:
		run(h, a);
		break;
	case SESSION_DO_STEAL:
		runner_model_steal(&h->runner, a->slot);
		break;
	case SESSION_DO_KILL:
		runner_model_kill(&h->runner, a->slot, a->job, a->reason);
		break;
	case SESSION_DO_SEND_RESULT:
		send_result(h, a);
		break;
	case SESSION_DO_SEND_LOG:
		send_log(h, a);
		break;
	case SESSION_DO_SEND_HEARTBEAT:
		send_heartbeat(h);
		break;
	case SESSION_DO_RECONNECT:
		h->hung_up = true;
		world_note(h->w, "host %u wants another connection: %s", h->index,
			   a->why == SESSION_FENCED    ? "it hears nothing"
			   : a->why == SESSION_UNKNOWN ? "it is unknown"
						       : "HELLO has no answer");
		if (a->why == SESSION_FENCED)
			runner_model_fence(&h->runner);
		break;
	case SESSION_DO_TELL_REFUSED:
		h->unwanted = true;
		break;
	default:
		send_other(h, a);
	}
}

static int64_t beat_us(const struct host *h)
{
	int64_t quarter_us = h->w->knobs.limits.liveness_us / 4;
	return quarter_us < SESSION_HEARTBEAT_US ? quarter_us : SESSION_HEARTBEAT_US;
}

/* A longer time between two steps is one in which it was stopped. */
static void stay_awake(struct host *h)
{
	int64_t gap_us = h->w->now_us - h->step_us;
	h->step_us = h->w->now_us;
	if (gap_us <= beat_us(h))
		h->awake_us += gap_us;
}

/* Who has heard nothing for three quarters of the silence that is allowed ends all it runs, as soon
 * as it gets to look at the time. */
static void check_silence(struct host *h)
{
	struct session_stats s;
	int64_t allowed_us = h->w->knobs.limits.liveness_us / 4 * 3 + 4 * beat_us(h);
	session_stats(h->session, &s);
	MUST(h->w, h->w->knobs.local || !s.welcomed || h->awake_us - h->heard_us <= allowed_us,
	     "host %u hears nothing for %lld us, and goes on", h->index,
	     (long long)(h->awake_us - h->heard_us));
}

static void step_once(struct host *h, const struct session_event *ev, struct cargo *cargo)
{
	stay_awake(h);
	session_step(h->session, ev, h->w->now_us, &h->out);
	for (uint32_t i = 0; i < h->out.count; i++)
		perform(h, &h->out.list[i], cargo);
}

void host_step(struct host *h, const struct session_event *ev, struct cargo *cargo)
{
	static const struct session_event tick = { .kind = SESSION_EV_TICKED };
	step_once(h, ev, cargo);
	while (h->out.more || h->refused_len > 0) {
		if (h->out.more) {
			step_once(h, &tick, NULL);
			continue;
		}
		struct refused r = h->refused[0];
		h->refused_len--;
		for (uint32_t i = 0; i < h->refused_len; i++)
			h->refused[i] = h->refused[i + 1];
		struct session_event refused = { .kind = SESSION_EV_REFUSED,
						 .slot = { .slot = r.slot, .job = r.job } };
		step_once(h, &refused, NULL);
	}
	session_check(h->session);
	check_silence(h);
}

void host_step_kind(struct host *h, enum session_event_kind kind)
{
	struct session_event ev = { .kind = kind };
	host_step(h, &ev, NULL);
}
