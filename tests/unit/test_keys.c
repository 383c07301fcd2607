/* Files of keys: whose they must be, what must stand in them, how the list of workers is changed,
 * and followed by a server that runs. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/allow_list.h"
#include "app/key_file.h"
#include "app/key_folder.h"
#include "app/private_file.h"
#include "base/mem.h"

struct rig {
	char dir[64];
	int fd;
	struct curve_pair anna, bert;
	unsigned lines;
	char last[400];
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof *r);
	(void)snprintf(r->dir, sizeof r->dir, "/tmp/farhand-keys-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(key_folder_open(r->dir, &r->fd, NULL), 0);
	assert_int_equal(curve_pair_new(&r->anna, NULL), 0);
	assert_int_equal(curve_pair_new(&r->bert, NULL), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "server.key", "workers.keys", "workers.keys.new",
					     "anna.key" };
	struct rig *r = *state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		(void)unlinkat(r->fd, names[i], 0);
	(void)close(r->fd);
	assert_int_equal(rmdir(r->dir), 0);
	test_free(r);
	return 0;
}

static void path_of(const struct rig *r, const char *name, char path[128])
{
	(void)snprintf(path, 128, "%s/%s", r->dir, name);
}

static void write_file(const struct rig *r, const char *name, const char *text, unsigned mode)
{
	int fd = openat(r->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	(void)close(fd);
}

static void read_file(const struct rig *r, const char *name, char text[512])
{
	int fd = openat(r->fd, name, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, text, 511);
	assert_true(len >= 0);
	text[len] = '\0';
	(void)close(fd);
}

static void says(const struct fh_err *err, const char *line)
{
	if (!strstr(err->text, line))
		fail_msg("'%s' does not say '%s'", err->text, line);
}

/* ---- pairs ---- */

static void a_server_makes_its_key_once(void **state)
{
	struct rig *r = *state;
	struct curve_pair first, second;
	struct stat st;
	char path[128];
	assert_int_equal(key_file_of_server(r->fd, &first, NULL), 0);
	assert_int_equal(key_file_of_server(r->fd, &second, NULL), 0);
	assert_memory_equal(&first, &second, sizeof first);
	assert_int_equal(fstatat(r->fd, "server.key", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	path_of(r, "server.key", path);
	assert_int_equal(key_file_read(path, &second, NULL), 0);
	assert_memory_equal(&first, &second, sizeof first);
}

static void a_key_file_is_not_overwritten(void **state)
{
	struct rig *r = *state;
	struct curve_pair got;
	struct fh_err err;
	char path[128];
	path_of(r, "anna.key", path);
	assert_int_equal(key_file_make(path, "anna", &r->anna, &err), 0);
	assert_int_equal(key_file_make(path, "anna", &r->bert, &err), FH_EEXISTS);
	says(&err, "anna.key: it exists already");
	assert_int_equal(key_file_read(path, &got, &err), 0);
	assert_memory_equal(&got, &r->anna, sizeof got);
}

static void a_key_that_others_may_read_is_refused(void **state)
{
	struct rig *r = *state;
	struct curve_pair pair;
	struct fh_err err;
	char path[128];
	static const unsigned wide[] = { 0640, 0604, 0660, 0601 };
	path_of(r, "anna.key", path);
	assert_int_equal(key_file_make(path, "anna", &r->anna, &err), 0);
	assert_int_equal(key_file_of_server(r->fd, &pair, &err), 0);
	for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
		assert_int_equal(chmod(path, wide[i]), 0);
		assert_int_equal(fchmodat(r->fd, "server.key", wide[i], 0), 0);
		assert_int_equal(key_file_read(path, &pair, &err), FH_EINVAL);
		says(&err, "anna.key: others may use it (mode 06");
		assert_int_equal(key_file_of_server(r->fd, &pair, &err), FH_EINVAL);
		says(&err, "server.key: others may use it (mode 06");
	}
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(key_file_read(path, &pair, &err), 0);
	if (geteuid() != 0)
		return; /* only root can give a file away */
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(key_file_read(path, &pair, &err), FH_EINVAL);
	says(&err, "it belongs to another user (uid 65534)");
}

static void what_is_no_pair_is_refused_without_being_shown(void **state)
{
	struct rig *r = *state;
	struct curve_pair pair;
	struct fh_err err;
	char path[128], text[256];
	path_of(r, "anna.key", path);
	assert_int_equal(key_file_read(path, &pair, &err), FH_ENOTFOUND);
	says(&err, "anna.key: there is no such file");
	assert_int_equal(key_file_read(r->dir, &pair, &err), FH_EINVAL);
	says(&err, "it is not a file");
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(text, sizeof text, "%s%s\nsecret %s%s\n", i == 0 ? "#" : "public ",
			       i == 1 ? r->bert.public_key : r->anna.public_key,
			       i == 2 ? "" : r->anna.secret_key, i == 3 ? "x" : "");
		write_file(r, "anna.key", text, 0600);
		assert_int_equal(key_file_read(path, &pair, &err), FH_EINVAL);
		says(&err, "it does not hold a pair of keys");
		assert_null(strstr(err.text, r->anna.secret_key));
	}
	int fd = openat(r->fd, "anna.key", O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(write(fd, "a\0b", 3), 3);
	(void)close(fd);
	assert_int_equal(key_file_read(path, &pair, &err), FH_EINVAL);
	says(&err, "it is not text");
}

/* ---- the list ---- */

static struct allow_entry entry_of(const char *name, const struct curve_pair *pair)
{
	struct allow_entry e = { .created = "2026-02-03T04:05:06Z" };
	(void)snprintf(e.name, sizeof e.name, "%s", name);
	memcpy(e.key, pair->public_key, CURVE_KEY_SIZE);
	return e;
}

static void add(const struct rig *r, const char *name, const struct curve_pair *pair)
{
	struct allow_entry e = entry_of(name, pair);
	assert_int_equal(allow_list_add(r->fd, &e, NULL), 0);
}

static void workers_are_put_on_the_list_and_taken_off(void **state)
{
	struct rig *r = *state;
	struct allow_list l;
	struct allow_entry e = entry_of("anna", &r->bert), gone;
	struct fh_err err = { "" };
	assert_int_equal(allow_list_open(&l, r->fd, &err), 0);
	assert_int_equal(l.count, 0);
	assert_null(allow_list_name_of(&l, r->anna.public_key));
	allow_list_release(&l);

	add(r, "anna", &r->anna);
	add(r, "bert", &r->bert);
	assert_int_equal(allow_list_add(r->fd, &e, &err), FH_EEXISTS);
	says(&err, "the worker 'anna' has a key already");
	assert_int_equal(allow_list_open(&l, r->fd, &err), 0);
	assert_int_equal(l.count, 2);
	assert_string_equal(allow_list_name_of(&l, r->anna.public_key), "anna");
	assert_string_equal(allow_list_name_of(&l, r->bert.public_key), "bert");
	assert_string_equal(l.entries[1].created, "2026-02-03T04:05:06Z");
	assert_null(allow_list_name_of(&l, r->bert.secret_key));
	assert_null(allow_list_name_of(&l, ""));
	char near[CURVE_KEY_SIZE];
	memcpy(near, r->anna.public_key, sizeof near);
	near[39] = near[39] == '0' ? '1' : '0';
	assert_null(allow_list_name_of(&l, near));
	allow_list_release(&l);

	assert_int_equal(allow_list_remove(r->fd, "cleo", &gone, &err), FH_ENOTFOUND);
	says(&err, "no worker 'cleo' is on the list");
	assert_int_equal(allow_list_remove(r->fd, r->bert.public_key, &gone, &err), 0);
	assert_string_equal(gone.name, "bert");
	assert_int_equal(allow_list_remove(r->fd, "anna", &gone, &err), 0);
	assert_string_equal(gone.key, r->anna.public_key);
	assert_int_equal(allow_list_remove(r->fd, "anna", &gone, &err), FH_ENOTFOUND);
}

static void what_people_wrote_into_the_list_stays(void **state)
{
	struct rig *r = *state;
	struct allow_entry gone;
	char text[512], expected[512];
	(void)snprintf(text, sizeof text, "# ours\n\n  anna\t%s  today \r\nbert %s 2026",
		       r->anna.public_key, r->bert.public_key);
	write_file(r, "workers.keys", text, 0600);
	assert_int_equal(allow_list_remove(r->fd, "anna", &gone, NULL), 0);
	assert_string_equal(gone.created, "today");
	add(r, "cleo", &r->anna);
	(void)snprintf(expected, sizeof expected, "# ours\n\nbert %s 2026\ncleo %s %s\n",
		       r->bert.public_key, r->anna.public_key, "2026-02-03T04:05:06Z");
	read_file(r, "workers.keys", text);
	assert_string_equal(text, expected);
}

/* At a start, and before a change, all of it must be right. */
static void a_wrong_line_is_named(void **state)
{
	struct rig *r = *state;
	struct allow_list l;
	struct allow_entry e = entry_of("dora", &r->anna);
	struct fh_err err;
	char text[512];
	const char *a = r->anna.public_key, *b = r->bert.public_key;
	const struct {
		const char *first, *key, *rest, *says;
	} lines[] = {
		{ "bert", "", "", "its second word is not a key" },
		{ "bert", "0123456789", " 2026", "its second word is not a key" },
		{ "-x", b, " 2026", "it does not begin with a name" },
		{ "bert", b, "", "it should be NAME KEY CREATED" },
		{ "bert", b, " 2026 2027", "it should be NAME KEY CREATED" },
		{ "bert", b, " 2026-02-03T04:05:06.000Z", "it should be NAME KEY CREATED" },
		{ "anna", b, " 2026", "its name stands further up, too" },
		{ "bert", a, " 2026", "its key stands further up, too" },
	};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		(void)snprintf(text, sizeof text, "anna %s 2026\n%s %s%s\n", a, lines[i].first,
			       lines[i].key, lines[i].rest);
		write_file(r, "workers.keys", text, 0600);
		assert_int_equal(allow_list_open(&l, r->fd, &err), FH_EINVAL);
		says(&err, "workers.keys: line 2: ");
		says(&err, lines[i].says);
		assert_int_equal(allow_list_add(r->fd, &e, &err), FH_EINVAL);
		assert_int_equal(allow_list_remove(r->fd, "anna", &e, &err), FH_EINVAL);
	}
	write_file(r, "workers.keys", "", 0644);
	assert_int_equal(allow_list_open(&l, r->fd, &err), FH_EINVAL);
	says(&err, "workers.keys: others may use it (mode 0644)");
}

static void names_are_plain(void **state)
{
	(void)state;
	char name[TRANSPORT_NAME_MAX + 2];
	assert_true(allow_name_is_good("lab7.gpu_0-b"));
	static const char *const wrong[] = {
		"", ".", "-x", "_x", "a b", "a/b", "ä", "a\"b", "a\n"
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_false(allow_name_is_good(wrong[i]));
	memset(name, 'x', sizeof name);
	name[TRANSPORT_NAME_MAX + 1] = '\0';
	assert_false(allow_name_is_good(name));
	name[TRANSPORT_NAME_MAX] = '\0';
	assert_true(allow_name_is_good(name));
}

/* ---- a server that runs ---- */

static void on_log(void *ctx, const char *line)
{
	struct rig *r = ctx;
	r->lines++;
	(void)snprintf(r->last, sizeof r->last, "%s", line);
}

static void a_list_is_followed(void **state)
{
	struct rig *r = *state;
	struct allow_list l;
	struct allow_entry gone;
	add(r, "anna", &r->anna);
	assert_int_equal(allow_list_open(&l, r->fd, NULL), 0);
	l.ctx = r;
	l.log = on_log;
	assert_false(allow_list_refresh(&l));
	add(r, "bert", &r->bert);
	assert_true(allow_list_refresh(&l));
	assert_string_equal(r->last, "the list of workers' keys has changed: 2 are let in");
	assert_string_equal(allow_list_name_of(&l, r->bert.public_key), "bert");
	assert_false(allow_list_refresh(&l));
	assert_int_equal(allow_list_remove(r->fd, "anna", &gone, NULL), 0);
	assert_true(allow_list_refresh(&l));
	assert_null(allow_list_name_of(&l, r->anna.public_key));
	assert_int_equal(unlinkat(r->fd, "workers.keys", 0), 0);
	assert_true(allow_list_refresh(&l));
	assert_null(allow_list_name_of(&l, r->bert.public_key));
	assert_false(allow_list_refresh(&l));
	add(r, "anna", &r->anna);
	assert_true(allow_list_refresh(&l));
	assert_non_null(allow_list_name_of(&l, r->anna.public_key));
	allow_list_release(&l);
}

/* A slip costs its own line only; a file that others may write is nobody's word. */
static void a_list_that_goes_wrong_lets_nobody_new_in(void **state)
{
	struct rig *r = *state;
	struct allow_list l;
	char text[512];
	add(r, "anna", &r->anna);
	assert_int_equal(allow_list_open(&l, r->fd, NULL), 0);
	l.ctx = r;
	l.log = on_log;
	(void)snprintf(text, sizeof text, "anna %s 2026\nbert %s\n", r->anna.public_key,
		       r->bert.public_key);
	write_file(r, "workers.keys", text, 0600);
	assert_true(allow_list_refresh(&l));
	assert_non_null(allow_list_name_of(&l, r->anna.public_key));
	assert_null(allow_list_name_of(&l, r->bert.public_key));
	assert_non_null(strstr(r->last, "1 is let in; workers.keys: line 2"));

	assert_int_equal(fchmodat(r->fd, "workers.keys", 0620, 0), 0);
	assert_true(allow_list_refresh(&l));
	assert_null(allow_list_name_of(&l, r->anna.public_key));
	assert_non_null(strstr(r->last, "0 are let in; workers.keys: others may use it"));
	unsigned lines = r->lines;
	assert_false(allow_list_refresh(&l));
	assert_int_equal(r->lines, lines);
	assert_int_equal(fchmodat(r->fd, "workers.keys", 0600, 0), 0);
	assert_true(allow_list_refresh(&l));
	assert_non_null(allow_list_name_of(&l, r->anna.public_key));

	/* What cannot be read for now is no reason to send anybody away. */
	(void)snprintf(text, sizeof text, "bert %s 2026\n", r->bert.public_key);
	write_file(r, "workers.keys", text, 0600);
	fh_mem_fail_after(1);
	assert_false(allow_list_refresh(&l));
	assert_non_null(strstr(r->last, "stays as it was: "));
	assert_non_null(allow_list_name_of(&l, r->anna.public_key));
	assert_true(allow_list_refresh(&l));
	assert_non_null(allow_list_name_of(&l, r->bert.public_key));
	allow_list_release(&l);
}

/* Each allocation fails in turn; the sanitizer sees a leak. */
static void no_memory_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct allow_list l;
	struct allow_entry e = entry_of("bert", &r->bert), gone;
	add(r, "anna", &r->anna);
	for (unsigned i = 1;; i++) {
		fh_mem_fail_after(i);
		int ret = allow_list_add(r->fd, &e, NULL);
		fh_mem_fail_after(0);
		if (ret == 0)
			break;
		assert_int_equal(ret, FH_ENOMEM);
		assert_int_equal(allow_list_open(&l, r->fd, NULL), 0);
		assert_int_equal(l.count, 1);
		allow_list_release(&l);
	}
	for (unsigned i = 1;; i++) {
		fh_mem_fail_after(i);
		int ret = allow_list_remove(r->fd, "bert", &gone, NULL);
		fh_mem_fail_after(0);
		if (ret == 0)
			break;
		assert_int_equal(ret, FH_ENOMEM);
	}
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(a_server_makes_its_key_once),
		with_rig(a_key_file_is_not_overwritten),
		with_rig(a_key_that_others_may_read_is_refused),
		with_rig(what_is_no_pair_is_refused_without_being_shown),
		with_rig(workers_are_put_on_the_list_and_taken_off),
		with_rig(what_people_wrote_into_the_list_stays),
		with_rig(a_wrong_line_is_named),
		cmocka_unit_test(names_are_plain),
		with_rig(a_list_is_followed),
		with_rig(a_list_that_goes_wrong_lets_nobody_new_in),
		with_rig(no_memory_changes_nothing),
	};
	return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
