/* The world's turns: who does the next piece, when time passes, what goes wrong.
 *
 * A seed has two phases. In the first, load and faults: each turn a part that has something to do
 * may do some of it, in random order and portions, or time passes, or something breaks. In the
 * second, calm: no new load, no faults; everything that was accepted must end within a bound, and
 * at rest nothing may be missing or left over. */
#include "world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "clients.h"
#include "dispatch/dispatch.h"
#include "faults.h"
#include "host.h"
#include "hub.h"
#include "oracle.h"
#include "tap.h"

enum {
	/* From the calm on: far more than the longest delay, backoff and backstop of a task, times
	 * its attempts. */
	CALM_MAX_S = 2000,
	CALM_TURNS_MAX = 400000,
	/* A host that was given up when the calm came may have to wait for two answers, and for
	 * what it runs. */
	HOSTS_REST_S = 600,
};

static const int64_t wall_start_us = INT64_C(1700000000) * 1000000;

int64_t world_wall_ms(const struct world *w)
{
	return (w->now_us + w->wall_offset_us) / 1000;
}

int64_t world_wall_most_ms(const struct world *w)
{
	return (w->now_us + w->wall_most_us) / 1000;
}

int64_t world_wall_least_ms(const struct world *w)
{
	return (w->now_us + w->wall_least_us) / 1000;
}

void world_note(struct world *w, const char *fmt, ...)
{
	if (!w->verbose)
		return;
	va_list ap;
	va_start(ap, fmt);
	printf("%8" PRIu64 " %10" PRId64 " us  ", w->turn, w->now_us);
	(void)vprintf(fmt, ap);
	(void)putchar('\n');
	va_end(ap);
}

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	printf("seed %" PRIu64 ", turn %" PRIu64 ", %" PRId64 " us, life %u: ", w->seed, w->turn,
	       w->now_us, w->life);
	(void)vprintf(fmt, ap);
	(void)putchar('\n');
	va_end(ap);
	(void)fflush(stdout);
	exit(1);
}

/* ---- the dispatcher's surroundings ---- */

static int64_t env_now_us(void *env)
{
	return ((struct world *)env)->now_us;
}

static int64_t env_wall_ms(void *env)
{
	return world_wall_ms(env);
}

static uint64_t env_random(void *env)
{
	return rng_next(&((struct world *)env)->rng);
}

static void env_wake(void *env)
{
	((struct world *)env)->woken = true;
}

static void env_log(void *env, const char *line)
{
	world_note(env, "dispatcher: %s", line);
}

static void start_dispatcher(struct world *w, const struct store_recovery *recovery)
{
	struct dispatch_config config = {
		.limits = w->knobs.limits,
		.store = tap_store(w->tap),
		.recovery = recovery,
		.local = w->knobs.local ? hub_transport(w->hub) : NULL,
		.remote = w->knobs.local ? NULL : hub_transport(w->hub),
		.cache_bytes = w->knobs.cache_bytes,
		.call_functions_max = w->knobs.call_functions,
		.env = w,
		.now_us = env_now_us,
		.wall_ms = env_wall_ms,
		.random = env_random,
		.wake = env_wake,
		.log = env_log,
	};
	w->life++;
	w->woken = true;
	oracle_start(w->oracle, recovery);
	int ret = dispatch_new(&config, &w->dispatch);
	FH_ASSERT_CMP(ret, ==, 0);
}

/* The process ends here and now, and another one starts. */
void world_crash(struct world *w)
{
	struct store_recovery recovery;
	w->seen.crashes++;
	world_note(w, "crash, %zu calls are not committed", tap_waiting(w->tap));
	tap_restart(w->tap, &recovery);
	w->crashing = true;
	int64_t shut_us =
		w->knobs.local || w->calm ? 0 : rng_skewed(&w->rng, w->knobs.net.shut_max_us);
	hub_break_all(w->hub, w->now_us + shut_us);
	dispatch_free(&w->dispatch);
	clients_broken(w->clients);
	oracle_crashed(w->oracle);
	w->crashing = false;
	w->stopping = false;
	for (uint32_t i = 0; i < w->knobs.hosts && w->knobs.local; i++)
		host_free(&w->hosts[i]);
	oracle_audit(w->oracle);
	start_dispatcher(w, &recovery);
	store_recovery_release(&recovery);
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		if (!w->hosts[i])
			w->hosts[i] = host_new(w, i);
}

void world_replace_host(struct world *w, uint32_t i)
{
	host_free(&w->hosts[i]);
	w->hosts[i] = host_new(w, i);
}

static void run_dispatcher(struct world *w)
{
	w->woken = false;
	int ret = dispatch_run(w->dispatch);
	MUST(w, ret == 0, "the dispatcher stops");
	oracle_ran(w->oracle);
	dispatch_check(w->dispatch);
}

/* ---- turns ---- */

static bool eager(struct world *w, uint32_t of_hundred)
{
	return w->calm || rng_below(&w->rng, 100) < of_hundred;
}

static bool commit(struct world *w)
{
	size_t waiting = tap_waiting(w->tap);
	if (waiting == 0 || (w->stalled_until_us > w->now_us && !w->calm))
		return false;
	uint32_t some = rng_range(&w->rng, 1, waiting < 1000 ? (uint32_t)waiting : 1000);
	tap_commit(w->tap, rng_chance(&w->rng, 500) ? waiting : some);
	w->woken = true;
	return true;
}

static bool dispatcher_due(const struct world *w)
{
	return w->woken || dispatch_next_us(w->dispatch) <= w->now_us;
}

/* True if anybody did something. */
static bool anybody(struct world *w)
{
	bool did = false;
	if (eager(w, w->knobs.commit_eager))
		did |= commit(w);
	if (dispatcher_due(w) && eager(w, w->knobs.run_eager)) {
		run_dispatcher(w);
		did = true;
	}
	hub_flow(w->hub);
	for (uint32_t i = 0; i < w->knobs.hosts; i++) {
		bool ended = host_has_drained(w->hosts[i]) && !w->stopping;
		if (ended || host_is_dead(w->hosts[i]))
			world_replace_host(w, i);
		if (eager(w, w->knobs.host[i].eager))
			did |= host_run(w->hosts[i]);
	}
	return did;
}

static int64_t next_us(const struct world *w)
{
	int64_t at = dispatcher_due(w) ? w->now_us : dispatch_next_us(w->dispatch);
	int64_t clients = clients_next_us(w->clients);
	at = clients < at ? clients : at;
	if (tap_waiting(w->tap) > 0 && w->stalled_until_us < at)
		at = w->stalled_until_us;
	int64_t hub = hub_next_us(w->hub);
	at = hub < at ? hub : at;
	for (uint32_t i = 0; i < w->knobs.hosts; i++) {
		int64_t host = host_next_us(w->hosts[i]);
		at = host < at ? host : at;
	}
	return at;
}

static void pass_time(struct world *w)
{
	int64_t at = next_us(w);
	if (rng_chance(&w->rng, 700))
		w->now_us += rng_skewed(&w->rng, w->calm ? 500 : w->knobs.pace_us);
	else if (at != INT64_MAX && at > w->now_us)
		w->now_us = at + rng_skewed(&w->rng, 2000);
}

static void mix(struct world *w)
{
	uint64_t hash = dispatch_hash(w->dispatch) ^ w->rng.state;
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		hash = hash * 31 + host_hash(w->hosts[i]);
	w->hash = (w->hash ^ hash) * UINT64_C(0x9E3779B97F4A7C15);
}

static void turn(struct world *w)
{
	w->turn++;
	if (rng_below(&w->rng, 100) < w->knobs.client_eager)
		clients_act(w->clients);
	if (!anybody(w) || rng_chance(&w->rng, 300))
		pass_time(w);
	if (!w->calm)
		faults_draw(w);
	if (w->turn % 64 == 0)
		mix(w);
	if (w->turn % 256 == 0 && w->calm)
		oracle_check_prompt(w->oracle);
}

/* Everything heals, the wall clock shows the latest that it has shown, so that what waits for a
 * time is not kept waiting by a jump. */
static void become_calm(struct world *w)
{
	if (w->stopping)
		world_crash(w);
	w->calm = true;
	hub_heal(w->hub);
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		if (host_is_liar(w->hosts[i]))
			world_replace_host(w, i);
	clients_resume_workers(w->clients);
	w->calm_us = w->now_us;
	w->wall_offset_us = w->wall_most_us;
	w->knobs.client_eager = 100;
	w->knobs.calls_max = 64;
	world_note(w, "calm");
}

static bool at_rest(const struct world *w)
{
	return oracle_all_final(w->oracle) && clients_done(w->clients);
}

static bool hosts_at_rest(const struct world *w)
{
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		if (!host_is_at_rest(w->hosts[i]))
			return false;
	return true;
}

static void come_to_rest(struct world *w)
{
	int64_t from_us = w->now_us;
	uint64_t from_turn = w->turn;
	while (!at_rest(w)) {
		turn(w);
		if (w->now_us - from_us < CALM_MAX_S * INT64_C(1000000) &&
		    w->turn - from_turn < CALM_TURNS_MAX)
			continue;
		clients_describe(w->clients);
		oracle_describe(w->oracle);
		world_fail(w, "no rest after %u s and %u turns",
			   (unsigned)((w->now_us - from_us) / 1000000),
			   (unsigned)(w->turn - from_turn));
	}
	/* The last acknowledgements and children; two heartbeats make credit whole, a lost HELLO
	 * costs five seconds. What the dispatcher does once a minute may delete nothing because of
	 * the wall clock alone. */
	int64_t until_us = w->now_us + (w->knobs.far ? 130 : 3) * INT64_C(1000000);
	int64_t at_last_us = w->now_us + HOSTS_REST_S * INT64_C(1000000);
	while (w->now_us < until_us || (w->now_us < at_last_us && !hosts_at_rest(w)))
		turn(w);
}

static void check_rest(struct world *w)
{
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		host_check_rest(w->hosts[i]);
	while (tap_waiting(w->tap) > 0 || w->woken) {
		(void)commit(w);
		run_dispatcher(w);
	}
	MUST(w, dispatch_idle(w->dispatch), "the dispatcher is not idle at rest");
	oracle_check_end(w->oracle);
}

static void seen_add(struct seen *sum, const struct seen *more)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)more;
	for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
		to[i] += from[i];
}

uint64_t world_run(uint64_t seed, bool verbose, struct seen *seen)
{
	struct world world = { .seed = seed, .verbose = verbose }, *w = &world;
	struct store_recovery recovery;
	w->rng.state = seed * UINT64_C(0xD1342543DE82EF95) + 1;
	w->knobs = knobs_draw(&w->rng);
	w->now_us = 1000000;
	w->wall_offset_us = w->wall_most_us = w->wall_least_us = wall_start_us;
	if (verbose)
		knobs_print(&w->knobs);
	w->oracle = oracle_new(w);
	w->tap = tap_new(w, &recovery);
	w->hub = hub_new(w);
	w->clients = clients_new(w);
	start_dispatcher(w, &recovery);
	store_recovery_release(&recovery);
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		w->hosts[i] = host_new(w, i);
	while (w->turn < w->knobs.turns)
		turn(w);
	become_calm(w);
	come_to_rest(w);
	check_rest(w);
	mix(w);
	w->seen.seconds = (uint64_t)w->now_us / 1000000;
	w->seen.tasks = oracle_count(w->oracle);
	seen_add(seen, &w->seen);
	w->crashing = true;
	for (uint32_t i = 0; i < w->knobs.hosts; i++)
		host_free(&w->hosts[i]);
	hub_break_all(w->hub, 0);
	tap_free(&w->tap);
	dispatch_free(&w->dispatch);
	clients_free(&w->clients);
	hub_free(&w->hub);
	oracle_free(&w->oracle);
	return w->hash;
}
