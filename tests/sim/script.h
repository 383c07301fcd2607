/* What a simulated task does when it runs: its payload says so, attempt by attempt, so that the
 * runner's model can act it and the oracle can tell what any attempt must have given. */
#ifndef FARHAND_SIM_SCRIPT_H
#define FARHAND_SIM_SCRIPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/id.h"
#include "base/record.h"
#include "rng.h"
#include "wire/msg.h"

enum act {
	ACT_OK,
	ACT_EXCEPTION,
	ACT_MATCHED, /* an exception of one of the task's retry classes */
	ACT_CRASH,
	ACT_MEMORY,
	ACT_HANG, /* runs until it is ended */
	ACT_UNSERIALISABLE,
	ACT_KILL, /* takes its whole host with it */
	ACT_COUNT,
};

enum { SCRIPT_ATTEMPTS = 4 };

struct script {
	uint64_t salt;
	uint32_t run_us[SCRIPT_ATTEMPTS];
	uint8_t acts[SCRIPT_ATTEMPTS]; /* enum act; the last one for all that follow, if it ends */
};

/* `trouble`: of a thousand attempts, how many do not go well. */
struct script script_draw(struct rng *r, uint32_t trouble, bool may_hang, uint32_t run_max_us);

/* Kills its host in every attempt, or in the first one only. */
void script_make_poison(struct script *s, bool always);

/* Hangs in every attempt. */
struct script script_hang(struct rng *r);

enum act script_act(const struct script *s, uint32_t attempt);
uint32_t script_run_us(const struct script *s, uint32_t attempt);

/* How an attempt that does this ends; HANG: as TIMEOUT, if nobody ends it before. */
enum task_state script_state(enum act act);
enum task_reason script_reason(enum act act);

/* What the attempt gives: in its result's value. */
uint64_t script_value(const struct script *s, struct fh_id task, struct task_token token);

/* What it prints to stdout and to stderr: so many bytes. */
enum { OUTPUT_MAX = 16 };
uint32_t script_output(const struct script *s, struct fh_id task, struct task_token token,
		       unsigned stream, uint8_t ret_bytes[OUTPUT_MAX]);

/* The bytes `from` to `to` of it; NULL: none. */
struct blob *script_output_blob(const struct script *s, struct fh_id task, struct task_token token,
				unsigned stream, uint64_t from, uint64_t to);

/* Whether they are how it begins. */
bool script_output_begins(const struct script *s, struct fh_id task, struct task_token token,
			  unsigned stream, const struct blob *bytes);

struct blob *script_payload(const struct script *s, uint32_t bytes);
struct script script_of(const struct blob *payload);

struct blob *script_value_blob(uint64_t value);
uint64_t script_value_of(const struct blob *value); /* 0: none */

#endif
