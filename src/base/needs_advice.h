/* Says why no worker has what a task needs, and what would help: for a refusal, and for a task that
 * waits. Each worker is matched (needs.h) and counted; from the counts come two lines for people.
 */
#ifndef FARHAND_BASE_NEEDS_ADVICE_H
#define FARHAND_BASE_NEEDS_ADVICE_H

#include "base/needs.h"

enum { NEEDS_RUNTIMES_MAX = 8 };

/* For programs: "cores", "label", "memory", "module", "runtime". */
const char *needs_kind_word(enum needs_kind kind);

/* How many workers lack which item of one text. Begins zeroed. */
struct needs_tally {
	uint32_t workers, fitting;
	uint32_t unmet[NEEDS_ITEMS_MAX]; /* by the item's number in the text */
	uint32_t cores_max;		 /* of one worker */
	uint64_t mem_max;
	struct {
		char name[8];
		uint32_t workers;
	} runtimes[NEEDS_RUNTIMES_MAX]; /* the first ones that were met, up to one without a name */
};

/* Counts a worker and what needs_match() has found. */
void needs_tally_add(struct needs_tally *t, const struct needs_offer *offer,
		     const struct needs_verdict *verdict);

/* A noun for an item: "label gpu=1", "16 GiB of memory". */
void needs_item_describe(const struct needs_item *item, struct fh_err *ret_text);

/* The lines, for a tally without a fitting worker:
 *   no worker has label gpu=1; no worker has Python 3.13 (cp313); there are cp311 x 8
 *   Start a worker with --label gpu=1, or do without the label. With wait_for_worker the task is
 *   accepted and waits.
 * Either may be NULL. Returns what no worker at all has: bit k for the needs_kind k. */
unsigned needs_advice(const char *needs, const struct needs_tally *t, struct fh_err *ret_detail,
		      struct fh_err *ret_advice);

#endif
