/* Decides which words tell what a task lacks.
 *
 * Happy path: what no worker at all has is named, item by item; if each item is had by some worker,
 * then that none has all of them. The advice speaks of the first such item alone: one step at a
 * time. Failure modes: a line that gets too long ends with "...". A text that is no needs is not
 * explained beyond its good part. */
#include "base/needs_advice.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

const char *needs_kind_word(enum needs_kind kind)
{
	static const char *const words[NEEDS_KINDS] = {
		[NEEDS_CORES] = "cores",   [NEEDS_LABEL] = "label",	[NEEDS_MEM] = "memory",
		[NEEDS_MODULE] = "module", [NEEDS_RUNTIME] = "runtime",
	};
	FH_ASSERT((unsigned)kind < NEEDS_KINDS);
	return words[kind];
}

static void count_runtime(struct needs_tally *t, const char *runtime)
{
	for (unsigned i = 0; i < NEEDS_RUNTIMES_MAX; i++) {
		if (!t->runtimes[i].workers)
			(void)snprintf(t->runtimes[i].name, sizeof t->runtimes[i].name, "%s",
				       runtime);
		if (strcmp(t->runtimes[i].name, runtime) == 0) {
			t->runtimes[i].workers++;
			return;
		}
	}
}

void needs_tally_add(struct needs_tally *t, const struct needs_offer *offer,
		     const struct needs_verdict *verdict)
{
	t->workers++;
	t->fitting += !verdict->unmet;
	for (unsigned i = 0; i < NEEDS_ITEMS_MAX; i++)
		t->unmet[i] += verdict->unmet >> i & 1;
	if (offer->cores > t->cores_max)
		t->cores_max = offer->cores;
	if (offer->mem_bytes > t->mem_max)
		t->mem_max = offer->mem_bytes;
	if (offer->runtime && needs_is_runtime(offer->runtime))
		count_runtime(t, offer->runtime);
}

/* ---- a line that grows ---- */

static void add(struct fh_err *line, const char *fmt, ...) FH_PRINTF(2, 3);

static void add(struct fh_err *line, const char *fmt, ...)
{
	size_t len = strlen(line->text), room = sizeof line->text - len;
	va_list ap;
	va_start(ap, fmt);
	int written = vsnprintf(line->text + len, room, fmt, ap);
	va_end(ap);
	if (written < 0 || (size_t)written < room)
		return;
	/* A cut must not leave half of a character. */
	len = utf8_valid_len((const uint8_t *)line->text, sizeof line->text - sizeof "...");
	memcpy(line->text + len, "...", sizeof "...");
}

/* "16 GiB"; needs have three significant bits, workers more. */
static void add_size(struct fh_err *line, uint64_t bytes)
{
	double gib = (double)bytes / (double)NEEDS_MEM_MIN;
	add(line, "%.*f GiB", gib < 10 && gib != (double)(uint64_t)gib ? 2 : 0, gib);
}

/* "Python 3.13 (cp313)" */
static void add_runtime(struct fh_err *line, const struct needs_item *item)
{
	const char *s = item->value;
	size_t minor = item->len - 3 - (s[item->len - 1] == 't');
	add(line, "%s%s %c.%.*s (%.*s)", item->len - 3 > minor ? "free-threaded " : "",
	    s[0] == 'p' ? "PyPy" : "Python", s[2], (int)minor, s + 3, (int)item->len, s);
}

/* A noun for the item, as in "no worker has ..." and "1 of 4 have ...". */
static void add_item(struct fh_err *line, const struct needs_item *item)
{
	int len = (int)item->len;
	switch (item->kind) {
	case NEEDS_CORES:
		add(line, "%.*s cores", len, item->value);
		break;
	case NEEDS_LABEL:
		add(line, "label %.*s", len, item->value);
		break;
	case NEEDS_MEM:
		add_size(line, item->number);
		add(line, " of memory");
		break;
	case NEEDS_MODULE:
		add(line, "module %.*s", len, item->value);
		break;
	case NEEDS_RUNTIME:
		add_runtime(line, item);
		break;
	case NEEDS_KINDS:
	default:
		FH_UNREACHABLE("not a kind of need");
	}
}

void needs_item_describe(const struct needs_item *item, struct fh_err *ret_text)
{
	*ret_text = (struct fh_err){ "" };
	add_item(ret_text, item);
}

/* What there is instead of a runtime. */
static void add_runtimes(struct fh_err *line, const struct needs_tally *t)
{
	for (unsigned i = 0; i < NEEDS_RUNTIMES_MAX && t->runtimes[i].workers; i++)
		add(line, "%s%s x %u", i ? ", " : "; there are ", t->runtimes[i].name,
		    t->runtimes[i].workers);
}

/* An item that not one of the workers has. */
static void add_lack(struct fh_err *line, const struct needs_item *item,
		     const struct needs_tally *t)
{
	if (item->kind == NEEDS_MODULE && t->workers > 1) {
		add(line, "module %.*s is on none of %u workers", (int)item->len, item->value,
		    t->workers);
		return;
	}
	add(line, "no worker has ");
	add_item(line, item);
	if (item->kind == NEEDS_CORES) {
		add(line, "; the most are %u", t->cores_max);
	} else if (item->kind == NEEDS_MEM) {
		add(line, "; the most is ");
		add_size(line, t->mem_max);
	} else if (item->kind == NEEDS_RUNTIME) {
		add_runtimes(line, t);
	}
}

/* What would help with it. */
static void advise(struct fh_err *line, const struct needs_item *item)
{
	int len = (int)item->len;
	switch (item->kind) {
	case NEEDS_CORES:
		add(line, "Ask for fewer cores, or start a worker on a machine that has them.");
		break;
	case NEEDS_LABEL:
		add(line, "Start a worker with --label %.*s, or do without the label.", len,
		    item->value);
		break;
	case NEEDS_MEM:
		add(line, "Ask for less memory, or start a worker on a machine that has it.");
		break;
	case NEEDS_MODULE:
		add(line,
		    "Install %.*s for a worker's Python (pip install %.*s), or start a worker with "
		    "--path and the folder that holds it.",
		    len, item->value, len, item->value);
		break;
	case NEEDS_RUNTIME:
		add(line, "Start a worker with --python and a ");
		add_runtime(line, item);
		add(line, ", or put the function into a module that the workers can import.");
		break;
	case NEEDS_KINDS:
	default:
		FH_UNREACHABLE("not a kind of need");
	}
}

/* Items that some worker has each, but no worker all of them. */
static void add_scattered(struct fh_err *line, const char *needs, const struct needs_tally *t)
{
	struct needs_item item;
	bool first = true;
	add(line, "no worker has all of: ");
	for (unsigned i = 0; i < NEEDS_ITEMS_MAX && needs_next(&needs, &item) > 0; i++) {
		if (!t->unmet[i])
			continue;
		add(line, "%s", first ? "" : ", ");
		add_item(line, &item);
		add(line, " (%u of %u)", t->workers - t->unmet[i], t->workers);
		first = false;
	}
}

unsigned needs_advice(const char *needs, const struct needs_tally *t, struct fh_err *ret_detail,
		      struct fh_err *ret_advice)
{
	struct fh_err detail = { "" }, advice = { "" };
	struct needs_item item;
	const char *at = needs;
	unsigned lacking = 0;
	if (!t->workers) {
		add(&detail, "no worker is connected");
		add(&advice, "Start one: farhand worker URL.");
	}
	for (unsigned i = 0; t->workers && i < NEEDS_ITEMS_MAX && needs_next(&at, &item) > 0; i++) {
		if (t->unmet[i] < t->workers)
			continue;
		if (*detail.text)
			add(&detail, "; ");
		else
			advise(&advice, &item);
		add_lack(&detail, &item, t);
		lacking |= 1u << item.kind;
	}
	if (!*detail.text) {
		add_scattered(&detail, needs, t);
		add(&advice, "Start a worker that has all of them, or ask for less.");
	}
	add(&advice, " With wait_for_worker the task is accepted and waits.");
	if (ret_detail)
		*ret_detail = detail;
	if (ret_advice)
		*ret_advice = advice;
	return lacking;
}
