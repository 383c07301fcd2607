#include "base/record.h"

#include <stddef.h>

#include "base/mem.h"

const char *task_state_name(enum task_state s)
{
	static const char *const names[TASK_STATE_COUNT] = {
#define X(name, number) [TASK_##name] = #name,
		TASK_STATES(X)
#undef X
	};
	return (unsigned)s < TASK_STATE_COUNT ? names[s] : "UNKNOWN";
}

const char *task_reason_name(enum task_reason r)
{
	static const char *const names[REASON_COUNT] = {
#define X(name, number, text) [REASON_##name] = text,
		TASK_REASONS(X)
#undef X
	};
	return (unsigned)r < REASON_COUNT ? names[r] : NULL;
}

const char *serializer_name(enum serializer s)
{
	static const char *const names[SERIALIZER_COUNT] = { "pickle", "dill", "cloudpickle" };
	return (unsigned)s < SERIALIZER_COUNT ? names[s] : "unknown";
}

/* The options that are texts. */
#define OPTION_TEXTS(X)  \
	X(retry_classes) \
	X(needs)         \
	X(tags)

void task_options_release(struct task_options *o)
{
#define X(name)           \
	fh_free(o->name); \
	o->name = NULL;
	OPTION_TEXTS(X)
#undef X
}

int task_options_copy(struct task_options *ret_copy, const struct task_options *o)
{
	struct task_options copy = *o;
	bool failed = false;
#define X(name)                                          \
	copy.name = o->name ? fh_strdup(o->name) : NULL; \
	failed |= o->name && !copy.name;
	OPTION_TEXTS(X)
#undef X
	if (failed) {
		task_options_release(&copy);
		return FH_ENOMEM;
	}
	*ret_copy = copy;
	return 0;
}

void function_rec_release(struct function_rec *f)
{
	fh_free(f->modules);
	fh_free(f->name);
	fh_free(f->description);
	blob_free(&f->payload);
	task_options_release(&f->defaults);
	*f = (struct function_rec){ 0 };
}

void task_rec_release(struct task_rec *t)
{
	fh_free(t->function_name);
	blob_free(&t->payload);
	task_options_release(&t->options);
	*t = (struct task_rec){ 0 };
}

void task_result_release(struct task_result *r)
{
	blob_free(&r->value);
	blob_free(&r->out);
	blob_free(&r->err);
	fh_free(r->error_type);
	fh_free(r->error_message);
	fh_free(r->traceback);
	*r = (struct task_result){ 0 };
}

void group_rec_release(struct group_rec *g)
{
	fh_free(g->name);
	fh_free(g->tags);
	*g = (struct group_rec){ 0 };
}
