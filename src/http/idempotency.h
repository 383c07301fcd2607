/* Idempotency-Key: the same request with the same key has one effect and one answer. */
#ifndef FARHAND_HTTP_IDEMPOTENCY_H
#define FARHAND_HTTP_IDEMPOTENCY_H

#include <stdbool.h>

#include "http/call.h"

struct exchange;

/* Reads the header, if there is one, into `i`, which owns the key from then on. False: the key was
 * bad and the exchange is answered. */
bool idempotency_read(struct exchange *x, struct call_idempotency *i);

/* Answers with what the call has said: this answer, or the first one again. */
void idempotency_reply(struct exchange *x, const struct call_idempotency *i);

/* Gives up key, location and body. */
void idempotency_release(struct call_idempotency *i);

#endif
