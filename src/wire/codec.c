/* Encodes and decodes messages. Happy path: the list of fields in fields.h unrolls into one switch
 * that measures, one that writes and one that reads; each kind of field has three small functions
 * here. Failure modes: a decoder stops at the first field that does not fit and gives back all that
 * it had taken. */
#include "wire/codec.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "wire/bytes.h"
#include "wire/fields.h"

/* Where a text or a blob would have its length, and there is none. */
static const uint32_t absent = UINT32_MAX;

struct reader {
	const uint8_t *at;
	size_t left;
	int ret; /* FH_EPROTO unless a function says otherwise */
};

/* ---- integers ---- */

static bool get_u8(struct reader *r, uint8_t *ret_v)
{
	if (r->left < 1)
		return false;
	*ret_v = *r->at++;
	r->left--;
	return true;
}

static size_t len_u32(const uint32_t *v)
{
	(void)v;
	return 4;
}

static uint8_t *put_u32(uint8_t *at, const uint32_t *v)
{
	bytes_put_u32(at, *v);
	return at + 4;
}

static bool get_u32(struct reader *r, uint32_t *ret_v)
{
	if (r->left < 4)
		return false;
	*ret_v = bytes_get_u32(r->at);
	r->at += 4;
	r->left -= 4;
	return true;
}

static size_t len_u64(const uint64_t *v)
{
	(void)v;
	return 8;
}

static uint8_t *put_u64(uint8_t *at, const uint64_t *v)
{
	bytes_put_u64(at, *v);
	return at + 8;
}

static bool get_u64(struct reader *r, uint64_t *ret_v)
{
	if (r->left < 8)
		return false;
	*ret_v = bytes_get_u64(r->at);
	r->at += 8;
	r->left -= 8;
	return true;
}

static size_t len_i64(const int64_t *v)
{
	(void)v;
	return 8;
}

static uint8_t *put_i64(uint8_t *at, const int64_t *v)
{
	uint64_t bits = (uint64_t)*v;
	return put_u64(at, &bits);
}

static bool get_i64(struct reader *r, int64_t *ret_v)
{
	uint64_t bits;
	if (!get_u64(r, &bits))
		return false;
	*ret_v = (int64_t)bits;
	return true;
}

/* ---- small things of one byte ---- */

static bool get_below(struct reader *r, uint8_t end, uint8_t *ret_v)
{
	return get_u8(r, ret_v) && *ret_v < end;
}

static size_t len_flag(const bool *v)
{
	(void)v;
	return 1;
}

static uint8_t *put_flag(uint8_t *at, const bool *v)
{
	*at = *v ? 1 : 0;
	return at + 1;
}

static bool get_flag(struct reader *r, bool *ret_v)
{
	uint8_t byte;
	if (!get_below(r, 2, &byte))
		return false;
	*ret_v = byte == 1;
	return true;
}

/* An enumeration whose values are 0 to END - 1. */
#define ENUM_KIND(kind, type, END)                               \
	static size_t len_##kind(const type *v)                  \
	{                                                        \
		(void)v;                                         \
		return 1;                                        \
	}                                                        \
	static uint8_t *put_##kind(uint8_t *at, const type *v)   \
	{                                                        \
		FH_ASSERT_CMP((unsigned)*v, <, (unsigned)(END)); \
		*at = (uint8_t)*v;                               \
		return at + 1;                                   \
	}                                                        \
	static bool get_##kind(struct reader *r, type *ret_v)    \
	{                                                        \
		uint8_t byte;                                    \
		if (!get_below(r, (END), &byte))                 \
			return false;                            \
		*ret_v = (type)byte;                             \
		return true;                                     \
	}

ENUM_KIND(state, enum task_state, TASK_STATE_COUNT)
ENUM_KIND(reason, enum task_reason, REASON_COUNT)
ENUM_KIND(serializer, enum serializer, SERIALIZER_COUNT)
ENUM_KIND(why, enum wire_bye_why, WIRE_BYE_END)
ENUM_KIND(mode, enum wire_mode, WIRE_MODE_END)
ENUM_KIND(how, enum wire_drain_how, WIRE_DRAIN_END)

/* ---- bytes of a fixed length ---- */

static size_t len_id(const struct fh_id *v)
{
	return sizeof v->b;
}

static uint8_t *put_id(uint8_t *at, const struct fh_id *v)
{
	memcpy(at, v->b, sizeof v->b);
	return at + sizeof v->b;
}

static bool get_id(struct reader *r, struct fh_id *ret_v)
{
	if (r->left < sizeof ret_v->b)
		return false;
	memcpy(ret_v->b, r->at, sizeof ret_v->b);
	r->at += sizeof ret_v->b;
	r->left -= sizeof ret_v->b;
	return true;
}

static size_t len_token(const struct task_token *v)
{
	(void)v;
	return 8;
}

static uint8_t *put_token(uint8_t *at, const struct task_token *v)
{
	return put_u32(put_u32(at, &v->attempt), &v->generation);
}

static bool get_token(struct reader *r, struct task_token *ret_v)
{
	return get_u32(r, &ret_v->attempt) && get_u32(r, &ret_v->generation);
}

/* A word: printable ASCII, at most 7 characters, padded with NULs to 8. */
enum { WORD = 8 };

static size_t len_word(const char (*v)[WORD])
{
	return sizeof *v;
}

static uint8_t *put_word(uint8_t *at, const char (*v)[WORD])
{
	memset(at, 0, WORD);
	memcpy(at, *v, strnlen(*v, WORD - 1));
	return at + WORD;
}

static bool get_word(struct reader *r, char (*ret_v)[WORD])
{
	if (r->left < WORD)
		return false;
	size_t len = strnlen((const char *)r->at, WORD);
	for (size_t i = 0; i < WORD; i++)
		if (i < len ? r->at[i] < 0x21 || r->at[i] > 0x7E : r->at[i] != 0)
			return false;
	if (len == WORD)
		return false;
	memcpy(*ret_v, r->at, WORD);
	r->at += WORD;
	r->left -= WORD;
	return true;
}

/* ---- bytes that bring their length ---- */

/* True with *ret_data NULL: it is absent. */
static bool get_bytes(struct reader *r, const uint8_t **ret_data, uint32_t *ret_len)
{
	*ret_data = NULL;
	if (!get_u32(r, ret_len))
		return false;
	if (*ret_len == absent)
		return true;
	if (*ret_len > r->left)
		return false;
	*ret_data = r->at;
	r->at += *ret_len;
	r->left -= *ret_len;
	return true;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t len)
{
	uint32_t len32 = data ? (uint32_t)len : absent;
	at = put_u32(at, &len32);
	if (!data)
		return at;
	memcpy(at, data, len);
	return at + len;
}

static size_t len_text(char *const *v)
{
	return 4 + (*v ? strlen(*v) : 0);
}

static uint8_t *put_text(uint8_t *at, char *const *v)
{
	return put_bytes(at, *v, *v ? strlen(*v) : 0);
}

static bool get_text(struct reader *r, char **ret_v)
{
	const uint8_t *data;
	uint32_t len;
	if (!get_bytes(r, &data, &len))
		return false;
	if (!data)
		return true;
	if (memchr(data, 0, len) || utf8_valid_len(data, len) != len)
		return false;
	char *text = fh_malloc((size_t)len + 1);
	if (!text) {
		r->ret = FH_ENOMEM;
		return false;
	}
	memcpy(text, data, len);
	text[len] = '\0';
	*ret_v = text;
	return true;
}

static size_t len_blob(struct blob *const *v)
{
	return 4 + (*v ? (*v)->len : 0);
}

static uint8_t *put_blob(uint8_t *at, struct blob *const *v)
{
	return put_bytes(at, *v ? (*v)->data : NULL, *v ? (*v)->len : 0);
}

static bool get_blob(struct reader *r, struct blob **ret_v)
{
	const uint8_t *data;
	uint32_t len;
	if (!get_bytes(r, &data, &len))
		return false;
	if (!data)
		return true;
	*ret_v = blob_copy(data, len);
	if (!*ret_v)
		r->ret = FH_ENOMEM;
	return *ret_v != NULL;
}

/* ---- lists of (task, token) ---- */

enum { REF_LEN = 24 };

static size_t len_refs(const struct wire_refs *v)
{
	return 4 + (size_t)v->count * REF_LEN;
}

static uint8_t *put_refs(uint8_t *at, const struct wire_refs *v)
{
	at = put_u32(at, &v->count);
	for (uint32_t i = 0; i < v->count; i++)
		at = put_token(put_id(at, &v->list[i].task), &v->list[i].token);
	return at;
}

static bool get_refs(struct reader *r, struct wire_refs *ret_v)
{
	uint32_t count;
	if (!get_u32(r, &count) || count > r->left / REF_LEN)
		return false;
	if (count == 0)
		return true;
	ret_v->list = fh_calloc(count, sizeof *ret_v->list);
	if (!ret_v->list) {
		r->ret = FH_ENOMEM;
		return false;
	}
	ret_v->count = count;
	for (uint32_t i = 0; i < count; i++)
		if (!get_id(r, &ret_v->list[i].task) || !get_token(r, &ret_v->list[i].token))
			return false;
	return true;
}

/* ---- whole messages ---- */

size_t wire_encoded_len(const struct wire_msg *m)
{
	size_t len = 1;
	switch (m->type) {
#define FIELD(kind, member) len += len_##kind(&m->member);
#define MESSAGE(name, fields) \
	case WIRE_##name:     \
		fields(FIELD) return len;
		WIRE_MESSAGES(MESSAGE) // NOLINT(bugprone-branch-clone): some have the same fields
#undef MESSAGE
#undef FIELD
	case WIRE_TYPE_END:
		break;
	}
	FH_UNREACHABLE("a message without a type");
}

void wire_encode(const struct wire_msg *m, uint8_t *out)
{
	uint8_t *at = out;
	*at++ = (uint8_t)m->type;
	switch (m->type) {
#define FIELD(kind, member) at = put_##kind(at, &m->member);
#define MESSAGE(name, fields) \
	case WIRE_##name:     \
		fields(FIELD) break;
		WIRE_MESSAGES(MESSAGE) // NOLINT(bugprone-branch-clone): some have the same fields
#undef MESSAGE
#undef FIELD
	case WIRE_TYPE_END:
		FH_UNREACHABLE("a message without a type");
	}
	FH_ASSERT_CMP((size_t)(at - out), ==, wire_encoded_len(m));
}

/* The name of the field that does not fit; NULL: all do. */
static const char *get_fields(struct reader *r, struct wire_msg *m)
{
	switch (m->type) {
#define FIELD(kind, member)             \
	if (!get_##kind(r, &m->member)) \
		return #member;
#define MESSAGE(name, fields) \
	case WIRE_##name:     \
		fields(FIELD) return NULL;
		WIRE_MESSAGES(MESSAGE) // NOLINT(bugprone-branch-clone): some have the same fields
#undef MESSAGE
#undef FIELD
	case WIRE_TYPE_END:
		break;
	}
	FH_UNREACHABLE("a message without a type");
}

int wire_decode(const uint8_t *data, size_t len, struct wire_msg *ret_msg, struct fh_err *err)
{
	struct reader r = { .at = data, .left = len, .ret = FH_EPROTO };
	uint8_t type;
	if (!get_u8(&r, &type))
		return fh_err_set(err, FH_EPROTO, "an empty message");
	if (type == 0 || type >= WIRE_TYPE_END)
		return fh_err_set(err, FH_EPROTO, "a message of unknown type %u", type);
	struct wire_msg m = { .type = (enum wire_type)type };
	const char *wrong = get_fields(&r, &m);
	if (!wrong && r.left == 0) {
		*ret_msg = m;
		return 0;
	}
	wire_msg_release(&m);
	if (r.ret == FH_ENOMEM)
		return fh_err_set(err, FH_ENOMEM, "no memory for a message");
	if (!wrong)
		return fh_err_set(err, FH_EPROTO, "%s with %zu bytes too many",
				  wire_type_name((enum wire_type)type), r.left);
	return fh_err_set(err, FH_EPROTO, "%s with a wrong %s",
			  wire_type_name((enum wire_type)type), wrong);
}
