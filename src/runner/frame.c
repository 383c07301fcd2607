/* Decodes what a child sends. Happy path: the head is copied out, its lengths are compared with
 * what is there and with the worker's bounds, then the sections become a result record. Failure
 * modes: any head that a child of ours would not send is FH_EPROTO, before memory is taken; texts
 * that are not UTF-8 are mended, because they end up in JSON. */
#include "runner/frame.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/utf8.h"

static bool reason_is_a_childs(uint8_t reason)
{
	switch (reason) {
	case REASON_NONE:
	case REASON_EXCEPTION:
	case REASON_MEMORY:
	case REASON_UNDECODABLE:
	case REASON_UNSERIALISABLE:
	case REASON_RESULT_TOO_LARGE:
		return true;
	default:
		return false;
	}
}

static bool lengths_fit(const struct frame_answer *a, const struct frame_bounds *bounds)
{
	if (a->value_len > bounds->value_max || a->out_len > bounds->log_max ||
	    a->err_len > bounds->log_max)
		return false;
	if (a->reason == REASON_NONE)
		return a->value_len > 0 && !a->type_len && !a->message_len && !a->traceback_len;
	return a->type_len > 0 && a->type_len <= FRAME_TEXT_MAX &&
	       a->message_len <= FRAME_TEXT_MAX && a->traceback_len <= FRAME_TEXT_MAX;
}

static int decode_answer(const uint8_t *data, size_t len, bool in_file,
			 const struct frame_bounds *bounds, struct frame *ret_frame)
{
	struct frame_answer a;
	if (len < sizeof a)
		return FH_EPROTO;
	memcpy(&a, data, sizeof a);
	if (!reason_is_a_childs(a.reason) || (a.flags & ~FRAME_ANSWER_FLAGS) ||
	    !lengths_fit(&a, bounds))
		return FH_EPROTO;
	size_t rest = (size_t)a.type_len + a.message_len + a.traceback_len + a.out_len + a.err_len;
	size_t here = len - sizeof a;
	if (in_file ? here != 0 : here < rest || here - rest != a.value_len)
		return FH_EPROTO;
	*ret_frame =
		(struct frame){ .kind = FRAME_RESULT, .job = a.job, .answer = a, .rest_len = rest };
	return 0;
}

int frame_decode(const uint8_t *data, size_t len, bool in_file, const struct frame_bounds *bounds,
		 struct frame *ret_frame)
{
	if (len == 0)
		return FH_EPROTO;
	if (data[0] == FRAME_RESULT)
		return decode_answer(data, len, in_file, bounds, ret_frame);
	struct frame_request head;
	if (len != sizeof head || in_file)
		return FH_EPROTO;
	memcpy(&head, data, sizeof head);
	if (head.kind != FRAME_HELLO && head.kind != FRAME_STARTED && head.kind != FRAME_GIVEN_BACK)
		return FH_EPROTO;
	*ret_frame = (struct frame){ .kind = (enum frame_kind)head.kind,
				     .job = head.job,
				     .bytes = head.bytes };
	return 0;
}

char *frame_text(const uint8_t *data, size_t len)
{
	char *text = fh_malloc(len + 1);
	if (!text)
		return NULL;
	for (size_t at = 0; at < len;) {
		size_t n = data[at] ? utf8_char_len(data + at, len - at) : 0;
		if (n == 0)
			text[at++] = '?';
		for (; n > 0; n--, at++)
			text[at] = (char)data[at];
	}
	text[len] = 0;
	return text;
}

static int take_text(const uint8_t **at, size_t len, char **ret_text)
{
	char *text = frame_text(*at, len);
	if (!text)
		return FH_ENOMEM;
	*at += len;
	*ret_text = text;
	return 0;
}

static int take_output(const uint8_t **at, size_t len, struct blob **ret_output)
{
	if (len == 0)
		return 0;
	struct blob *b = blob_copy(*at, len);
	if (!b)
		return FH_ENOMEM;
	*at += len;
	*ret_output = b;
	return 0;
}

int frame_result(const struct frame *f, struct blob *value, const uint8_t *rest,
		 struct task_result *ret_result)
{
	const struct frame_answer *a = &f->answer;
	FH_ASSERT(f->kind == FRAME_RESULT);
	struct task_result r = {
		.state = a->reason == REASON_NONE ? TASK_COMPLETED : TASK_FAILED,
		.reason = (enum task_reason)a->reason,
		.out_cut = a->flags & FRAME_OUT_CUT,
		.err_cut = a->flags & FRAME_ERR_CUT,
		.started_ms = a->started_ms,
		.deserialize_us = a->deserialize_us,
		.run_us = a->run_us,
		.serialize_us = a->serialize_us,
	};
	int ret = 0;
	if (r.state == TASK_FAILED) {
		ret = take_text(&rest, a->type_len, &r.error_type);
		if (ret == 0)
			ret = take_text(&rest, a->message_len, &r.error_message);
		if (ret == 0 && a->traceback_len)
			ret = take_text(&rest, a->traceback_len, &r.traceback);
	}
	if (ret == 0)
		ret = take_output(&rest, a->out_len, &r.out);
	if (ret == 0)
		ret = take_output(&rest, a->err_len, &r.err);
	if (ret) {
		task_result_release(&r);
		return ret;
	}
	r.value = blob_ref(value);
	*ret_result = r;
	return 0;
}
