/* What running tasks have printed so far: a copy for who looks meanwhile.
 *
 * Happy path: each LOG goes on where the last one ended and is appended; a read of the logs of a
 * running task gets a copy; RESULT brings all of it again, and when that is recorded it goes. Of an
 * attempt that is lost it is all that there is: if that ends the task, it becomes a part of the
 * record.
 *
 * Failure modes: a LOG about a task that its sender does not run under this token changes nothing.
 * One behind a gap is ignored, one that repeats adds only what is new: over a new connection the
 * worker begins from the start. What is too much for one stream, or for all together, is cut. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/plant.h"
#include "dispatch/dispatch_priv.h"

enum {
	/* A worker keeps no more of a stream itself. */
	LIVE_LOG_MAX = 1 << 20,
	/* Of all tasks: what is held for them beside their records stays small. */
	LIVE_LOG_ALL_MAX = 64 << 20,
	LIVE_LOG_STEP = 4096,
};

struct live_stream {
	uint8_t *data;
	size_t len, max;
	bool cut;
};

struct live_log {
	struct task_token token; /* of the attempt that printed it */
	struct live_stream streams[2];
};

void live_log_drop(struct dispatch *d, struct window_task *t)
{
	struct live_log *l = t->live_log;
	if (!l)
		return;
	for (unsigned i = 0; i < 2; i++) {
		d->live_log_bytes -= l->streams[i].max;
		fh_free(l->streams[i].data);
	}
	fh_free(l);
	t->live_log = NULL;
}

/* Room for so many bytes more; false: there is none. */
static bool grow(struct dispatch *d, struct live_stream *s, size_t more)
{
	if (more > LIVE_LOG_MAX - s->len)
		return false;
	size_t max = s->max ? s->max : LIVE_LOG_STEP;
	while (max < s->len + more)
		max *= 2;
	if (max == s->max)
		return true;
	if (d->live_log_bytes - s->max + max > LIVE_LOG_ALL_MAX)
		return false;
	uint8_t *data = fh_realloc(s->data, max);
	if (!data)
		return false;
	d->live_log_bytes += max - s->max;
	s->data = data;
	s->max = max;
	return true;
}

static void append(struct dispatch *d, struct live_stream *s, const struct wire_log *m)
{
	bool gap = m->offset > s->len;
	if (!m->data || s->cut || (gap && !PLANTED(LOG_GAP_JOINED)))
		return;
	size_t known = gap ? 0 : s->len - (size_t)m->offset;
	if (m->data->len <= known)
		return;
	size_t more = m->data->len - known, fits = more;
	while (fits > 0 && !grow(d, s, fits))
		fits /= 2;
	s->cut = fits < more;
	if (fits == 0)
		return;
	memcpy(s->data + s->len, m->data->data + known, fits);
	s->len += fits;
}

static struct live_log *log_of(struct dispatch *d, struct window_task *t, struct task_token token)
{
	if (t->live_log && !task_token_equal(t->live_log->token, token) &&
	    !PLANTED(LOG_OF_LOST_ATTEMPT))
		live_log_drop(d, t);
	if (!t->live_log)
		t->live_log = fh_calloc(1, sizeof *t->live_log);
	if (t->live_log)
		t->live_log->token = token;
	return t->live_log;
}

void live_log_add(struct dispatch *d, const struct session *s, const struct wire_log *m)
{
	struct core_view view;
	bool its = session_runs(d, s, m->task, m->token, &view) ||
		   (PLANTED(LOG_OF_ANYBODY) && core_find(d->core, m->task, &view));
	if (!its || view.state != TASK_RUNNING)
		return;
	FH_ASSERT(d->window[view.ref].used);
	struct live_log *l = log_of(d, &d->window[view.ref], m->token);
	if (l) /* without memory there is nothing to see until the end */
		append(d, &l->streams[m->is_error], m);
}

static struct blob *copy_of(const struct live_stream *s, bool *ret_cut)
{
	struct blob *b = s->len ? blob_copy(s->data, s->len) : NULL;
	*ret_cut = s->cut || (s->len && !b);
	return b;
}

bool live_log_copy(const struct window_task *t, uint32_t attempt, struct task_result *ret_result)
{
	const struct live_log *l = t->live_log;
	if (!l || (l->token.attempt != attempt && !PLANTED(LOG_OF_LOST_ATTEMPT)))
		return false;
	ret_result->out = copy_of(&l->streams[0], &ret_result->out_cut);
	ret_result->err = copy_of(&l->streams[1], &ret_result->err_cut);
	return true;
}

void live_log_check(const struct dispatch *d)
{
	size_t bytes = 0;
	for (uint32_t i = 0; i < d->config.limits.window_max; i++) {
		const struct live_log *l = d->window[i].used ? d->window[i].live_log : NULL;
		if (l)
			bytes += l->streams[0].max + l->streams[1].max;
	}
	FH_ASSERT_CMP(bytes, ==, d->live_log_bytes);
	FH_ASSERT_CMP(bytes, <=, LIVE_LOG_ALL_MAX);
}
