/* Flags of `farhand serve`: one table, one setter a kind. `--flag VALUE` and `--flag=VALUE` are the
 * same; a flag that is not in the table, a missing value or one that does not fit is an error. */
#include "app/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/limits.h"

enum {
	PORT_DEFAULT = 8000,
	GRACE_MS_DEFAULT = 10000,
	SLOTS_MAX = 1024,
};

struct flag {
	const char *name, *value;
	int (*set)(struct serve_options *o, const char *flag, const char *value,
		   struct fh_err *err);
};

static int bad(struct fh_err *err, const char *flag, const char *value, const char *right)
{
	return fh_err_set(err, FH_EINVAL, "%s: '%s' is not %s", flag, value, right);
}

static bool is_loopback(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;
	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static int whole(const char *flag, const char *value, uint64_t min, uint64_t max,
		 uint64_t *ret_number, struct fh_err *err)
{
	char *end;
	errno = 0;
	unsigned long long number = strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || number < min || number > max)
		return fh_err_set(err, FH_EINVAL,
				  "%s: '%s' is not a whole number from %llu to %llu", flag, value,
				  (unsigned long long)min, (unsigned long long)max);
	*ret_number = number;
	return 0;
}

static int seconds(const char *flag, const char *value, double min, uint32_t *ret_ms,
		   struct fh_err *err)
{
	char *end;
	double s = strtod(value, &end);
	bool decimal = value[0] != '.' && !value[strspn(value, "0123456789.")];
	if (!*value || !decimal || *end || s < min || s > 4000000)
		return bad(err, flag, value, "a number of seconds");
	*ret_ms = (uint32_t)(s * 1000);
	return 0;
}

static int set_listen(struct serve_options *o, const char *flag, const char *value,
		      struct fh_err *err)
{
	const char *colon = strrchr(value, ':');
	uint64_t port;
	if (!colon || colon == value || (size_t)(colon - value) >= sizeof o->host)
		return bad(err, flag, value, "HOST:PORT");
	size_t len = (size_t)(colon - value);
	const char *host = value;
	if (host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	int ret = whole(flag, colon + 1, 0, UINT16_MAX, &port, err);
	if (ret)
		return ret;
	memcpy(o->host, host, len);
	o->host[len] = '\0';
	o->port = (uint16_t)port;
	if (!is_loopback(o->host))
		return fh_err_set(err, FH_EINVAL,
				  "%s: '%s' is beyond loopback, which is refused as long as there "
				  "are no accounts; listen on 127.0.0.1 and reach it by ssh -L",
				  flag, o->host);
	return 0;
}

static int set_data(struct serve_options *o, const char *flag, const char *value,
		    struct fh_err *err)
{
	if (!*value)
		return bad(err, flag, value, "a folder");
	o->data = value;
	return 0;
}

static int set_local(struct serve_options *o, const char *flag, const char *value,
		     struct fh_err *err)
{
	uint64_t slots;
	if (strcmp(value, "auto") == 0)
		return 0;
	int ret = whole(flag, value, 0, SLOTS_MAX, &slots, err);
	if (ret == 0)
		o->slots = (unsigned)slots;
	return ret;
}

static int set_python(struct serve_options *o, const char *flag, const char *value,
		      struct fh_err *err)
{
	if (!*value)
		return bad(err, flag, value, "an executable");
	o->python = value;
	return 0;
}

static int set_path(struct serve_options *o, const char *flag, const char *value,
		    struct fh_err *err)
{
	if (o->path_count == OPTIONS_PATHS_MAX)
		return fh_err_set(err, FH_EINVAL, "%s: more than %d of them", flag,
				  OPTIONS_PATHS_MAX);
	o->paths[o->path_count++] = value;
	return 0;
}

static int set_task_timeout(struct serve_options *o, const char *flag, const char *value,
			    struct fh_err *err)
{
	return seconds(flag, value, 0.001, &o->task_timeout_ms, err);
}

static int set_grace(struct serve_options *o, const char *flag, const char *value,
		     struct fh_err *err)
{
	return seconds(flag, value, 0, &o->grace_ms, err);
}

static int set_max_queued(struct serve_options *o, const char *flag, const char *value,
			  struct fh_err *err)
{
	return whole(flag, value, 1, UINT32_MAX, &o->queued_max, err);
}

static int set_max_queued_bytes(struct serve_options *o, const char *flag, const char *value,
				struct fh_err *err)
{
	return whole(flag, value, 1, UINT64_C(1) << 50, &o->queued_bytes_max, err);
}

static const struct flag flags[] = {
	{ "--listen", "HOST:PORT", set_listen },
	{ "--data", "DIR", set_data },
	{ "--local", "N|auto", set_local },
	{ "--python", "EXE", set_python },
	{ "--path", "DIR", set_path },
	{ "--task-timeout", "S", set_task_timeout },
	{ "--grace", "S", set_grace },
	{ "--max-queued", "N", set_max_queued },
	{ "--max-queued-bytes", "N", set_max_queued_bytes },
};

const char *serve_options_help(void)
{
	return "Usage: farhand serve [FLAG]...\n"
	       "Gateway, dispatcher and local pool in one process; state lives in a folder.\n"
	       "\n"
	       "  farhand serve\n"
	       "  farhand serve --listen 127.0.0.1:0 --data ./farhand-data --local 4\n"
	       "\n"
	       "  --listen HOST:PORT     where to serve HTTP; port 0 picks a free one\n"
	       "                         (default 127.0.0.1:8000; loopback only)\n"
	       "  --data DIR             folder of the embedded store (default ./farhand-data)\n"
	       "  --local N|auto         slots of the local pool; 0: none (default auto: the "
	       "cores)\n"
	       "  --python EXE           Python of the local pool (default $FARHAND_PYTHON, else\n"
	       "                         python3 on the PATH); 3.9 or newer\n"
	       "  --path DIR             put on the import path of functions; may be repeated\n"
	       "  --task-timeout S       execution limit of tasks that set none (default: none)\n"
	       "  --grace S              how long running tasks may go on at a stop (default 10)\n"
	       "  --max-queued N         tasks accepted and not final, at most (default 1000000)\n"
	       "  --max-queued-bytes N   bytes of their payloads, at most (default 4294967296)\n"
	       "  --help                 this text\n"
	       "\n"
	       "Prints `ready http://HOST:PORT` on stdout when it serves; logs go to stderr.\n"
	       "SIGTERM or SIGINT stops it in order, a second one at once. Nothing accepted is "
	       "lost\n"
	       "either way.\n";
}

static void set_defaults(struct serve_options *o)
{
	static const struct core_limits limits = CORE_LIMITS_DEFAULT;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	const char *python = getenv("FARHAND_PYTHON");
	*o = (struct serve_options){
		.host = "127.0.0.1",
		.port = PORT_DEFAULT,
		.data = "./farhand-data",
		.slots = cores < 1	     ? 1
			 : cores > SLOTS_MAX ? SLOTS_MAX
					     : (unsigned)cores,
		.python = python && *python ? python : "python3",
		.grace_ms = GRACE_MS_DEFAULT,
		.queued_max = limits.live_max,
		.queued_bytes_max = limits.live_bytes_max,
	};
}

static const struct flag *find(const char *arg, size_t len)
{
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (strlen(flags[i].name) == len && strncmp(flags[i].name, arg, len) == 0)
			return &flags[i];
	return NULL;
}

int serve_options_parse(struct serve_options *ret_options, int argc, char **argv,
			struct fh_err *err)
{
	struct serve_options o;
	set_defaults(&o);
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const struct flag *flag = find(argv[i], len);
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			o.help = true;
			continue;
		}
		if (!flag)
			return fh_err_set(err, FH_EINVAL,
					  "unknown flag '%s'; see farhand serve --help", argv[i]);
		if (!equals && i + 1 == argc)
			return fh_err_set(err, FH_EINVAL, "%s needs a value: %s", flag->name,
					  flag->value);
		int ret = flag->set(&o, flag->name, equals ? equals + 1 : argv[++i], err);
		if (ret)
			return ret;
	}
	*ret_options = o;
	return 0;
}
