/* One direction of a connection: messages under way, as bytes. Each takes its time; and where a
 * seed says so, some are lost, come twice, or overtake others.
 *
 * What real transports promise is kept in all other seeds: nothing is lost, and order is kept among
 * messages that may be large and among all others (wire/link.h), not between the two. */
#ifndef FARHAND_SIM_LINE_H
#define FARHAND_SIM_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "wire/msg.h"

struct world;

struct line {
	struct list packets; /* in the order in which they will come */
	uint32_t count;
	int64_t last_us[3]; /* when the last one comes; of urgent messages, large ones, LOGs */
};

void line_init(struct line *l);
/* All that is under way is lost. */
void line_release(struct line *l);

/* Takes the message over. Nothing comes before `cut_until_us`: until then the network is down. */
void line_send(struct line *l, struct world *w, int64_t cut_until_us, struct wire_msg *own_msg);

/* Whether one has come by now. */
bool line_take(struct line *l, int64_t now_us, struct wire_msg *ret_msg);

int64_t line_next_us(const struct line *l);

#endif
