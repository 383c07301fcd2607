/* Any text as needs, any text as what a worker has: what is read is written again as it was, what
 * cannot be read is not matched as if it could, and whatever is told about it is text.
 *
 * The input is up to five strings: needs, runtime, labels, modules, needs of the function. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/needs.h"
#include "base/needs_advice.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of the next string, in memory of exactly its size. */
static char *take(const uint8_t **at, const uint8_t *end)
{
	size_t len = 0;
	while (*at + len < end && (*at)[len])
		len++;
	char *copy = fh_calloc(1, len + 1);
	FH_ASSERT(copy);
	memcpy(copy, *at, len);
	*at += len + (*at + len < end);
	return copy;
}

static bool check_text(const char *text)
{
	struct needs n;
	char again[NEEDS_TEXT];
	if (needs_parse(text, &n))
		return false;
	FH_ASSERT(needs_format(&n, again) == 0);
	FH_ASSERT(strcmp(text, again) == 0);
	/* What has exactly this, has it. */
	struct needs_offer offer = { n.runtime, n.cores, n.mem_bytes, n.labels, n.modules };
	struct needs_verdict verdict;
	FH_ASSERT(needs_match(text, &offer, &verdict) == 1 && !verdict.unmet);
	return true;
}

static void check_join(const char *own, const char *defaults, const char *modules)
{
	struct needs_parts parts = { own, defaults, 0, modules, modules };
	char joined[NEEDS_TEXT], again[NEEDS_TEXT];
	if (needs_join(&parts, joined))
		return;
	FH_ASSERT(check_text(joined));
	parts.own = joined;
	FH_ASSERT(needs_join(&parts, again) == 0);
	FH_ASSERT(strcmp(joined, again) == 0);
}

static void check_match(const char *text, const struct needs_offer *offer, bool good)
{
	struct needs_verdict verdict;
	struct needs_tally tally = { 0 };
	struct fh_err detail, advice;
	int ret = needs_match(text, offer, &verdict);
	FH_ASSERT(ret >= 0 || (ret == FH_ESYNTAX && !good));
	if (ret < 0)
		return;
	FH_ASSERT(ret == !verdict.unmet);
	needs_tally_add(&tally, offer, &verdict);
	if (ret)
		return;
	FH_ASSERT(needs_advice(text, &tally, &detail, &advice));
	FH_ASSERT(*detail.text && *advice.text);
	FH_ASSERT(utf8_valid_len((const uint8_t *)detail.text, strlen(detail.text)) ==
		  strlen(detail.text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data, *end = data + size;
	char *text[5];
	for (int i = 0; i < 5; i++)
		text[i] = take(&at, end);
	struct needs_offer offer = { text[1], 4, UINT64_C(1) << 33, text[2], text[3] };
	bool good = check_text(text[0]);
	check_match(text[0], &offer, good);
	check_join(text[0], text[4], text[3]);
	for (int i = 0; i < 5; i++)
		fh_free(text[i]);
	return 0;
}
