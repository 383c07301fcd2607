/* Decides what makes two requests the same: method, target and body, by SHA-256. Failure modes: a
 * key that is empty, too long or not visible ASCII (422). */
#include "http/idempotency.h"

#include <string.h>

#include "base/mem.h"
#include "http/digest.h"
#include "http/exchange.h"
#include "http/problem.h"

enum { KEY_MAX = 255 };

static bool is_key(const char *key)
{
	size_t len = strlen(key);
	for (size_t i = 0; i < len; i++)
		if (key[i] <= ' ' || key[i] >= 0x7F)
			return false;
	return len > 0 && len <= KEY_MAX;
}

bool idempotency_read(struct exchange *x, struct call_idempotency *i)
{
	const char *key = exchange_header(x, "Idempotency-Key");
	if (!key)
		return true;
	if (!is_key(key)) {
		problem_reply(x, PROBLEM_INVALID,
			      "an Idempotency-Key has 1 to 255 visible ASCII characters");
		return false;
	}
	const char *method = exchange_method(x), *target = exchange_target(x);
	const char *body = exchange_body(x);
	char *copy = fh_strdup(key);
	struct digest_part parts[] = { { method, strlen(method) },
				       { target, strlen(target) },
				       { body, exchange_body_len(x) } };
	if (!copy || !body || digest_sum(exchange_digest(x), parts, 3, i->fingerprint)) {
		fh_free(copy);
		problem_reply_later(x, PROBLEM_NO_MEMORY, "no memory for the key", 1);
		return false;
	}
	i->key = copy;
	return true;
}

void idempotency_reply(struct exchange *x, const struct call_idempotency *i)
{
	const char *location = i->ret_replayed ? i->ret_location : i->location;
	if (!i->ret_replayed && !i->body) {
		problem_reply_later(x, PROBLEM_NO_MEMORY, "it is done, but not said", 1);
		return;
	}
	if (location)
		exchange_set_header(x, "Location", location);
	if (i->ret_replayed)
		exchange_set_header(x, "Idempotency-Replayed", "true");
	exchange_reply_blob(x, i->ret_replayed ? i->ret_status : i->status, "application/json",
			    i->ret_replayed ? i->ret_body : i->body);
}

void idempotency_release(struct call_idempotency *i)
{
	fh_free((void *)(uintptr_t)i->key);
	fh_free(i->location);
	blob_free(&i->body);
	*i = (struct call_idempotency){ 0 };
}
