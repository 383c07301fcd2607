/* One store under test, whichever it is: opened, called and waited for, closed and opened again.
 * Nothing here sleeps: a call waits on the descriptor that the store's wake() writes to. */
#ifndef FARHAND_TESTS_STORE_FIXTURE_H
#define FARHAND_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

enum store_kind { KIND_MEM, KIND_SQLITE };

struct fixture {
	enum store_kind kind;
	struct store *store;
	struct store_recovery recovery;
	char dir[64]; /* of the database */
	int wake_fd;
	struct fh_id_gen ids;
	struct blob *payload; /* "payload" */
	unsigned done;	      /* calls that are done */
};

/* A directory of its own below $TMPDIR or /tmp; removes it with what is in it (no folders). */
void make_dir(char dir[64]);
void remove_dir(const char *dir);

/* Everything but the store and its folder. */
void fixture_init(struct fixture *f, enum store_kind kind);

/* cmocka's; the kind is in *state before. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Opens the store in f->dir; what store_open_sqlite() returns. The memory store stays open between
 * fixture_close() and this, and crashes and starts again here. */
int fixture_open(struct fixture *f, struct fh_err *err) FH_MUST_USE;
void fixture_close(struct fixture *f);
/* Both. */
void fixture_restart(struct fixture *f);

/* Submits; the caller waits with fixture_wait(). */
void fixture_submit(struct fixture *f, struct store_op *op);
/* Polls until `f->done` is `count`. */
void fixture_wait(struct fixture *f, unsigned count);
/* Submits and waits; returns op->ret. */
int fixture_run(struct fixture *f, struct store_op *op);

/* Waits until the store has something to say; false after a minute. */
bool fixture_wait_wake(const struct fixture *f);

/* An id that is larger than all before, in the same millisecond (1,000). */
struct fh_id new_id(struct fixture *f);
/* The id with this first byte and nothing else. */
struct fh_id id_of(uint8_t first);

/* A QUEUED task with default options, created at 1,000, with the fixture's payload. */
struct task_rec new_task(struct fixture *f);

/* The usual calls. What they return is op.ret; what they are given must succeed where they return
 * nothing. */
int submit_tasks(struct fixture *f, const struct task_rec *tasks, uint32_t count, bool claim);
void add_task(struct fixture *f, const struct task_rec *task);
struct fh_id add_group(struct fixture *f);
/* Claims from lane (0, ""); the caller releases. */
struct store_claim claim(struct fixture *f, uint32_t max_count, int64_t now_ms);
/* Claims and asserts which; releases. */
void assert_claims(struct fixture *f, uint32_t max_count, int64_t now_ms, const struct fh_id *ids,
		   uint32_t count);
/* FINISH of one task with a COMPLETED result; the item's ret. */
int finish_task(struct fixture *f, struct fh_id id, const char *value, uint64_t *ret_finish_seq);
struct store_get_task get_task(struct fixture *f, struct fh_id id, unsigned want);
struct store_stats stats(struct fixture *f);
struct group_rec get_group(struct fixture *f, struct fh_id id);

void assert_mentions(const char *text, const char *word);
void assert_id_equal(struct fh_id a, struct fh_id b);
void assert_blob_equal(const struct blob *b, const char *text);
void assert_same_string(const char *a, const char *b); /* NULL equals NULL only */
void assert_same_tally(const struct task_tally *a, const struct task_tally *b);
void assert_same_options(const struct task_options *a, const struct task_options *b);

#endif
