/* Deep copies of records: into the store and out of it. Blobs are shared, texts are not. Failure
 * modes: no memory, and then nothing is left over. */
#include "base/mem.h"
#include "store/mem_priv.h"

/* False without memory. NULL is copied as NULL. */
static bool copy_text(const char *from, char **ret_copy)
{
	*ret_copy = from ? fh_strdup(from) : NULL;
	return !from || *ret_copy;
}

int mem_copy_function(const struct function_rec *from, bool payload, struct function_rec *ret_copy)
{
	struct function_rec copy = *from;
	copy.name = copy.description = copy.modules = NULL;
	copy.payload = NULL;
	copy.defaults = (struct task_options){ 0 };
	if (!copy_text(from->name, &copy.name) ||
	    !copy_text(from->description, &copy.description) ||
	    task_options_copy(&copy.defaults, &from->defaults)) {
		function_rec_release(&copy);
		return FH_ENOMEM;
	}
	copy.payload = payload ? blob_ref(from->payload) : NULL;
	*ret_copy = copy;
	return 0;
}

int mem_copy_task(const struct mem *m, const struct mem_task *from, bool payload,
		  struct task_rec *ret_copy)
{
	const struct mem_function *f = map_get(&m->functions, from->rec.function_id);
	struct task_rec copy = from->rec;
	copy.payload = NULL;
	copy.options = (struct task_options){ 0 };
	if (!copy_text(f ? f->rec.name : NULL, &copy.function_name) ||
	    task_options_copy(&copy.options, &from->rec.options)) {
		task_rec_release(&copy);
		return FH_ENOMEM;
	}
	copy.payload = payload ? blob_ref(from->rec.payload) : NULL;
	*ret_copy = copy;
	return 0;
}

int mem_copy_result(const struct task_result *from, unsigned want, struct task_result *ret_copy)
{
	struct task_result copy = *from;
	copy.value = copy.out = copy.err = NULL;
	copy.error_type = copy.error_message = copy.traceback = NULL;
	if ((want & STORE_WANT_RESULT) && (!copy_text(from->error_type, &copy.error_type) ||
					   !copy_text(from->error_message, &copy.error_message) ||
					   !copy_text(from->traceback, &copy.traceback))) {
		task_result_release(&copy);
		return FH_ENOMEM;
	}
	if (want & STORE_WANT_RESULT)
		copy.value = blob_ref(from->value);
	if (want & STORE_WANT_LOGS) {
		copy.out = blob_ref(from->out);
		copy.err = blob_ref(from->err);
	}
	*ret_copy = copy;
	return 0;
}

int mem_copy_group(const struct group_rec *from, struct group_rec *ret_copy)
{
	struct group_rec copy = *from;
	copy.name = copy.tags = NULL;
	if (!copy_text(from->name, &copy.name) || !copy_text(from->tags, &copy.tags)) {
		group_rec_release(&copy);
		return FH_ENOMEM;
	}
	*ret_copy = copy;
	return 0;
}
