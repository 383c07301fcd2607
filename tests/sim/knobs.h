/* What differs from seed to seed: limits, loads, and how often what goes wrong. Small limits and
 * extreme ratios are drawn on purpose: bugs live where something is full or empty. */
#ifndef FARHAND_SIM_KNOBS_H
#define FARHAND_SIM_KNOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"
#include "rng.h"

enum { HOSTS_MAX = 4, HOST_SLOTS_MAX = 4, FUNCTIONS = 24, LABELS = 3 };

/* Of a thousand, unless it is said otherwise. */
struct net_knobs {
	uint32_t delay_us;		  /* at most, of a message that overtakes no other */
	uint32_t lose, repeat, overtake;  /* of messages: no real transport does it */
	uint32_t full;			  /* of messages: their queue takes no more */
	uint32_t unnoticed;		  /* of ends that were given up */
	uint32_t cut, link;		  /* of turns: one way is down; a link breaks */
	uint32_t cut_max_us, shut_max_us; /* for how long; after a crash of the dispatcher */
};

struct host_knobs {
	uint32_t slots, eager;
	bool pull;
	uint32_t ahead;	 /* of session_config */
	uint32_t labels; /* that it has, a bit each */
};

struct knobs {
	struct core_limits limits;
	uint32_t cache_bytes;
	uint32_t call_functions; /* that calls may hold at once */
	bool local;		 /* one host, in the dispatcher's process: it dies with it */
	uint32_t hosts;
	struct host_knobs host[HOSTS_MAX];
	struct net_knobs net;

	/* Load */
	uint32_t submissions; /* in all */
	bool spread;	      /* over all turns; else as fast as clients can */
	uint32_t batch_max, calls_max;
	uint32_t functions; /* different ones, at most FUNCTIONS */
	uint32_t trouble;   /* of a thousand attempts */
	uint32_t run_max_us;
	uint32_t delayed, expiring, retried, once, limited, urgent, keyed, doomed, poison,
		needy; /* of a thousand tasks */

	/* Faults, of a thousand turns of the world */
	uint32_t crash, stop, host_crash, host_hang, host_drain, forge, lie, stall, pause,
		wall_jump;
	uint32_t deaf;	  /* of a thousand jobs that are the next of their child */
	bool far;	  /* the wall clock jumps by years */
	uint32_t orders;  /* of a thousand calls: to workers, to drain and to resume */
	uint32_t starved; /* of a thousand calls that can be told that there is no memory */
	/* How eager each part is to do its next piece, 1..100 */
	uint32_t commit_eager, run_eager, client_eager;
	uint32_t turns;	  /* of the phase with faults */
	uint32_t pace_us; /* time that passes in a turn, at most */
};

struct knobs knobs_draw(struct rng *r);
/* A set of labels, a bit each, as a worker says them and as a task asks for them; and back. */
enum { LABELS_TEXT = 32 };
void labels_said(uint32_t labels, char text[LABELS_TEXT]);
void labels_needed(uint32_t labels, char text[LABELS_TEXT]);
uint32_t labels_of(const char *said);

void knobs_print(const struct knobs *k);

#endif
