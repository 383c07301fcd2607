#include "base/blob.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct blob *blob_new(size_t len)
{
	if (len > SIZE_MAX - sizeof(struct blob))
		return NULL;
	struct blob *b = fh_malloc(sizeof *b + len);
	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->len = len;
	return b;
}

struct blob *blob_copy(const void *data, size_t len)
{
	struct blob *b = blob_new(len);
	if (b && len)
		memcpy(b->data, data, len);
	return b;
}

struct blob *blob_ref(struct blob *b)
{
	if (b) {
		unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
		FH_ASSERT_CMP(before, >, 0);
	}
	return b;
}

void blob_free(struct blob **b)
{
	if (!b || !*b)
		return;
	struct blob *gone = *b;
	*b = NULL;
	unsigned before = atomic_fetch_sub_explicit(&gone->refs, 1, memory_order_acq_rel);
	FH_ASSERT_CMP(before, >, 0);
	if (before == 1)
		fh_free(gone);
}
