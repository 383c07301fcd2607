/* The agent's model: it does with the session's actions what src/agent does, over the model of a
 * runner, and may be late, repeat a RESULT, or lose its connection. */
#include "host.h"

#include "base/assert.h"
#include "base/mem.h"
#include "hub.h"
#include "oracle.h"
#include "runner.h"
#include "transport/transport.h"
#include "worker/session.h"
#include "world.h"

enum { REFUSED_MAX = 256, KEPT_MAX = 4 };

struct parcel {
	struct wire_assign assign;
	struct task_result result;
	bool retry_match;
};

struct refused {
	uint32_t slot;
	uint64_t job;
};

struct host {
	struct world *w;
	uint32_t index;
	struct fh_id instance;
	struct transport *transport; /* NULL: not connected */
	uint64_t peer;
	int64_t connect_us;
	bool woken;
	bool hung_up; /* the session wants another connection */
	/* On this connection */
	uint64_t granted, assigned, functions_asked, functions_got, drains;
	struct session *session;
	struct session_actions out;
	struct parcel *parcels;
	struct wire_function *functions;
	struct refused refused[REFUSED_MAX];
	uint32_t refused_len;
	struct runner_model runner;
	struct wire_msg late[KEPT_MAX]; /* copies of RESULTs, to be said again some time */
	uint32_t late_len;
};

/* What came with the event of a step. */
struct cargo {
	struct wire_msg *message;
	struct task_result *result;
	bool retry_match;
};

/* ---- what is kept ---- */

static void assign_release(struct wire_assign *a)
{
	blob_free(&a->payload);
	fh_free(a->retry_classes);
	*a = (struct wire_assign){ 0 };
}

static void parcel_release(struct parcel *p)
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

static void transmit(struct host *h, struct wire_msg *own_msg)
{
	if (!h->transport || transport_send(h->transport, 0, own_msg))
		wire_msg_release(own_msg);
}

void host_forge(struct host *h, struct wire_msg *own_msg)
{
	transmit(h, own_msg);
}

static void send_result(struct host *h, const struct session_action *a)
{
	struct wire_msg m = { .type = WIRE_RESULT };
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
	transmit(h, &m);
}

static struct wire_refs in_flight(const struct host *h)
{
	struct wire_refs refs = { .count = session_in_flight(h->session, NULL, 0) };
	refs.list = fh_calloc(refs.count, sizeof *refs.list);
	(void)session_in_flight(h->session, refs.list, refs.count);
	return refs;
}

static void send_heartbeat(struct host *h)
{
	struct wire_msg m = { .type = WIRE_HEARTBEAT,
			      .heartbeat = { .received = session_received(h->session),
					     .in_flight = in_flight(h) } };
	transmit(h, &m);
}

static void send_other(struct host *h, const struct session_action *a)
{
	struct wire_msg m = { 0 };
	switch (a->kind) {
	case SESSION_DO_SEND_HELLO:
		m.type = WIRE_HELLO;
		m.hello = (struct wire_hello){ .instance = h->instance,
					       .slots = h->runner.slots,
					       .runtime = "cp311",
					       .in_flight = in_flight(h) };
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
	transmit(h, &m);
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
		parcel_release(p);
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
	case SESSION_DO_SEND_HEARTBEAT:
		send_heartbeat(h);
		break;
	case SESSION_DO_RECONNECT:
		h->hung_up = true;
		break;
	case SESSION_DO_TELL_REFUSED:
		break; /* the end of the connection follows, and it comes back */
	default:
		send_other(h, a);
	}
}

static void step_once(struct host *h, const struct session_event *ev, struct cargo *cargo)
{
	session_step(h->session, ev, h->w->now_us, &h->out);
	for (uint32_t i = 0; i < h->out.count; i++)
		perform(h, &h->out.list[i], cargo);
}

static void step(struct host *h, const struct session_event *ev, struct cargo *cargo)
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
}

static void step_kind(struct host *h, enum session_event_kind kind)
{
	struct session_event ev = { .kind = kind };
	step(h, &ev, NULL);
}

/* ---- the connection ---- */

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct host *h = ctx;
	struct session_event ev = { .kind = SESSION_EV_RECEIVED, .message = own_msg };
	(void)peer;
	h->assigned += own_msg->type == WIRE_ASSIGN;
	h->functions_got += own_msg->type == WIRE_FUNCTION;
	h->drains += own_msg->type == WIRE_DRAIN;
	MUST(h->w, h->functions_got <= h->functions_asked,
	     "host %u is sent a function that it did not ask for", h->index);
	MUST(h->w, h->drains <= 1, "host %u is told twice to drain", h->index);
	step(h, &ev, &(struct cargo){ .message = own_msg });
	wire_msg_release(own_msg);
	struct session_stats stats;
	session_stats(h->session, &stats);
	MUST(h->w, stats.refused == 0, "host %u is sent more than its credit", h->index);
}

static void on_lost(void *ctx, uint64_t peer)
{
	struct host *h = ctx;
	(void)peer;
	h->peer = 0; /* the transport is freed after the poll */
}

static void on_wake(void *ctx)
{
	((struct host *)ctx)->woken = true;
}

static void disconnect(struct host *h)
{
	transport_free(&h->transport);
	h->peer = 0;
	h->granted = h->assigned = h->functions_asked = h->functions_got = h->drains = 0;
	h->connect_us = h->w->now_us + 1 + rng_skewed(&h->w->rng, 100000);
	step_kind(h, SESSION_EV_DISCONNECTED);
}

static void connect_host(struct host *h)
{
	h->transport = hub_connect(h->w->hub, &h->peer);
	if (!h->transport) {
		h->connect_us = h->w->now_us + 1000;
		return;
	}
	h->transport->handler = (struct transport_handler){
		.ctx = h, .message = on_message, .lost = on_lost, .wake = on_wake
	};
	step_kind(h, SESSION_EV_CONNECTED);
}

void host_cut(struct host *h)
{
	if (h->transport)
		disconnect(h);
}

bool host_holds(const struct host *h, const struct wire_ref *ref)
{
	struct wire_refs refs = in_flight(h);
	bool found = false;
	for (uint32_t i = 0; i < refs.count; i++)
		found |= fh_id_equal(refs.list[i].task, ref->task) &&
			 task_token_equal(refs.list[i].token, ref->token);
	fh_free(refs.list);
	return found;
}

uint64_t host_peer(const struct host *h)
{
	return h->peer;
}

/* ---- its life ---- */

struct host *host_new(struct world *w, uint32_t index)
{
	struct host *h = fh_calloc(1, sizeof *h);
	FH_ASSERT(h != NULL);
	h->w = w;
	h->index = index;
	uint64_t number = ++w->hosts_made; /* a process that starts anew is another worker */
	memcpy(h->instance.b, &number, sizeof number);
	struct session_config config = { .slots = w->knobs.slots };
	int ret = session_new(&config, &h->session);
	FH_ASSERT_CMP(ret, ==, 0);
	h->parcels = fh_calloc(session_job_count_max(h->session), sizeof *h->parcels);
	h->functions = fh_calloc(session_function_count_max(h->session), sizeof *h->functions);
	FH_ASSERT(h->parcels && h->functions);
	runner_model_init(&h->runner, w, w->knobs.slots);
	h->connect_us = w->now_us + 1 + rng_skewed(&w->rng, 50000);
	return h;
}

void host_free(struct host **hp)
{
	struct host *h = *hp;
	*hp = NULL;
	if (!h)
		return;
	transport_free(&h->transport);
	runner_model_release(&h->runner);
	for (uint32_t i = 0; i < session_job_count_max(h->session); i++)
		parcel_release(&h->parcels[i]);
	for (uint32_t i = 0; i < session_function_count_max(h->session); i++)
		blob_free(&h->functions[i].payload);
	while (h->late_len > 0)
		wire_msg_release(&h->late[--h->late_len]);
	session_free(&h->session);
	fh_free(h->parcels);
	fh_free(h->functions);
	fh_free(h);
}

static bool poll_messages(struct host *h)
{
	if (!h->transport || !h->woken)
		return false;
	h->woken = false;
	h->woken |= transport_poll(h->transport, 1 + rng_skewed(&h->w->rng, 32));
	if (h->peer == 0)
		disconnect(h);
	return true;
}

static bool hear_runner(struct host *h)
{
	if (!runner_model_advance(&h->runner))
		return false;
	struct news n = runner_model_news(&h->runner);
	step(h, &n.event, &(struct cargo){ .result = &n.result, .retry_match = n.retry_match });
	task_result_release(&n.result);
	return true;
}

static bool let_time_pass(struct host *h)
{
	if (h->hung_up) {
		h->hung_up = false;
		host_cut(h);
		return true;
	}
	if (!h->transport && h->connect_us <= h->w->now_us && h->w->dispatch) {
		connect_host(h);
		return true;
	}
	if (session_next_us(h->session) > h->w->now_us)
		return false;
	step_kind(h, SESSION_EV_TICKED);
	return true;
}

/* A RESULT of before arrives once more. */
static bool repeat(struct host *h)
{
	if (h->late_len == 0 || h->w->calm || !rng_chance(&h->w->rng, 20))
		return false;
	transmit(h, &h->late[--h->late_len]);
	return true;
}

bool host_run(struct host *h)
{
	runner_model_observe(&h->runner);
	if (repeat(h))
		return true;
	switch (rng_below(&h->w->rng, 3)) {
	case 0:
		return poll_messages(h) || hear_runner(h) || let_time_pass(h);
	case 1:
		return hear_runner(h) || let_time_pass(h) || poll_messages(h);
	default:
		return let_time_pass(h) || poll_messages(h) || hear_runner(h);
	}
}

int64_t host_next_us(const struct host *h)
{
	if (h->hung_up || (h->transport && h->woken))
		return h->w->now_us;
	int64_t next_us = runner_model_next_us(&h->runner);
	int64_t session_us = session_next_us(h->session);
	next_us = session_us < next_us ? session_us : next_us;
	if (!h->transport && h->connect_us < next_us)
		next_us = h->connect_us;
	return next_us;
}

bool host_has_drained(const struct host *h)
{
	return session_is_drained(h->session);
}

void host_check_rest(const struct host *h)
{
	struct session_stats s;
	session_stats(h->session, &s);
	MUST(h->w, s.welcomed, "host %u has no session", h->index);
	MUST(h->w, s.waiting == 0 && s.piped == 0 && s.unacknowledged == 0,
	     "host %u holds tasks at rest: %u waiting, %u in children, %u results", h->index,
	     s.waiting, s.piped, s.unacknowledged);
	MUST(h->w, s.slots_up == s.slots && s.slots_busy == 0,
	     "host %u has %u of %u slots up, %u busy", h->index, s.slots_up, s.slots, s.slots_busy);
	/* A grant is said when it has grown by a quarter, so up to that much may be unsaid. */
	uint64_t whole = (uint64_t)SESSION_AHEAD * s.slots, credit = h->granted - h->assigned;
	MUST(h->w, credit <= whole && credit + whole / 4 >= whole,
	     "host %u has credit for %llu of %llu tasks at rest", h->index,
	     (unsigned long long)credit, (unsigned long long)whole);
}

uint64_t host_hash(const struct host *h)
{
	return session_hash(h->session) ^ runner_model_hash(&h->runner) ^ h->peer;
}
