/* The client commands, against a real gateway over a sink that the test is, and against a stub that
 * answers what no gateway would. A command runs in a thread of its own, for it blocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"
#include "cli/table.h"
#include "http_fixture.h"

enum { WORDS_MAX = 16 };

/* A command line that runs, and what has come of it. */
struct session {
	char line[512];
	FILE *out_file, *err_file; /* NULL `out_file` before: into `out` */
	char *out, *err;
	size_t out_len, err_len;
	int exit;
	pthread_t thread;
	atomic_bool done;
};

static void *session_run(void *arg)
{
	struct session *s = arg;
	char *words[WORDS_MAX], *rest = NULL;
	int count = 0;
	for (char *w = strtok_r(s->line, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		words[count++] = w;
	s->exit = cli_run(count, words, s->out_file, s->err_file);
	(void)fclose(s->out_file);
	(void)fclose(s->err_file);
	atomic_store(&s->done, true);
	return NULL;
}

static void session_start(struct session *s, const char *line)
{
	(void)snprintf(s->line, sizeof s->line, "%s", line);
	if (!s->out_file)
		s->out_file = open_memstream(&s->out, &s->out_len);
	s->err_file = open_memstream(&s->err, &s->err_len);
	assert_int_equal(pthread_create(&s->thread, NULL, session_run, s), 0);
}

static void session_end(struct session *s)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
}

static void session_release(struct session *s)
{
	free(s->out);
	free(s->err);
}

/* Runs a command against the gateway, and holds its end against what is expected: the exit code,
 * and pieces of what it says; NULL: nothing at all. */
static void expect(struct fixture *f, const char *line, int exit, const char *out, const char *err)
{
	struct session s = { .exit = -1 };
	session_start(&s, line);
	if (f)
		fixture_until(f, atomic_load(&s.done));
	session_end(&s);
	bool ok = s.exit == exit && (out ? strstr(s.out, out) != NULL : !*s.out) &&
		  (err ? strstr(s.err, err) != NULL : !*s.err);
	if (!ok)
		fail_msg("%s: exit %d\n--- out\n%s--- err\n%s", line, s.exit, s.out, s.err);
	session_release(&s);
}

static void use_url(const char *host, unsigned port)
{
	char url[64];
	(void)snprintf(url, sizeof url, "http://%s:%u", host, port);
	assert_int_equal(setenv("FARHAND_URL", url, 1), 0);
}

/* ---- words ---- */

static int parse(struct invocation *v, const struct command *c, const char *line,
		 struct fh_err *err)
{
	static char text[512];
	char *words[WORDS_MAX], *rest = NULL;
	int count = 0;
	(void)snprintf(text, sizeof text, "%s", line);
	for (char *w = strtok_r(text, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		words[count++] = w;
	*v = (struct invocation){ .command = c };
	*err = (struct fh_err){ "" };
	return args_parse(v, count, words, err);
}

static void what_flags_mean(void **state)
{
	struct invocation v;
	struct fh_err err;
	(void)state;
	assert_int_equal(unsetenv("FARHAND_URL"), 0);
	assert_int_equal(parse(&v, &workers_show, "abc", &err), 0);
	assert_string_equal(v.url, "http://127.0.0.1:8000");
	assert_string_equal(v.argument, "abc");
	assert_int_equal(v.output, OUTPUT_TABLE);
	assert_int_equal(setenv("FARHAND_URL", "http://lab:1", 1), 0);
	assert_int_equal(parse(&v, &workers_ls, "", &err), 0);
	assert_string_equal(v.url, "http://lab:1");
	assert_int_equal(parse(&v, &workers_ls, "--url=http://b:2 -o json", &err), 0);
	assert_string_equal(v.url, "http://b:2");
	assert_int_equal(v.output, OUTPUT_JSON);
	assert_int_equal(parse(&v, &workers_ls, "-o json --output=table", &err), 0);
	assert_int_equal(v.output, OUTPUT_TABLE);
	assert_int_equal(parse(&v, &workers_drain, "--wait -q abc --timeout 1.5", &err), 0);
	assert_true(v.wait);
	assert_int_equal(v.timeout_ms, 1500);
	assert_int_equal(v.output, OUTPUT_QUIET);
	assert_int_equal(parse(&v, &workers_show, "-- -odd", &err), 0);
	assert_string_equal(v.argument, "-odd");
	assert_int_equal(parse(&v, &workers_show, "--help", &err), 0);
	assert_true(v.help);
}

static void what_words_are_refused(void **state)
{
	static const struct {
		const struct command *command;
		const char *line, *says;
	} rows[] = {
		{ &workers_show, "", "ID is missing; see farhand workers show --help" },
		{ &workers_show, "a b", "'b' is one argument too many" },
		{ &workers_ls, "a", "'a' is one argument too many" },
		{ &workers_ls, "--color", "unknown flag '--color'; see farhand workers ls" },
		{ &workers_ls, "--ulr=x", "unknown flag '--ulr', did you mean --url;" },
		{ &workers_ls, "-x", "unknown flag '-x'; see" },
		{ &workers_ls, "--wait", "unknown flag '--wait'" },
		{ &workers_resume, "a --timeout 1", "unknown flag '--timeout'" },
		{ &workers_ls, "--url", "--url needs a value: URL" },
		{ &workers_ls, "--url=", "--url: an address" },
		{ &workers_ls, "-o yaml", "--output: 'yaml' is not json or table" },
		{ &workers_ls, "-o", "-o needs a value: json|table" },
		{ &workers_ls, "--quiet=1", "--quiet takes no value" },
		{ &workers_drain, "a --timeout x", "--timeout: 'x' is not a number of seconds" },
		{ &workers_drain, "a --timeout=", "--timeout: '' is not a number of seconds" },
		{ &workers_drain, "a --timeout 0", "--timeout: '0' is not" },
		{ &workers_drain, "a --timeout nan", "--timeout: 'nan' is not" },
		{ &workers_drain, "a --timeout 1e3", "--timeout: '1e3' is not" },
		/* the first of several is told */
		{ &workers_drain, "a b --timeout 0", "'b' is one argument too many" },
	};
	struct invocation v;
	struct fh_err err;
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(parse(&v, rows[i].command, rows[i].line, &err), FH_EINVAL);
		if (strstr(err.text, rows[i].says) != err.text)
			fail_msg("%s: %s", rows[i].line, err.text);
	}
	char *empty[] = { (char[]){ "" } };
	v = (struct invocation){ .command = &workers_show };
	assert_int_equal(args_parse(&v, 1, empty, &err), FH_EINVAL);
	assert_string_equal(err.text, "the ID is empty");
}

static void near_words_are_suggested(void **state)
{
	static const char *const words[] = { "serve", NULL, "workers", "task", "ls" };
	static const struct {
		const char *word, *meant;
	} rows[] = {
		{ "wrokers", "workers" },
		{ "worker", "workers" },
		{ "wrkrs", "workers" },
		{ "sreve", "serve" },
		{ "tsak", "task" },
		{ "tas", "task" },
		{ "sl", "ls" },
		{ "l", "ls" },
		{ "x", NULL },
		{ "", NULL },
		{ "list", NULL },
		{ "a-word-that-is-much-longer-than-any-of-them", NULL },
	};
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		const char *meant = cli_suggest(rows[i].word, words, 5);
		if (rows[i].meant ? !meant || strcmp(meant, rows[i].meant) != 0 : meant != NULL)
			fail_msg("%s: %s", rows[i].word, meant ? meant : "nothing");
	}
}

static void helps(void **state)
{
	(void)state;
	assert_true(cli_has("workers") && cli_has("task") && !cli_has("worker"));
	expect(NULL, "workers", 2, NULL, "Usage: farhand workers COMMAND");
	expect(NULL, "workers --help", 0, "drain ID", NULL);
	expect(NULL, "task -h", 0, "explain ID", NULL);
	expect(NULL, "workers drain --help", 0, "--timeout S", NULL);
	expect(NULL, "workers show -h", 0, "\n  farhand workers show ID -o json\n", NULL);
	expect(NULL, "workers show ID --help --url ''", 0, "Exit codes: 0 done", NULL);
	expect(NULL, "workers lst", 2, NULL,
	       "farhand: unknown command 'workers lst', did you mean ls; see farhand workers");
	expect(NULL, "task x", 2, NULL, "farhand: unknown command 'task x'; see farhand task");
	expect(NULL, "workers show", 2, NULL, "farhand: ID is missing");
	expect(NULL, "workers show -o json", 2, NULL,
	       "{\"error\":\"ID is missing; see farhand workers show --help\",\"code\":\"usage\"}");
	expect(NULL, "workers ls --bad -o json", 2, NULL, "\"code\":\"usage\"}\n");
	expect(NULL, "workers ls --url ftp://x", 2, NULL, "'ftp://x' is not an address");
	expect(NULL, "workers ls --url http://[::1", 2, NULL, "is not an address");
}

/* ---- tables ---- */

static void columns_are_as_wide_as_their_content(void **state)
{
	static const char *const cells[] = {
		"A", "LONG", "C", "wide", "", "x\xC3\xA9", "y", "z", ""
	};
	struct table t = { .columns = 3 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	(void)state;
	for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
		table_add(&t, cells[i]);
	table_printf(&t, "%s%d", "n", 7);
	table_add(&t, NULL);
	table_print(&t, out);
	(void)fclose(out);
	assert_string_equal(text, "A     LONG  C\nwide        x\xC3\xA9\ny     z\nn7\n");
	table_release(&t);
	free(text);
}

static void nothing_moves_the_cursor(void **state)
{
	struct table t = { .columns = 1 };
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	(void)state;
	table_add(&t, "a\x1B[2Jb\nc\x7F\xC2\x9B\xFF"
		      "d\xC2\xA0");
	table_print(&t, out);
	(void)fclose(out);
	assert_string_equal(text, "a?[2Jb?c????d\xC2\xA0\n");
	table_release(&t);
	free(text);
}

/* ---- commands ---- */

static void workers_are_listed(void **state)
{
	struct fixture *f = *state;
	expect(f, "workers ls", 0,
	       "ID  HOST  MODE  STATE  RUNTIME  SLOTS  IN FLIGHT  KEY  LABELS\n",
	       "no worker is connected\n");
	expect(f, "workers ls -q", 0, NULL, NULL);
	f->worker_count = 1;
	expect(f, "workers ls", 0,
	       "ID                                    HOST  MODE  STATE   RUNTIME  SLOTS  IN FLIGHT"
	       "  KEY   LABELS\n" WORKER_ID
	       "  lab7  push  online  cp311    2/8    3          anna  gpu=1,site=lab\n",
	       NULL);
	expect(f, "workers ls -q", 0, WORKER_ID "\n", NULL);
	f->worker = (struct call_worker){ .id = f->worker.id, .slots = 1 };
	expect(f, "workers ls", 0,
	       WORKER_ID "  -     local  online  -        0/1    0          -    -\n", NULL);
}

static void look_for_page(struct fixture *f, struct call *call)
{
	struct call_list_workers *c = (struct call_list_workers *)call;
	assert_int_equal(c->limit, 1000);
	c->limit = 3; /* so that there are pages */
	*(int *)f->look_at += 1;
}

static void all_pages_are_one_list(void **state)
{
	struct fixture *f = *state;
	int pages = 0;
	struct session s = { .exit = -1 };
	f->worker_count = 1;
	session_start(&s, "workers ls -o json");
	fixture_until(f, atomic_load(&s.done));
	session_end(&s);
	struct response r = fixture_request(f, "GET", "/v1/workers", "", NULL);
	assert_memory_equal(s.out, r.body, r.body_len); /* as it came */
	assert_string_equal(s.out + r.body_len, "\n");
	response_release(&r);
	session_release(&s);
	f->worker_count = 7;
	f->look = look_for_page;
	f->look_at = &pages;
	expect(f, "workers ls -q", 0,
	       WORKER_ID "\n" WORKER_ID "\n" WORKER_ID "\n" WORKER_ID "\n" WORKER_ID "\n" WORKER_ID
			 "\n" WORKER_ID "\n",
	       NULL);
	assert_int_equal(pages, 3);
	expect(f, "workers ls -o json", 0, "\"}},{\"id\":\"" WORKER_ID, NULL);
	expect(f, "workers ls -o json", 0, "}],\"next_cursor\":null}\n", NULL);
}

static void a_worker_is_shown(void **state)
{
	struct fixture *f = *state;
	expect(f, "workers show " WORKER_ID, 0,
	       "id         " WORKER_ID "\n"
	       "host       lab7\n"
	       "key        anna\n"
	       "mode       push\n"
	       "state      online\n"
	       "runtime    cp311\n"
	       "slots      8, 2 busy\n"
	       "in flight  3\n"
	       "cores      16\n"
	       "memory     64.0 GiB\n"
	       "labels     gpu=1,site=lab\n"
	       "connected  2027-01-15T07:59:55.000Z\n"
	       "heard      2027-01-15T07:59:59.750Z\n"
	       "finished   40, 1 of them failed\n",
	       NULL);
	expect(f, "workers show -q " WORKER_ID, 0, WORKER_ID "\n", NULL);
	expect(f, "workers show -o json " WORKER_ID, 0,
	       "{\"id\":\"" WORKER_ID "\",\"host\":\"lab7\"", NULL);
	f->worker = (struct call_worker){ .id = f->worker.id };
	expect(f, "workers show " WORKER_ID, 0, "host       -\nkey        -\n", NULL);
	expect(f, "workers show " WORKER_ID, 0, "cores      -\nmemory     -\nlabels     -\n", NULL);
}

static void orders_are_given(void **state)
{
	struct fixture *f = *state;
	expect(f, "workers drain " WORKER_ID, 0, "  draining  cp311", NULL);
	expect(f, "workers resume " WORKER_ID, 0, "  online  cp311", NULL);
	expect(f, "workers drain -o json " WORKER_ID, 0, "\"state\":\"draining\"", NULL);
	expect(f, "workers resume -q " WORKER_ID, 0, WORKER_ID "\n", NULL);
}

/* Each time that it is asked about, a worker has one task less; then it leaves, or goes on. */
static void look_less(struct fixture *f, struct call *call)
{
	int *leaves = f->look_at;
	if (call->kind != CALL_LIST_WORKERS)
		return;
	if (leaves && (*leaves)-- == 0)
		call->ret = FH_ENOTFOUND;
	else if (f->worker.in_flight > 0)
		f->worker.in_flight--;
}

static void a_drained_worker_is_waited_for(void **state)
{
	struct fixture *f = *state;
	int leaves = 1;
	expect(f, "workers drain --wait --timeout 0.05 " WORKER_ID, 6, NULL,
	       "farhand: the worker still has tasks; it takes no more\n");
	expect(f, "workers drain --wait --timeout 0.05 -o json " WORKER_ID, 6, NULL,
	       "\"code\":\"timed_out\"");
	f->look = look_less;
	expect(f, "workers drain --wait -o json " WORKER_ID, 0, "\"in_flight\":0", NULL);
	assert_int_equal(f->worker.in_flight, 0);
	f->worker.in_flight = 100;
	f->look_at = &leaves;
	expect(f, "workers drain --wait --timeout 30 " WORKER_ID, 0, "draining", NULL);
	f->worker.in_flight = 0;
	expect(f, "workers drain --wait " WORKER_ID, 0, "draining", NULL);
}

static void a_task_is_explained(void **state)
{
	static const struct call_need needs[] = {
		{ NEEDS_LABEL, "gpu=1", 4, 0, "0 of 4 workers have label gpu=1" },
		{ NEEDS_RUNTIME, "cp313", 4, 1, "1 of 4 workers has Python 3.13 (cp313)" },
	};
	struct fixture *f = *state;
	expect(f, "task explain " TASK_ID, 0,
	       "task       " TASK_ID "\nstate      QUEUED\nwaits for  capacity\n"
	       "why        all are \"busy\"\n",
	       NULL);
	expect(f, "task explain -q " TASK_ID, 0, "capacity\n", NULL);
	expect(f, "task explain -o json " TASK_ID, 0, "\"waits_for\":\"capacity\"", NULL);
	f->explanation = (struct call_explanation){ .waits_for = CALL_WAITS_FOR_NEEDS,
						    .text = "nobody fits",
						    .until_ms = f->now_ms,
						    .position_known = true,
						    .position = 17,
						    .worker = f->worker.id,
						    .needs = needs,
						    .need_count = 2 };
	expect(f, "task explain " TASK_ID, 0,
	       "why        nobody fits\nuntil      2027-01-15T08:00:00.000Z\nbefore it  17\n"
	       "worker     " WORKER_ID "\nneeds      0 of 4 workers have label gpu=1\n"
	       "           1 of 4 workers has Python 3.13 (cp313)\n",
	       NULL);
}

static void ids_are_one_part_of_the_path(void **state)
{
	static const char *const ids[] = { "x", "..", "a/b", "a?b", "a%20b", "\xC3\xA9", ":drain" };
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
		char line[128];
		(void)snprintf(line, sizeof line, "workers show %s", ids[i]);
		expect(f, line, 3, NULL, "farhand: the id in the path is not a UUID\n");
	}
	assert_int_equal(f->submitted, 0);
}

static void what_the_server_refuses(void **state)
{
	static const struct {
		int ret, exit;
		const char *code;
	} rows[] = {
		{ FH_ENOTFOUND, 3, "not_found" }, { FH_EGONE, 3, "gone" },
		{ FH_EFULL, 8, "queue_full" },	  { FH_ECLOSED, 8, "closing" },
		{ FH_EFINAL, 1, "final" },	  { FH_EIO, 1, "internal" },
	};
	static const char *const commands[] = { "workers ls", "workers show " WORKER_ID,
						"workers drain " WORKER_ID,
						"workers resume " WORKER_ID,
						"task explain " TASK_ID };
	struct fixture *f = *state;
	f->err = "because of \"it\"";
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		for (size_t n = 0; n < sizeof commands / sizeof *commands; n++) {
			char line[128], says[128];
			f->ret = rows[i].ret;
			expect(f, commands[n], rows[i].exit, NULL, "farhand: because of \"it\"\n");
			(void)snprintf(line, sizeof line, "%s -o json", commands[n]);
			(void)snprintf(says, sizeof says,
				       "{\"error\":\"because of \\\"it\\\"\",\"code\":\"%s\","
				       "\"status\":",
				       rows[i].code);
			expect(f, line, rows[i].exit, NULL, says);
		}
	}
}

static void addresses(void **state)
{
	struct fixture *f = *state;
	char line[128];
	unsigned port = http_server_port(f->server);
	f->worker_count = 1;
	(void)snprintf(line, sizeof line, "workers ls -q --url 127.0.0.1:%u", port);
	expect(f, line, 0, WORKER_ID, NULL);
	(void)snprintf(line, sizeof line, "workers ls -q --url http://127.0.0.1:%u//", port);
	expect(f, line, 0, WORKER_ID, NULL);
	(void)snprintf(line, sizeof line, "workers ls -q --url http://127.0.0.1:%u/under", port);
	expect(f, line, 3, NULL, "farhand: ");
	/* Whatever the environment says, a loopback address is not behind a proxy. */
	assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
	expect(f, "workers ls -q", 0, WORKER_ID, NULL);
	assert_int_equal(unsetenv("http_proxy"), 0);
	use_url("127.0.0.1", 1);
	expect(NULL, "workers ls", 7, NULL, "farhand: no server answers at http://127.0.0.1:1: ");
	expect(NULL, "workers ls -o json", 7, NULL, "\"code\":\"unreachable\"}");
}

static void what_cannot_be_written_is_a_failure(void **state)
{
	struct fixture *f = *state;
	struct session s = { .exit = -1, .out_file = fopen("/dev/full", "w") };
	assert_non_null(s.out_file);
	session_start(&s, "workers ls");
	fixture_until(f, atomic_load(&s.done));
	session_end(&s);
	assert_int_equal(s.exit, 1);
	assert_non_null(strstr(s.err, "cannot be written"));
	session_release(&s);
}

/* ---- a stub ---- */

/* Takes one connection, reads a request's head, sends `answer` and closes. */
static void stub_serve(int listener, const char *answer)
{
	char head[4096];
	size_t len = 0;
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	do {
		ssize_t n = recv(fd, head + len, sizeof head - 1 - len, 0);
		assert_true(n > 0);
		len += (size_t)n;
		head[len] = '\0';
	} while (!strstr(head, "\r\n\r\n"));
	assert_int_equal(send(fd, answer, strlen(answer), MSG_NOSIGNAL), strlen(answer));
	(void)close(fd);
}

static int stub_listen(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	use_url("127.0.0.1", ntohs(address.sin_port));
	return fd;
}

#define PROBLEM "{\"code\":\"c\",\"detail\":\"d\"}"

static void other_answers(void **state)
{
	static const struct {
		const char *answer;
		int exit;
		const char *says;
	} rows[] = {
		{ "HTTP/1.0 401 U\r\n\r\n" PROBLEM, 4, "farhand: d\n" },
		{ "HTTP/1.0 403 F\r\n\r\n" PROBLEM, 4, "farhand: d\n" },
		{ "HTTP/1.0 429 T\r\n\r\n" PROBLEM, 8, "farhand: d\n" },
		{ "HTTP/1.0 503 S\r\n\r\n" PROBLEM, 8, "farhand: d\n" },
		{ "HTTP/1.0 410 G\r\n\r\n" PROBLEM, 3, "farhand: d\n" },
		{ "HTTP/1.0 500 I\r\n\r\n" PROBLEM, 1, "farhand: d\n" },
		/* not a server of ours */
		{ "HTTP/1.0 404 N\r\n\r\n<html>", 1, "answers with HTTP status 404, not as" },
		{ "HTTP/1.0 404 N\r\n\r\n{\"code\":7}", 1, "answers with HTTP status 404" },
		{ "HTTP/1.0 200 O\r\n\r\n<html>", 1, "answers with HTTP status 200" },
		{ "HTTP/1.0 200 O\r\n\r\n[]", 1, "answers with HTTP status 200" },
		{ "HTTP/1.0 200 O\r\n\r\n", 1, "answers with HTTP status 200" },
		{ "HTTP/1.0 302 F\r\nLocation: http://x/\r\n\r\n", 1, "HTTP status 302" },
		/* not even HTTP, or not all of it */
		{ "", 7, "no server answers" },
		{ "SSH-2.0-x\r\n", 7, "no server answers" },
		{ "HTTP/1.1 200 O\r\nContent-Length: 9\r\n\r\n{", 7, "no server answers" },
	};
	int listener = stub_listen();
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct session s = { .exit = -1 };
		session_start(&s, "workers ls");
		stub_serve(listener, rows[i].answer);
		session_end(&s);
		if (s.exit != rows[i].exit || !strstr(s.err, rows[i].says) || *s.out)
			fail_msg("%s: exit %d %s%s", rows[i].answer, s.exit, s.err, s.out);
		session_release(&s);
	}
	(void)close(listener);
}

/* A server may say anything; what is missing is shown as missing. */
static void odd_objects(void **state)
{
	static const struct {
		const char *line, *json, *out;
	} rows[] = {
		{ "workers ls", "{}", "ID  HOST" },
		{ "workers ls", "{\"items\":7,\"next_cursor\":7}", "ID  HOST" },
		{ "workers ls", "{\"items\":[7,{}]}", "-   -     -     -      -        0/0" },
		{ "workers ls -q", "{\"items\":[{}]}", "-\n" },
		{ "workers show x", "{\"labels\":[1],\"slots\":\"x\"}", "slots      0, 0 busy" },
		{ "workers show x", "{\"labels\":{\"a\":1,\"b\":\"\"}}", "labels     a,b\n" },
		{ "workers show -q x", "{}", "\n" },
		{ "workers show x", "{\"host\":\"\\u001b[31m\"}", "host       ?[31m\n" },
		{ "task explain x", "{\"needs\":[7],\"state\":\"S\"}", "state  S\n" },
	};
	int listener = stub_listen();
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct session s = { .exit = -1 };
		char answer[256];
		(void)snprintf(answer, sizeof answer, "HTTP/1.0 200 O\r\n\r\n%s", rows[i].json);
		session_start(&s, rows[i].line);
		stub_serve(listener, answer);
		session_end(&s);
		if (s.exit != 0 || !strstr(s.out, rows[i].out))
			fail_msg("%s %s: exit %d %s%s", rows[i].line, rows[i].json, s.exit, s.err,
				 s.out);
		session_release(&s);
	}
	(void)close(listener);
}

/* The n-th allocation fails: it says so, and nothing leaks. */
static void without_memory_it_fails(void **state)
{
	static const char answer[] = "HTTP/1.0 200 O\r\n\r\n{\"items\":[{\"id\":\"a\"}]}";
	int failed = 0, done = 0;
	(void)state;
	for (unsigned after = 1; after < 60; after++) {
		int listener = stub_listen();
		struct session s = { .exit = -1 };
		fh_mem_fail_after(after);
		session_start(&s, "workers ls");
		if (after > 3) /* before, it does not come to a request */
			stub_serve(listener, answer);
		session_end(&s);
		fh_mem_fail_after(0);
		assert_true(s.exit == 0 || s.exit == 1);
		assert_int_equal(s.exit == 1, strstr(s.err, "farhand: ") == s.err);
		failed += s.exit == 1;
		done += s.exit == 0;
		session_release(&s);
		(void)close(listener);
	}
	assert_true(failed > 3 && done > 3);
}

static int set_up(void **state)
{
	struct fixture *f = fixture_new(NULL);
	use_url("127.0.0.1", http_server_port(f->server));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	fixture_free((struct fixture **)state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_flags_mean),
		cmocka_unit_test(what_words_are_refused),
		cmocka_unit_test(near_words_are_suggested),
		cmocka_unit_test(helps),
		cmocka_unit_test(columns_are_as_wide_as_their_content),
		cmocka_unit_test(nothing_moves_the_cursor),
		cmocka_unit_test_setup_teardown(workers_are_listed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(all_pages_are_one_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_worker_is_shown, set_up, tear_down),
		cmocka_unit_test_setup_teardown(orders_are_given, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_drained_worker_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_task_is_explained, set_up, tear_down),
		cmocka_unit_test_setup_teardown(ids_are_one_part_of_the_path, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_the_server_refuses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(addresses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_a_failure, set_up,
						tear_down),
		cmocka_unit_test(other_answers),
		cmocka_unit_test(odd_objects),
		cmocka_unit_test(without_memory_it_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
