/* The messages on the socket between the worker and one Python child, in native byte order: one
 * message is one frame, and the socket keeps their bounds. runner_child.py is the other side.
 *
 *   worker -> child   FUNCTION  place, the pickled callable      (goes before the first job of it)
 *                     JOB       place, limits, retry classes, the pickled (args, kwargs)
 *   child -> worker   HELLO     up and idle
 *                     STARTED   job, the resident bytes that it begins with
 *                     RESULT    job, reason, times, value, texts, output
 *                     GIVEN_BACK  job: not begun, its function or its arguments are not there
 *
 * A frame of more than FRAME_INLINE_MAX bytes leaves its long part in a memory file: to the child
 * in one that both have, from the child in one that comes along. What a child sends is checked here
 * and never trusted: a function can write to its runner's socket. This file only decodes; it
 * touches no descriptor. */
#ifndef FARHAND_RUNNER_FRAME_H
#define FARHAND_RUNNER_FRAME_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/record.h"

enum {
	FRAME_INLINE_MAX = 64 * 1024,
	FRAME_MESSAGE_MAX = FRAME_INLINE_MAX + 4096, /* a child reads no more at once */
	FRAME_CLASSES_MAX = 4000,		     /* retry classes, which are always inline */
	FRAME_FUNCTIONS_MAX = 64,		     /* places for functions in a child */
	FRAME_TEXT_MAX = 64 * 1024,		     /* each of an error's texts */
};

enum frame_kind {
	FRAME_FUNCTION = 1,
	FRAME_JOB,
	FRAME_HELLO,
	FRAME_STARTED,
	FRAME_RESULT,
	FRAME_GIVEN_BACK,
};

enum frame_request_flag {
	FRAME_ANNOUNCE = 1, /* send STARTED */
	FRAME_IN_FILE = 2,  /* the pickle is in the channel's file, here is a frame_region */
	FRAME_LAST = 4,	    /* end after this job, to be replaced */
};

enum frame_answer_flag {
	FRAME_RETRY_MATCH = 1,
	FRAME_OUT_CUT = 4,
	FRAME_ERR_CUT = 8,
	FRAME_LEAVING = 16, /* it was the last job, or left something behind: the child ends now */
	FRAME_ANSWER_FLAGS = 1 | 4 | 8 | 16,
};

/* FUNCTION and JOB; behind it the retry classes, then the pickle unless FRAME_IN_FILE. HELLO,
 * STARTED and GIVEN_BACK have the same form. */
struct frame_request {
	uint8_t kind, flags;
	uint16_t place; /* of the function in the child */
	uint32_t classes_len;
	uint64_t job;	/* for FUNCTION: the job before which it goes */
	uint64_t bytes; /* JOB: memory limit, 0: none; FUNCTION: enum serializer; STARTED:
			   resident bytes; GIVEN_BACK: 1 if the child ends */
	/* Every FUNCTION has a number of its own in the life of a child, and a JOB names the one
	 * that it needs. When jobs are taken back while the child reads, it can come to a JOB whose
	 * FUNCTION was taken: it finds another number in that place and gives the job back. */
	uint64_t version;
};
static_assert(sizeof(struct frame_request) == 32, "as struct FRAME in runner_child.py");

/* Where the pickle is, instead of the pickle itself, with FRAME_IN_FILE. */
struct frame_region {
	uint64_t offset, len;
};

/* RESULT; its sections are the value, the error's type, message and traceback, stdout, stderr:
 * behind it, or in the file that comes along. */
struct frame_answer {
	uint8_t kind, reason;
	uint16_t flags;
	uint32_t type_len;
	uint64_t job;
	int64_t started_ms;
	uint32_t deserialize_us, run_us, serialize_us;
	uint32_t message_len;
	uint64_t value_len;
	uint32_t traceback_len, out_len, err_len;
	uint32_t unused;
};
static_assert(sizeof(struct frame_answer) == 64, "as struct ANSWER in runner_child.py");

/* What the worker accepts. */
struct frame_bounds {
	size_t value_max, log_max;
};

struct frame {
	enum frame_kind kind; /* HELLO, STARTED, RESULT or GIVEN_BACK */
	uint64_t job;
	uint64_t bytes;		    /* STARTED: resident; GIVEN_BACK: 1 if the child ends */
	struct frame_answer answer; /* RESULT: checked; its sections have `rest_len` bytes beside
				       the value */
	size_t rest_len;
};

/* Decodes and checks one message from a child. `in_file`: a file came along, which then has the
 * sections of a RESULT. FH_EPROTO for whatever a child of ours would not send. */
int frame_decode(const uint8_t *data, size_t len, bool in_file, const struct frame_bounds *bounds,
		 struct frame *ret_frame) FH_MUST_USE;

/* Makes the record of a RESULT. `value` is referenced, and may be NULL for a failure; `rest` are
 * the `rest_len` bytes behind it. Texts become valid UTF-8. The runtime's name and the end are the
 * caller's to set. FH_ENOMEM. */
int frame_result(const struct frame *f, struct blob *value, const uint8_t *rest,
		 struct task_result *ret_result) FH_MUST_USE;

/* A copy as a string; a NUL or what is not UTF-8 becomes '?'. NULL without memory. */
char *frame_text(const uint8_t *data, size_t len);

#endif
