/* Where a request begins and ends in a connection's bytes, strictly: what two programs could read
 * in two ways is refused, so that no byte of one request is ever taken for another one. Pure: bytes
 * in, verdict out. evhttp parses the same bytes again, but only what has passed here. */
#ifndef FARHAND_HTTP_FRAME_H
#define FARHAND_HTTP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "http/http.h"
#include "http/problem.h"

/* Why a request is refused: the answer that it gets. Strings are static. */
struct frame_fault {
	enum problem_kind kind; /* PROBLEM_NONE: no fault */
	const char *detail;
};

struct frame_head {
	size_t len; /* of the head, its empty line included */
	bool chunked;
	uint64_t body_len;   /* 0 where there is none, or it is chunked */
	uint64_t body_limit; /* for this kind of body; a larger body_len is not a fault of the head
			      */
};

/* How far the lines of a head that is not complete have been looked at; zero at its start. */
struct frame_scan {
	size_t at;
	uint32_t lines;
};

/* Reads a head. 1: complete, ret_head is set. 0: more bytes are needed; `scan` remembers.
 * FH_EPROTO: `ret_fault` says why; the connection can only be closed after the answer. */
int frame_read_head(const struct http_limits *limits, const char *data, size_t len,
		    struct frame_scan *scan, struct frame_head *ret_head,
		    struct frame_fault *ret_fault) FH_MUST_USE;

enum { FRAME_CHUNK_LINE_MAX = 32 }; /* bytes that a chunk's size line may need */

/* Reads the line with a chunk's size, and with size 0 the empty line that ends the body too.
 * 1: `ret_used` bytes were that, `ret_size` bytes follow. 0: more bytes are needed. FH_EPROTO. */
int frame_read_chunk(const char *data, size_t len, size_t *ret_used, uint64_t *ret_size,
		     struct frame_fault *ret_fault) FH_MUST_USE;

/* The fault of a body that passes its limit, and of a chunk that does not end where it says. */
extern const struct frame_fault frame_fault_too_large, frame_fault_chunk_end;

#endif
