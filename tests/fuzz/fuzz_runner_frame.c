/* Whatever a child sends to the worker: the first byte says whether the sections come in a file,
 * then the message, and the file behind it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "runner/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	if (text)
		FH_ASSERT_CMP(utf8_valid_len((const uint8_t *)text, strlen(text)), ==,
			      strlen(text));
}

static void check_result(const struct frame *f, const uint8_t *sections)
{
	struct task_result r;
	size_t value_len = (size_t)f->answer.value_len;
	struct blob *value = value_len ? blob_copy(sections, value_len) : NULL;
	FH_ASSERT(frame_result(f, value, sections + value_len, &r) == 0);
	FH_ASSERT((r.state == TASK_COMPLETED) == (r.reason == REASON_NONE));
	FH_ASSERT((r.state == TASK_COMPLETED) == (r.error_type == NULL));
	check_text(r.error_type);
	check_text(r.error_message);
	check_text(r.traceback);
	task_result_release(&r);
	blob_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct frame_bounds bounds = { 1 << 16, 1 << 12 };
	if (size == 0)
		return 0;
	bool in_file = data[0] & 1;
	data++;
	size--;
	size_t len =
		in_file && size > sizeof(struct frame_answer) ? sizeof(struct frame_answer) : size;
	/* A copy of exactly its size, so that a read beyond its end is seen. */
	uint8_t *message = fh_malloc(len);
	struct frame f;
	FH_ASSERT(message);
	memcpy(message, data, len);
	if (frame_decode(message, len, in_file, &bounds, &f) == 0 && f.kind == FRAME_RESULT) {
		size_t need = (size_t)f.answer.value_len + f.rest_len;
		if (!in_file)
			check_result(&f, message + sizeof f.answer);
		else if (size - len >= need)
			check_result(&f, data + len);
	}
	fh_free(message);
	return 0;
}
