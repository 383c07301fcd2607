/* A host's life: it connects, hears messages, its runner and the clock, hangs, repeats itself,
 * dies.
 */
#include "host.h"

#include "base/assert.h"
#include "base/mem.h"
#include "host_priv.h"
#include "hub.h"
#include "oracle.h"

/* ---- the connection ---- */

static void on_message(void *ctx, uint64_t peer, struct wire_msg *own_msg)
{
	struct host *h = ctx;
	struct session_event ev = { .kind = SESSION_EV_RECEIVED, .message = own_msg };
	(void)peer;
	h->functions_got += own_msg->type == WIRE_FUNCTION;
	h->drains += own_msg->type == WIRE_DRAIN && own_msg->drain.how == WIRE_DRAIN_LEAVE;
	h->heard_us = h->awake_us;
	bool twice = h->w->knobs.net.repeat > 0 || h->liar;
	MUST(h->w, twice || h->functions_got <= h->functions_asked,
	     "host %u is sent a function that it did not ask for", h->index);
	MUST(h->w, twice || h->drains <= 1, "host %u is told twice to drain", h->index);
	host_step(h, &ev, &(struct cargo){ .message = own_msg });
	wire_msg_release(own_msg);
	struct session_stats stats;
	session_stats(h->session, &stats);
	MUST(h->w, stats.refused == 0 || h->liar, "host %u is sent more than its credit", h->index);
}

static void on_lost(void *ctx, uint64_t peer)
{
	struct host *h = ctx;
	(void)peer;
	h->lost = true; /* it is given up after the poll */
}

static void on_wake(void *ctx)
{
	((struct host *)ctx)->woken = true;
}

static void disconnect(struct host *h)
{
	hub_leave(h->w->hub, h->peer, &h->transport);
	h->peer = 0;
	h->lost = h->woken = false;
	h->granted = h->functions_asked = h->functions_got = h->drains = 0;
	h->connect_us = h->w->now_us + 1 + rng_skewed(&h->w->rng, 100000);
	host_step_kind(h, SESSION_EV_DISCONNECTED);
}

static void connect_host(struct host *h)
{
	h->transport = hub_connect(h->w->hub, h->index, h->number, &h->peer);
	if (!h->transport) {
		h->connect_us = h->w->now_us + 1000 + rng_below(&h->w->rng, 100000);
		return;
	}
	h->transport->handler = (struct transport_handler){
		.ctx = h, .message = on_message, .lost = on_lost, .wake = on_wake
	};
	host_step_kind(h, SESSION_EV_CONNECTED);
}

void host_cut(struct host *h)
{
	if (h->transport)
		disconnect(h);
}

bool host_holds(const struct host *h, const struct wire_ref *ref)
{
	struct wire_refs refs = host_in_flight(h);
	bool found = false;
	for (uint32_t i = 0; i < refs.count; i++)
		found |= fh_id_equal(refs.list[i].task, ref->task) &&
			 task_token_equal(refs.list[i].token, ref->token);
	fh_free(refs.list);
	return found;
}

uint64_t host_number(const struct host *h)
{
	return h->number;
}

struct fh_id host_instance(const struct host *h)
{
	return h->instance;
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
	h->number = ++w->hosts_made; /* a process that starts anew is another worker */
	memcpy(h->instance.b, &h->number, sizeof h->number);
	const struct host_knobs *k = &w->knobs.host[index];
	struct session_config config = { .slots = k->slots, .ahead = k->ahead };
	int ret = session_new(&config, &h->session);
	FH_ASSERT_CMP(ret, ==, 0);
	h->parcels = fh_calloc(session_job_count_max(h->session), sizeof *h->parcels);
	h->functions = fh_calloc(session_function_count_max(h->session), sizeof *h->functions);
	FH_ASSERT(h->parcels && h->functions);
	runner_model_init(&h->runner, w, h->number, k->slots);
	h->connect_us =
		w->now_us + 1 + rng_skewed(&w->rng, rng_chance(&w->rng, 700) ? 50000 : 2000000);
	return h;
}

void host_free(struct host **hp)
{
	struct host *h = *hp;
	*hp = NULL;
	if (!h)
		return;
	if (h->transport)
		hub_leave(h->w->hub, h->peer, &h->transport);
	runner_model_release(&h->runner);
	for (uint32_t i = 0; i < session_job_count_max(h->session); i++)
		host_parcel_release(&h->parcels[i]);
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
	if (h->lost)
		disconnect(h);
	return true;
}

static bool hear_runner(struct host *h)
{
	if (!runner_model_advance(&h->runner))
		return false;
	struct news n = runner_model_news(&h->runner);
	host_step(h, &n.event,
		  &(struct cargo){ .result = &n.result, .retry_match = n.retry_match });
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
	host_step_kind(h, SESSION_EV_TICKED);
	return true;
}

/* A RESULT of before arrives once more. */
static bool repeat(struct host *h)
{
	if (h->late_len == 0 || h->w->calm || !rng_chance(&h->w->rng, 20))
		return false;
	host_transmit(h, &h->late[--h->late_len]);
	return true;
}

void host_hang(struct host *h, int64_t for_us, bool whole)
{
	h->hung_until_us = h->w->now_us + for_us;
	if (whole)
		runner_model_freeze(&h->runner, for_us);
}

bool host_is_hung(const struct host *h)
{
	return h->hung_until_us > h->w->now_us;
}

bool host_run(struct host *h)
{
	if (h->hung_until_us > h->w->now_us)
		return false;
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
	if (h->hung_until_us > h->w->now_us)
		return h->hung_until_us;
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

/* A grant is said when it has grown by a quarter, so up to that much may be unsaid. */
static uint64_t credit(const struct host *h, uint64_t *ret_whole)
{
	const struct host_knobs *k = &h->w->knobs.host[h->index];
	*ret_whole = (uint64_t)k->ahead * k->slots;
	return h->peer ? h->granted - hub_assigns(h->w->hub, h->peer) : 0;
}

bool host_is_at_rest(const struct host *h)
{
	struct session_stats s;
	uint64_t whole, left = credit(h, &whole);
	session_stats(h->session, &s);
	return s.welcomed && session_received(h->session) == hub_assigns(h->w->hub, h->peer) &&
	       s.waiting + s.piped + s.unacknowledged + s.slots_busy == 0 &&
	       s.slots_up == s.slots && left <= whole && left + whole / 4 >= whole;
}

void host_check_rest(const struct host *h)
{
	struct session_stats s;
	uint64_t whole, left = credit(h, &whole);
	session_stats(h->session, &s);
	MUST(h->w, s.welcomed, "host %u has no session", h->index);
	MUST(h->w, s.waiting == 0 && s.piped == 0 && s.unacknowledged == 0,
	     "host %u holds tasks at rest: %u waiting, %u in children, %u results", h->index,
	     s.waiting, s.piped, s.unacknowledged);
	MUST(h->w, s.slots_up == s.slots && s.slots_busy == 0,
	     "host %u has %u of %u slots up, %u busy", h->index, s.slots_up, s.slots, s.slots_busy);
	MUST(h->w, session_received(h->session) == hub_assigns(h->w->hub, h->peer),
	     "host %u has got %llu tasks of %llu at rest", h->index,
	     (unsigned long long)session_received(h->session),
	     (unsigned long long)hub_assigns(h->w->hub, h->peer));
	MUST(h->w, left <= whole && left + whole / 4 >= whole,
	     "host %u has credit for %llu of %llu tasks at rest", h->index,
	     (unsigned long long)left, (unsigned long long)whole);
}

bool host_is_dead(const struct host *h)
{
	return h->runner.dead || h->unwanted;
}

bool host_is_liar(const struct host *h)
{
	return h->liar;
}

void host_drain(struct host *h)
{
	host_step_kind(h, SESSION_EV_DRAINED);
}

uint64_t host_hash(const struct host *h)
{
	return session_hash(h->session) ^ runner_model_hash(&h->runner) ^ h->peer;
}
