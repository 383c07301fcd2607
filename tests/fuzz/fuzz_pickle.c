/* Any bytes, walked: every argument lies inside of them, and the walk ends. The modules of what is
 * a pickle are a list that may stand in needs. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/needs.h"
#include "base/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_modules(const uint8_t *data, size_t size, bool good)
{
	struct needs n = { 0 };
	char *modules = NULL;
	FH_ASSERT(pickle_modules(data, size, &modules) == (good ? 0 : FH_ESYNTAX));
	needs_add_modules(&n, modules);
	FH_ASSERT(strcmp(n.modules, modules ? modules : "") == 0);
	fh_free(modules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of exactly its size, so that a read beyond its end is seen. */
	uint8_t *copy = fh_malloc(size);
	struct pickle_walk w;
	struct pickle_op op;
	FH_ASSERT(copy);
	if (size)
		memcpy(copy, data, size);
	int ret = pickle_walk_init(&w, copy, size);
	size_t steps = 0;
	while (ret == 0 && (ret = pickle_next(&w, &op)) > 0) {
		FH_ASSERT(op.arg >= copy && op.arg + op.arg_len <= copy + size);
		FH_ASSERT_CMP(++steps, <=, size);
		ret = 0;
	}
	FH_ASSERT((ret == 0 && size > 2 && w.at == w.end) || ret == FH_ESYNTAX);
	FH_ASSERT((pickle_check(copy, size) == 0) == (ret == 0));
	check_modules(copy, size, ret == 0);
	fh_free(copy);
	return 0;
}
