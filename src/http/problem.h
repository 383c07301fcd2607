/* Every error that the gateway answers, as RFC 9457 problem details. One list gives the code that
 * programs read, the status, and the title. */
#ifndef FARHAND_HTTP_PROBLEM_H
#define FARHAND_HTTP_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

struct exchange;
struct call;
struct text;

/*   name               status  code                    title */
#define PROBLEMS(X)                                                                            \
	X(BAD_REQUEST, 400, "bad_request", "The request is malformed")                         \
	X(INVALID_JSON, 400, "invalid_json", "The body is not valid JSON")                     \
	X(INVALID_PAYLOAD, 400, "invalid_payload", "The payload is not base64 of a pickle")    \
	X(FORBIDDEN_HOST, 403, "forbidden_host", "The server is not known by this name")       \
	X(FORBIDDEN_ORIGIN, 403, "forbidden_origin", "Web pages may not use the server")       \
	X(NOT_FOUND, 404, "not_found", "There is no such thing")                               \
	X(METHOD_NOT_ALLOWED, 405, "method_not_allowed", "The path does not take the method")  \
	X(FINAL, 409, "final", "The task is already final")                                    \
	X(RUNNING, 409, "running", "The task is running")                                      \
	X(NO_WORKER, 409, "no_worker", "No worker can run the task")                           \
	X(GONE, 410, "gone", "The result is not kept any more")                                \
	X(TOO_LARGE, 413, "too_large", "The request is too large")                             \
	X(URL_TOO_LONG, 414, "url_too_long", "The URL is too long")                            \
	X(UNSUPPORTED_TYPE, 415, "unsupported_media_type", "The path does not take this type") \
	X(UNKNOWN_EXPECTATION, 417, "unknown_expectation", "The expectation cannot be met")    \
	X(INVALID, 422, "invalid_request", "The request is not valid")                         \
	X(KEY_REUSED, 422, "idempotency_key_reused", "The key came with another request")      \
	X(HEAD_TOO_LARGE, 431, "head_too_large", "The request's head is too large")            \
	X(INTERNAL, 500, "internal", "The server has failed")                                  \
	X(UNKNOWN_METHOD, 501, "unknown_method", "The server does not know the method")        \
	X(QUEUE_FULL, 503, "queue_full", "The queue is full")                                  \
	X(LIMIT, 503, "limit", "A limit of the server is reached")                             \
	X(BUSY, 503, "busy", "The server is busy")                                             \
	X(CLOSING, 503, "closing", "The server is stopping")                                   \
	X(NO_MEMORY, 503, "no_memory", "The server has no memory left")                        \
	X(NOT_READY, 503, "not_ready", "The server is not ready")                              \
	X(UNKNOWN_VERSION, 505, "unknown_version", "The server speaks HTTP/1.1")

enum problem_kind {
	PROBLEM_NONE,
#define X(name, status, code, title) PROBLEM_##name,
	PROBLEMS(X)
#undef X
		PROBLEM_COUNT,
};

enum { FIELD_ERRORS_MAX = 16, FIELD_POINTER_MAX = 160, FIELD_DETAIL_MAX = 200 };

/* What is wrong where: JSON pointers into the body, or `?name` for a query parameter. Those beyond
 * the maximum are only counted. */
struct field_errors {
	size_t count;
	struct {
		char pointer[FIELD_POINTER_MAX];
		char detail[FIELD_DETAIL_MAX];
	} items[FIELD_ERRORS_MAX];
};

int problem_status(enum problem_kind kind);

/* The problem that answers an FH_E* code. */
enum problem_kind problem_of_error(int code);

/* What PROBLEM_NO_WORKER has besides: the outcome of needs_advice(). */
struct problem_unfit {
	const char *advice;
	unsigned lacking;
};

/* Writes `"status": ..., "code": ..., "title": ..., "detail": ...`, without braces; and the members
 * of `unfit`, unless it is NULL. */
void problem_members(struct text *t, enum problem_kind kind, const char *detail,
		     const struct problem_unfit *unfit);

/* Answers the exchange. `detail` is one line for people. */
void problem_reply(struct exchange *x, enum problem_kind kind, const char *detail);

/* The same with Retry-After and retry_after. */
void problem_reply_later(struct exchange *x, enum problem_kind kind, const char *detail,
			 uint32_t retry_after_s);

/* 422 with all that was found. Precondition: there is at least one. */
void problem_reply_fields(struct exchange *x, const struct field_errors *errors);

/* Answers with what a call has ended with; `ret` is not 0. */
void problem_reply_call(struct exchange *x, const struct call *call);

#endif
