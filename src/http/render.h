/* Records as JSON. */
#ifndef FARHAND_HTTP_RENDER_H
#define FARHAND_HTTP_RENDER_H

#include "base/record.h"
#include "http/text.h"

/* The members of a task object, in the order of writing. `result` and `error` only where asked. */
/* clang-format off */
#define TASK_FIELDS(X) \
	X(id) X(function_id) X(function_name) X(group_id) X(state) X(reason) \
	X(attempt) X(priority) X(runtime) X(resources) X(labels) X(tags) X(worker_id) \
	X(created_at) X(not_before) X(queued_at) X(started_at) X(finished_at) X(expires_at) \
	X(timings) X(result_size) X(links) X(result) X(error)
/* clang-format on */

enum task_field {
#define X(name) TASK_FIELD_##name,
	TASK_FIELDS(X)
#undef X
		TASK_FIELD_COUNT,
};

#define TASK_FIELD_BIT(name) (1u << TASK_FIELD_##name)

enum {
	TASK_FIELDS_ALL = (1u << TASK_FIELD_COUNT) - 1,
	TASK_FIELDS_RESULT = TASK_FIELD_BIT(result) | TASK_FIELD_BIT(error),
	TASK_FIELDS_RECORD = TASK_FIELDS_ALL & ~TASK_FIELDS_RESULT,
};

/* The bit of a field's name, or 0. */
unsigned render_task_field(const char *name);

/* A task object with the members in `fields`. `result` may be NULL. */
void render_task(struct text *t, const struct task_rec *task, const struct task_result *result,
		 unsigned fields);

/* About how many bytes render_task() and render_result() write; 0 for what has no result yet. */
uint64_t render_task_size(const struct task_rec *task, const struct task_result *result,
			  unsigned fields);
uint64_t render_result_size(const struct task_result *result);

/* {state, reason, result, error}: what became of a task; with the pickled exception in `error`. */
void render_result(struct text *t, const struct task_rec *task, const struct task_result *result);

void render_function(struct text *t, const struct function_rec *f);
void render_group(struct text *t, const struct group_rec *g);

/* 64 characters and a terminator. */
void render_hex(const uint8_t digest[32], char text[65]);

#endif
