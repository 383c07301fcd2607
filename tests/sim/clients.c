/* The life of calls and clients; what they ask is in requests.c and reads.c. */
#include "clients.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "clients_priv.h"
#include "dispatch/dispatch.h"

enum { LATE_US = 2000000 };

struct clients *clients_new(struct world *w)
{
	struct clients *c = fh_calloc(1, sizeof *c);
	FH_ASSERT(c != NULL);
	c->w = w;
	list_init(&c->flights);
	return c;
}

void clients_free(struct clients **cp)
{
	struct clients *c = *cp;
	clients_broken(c);
	for (uint32_t i = 0; i < c->request_count; i++) {
		for (uint32_t k = 0; k < c->requests[i]->count; k++)
			task_options_release(&c->requests[i]->wishes[k].options);
		fh_free(c->requests[i]);
	}
	fh_free(c);
	*cp = NULL;
}

struct fh_id clients_id(struct clients *c)
{
	return fh_id_next(&c->ids, (uint64_t)world_wall_ms(c->w), rng_next(&c->w->rng));
}

struct flight *flight_new(struct clients *c, enum call_kind kind, void (*done)(struct call *call))
{
	struct flight *f = fh_calloc(1, sizeof *f);
	FH_ASSERT(f != NULL);
	f->clients = c;
	f->call.kind = kind;
	f->call.done = done;
	f->call.owner = f;
	f->deadline_us = INT64_MAX;
	list_push_back(&c->flights, &f->link);
	c->flight_count++;
	return f;
}

void flight_launch(struct flight *f)
{
	struct call_sink sink = dispatch_sink(f->clients->w->dispatch);
	f->clients->w->seen.calls++;
	sink.submit(sink.ctx, &f->call);
}

void flight_free(struct flight *f)
{
	list_remove(&f->link);
	f->clients->flight_count--;
	switch (f->call.kind) {
	case CALL_PUT_FUNCTION:
		function_rec_release(&f->put_function.function);
		f->clients->registering = false;
		break;
	case CALL_SUBMIT:
		for (uint32_t i = 0; i < f->submit.count; i++)
			task_rec_release(&f->items[i].task);
		blob_free(&f->submit.idempotency.body);
		f->request->in_flight = false;
		break;
	case CALL_ORDER_WORKER:
		f->clients->ordering = false;
		break;
	case CALL_WAIT:
		if (f->group)
			f->group->following = false;
		break;
	default:
		break;
	}
	fh_free(f);
}

/* Nobody knows what became of these. A request is sent again, if it has a key to be known by. */
void clients_broken(struct clients *c)
{
	while (!list_empty(&c->flights)) {
		struct flight *f = list_entry(c->flights.next, struct flight, link);
		if (f->call.kind == CALL_SUBMIT && !f->again) {
			f->request->settled = !f->request->keyed;
			f->request->send_us = c->w->now_us + 1 + rng_skewed(&c->w->rng, 50000);
		}
		flight_free(f);
	}
	/* The gateway is a new process. */
	c->ids = (struct fh_id_gen){ 0 };
}

static void function_put(struct call *call)
{
	struct flight *f = call->owner;
	struct clients *c = f->clients;
	if (call->ret == 0) {
		uint32_t i = f->put_function.function.digest[0];
		MUST(c->w,
		     fh_id_is_zero(c->functions[i]) ||
			     fh_id_equal(c->functions[i], f->put_function.ret_id),
		     "the same function was registered under two ids");
		c->functions[i] = f->put_function.ret_id;
	}
	flight_free(f);
}

static void register_function(struct clients *c, uint32_t i)
{
	struct flight *f = flight_new(c, CALL_PUT_FUNCTION, function_put);
	char name[] = { 'f', (char)('a' + i), '\0' };
	c->registering = true;
	f->put_function.function = (struct function_rec){
		.id = clients_id(c),
		.digest = { (uint8_t)i },
		.name = fh_strdup(name),
		.payload = blob_copy(name, sizeof name),
		.payload_size = sizeof name,
		.defaults = TASK_OPTIONS_DEFAULT,
		.created_ms = world_wall_ms(c->w),
	};
	f->put_function.function.defaults.retries = function_retries(i);
	flight_launch(f);
}

static bool register_functions(struct clients *c)
{
	for (uint32_t i = 0; i < c->w->knobs.functions; i++)
		if (fh_id_is_zero(c->functions[i])) {
			if (!c->registering)
				register_function(c, i);
			return true;
		}
	if (!c->registering && !c->w->calm && rng_chance(&c->w->rng, 5))
		register_function(c, rng_below(&c->w->rng, c->w->knobs.functions));
	return false;
}

/* A client that waits leaves; or one waits longer than it asked to. */
static void look_at_parked(struct clients *c)
{
	list_for_each_safe (link, &c->flights) {
		struct flight *f = list_entry(link, struct flight, link);
		if (f->deadline_us == INT64_MAX || f->abandoned)
			continue;
		int64_t due_us = f->deadline_us > c->w->calm_us ? f->deadline_us : c->w->calm_us;
		MUST(c->w, !c->w->calm || c->w->now_us < due_us + LATE_US,
		     "a call is not answered %d s after its time", LATE_US / 1000000);
		if (!c->w->calm && rng_chance(&c->w->rng, 2)) {
			struct call_sink sink = dispatch_sink(c->w->dispatch);
			f->abandoned = true;
			sink.abandon(sink.ctx, &f->call); /* may free it */
			return;
		}
	}
}

void clients_act(struct clients *c)
{
	look_at_parked(c);
	if (register_functions(c) || c->flight_count >= c->w->knobs.calls_max)
		return;
	if (orders_act(c) || (rng_chance(&c->w->rng, 500) && requests_act(c)))
		return;
	reads_act(c);
}

int64_t clients_next_us(const struct clients *c)
{
	int64_t next_us = INT64_MAX;
	for (uint32_t i = 0; i < c->request_count; i++) {
		const struct request *r = c->requests[i];
		if (!r->settled && !r->in_flight && r->send_us < next_us)
			next_us = r->send_us;
	}
	return next_us;
}

bool clients_done(const struct clients *c)
{
	for (uint32_t i = 0; i < c->w->knobs.hosts; i++)
		if (c->to_resume[i])
			return false;
	return c->flight_count == 0 && clients_next_us(c) == INT64_MAX;
}

void clients_describe(const struct clients *c)
{
	printf("  %u calls are under way\n", c->flight_count);
	for (uint32_t i = 0; i < c->request_count; i++)
		if (!c->requests[i]->settled)
			printf("  request %u has no answer after %u tries\n", i,
			       c->requests[i]->tries);
}
