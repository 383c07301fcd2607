/* The simulated world: one thread, one virtual clock, one stream of chance. In it live the real
 * dispatcher over the real core, the real memory store with commits by hand, the real in-process
 * transport and the real worker sessions; models of runners; clients; faults; and the oracle, which
 * watches at three boundaries: what clients are told, what the store commits, what workers are
 * sent. */
#ifndef FARHAND_SIM_WORLD_H
#define FARHAND_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "knobs.h"
#include "rng.h"
#include "store/store.h"

struct dispatch;
struct oracle;
struct tap;
struct hub;
struct host;
struct clients;

/* How much of what was to be seen. */
struct seen {
	uint64_t seconds; /* of virtual time */
	uint64_t tasks, calls, commits, crashes;
	uint64_t attempts, adopted, losses, strikes, poisoned, taken, stale, fenced;
	uint64_t outputs, live_outputs, last_words; /* that clients saw; of those that run; of lost
						       ones */
};

struct world {
	uint64_t seed;
	bool verbose;
	struct rng rng;
	struct knobs knobs;
	int64_t now_us;			     /* monotonic */
	int64_t wall_offset_us;		     /* wall = monotonic + offset */
	int64_t wall_most_us, wall_least_us; /* the largest and smallest offset ever */
	uint64_t turn, hash;
	uint32_t life;	 /* of the dispatcher: 1 is the first */
	bool calm;	 /* no more faults, no more load */
	int64_t calm_us; /* since when */
	bool stopping;	 /* the dispatcher drains, and ends when it is idle or out of patience */
	bool crashing;	 /* the calls that come back now come from a broken connection */
	bool woken;	 /* the dispatcher has work */
	int64_t stalled_until_us; /* the store commits nothing before */
	struct tap *tap;
	struct dispatch *dispatch;
	uint64_t hosts_made;
	struct hub *hub;
	struct host *hosts[HOSTS_MAX];
	struct clients *clients;
	struct oracle *oracle;
	struct seen seen;
};

/* Runs one seed to its end, adds to `seen`; returns the hash of its history. A violation prints the
 * seed and what was violated, and ends the process with 1. */
uint64_t world_run(uint64_t seed, bool verbose, struct seen *seen);

/* The dispatcher's process ends here and now, and another one starts. */
void world_crash(struct world *w);

/* Another host instead of this one. */
void world_replace_host(struct world *w, uint32_t i);

/* Wall clock, Unix milliseconds; the latest and the earliest that it can be taken to show. */
int64_t world_wall_ms(const struct world *w);
int64_t world_wall_most_ms(const struct world *w);
int64_t world_wall_least_ms(const struct world *w);

_Noreturn void world_fail(struct world *w, const char *fmt, ...) FH_PRINTF(2, 3);
void world_note(struct world *w, const char *fmt, ...) FH_PRINTF(2, 3); /* with --verbose */

/* What must hold, in words that the reader of a failure understands. */
#define MUST(w, cond, ...)                          \
	do {                                        \
		if (!(cond))                        \
			world_fail(w, __VA_ARGS__); \
	} while (0)

#endif
