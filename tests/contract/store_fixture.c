/* The fixture of the store's contract suite. */
#include "store_fixture.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "store/store_mem.h"

void make_dir(char dir[64])
{
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(dir, 64, "%s/farhand-store-XXXXXX", tmp && strlen(tmp) < 30 ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
}

void remove_dir(const char *dir)
{
	char path[512];
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
		(void)unlink(path);
	}
	(void)closedir(d);
	assert_int_equal(rmdir(dir), 0);
}

static void on_wake(void *ctx)
{
	const uint64_t one = 1;
	assert_int_equal(write(((struct fixture *)ctx)->wake_fd, &one, sizeof one), sizeof one);
}

static void on_done(struct store_op *op)
{
	((struct fixture *)op->owner)->done++;
}

int fixture_open(struct fixture *f, struct fh_err *err)
{
	const struct store_config config = { .wake = on_wake, .ctx = f, .now_ms = 1000 };
	if (f->kind == KIND_SQLITE)
		return store_open_sqlite(f->dir, &config, &f->store, &f->recovery, err);
	if (!f->store)
		return store_open_mem(&config, &f->store, &f->recovery);
	return store_mem_restart(f->store, &config, &f->recovery);
}

void fixture_close(struct fixture *f)
{
	store_recovery_release(&f->recovery);
	if (f->kind == KIND_SQLITE)
		store_close(&f->store);
}

void fixture_restart(struct fixture *f)
{
	struct fh_err err;
	fixture_close(f);
	assert_int_equal(fixture_open(f, &err), 0);
}

void fixture_init(struct fixture *f, enum store_kind kind)
{
	*f = (struct fixture){ .kind = kind };
	f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	f->payload = blob_copy("payload", 7);
	assert_true(f->wake_fd >= 0 && f->payload);
}

int fixture_setup(void **state)
{
	struct fixture *f = malloc(sizeof *f);
	struct fh_err err;
	assert_non_null(f);
	fixture_init(f, (enum store_kind)(uintptr_t)*state);
	if (f->kind == KIND_SQLITE)
		make_dir(f->dir);
	assert_int_equal(fixture_open(f, &err), 0);
	*state = f;
	return 0;
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	store_recovery_release(&f->recovery);
	store_close(&f->store);
	if (f->kind == KIND_SQLITE)
		remove_dir(f->dir);
	(void)close(f->wake_fd);
	blob_free(&f->payload);
	free(f);
	return 0;
}

void fixture_submit(struct fixture *f, struct store_op *op)
{
	op->done = on_done;
	op->owner = f;
	store_submit(f->store, op);
}

bool fixture_wait_wake(const struct fixture *f)
{
	struct pollfd p = { .fd = f->wake_fd, .events = POLLIN };
	uint64_t count;
	if (poll(&p, 1, 60000) != 1)
		return false;
	return read(f->wake_fd, &count, sizeof count) == sizeof count;
}

void fixture_wait(struct fixture *f, unsigned count)
{
	while (f->done < count) {
		assert_true(fixture_wait_wake(f));
		assert_int_equal(store_poll(f->store), 0);
	}
	assert_int_equal(f->done, count);
}

int fixture_run(struct fixture *f, struct store_op *op)
{
	fixture_submit(f, op);
	fixture_wait(f, f->done + 1);
	return op->ret;
}

struct fh_id new_id(struct fixture *f)
{
	return fh_id_next(&f->ids, 1000, 7);
}

struct fh_id id_of(uint8_t first)
{
	return (struct fh_id){ { first } };
}

struct task_rec new_task(struct fixture *f)
{
	return (struct task_rec){
		.id = new_id(f),
		.function_id = id_of(1),
		.options = TASK_OPTIONS_DEFAULT,
		.created_ms = 1000,
		.payload = f->payload,
	};
}

int submit_tasks(struct fixture *f, const struct task_rec *tasks, uint32_t count, bool claimed)
{
	struct store_submit_item items[64] = { 0 };
	assert_true(count <= 64);
	for (uint32_t i = 0; i < count; i++)
		items[i] = (struct store_submit_item){ .task = &tasks[i], .claim = claimed };
	struct store_submit call = { .op.kind = STORE_SUBMIT, .items = items, .count = count };
	return fixture_run(f, &call.op);
}

void add_task(struct fixture *f, const struct task_rec *task)
{
	assert_int_equal(submit_tasks(f, task, 1, false), 0);
}

struct fh_id add_group(struct fixture *f)
{
	const struct group_rec group = { .id = new_id(f), .created_ms = 1000 };
	struct store_put_group call = { .op.kind = STORE_PUT_GROUP, .group = &group };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return group.id;
}

struct store_claim claim(struct fixture *f, uint32_t max_count, int64_t now_ms)
{
	struct store_claim call = {
		.op.kind = STORE_CLAIM,
		.class_key = "",
		.max_count = max_count,
		.max_bytes = UINT64_MAX,
		.now_ms = now_ms,
	};
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call;
}

void assert_claims(struct fixture *f, uint32_t max_count, int64_t now_ms, const struct fh_id *ids,
		   uint32_t count)
{
	struct store_claim call = claim(f, max_count, now_ms);
	assert_int_equal(call.ret_count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_id_equal(call.ret_tasks[i].id, ids[i]);
	store_op_release(&call.op);
}

int finish_task(struct fixture *f, struct fh_id id, const char *value, uint64_t *ret_finish_seq)
{
	struct task_result result = { .state = TASK_COMPLETED, .finished_ms = 2000 };
	result.value = value ? blob_copy(value, strlen(value)) : NULL;
	struct store_finish_item item = { .task = id, .tally.attempt = 1, .result = &result };
	struct store_finish call = { .op.kind = STORE_FINISH, .items = &item, .count = 1 };
	assert_int_equal(fixture_run(f, &call.op), 0);
	blob_free(&result.value);
	if (ret_finish_seq)
		*ret_finish_seq = item.ret_finish_seq;
	return item.ret;
}

struct store_get_task get_task(struct fixture *f, struct fh_id id, unsigned want)
{
	struct store_get_task call = { .op.kind = STORE_GET_TASK, .task = id, .want = want };
	(void)fixture_run(f, &call.op);
	return call;
}

struct store_stats stats(struct fixture *f)
{
	struct store_stats call = { .op.kind = STORE_STATS };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call;
}

struct group_rec get_group(struct fixture *f, struct fh_id id)
{
	struct store_get_group call = { .op.kind = STORE_GET_GROUP, .group = id };
	assert_int_equal(fixture_run(f, &call.op), 0);
	return call.ret_group;
}

void assert_mentions(const char *text, const char *word)
{
	if (!strstr(text, word))
		fail_msg("\"%s\" does not mention \"%s\"", text, word);
}

void assert_id_equal(struct fh_id a, struct fh_id b)
{
	assert_memory_equal(a.b, b.b, sizeof a.b);
}

void assert_blob_equal(const struct blob *b, const char *text)
{
	if (!text) {
		assert_null(b);
		return;
	}
	assert_non_null(b);
	assert_int_equal(b->len, strlen(text));
	assert_memory_equal(b->data, text, b->len);
}

void assert_same_string(const char *a, const char *b)
{
	if (a && b)
		assert_string_equal(a, b);
	else
		assert_true(!a && !b);
}

void assert_same_tally(const struct task_tally *a, const struct task_tally *b)
{
	assert_int_equal(a->attempt, b->attempt);
	assert_int_equal(a->failures, b->failures);
	assert_int_equal(a->losses, b->losses);
	assert_int_equal(a->strikes, b->strikes);
	assert_id_equal(a->struck_by, b->struck_by);
	assert_int_equal(a->struck_by_two, b->struck_by_two);
}

void assert_same_options(const struct task_options *a, const struct task_options *b)
{
	assert_int_equal(a->priority, b->priority);
	assert_int_equal(a->retries, b->retries);
	assert_int_equal(a->retry_on, b->retry_on);
	assert_same_string(a->retry_classes, b->retry_classes);
	assert_int_equal(a->backoff_initial_ms, b->backoff_initial_ms);
	assert_int_equal(a->backoff_max_ms, b->backoff_max_ms);
	assert_int_equal(a->backoff_factor_milli, b->backoff_factor_milli);
	assert_int_equal(a->timeout_ms, b->timeout_ms);
	assert_int_equal(a->mem_bytes, b->mem_bytes);
	assert_int_equal(a->not_before_ms, b->not_before_ms);
	assert_int_equal(a->expires_at_ms, b->expires_at_ms);
	assert_int_equal(a->at_most_once, b->at_most_once);
	assert_same_string(a->needs, b->needs);
	assert_same_string(a->tags, b->tags);
}
