/* Reads, follows and changes the list of workers.
 *
 * Happy path: the file is looked at by its time, size and inode, and read whole when they have
 * changed; a change writes a new file and puts it in the place of the old one, so a reader sees
 * either. Failure modes: at a start and for a change every line must be right. A server that runs
 * skips a line that is none, says so, and goes on with the others: a slip of the editor must not
 * send a whole fleet away, nor let anybody in. */
#include "app/allow_list.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "app/private_file.h"
#include "base/mem.h"

static const char file_name[] = "workers.keys";

bool allow_name_is_good(const char *name)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char all[sizeof plain + 3];
	(void)snprintf(all, sizeof all, "%s._-", plain);
	size_t len = strlen(name);
	return len > 0 && len <= TRANSPORT_NAME_MAX && strspn(name, plain) > 0 &&
	       strspn(name, all) == len;
}

/* ---- lines ---- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(const char **at, const char *end)
{
	while (*at < end && is_blank(**at))
		(*at)++;
}

/* The next word of the line, and the blanks behind it, copied into `to` if it fits. */
static bool take_word(const char **at, const char *end, char *to, size_t size)
{
	const char *word = *at;
	while (*at < end && !is_blank(**at))
		(*at)++;
	size_t len = (size_t)(*at - word);
	skip_blanks(at, end);
	if (len >= size)
		return false;
	memcpy(to, word, len);
	to[len] = '\0';
	return len > 0;
}

/* NULL, or what is wrong with it; an empty name: there is nothing in it. */
static const char *read_line(const char *at, const char *end, struct allow_entry *ret_entry)
{
	struct allow_entry e = { .name = "" };
	const char *wrong = NULL;
	skip_blanks(&at, end);
	if (at < end && *at != '#') {
		if (!take_word(&at, end, e.name, sizeof e.name) || !allow_name_is_good(e.name))
			wrong = "it does not begin with a name";
		else if (!take_word(&at, end, e.key, sizeof e.key) || !curve_is_key(e.key))
			wrong = "its second word is not a key";
		else if (!take_word(&at, end, e.created, sizeof e.created) || at < end)
			wrong = "it should be NAME KEY CREATED";
	}
	if (!wrong)
		*ret_entry = e;
	return wrong;
}

/* ---- a list ---- */

/* Far more of a key than chance can repeat. */
static struct fh_id map_key(const char *key)
{
	struct fh_id id;
	memcpy(id.b, key, sizeof id.b);
	return id;
}

static const struct allow_entry *find_name(const struct allow_list *l, const char *name)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->entries[i].name, name) == 0)
			return &l->entries[i];
	return NULL;
}

const char *allow_list_name_of(const struct allow_list *l, const char *key)
{
	if (strlen(key) != CURVE_KEY_LEN)
		return NULL;
	const struct allow_entry *e = map_get(&l->by_key, map_key(key));
	return e && strcmp(e->key, key) == 0 ? e->name : NULL;
}

static int say_wrong(struct fh_err *err, unsigned line, const char *wrong)
{
	return fh_err_set(err, FH_EINVAL, "%s: line %u: %s", file_name, line, wrong);
}

/* Reads all lines of the text; the first wrong one stands in `err`, and the others are taken all
 * the same. FH_EINVAL, FH_ENOMEM: then the list is of no use. */
static int take_lines(struct allow_list *l, const char *text, struct fh_err *err)
{
	int ret = 0;
	unsigned number = 0;
	for (const char *at = text, *end; *at; at = end + (*end == '\n')) {
		struct allow_entry *e = &l->entries[l->count];
		end = at + strcspn(at, "\n");
		number++;
		const char *wrong = read_line(at, end, e);
		if (!wrong && !e->name[0])
			continue;
		if (!wrong && l->count == ALLOW_MAX)
			wrong = "there are too many workers";
		if (!wrong && find_name(l, e->name))
			wrong = "its name stands further up, too";
		int put = wrong ? 0 : map_put(&l->by_key, map_key(e->key), e);
		if (put == FH_ENOMEM)
			return put;
		if (put)
			wrong = "its key stands further up, too";
		l->count += !wrong;
		if (wrong && ret == 0)
			ret = say_wrong(err, number, wrong);
	}
	return ret;
}

static size_t count_lines(const char *text)
{
	size_t count = 1;
	for (; (text = strchr(text, '\n')); text++)
		count++;
	return count;
}

static void forget_entries(struct allow_list *l)
{
	map_release(&l->by_key);
	fh_free(l->entries);
	l->entries = NULL;
	l->count = 0;
}

/* A list of what stands in the text. */
static int parse(struct allow_list *l, const char *text, struct fh_err *err)
{
	*l = (struct allow_list){ 0 };
	l->entries = fh_calloc(count_lines(text), sizeof *l->entries);
	if (!l->entries || map_init(&l->by_key)) {
		forget_entries(l);
		return FH_ENOMEM;
	}
	int ret = take_lines(l, text, err);
	if (ret == FH_ENOMEM)
		forget_entries(l);
	return ret;
}

/* Reads the file, if there is one. */
static int read_file(int dir_fd, char **ret_text, struct stat *ret_seen, struct fh_err *err)
{
	*ret_seen = (struct stat){ 0 };
	int ret = private_file_read(dir_fd, file_name, ret_text, ret_seen, err);
	if (ret == FH_ENOTFOUND) {
		*ret_text = fh_strdup("");
		return *ret_text ? 0 : FH_ENOMEM;
	}
	return ret ? fh_err_wrap(err, ret, file_name) : 0;
}

int allow_list_open(struct allow_list *ret_list, int dir_fd, struct fh_err *err)
{
	struct allow_list l;
	struct stat seen;
	char *text;
	int ret = read_file(dir_fd, &text, &seen, err);
	if (ret)
		return ret;
	ret = parse(&l, text, err);
	fh_free(text);
	if (ret) {
		forget_entries(&l);
		return ret;
	}
	l.dir_fd = dir_fd;
	l.seen = seen;
	*ret_list = l;
	return 0;
}

void allow_list_release(struct allow_list *l)
{
	forget_entries(l);
}

/* ---- a list that is followed ---- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void say(const struct allow_list *l, const char *line)
{
	if (l->log)
		l->log(l->ctx, line);
}

/* It cannot be read for now: what is known stays. */
static bool fail_for_now(struct allow_list *l, const char *why)
{
	char line[320];
	(void)snprintf(line, sizeof line, "the list of workers' keys stays as it was: %s", why);
	if (!l->failing)
		say(l, line);
	l->failing = true;
	return false;
}

static void become(struct allow_list *l, const struct allow_list *own_next, const struct stat *seen,
		   const char *wrong)
{
	char line[400];
	forget_entries(l);
	l->entries = own_next->entries;
	l->count = own_next->count;
	l->by_key = own_next->by_key;
	l->seen = *seen;
	l->failing = false;
	(void)snprintf(line, sizeof line,
		       "the list of workers' keys has changed: %zu %s let in%s%s", l->count,
		       l->count == 1 ? "is" : "are", *wrong ? "; " : "", wrong);
	say(l, line);
}

bool allow_list_refresh(struct allow_list *l)
{
	struct stat now = { 0 };
	struct allow_list next = { 0 };
	struct fh_err err = { "" };
	char *text;
	if (fstatat(l->dir_fd, file_name, &now, 0))
		now = (struct stat){ 0 };
	if (same_file(&now, &l->seen))
		return false;
	int ret = read_file(l->dir_fd, &text, &now, &err);
	if (ret == FH_EINVAL) { /* who knows who wrote it: nobody is let in */
		if (fstatat(l->dir_fd, file_name, &now, 0))
			now = (struct stat){ 0 };
		become(l, &next, &now, err.text);
		return true;
	}
	if (ret)
		return fail_for_now(l, err.text[0] ? err.text : fh_error_text(ret));
	ret = parse(&next, text, &err);
	fh_free(text);
	if (ret == FH_ENOMEM)
		return fail_for_now(l, fh_error_text(ret));
	become(l, &next, &now, err.text);
	return true;
}

/* ---- changes ---- */

static int write_file(int dir_fd, const char *text, struct fh_err *err)
{
	int ret = private_file_replace(dir_fd, file_name, text, err);
	return ret ? fh_err_wrap(err, ret, file_name) : 0;
}

static int read_strictly(int dir_fd, char **ret_text, struct allow_list *ret_list,
			 struct fh_err *err)
{
	struct stat seen;
	int ret = read_file(dir_fd, ret_text, &seen, err);
	if (ret)
		return ret;
	ret = parse(ret_list, *ret_text, err);
	if (ret) {
		forget_entries(ret_list);
		fh_free(*ret_text);
	}
	return ret;
}

int allow_list_add(int dir_fd, const struct allow_entry *entry, struct fh_err *err)
{
	static const char head[] = "# Workers that this server lets in: NAME KEY CREATED\n";
	struct allow_list l;
	char *text;
	int ret = read_strictly(dir_fd, &text, &l, err);
	if (ret)
		return ret;
	size_t len = strlen(text), size = len + sizeof head + sizeof *entry + 8;
	char *more = NULL;
	if (find_name(&l, entry->name))
		ret = fh_err_set(err, FH_EEXISTS, "the worker '%s' has a key already", entry->name);
	else if (!(more = fh_malloc(size)))
		ret = FH_ENOMEM;
	if (ret == 0) {
		(void)snprintf(more, size, "%s%s%s%s %s %s\n", len == 0 ? head : "", text,
			       len > 0 && text[len - 1] != '\n' ? "\n" : "", entry->name,
			       entry->key, entry->created);
		ret = write_file(dir_fd, more, err);
	}
	fh_free(more);
	fh_free(text);
	forget_entries(&l);
	return ret;
}

/* Cuts the line of the entry out of the text. */
static void cut_line(char *text, const struct allow_entry *entry)
{
	struct allow_entry e = { .name = "" };
	for (char *at = text, *end; *at; at = end) {
		end = at + strcspn(at, "\n");
		const char *wrong = read_line(at, end, &e);
		end += *end == '\n';
		if (wrong || strcmp(e.name, entry->name) != 0)
			continue;
		memmove(at, end, strlen(end) + 1);
		return;
	}
}

int allow_list_remove(int dir_fd, const char *name_or_key, struct allow_entry *ret_entry,
		      struct fh_err *err)
{
	struct allow_list l;
	char *text;
	int ret = read_strictly(dir_fd, &text, &l, err);
	if (ret)
		return ret;
	const char *by_key = allow_list_name_of(&l, name_or_key);
	const struct allow_entry *e = find_name(&l, by_key ? by_key : name_or_key);
	if (e) {
		cut_line(text, e);
		ret = write_file(dir_fd, text, err);
	} else {
		ret = fh_err_set(err, FH_ENOTFOUND, "no worker '%.64s' is on the list",
				 name_or_key);
	}
	if (ret == 0)
		*ret_entry = *e;
	fh_free(text);
	forget_entries(&l);
	return ret;
}
