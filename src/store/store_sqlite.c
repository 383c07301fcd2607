/* The embedded store: a queue of calls, one thread that owns the database, group commit.
 *
 *   loop thread                         store thread
 *   submit(): append to `waiting`  -->  take all that waits (sleep only when nothing does)
 *                                       one transaction, one fsync (db_commit_batch)
 *   poll(): call `done` of each    <--  append to `done`, wake the loop
 *                                       checkpoint when the log is long
 *
 * What was read and not yet taken by poll() has a bound: a batch ends where its reads pass
 * UNREAD_MAX, and the next one waits for poll(), that is, until the results of this one have been
 * used. So a thousand clients that want large results at once do not fill the memory.
 *
 * There is no timer and no delay: a batch is what arrived during the commit before it. Calls stay
 * in the order of submission in both lists, so they are done in that order.
 *
 * Failure modes: the first I/O error ends the thread. The calls of that commit and all later ones
 * are never done; poll() delivers what was durable before and then says FH_EIO for good. The
 * database is closed as it is, the log stays for the next start. */
#include <pthread.h>
#include <signal.h>

#include "base/assert.h"
#include "base/mem.h"
#include "store/op.h"
#include "store/sqlite_db.h"

/* Three of the largest results. */
enum { UNREAD_MAX = 32 << 20 };

struct sqlite_store {
	struct store base;
	pthread_t thread;
	pthread_mutex_t lock; /* over what follows, up to `failed` */
	pthread_cond_t more;
	struct list waiting, done;
	uint64_t unread; /* bytes that the reads among `done` hold */
	bool awake;	 /* wake() was called since the last poll() */
	bool stopping;	 /* end when nothing waits */
	bool failed;	 /* db.failure is set and does not change any more */
	struct db db;	 /* the thread's */
};

/* Waits for calls, and for room for what they read, and takes all of them. False: it is over. */
static bool take(struct sqlite_store *s, struct list *ret_batch)
{
	(void)pthread_mutex_lock(&s->lock);
	while ((list_empty(&s->waiting) || s->unread > UNREAD_MAX) && !s->stopping)
		(void)pthread_cond_wait(&s->more, &s->lock);
	store_ops_move(&s->waiting, ret_batch);
	(void)pthread_mutex_unlock(&s->lock);
	return !list_empty(ret_batch);
}

static void wake(struct sqlite_store *s, bool was_awake)
{
	if (!was_awake)
		s->base.config.wake(s->base.config.ctx);
}

/* Hands out what is durable; `rest` comes first in the next batch. */
static void deliver(struct sqlite_store *s, struct list *batch, struct list *rest, uint64_t bytes)
{
	(void)pthread_mutex_lock(&s->lock);
	store_ops_prepend(rest, &s->waiting);
	s->unread += bytes;
	while (!list_empty(batch))
		list_push_back(&s->done, list_pop_front(batch));
	bool was_awake = s->awake;
	s->awake = true;
	(void)pthread_mutex_unlock(&s->lock);
	wake(s, was_awake);
}

/* Forgets what waits: its owner may release it once poll() has said so. */
static void fail(struct sqlite_store *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->failed = true;
	list_init(&s->waiting);
	bool was_awake = s->awake;
	s->awake = true;
	(void)pthread_mutex_unlock(&s->lock);
	wake(s, was_awake);
}

static int serve(struct sqlite_store *s)
{
	struct list batch, rest;
	uint64_t bytes;
	int ret = 0;
	while (!ret && take(s, &batch)) {
		ret = db_commit_batch(&s->db, &batch, UNREAD_MAX, &rest, &bytes);
		if (ret) {
			store_ops_drop(&batch);
			break;
		}
		deliver(s, &batch, &rest, bytes);
		ret = db_checkpoint(&s->db);
	}
	return ret;
}

static void *run(void *arg)
{
	struct sqlite_store *s = arg;
	int ret = serve(s);
	if (ret)
		fail(s);
	db_close(&s->db, ret == 0);
	return NULL;
}

static void sqlite_submit(struct store *base, struct store_op *op)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	FH_ASSERT(op->done != NULL);
	if (op->kind == STORE_SUBMIT)
		store_submit_check((struct store_submit *)op);
	(void)pthread_mutex_lock(&s->lock);
	if (!s->failed)
		list_push_back(&s->waiting, &op->link);
	(void)pthread_cond_signal(&s->more);
	(void)pthread_mutex_unlock(&s->lock);
}

static int sqlite_poll(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	struct list done;
	(void)pthread_mutex_lock(&s->lock);
	store_ops_move(&s->done, &done);
	if (s->unread > UNREAD_MAX)
		(void)pthread_cond_signal(&s->more);
	s->unread = 0;
	s->awake = false;
	bool failed = s->failed;
	(void)pthread_mutex_unlock(&s->lock);
	store_ops_done(&done);
	return failed ? FH_EIO : 0;
}

static const char *sqlite_failure(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	(void)pthread_mutex_lock(&s->lock);
	bool failed = s->failed;
	(void)pthread_mutex_unlock(&s->lock);
	return failed ? s->db.failure.text : "the store has not failed";
}

static void sqlite_close(struct store *base)
{
	struct sqlite_store *s = (struct sqlite_store *)base;
	(void)pthread_mutex_lock(&s->lock);
	s->stopping = true;
	(void)pthread_cond_signal(&s->more);
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	store_ops_drop(&s->done);
	(void)pthread_cond_destroy(&s->more);
	(void)pthread_mutex_destroy(&s->lock);
	fh_free(s);
}

static const struct store_ops sqlite_ops = {
	.submit = sqlite_submit,
	.poll = sqlite_poll,
	.failure = sqlite_failure,
	.close = sqlite_close,
};

/* Signals are for the loop thread: the new thread inherits a mask that blocks all of them. */
static int start_thread(struct sqlite_store *s)
{
	sigset_t all, before;
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(&s->thread, NULL, run, s);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!error)
		(void)pthread_setname_np(s->thread, "store");
	return error;
}

int store_open_sqlite(const char *dir, const struct store_config *config, struct store **ret_store,
		      struct store_recovery *ret_recovery, struct fh_err *err)
{
	struct sqlite_store *s = fh_calloc(1, sizeof *s);
	if (!s)
		return fh_err_set(err, FH_ENOMEM, "%s", fh_error_text(FH_ENOMEM));
	s->base = (struct store){ .ops = &sqlite_ops, .config = *config };
	list_init(&s->waiting);
	list_init(&s->done);
	int ret = db_open(&s->db, dir, ret_recovery, err);
	if (ret) {
		fh_free(s);
		return ret;
	}
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->more, NULL);
	if (start_thread(s)) {
		db_close(&s->db, true);
		fh_free(s);
		store_recovery_release(ret_recovery);
		return fh_err_set(err, FH_ENOMEM, "%s: cannot start the store's thread", dir);
	}
	*ret_store = &s->base;
	return 0;
}
