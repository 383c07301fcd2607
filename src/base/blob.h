/* A blob: immutable bytes with a reference count, so that a payload or a result is copied once at
 * the edge and then only pointed at. The count is atomic: loop and store thread share blobs. The
 * bytes are written by whoever made the blob, before anybody else sees it. */
#ifndef FARHAND_BASE_BLOB_H
#define FARHAND_BASE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct blob {
	atomic_uint refs;
	size_t len;
	uint8_t data[];
};

/* A blob of `len` bytes that the caller fills, with one reference; NULL without memory. */
struct blob *blob_new(size_t len);

/* The same with a copy of `data`. */
struct blob *blob_copy(const void *data, size_t len);

/* One more reference to the same blob, which is returned. NULL gives NULL. */
struct blob *blob_ref(struct blob *b);

/* Gives up the caller's reference and nulls its pointer. Accepts NULL and a pointer to NULL. */
void blob_free(struct blob **b);

#endif
