/* Decides whether a worker has what a task needs: item by item, without a copy of anything.
 *
 * Failure modes: a text that is no needs is FH_ESYNTAX. What a worker says of itself may be
 * anything; what is no label or module of the right form matches nothing. */
#include <string.h>

#include "base/assert.h"
#include "base/needs.h"

static bool has_module(const char *modules, const struct needs_item *need)
{
	/* Thousands of names, of which few begin alike: memmem is faster than a step for each. */
	const char *at = modules, *end = modules + strlen(modules);
	while ((at = memmem(at, (size_t)(end - at), need->value, need->len))) {
		const char *behind = at + need->len;
		if ((at == modules || at[-1] == ',') && (*behind == ',' || !*behind))
			return true;
		at++;
	}
	return false;
}

static bool equals(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool has_label(const char *labels, const struct needs_item *need)
{
	bool any_value = !memchr(need->value, '=', need->len);
	while (*labels) {
		if (equals(labels, strcspn(labels, any_value ? "=," : ","), need->value, need->len))
			return true;
		labels += strcspn(labels, ",");
		labels += *labels == ',';
	}
	return false;
}

static bool has(const struct needs_offer *o, const struct needs_item *need)
{
	switch (need->kind) {
	case NEEDS_CORES:
		return !o->cores || need->number <= o->cores;
	case NEEDS_LABEL:
		return o->labels && has_label(o->labels, need);
	case NEEDS_MEM:
		return !o->mem_bytes || need->number <= o->mem_bytes;
	case NEEDS_MODULE:
		return !o->modules || has_module(o->modules, need);
	case NEEDS_RUNTIME:
		return !o->runtime || !*o->runtime ||
		       equals(o->runtime, strlen(o->runtime), need->value, need->len);
	case NEEDS_KINDS:
	default:
		FH_UNREACHABLE("not a kind of need");
	}
}

int needs_match(const char *needs, const struct needs_offer *offer,
		struct needs_verdict *ret_verdict)
{
	struct needs_verdict verdict = { 0 };
	struct needs_item item;
	const char *at = needs;
	int ret;
	for (unsigned i = 0; (ret = needs_next(&at, &item)) > 0; i++) {
		if (i == NEEDS_ITEMS_MAX)
			return FH_ESYNTAX;
		verdict.unmet |= (uint32_t)!has(offer, &item) << i;
	}
	if (ret < 0)
		return ret;
	*ret_verdict = verdict;
	return !verdict.unmet;
}
