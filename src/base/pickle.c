/* Decides whether bytes are one whole pickle. Only lengths are followed; a stack that underflows, a
 * memo number that was never put and the like are found by the child that loads it.
 *
 * Happy path: PROTO, then one table look-up and one bounds check an opcode, to the STOP that ends
 * the bytes. Failure modes: all of them are FH_ESYNTAX. */
#include "base/pickle.h"

#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

enum { PROTO = 0x80, STOP = '.', FRAME = 0x95, PROTO_MIN = 2, PROTO_MAX = 5 };

/* How the argument of an opcode lies behind it. */
enum arg_kind {
	ARG_UNKNOWN, /* no such opcode */
	ARG_NONE,
	ARG_1, /* that many bytes */
	ARG_2,
	ARG_4,
	ARG_8,
	ARG_COUNT_1, /* a little-endian length of that many bytes, then so many */
	ARG_COUNT_4,
	ARG_COUNT_8,
	ARG_LINE,
	ARG_LINES_2,
};

static const uint8_t arg_kinds[256] = {
	/* numbers */
	['I'] = ARG_LINE,
	['J'] = ARG_4,
	['K'] = ARG_1,
	['M'] = ARG_2,
	['L'] = ARG_LINE,
	[0x8A] = ARG_COUNT_1,
	[0x8B] = ARG_COUNT_4,
	['F'] = ARG_LINE,
	['G'] = ARG_8,
	['N'] = ARG_NONE,
	[0x88] = ARG_NONE,
	[0x89] = ARG_NONE,
	/* strings and bytes */
	['S'] = ARG_LINE,
	['T'] = ARG_COUNT_4,
	['U'] = ARG_COUNT_1,
	['B'] = ARG_COUNT_4,
	['C'] = ARG_COUNT_1,
	[0x8E] = ARG_COUNT_8,
	[0x96] = ARG_COUNT_8,
	[0x97] = ARG_NONE,
	[0x98] = ARG_NONE,
	['V'] = ARG_LINE,
	[0x8C] = ARG_COUNT_1,
	['X'] = ARG_COUNT_4,
	[0x8D] = ARG_COUNT_8,
	/* containers */
	[']'] = ARG_NONE,
	['a'] = ARG_NONE,
	['e'] = ARG_NONE,
	['l'] = ARG_NONE,
	[')'] = ARG_NONE,
	['t'] = ARG_NONE,
	[0x85] = ARG_NONE,
	[0x86] = ARG_NONE,
	[0x87] = ARG_NONE,
	['}'] = ARG_NONE,
	['d'] = ARG_NONE,
	['s'] = ARG_NONE,
	['u'] = ARG_NONE,
	[0x8F] = ARG_NONE,
	[0x90] = ARG_NONE,
	[0x91] = ARG_NONE,
	/* stack and memo */
	['0'] = ARG_NONE,
	['1'] = ARG_NONE,
	['2'] = ARG_NONE,
	['('] = ARG_NONE,
	['g'] = ARG_LINE,
	['h'] = ARG_1,
	['j'] = ARG_4,
	['p'] = ARG_LINE,
	['q'] = ARG_1,
	['r'] = ARG_4,
	[0x94] = ARG_NONE,
	/* objects */
	[0x82] = ARG_1,
	[0x83] = ARG_2,
	[0x84] = ARG_4,
	['c'] = ARG_LINES_2,
	[0x93] = ARG_NONE,
	['R'] = ARG_NONE,
	['b'] = ARG_NONE,
	['i'] = ARG_LINES_2,
	['o'] = ARG_NONE,
	[0x81] = ARG_NONE,
	[0x92] = ARG_NONE,
	['P'] = ARG_LINE,
	['Q'] = ARG_NONE,
	/* the stream itself */
	[PROTO] = ARG_1,
	[STOP] = ARG_NONE,
	[FRAME] = ARG_8,
};

static uint64_t little_endian(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;
	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

static int take(struct pickle_walk *w, struct pickle_op *op, uint64_t len)
{
	if (len > (uint64_t)(w->end - w->at))
		return FH_ESYNTAX;
	op->arg = w->at;
	op->arg_len = (size_t)len;
	w->at += len;
	return 0;
}

static int take_counted(struct pickle_walk *w, struct pickle_op *op, size_t prefix)
{
	if (take(w, op, prefix))
		return FH_ESYNTAX;
	return take(w, op, little_endian(op->arg, prefix));
}

static int take_lines(struct pickle_walk *w, struct pickle_op *op, int lines)
{
	const uint8_t *start = w->at;
	while (lines--) {
		const uint8_t *newline = memchr(w->at, '\n', (size_t)(w->end - w->at));
		if (!newline)
			return FH_ESYNTAX;
		w->at = newline + 1;
	}
	op->arg = start;
	op->arg_len = (size_t)(w->at - start);
	return 0;
}

static int take_argument(struct pickle_walk *w, struct pickle_op *op)
{
	switch ((enum arg_kind)arg_kinds[op->code]) {
	case ARG_NONE:
		return take(w, op, 0);
	case ARG_1:
		return take(w, op, 1);
	case ARG_2:
		return take(w, op, 2);
	case ARG_4:
		return take(w, op, 4);
	case ARG_8:
		return take(w, op, 8);
	case ARG_COUNT_1:
		return take_counted(w, op, 1);
	case ARG_COUNT_4:
		return take_counted(w, op, 4);
	case ARG_COUNT_8:
		return take_counted(w, op, 8);
	case ARG_LINE:
		return take_lines(w, op, 1);
	case ARG_LINES_2:
		return take_lines(w, op, 2);
	case ARG_UNKNOWN:
	default:
		return FH_ESYNTAX;
	}
}

int pickle_walk_init(struct pickle_walk *w, const void *data, size_t len)
{
	const uint8_t *bytes = data;
	if (len < 3 || bytes[0] != PROTO || bytes[1] < PROTO_MIN || bytes[1] > PROTO_MAX)
		return FH_ESYNTAX;
	*w = (struct pickle_walk){ bytes, bytes + len };
	return 0;
}

int pickle_next(struct pickle_walk *w, struct pickle_op *ret_op)
{
	if (w->at == w->end)
		return FH_ESYNTAX;
	struct pickle_op op = { .code = *w->at++ };
	if (take_argument(w, &op))
		return FH_ESYNTAX;
	if (op.code == STOP)
		return w->at == w->end ? 0 : FH_ESYNTAX;
	if (op.code == FRAME && little_endian(op.arg, 8) > (uint64_t)(w->end - w->at))
		return FH_ESYNTAX;
	*ret_op = op;
	return 1;
}

int pickle_scan(const void *data, size_t len, bool *ret_names)
{
	struct pickle_walk w;
	struct pickle_op op = { 0 };
	bool names = false;
	int ret = pickle_walk_init(&w, data, len);
	if (ret)
		return ret;
	do {
		ret = pickle_next(&w, &op);
		names |= op.code == PICKLE_STACK_GLOBAL || op.code == PICKLE_GLOBAL ||
			 op.code == PICKLE_INST;
	} while (ret > 0);
	if (ret == 0)
		*ret_names = names;
	return ret;
}

int pickle_check(const void *data, size_t len)
{
	bool names;
	return pickle_scan(data, len, &names);
}

static uint8_t *put_short(uint8_t *to, const char *text, size_t len)
{
	*to++ = 0x8C; /* SHORT_BINUNICODE */
	*to++ = (uint8_t)len;
	memcpy(to, text, len);
	return to + len;
}

struct blob *pickle_exception(const char *module, const char *name, const char *text)
{
	enum { TEXT_MAX = 1 << 20, AROUND = 2 + 2 + 2 + 1 + 5 + 3 };
	size_t module_len = strlen(module), name_len = strlen(name), text_len = strlen(text);
	FH_ASSERT(module_len <= UINT8_MAX && name_len <= UINT8_MAX);
	if (text_len > TEXT_MAX)
		text_len = TEXT_MAX;
	text_len = utf8_valid_len((const uint8_t *)text, text_len);
	struct blob *b = blob_new(AROUND + module_len + name_len + text_len);
	if (!b)
		return NULL;
	uint8_t *to = b->data;
	*to++ = PROTO;
	*to++ = 4;
	to = put_short(to, module, module_len);
	to = put_short(to, name, name_len);
	*to++ = PICKLE_STACK_GLOBAL;
	*to++ = 'X'; /* BINUNICODE */
	for (int i = 0; i < 4; i++)
		*to++ = (uint8_t)(text_len >> (8 * i));
	memcpy(to, text, text_len);
	to += text_len;
	*to++ = 0x85; /* TUPLE1 */
	*to++ = 'R';  /* REDUCE: call it */
	*to++ = STOP;
	FH_ASSERT_CMP(to - b->data, ==, (int64_t)b->len);
	return b;
}
