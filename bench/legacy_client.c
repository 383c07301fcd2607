/* A client of the four old endpoints as somebody would have written it, compiled so that it costs
 * little: keep-alive connections, each with some tasks outstanding, one request a task to submit
 * it, then GET /result of its oldest task until that is done. No pipelining: a connection waits for
 * each answer.
 *
 * usage: legacy_client PORT tasks N CONNECTIONS OUTSTANDING FUNCTION_ID PAYLOAD RESULT
 *        legacy_client PORT gets N CONNECTIONS
 *
 * PAYLOAD and RESULT are base64 without newlines; every result is compared. `gets` asks for / as
 * often: what the machine and the server do when no task is behind a request. Prints one line:
 * seconds, requests, polls that found a task unfinished, answers 503. All work is on loopback. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CONNECTIONS_MAX = 256,
	OUTSTANDING_MAX = 4096,
	ID_LEN = 36,
	BUFFER_LEN = 1 << 16,
	PAUSE_US = 2000,      /* after a poll that found the oldest task unfinished */
	BUSY_PAUSE_US = 50000 /* after a 503 */
};

enum asking { ASKING_NOTHING, ASKING_SUBMIT, ASKING_RESULT, ASKING_ROOT };

struct connection {
	int fd;
	enum asking asking;
	char (*ids)[ID_LEN + 1]; /* a ring of the outstanding tasks, oldest first */
	unsigned first, count;
	int64_t resume_us; /* while it asks nothing: when to go on */
	char in[BUFFER_LEN];
	size_t in_len;
};

struct load {
	uint16_t port;
	bool gets;
	long total, started, done;
	unsigned connections, outstanding;
	const char *function_id, *payload, *result;
	long requests, unfinished, busy;
	struct connection *all;
	int epoll;
};

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static _Noreturn void die(const char *what, const char *detail)
{
	fprintf(stderr, "legacy_client: %s: %s\n", what, detail);
	exit(1);
}

static void send_all(const struct connection *c, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(c->fd, data, len, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			die("send", strerror(errno));
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
}

static void ask(struct load *l, struct connection *c, enum asking what)
{
	char body[BUFFER_LEN / 2], request[BUFFER_LEN];
	int len;
	if (what == ASKING_SUBMIT) {
		int body_len = snprintf(body, sizeof body,
					"{\"function_id\": \"%s\", \"payload\": \"%s\"}",
					l->function_id, l->payload);
		if (body_len < 0 || (size_t)body_len >= sizeof body)
			die("payload", "too long");
		len = snprintf(request, sizeof request,
			       "POST /execute_function HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
			       "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			       l->port, body_len, body);
	} else {
		bool root = what == ASKING_ROOT;
		len = snprintf(request, sizeof request,
			       "GET /%s%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
			       root ? "" : "result/", root ? "" : c->ids[c->first], l->port);
	}
	c->asking = what;
	l->requests++;
	send_all(c, request, (size_t)len);
}

static void pause_for(struct connection *c, int64_t us)
{
	c->asking = ASKING_NOTHING;
	c->resume_us = now_us() + us;
}

/* What a connection that has its answer asks next; nothing when it has no more to do. */
static void go_on(struct load *l, struct connection *c)
{
	c->asking = ASKING_NOTHING;
	c->resume_us = INT64_MAX;
	if (l->started < l->total && (l->gets || c->count < l->outstanding)) {
		l->started++;
		ask(l, c, l->gets ? ASKING_ROOT : ASKING_SUBMIT);
	} else if (c->count > 0) {
		ask(l, c, ASKING_RESULT);
	}
}

/* The text behind `"key": "`, up to the next quote; NULL when it is not there. */
static const char *field(const char *body, const char *key, size_t *ret_len)
{
	char quoted[32];
	snprintf(quoted, sizeof quoted, "\"%s\"", key);
	const char *at = strstr(body, quoted);
	if (!at)
		return NULL;
	at += strlen(quoted);
	at += strspn(at, " :");
	if (*at++ != '"')
		return NULL;
	*ret_len = strcspn(at, "\"");
	return at;
}

/* Compares base64 that may hold JSON's \n between its lines with base64 that has none. */
static bool same_base64(const char *text, size_t len, const char *expected)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && i + 1 < len && text[i + 1] == 'n') {
			i++;
			continue;
		}
		if (*expected == '\0' || text[i] != *expected++)
			return false;
	}
	return *expected == '\0';
}

static void submitted(struct load *l, struct connection *c, const char *body)
{
	size_t len;
	const char *id = field(body, "task_id", &len);
	if (!id || len != ID_LEN)
		die("no task_id in the answer", body);
	char *place = c->ids[(c->first + c->count++) % l->outstanding];
	memcpy(place, id, ID_LEN);
	place[ID_LEN] = '\0';
}

/* True when the task is done; the connection pauses when it is not. */
static bool result_came(struct load *l, struct connection *c, const char *body)
{
	size_t status_len, result_len;
	const char *status = field(body, "status", &status_len);
	const char *result = field(body, "result", &result_len);
	if (!status || !result)
		die("no status or result in the answer", body);
	if (strncmp(status, "QUEUED", status_len) == 0 ||
	    strncmp(status, "RUNNING", status_len) == 0) {
		l->unfinished++;
		pause_for(c, PAUSE_US);
		return false;
	}
	if (strncmp(status, "COMPLETED", status_len) != 0 ||
	    !same_base64(result, result_len, l->result))
		die("a wrong result", body);
	c->first = (c->first + 1) % l->outstanding;
	c->count--;
	return true;
}

static void answered(struct load *l, struct connection *c, int status, const char *body)
{
	enum asking asked = c->asking;
	if (asked == ASKING_SUBMIT && status == 503) { /* the queue is full: the same again later */
		l->busy++;
		l->started--;
		pause_for(c, BUSY_PAUSE_US);
		return;
	}
	if (status < 200 || status > 299)
		die("unexpected answer", c->in);
	if (asked == ASKING_SUBMIT)
		submitted(l, c, body);
	else if (asked == ASKING_RESULT && !result_came(l, c, body))
		return;
	if (asked != ASKING_SUBMIT)
		l->done++;
	go_on(l, c);
}

/* Reads what has come; acts when the whole answer is there. */
static void readable(struct load *l, struct connection *c)
{
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - 1 - c->in_len, 0);
	if (n <= 0)
		die("the server closed a connection", n < 0 ? strerror(errno) : "");
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	char *end = strstr(c->in, "\r\n\r\n");
	if (!end)
		return;
	const char *length = strcasestr(c->in, "\r\ncontent-length:");
	if (!length || length > end)
		die("an answer without Content-Length", c->in);
	size_t whole = (size_t)(end + 4 - c->in) + strtoul(length + 17, NULL, 10);
	if (whole >= sizeof c->in)
		die("an answer is too long", "");
	if (c->in_len < whole)
		return;
	int status = (int)strtol(c->in + strlen("HTTP/1.1 "), NULL, 10);
	c->in_len = 0;
	answered(l, c, status, end + 4);
}

static void connect_all(struct load *l)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(l->port) };
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->all = calloc(l->connections, sizeof *l->all);
	if (l->epoll < 0 || !l->all)
		die("start", strerror(errno));
	for (unsigned i = 0; i < l->connections; i++) {
		struct connection *c = &l->all[i];
		int on = 1;
		c->ids = calloc(l->outstanding, sizeof *c->ids);
		c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!c->ids || c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
			die("connect", strerror(errno));
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
		if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
			die("epoll", strerror(errno));
	}
}

static void run(struct load *l)
{
	struct epoll_event events[CONNECTIONS_MAX];
	for (unsigned i = 0; i < l->connections; i++)
		go_on(l, &l->all[i]);
	while (l->done < l->total) {
		int n = epoll_wait(l->epoll, events, CONNECTIONS_MAX, 1);
		if (n < 0 && errno != EINTR)
			die("epoll_wait", strerror(errno));
		for (int i = 0; i < n; i++)
			readable(l, events[i].data.ptr);
		int64_t now = now_us();
		for (unsigned i = 0; i < l->connections; i++) {
			struct connection *c = &l->all[i];
			if (c->asking == ASKING_NOTHING && c->resume_us <= now)
				go_on(l, c);
		}
	}
}

int main(int argc, char **argv)
{
	bool gets = argc == 5 && strcmp(argv[2], "gets") == 0;
	if (!gets && !(argc == 9 && strcmp(argv[2], "tasks") == 0))
		die("usage", "PORT tasks N CONNECTIONS OUTSTANDING FUNCTION_ID PAYLOAD RESULT, or "
			     "PORT gets N CONNECTIONS");
	struct load l = {
		.port = (uint16_t)strtoul(argv[1], NULL, 10),
		.gets = gets,
		.total = strtol(argv[3], NULL, 10),
		.connections = (unsigned)strtoul(argv[4], NULL, 10),
		.outstanding = gets ? 1 : (unsigned)strtoul(argv[5], NULL, 10),
		.function_id = gets ? NULL : argv[6],
		.payload = gets ? NULL : argv[7],
		.result = gets ? NULL : argv[8],
	};
	if (l.connections < 1 || l.connections > CONNECTIONS_MAX || l.outstanding < 1 ||
	    l.outstanding > OUTSTANDING_MAX || l.total < 1)
		die("usage", "a number is out of range");
	connect_all(&l);
	int64_t began = now_us();
	run(&l);
	printf("%.6f %ld %ld %ld\n", (double)(now_us() - began) / 1e6, l.requests, l.unfinished,
	       l.busy);
	return 0;
}
