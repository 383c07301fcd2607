/* The life of a call outside of any store: reset before it is executed, done or dropped after it,
 * released by its owner; and the end of a recovery. The switches name every kind, so that the
 * compiler misses a new one. */
#include "store/op.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define CALL(type, op) ((struct type *)(void *)(op))

static void idempotency_reset(struct store_idempotency *i)
{
	if (!i)
		return;
	i->ret_status = 0;
	i->ret_location = NULL;
	i->ret_response = NULL;
}

static void idempotency_release(struct store_idempotency *i)
{
	if (!i)
		return;
	fh_free(i->ret_location);
	blob_free(&i->ret_response);
	idempotency_reset(i);
}

void store_op_reset(struct store_op *op)
{
	op->ret = 0;
	switch (op->kind) {
	case STORE_GET_FUNCTION:
		CALL(store_get_function, op)->ret_function = (struct function_rec){ 0 };
		break;
	case STORE_LIST_FUNCTIONS:
		CALL(store_list_functions, op)->ret_functions = NULL;
		CALL(store_list_functions, op)->ret_count = 0;
		break;
	case STORE_SUBMIT:
		idempotency_reset(CALL(store_submit, op)->idempotency);
		break;
	case STORE_PUT_GROUP:
		idempotency_reset(CALL(store_put_group, op)->idempotency);
		break;
	case STORE_CLAIM:
		CALL(store_claim, op)->ret_tasks = NULL;
		CALL(store_claim, op)->ret_count = 0;
		break;
	case STORE_TAKE:
		CALL(store_take, op)->ret_tasks = NULL;
		CALL(store_take, op)->ret_class_keys = NULL;
		CALL(store_take, op)->ret_count = 0;
		break;
	case STORE_GET_TASK:
		CALL(store_get_task, op)->ret_task = (struct task_rec){ 0 };
		CALL(store_get_task, op)->ret_result = (struct task_result){ 0 };
		break;
	case STORE_GET_TASKS:
		CALL(store_get_tasks, op)->ret_views = NULL;
		CALL(store_get_tasks, op)->ret_filled = 0;
		break;
	case STORE_LIST_FINISHED:
		CALL(store_list_finished, op)->ret_views = NULL;
		CALL(store_list_finished, op)->ret_count = 0;
		CALL(store_list_finished, op)->ret_group = (struct group_rec){ 0 };
		break;
	case STORE_GET_GROUP:
		CALL(store_get_group, op)->ret_group = (struct group_rec){ 0 };
		break;
	case STORE_EXPIRE:
		CALL(store_expire, op)->ret_expired = NULL;
		CALL(store_expire, op)->ret_count = 0;
		break;
	case STORE_PUT_FUNCTION:
	case STORE_FINISH:
	case STORE_RETRY:
	case STORE_START:
	case STORE_UNCLAIM:
	case STORE_CANCEL:
	case STORE_PURGE:
	case STORE_NOTE_WORKER:
	case STORE_STATS:
		break;
	case STORE_OP_COUNT:
		FH_UNREACHABLE("no such call");
	}
}

static void views_release(struct store_task_view *views, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		task_rec_release(&views[i].task);
		task_result_release(&views[i].result);
	}
	fh_free(views);
}

static void functions_release(struct function_rec *functions, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		function_rec_release(&functions[i]);
	fh_free(functions);
}

static void tasks_release(struct task_rec *tasks, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		task_rec_release(&tasks[i]);
	fh_free(tasks);
}

void store_op_release(struct store_op *op)
{
	int ret = op->ret;
	switch (op->kind) {
	case STORE_GET_FUNCTION:
		function_rec_release(&CALL(store_get_function, op)->ret_function);
		break;
	case STORE_LIST_FUNCTIONS:
		functions_release(CALL(store_list_functions, op)->ret_functions,
				  CALL(store_list_functions, op)->ret_count);
		break;
	case STORE_SUBMIT:
		idempotency_release(CALL(store_submit, op)->idempotency);
		break;
	case STORE_PUT_GROUP:
		idempotency_release(CALL(store_put_group, op)->idempotency);
		break;
	case STORE_CLAIM:
		tasks_release(CALL(store_claim, op)->ret_tasks, CALL(store_claim, op)->ret_count);
		break;
	case STORE_TAKE:
		tasks_release(CALL(store_take, op)->ret_tasks, CALL(store_take, op)->ret_count);
		fh_free(CALL(store_take, op)->ret_class_keys);
		break;
	case STORE_GET_TASK:
		task_rec_release(&CALL(store_get_task, op)->ret_task);
		task_result_release(&CALL(store_get_task, op)->ret_result);
		break;
	case STORE_GET_TASKS:
		views_release(CALL(store_get_tasks, op)->ret_views,
			      CALL(store_get_tasks, op)->ret_filled);
		break;
	case STORE_LIST_FINISHED:
		views_release(CALL(store_list_finished, op)->ret_views,
			      CALL(store_list_finished, op)->ret_count);
		group_rec_release(&CALL(store_list_finished, op)->ret_group);
		break;
	case STORE_GET_GROUP:
		group_rec_release(&CALL(store_get_group, op)->ret_group);
		break;
	case STORE_EXPIRE:
		fh_free(CALL(store_expire, op)->ret_expired);
		break;
	case STORE_PUT_FUNCTION:
	case STORE_FINISH:
	case STORE_RETRY:
	case STORE_START:
	case STORE_UNCLAIM:
	case STORE_CANCEL:
	case STORE_PURGE:
	case STORE_NOTE_WORKER:
	case STORE_STATS:
		break;
	case STORE_OP_COUNT:
		FH_UNREACHABLE("no such call");
	}
	store_op_reset(op);
	op->ret = ret;
}

void store_recovery_release(struct store_recovery *r)
{
	fh_free(r->workers);
	*r = (struct store_recovery){ 0 };
}

void store_ops_move(struct list *from, struct list *ret_to)
{
	list_init(ret_to);
	if (list_empty(from))
		return;
	*ret_to = *from;
	ret_to->next->prev = ret_to;
	ret_to->prev->next = ret_to;
	list_init(from);
}

void store_ops_prepend(struct list *from, struct list *to)
{
	while (!list_empty(from)) {
		struct list *last = from->prev;
		list_remove(last);
		list_push_front(to, last);
	}
}

void store_ops_done(struct list *ops)
{
	for (struct list *link; (link = list_pop_front(ops)) != NULL;) {
		struct store_op *op = list_entry(link, struct store_op, link);
		op->done(op);
	}
}

void store_ops_drop(struct list *ops)
{
	for (struct list *link; (link = list_pop_front(ops)) != NULL;)
		store_op_release(list_entry(link, struct store_op, link));
}

void store_submit_check(const struct store_submit *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		const struct store_submit_item *item = &call->items[i];
		FH_ASSERT_CMP(item->task->state, ==, TASK_QUEUED);
		FH_ASSERT(item->task->payload != NULL);
		FH_ASSERT(fh_id_equal(item->task->group_id, call->items[0].task->group_id));
		FH_ASSERT(!item->class_key || strlen(item->class_key) < STORE_CLASS_KEY_SIZE);
		FH_ASSERT(!item->task->options.needs ||
			  strlen(item->task->options.needs) <= TASK_NEEDS_MAX);
	}
	if (call->new_group && call->count)
		FH_ASSERT(fh_id_equal(call->new_group->id, call->items[0].task->group_id));
}

int64_t store_due_ms(const struct task_rec *t)
{
	int64_t due = t->not_before_ms > t->options.not_before_ms ? t->not_before_ms
								  : t->options.not_before_ms;
	return due > t->created_ms ? due : 0;
}

static uint64_t text_bytes(const char *text)
{
	return text ? strlen(text) : 0;
}

static uint64_t blob_bytes(const struct blob *b)
{
	return b ? b->len : 0;
}

uint64_t store_result_bytes(const struct task_result *r)
{
	return blob_bytes(r->value) + text_bytes(r->error_type) + text_bytes(r->error_message) +
	       text_bytes(r->traceback) + blob_bytes(r->out) + blob_bytes(r->err);
}

static uint64_t views_bytes(const struct store_task_view *views, uint32_t count)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += store_result_bytes(&views[i].result);
	return bytes;
}

static uint64_t functions_bytes(const struct function_rec *functions, uint32_t count)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += sizeof functions[i] + text_bytes(functions[i].name) +
			 text_bytes(functions[i].description);
	return bytes;
}

static uint64_t payload_bytes(const struct task_rec *tasks, uint32_t count)
{
	uint64_t bytes = 0;
	for (uint32_t i = 0; i < count; i++)
		bytes += blob_bytes(tasks[i].payload);
	return bytes;
}

uint64_t store_op_bytes(struct store_op *op)
{
	if (op->kind == STORE_TAKE)
		return payload_bytes(CALL(store_take, op)->ret_tasks,
				     CALL(store_take, op)->ret_count);
	if (op->kind == STORE_GET_FUNCTION)
		return blob_bytes(CALL(store_get_function, op)->ret_function.payload);
	if (op->kind == STORE_LIST_FUNCTIONS)
		return functions_bytes(CALL(store_list_functions, op)->ret_functions,
				       CALL(store_list_functions, op)->ret_count);
	if (op->kind == STORE_GET_TASK)
		return store_result_bytes(&CALL(store_get_task, op)->ret_result);
	if (op->kind == STORE_GET_TASKS)
		return views_bytes(CALL(store_get_tasks, op)->ret_views,
				   CALL(store_get_tasks, op)->ret_filled);
	if (op->kind == STORE_LIST_FINISHED)
		return views_bytes(CALL(store_list_finished, op)->ret_views,
				   CALL(store_list_finished, op)->ret_count);
	return 0;
}
