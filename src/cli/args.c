/* Decides what the words of a command line mean. `--flag VALUE` and `--flag=VALUE` are the same,
 * flags may stand before and behind the argument, and `--` ends them.
 *
 * Failure modes: an unknown flag, a missing or wrong value, a missing or surplus argument. The
 * first of them is told; the rest is read all the same, so that it is told in the form that was
 * asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

struct flag {
	const char *name;
	const char *value; /* NULL: it takes none */
	const char *help;  /* NULL: it is the short form of another */
	unsigned only;	   /* mask of command_flag; 0: every command takes it */
	int (*set)(struct invocation *v, const char *value, struct fh_err *err);
};

static int set_url(struct invocation *v, const char *value, struct fh_err *err)
{
	if (!*value)
		return fh_err_set(err, FH_EINVAL, "--url: an address such as http://HOST:PORT");
	v->url = value;
	return 0;
}

static int set_output(struct invocation *v, const char *value, struct fh_err *err)
{
	if (strcmp(value, "json") == 0)
		v->output = OUTPUT_JSON;
	else if (strcmp(value, "table") == 0)
		v->output = OUTPUT_TABLE;
	else
		return fh_err_set(err, FH_EINVAL, "--output: '%.60s' is not json or table", value);
	return 0;
}

static int set_quiet(struct invocation *v, const char *value, struct fh_err *err)
{
	(void)value;
	(void)err;
	v->output = OUTPUT_QUIET;
	return 0;
}

static int set_help(struct invocation *v, const char *value, struct fh_err *err)
{
	(void)value;
	(void)err;
	v->help = true;
	return 0;
}

static int set_wait(struct invocation *v, const char *value, struct fh_err *err)
{
	(void)value;
	(void)err;
	v->wait = true;
	return 0;
}

static int set_timeout(struct invocation *v, const char *value, struct fh_err *err)
{
	char *end;
	double s = strtod(value, &end);
	bool decimal = value[0] != '.' && !value[strspn(value, "0123456789.")];
	if (!*value || !decimal || *end || s < 0.001 || s > 4000000)
		return fh_err_set(err, FH_EINVAL, "--timeout: '%.60s' is not a number of seconds",
				  value);
	v->timeout_ms = (uint32_t)(s * 1000);
	return 0;
}

static const struct flag flags[] = {
	{ "--wait", NULL, "until the worker has nothing left", COMMAND_WAIT, set_wait },
	{ "--timeout", "S", "how long to wait (default: for ever)", COMMAND_WAIT, set_timeout },
	{ "--url", "URL", "of the server (default $FARHAND_URL, else http://127.0.0.1:8000)", 0,
	  set_url },
	{ "--output", "json|table", "what the server says, or a table (default)", 0, set_output },
	{ "-o", "json|table", NULL, 0, set_output },
	{ "--quiet", NULL, "", 0, set_quiet },
	{ "-q", NULL, NULL, 0, set_quiet },
	{ "--help", NULL, "this text", 0, set_help },
	{ "-h", NULL, NULL, 0, set_help },
};

enum { FLAG_COUNT = sizeof flags / sizeof *flags };

static bool takes(const struct command *c, const struct flag *f)
{
	return !f->only || f->only & c->flags;
}

void args_help(const struct command *c, FILE *out)
{
	for (size_t i = 0; i < FLAG_COUNT; i++) {
		const struct flag *f = &flags[i], *next = &flags[i + 1];
		char text[64];
		if (!f->help || !takes(c, f))
			continue;
		bool letter = i + 1 < FLAG_COUNT && !next->help;
		(void)snprintf(text, sizeof text, "%s%s%s%s%s", letter ? next->name : "",
			       letter ? ", " : "", f->name, f->value ? " " : "",
			       f->value ? f->value : "");
		(void)fprintf(out, "  %-24s %s\n", text, f->set == set_quiet ? c->quiet : f->help);
	}
}

static int unknown_flag(const struct command *c, const char *arg, size_t len, struct fh_err *err)
{
	const char *names[FLAG_COUNT];
	char name[40];
	(void)snprintf(name, sizeof name, "%.*s", (int)(len < 39 ? len : 39), arg);
	for (size_t i = 0; i < FLAG_COUNT; i++) /* a letter is near to any other */
		names[i] = takes(c, &flags[i]) && flags[i].help ? flags[i].name : NULL;
	const char *meant = cli_suggest(name, names, FLAG_COUNT);
	return fh_err_set(err, FH_EINVAL, "unknown flag '%s'%s%s; see farhand %s %s --help", name,
			  meant ? ", did you mean " : "", meant ? meant : "", c->noun, c->verb);
}

/* Takes one flag, and steps over its value where that is the next word. */
static int take_flag(struct invocation *v, int argc, char **argv, int *i, struct fh_err *err)
{
	const char *arg = argv[*i], *value = strchr(arg, '=');
	size_t len = value ? (size_t)(value++ - arg) : strlen(arg);
	const struct flag *f = NULL;
	for (size_t n = 0; n < FLAG_COUNT && !f; n++)
		if (strlen(flags[n].name) == len && strncmp(flags[n].name, arg, len) == 0 &&
		    takes(v->command, &flags[n]))
			f = &flags[n];
	if (!f)
		return unknown_flag(v->command, arg, len, err);
	if (!f->value && value)
		return fh_err_set(err, FH_EINVAL, "%s takes no value", f->name);
	if (f->value && !value) {
		if (*i + 1 == argc)
			return fh_err_set(err, FH_EINVAL, "%s needs a value: %s", f->name,
					  f->value);
		value = argv[++*i];
	}
	return f->set(v, value, err);
}

static int take_argument(struct invocation *v, const char *arg, struct fh_err *err)
{
	if (!v->command->argument || v->argument)
		return fh_err_set(err, FH_EINVAL, "'%.60s' is one argument too many", arg);
	if (!*arg)
		return fh_err_set(err, FH_EINVAL, "the %s is empty", v->command->argument);
	v->argument = arg;
	return 0;
}

int args_parse(struct invocation *v, int argc, char **argv, struct fh_err *err)
{
	int first = 0;
	bool flags_over = false;
	const char *url = getenv("FARHAND_URL");
	v->url = url && *url ? url : "http://127.0.0.1:8000";
	for (int i = 0; i < argc; i++) {
		struct fh_err *e = first ? NULL : err;
		int ret = 0;
		if (!flags_over && strcmp(argv[i], "--") == 0)
			flags_over = true;
		else if (!flags_over && argv[i][0] == '-')
			ret = take_flag(v, argc, argv, &i, e);
		else
			ret = take_argument(v, argv[i], e);
		first = first ? first : ret;
	}
	if (!first && !v->help && v->command->argument && !v->argument)
		first = fh_err_set(err, FH_EINVAL, "%s is missing; see farhand %s %s --help",
				   v->command->argument, v->command->noun, v->command->verb);
	return first;
}
