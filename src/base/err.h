/* Errors as values. Every fallible function of ours returns 0 or a negative FH_E* code; results go
 * through ret_* parameters, which are written only on success, and a failed call changes nothing.
 * One list gives the code, the text and the HTTP status, so that they cannot drift apart.
 *
 * Detail for people travels beside the code in a `struct fh_err`: one line of text, which a layer
 * may wrap once. Nothing here allocates or logs. */
#ifndef FARHAND_BASE_ERR_H
#define FARHAND_BASE_ERR_H

/*   name        http  text */
#define FH_ERRORS(X)                                                             \
	X(NOMEM, 503, "out of memory")                                           \
	X(INVAL, 422, "invalid value")                                           \
	X(SYNTAX, 400, "malformed input")                                        \
	X(NOTFOUND, 404, "not found")                                            \
	X(EXISTS, 409, "exists already")                                         \
	X(FULL, 503, "the queue is full")                                        \
	X(TOOBIG, 413, "too large")                                              \
	X(FINAL, 409, "the task is already final")                               \
	X(CONFLICT, 422, "the idempotency key came with another request before") \
	X(REPLAY, 200, "the idempotency key was used before")                    \
	X(BUSY, 503, "busy")                                                     \
	X(IO, 500, "input/output error")                                         \
	X(CLOSED, 503, "closed")                                                 \
	X(AGAIN, 503, "would block")                                             \
	X(STALE, 409, "stale token")                                             \
	X(VERSION, 500, "unsupported version")                                   \
	X(PROTO, 400, "protocol violation")                                      \
	X(LIMIT, 503, "a limit was reached")                                     \
	X(GONE, 410, "gone")                                                     \
	X(UNFIT, 409, "no worker has what the task needs")

enum fh_error_ordinal {
	FH_ORDINAL_OK,
#define X(name, http, text) FH_ORDINAL_##name,
	FH_ERRORS(X)
#undef X
		FH_ORDINAL_COUNT,
};

enum fh_error {
	FH_OK = 0,
#define X(name, http, text) FH_E##name = -FH_ORDINAL_##name,
	FH_ERRORS(X)
#undef X
};

#define FH_MUST_USE	     __attribute__((warn_unused_result))
#define FH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* One line of detail, always terminated. */
struct fh_err {
	char text[256];
};

/* The text of a code; "unknown error" for what is not in the list. Static memory. */
const char *fh_error_text(int code);

/* The name of a code without its prefix, such as "NOTFOUND"; "UNKNOWN" otherwise. Static memory. */
const char *fh_error_name(int code);

/* The HTTP status that answers a code; 500 for what is not in the list. */
int fh_error_http(int code);

/* Writes the line (truncated to fit) and returns `code`, so that one can
 * `return fh_err_set(err, FH_EINVAL, "...")`. `err` may be NULL. */
int fh_err_set(struct fh_err *err, int code, const char *fmt, ...) FH_PRINTF(3, 4);

/* Puts "<text>: " before the line that is there, and returns `code`. `err` may be NULL. */
int fh_err_wrap(struct fh_err *err, int code, const char *text);

/* What stands behind a noun in a line for people: "%u worker%s", n, fh_plural_s(n). */
static inline const char *fh_plural_s(unsigned long long n)
{
	return n == 1 ? "" : "s";
}

#endif
