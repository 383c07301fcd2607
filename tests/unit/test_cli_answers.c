/* The client commands against a stub that answers what no gateway would. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_answers),
		cmocka_unit_test(odd_objects),
		cmocka_unit_test(without_memory_it_fails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
