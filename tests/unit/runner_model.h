/* A runner (src/runner/runner.h) without processes: linked in its place, its slots do what a test
 * says, or answer every job at once. */
#ifndef FARHAND_TESTS_RUNNER_MODEL_H
#define FARHAND_TESTS_RUNNER_MODEL_H

#include "runner/runner.h"

/* The one that was made last; NULL: none lives. */
struct runner *runner_model(void);

/* Callbacks, now. */
void runner_model_ready(struct runner *r); /* the template, then every slot */
void runner_model_broken(struct runner *r, const char *why);
void runner_model_slot(struct runner *r, unsigned slot, bool up);
void runner_model_started(struct runner *r, unsigned slot);
/* The first job of the slot has printed so many letters of the alphabet. */
void runner_model_printed(struct runner *r, unsigned slot, uint64_t out, uint64_t err);
void runner_model_finish(struct runner *r, unsigned slot, struct task_result *own_result,
			 bool retry_match);		   /* the first job of the slot */
void runner_model_return(struct runner *r, unsigned slot); /* the last job of the slot */

/* From now on run() says this (0, or FH_E* without taking the job). */
void runner_model_answer(struct runner *r, int answer);

/* From now on every job is answered from the loop, with a result that shares `value`. */
void runner_model_echo(struct runner *r, struct blob *value);

unsigned runner_model_len(const struct runner *r, unsigned slot); /* jobs it holds */
const struct runner_job *runner_model_job(const struct runner *r, unsigned slot, unsigned at);
/* How often steal() was called, and the reason of the last kill(). */
unsigned runner_model_steals(const struct runner *r);
enum task_reason runner_model_killed(const struct runner *r);

#endif
