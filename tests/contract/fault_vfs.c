/* One image for each path: what is synced, and what was written since. Used by one thread at a time
 * (opener, then store thread, then the test), so nothing is locked but the counter. */
#include "fault_vfs.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"

enum { IMAGES = 8, SECTOR = 512 };

/* A write, or a truncation (no data). */
struct change {
	struct change *next;
	uint64_t at, len;
	bool truncates;
	uint8_t data[];
};

struct image {
	char path[512];
	uint8_t *synced;
	uint64_t len, max;
	struct change *first, **last; /* since the last sync */
};

struct fault_file {
	sqlite3_file base;
	struct image *image;
	sqlite3_file *real; /* in the memory behind this */
};

static struct image images[IMAGES];
static sqlite3_vfs vfs, *real_vfs;
static enum fault fault;
static uint64_t fault_at;
static _Atomic uint64_t count;
static atomic_bool happened;

/* SQLITE_OK, or what this operation fails with. */
static int operation(int error)
{
	uint64_t n = atomic_fetch_add(&count, 1) + 1;
	if (fault == FAULT_NONE || n < fault_at || (n > fault_at && fault != FAULT_CUT))
		return SQLITE_OK;
	atomic_store(&happened, true);
	return fault == FAULT_FULL && error == SQLITE_IOERR_WRITE ? SQLITE_FULL : error;
}

static void *allocate(size_t size)
{
	void *p = calloc(1, size);
	FH_ASSERT(p != NULL);
	return p;
}

static void resize(struct image *i, uint64_t len)
{
	if (len > i->max) {
		i->max = 2 * len;
		i->synced = realloc(i->synced, i->max);
		FH_ASSERT(i->synced != NULL);
	}
	if (len > i->len)
		memset(i->synced + i->len, 0, len - i->len);
	i->len = len;
}

static void apply(struct image *i, const struct change *c, uint64_t from, uint64_t to)
{
	if (c->truncates) {
		resize(i, c->len);
		return;
	}
	if (from == to) /* nothing of it, perhaps of a file that is empty */
		return;
	if (c->at + to > i->len)
		resize(i, c->at + to);
	memcpy(i->synced + c->at + from, c->data + from, to - from);
}

static struct change *pop(struct image *i)
{
	struct change *c = i->first;
	if (c && !(i->first = c->next))
		i->last = &i->first;
	return c;
}

static void sync_image(struct image *i)
{
	for (struct change *c; (c = pop(i)) != NULL; free(c))
		apply(i, c, 0, c->len);
}

static void note(struct image *i, uint64_t at, const void *data, uint64_t len)
{
	struct change *c = allocate(sizeof *c + (data ? len : 0));
	c->at = at;
	c->len = len;
	c->truncates = !data;
	if (data)
		memcpy(c->data, data, len);
	*i->last = c;
	i->last = &c->next;
}

static void drop_image(struct image *i)
{
	for (struct change *c; (c = pop(i)) != NULL;)
		free(c);
	free(i->synced);
	*i = (struct image){ 0 };
}

static struct image *find_image(const char *path)
{
	for (int i = 0; i < IMAGES; i++)
		if (strcmp(images[i].path, path) == 0)
			return &images[i];
	return NULL;
}

/* The image of a file that is there, read from the disk. */
static struct image *load_image(const char *path)
{
	struct image *i = find_image(path);
	if (i)
		return i;
	i = find_image("");
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	FH_ASSERT(i && fd >= 0 && fstat(fd, &st) == 0 && strlen(path) < sizeof i->path);
	memcpy(i->path, path, strlen(path) + 1);
	i->last = &i->first;
	resize(i, (uint64_t)st.st_size);
	FH_ASSERT_CMP(pread(fd, i->synced, i->len, 0), ==, (ssize_t)i->len);
	(void)close(fd);
	return i;
}

static struct fault_file *of(sqlite3_file *f)
{
	return (struct fault_file *)(void *)f;
}

static int file_close(sqlite3_file *f)
{
	return of(f)->real->pMethods->xClose(of(f)->real);
}

static int file_read(sqlite3_file *f, void *data, int len, sqlite3_int64 at)
{
	int rc = operation(SQLITE_IOERR_READ);
	return rc ? rc : of(f)->real->pMethods->xRead(of(f)->real, data, len, at);
}

static int file_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
	int rc = operation(SQLITE_IOERR_WRITE);
	if (rc)
		return rc;
	note(of(f)->image, (uint64_t)at, data, (uint64_t)len);
	return of(f)->real->pMethods->xWrite(of(f)->real, data, len, at);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 len)
{
	int rc = operation(SQLITE_IOERR_TRUNCATE);
	if (rc)
		return rc;
	note(of(f)->image, 0, NULL, (uint64_t)len);
	return of(f)->real->pMethods->xTruncate(of(f)->real, len);
}

static int file_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	int rc = operation(SQLITE_IOERR_FSYNC);
	if (!rc)
		sync_image(of(f)->image);
	return rc;
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret_len)
{
	int rc = operation(SQLITE_IOERR_FSTAT);
	return rc ? rc : of(f)->real->pMethods->xFileSize(of(f)->real, ret_len);
}

static int file_lock(sqlite3_file *f, int level)
{
	return of(f)->real->pMethods->xLock(of(f)->real, level);
}

static int file_unlock(sqlite3_file *f, int level)
{
	return of(f)->real->pMethods->xUnlock(of(f)->real, level);
}

static int file_reserved(sqlite3_file *f, int *ret_reserved)
{
	return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, ret_reserved);
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
	return of(f)->real->pMethods->xFileControl(of(f)->real, op, arg);
}

static int file_sector(sqlite3_file *f)
{
	return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int file_device(sqlite3_file *f)
{
	return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* no shared memory, no mmap: the store must not need them */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
};

static int vfs_open(sqlite3_vfs *v, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
	(void)v;
	struct fault_file *file = of(f);
	file->base.pMethods = NULL;
	int rc = operation(SQLITE_CANTOPEN);
	if (rc)
		return rc;
	file->real = (sqlite3_file *)(void *)(file + 1);
	rc = real_vfs->xOpen(real_vfs, path, file->real, flags, ret_flags);
	if (rc)
		return rc;
	file->image = load_image(path);
	file->base.pMethods = &methods;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *v, const char *path, int sync_dir)
{
	(void)v;
	int rc = operation(SQLITE_IOERR_DELETE);
	if (rc)
		return rc;
	struct image *i = find_image(path);
	if (i)
		drop_image(i);
	return real_vfs->xDelete(real_vfs, path, sync_dir);
}

static void drop_images(void)
{
	for (int i = 0; i < IMAGES; i++)
		if (images[i].path[0])
			drop_image(&images[i]);
}

void fault_vfs_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	FH_ASSERT(real_vfs != NULL && real_vfs != &vfs);
	vfs = *real_vfs; /* what is not about files is the real one's */
	vfs.zName = "fault";
	vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
	vfs.xOpen = vfs_open;
	vfs.xDelete = vfs_delete;
	FH_ASSERT_CMP(sqlite3_vfs_register(&vfs, 1), ==, SQLITE_OK);
	fault_vfs_plan(FAULT_NONE, 0);
}

void fault_vfs_remove(void)
{
	FH_ASSERT_CMP(sqlite3_vfs_unregister(&vfs), ==, SQLITE_OK);
	FH_ASSERT_CMP(sqlite3_vfs_register(real_vfs, 1), ==, SQLITE_OK);
	drop_images();
}

void fault_vfs_plan(enum fault new_fault, uint64_t at)
{
	drop_images();
	fault = new_fault;
	fault_at = at;
	atomic_store(&count, 0);
	atomic_store(&happened, false);
}

uint64_t fault_vfs_count(void)
{
	return atomic_load(&count);
}

bool fault_vfs_happened(void)
{
	return atomic_load(&happened);
}

static uint64_t draw(uint64_t *random)
{
	*random ^= *random << 13; /* xorshift64 */
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return *random >> 32;
}

/* A change that was not synced: half of them did not reach the disk, some only in part. */
static void apply_some(struct image *i, const struct change *c, uint64_t *random)
{
	uint64_t sectors = (c->len + SECTOR - 1) / SECTOR;
	uint64_t to = draw(random) % 4 ? sectors : draw(random) % (sectors + 1);
	if (draw(random) % 2)
		return;
	apply(i, c, 0, c->truncates || to * SECTOR > c->len ? c->len : to * SECTOR);
}

static void write_image(const struct image *i)
{
	int fd = open(i->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FH_ASSERT(fd >= 0);
	for (uint64_t done = 0; done < i->len;) {
		ssize_t len = pwrite(fd, i->synced + done, i->len - done, (off_t)done);
		FH_ASSERT_CMP(len, >, 0);
		done += (uint64_t)len;
	}
	(void)close(fd);
}

void fault_vfs_settle(uint64_t seed)
{
	uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	for (int i = 0; i < IMAGES; i++) {
		if (!images[i].path[0])
			continue;
		for (struct change *c; (c = pop(&images[i])) != NULL; free(c))
			apply_some(&images[i], c, &random);
		write_image(&images[i]);
		drop_image(&images[i]);
	}
}
