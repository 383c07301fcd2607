/* What goes wrong in a turn: crashes, orderly stops, hosts that die, links that break, messages
 * that lie, a store that stalls, pauses of the whole process, jumps of the wall clock. */
#include "faults.h"

#include "dispatch/dispatch.h"
#include "host.h"
#include "hub.h"
#include "oracle.h"
#include "script.h"
#include "world.h"

/* An old or foreign token: never one that this host holds now. */
static void forge(struct world *w)
{
	struct wire_ref ref;
	uint64_t number;
	bool current;
	struct host *h = w->hosts[rng_below(&w->rng, w->knobs.hosts)];
	if (!host_peer(h) || !oracle_any_token(w->oracle, &ref, &number, &current))
		return;
	if (host_holds(h, &ref) || (current && number == host_number(h)))
		return;
	struct wire_msg m = { .type = WIRE_STARTED, .ref = ref };
	if (rng_chance(&w->rng, 300))
		m = (struct wire_msg){ .type = WIRE_LOG,
				       .log = { .task = ref.task,
						.token = ref.token,
						.data = script_value_blob(rng_next(&w->rng)) } };
	else if (rng_chance(&w->rng, 800)) {
		m = (struct wire_msg){ .type = WIRE_RESULT };
		m.result.task = ref.task;
		m.result.token = ref.token;
		m.result.result.state = TASK_COMPLETED;
		m.result.result.value = script_value_blob(rng_next(&w->rng));
	}
	host_transmit(h, &m);
}

static void jump_wall(struct world *w)
{
	int64_t unit_us = w->knobs.far && rng_chance(&w->rng, 300) ? 3600 * INT64_C(1000000) : 1000;
	w->wall_offset_us += ((int64_t)rng_below(&w->rng, 20001) - 10000) * unit_us;
	if (w->wall_offset_us > w->wall_most_us)
		w->wall_most_us = w->wall_offset_us;
	if (w->wall_offset_us < w->wall_least_us)
		w->wall_least_us = w->wall_offset_us;
	w->woken = true;
	world_note(w, "the wall clock jumps");
}

static bool fault(struct world *w, uint32_t in_thousand)
{
	return rng_chance(&w->rng, in_thousand);
}

/* An orderly stop is over: nothing was lost in it, or its patience has run out. */
static bool has_stopped(struct world *w)
{
	if (!w->stopping)
		return false;
	bool idle = dispatch_idle(w->dispatch);
	/* Of several workers one may have been lost at the very moment. */
	if (idle && w->knobs.local)
		oracle_check_stopped(w->oracle);
	return idle || fault(w, 10);
}

static bool somebody_is_away(const struct world *w)
{
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		if (!host_peer(w->hosts[i]) || host_is_hung(w->hosts[i]))
			return true;
	return false;
}

void faults_draw(struct world *w)
{
	const struct knobs *k = &w->knobs;
	uint32_t i = rng_below(&w->rng, k->hosts);
	/* Who is away at a crash comes back to a dispatcher that does not know him. */
	uint32_t crash = somebody_is_away(w) ? 4 * k->crash : k->crash;
	if (fault(w, crash) || has_stopped(w))
		world_crash(w);
	if (fault(w, k->stop) && !w->stopping) {
		world_note(w, "an orderly stop");
		w->stopping = true;
		dispatch_drain(w->dispatch);
	}
	if (fault(w, k->host_crash)) {
		world_note(w, "host %u dies", i);
		world_replace_host(w, i);
	}
	if (fault(w, k->host_hang)) {
		bool whole = fault(w, 500);
		world_note(w, "host %u hangs%s", i, whole ? ", all of its machine" : "");
		host_hang(w->hosts[i], rng_skewed(&w->rng, 15000000), whole);
	}
	if (fault(w, k->host_drain)) {
		world_note(w, "host %u is to end", i);
		host_drain(w->hosts[i]);
	}
	if (fault(w, k->lie))
		host_lie(w->hosts[i]);
	if (fault(w, k->net.link) && fault(w, 500))
		host_cut(w->hosts[i]);
	else if (fault(w, k->net.link))
		hub_break(w->hub, i);
	if (fault(w, k->net.cut)) {
		enum hub_way way = fault(w, 500) ? HUB_UP : HUB_DOWN;
		world_note(w, "nothing passes %s host %u", way == HUB_UP ? "from" : "to", i);
		hub_cut(w->hub, i, way, w->now_us + rng_skewed(&w->rng, k->net.cut_max_us));
	}
	if (fault(w, k->forge))
		forge(w);
	if (fault(w, k->stall))
		w->stalled_until_us = w->now_us + rng_skewed(&w->rng, 500000);
	if (fault(w, k->pause))
		w->now_us += rng_skewed(&w->rng, 10000000);
	/* Nobody sees a clock that is set twice between two looks at it. */
	if (fault(w, k->wall_jump) && !w->woken)
		jump_wall(w);
}
