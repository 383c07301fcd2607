/* farhand-sim: the whole system in one thread under a seed, against an oracle.
 *
 *   farhand-sim --seed S [--verbose]      one history
 *   farhand-sim --seeds N [--from S]      N histories; one of ten is run twice and compared
 *   ... --plant NAME                      with a planted bug, in a build that has them
 *
 * Exit: 0 nothing found; 1 a violation, its seed on the last line; 2 usage. A failed assertion of
 * the system itself aborts, and its seed is printed, too. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/plant.h"
#include "world.h"

enum { TWICE_EVERY = 10 };

static char abort_line[64];

static void on_abort(int signo)
{
	(void)signo;
	if (write(STDOUT_FILENO, abort_line, strlen(abort_line)) < 0)
		_exit(134);
}

static struct seen seen;

static void print_seen(void)
{
	printf("seen: %" PRIu64 " s, %" PRIu64 " tasks, %" PRIu64 " calls, %" PRIu64
	       " commits, %" PRIu64 " crashes; %" PRIu64 " attempts sent, %" PRIu64
	       " adopted, %" PRIu64 " taken back, %" PRIu64 " lost (%" PRIu64 " alone), %" PRIu64
	       " poison; %" PRIu64 " STALE, %" PRIu64 " fenced; %" PRIu64 " outputs seen, %" PRIu64
	       " of what ran, %" PRIu64 " of what was lost alone\n",
	       seen.seconds, seen.tasks, seen.calls, seen.commits, seen.crashes, seen.attempts,
	       seen.adopted, seen.taken, seen.losses, seen.strikes, seen.poisoned, seen.stale,
	       seen.fenced, seen.outputs, seen.live_outputs, seen.last_words);
}

static uint64_t run(uint64_t seed, bool verbose)
{
	(void)snprintf(abort_line, sizeof abort_line, "seed %" PRIu64 ": assertion failed\n", seed);
	return world_run(seed, verbose, &seen);
}

static int usage(void)
{
	(void)fprintf(stderr, "usage: farhand-sim --seed S [--verbose] | --seeds N [--from S]\n");
	return 2;
}

static int run_some(uint64_t from, uint64_t count)
{
	for (uint64_t seed = from; seed < from + count; seed++) {
		uint64_t hash = run(seed, false);
		if (seed % TWICE_EVERY == 0 && run(seed, false) != hash) {
			printf("seed %" PRIu64 ": two runs differ\n", seed);
			return 1;
		}
	}
	print_seen();
	printf("%" PRIu64 " seeds, nothing found\n", count);
	return 0;
}

/* False: there is no such bug, or none in this build. */
static bool plant(const char *name)
{
#ifdef FH_PLANTS
#define X(bug)                       \
	if (strcmp(name, #bug) == 0) \
		fh_plant = PLANT_##bug;
	PLANTS(X)
#undef X
	return fh_plant != PLANT_NONE;
#else
	(void)name;
	return false;
#endif
}

int main(int argc, char **argv)
{
	uint64_t seed = 0, count = 0, from = 1;
	bool one = false, verbose = false;
	for (int i = 1; i < argc; i++) {
		char *end = NULL;
		if (strcmp(argv[i], "--verbose") == 0) {
			verbose = true;
			continue;
		}
		if (i + 1 == argc)
			return usage();
		if (strcmp(argv[i], "--plant") == 0) {
			if (!plant(argv[++i]))
				return usage();
			continue;
		}
		uint64_t value = strtoull(argv[i + 1], &end, 10);
		if (*end || end == argv[i + 1])
			return usage();
		if (strcmp(argv[i], "--seed") == 0) {
			one = true;
			seed = value;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			count = value;
		} else if (strcmp(argv[i], "--from") == 0) {
			from = value;
		} else {
			return usage();
		}
		i++;
	}
	if (one == (count > 0))
		return usage();
	(void)signal(SIGABRT, on_abort);
	if (!one)
		return run_some(from, count);
	uint64_t hash = run(seed, verbose);
	print_seen();
	printf("seed %" PRIu64 ": nothing found, hash %016" PRIx64 "\n", seed, hash);
	return 0;
}
