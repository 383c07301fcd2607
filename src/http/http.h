/* The gateway: an HTTP/1.1 server on the loop's thread. It turns bytes into a checked request, a
 * request into a `struct call` (http/call.h) for the sink, and an answered call into bytes. It
 * knows nothing of scheduling, decodes no pickle, and blocks on nothing.
 *
 * One server belongs to one event_base and is used from that base's thread only. No request,
 * valid or not, makes it exit; every limit below ends in an answer or a closed connection. */
#ifndef FARHAND_HTTP_HTTP_H
#define FARHAND_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "http/call.h"

struct event_base;
struct http_server;

/* All of them are hard. Times are milliseconds. */
struct http_limits {
	uint32_t connections;	 /* accepted at the same time; more wait in the kernel's backlog */
	uint32_t parked;	 /* long polls that wait at the same time; more: 503 */
	uint32_t head_bytes;	 /* request line and header lines: 431 */
	uint32_t head_lines;	 /* header lines: 431 */
	uint32_t url_bytes;	 /* 414 */
	size_t body_bytes;	 /* any request body: 413 */
	size_t json_bytes;	 /* a JSON body: 413 */
	size_t payload_bytes;	 /* one pickled callable or argument tuple, decoded: 413 */
	size_t unfinished_bytes; /* bodies of requests that are not answered, all together, but for
				    parked ones; a connection that would pass it is not read until
				    there is room */
	size_t unsent_bytes;	 /* large answers that are being written, all together; what would
				    pass it is not made but answered with 503, unless it is alone */
	uint32_t head_ms;	 /* first byte of a request to the end of its head */
	uint32_t body_ms;	 /* grace for a body, plus one second for every `body_rate` bytes */
	uint32_t body_rate;	 /* bytes a second that a client must keep up */
	uint32_t idle_ms;	 /* between two requests of a connection */
	uint32_t write_ms;	 /* without the client reading a byte of an answer */
};

#define HTTP_LIMITS_DEFAULT                                                                     \
	{                                                                                       \
		.connections = 8192, .parked = 4096, .head_bytes = 16 << 10, .head_lines = 100, \
		.url_bytes = 8 << 10, .body_bytes = 64 << 20, .json_bytes = 8 << 20,            \
		.payload_bytes = 10 << 20, .unfinished_bytes = 256 << 20,                       \
		.unsent_bytes = 64 << 20, .head_ms = 10000, .body_ms = 10000,                   \
		.body_rate = 16 << 10, .idle_ms = 60000, .write_ms = 30000                      \
	}

struct http_config {
	struct event_base *base;
	const char *host; /* "127.0.0.1", "::1", "localhost": the address to listen on */
	uint16_t port;	  /* 0: a free one, see http_server_port() */
	struct call_sink sink;
	struct http_limits limits;
	int64_t (*now_ms)(void *ctx);  /* Unix milliseconds of the wall clock */
	uint64_t (*random)(void *ctx); /* 64 fresh random bits, for ids */
	void *ctx;
	const char *version; /* "0.1.0", for /version; static */
};

/* Precondition: the process ignores SIGPIPE, as clients leave whenever they like.
 * Listens, and serves as soon as the base's loop runs; /readyz says 503 until set_ready().
 * FH_ENOMEM; FH_EINVAL: the host is not an address of this machine; FH_EIO: the port cannot be
 * bound. The reason is in `err`. The config is copied; `version` is borrowed. */
int http_server_new(const struct http_config *config, struct http_server **ret_server,
		    struct fh_err *err) FH_MUST_USE;

/* The port that it listens on. */
uint16_t http_server_port(const struct http_server *s);

/* What /readyz says. While not ready, everything else works as ever. */
void http_server_set_ready(struct http_server *s, bool ready);

/* Takes no new connection, and closes each open one after the answer to its current request. */
void http_server_close_listener(struct http_server *s);

/* Requests that were read and are not yet answered to the last byte: what an orderly stop waits
 * for, after the sink has been stopped. */
size_t http_server_open_requests(const struct http_server *s);

/* Closes all connections and releases everything. Calls that are not done are released with it: the
 * sink must not touch one any more, so it is stopped before. Nulls the pointer; accepts a pointer
 * to NULL. */
void http_server_free(struct http_server **s);

#endif
