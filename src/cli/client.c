/* Decides how a server is reached, and what becomes of its answers.
 *
 * Happy path: one connection of libcurl, kept for the next request; the body is read whole.
 * Failure modes: nobody answers (CLI_UNREACHABLE); a problem of the server, by its status; an
 * answer that is none of Farhand's (CLI_FAILED): an address with another program behind it. */
#include "cli/client.h"

#include <string.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "farhand/version.h"

enum {
	BODY_MAX = 64 << 20,
	CONNECT_MS = 5000,
	ANSWER_MS = 60000,
};

struct client {
	CURL *curl;
	struct curl_slist *headers;
	char *url; /* without a slash at its end */
};

struct body {
	char *data;
	size_t len, room;
};

static int fail(struct client_error *error, int exit, const char *code, const char *text)
{
	(void)snprintf(error->code, sizeof error->code, "%s", code);
	return fh_err_set(&error->err, exit, "%s", text);
}

static int fail_address(struct client_error *error, const char *url)
{
	(void)fail(error, 0, "usage", "");
	return fh_err_set(&error->err, CLI_USAGE, "'%.100s' is not an address of a server", url);
}

static bool is_loopback(const char *host)
{
	return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
	       strcmp(host, "[::1]") == 0;
}

/* A loopback address is never behind a proxy, whatever the environment says of other hosts. */
static int check_url(struct client *c, const char *url, struct client_error *error)
{
	char *host = NULL, *scheme = NULL;
	CURLU *parts = curl_url();
	bool ok = parts && !curl_url_set(parts, CURLUPART_URL, url, CURLU_GUESS_SCHEME) &&
		  !curl_url_get(parts, CURLUPART_HOST, &host, 0) &&
		  !curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) &&
		  (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
	if (ok && is_loopback(host))
		(void)curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*");
	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(parts);
	return ok ? CLI_OK : fail_address(error, url);
}

static int set_url(struct client *c, const char *url, struct client_error *error)
{
	int ret = check_url(c, url, error);
	if (ret)
		return ret;
	c->url = fh_strdup(url);
	if (!c->url)
		return fail(error, CLI_FAILED, "failed", "out of memory");
	size_t len = strlen(c->url);
	while (len > 0 && c->url[len - 1] == '/')
		c->url[--len] = '\0';
	return CLI_OK;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct body *b = arg;
	size_t len = size * count;
	if (len > BODY_MAX - b->len)
		return 0;
	if (len > b->room - b->len) {
		size_t room = 2 * b->room + len;
		char *grown = fh_realloc(b->data, room);
		if (!grown)
			return 0;
		b->data = grown;
		b->room = room;
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return len;
}

int client_new(const char *url, struct client **ret_client, struct client_error *error)
{
	struct client *c = fh_calloc(1, sizeof *c);
	*error = (struct client_error){ .status = 0 };
	if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) || !(c->curl = curl_easy_init())) {
		client_free(&c);
		return fail(error, CLI_FAILED, "failed", "libcurl cannot be started");
	}
	c->headers = curl_slist_append(NULL, "Content-Type: application/json");
	int ret = set_url(c, url, error);
	if (ret) {
		client_free(&c);
		return ret;
	}
	(void)curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c->curl, CURLOPT_DEFAULT_PROTOCOL, "http");
	(void)curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "farhand/" FH_VERSION);
	(void)curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c->curl, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
	(void)curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, (long)ANSWER_MS);
	*ret_client = c;
	return CLI_OK;
}

void client_free(struct client **cp)
{
	struct client *c = *cp;
	*cp = NULL;
	if (!c)
		return;
	curl_slist_free_all(c->headers);
	if (c->curl)
		curl_easy_cleanup(c->curl);
	fh_free(c->url);
	fh_free(c);
}

/* The whole address; NULL without memory. To be freed with fh_free(). */
static char *target_of(const struct client *c, const char *before, const char *id,
		       const char *after)
{
	char *part = id ? curl_easy_escape(c->curl, id, 0) : NULL;
	if (id && !part)
		return NULL;
	size_t size = strlen(c->url) + strlen(before) + (part ? strlen(part) : 0) + strlen(after);
	char *target = fh_malloc(size + 1);
	if (target)
		(void)snprintf(target, size + 1, "%s%s%s%s", c->url, before, part ? part : "",
			       after);
	curl_free(part);
	return target;
}

static CURLcode perform(struct client *c, const char *method, const char *target, struct body *body)
{
	bool post = strcmp(method, "POST") == 0;
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	(void)curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, post ? c->headers : NULL);
	if (post) {
		(void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, "{}");
		(void)curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, 2L);
	}
	(void)curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, body);
	CURLcode code = curl_easy_setopt(c->curl, CURLOPT_URL, target);
	return code ? code : curl_easy_perform(c->curl);
}

static int fail_transfer(const struct client *c, CURLcode code, struct client_error *error)
{
	switch (code) {
	case CURLE_URL_MALFORMAT:
		return fail_address(error, c->url);
	case CURLE_WRITE_ERROR:
		return fail(error, CLI_FAILED, "failed", "the answer is too large for us");
	case CURLE_OUT_OF_MEMORY:
		return fail(error, CLI_FAILED, "failed", "out of memory");
	default:
		(void)fail(error, 0, "unreachable", "");
		return fh_err_set(&error->err, CLI_UNREACHABLE, "no server answers at %.100s: %s",
				  c->url, curl_easy_strerror(code));
	}
}

static int exit_of(long status)
{
	switch (status) {
	case 401:
	case 403:
		return CLI_UNAUTHORIZED;
	case 404:
	case 410:
		return CLI_NOT_FOUND;
	case 429:
	case 503:
		return CLI_LIMITED;
	default:
		return CLI_FAILED;
	}
}

/* An answer that is not 2xx: a problem of the server, or anything at all from somebody else. */
static int fail_answer(const struct client *c, long status, const json_t *json,
		       struct client_error *error)
{
	const char *code = json_string_value(json_object_get(json, "code"));
	const char *detail = json_string_value(json_object_get(json, "detail"));
	error->status = status;
	if (code && detail)
		return fail(error, exit_of(status), code, detail);
	(void)fail(error, 0, "failed", "");
	return fh_err_set(&error->err, CLI_FAILED,
			  "%.100s answers with HTTP status %ld, not as a "
			  "server of Farhand does",
			  c->url, status);
}

int client_request(struct client *c, const char *method, const char *before, const char *id,
		   const char *after, struct client_answer *ret_answer, struct client_error *error)
{
	struct body body = { 0 };
	long status = 0;
	int ret;
	*error = (struct client_error){ .status = 0 };
	char *target = target_of(c, before, id, after);
	CURLcode code = target ? perform(c, method, target, &body) : CURLE_OUT_OF_MEMORY;
	fh_free(target);
	if (code) {
		fh_free(body.data);
		return fail_transfer(c, code, error);
	}
	(void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
	json_t *json =
		body.len ? json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, NULL) : NULL;
	if (status / 100 == 2 && json_is_object(json)) {
		*ret_answer = (struct client_answer){ body.data, body.len, json };
		return CLI_OK;
	}
	ret = fail_answer(c, status, json, error);
	json_decref(json);
	fh_free(body.data);
	return ret;
}

void client_answer_release(struct client_answer *a)
{
	fh_free(a->body);
	json_decref(a->json);
	*a = (struct client_answer){ 0 };
}
