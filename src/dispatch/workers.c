/* Workers, as operators see them, and what they are ordered to do.
 *
 * Happy path: a page of the sessions in the order of their numbers, which stay as long as a session
 * does; an order pauses the session in the core, so that it is assigned nothing more, and tells its
 * worker, so that it asks for nothing more. Failure modes: a worker without a connection is told
 * when it is back, with its WELCOME; one that leaves by its own word does not take tasks again. */
#include "base/mem.h"
#include "dispatch/dispatch_priv.h"

static enum call_worker_mode mode_of(const struct session *s)
{
	if (s->door->local)
		return CALL_WORKER_LOCAL;
	return s->hello.mode == WIRE_PULL ? CALL_WORKER_PULL : CALL_WORKER_PUSH;
}

static enum call_worker_state state_of(const struct dispatch *d, const struct session *s)
{
	if (!s->connected)
		return CALL_WORKER_LOST;
	return s->drain_ordered || d->draining ? CALL_WORKER_DRAINING : CALL_WORKER_ONLINE;
}

static void describe(struct dispatch *d, const struct session *s, struct call_worker *ret_worker)
{
	const struct wire_hello *h = &s->hello;
	struct core_session_view view;
	core_session_look(d->core, session_number(d, s), &view);
	*ret_worker = (struct call_worker){
		.id = h->instance,
		.host = h->host,
		.key_name = s->key_name[0] ? s->key_name : NULL,
		.mode = mode_of(s),
		.state = state_of(d, s),
		.runtime = h->runtime,
		.slots = h->slots,
		.slots_busy = view.running,
		.in_flight = view.in_flight,
		.cores = h->cores,
		.mem_bytes = h->mem_bytes,
		.labels = h->labels,
		.connected_ms = s->connected_ms,
		.heard_ms = dispatch_wall_ms(d) - view.silent_us / 1000,
		.finished = s->finished,
		.failed = s->failed,
	};
}

static struct session *find(struct dispatch *d, struct fh_id id, struct call *c)
{
	struct session *s = map_get(&d->instances, id);
	if (!s)
		(void)fh_err_set(&c->err, FH_ENOTFOUND, "no such worker");
	return s;
}

static void list_one(struct dispatch *d, struct call_list_workers *c)
{
	const struct session *s = find(d, c->id, &c->call);
	struct call_worker worker;
	if (s) {
		describe(d, s, &worker);
		c->ret_workers = &worker;
		c->ret_count = 1;
	}
	dispatch_answer(&c->call, s ? 0 : FH_ENOTFOUND);
}

/* The position of a session is its number plus one. */
static void list_all(struct dispatch *d, struct call_list_workers *c)
{
	struct call_worker *workers = fh_calloc(c->limit, sizeof *workers);
	if (!workers) {
		dispatch_answer(&c->call, FH_ENOMEM);
		return;
	}
	c->ret_last_no = c->after_no;
	for (uint64_t i = c->after_no; i < d->sessions_touched; i++) {
		const struct session *s = &d->sessions[i];
		if (!s->open)
			continue;
		if (c->ret_count == c->limit) {
			c->ret_more = true;
			break;
		}
		describe(d, s, &workers[c->ret_count++]);
		c->ret_last_no = i + 1;
	}
	c->ret_workers = workers;
	dispatch_answer(&c->call, 0);
	fh_free(workers);
}

void workers_call_list(struct dispatch *d, struct call_list_workers *c)
{
	if (fh_id_is_zero(c->id))
		list_all(d, c);
	else
		list_one(d, c);
}

static void obey(struct dispatch *d, struct session *s, bool drain)
{
	uint32_t number = session_number(d, s);
	struct core_event ev = {
		.kind = CORE_EV_SESSION_PAUSED,
		.paused = { .session = number, .why = CORE_PAUSE_ORDERED, .over = !drain }
	};
	struct wire_msg m = { .type = WIRE_DRAIN,
			      .drain = { drain ? WIRE_DRAIN_STAY : WIRE_DRAIN_OVER } };
	if (s->drain_ordered != drain) {
		s->drain_ordered = drain;
		dispatch_log(d, "worker session %u %s", number,
			     drain ? "is to take no more tasks" : "is to take tasks again");
		dispatch_step(d, &ev);
	}
	session_send(d, number, &m);
}

void workers_call_order(struct dispatch *d, struct call_order_worker *c)
{
	struct session *s = find(d, c->id, &c->call);
	struct call_worker worker;
	if (!s) {
		dispatch_answer(&c->call, FH_ENOTFOUND);
		return;
	}
	if (!s->leaves)
		obey(d, s, c->order == CALL_WORKER_DRAIN);
	describe(d, s, &worker);
	c->ret_worker = &worker;
	dispatch_answer(&c->call, 0);
}
