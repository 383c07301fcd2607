/* The memory store with commits by hand, and a row of the calls that wait in it, so that the oracle
 * can look at what was just committed: the memory of a call is valid until its `done`. */
#include "tap.h"

#include "base/assert.h"
#include "base/mem.h"
#include "oracle.h"
#include "store/store_mem.h"
#include "world.h"

enum { WAITING_MAX = 1 << 16 };

struct tap {
	struct store base;
	struct world *w;
	struct store *inner;
	struct store_op **waiting; /* in order */
	size_t count;
};

static void inner_wake(void *ctx)
{
	((struct world *)ctx)->woken = true;
}

static struct store_config config_of(struct world *w)
{
	return (struct store_config){ .wake = inner_wake, .ctx = w, .now_ms = world_wall_ms(w) };
}

static struct tap *of(struct store *s)
{
	return (struct tap *)s;
}

static void tap_submit(struct store *s, struct store_op *op)
{
	struct tap *t = of(s);
	FH_ASSERT_CMP(t->count, <, WAITING_MAX);
	t->waiting[t->count++] = op;
	oracle_asked(t->w->oracle, op);
	store_submit(t->inner, op);
}

static int tap_poll(struct store *s)
{
	int ret = store_poll(of(s)->inner);
	oracle_delivered(of(s)->w->oracle);
	return ret;
}

static const char *tap_failure(struct store *s)
{
	return store_failure(of(s)->inner);
}

static void tap_close(struct store *s)
{
	store_close(&of(s)->inner);
}

static const struct store_ops tap_ops = { tap_submit, tap_poll, tap_failure, tap_close };

struct tap *tap_new(struct world *w, struct store_recovery *ret_recovery)
{
	struct tap *t = fh_calloc(1, sizeof *t);
	struct store_config config = config_of(w);
	FH_ASSERT(t != NULL);
	t->base.ops = &tap_ops;
	t->w = w;
	t->waiting = fh_calloc(WAITING_MAX, sizeof(struct store_op *));
	FH_ASSERT(t->waiting != NULL);
	int ret = store_open_mem(&config, &t->inner, ret_recovery);
	FH_ASSERT_CMP(ret, ==, 0);
	store_mem_set_manual(t->inner);
	return t;
}

void tap_free(struct tap **t)
{
	store_close(&(*t)->inner);
	fh_free((void *)(*t)->waiting);
	fh_free(*t);
	*t = NULL;
}

struct store *tap_store(struct tap *t)
{
	return &t->base;
}

size_t tap_waiting(const struct tap *t)
{
	return t->count;
}

/* There is no memory for the answer of the first call. Who expires the backlog is told; who asks
 * for anything else would give up, or is given up by its client. */
static bool is_starved(struct tap *t)
{
	return t->waiting[0]->kind == STORE_EXPIRE && !t->w->calm &&
	       rng_chance(&t->w->rng, t->w->knobs.starved);
}

void tap_commit(struct tap *t, size_t max_calls)
{
	bool starved = is_starved(t);
	fh_mem_fail_after(starved);
	size_t count = store_mem_commit(t->inner, starved ? 1 : max_calls);
	fh_mem_fail_after(0);
	FH_ASSERT_CMP(count, <=, t->count);
	oracle_commit(t->w->oracle, t->waiting, count);
	t->count -= count;
	for (size_t i = 0; i < t->count; i++)
		t->waiting[i] = t->waiting[i + count];
	t->w->seen.commits++;
}

void tap_restart(struct tap *t, struct store_recovery *ret_recovery)
{
	struct store_config config = config_of(t->w);
	int ret = store_mem_restart(t->inner, &config, ret_recovery);
	FH_ASSERT_CMP(ret, ==, 0);
	t->count = 0;
}

static void asked(struct store_op *op)
{
	*(bool *)op->owner = true;
}

void tap_ask(struct tap *t, struct store_op *op, enum store_op_kind kind)
{
	bool done = false;
	FH_ASSERT_CMP(t->count, ==, 0);
	op->kind = kind;
	op->done = asked;
	op->owner = &done;
	store_submit(t->inner, op);
	(void)store_mem_commit(t->inner, 1);
	int ret = store_poll(t->inner);
	FH_ASSERT(ret == 0 && done);
}
