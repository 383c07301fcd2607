/* Decides what may stand in needs, and how they are written.
 *
 * Happy path: needs_set_*() and needs_add_*() -> needs_format() -> text -> needs_parse() -> the
 * same. Failure modes: a value that is none (FH_EINVAL), a text that would be too long (FH_ELIMIT),
 * a text that needs_format() has not written (FH_ESYNTAX). */
#include "base/needs.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

static const char *const kind_names[NEEDS_KINDS] = {
	[NEEDS_CORES] = "cores",   [NEEDS_LABEL] = "label",	[NEEDS_MEM] = "mem",
	[NEEDS_MODULE] = "module", [NEEDS_RUNTIME] = "runtime",
};

/* "module=a;" is longer than "label=a;", and a number has no second item. */
_Static_assert(NEEDS_TEXT / (sizeof "label=a;" - 1) <= NEEDS_ITEMS_MAX, "a bit for each item");

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* cp or pp, the major version's digit, one or two of the minor's, t for free threads. */
static bool is_runtime(const char *s, size_t len)
{
	if (len < 4 || (s[0] != 'c' && s[0] != 'p') || s[1] != 'p')
		return false;
	size_t digits = 2;
	while (digits < len && is_digit(s[digits]))
		digits++;
	bool threads = digits < len && s[digits] == 't';
	return (digits == 4 || digits == 5) && digits + threads == len;
}

static bool is_label_name(const char *s, size_t len)
{
	if (len < 1 || len > NEEDS_LABEL_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_letter(s[i]) && !is_digit(s[i]) && !memchr("_./-", s[i], 4))
			return false;
	return true;
}

static bool is_label_value(const char *s, size_t len)
{
	if (len < 1 || len > NEEDS_LABEL_VALUE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 0x7F || s[i] == ',' || s[i] == ';')
			return false;
	return true;
}

/* "gpu=1" or "gpu" */
static bool is_label(const char *s, size_t len)
{
	const char *equals = memchr(s, '=', len);
	size_t name_len = equals ? (size_t)(equals - s) : len;
	return is_label_name(s, name_len) &&
	       (!equals || is_label_value(equals + 1, len - name_len - 1));
}

/* Whatever Python can import under a name without dots, which is more than identifiers. */
static bool is_module(const char *s, size_t len)
{
	if (len < 1 || len > NEEDS_MODULE_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == 0x7F || memchr(",;=./", s[i], 5))
			return false;
	return utf8_valid_len((const uint8_t *)s, len) == len;
}

/* ---- lists: "a,b=1,c" ---- */

struct entry {
	const char *at;
	size_t len, name_len; /* the name ends at the first '=' */
};

/* Takes the first entry from `*list`; false: there is none. */
static bool list_next(const char **list, struct entry *ret_entry)
{
	if (!**list)
		return false;
	struct entry e = { .at = *list, .len = strcspn(*list, ",") };
	const char *equals = memchr(e.at, '=', e.len);
	e.name_len = equals ? (size_t)(equals - e.at) : e.len;
	*list += e.len + (e.at[e.len] == ',');
	*ret_entry = e;
	return true;
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* Puts an entry where its name belongs in a sorted list of NEEDS_TEXT bytes, over one of that name.
 */
static int list_put(char *list, const char *entry, size_t len, size_t name_len)
{
	const char *rest = list;
	size_t old_len = strlen(list), at = old_len, replaced = 0;
	struct entry e;
	while (list_next(&rest, &e)) {
		int order = compare(e.at, e.name_len, entry, name_len);
		if (order < 0)
			continue;
		at = (size_t)(e.at - list);
		replaced = order == 0 ? e.len : 0;
		break;
	}
	/* A separator comes with it, unless it stands in another's place. */
	bool separator = !replaced && old_len;
	if (old_len - replaced + len + separator >= NEEDS_TEXT)
		return FH_ELIMIT;
	bool last = at == old_len;
	char *to = list + at;
	memmove(to + len + separator, to + replaced, old_len - at - replaced + 1);
	if (separator && last)
		*to++ = ',';
	memcpy(to, entry, len);
	if (separator && !last)
		to[len] = ',';
	return 0;
}

/* ---- building ---- */

bool needs_is_runtime(const char *text)
{
	return is_runtime(text, strlen(text));
}

int needs_set_runtime(struct needs *n, const char *runtime)
{
	if (!needs_is_runtime(runtime))
		return FH_EINVAL;
	memcpy(n->runtime, runtime, strlen(runtime) + 1);
	return 0;
}

void needs_set_cores(struct needs *n, uint32_t cores)
{
	FH_ASSERT(cores <= NEEDS_CORES_MAX);
	n->cores = cores > 1 ? cores : 0;
}

/* The least number with at most three significant bits that is not below `bytes`. */
static uint64_t round_mem(uint64_t bytes)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(bytes);
	uint64_t step = UINT64_C(1) << (bits - 3);
	return (bytes + step - 1) / step * step;
}

void needs_set_mem(struct needs *n, uint64_t bytes)
{
	FH_ASSERT(bytes <= NEEDS_MEM_MAX);
	n->mem_bytes = bytes < NEEDS_MEM_MIN ? 0 : round_mem(bytes);
}

static int put_label(struct needs *n, const char *label, size_t len)
{
	const char *equals = memchr(label, '=', len);
	return list_put(n->labels, label, len, equals ? (size_t)(equals - label) : len);
}

int needs_add_label(struct needs *n, const char *name, const char *value)
{
	char label[NEEDS_LABEL_NAME_MAX + 1 + NEEDS_LABEL_VALUE_MAX + 1];
	if (!is_label_name(name, strlen(name)) || (value && !is_label_value(value, strlen(value))))
		return FH_EINVAL;
	int len =
		snprintf(label, sizeof label, "%s%s%s", name, value ? "=" : "", value ? value : "");
	return put_label(n, label, (size_t)len);
}

/* The room that a list's items take in the text, each with its separator. */
static size_t list_room(enum needs_kind kind, const char *list)
{
	size_t room = 0;
	struct entry e;
	while (list_next(&list, &e))
		room += strlen(kind_names[kind]) + 1 + e.len + 1;
	return room;
}

static size_t number_room(enum needs_kind kind, uint64_t number)
{
	if (!number)
		return 0;
	return (size_t)snprintf(NULL, 0, "%s=%" PRIu64 ";", kind_names[kind], number);
}

/* The length of the text and one more, for each item counts with a separator; 0: nothing. */
static size_t text_room(const struct needs *n)
{
	size_t room = number_room(NEEDS_CORES, n->cores) + number_room(NEEDS_MEM, n->mem_bytes) +
		      list_room(NEEDS_LABEL, n->labels) + list_room(NEEDS_MODULE, n->modules);
	return room + (*n->runtime ? sizeof "runtime=" - 1 + strlen(n->runtime) + 1 : 0);
}

void needs_add_module(struct needs *n, const char *name, size_t len)
{
	if (!is_module(name, len) || text_room(n) + sizeof "module=;" - 1 + len > NEEDS_TEXT)
		return;
	int ret = list_put(n->modules, name, len, len);
	FH_ASSERT(ret == 0); /* the list is shorter than its items in the text */
}

void needs_add_modules(struct needs *n, const char *modules)
{
	struct entry e;
	while (modules && list_next(&modules, &e))
		needs_add_module(n, e.at, e.len);
}

int needs_add_defaults(struct needs *n, const struct needs *defaults)
{
	struct needs sum = *defaults;
	const char *labels = n->labels;
	struct entry e;
	if (*n->runtime)
		memcpy(sum.runtime, n->runtime, sizeof sum.runtime);
	if (n->cores)
		sum.cores = n->cores;
	if (n->mem_bytes)
		sum.mem_bytes = n->mem_bytes;
	while (list_next(&labels, &e)) {
		int ret = list_put(sum.labels, e.at, e.len, e.name_len);
		if (ret)
			return ret;
	}
	needs_add_modules(&sum, n->modules);
	*n = sum;
	return 0;
}

/* ---- text ---- */

struct writer {
	char *text;
	size_t len;
};

static void write_item(struct writer *w, enum needs_kind kind, const char *value, size_t len)
{
	if (w->len)
		w->text[w->len++] = ';';
	size_t name_len = strlen(kind_names[kind]);
	memcpy(w->text + w->len, kind_names[kind], name_len);
	w->len += name_len;
	w->text[w->len++] = '=';
	memcpy(w->text + w->len, value, len);
	w->len += len;
}

static void write_number(struct writer *w, enum needs_kind kind, uint64_t number)
{
	char digits[24];
	if (number)
		write_item(w, kind, digits,
			   (size_t)snprintf(digits, sizeof digits, "%" PRIu64, number));
}

static void write_list(struct writer *w, enum needs_kind kind, const char *list)
{
	struct entry e;
	while (list_next(&list, &e))
		write_item(w, kind, e.at, e.len);
}

int needs_format(const struct needs *n, char ret_text[NEEDS_TEXT])
{
	struct writer w = { .text = ret_text };
	if (text_room(n) > NEEDS_TEXT)
		return FH_ELIMIT;
	write_number(&w, NEEDS_CORES, n->cores);
	write_list(&w, NEEDS_LABEL, n->labels);
	write_number(&w, NEEDS_MEM, n->mem_bytes);
	write_list(&w, NEEDS_MODULE, n->modules);
	if (*n->runtime)
		write_item(&w, NEEDS_RUNTIME, n->runtime, strlen(n->runtime));
	ret_text[w.len] = '\0';
	return 0;
}

/* A decimal number from 1 to `max`. */
static bool read_number(struct needs_item *item, uint64_t max)
{
	uint64_t number = 0;
	for (size_t i = 0; i < item->len; i++) {
		if (!is_digit(item->value[i]) || number > max / 10)
			return false;
		number = number * 10 + (uint64_t)(item->value[i] - '0');
	}
	item->number = number;
	return number >= 1 && number <= max;
}

static bool check_item(struct needs_item *item)
{
	switch (item->kind) {
	case NEEDS_CORES:
		return read_number(item, NEEDS_CORES_MAX);
	case NEEDS_LABEL:
		return is_label(item->value, item->len);
	case NEEDS_MEM:
		return read_number(item, NEEDS_MEM_MAX);
	case NEEDS_MODULE:
		return is_module(item->value, item->len);
	case NEEDS_RUNTIME:
		return is_runtime(item->value, item->len);
	case NEEDS_KINDS:
	default:
		FH_UNREACHABLE("not a kind of need");
	}
}

int needs_next(const char **at, struct needs_item *ret_item)
{
	const char *text = *at;
	if (!text || !*text)
		return 0;
	size_t len = strcspn(text, ";");
	for (int kind = 0; kind < NEEDS_KINDS; kind++) {
		size_t name_len = strlen(kind_names[kind]);
		if (len <= name_len || memcmp(text, kind_names[kind], name_len) != 0 ||
		    text[name_len] != '=')
			continue;
		struct needs_item item = { .kind = (enum needs_kind)kind,
					   .value = text + name_len + 1,
					   .len = len - name_len - 1 };
		if (!check_item(&item))
			break;
		*ret_item = item;
		*at = text + len +
		      (text[len] && text[len + 1]); /* a last ';' is an item that is none */
		return 1;
	}
	return FH_ESYNTAX;
}

static int read_item(struct needs *n, const struct needs_item *item)
{
	switch (item->kind) {
	case NEEDS_CORES:
		needs_set_cores(n, (uint32_t)item->number);
		return 0;
	case NEEDS_LABEL:
		return put_label(n, item->value, item->len);
	case NEEDS_MEM:
		needs_set_mem(n, item->number);
		return 0;
	case NEEDS_MODULE:
		return list_put(n->modules, item->value, item->len, item->len);
	case NEEDS_RUNTIME:
		memcpy(n->runtime, item->value, item->len);
		n->runtime[item->len] = '\0';
		return 0;
	case NEEDS_KINDS:
	default:
		FH_UNREACHABLE("not a kind of need");
	}
}

int needs_parse(const char *text, struct needs *ret_needs)
{
	struct needs n = { 0 };
	struct needs_item item;
	char again[NEEDS_TEXT];
	const char *at = text;
	int ret;
	while ((ret = needs_next(&at, &item)) > 0) {
		ret = read_item(&n, &item);
		if (ret)
			break;
	}
	/* Whatever stands in another order, twice, or could be said shorter is written otherwise.
	 */
	if (ret || needs_format(&n, again) || strcmp(again, text ? text : "") != 0)
		return FH_ESYNTAX;
	*ret_needs = n;
	return 0;
}

int needs_join(const struct needs_parts *parts, char ret_text[NEEDS_TEXT])
{
	struct needs n, defaults, mem = { 0 };
	if (!parts->own && !parts->defaults && parts->mem_bytes < NEEDS_MEM_MIN &&
	    !parts->function_modules && !parts->payload_modules) {
		*ret_text = '\0'; /* nearly every task */
		return 0;
	}
	if (needs_parse(parts->own, &n) || needs_parse(parts->defaults, &defaults))
		return FH_ESYNTAX;
	needs_set_mem(&mem, parts->mem_bytes);
	int ret = needs_add_defaults(&n, &mem);
	if (ret == 0)
		ret = needs_add_defaults(&n, &defaults);
	if (ret)
		return ret;
	needs_add_modules(&n, parts->function_modules);
	needs_add_modules(&n, parts->payload_modules);
	return needs_format(&n, ret_text);
}
