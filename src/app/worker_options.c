/* Flags of `farhand worker`. */
#include <string.h>

#include "app/options.h"
#include "transport/curve.h"

static int set_mode(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct worker_options *o = options;
	if (strcmp(value, "pull") == 0)
		o->mode = WIRE_PULL;
	else if (strcmp(value, "push") == 0 || strcmp(value, "auto") == 0)
		o->mode = WIRE_PUSH;
	else
		return flag_bad(err, flag, value, "pull, push or auto");
	return 0;
}

static int set_slots(void *options, const char *flag, const char *value, struct fh_err *err)
{
	return pool_set_slots(options, flag, value, 1, err);
}

static int set_label(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct worker_options *o = options;
	const char *equals = strchr(value, '=');
	char name[NEEDS_LABEL_NAME_MAX + 1];
	size_t len = equals ? (size_t)(equals - value) : 0;
	if (len == 0 || len >= sizeof name)
		return flag_bad(err, flag, value, "NAME=VALUE");
	memcpy(name, value, len);
	name[len] = '\0';
	int ret = needs_add_label(&o->has, name, equals + 1);
	if (ret == FH_ELIMIT)
		return fh_err_set(err, FH_EINVAL, "%s: no room for '%s' beside the others", flag,
				  value);
	if (ret)
		return flag_bad(err, flag, value,
				"NAME=VALUE: a name of A-Z a-z 0-9 _ . / -, a value of visible "
				"characters without , and ;");
	return 0;
}

static int set_server_key(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct worker_options *o = options;
	if (!curve_is_key(value))
		return flag_bad(err, flag, value, "a key: 40 characters, in quotes");
	o->server_key = value;
	return 0;
}

static int set_key_file(void *options, const char *flag, const char *value, struct fh_err *err)
{
	struct worker_options *o = options;
	return flag_text(flag, value, "a file", &o->key_file, err);
}

/* The transport reads them. */
static int set_urls(void *options, const char *operand, const char *value, struct fh_err *err)
{
	struct worker_options *o = options;
	return flag_text(operand, value, "an address", &o->urls, err);
}

static const struct flag flags[] = {
	{ "-m", "pull|push|auto", set_mode },	{ "-w", "N|auto", set_slots },
	{ "--label", "NAME=VALUE", set_label }, { "--server-key", "KEY", set_server_key },
	{ "--key-file", "FILE", set_key_file }, POOL_FLAGS,
};

const char *worker_options_help(void)
{
	return "Usage: farhand worker [FLAG]... URL[,URL...]\n"
	       "Runs functions for a dispatcher elsewhere. It only dials out.\n"
	       "\n"
	       "  farhand worker tcp://127.0.0.1:5555\n"
	       "  farhand worker -m pull -w 4 --label gpu=1 127.0.0.1:5555\n"
	       "  farhand worker --server-key 'KEY' --key-file lab7.key server.example:5555\n"
	       "\n"
	       "  URL                    where a dispatcher listens (its --bind): tcp://HOST:PORT "
	       "or\n"
	       "                         HOST:PORT; of several the next one is tried when one is "
	       "gone\n"
	       "  -m pull|push|auto      pull: take what can begin at once; push: be given tasks "
	       "by\n"
	       "                         load (default auto: push)\n"
	       "  -w N|auto              slots: places for one running task each (default auto: "
	       "the\n"
	       "                         cores)\n"
	       "  --label NAME=VALUE     something that tasks can ask for; may be repeated\n"
	       "  --server-key KEY       the public key of the dispatcher; needed beyond loopback\n"
	       "  --key-file FILE        this worker's own key: farhand worker-key new, on the "
	       "server,\n"
	       "                         makes it and says what to do\n"
	       "  --python EXE           Python (default $FARHAND_PYTHON, else python3 on the "
	       "PATH);\n"
	       "                         3.9 or newer\n"
	       "  --path DIR             a folder or a zip file on the import path of functions, "
	       "behind\n"
	       "                         the folder that the worker was started in; may be "
	       "repeated\n"
	       "  --grace S              how long running tasks may go on at a stop (default 10)\n"
	       "  --help                 this text\n"
	       "\n"
	       "Prints `ready tcp://HOST:PORT` on stdout when the dispatcher has welcomed it; logs "
	       "go "
	       "to\n"
	       "stderr. A dispatcher that is gone is dialled until it is back, while what runs "
	       "goes\n"
	       "on. SIGTERM or SIGINT: takes no more, finishes what runs, leaves; a second one "
	       "stops\n"
	       "at once. What it could not finish runs elsewhere.\n";
}

int worker_options_parse(struct worker_options *ret_options, int argc, char **argv, bool *ret_help,
			 struct fh_err *err)
{
	static const struct command command = { "worker", flags, sizeof flags / sizeof *flags,
						"URL[,URL...]", set_urls };
	struct worker_options o = { .mode = WIRE_PUSH };
	pool_options_init(&o.pool);
	int ret = command_parse(&command, &o, argc, argv, ret_help, err);
	if (ret == 0 && !*ret_help && !o.server_key != !o.key_file)
		ret = fh_err_set(err, FH_EINVAL, "%s is given without %s",
				 o.key_file ? "--key-file" : "--server-key",
				 o.key_file ? "--server-key" : "--key-file");
	if (ret == 0)
		*ret_options = o;
	return ret;
}
