/* A target with a bug that is easy to find: if a run of it passes, the harness finds nothing. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 2 && data[0] == 'C' && data[1] == 'A' && data[2] == 'N')
		abort();
	return 0;
}
