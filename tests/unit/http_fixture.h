/* A gateway that listens on a free port of the loopback device, over a sink that the test is; and
 * clients that speak to it in bytes. One thread: whatever waits, runs the loop meanwhile. */
#ifndef FARHAND_TESTS_HTTP_FIXTURE_H
#define FARHAND_TESTS_HTTP_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/record.h"
#include "http/call.h"
#include "http/http.h"

struct event;
struct event_base;

enum {
	FIXTURE_WAIT_MS = 20000,
	FIXTURE_VIEWS_MAX = 4,
	FIXTURE_FUNCTIONS_MAX = 8,
	FIXTURE_WORKERS_MAX = 8
};

/* A pickle of ((1,), {}) and of a small function, in base64. */
#define PICKLE	    "gASVCQAAAAAAAABLAYWUfZSGlC4="
#define FUNCTION_ID "0190c2a6-1111-7222-8333-444455556666"
#define TASK_ID	    "0190c2a6-aaaa-7222-8333-444455556666"
#define GROUP_ID    "0190c2a6-bbbb-7222-8333-444455556666"
#define WORKER_ID   "5b4c2a6e-cccc-4222-8333-444455556666"
#define JSON_TYPE   "Content-Type: application/json\r\n"
#define OCTETS_TYPE "Content-Type: application/octet-stream\r\n"

struct fixture {
	struct event_base *base;
	struct http_server *server;
	struct http_config config;
	struct event *work;
	struct event *tick; /* so that a turn of the loop ends */
	int64_t now_ms;
	uint64_t random;
	/* What the sink holds and has seen. */
	struct list calls;
	bool hold; /* answer nothing until fixture_answer() */
	uint32_t submitted, answered, abandoned;
	/* How it answers. */
	int ret;
	const char *err;
	uint32_t retry_after_s;
	bool running; /* a cancelled task runs */
	bool exists;  /* a function was there already */
	int item_ret; /* of the second item of a batch */
	struct function_rec function;
	uint32_t function_count; /* in a list */
	struct function_rec functions[FIXTURE_FUNCTIONS_MAX];
	struct task_rec task;
	struct task_result result; /* shown when the task is final */
	struct group_rec group;
	struct call_view views[FIXTURE_VIEWS_MAX];
	uint32_t view_count;
	struct call_worker worker;
	uint32_t worker_count; /* in a list */
	struct call_worker workers[FIXTURE_WORKERS_MAX];
	struct call_explanation explanation;
	/* The first answer under an idempotency key. */
	char key[256], location[128];
	uint8_t fingerprint[32];
	int status;
	struct blob *body;
	/* Looks at a call before it is answered. */
	void (*look)(struct fixture *f, struct call *c);
	void *look_at;
};

struct client {
	struct fixture *f;
	int fd;
	char *data; /* received, not yet taken; terminated */
	size_t len, room;
	bool closed; /* by the server */
};

struct response {
	int status; /* 0: the connection was closed instead */
	char *head; /* terminated */
	char *body; /* terminated */
	size_t body_len;
};

/* Limits may be changed before: fixture_new(&limits), NULL for the defaults. */
struct fixture *fixture_new(const struct http_limits *limits);
void fixture_free(struct fixture **f);

/* Answers what is held. */
void fixture_answer(struct fixture *f);

/* Runs the loop until the condition holds; fails the test when it does not for too long. */
#define fixture_until(f, condition)                                   \
	do {                                                          \
		int64_t until_ms = fixture_clock() + FIXTURE_WAIT_MS; \
		while (!(condition))                                  \
			fixture_turn(f, until_ms, #condition);        \
	} while (0)
int64_t fixture_clock(void);
void fixture_turn(struct fixture *f, int64_t until_ms, const char *condition);

void client_open(struct client *c, struct fixture *f);
void client_close(struct client *c);
void client_send(struct client *c, const void *data, size_t len);
void client_print(struct client *c, const char *fmt, ...) FH_PRINTF(2, 3);

/* The next response, to be released; a HEAD's has no body whatever its head says. */
struct response client_read(struct client *c, bool head_only);
void response_release(struct response *r);

/* A header's value, in static memory; NULL if it is not there. */
const char *response_header(const struct response *r, const char *name);

/* One request on a connection of its own. `headers` are lines with CR LF; `body` may be NULL. */
struct response fixture_request(struct fixture *f, const char *method, const char *target,
				const char *headers, const char *body);

/* The status alone. */
int fixture_status(struct fixture *f, const char *method, const char *target, const char *headers,
		   const char *body);

#endif
