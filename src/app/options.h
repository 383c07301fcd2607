/* The command lines of the server parts. */
#ifndef FARHAND_APP_OPTIONS_H
#define FARHAND_APP_OPTIONS_H

#include "app/pool.h"
#include "base/needs.h"

struct serve_options {
	struct pool_options pool; /* of the local pool; no slots: none */
	char host[256];
	uint16_t port;
	char bind[300]; /* where workers dial in; empty: nowhere */
	bool curve;	/* workers need keys on loopback, too */
	const char *data;
	uint32_t task_timeout_ms; /* 0: none */
	uint64_t queued_max, queued_bytes_max;
};

struct worker_options {
	struct pool_options pool;
	enum wire_mode mode;
	struct needs has;		   /* its labels */
	const char *urls;		   /* of dispatchers, with commas between them */
	const char *server_key, *key_file; /* both or none */
};

/* Fill in the defaults, then what argv says; strings are borrowed from argv and the environment.
 * FH_EINVAL with one line in `err`. */
int serve_options_parse(struct serve_options *ret_options, int argc, char **argv, bool *ret_help,
			struct fh_err *err) FH_MUST_USE;
int worker_options_parse(struct worker_options *ret_options, int argc, char **argv, bool *ret_help,
			 struct fh_err *err) FH_MUST_USE;

/* The texts behind --help. Static memory. */
const char *serve_options_help(void);
const char *worker_options_help(void);

#endif
