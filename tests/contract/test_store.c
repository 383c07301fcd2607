/* One contract, every store (src/store/store.h). The tests are in store_*_tests.c. */
#include "store_fixture.h"
#include "store_tests.h"

#define OVER(kind_name, kind_value, name)                              \
	{ kind_name ": " #name, name, fixture_setup, fixture_teardown, \
	  (void *)(uintptr_t)(kind_value) },

int main(void)
{
	const struct CMUnitTest tests[] = {
#define X(name) OVER("memory", KIND_MEM, name)
		STORE_TESTS(X)
#undef X
#define X(name) OVER("sqlite", KIND_SQLITE, name)
			STORE_TESTS(X)
#undef X
	};
	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
