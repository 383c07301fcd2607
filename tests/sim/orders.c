/* Operators: workers are ordered to take no more tasks, and to take them again. */
#include "base/assert.h"
#include "clients_priv.h"
#include "host.h"

enum { SETTLED_US = 1000000 };

static void ordered(struct call *call)
{
	struct flight *f = call->owner;
	struct clients *c = f->clients;
	bool drain = f->order.order == CALL_WORKER_DRAIN;
	if (c->w->crashing)
		return;
	MUST(c->w, call->ret == 0 || call->ret == FH_ENOTFOUND || call->ret == FH_ECLOSED,
	     "an order ends with %s (%s)", fh_error_name(call->ret), call->err.text);
	if (call->ret == 0) {
		bool draining = f->order.ret_worker->state == CALL_WORKER_DRAINING;
		MUST(c->w, draining || !drain || f->order.ret_worker->state == CALL_WORKER_LOST,
		     "a worker is shown in another state than the one that was ordered");
		oracle_ordered(c->w->oracle, f->number, drain);
		if (!drain && f->number == host_number(c->w->hosts[f->host]))
			c->to_resume[f->host] = false;
	}
	flight_free(f);
}

static void order(struct clients *c, uint32_t host, bool drain)
{
	struct flight *f = flight_new(c, CALL_ORDER_WORKER, ordered);
	f->host = host;
	c->ordering = true;
	f->number = host_number(c->w->hosts[host]);
	f->order.id = host_instance(c->w->hosts[host]);
	f->order.order = drain ? CALL_WORKER_DRAIN : CALL_WORKER_RESUME;
	if (!drain)
		oracle_ordered(c->w->oracle, f->number, false);
	flight_launch(f);
}

void clients_resume_workers(struct clients *c)
{
	for (uint32_t i = 0; i < c->w->knobs.hosts; i++)
		c->to_resume[i] = c->w->knobs.orders > 0 && !c->w->knobs.local;
}

bool orders_act(struct clients *c)
{
	struct world *w = c->w;
	uint32_t i = rng_below(&w->rng, w->knobs.hosts);
	if (c->ordering)
		return false;
	/* Not before what was said earlier has come: an order that others overtake is the last. */
	bool settled = w->calm && w->now_us > w->calm_us + SETTLED_US;
	if (settled && c->to_resume[i] && rng_chance(&w->rng, 50))
		order(c, i, false);
	else if (!w->calm && rng_chance(&w->rng, w->knobs.orders) && !w->knobs.local)
		order(c, i, rng_chance(&w->rng, 400));
	else
		return false;
	return true;
}
