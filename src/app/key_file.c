/* Reads and makes files of keys. Failure modes: a file that others may read is refused and not
 * mended, as nobody knows who has read it; so is one whose two keys do not belong together. */
#include "app/key_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "app/private_file.h"

enum { KEY_TEXT_MAX = 512 };

static const char server_key[] = "server.key";

/* The word behind `what` at the beginning of a line. */
static bool find_key(const char *text, const char *what, char ret_key[CURVE_KEY_SIZE])
{
	size_t len = strlen(what);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, what, len) != 0 || strcspn(line + len, "\n") != CURVE_KEY_LEN)
			continue;
		memcpy(ret_key, line + len, CURVE_KEY_LEN);
		ret_key[CURVE_KEY_LEN] = '\0';
		return true;
	}
	return false;
}

static int read_pair(int dir_fd, const char *path, struct curve_pair *ret_pair, struct fh_err *err)
{
	char *text, public_key[CURVE_KEY_SIZE], secret_key[CURVE_KEY_SIZE];
	struct curve_pair pair;
	int ret = private_file_read(dir_fd, path, &text, NULL, err);
	if (ret)
		return ret;
	if (!find_key(text, "public ", public_key) || !find_key(text, "secret ", secret_key) ||
	    curve_pair_of(secret_key, &pair) || strcmp(pair.public_key, public_key) != 0)
		ret = fh_err_set(err, FH_EINVAL, "it does not hold a pair of keys");
	else
		*ret_pair = pair;
	private_text_free(text);
	explicit_bzero(secret_key, sizeof secret_key);
	curve_pair_wipe(&pair);
	return ret;
}

static void write_pair(char text[KEY_TEXT_MAX], const char *comment, const struct curve_pair *pair)
{
	(void)snprintf(text, KEY_TEXT_MAX, "# %.200s\npublic %s\nsecret %s\n", comment,
		       pair->public_key, pair->secret_key);
}

int key_file_read(const char *path, struct curve_pair *ret_pair, struct fh_err *err)
{
	int ret = read_pair(AT_FDCWD, path, ret_pair, err);
	return ret ? fh_err_wrap(err, ret, path) : 0;
}

int key_file_make(const char *path, const char *name, const struct curve_pair *pair,
		  struct fh_err *err)
{
	char text[KEY_TEXT_MAX], comment[200];
	(void)snprintf(comment, sizeof comment,
		       "Farhand: the key of the worker %s. Who has this file is let in as it.",
		       name);
	write_pair(text, comment, pair);
	int ret = private_file_make(path, text, err);
	explicit_bzero(text, sizeof text);
	return ret ? fh_err_wrap(err, ret, path) : 0;
}

int key_file_of_server(int dir_fd, struct curve_pair *ret_pair, struct fh_err *err)
{
	char text[KEY_TEXT_MAX];
	struct curve_pair pair;
	int ret = read_pair(dir_fd, server_key, ret_pair, err);
	if (ret == 0)
		return 0;
	if (ret != FH_ENOTFOUND)
		return fh_err_wrap(err, ret, server_key);
	ret = curve_pair_new(&pair, err);
	if (ret)
		return ret;
	write_pair(text, "Farhand: the key of this server. Who has this file can pose as it.",
		   &pair);
	ret = private_file_replace(dir_fd, server_key, text, err);
	explicit_bzero(text, sizeof text);
	if (ret == 0)
		*ret_pair = pair;
	curve_pair_wipe(&pair);
	return ret ? fh_err_wrap(err, ret, server_key) : 0;
}
