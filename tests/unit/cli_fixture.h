/* Runs client commands: each in a thread of its own, for it blocks. */
#ifndef FARHAND_TESTS_CLI_FIXTURE_H
#define FARHAND_TESTS_CLI_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
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

static inline void *session_run(void *arg)
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

static inline void session_start(struct session *s, const char *line)
{
	(void)snprintf(s->line, sizeof s->line, "%s", line);
	if (!s->out_file)
		s->out_file = open_memstream(&s->out, &s->out_len);
	s->err_file = open_memstream(&s->err, &s->err_len);
	assert_int_equal(pthread_create(&s->thread, NULL, session_run, s), 0);
}

static inline void session_end(struct session *s)
{
	assert_int_equal(pthread_join(s->thread, NULL), 0);
}

static inline void session_release(struct session *s)
{
	free(s->out);
	free(s->err);
}

/* Runs a command against the gateway, and holds its end against what is expected: the exit code,
 * and pieces of what it says; NULL: nothing at all. */
static inline void expect(struct fixture *f, const char *line, int exit, const char *out,
			  const char *err)
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

static inline void use_url(const char *host, unsigned port)
{
	char url[64];
	(void)snprintf(url, sizeof url, "http://%s:%u", host, port);
	assert_int_equal(setenv("FARHAND_URL", url, 1), 0);
}

#endif
