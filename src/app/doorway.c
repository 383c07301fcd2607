/* Joins the transport with the keys of the data folder. Happy path on loopback: plain text, there
 * are no keys. Else: the server's pair is read, or made, and the list of workers is followed while
 * the server runs. Failure modes: a key file that others may read, a list with a line that is none:
 * the server does not start. */
#include "app/doorway.h"

#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "app/env.h"
#include "app/key_file.h"
#include "app/key_folder.h"
#include "app/process.h"
#include "transport/endpoint.h"
#include "transport/zeromq.h"

static const char *name_of(void *ctx, const char *public_key)
{
	return allow_list_name_of(ctx, public_key);
}

static bool refresh(void *ctx)
{
	return allow_list_refresh(ctx);
}

static void say(const struct doorway *d, const char *public_key)
{
	char line[256];
	(void)snprintf(line, sizeof line,
		       "workers need keys, and %zu of them %s one; this server's own is %s",
		       d->list.count, d->list.count == 1 ? "has" : "have", public_key);
	env_log(NULL, line);
	if (d->list.count == 0)
		env_log(NULL, "`farhand worker-key new NAME` makes one");
}

/* The folder is locked only while it is read. */
static int read_keys(struct doorway *d, const char *data, struct curve_pair *ret_pair,
		     struct fh_err *err)
{
	int ret = key_folder_open(data, &d->dir_fd, err);
	if (ret)
		return ret;
	ret = key_file_of_server(d->dir_fd, ret_pair, err);
	if (ret == 0)
		ret = allow_list_open(&d->list, d->dir_fd, err);
	(void)flock(d->dir_fd, LOCK_UN);
	if (ret) {
		(void)close(d->dir_fd);
		return fh_err_wrap(err, ret, data);
	}
	d->list.log = env_log;
	d->has_lock = true;
	return 0;
}

int doorway_open(struct doorway *d, struct event_base *base, const struct serve_options *o,
		 struct fh_err *err)
{
	struct endpoint e;
	struct curve_pair pair;
	int ret = endpoint_parse(o->bind, &e, err);
	if (ret)
		return ret;
	if (e.loopback && !o->curve)
		return transport_zmq_bind(base, o->bind, NULL, &d->workers, err);
	process_holds_secrets();
	ret = read_keys(d, o->data, &pair, err);
	if (ret)
		return ret;
	struct zmq_lock lock = { .ctx = &d->list, .name_of = name_of, .refresh = refresh };
	memcpy(lock.secret_key, pair.secret_key, sizeof lock.secret_key);
	ret = transport_zmq_bind(base, o->bind, &lock, &d->workers, err);
	if (ret == 0)
		say(d, pair.public_key);
	curve_pair_wipe(&pair);
	explicit_bzero(&lock, sizeof lock);
	return ret;
}

void doorway_close(struct doorway *d)
{
	transport_free(&d->workers);
	if (!d->has_lock)
		return;
	allow_list_release(&d->list);
	(void)close(d->dir_fd);
	d->has_lock = false;
}
