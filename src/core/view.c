/* What others may see of the core's state. Nothing here changes any of it. */
#include "base/assert.h"
#include "core/core.h"
#include "core/state.h"

void core_session_look(const struct core *c, uint32_t session, struct core_session_view *ret_view)
{
	FH_ASSERT_CMP(session, <, c->sessions_touched);
	const struct session *s = &c->sessions[session];
	FH_ASSERT(s->open);
	*ret_view = (struct core_session_view){
		.running = s->running,
		.in_flight = s->lengthy + s->ahead,
		.pauses = s->pauses,
		.silent_us = s->immortal ? 0 : c->now_us - c->paused_us - s->heard_us,
	};
}
