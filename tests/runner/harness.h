/* Runs real Python children under a test: a loop, a runner, and what it told.
 *
 * The functions of the jobs stand in functions.py beside this file and are pickled by reference.
 * Every wait is for a condition, with one deadline for the test; nothing is timed otherwise. */
#ifndef FARHAND_TESTS_RUNNER_HARNESS_H
#define FARHAND_TESTS_RUNNER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>
#include <event2/event.h>

#include "runner/runner.h"

enum {
	HARNESS_SLOTS_MAX = 8,
	HARNESS_JOBS_MAX = 4096,
};

struct told {
	unsigned started, finished, returned;
	unsigned slot;
	uint64_t printed[2];
	struct task_result result;
	bool retry_match;
};

struct harness {
	struct event_base *base;
	struct runner *runner;
	struct runner_config config;
	const char *paths[1];
	char python[512];
	unsigned ready, broken;
	char runtime[16], broken_line[512];
	char modules[65536]; /* with a comma at both ends */
	bool up[HARNESS_SLOTS_MAX];
	unsigned ups[HARNESS_SLOTS_MAX], downs[HARNESS_SLOTS_MAX];
	unsigned running_max; /* jobs that had begun and not finished, in one slot at once */
	unsigned running[HARNESS_SLOTS_MAX];
	struct told jobs[HARNESS_JOBS_MAX]; /* by number */
	unsigned finished, returned;
	void (*on_finished)(struct harness *h, unsigned slot, uint64_t job);
	struct event *deadline, *again;
};

/* A harness that is not started yet: change its config, then harness_start(). */
struct harness *harness_new(unsigned slots);
void harness_start(struct harness *h);
void harness_free(struct harness *h);

/* Runs the loop until the condition holds; the test fails at the deadline. */
#define harness_wait(h, condition)                                         \
	do {                                                               \
		while (!(condition))                                       \
			harness_step((h), #condition, __FILE__, __LINE__); \
	} while (0)
void harness_step(struct harness *h, const char *condition, const char *file, int line);
void harness_wait_ready(struct harness *h); /* all slots */

/* A job of functions.<name> with the pickle of its (args, kwargs). */
struct blob *pickle_args(const char *args); /* protocol 0 opcodes of the elements: "I1\nI2\n" */
struct blob *pickle_reference(const char *module, const char *name);
int harness_run_with(struct harness *h, unsigned slot, uint64_t job, const char *name,
		     struct blob *own_args, const struct runner_job *options) FH_MUST_USE;
/* Runs it, announced, with the given arguments; fails the test if it is refused. */
void harness_run(struct harness *h, unsigned slot, uint64_t job, const char *name,
		 const char *args);
/* The same, and waits for its result. */
const struct task_result *harness_result(struct harness *h, unsigned slot, uint64_t job,
					 const char *name, const char *args);

/* Checks. */
void expect_failed(const struct task_result *r, enum task_reason reason, const char *type,
		   const char *part_of_message);
void expect_int(const struct task_result *r, int value);
long expect_number(const struct task_result *r); /* a str of digits */
void expect_output(const struct blob *b, const char *text);
bool contains(const struct blob *b, const char *text);

/* The number that a job has written to a file; 0: not yet. */
pid_t pid_in_file(const char *path);
/* The letter of /proc/PID/stat; 0: there is no such process. */
char process_state(pid_t pid);
/* Whether it has ended; whose child it was last may not have reaped it yet. */
bool process_ended(pid_t pid);

/* Every test once for each Python of FARHAND_TEST_PYTHONS (separated by ' ' or ':'), or python3. */
int harness_main(const char *name, const struct CMUnitTest *tests, size_t count);

#endif
