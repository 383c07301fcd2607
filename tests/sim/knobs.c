/* The odds of everything. */
#include "knobs.h"

#include "worker/session.h"

#include <stdio.h>

/* Usually nothing, sometimes a little, seldom much. */
static uint32_t rate(struct rng *r, uint32_t much)
{
	uint32_t what = rng_below(r, 10);
	return what < 4 ? 0 : what < 8 ? rng_below(r, much / 4 + 1) : rng_below(r, much + 1);
}

static struct core_limits limits_draw(struct rng *r)
{
	struct core_limits l = CORE_LIMITS_DEFAULT;
	l.window_max = rng_range(r, 4, rng_chance(r, 500) ? 12 : 64);
	l.lane_max = rng_range(r, 2, 16);
	l.lane_bytes_max = rng_chance(r, 300) ? 500 : 100000;
	l.lanes_max = rng_range(r, 1, 2);
	l.sessions_max = rng_range(r, 16, 64);
	l.live_max = rng_chance(r, 500) ? rng_range(r, 8, 40) : 100000;
	l.live_bytes_max = rng_chance(r, 200) ? 4000 : 1000000;
	l.ahead_per_slot = rng_chance(r, 500) ? 32 : rng_range(r, 1, 4);
	l.alone_after = rng_range(r, 1, 3);
	l.strikes_max = rng_range(r, 1, 3);
	l.liveness_us = rng_chance(r, 700) ? 4000000 : rng_chance(r, 500) ? 1500000 : 10000000;
	l.backstop_us = rng_chance(r, 300) ? 10000 : 15000000;
	return l;
}

/* Half of the networks do what real ones promise. */
static struct net_knobs net_draw(struct rng *r, bool slow)
{
	static const uint32_t delays_us[] = { 1, 200, 5000, 50000, 400000 };
	struct net_knobs n = { .delay_us = delays_us[rng_below(r, 5)] };
	bool lossy = rng_chance(r, 500);
	n.lose = lossy ? rate(r, 100) : 0;
	n.repeat = lossy ? rate(r, 100) : 0;
	n.overtake = lossy ? rate(r, 200) : 0;
	n.full = rate(r, 4);
	n.unnoticed = rate(r, 600);
	n.cut = rate(r, slow ? 20 : 6);
	n.link = rate(r, 6);
	n.cut_max_us = rng_chance(r, 700) ? 15000000 : 500000;
	n.shut_max_us = rng_chance(r, 500) ? 6000000 : 200000;
	return n;
}

static void hosts_draw(struct rng *r, struct knobs *k)
{
	uint32_t pull = rng_below(r, 3); /* none, some, all */
	k->hosts = k->local ? 1 : rng_range(r, 1, HOSTS_MAX);
	for (uint32_t i = 0; i < k->hosts; i++) {
		struct host_knobs *h = &k->host[i];
		*h = (struct host_knobs){
			.slots = rng_range(r, 1, HOST_SLOTS_MAX),
			.eager = rng_range(r, 10, 100),
			.pull = !k->local && rng_chance(r, pull * 500),
		};
		h->ahead = k->local  ? SESSION_AHEAD_LOCAL
			   : h->pull ? SESSION_AHEAD_PULL
				     : SESSION_AHEAD_PUSH;
	}
}

/* Tasks that ask for labels: there are more different needs than may be in use at a time. One host
 * has all labels, or some tasks could never run. */
static void needs_draw(struct rng *r, struct knobs *k)
{
	const uint32_t all = (1u << LABELS) - 1;
	uint32_t complete = rng_below(r, k->hosts);
	k->needy = rng_chance(r, 400) ? rng_range(r, 200, 900) : 0;
	if (k->needy)
		k->limits.lanes_max = rng_range(r, 2, 6);
	for (uint32_t i = 0; i < k->hosts; i++)
		k->host[i].labels = i == complete ? all : rng_below(r, all + 1);
}

static void write_labels(uint32_t labels, char text[LABELS_TEXT], const char *first,
			 const char *next)
{
	size_t len = 0;
	*text = '\0';
	for (uint32_t i = 0; i < LABELS; i++)
		if (labels >> i & 1)
			len += (size_t)snprintf(text + len, LABELS_TEXT - len, "%s%c=1",
						len ? next : first, (char)('a' + i));
}

void labels_said(uint32_t labels, char text[LABELS_TEXT])
{
	write_labels(labels, text, "", ",");
}

void labels_needed(uint32_t labels, char text[LABELS_TEXT])
{
	write_labels(labels, text, "label=", ";label=");
}

uint32_t labels_of(const char *said)
{
	uint32_t labels = 0;
	for (; said && *said; said++)
		if (*said >= 'a' && *said < 'a' + LABELS)
			labels |= 1u << (*said - 'a');
	return labels;
}

struct knobs knobs_draw(struct rng *r)
{
	struct knobs k = { .limits = limits_draw(r) };
	k.cache_bytes = rng_chance(r, 500) ? 200 : 0;
	k.call_functions = rng_chance(r, 300) ? rng_range(r, 1, 4) : 0;
	k.local = rng_chance(r, 350);
	k.pace_us = k.local || rng_chance(r, 300) ? 500 : rng_chance(r, 500) ? 10000 : 100000;
	hosts_draw(r, &k);
	if (!k.local)
		k.net = net_draw(r, k.pace_us > 500);

	k.submissions = rng_range(r, 10, 100);
	k.spread = rng_chance(r, k.local ? 300 : 700);
	k.batch_max = rng_chance(r, 300) ? 24 : rng_range(r, 1, 8);
	k.calls_max = rng_range(r, 2, 12);
	k.functions = rng_chance(r, 700) ? 3 : rng_range(r, 1, FUNCTIONS);
	k.trouble = rate(r, 600);
	k.run_max_us = rng_chance(r, 300) ? 300 : rng_chance(r, 500) ? 20000 : 300000;
	if (k.pace_us > 500 && rng_chance(r, 500))
		k.run_max_us = rng_chance(r, 500) ? 5000000 : 20000000;
	if (k.run_max_us > 1000000) { /* what takes long must be little */
		k.submissions = rng_range(r, 10, 40);
		k.batch_max = rng_range(r, 1, 3);
	}
	k.delayed = rate(r, 500);
	k.expiring = rate(r, 300);
	k.retried = rng_chance(r, 500) ? 700 : rate(r, 500);
	k.once = rate(r, 300);
	k.limited = rate(r, 500);
	k.urgent = rate(r, 600);
	k.keyed = rng_chance(r, 500) ? 1000 : 600;

	k.doomed = rate(r, k.local ? 60 : 150);

	k.poison = k.local ? 0 : rate(r, 40);

	k.crash = rate(r, k.pace_us > 500 ? 4 : 12);
	k.stop = rate(r, k.pace_us > 500 ? 2 : 5);
	k.host_crash = k.local ? 0 : rate(r, 6);
	k.host_hang = k.local ? 0 : rate(r, 4);
	k.host_drain = k.local ? 0 : rate(r, 6);
	k.orders = rate(r, 100);
	k.lie = k.local || rng_chance(r, 700) ? 0 : rate(r, 30);
	k.forge = rate(r, 60);
	k.stall = rate(r, 20);
	k.pause = rate(r, k.pace_us > 500 ? 2 : 5);
	k.wall_jump = rate(r, 5);
	k.deaf = rng_chance(r, 300) ? rate(r, 40) : 0;
	/* A start believes the wall clock; what is old by it may then be deleted. */
	k.far = k.crash == 0 && k.stop == 0 && rng_chance(r, 500);
	k.starved = rate(r, 300);

	k.commit_eager = rng_range(r, 5, 100);
	k.run_eager = rng_range(r, 20, 100);
	k.client_eager = rng_range(r, 5, 60);
	k.turns = rng_range(r, 500, 6000);
	needs_draw(r, &k);
	return k;
}

void knobs_print(const struct knobs *k)
{
	printf("window %u, lane %u (%llu bytes), live %llu (%llu bytes), ahead %u, alone after %u, "
	       "strikes %u, "
	       "silence %lld us\n",
	       k->limits.window_max, k->limits.lane_max,
	       (unsigned long long)k->limits.lane_bytes_max, (unsigned long long)k->limits.live_max,
	       (unsigned long long)k->limits.live_bytes_max, k->limits.ahead_per_slot,
	       k->limits.alone_after, k->limits.strikes_max, (long long)k->limits.liveness_us);
	printf("%u submissions%s of up to %u, %u calls at once with %u functions (%u held), runs "
	       "up "
	       "to %u us\n",
	       k->submissions, k->spread ? ", spread," : "", k->batch_max, k->calls_max,
	       k->functions, k->call_functions, k->run_max_us);
	for (uint32_t i = 0; i < k->hosts; i++)
		printf("host %u: %s, %u slots, eager %u, labels %x\n", i,
		       k->local		 ? "local"
		       : k->host[i].pull ? "pull"
					 : "push",
		       k->host[i].slots, k->host[i].eager, k->host[i].labels);
	printf("network: delay %u us, lose %u, repeat %u, overtake %u, full %u, unnoticed %u, cut "
	       "%u (%u us), link %u, shut %u us\n",
	       k->net.delay_us, k->net.lose, k->net.repeat, k->net.overtake, k->net.full,
	       k->net.unnoticed, k->net.cut, k->net.cut_max_us, k->net.link, k->net.shut_max_us);
	printf("in a thousand: trouble %u, delayed %u, expiring %u, retried %u, once %u, limited "
	       "%u, "
	       "urgent %u, keyed %u, doomed %u, poison %u\n",
	       k->trouble, k->delayed, k->expiring, k->retried, k->once, k->limited, k->urgent,
	       k->keyed, k->doomed, k->poison);
	printf("needy %u of a thousand, %u lanes\n", k->needy, k->limits.lanes_max);
	printf("faults: crash %u, stop %u, host %u, hang %u, drain %u, lie %u, forge %u, stall %u, "
	       "pause %u, deaf %u, wall "
	       "%u%s, starved %u, orders %u; eager: commit %u, run %u, client %u; %u turns of up "
	       "to %u us\n",
	       k->crash, k->stop, k->host_crash, k->host_hang, k->host_drain, k->lie, k->forge,
	       k->stall, k->pause, k->deaf, k->wall_jump, k->far ? " (far)" : "", k->starved,
	       k->orders, k->commit_eager, k->run_eager, k->client_eager, k->turns, k->pace_us);
}
