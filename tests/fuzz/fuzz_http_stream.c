/* Any bytes on a connection, in two pieces: the server goes on, and gives back what it took. The
 * first byte says where the pieces part. */
#include <sys/socket.h>

#include "../unit/http_fixture.h"
#include "base/assert.h"
#include "http/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fixture *f;
	struct client c;
	if (size < 2)
		return 0;
	if (!f)
		f = fixture_new(NULL);
	size_t first = (size_t)data[0] * (size - 1) / 255;
	client_open(&c, f);
	client_send(&c, data + 1, first);
	fixture_turn(f, fixture_clock() + FIXTURE_WAIT_MS, "the first piece is read");
	client_send(&c, data + 1 + first, size - 1 - first);
	fixture_turn(f, fixture_clock() + FIXTURE_WAIT_MS, "the second piece is read");
	/* Reset, not closed: tens of thousands of closed ones would hold every port for a minute.
	 */
	const struct linger reset = { .l_onoff = 1 };
	FH_ASSERT(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) == 0);
	client_close(&c);
	fixture_until(f, f->server->pool.count == 0);
	FH_ASSERT_CMP(f->server->pool.reserved, ==, 0);
	FH_ASSERT_CMP(f->server->parked, ==, 0);
	FH_ASSERT(list_empty(&f->server->exchanges) || !list_empty(&f->calls));
	return 0;
}
