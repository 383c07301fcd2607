/* Messages for tests, made from a seed: every field takes every kind of value. */
#ifndef FARHAND_TESTS_UNIT_WIRE_SAMPLES_H
#define FARHAND_TESTS_UNIT_WIRE_SAMPLES_H

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/msg.h"

static inline uint64_t sample_next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 16 ^ *seed << 31;
}

static inline uint32_t sample_below(uint64_t *seed, uint32_t end)
{
	return (uint32_t)(sample_next(seed) % end);
}

static inline struct fh_id sample_id(uint64_t *seed)
{
	struct fh_id id;
	for (size_t i = 0; i < sizeof id.b; i++)
		id.b[i] = (uint8_t)sample_next(seed);
	return id;
}

static inline struct wire_ref sample_ref(uint64_t *seed)
{
	struct wire_ref ref = { .task = sample_id(seed) };
	ref.token.attempt = (uint32_t)sample_next(seed);
	ref.token.generation = (uint32_t)sample_next(seed);
	return ref;
}

static inline struct wire_refs sample_refs(uint64_t *seed)
{
	struct wire_refs refs = { .count = sample_below(seed, 5) };
	if (refs.count > 0)
		refs.list = fh_calloc(refs.count, sizeof *refs.list);
	for (uint32_t i = 0; i < refs.count; i++)
		refs.list[i] = sample_ref(seed);
	return refs;
}

static inline struct blob *sample_blob(uint64_t *seed, uint32_t max)
{
	if (sample_below(seed, 4) == 0)
		return NULL;
	struct blob *b = blob_new(sample_below(seed, max));
	FH_ASSERT(b);
	for (size_t i = 0; i < b->len; i++)
		b->data[i] = (uint8_t)sample_next(seed);
	return b;
}

static inline char *sample_text(uint64_t *seed)
{
	static const char *const texts[] = { "", "a", "Erde", "\xC3\xA4\xE2\x82\xAC",
					     "two\nlines" };
	uint32_t i = sample_below(seed, 6);
	return i < 5 ? fh_strdup(texts[i]) : NULL;
}

static inline void sample_result(uint64_t *seed, uint32_t max, struct task_result *r)
{
	r->state = TASK_COMPLETED + sample_below(seed, 3);
	r->reason = sample_below(seed, REASON_COUNT);
	r->value = sample_blob(seed, max);
	r->out = sample_blob(seed, 64);
	r->err = sample_blob(seed, 64);
	r->out_cut = sample_below(seed, 2);
	r->err_cut = sample_below(seed, 2);
	r->error_type = sample_text(seed);
	r->error_message = sample_text(seed);
	r->traceback = sample_text(seed);
	r->started_ms = (int64_t)sample_next(seed);
	r->finished_ms = -(int64_t)sample_next(seed);
	r->deserialize_us = (uint32_t)sample_next(seed);
	r->run_us = (uint32_t)sample_next(seed);
	r->serialize_us = (uint32_t)sample_next(seed);
	(void)snprintf(r->runtime, sizeof r->runtime, "cp3%u", sample_below(seed, 20));
}

static inline void sample_log(uint64_t *seed, uint32_t max, struct wire_log *l)
{
	l->task = sample_id(seed);
	l->token = sample_ref(seed).token;
	l->is_error = sample_below(seed, 2);
	l->offset = sample_next(seed);
	l->data = sample_blob(seed, max);
}

static inline void sample_hello(uint64_t *seed, struct wire_hello *h)
{
	h->instance = sample_id(seed);
	h->slots = (uint32_t)sample_next(seed);
	(void)snprintf(h->runtime, sizeof h->runtime, "cp311");
	h->mode = sample_below(seed, WIRE_MODE_END);
	h->cores = (uint32_t)sample_next(seed);
	h->mem_bytes = sample_next(seed);
	h->labels = sample_text(seed);
	h->modules = sample_text(seed);
	h->in_flight = sample_refs(seed);
	h->host = sample_text(seed);
}

/* Blobs of fewer than `max` bytes. The message is the caller's. */
static inline struct wire_msg sample_msg(uint64_t *seed, enum wire_type type, uint32_t max)
{
	struct wire_msg m = { .type = type };
	switch (type) {
	case WIRE_HELLO:
		sample_hello(seed, &m.hello);
		break;
	case WIRE_WELCOME:
		m.welcome.session = (uint32_t)sample_next(seed);
		m.welcome.generation = (uint32_t)sample_next(seed);
		break;
	case WIRE_CREDIT:
		m.credit.granted_total = sample_next(seed);
		break;
	case WIRE_ASSIGN:
		m.assign.task = sample_id(seed);
		m.assign.token = sample_ref(seed).token;
		m.assign.number = sample_next(seed);
		m.assign.function = sample_id(seed);
		m.assign.payload = sample_blob(seed, max);
		m.assign.timeout_ms = (uint32_t)sample_next(seed);
		m.assign.mem_bytes = sample_next(seed);
		m.assign.retry_classes = sample_text(seed);
		m.assign.ahead = sample_below(seed, 2);
		break;
	case WIRE_FUNCTION_GET:
		m.function_get.function = sample_id(seed);
		break;
	case WIRE_FUNCTION:
		m.function.function = sample_id(seed);
		m.function.payload = sample_blob(seed, max);
		m.function.serializer = sample_below(seed, SERIALIZER_COUNT);
		break;
	case WIRE_RESULT:
		m.result.task = sample_id(seed);
		m.result.token = sample_ref(seed).token;
		m.result.retry_match = sample_below(seed, 2);
		sample_result(seed, max, &m.result.result);
		break;
	case WIRE_STARTED:
	case WIRE_RESULT_ACK:
	case WIRE_STALE:
	case WIRE_CANCEL:
		m.ref = sample_ref(seed);
		break;
	case WIRE_HEARTBEAT:
		m.heartbeat.assigns = sample_next(seed);
		m.heartbeat.in_flight = sample_refs(seed);
		break;
	case WIRE_ASSIGN_ACK:
		m.assign_ack.assigns = sample_next(seed);
		break;
	case WIRE_LOG:
		sample_log(seed, max, &m.log);
		break;
	case WIRE_BYE:
		m.bye.why = sample_below(seed, WIRE_BYE_END);
		m.bye.text = sample_text(seed);
		break;
	case WIRE_DRAIN:
		m.drain.how = sample_below(seed, WIRE_DRAIN_END);
		break;
	case WIRE_TYPE_END:
		break;
	}
	return m;
}

#endif
