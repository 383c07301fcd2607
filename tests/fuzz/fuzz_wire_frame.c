/* Whatever a worker or a dispatcher sends: frames of a connection, each behind its length. What is
 * understood is sent on over another connection and must arrive there. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wire/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct relay {
	struct wire_link *out;
	unsigned went, came;
};

static bool pass_on(void *ctx, struct wire_msg *own_msg)
{
	struct relay *r = ctx;
	FH_ASSERT(wire_link_send(r->out, own_msg) == 0);
	r->went++;
	return true;
}

static bool arrive(void *ctx, struct wire_msg *own_msg)
{
	((struct relay *)ctx)->came++;
	wire_msg_release(own_msg);
	return true;
}

static void drain(struct relay *r)
{
	static uint8_t frame[WIRE_FRAME_MAX];
	struct wire_link *in;
	FH_ASSERT(wire_link_new(&in) == 0);
	for (size_t len; wire_link_next(r->out, frame, &len) == 0 && len > 0;) {
		struct fh_err err = { "" };
		FH_ASSERT(wire_link_receive(in, frame, len, arrive, r, &err) == 0);
	}
	FH_ASSERT_CMP(r->went, ==, r->came);
	wire_link_free(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_link *link;
	struct relay r = { 0 };
	FH_ASSERT(wire_link_new(&link) == 0 && wire_link_new(&r.out) == 0);
	while (size > 2) {
		size_t len = data[0] | (size_t)data[1] << 8;
		len = len < size - 2 ? len : size - 2;
		/* A copy of exactly its size, so that a read beyond its end is seen. */
		uint8_t *frame = fh_malloc(len + 1);
		struct fh_err err = { "" };
		FH_ASSERT(frame);
		memcpy(frame, data + 2, len);
		int ret = wire_link_receive(link, frame, len, pass_on, &r, &err);
		FH_ASSERT((ret == 0) == (err.text[0] == '\0'));
		fh_free(frame);
		if (ret)
			break;
		data += 2 + len;
		size -= 2 + len;
	}
	drain(&r);
	wire_link_free(&link);
	wire_link_free(&r.out);
	return 0;
}
