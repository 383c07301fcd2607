/* Flags of `farhand serve`. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "app/options.h"
#include "core/limits.h"

enum { PORT_DEFAULT = 8000 };

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

static int set_listen(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct serve_options *o = options;
	const char *colon = strrchr(value, ':');
	uint64_t port;
	if (!colon || colon == value || (size_t)(colon - value) >= sizeof o->host)
		return flag_bad(err, flag, value, "HOST:PORT");
	size_t len = (size_t)(colon - value);
	const char *host = value;
	if (host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	int ret = flag_whole(flag, colon + 1, 0, UINT16_MAX, &port, err);
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

/* The transport reads the rest of it. */
static int set_bind(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct serve_options *o = options;
	size_t len = strlen(value);
	if (len < 3 || len >= sizeof o->bind)
		return flag_bad(err, flag, value, "tcp://HOST:PORT");
	memcpy(o->bind, value, len + 1);
	if (strcmp(&o->bind[len - 2], ":*") == 0)
		o->bind[len - 1] = '0';
	return 0;
}

static int set_curve(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct serve_options *o = options;
	(void)flag;
	(void)value;
	(void)err;
	o->curve = true;
	return 0;
}

static int set_data(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct serve_options *o = options;
	return flag_text(flag, value, "a folder", &o->data, err);
}

static int set_local(void *options, const char *flag, const char *value, struct fh_err *err)
{
	return pool_set_slots(options, flag, value, 0, err);
}

static int set_task_timeout(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct serve_options *o = options;
	return flag_seconds(flag, value, 0.001, &o->task_timeout_ms, err);
}

static int set_max_queued(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct serve_options *o = options;
	return flag_whole(flag, value, 1, UINT32_MAX, &o->queued_max, err);
}

static int set_max_queued_bytes(void *options, const char *flag, const char *value,
				struct fh_err *err)
{
	struct serve_options *o = options;
	return flag_whole(flag, value, 1, UINT64_C(1) << 50, &o->queued_bytes_max, err);
}

static const struct flag flags[] = {
	{ "--listen", "HOST:PORT", set_listen },
	{ "--bind", "tcp://HOST:PORT", set_bind },
	{ "--curve", NULL, set_curve },
	{ "--data", "DIR", set_data },
	{ "--local", "N|auto", set_local },
	{ "--task-timeout", "S", set_task_timeout },
	{ "--max-queued", "N", set_max_queued },
	{ "--max-queued-bytes", "N", set_max_queued_bytes },
	POOL_FLAGS,
};

const char *serve_options_help(void)
{
	return "Usage: farhand serve [FLAG]...\n"
	       "Gateway, dispatcher and local pool in one process; state lives in a folder.\n"
	       "\n"
	       "  farhand serve\n"
	       "  farhand serve --listen 127.0.0.1:0 --data ./farhand-data --local 4\n"
	       "  farhand serve --local 0 --bind tcp://127.0.0.1:5555\n"
	       "\n"
	       "  --listen HOST:PORT     where to serve HTTP; port 0 picks a free one\n"
	       "                         (default 127.0.0.1:8000; loopback only)\n"
	       "  --bind tcp://HOST:PORT where workers dial in; port 0 picks a free one\n"
	       "                         (default: nowhere); beyond loopback they need keys: see\n"
	       "                         farhand worker-key --help\n"
	       "  --curve                workers need keys on loopback, too\n"
	       "  --data DIR             folder of the embedded store (default ./farhand-data)\n"
	       "  --local N|auto         slots of the local pool; 0: none (default auto: the "
	       "cores)\n"
	       "  --python EXE           Python of the local pool (default $FARHAND_PYTHON, else\n"
	       "                         python3 on the PATH); 3.9 or newer\n"
	       "  --path DIR             a folder or a zip file on the import path of functions;\n"
	       "                         may be repeated\n"
	       "  --task-timeout S       execution limit of tasks that set none (default: none)\n"
	       "  --grace S              how long running tasks may go on at a stop (default 10)\n"
	       "  --max-queued N         tasks accepted and not final, at most (default 1000000)\n"
	       "  --max-queued-bytes N   bytes of their payloads, at most (default 4294967296)\n"
	       "  --help                 this text\n"
	       "\n"
	       "Prints `ready http://HOST:PORT` on stdout when it serves, with ` tcp://HOST:PORT`\n"
	       "behind it if workers can dial in; logs go to stderr. SIGTERM or SIGINT stops it "
	       "in\n"
	       "order, a second one at once. Nothing accepted is lost either way.\n";
}

int serve_options_parse(struct serve_options *ret_options, int argc, char **argv, bool *ret_help,
			struct fh_err *err)
{
	static const struct command command = { "serve", flags, sizeof flags / sizeof *flags, NULL,
						NULL };
	static const struct core_limits limits = CORE_LIMITS_DEFAULT;
	struct serve_options o = {
		.host = "127.0.0.1",
		.port = PORT_DEFAULT,
		.data = "./farhand-data",
		.queued_max = limits.live_max,
		.queued_bytes_max = limits.live_bytes_max,
	};
	pool_options_init(&o.pool);
	int ret = command_parse(&command, &o, argc, argv, ret_help, err);
	if (ret == 0 && o.curve && !o.bind[0])
		ret = fh_err_set(err, FH_EINVAL,
				 "--curve says how workers dial in: it needs "
				 "--bind");
	if (ret == 0)
		*ret_options = o;
	return ret;
}
