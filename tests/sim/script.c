/* Scripts travel as payloads, values as results, byte by byte: whoever mixes two tasks up shows. */
#include "script.h"

#include <string.h>

#include "base/assert.h"

struct script script_draw(struct rng *r, uint32_t trouble, bool may_hang, uint32_t run_max_us)
{
	static const enum act bad[] = { ACT_EXCEPTION, ACT_MATCHED, ACT_CRASH,
					ACT_MEMORY,    ACT_HANG,    ACT_UNSERIALISABLE };
	struct script s = { .salt = rng_next(r) };
	for (int i = 0; i < SCRIPT_ATTEMPTS; i++) {
		s.run_us[i] = 1 + rng_skewed(r, run_max_us);
		if (!rng_chance(r, trouble))
			continue;
		s.acts[i] = (uint8_t)bad[rng_below(r, sizeof bad / sizeof *bad)];
		if (s.acts[i] == ACT_HANG && !may_hang)
			s.acts[i] = ACT_EXCEPTION;
	}
	return s;
}

void script_make_poison(struct script *s, bool always)
{
	for (int i = 0; i < (always ? SCRIPT_ATTEMPTS : 1); i++)
		s->acts[i] = ACT_KILL;
}

struct script script_hang(struct rng *r)
{
	struct script s = { .salt = rng_next(r) };
	for (int i = 0; i < SCRIPT_ATTEMPTS; i++)
		s.acts[i] = ACT_HANG;
	return s;
}

static uint32_t at(uint32_t attempt)
{
	return attempt <= SCRIPT_ATTEMPTS ? attempt - 1 : SCRIPT_ATTEMPTS - 1; /* 1 is the first */
}

enum act script_act(const struct script *s, uint32_t attempt)
{
	return (enum act)s->acts[at(attempt)];
}

uint32_t script_run_us(const struct script *s, uint32_t attempt)
{
	return s->run_us[at(attempt)];
}

enum task_state script_state(enum act act)
{
	return act == ACT_OK ? TASK_COMPLETED : TASK_FAILED;
}

enum task_reason script_reason(enum act act)
{
	static const enum task_reason reasons[ACT_COUNT] = {
		[ACT_OK] = REASON_NONE,
		[ACT_EXCEPTION] = REASON_EXCEPTION,
		[ACT_MATCHED] = REASON_EXCEPTION,
		[ACT_CRASH] = REASON_CRASH,
		[ACT_MEMORY] = REASON_MEMORY,
		[ACT_HANG] = REASON_TIMEOUT,
		[ACT_UNSERIALISABLE] = REASON_UNSERIALISABLE,
		[ACT_KILL] = REASON_WORKER_LOST, /* nobody is there to say it */
	};
	return reasons[act];
}

uint64_t script_value(const struct script *s, struct fh_id task, struct task_token token)
{
	uint64_t bits = (uint64_t)token.generation << 32 | token.attempt;
	struct rng r = { s->salt ^ fh_id_hash(task) ^ bits };
	return rng_next(&r) | 1;
}

uint32_t script_output(const struct script *s, struct fh_id task, struct task_token token,
		       unsigned stream, uint8_t ret_bytes[OUTPUT_MAX])
{
	struct rng r = { script_value(s, task, token) + stream };
	uint32_t len = rng_chance(&r, 500) ? 0 : rng_range(&r, 1, OUTPUT_MAX);
	for (uint32_t i = 0; i < len; i++)
		ret_bytes[i] = (uint8_t)rng_next(&r);
	return len;
}

struct blob *script_output_blob(const struct script *s, struct fh_id task, struct task_token token,
				unsigned stream, uint64_t from, uint64_t to)
{
	uint8_t bytes[OUTPUT_MAX];
	FH_ASSERT(from <= to && to <= script_output(s, task, token, stream, bytes));
	return to > from ? blob_copy(bytes + from, (size_t)(to - from)) : NULL;
}

bool script_output_begins(const struct script *s, struct fh_id task, struct task_token token,
			  unsigned stream, const struct blob *bytes)
{
	uint8_t all[OUTPUT_MAX];
	uint32_t len = script_output(s, task, token, stream, all);
	return !bytes || (bytes->len <= len && memcmp(bytes->data, all, bytes->len) == 0);
}

struct blob *script_payload(const struct script *s, uint32_t bytes)
{
	struct blob *b = blob_new(sizeof *s + bytes);
	FH_ASSERT(b != NULL);
	memset(b->data, 0, b->len);
	memcpy(b->data, s, sizeof *s);
	return b;
}

struct script script_of(const struct blob *payload)
{
	struct script s;
	FH_ASSERT(payload && payload->len >= sizeof s);
	memcpy(&s, payload->data, sizeof s);
	return s;
}

struct blob *script_value_blob(uint64_t value)
{
	struct blob *b = blob_copy(&value, sizeof value);
	FH_ASSERT(b != NULL);
	return b;
}

uint64_t script_value_of(const struct blob *value)
{
	uint64_t v = 0;
	if (value && value->len == sizeof v)
		memcpy(&v, value->data, sizeof v);
	return v;
}
