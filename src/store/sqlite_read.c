/* The calls that only read. Happy path: find the row, copy it; a list stops where it has what it
 * may have. Failure modes: what store.h says about the call, and FH_ENOMEM, after which the caller
 * of these functions releases what was copied so far. */
#include "base/mem.h"
#include "store/op.h"
#include "store/sqlite_db.h"

#include <string.h>

int db_first_ms(struct db *db, enum sql sql, int64_t *ret_ms)
{
	struct query q = query_on(db, sql);
	int ret = query_one(&q);
	if (ret) {
		*ret_ms = 0;
		return ret == FH_ENOTFOUND ? 0 : ret;
	}
	*ret_ms = query_get_ms(&q);
	return query_end(&q, 0);
}

int db_get_function(struct db *db, struct store_get_function *call)
{
	bool by_name = fh_id_is_zero(call->id);
	struct query q = query_on(db, by_name ? SQL_SELECT_FUNCTION_NAMED : SQL_SELECT_FUNCTION);
	query_int(&q, call->want_payload);
	if (by_name)
		query_text(&q, call->name);
	else
		query_id(&q, &call->id);
	int ret = query_one(&q);
	return ret ? ret : query_end(&q, db_read_function(&q, &call->ret_function));
}

int db_list_functions(struct db *db, struct store_list_functions *call)
{
	struct query q = query_on(db, call->name ? SQL_SCAN_FUNCTIONS_NAMED : SQL_SCAN_FUNCTIONS);
	bool row;
	int ret;
	call->ret_more = false;
	call->ret_last_no = call->after_no;
	call->ret_functions = fh_calloc(call->limit, sizeof *call->ret_functions);
	if (!call->ret_functions)
		return FH_ENOMEM;
	query_size(&q, call->after_no);
	if (call->name)
		query_text(&q, call->name);
	while ((ret = query_next(&q, &row)) == 0 && row) {
		if (call->ret_count == call->limit) {
			call->ret_more = true;
			return query_end(&q, 0);
		}
		uint64_t no = query_get_size(&q);
		ret = db_read_function(&q, &call->ret_functions[call->ret_count]);
		if (ret)
			return query_end(&q, ret);
		call->ret_count++;
		call->ret_last_no = no;
	}
	return ret;
}

/* FH_ENOTFOUND, FH_ENOMEM, FH_EIO. */
static int read_task(struct db *db, const struct fh_id *id, struct task_rec *ret_task)
{
	struct query q = query_on(db, SQL_SELECT_TASK);
	query_id(&q, id);
	int ret = query_one(&q);
	if (ret)
		return ret;
	ret = db_read_task(&q, ret_task);
	if (!ret)
		ret = query_get_text(&q, &ret_task->function_name);
	ret = query_end(&q, ret);
	if (ret)
		task_rec_release(ret_task);
	return ret;
}

static bool is_purged(const struct db *db, const struct task_rec *t)
{
	return task_state_is_final(t->state) && t->finish_seq <= db->server.purged_seq;
}

/* The result, and the part of the record that stands in its row. Zeroed while the task is not
 * final, and once the result is purged. */
static int read_result(struct db *db, struct task_rec *t, unsigned want,
		       struct task_result *ret_result)
{
	*ret_result = (struct task_result){ 0 };
	if (!task_state_is_final(t->state))
		return 0;
	struct query q = query_on(db, SQL_SELECT_RESULT);
	query_size(&q, t->finish_seq);
	query_int(&q, (want & STORE_WANT_RESULT) != 0);
	query_int(&q, (want & STORE_WANT_LOGS) != 0);
	int ret = query_one(&q);
	if (ret)
		return ret == FH_ENOTFOUND ? db_fail_damaged(db, "a result is missing") : ret;
	ret = query_end(&q, db_read_result(&q, t, ret_result));
	if (ret || is_purged(db, t))
		task_result_release(ret_result);
	return ret;
}

int db_get_task(struct db *db, struct store_get_task *call)
{
	int ret = read_task(db, &call->task, &call->ret_task);
	if (!ret)
		ret = read_result(db, &call->ret_task, call->want, &call->ret_result);
	if (!ret && call->want && is_purged(db, &call->ret_task))
		ret = FH_EGONE;
	return ret;
}

/* What a list of views may hold. */
struct budget {
	uint64_t left;
	bool first;
};

/* FH_EAGAIN: it does not fit any more. FH_ENOTFOUND. */
static int read_view(struct db *db, const struct fh_id *id, unsigned want, struct budget *budget,
		     struct store_task_view *ret_view)
{
	struct store_task_view view = { .known = true };
	int ret = read_task(db, id, &view.task);
	if (ret)
		return ret;
	ret = read_result(db, &view.task, want, &view.result);
	uint64_t bytes = ret ? 0 : store_result_bytes(&view.result);
	if (!ret && bytes > budget->left && !budget->first)
		ret = FH_EAGAIN;
	if (ret) {
		task_rec_release(&view.task);
		task_result_release(&view.result);
		return ret;
	}
	budget->left -= bytes < budget->left ? bytes : budget->left;
	budget->first = false;
	*ret_view = view;
	return 0;
}

int db_get_tasks(struct db *db, struct store_get_tasks *call)
{
	struct budget budget = { call->max_bytes, true };
	call->ret_views = fh_calloc(call->count, sizeof *call->ret_views);
	if (!call->ret_views)
		return FH_ENOMEM;
	for (uint32_t i = 0; i < call->count; i++) {
		int ret = read_view(db, &call->tasks[i], call->want, &budget, &call->ret_views[i]);
		if (ret == FH_EAGAIN)
			return 0;
		if (ret && ret != FH_ENOTFOUND)
			return ret;
		call->ret_filled++;
	}
	return 0;
}

int db_get_group(struct db *db, struct store_get_group *call)
{
	struct query q = query_on(db, SQL_SELECT_GROUP);
	query_id(&q, &call->group);
	int ret = query_one(&q);
	return ret ? ret : query_end(&q, db_read_group(&q, &call->ret_group));
}

static int list_views(struct db *db, struct store_list_finished *call)
{
	struct budget budget = { call->max_bytes, true };
	struct query q = query_on(db, SQL_SCAN_FINISHED);
	query_id(&q, &call->group);
	query_size(&q, call->after_seq);
	bool row;
	int ret;
	call->ret_more = false;
	while ((ret = query_next(&q, &row)) == 0 && row) {
		struct fh_id id = query_get_id(&q);
		ret = call->ret_count == call->limit ? FH_EAGAIN
						     : read_view(db, &id, call->want, &budget,
								 &call->ret_views[call->ret_count]);
		if (ret == FH_EAGAIN) {
			call->ret_more = true;
			return query_end(&q, 0);
		}
		if (ret == FH_ENOTFOUND)
			ret = db_fail_damaged(db, "a result names a missing task");
		if (ret)
			return query_end(&q, ret);
		call->ret_count++;
	}
	return ret;
}

int db_list_finished(struct db *db, struct store_list_finished *call)
{
	struct query q = query_on(db, SQL_SELECT_GROUP);
	query_id(&q, &call->group);
	int ret = query_one(&q);
	if (ret)
		return ret;
	ret = query_end(&q, db_read_group(&q, &call->ret_group));
	if (ret)
		return ret;
	uint64_t ended = call->ret_group.total - call->ret_group.counts[TASK_QUEUED];
	call->ret_views =
		fh_calloc(ended < call->limit ? ended : call->limit, sizeof *call->ret_views);
	return call->ret_views ? list_views(db, call) : FH_ENOMEM;
}

int db_stats(struct db *db, struct store_stats *call)
{
	struct query q = query_on(db, SQL_PAGES);
	int ret = query_one(&q);
	if (ret)
		return ret;
	call->ret_bytes = DB_PAGE_SIZE * query_get_size(&q);
	memcpy(call->ret_counts, db->server.counts, sizeof call->ret_counts);
	call->ret_functions = db->server.functions;
	call->ret_groups = db->server.groups;
	call->ret_commits = db->commits;
	return query_end(&q, 0);
}
