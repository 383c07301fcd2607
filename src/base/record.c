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

void task_options_release(struct task_options *o)
{
	fh_free(o->retry_classes);
	fh_free(o->needs);
	fh_free(o->tags);
	o->retry_classes = NULL;
	o->needs = NULL;
	o->tags = NULL;
}

int task_options_copy(struct task_options *ret_copy, const struct task_options *o)
{
	struct task_options copy = *o;
	copy.retry_classes = o->retry_classes ? fh_strdup(o->retry_classes) : NULL;
	copy.needs = o->needs ? fh_strdup(o->needs) : NULL;
	copy.tags = o->tags ? fh_strdup(o->tags) : NULL;
	if ((o->retry_classes && !copy.retry_classes) || (o->needs && !copy.needs) ||
	    (o->tags && !copy.tags)) {
		task_options_release(&copy);
		return FH_ENOMEM;
	}
	*ret_copy = copy;
	return 0;
}

void function_rec_release(struct function_rec *f)
{
	fh_free(f->name);
	fh_free(f->description);
	fh_free(f->modules);
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
