/* What a host may say that it should not: claims of what others have or had, lists with too little
 * or too much, credit beyond reason, messages that only a dispatcher says. What it says of the
 * results of its own tasks cannot be told from the truth, so that is left out; and so are tokens of
 * before a restart that a worker could still bring back, which nothing but its id protects. */
#include "base/mem.h"
#include "host_priv.h"
#include "oracle.h"

/* A task under a token that this host has no right to; or one that nobody knows. */
static struct wire_ref foreign(struct host *h)
{
	struct world *w = h->w;
	struct wire_ref ref = { .token = { rng_range(&w->rng, 1, 3), w->life } };
	for (size_t i = 0; i < sizeof ref.task.b; i++)
		ref.task.b[i] = (uint8_t)rng_next(&w->rng);
	if (rng_chance(&w->rng, 800))
		(void)oracle_any_foreign(w->oracle, h->number, &ref);
	return ref;
}

/* What it holds, without some, and with some that it does not hold. */
static struct wire_refs list_of_lies(struct host *h)
{
	struct rng *rng = &h->w->rng;
	struct wire_refs truth = host_in_flight(h);
	struct wire_refs lies = { .list = fh_calloc(truth.count + 4, sizeof(struct wire_ref)) };
	uint32_t omit = rng_below(rng, 1000);
	for (uint32_t i = 0; i < truth.count; i++)
		if (!rng_chance(rng, omit))
			lies.list[lies.count++] = truth.list[i];
	for (uint32_t more = rng_below(rng, 4); more > 0; more--) {
		lies.list[lies.count] = foreign(h);
		if (lies.count > 0 && rng_chance(rng, 200))
			lies.list[lies.count] = lies.list[lies.count - 1];
		lies.count++;
	}
	fh_free(truth.list);
	return lies;
}

static struct wire_msg result_of_lies(struct host *h)
{
	static const enum task_reason reasons[] = { REASON_NONE, REASON_WORKER_LOST, REASON_POISON,
						    REASON_EXPIRED, REASON_CANCELLED };
	struct wire_msg m = { .type = WIRE_RESULT };
	struct wire_ref ref = foreign(h);
	m.result.task = ref.task;
	m.result.token = ref.token;
	m.result.result.state = 2 + rng_below(&h->w->rng, TASK_STATE_COUNT - 2);
	m.result.result.reason = reasons[rng_below(&h->w->rng, sizeof reasons / sizeof *reasons)];
	return m;
}

static struct wire_msg log_of_lies(struct host *h)
{
	struct wire_ref ref = foreign(h);
	return (struct wire_msg){ .type = WIRE_LOG,
				  .log = { .task = ref.task,
					   .token = ref.token,
					   .is_error = rng_chance(&h->w->rng, 500),
					   .offset = rng_below(&h->w->rng, 4),
					   .data = script_value_blob(rng_next(&h->w->rng)) } };
}

/* It says of a task of its own what cannot be, and so has lost it. */
static void give_back(struct host *h)
{
	struct wire_refs held = host_in_flight(h);
	struct wire_msg m = { .type = WIRE_RESULT };
	if (held.count > 0) {
		const struct wire_ref *ref = &held.list[rng_below(&h->w->rng, held.count)];
		m.result.task = ref->task;
		m.result.token = ref->token;
		m.result.result.state = TASK_FAILED;
		m.result.result.reason =
			rng_chance(&h->w->rng, 500) ? REASON_WORKER_LOST : REASON_POISON;
		host_transmit(h, &m);
	}
	fh_free(held.list);
}

/* The session ends. */
static void break_protocol(struct host *h)
{
	struct wire_msg m = { .type = WIRE_RESULT_ACK, .ref = foreign(h) };
	switch (rng_below(&h->w->rng, 4)) {
	case 0:
		m = (struct wire_msg){ .type = WIRE_WELCOME };
		break;
	case 1:
		m = (struct wire_msg){ .type = WIRE_HELLO,
				       .hello = { .instance = h->instance,
						  .slots = 1,
						  .in_flight = list_of_lies(h) } };
		break;
	case 2:
		m = (struct wire_msg){ .type = WIRE_BYE, .bye.why = WIRE_BYE_UNKNOWN };
		break;
	default:
		break;
	}
	host_transmit(h, &m);
}

void host_lie(struct host *h)
{
	struct rng *rng = &h->w->rng;
	struct wire_msg m = { .type = WIRE_STARTED };
	struct session_stats s;
	session_stats(h->session, &s);
	if (!s.welcomed)
		return;
	h->liar = true;
	switch (rng_below(rng, 10)) {
	case 0:
		m = (struct wire_msg){ .type = WIRE_CREDIT };
		m.credit.granted_total = rng_chance(rng, 500) ? UINT64_MAX : rng_below(rng, 1000);
		break;
	case 1:
	case 2:
		m = (struct wire_msg){ .type = WIRE_HEARTBEAT };
		m.heartbeat.assigns = rng_chance(rng, 500) ? UINT64_MAX : rng_below(rng, 100);
		m.heartbeat.in_flight = list_of_lies(h);
		break;
	case 3:
		m = result_of_lies(h);
		break;
	case 4:
		m = (struct wire_msg){ .type = WIRE_FUNCTION_GET };
		m.function_get.function = foreign(h).task;
		break;
	case 5:
		give_back(h);
		return;
	case 6:
		if (rng_chance(rng, 300))
			break_protocol(h);
		return;
	case 7:
		m = (struct wire_msg){ .type = WIRE_ASSIGN_ACK };
		m.assign_ack.assigns = rng_chance(rng, 500) ? UINT64_MAX : rng_below(rng, 1000);
		break;
	case 8:
		m = log_of_lies(h);
		break;
	default:
		m.ref = foreign(h);
	}
	host_transmit(h, &m);
}

void host_lie_in_hello(struct host *h, struct wire_refs *held)
{
	struct wire_refs lies = list_of_lies(h);
	fh_free(held->list);
	*held = lies;
	h->liar = true;
}
