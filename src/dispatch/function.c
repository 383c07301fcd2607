/* Functions in memory: found by id, named to the core by a small handle, pinned while a task of the
 * window or a call needs them, dropped least recently used first when nobody does.
 *
 * Happy path: a submission pins the function (one read of the store the first time), a worker that
 * lacks it asks, and gets the payload from here.
 * Failure modes: an unknown id is known only after the read; too many different ones at once:
 * FH_ELIMIT for that submission. */
#include "base/assert.h"
#include "base/mem.h"
#include "base/pickle.h"
#include "dispatch/dispatch_priv.h"

enum {
	FUNCTION_BYTES_MAX = 64 << 20, /* of payloads that nobody pins */
	FUNCTIONS_IDLE_MAX = 8192,
};

struct function_op {
	struct store_get_function get;
	struct dispatch *d;
	struct function *function;
};

struct function_call {
	union {
		struct store_put_function put;
		struct store_get_function get;
		struct store_list_functions list;
	};
	struct call *call;
};

int functions_init(struct dispatch *d)
{
	uint32_t max = d->config.limits.functions_max;
	list_init(&d->functions_idle);
	d->handles = fh_calloc(max, sizeof(struct function *));
	d->handle_free = fh_calloc(max, sizeof *d->handle_free);
	if (!d->handles || !d->handle_free || map_init(&d->functions))
		return FH_ENOMEM;
	for (uint32_t i = max; i > 0; i--)
		d->handle_free[d->handle_free_len++] = i - 1;
	return 0;
}

static size_t payload_len(const struct function *f)
{
	return f->rec.payload ? f->rec.payload->len : 0;
}

static void function_free(struct function *f)
{
	function_rec_release(&f->rec);
	fh_free(f->rare);
	fh_free(f->sessions);
	fh_free(f);
}

void functions_release(struct dispatch *d)
{
	size_t pos = 0;
	for (struct function *f; (f = map_next(&d->functions, &pos));) {
		for (struct list *l; (l = list_pop_front(&f->calls));)
			submit_forget(list_entry(l, struct call, link)->state);
		function_free(f);
	}
	map_release(&d->functions);
	fh_free((void *)d->handles);
	fh_free(d->handle_free);
}

static void idle_remove(struct dispatch *d, struct function *f)
{
	if (list_empty(&f->lru))
		return;
	list_remove(&f->lru);
	d->functions_idle_len--;
}

static void forget(struct dispatch *d, struct function *f)
{
	struct core_event ev = { .kind = CORE_EV_FUNCTION_FORGOTTEN, .function = f->handle };
	FH_ASSERT(f->pins == 0 && !f->asked && list_empty(&f->calls));
	dispatch_step(d, &ev); /* a step, so it may find that time has passed, and act on that */
	idle_remove(d, f);
	d->function_bytes -= payload_len(f);
	d->handles[f->handle] = NULL;
	d->handle_free[d->handle_free_len++] = f->handle;
	(void)map_remove(&d->functions, f->id);
	function_free(f);
}

/* Only ever called outside the performing of actions: forgetting steps the core. */
static void make_room(struct dispatch *d)
{
	while (d->functions_idle_len > 0 &&
	       (d->handle_free_len == 0 || d->function_bytes > FUNCTION_BYTES_MAX ||
		d->functions_idle_len > FUNCTIONS_IDLE_MAX))
		forget(d, list_entry(d->functions_idle.next, struct function, lru));
}

static struct function *function_add(struct dispatch *d, struct fh_id id)
{
	make_room(d);
	FH_ASSERT_CMP(d->handle_free_len, >, 0);
	struct function *f = dispatch_alloc(1, sizeof *f);
	f->id = id;
	f->handle = d->handle_free[--d->handle_free_len];
	list_init(&f->lru);
	list_init(&f->calls);
	d->handles[f->handle] = f;
	if (map_put(&d->functions, id, f))
		fh_assert_fail(__FILE__, __LINE__, "map_put", "functions");
	return f;
}

struct function *function_pin(struct dispatch *d, struct fh_id id)
{
	struct function *f = map_get(&d->functions, id);
	if (!f)
		f = function_add(d, id);
	f->pins++;
	idle_remove(d, f);
	return f;
}

/* A call leaves one handle for each place of the window, free or of a function that nobody needs
 * just now, because a claim cannot be refused: its tasks have places already. */
struct function *function_try_pin(struct dispatch *d, struct fh_id id)
{
	const struct function *f = map_get(&d->functions, id);
	bool takes_one = !f || !list_empty(&f->lru);
	if (takes_one && d->handle_free_len + d->functions_idle_len <= d->config.limits.window_max)
		return NULL;
	return function_pin(d, id);
}

void function_unpin(struct dispatch *d, struct function *f)
{
	FH_ASSERT_CMP(f->pins, >, 0);
	if (--f->pins > 0 || f->asked)
		return;
	list_push_back(&d->functions_idle, &f->lru);
	d->functions_idle_len++;
}

static void fill(struct dispatch *d, struct function *f, struct function_rec *own_rec)
{
	d->function_bytes -= payload_len(f);
	function_rec_release(&f->rec);
	f->rec = *own_rec;
	*own_rec = (struct function_rec){ 0 };
	f->known = true;
	/* Without the list, its tasks go anywhere and say themselves what is missing there. */
	if (f->rec.payload &&
	    pickle_modules(f->rec.payload->data, f->rec.payload->len, &f->rec.modules))
		f->rec.modules = NULL;
	d->function_bytes += payload_len(f);
}

/* A payload that is missing after the read: no such function, and the worker is told so. */
static void send_payload(struct dispatch *d, const struct function *f, uint32_t session)
{
	struct wire_msg m = { .type = WIRE_FUNCTION,
			      .function = { .function = f->id,
					    .payload = blob_ref(f->rec.payload),
					    .serializer = f->rec.serializer } };
	session_send(d, session, &m);
}

static void send_to_waiting(struct dispatch *d, struct function *f)
{
	uint64_t *waiting = f->sessions;
	f->sessions = NULL;
	for (uint32_t s = 0; waiting && s < d->sessions_touched; s++)
		if (waiting[s / 64] >> (s % 64) & 1)
			send_payload(d, f, s);
	fh_free(waiting);
}

static void read_done(struct store_op *op)
{
	struct function_op *o = (struct function_op *)op;
	struct dispatch *d = o->d;
	struct function *f = o->function;
	dispatch_op_done(op);
	f->asked = false;
	if (op->ret == 0)
		fill(d, f, &o->get.ret_function);
	store_op_release(op);
	fh_free(o);
	/* Held while the waiting calls go on, so that none of them can be the last to let go. */
	f->pins++;
	idle_remove(d, f);
	for (struct list *l; (l = list_pop_front(&f->calls));)
		submit_resume(d, list_entry(l, struct call, link));
	send_to_waiting(d, f);
	function_unpin(d, f);
}

void function_read(struct dispatch *d, struct function *f)
{
	if (f->asked)
		return;
	f->asked = true;
	struct function_op *o = dispatch_alloc(1, sizeof *o);
	o->d = d;
	o->function = f;
	o->get.id = f->id;
	o->get.want_payload = true;
	dispatch_op(d, &o->get.op, STORE_GET_FUNCTION, read_done);
}

/* A worker that hears nothing for a while asks again: the read is still under way then. */
void function_send(struct dispatch *d, struct function *f, uint32_t session)
{
	if (f->rec.payload) {
		send_payload(d, f, session);
		return;
	}
	if (!f->sessions)
		f->sessions =
			dispatch_alloc(d->config.limits.sessions_max / 64 + 1, sizeof *f->sessions);
	f->sessions[session / 64] |= UINT64_C(1) << (session % 64);
	function_read(d, f);
}

void functions_forget_session(struct dispatch *d, uint32_t session)
{
	size_t pos = 0;
	for (struct function *f; (f = map_next(&d->functions, &pos));)
		if (f->sessions)
			f->sessions[session / 64] &= ~(UINT64_C(1) << (session % 64));
}

static void call_put_done(struct store_op *op)
{
	struct function_call *o = (struct function_call *)op;
	struct call_put_function *c = (struct call_put_function *)o->call;
	dispatch_op_done(op);
	c->ret_id = o->put.ret_id;
	c->ret_created = o->put.ret_created;
	dispatch_op_answer(op, &c->call, op->ret);
}

void function_call_put(struct dispatch *d, struct call_put_function *c)
{
	if (d->draining) {
		dispatch_answer(&c->call, FH_ECLOSED);
		return;
	}
	struct function_call *o = dispatch_alloc(1, sizeof *o);
	o->call = &c->call;
	o->put.function = &c->function;
	dispatch_op(d, &o->put.op, STORE_PUT_FUNCTION, call_put_done);
}

static void call_get_done(struct store_op *op)
{
	struct function_call *o = (struct function_call *)op;
	struct call_get_function *c = (struct call_get_function *)o->call;
	dispatch_op_done(op);
	c->ret_function = &o->get.ret_function;
	if (op->ret == FH_ENOTFOUND)
		(void)fh_err_set(&c->call.err, op->ret, "no such function");
	dispatch_op_answer(op, &c->call, op->ret);
}

void function_call_get(struct dispatch *d, struct call_get_function *c)
{
	struct function_call *o = dispatch_alloc(1, sizeof *o);
	o->call = &c->call;
	o->get.id = c->id;
	o->get.name = c->name;
	o->get.want_payload = c->want_payload;
	dispatch_op(d, &o->get.op, STORE_GET_FUNCTION, call_get_done);
}

static void call_list_done(struct store_op *op)
{
	struct function_call *o = (struct function_call *)op;
	struct call_list_functions *c = (struct call_list_functions *)o->call;
	dispatch_op_done(op);
	c->ret_functions = o->list.ret_functions;
	c->ret_count = o->list.ret_count;
	c->ret_more = o->list.ret_more;
	c->ret_last_no = o->list.ret_last_no;
	dispatch_op_answer(op, &c->call, op->ret);
}

void function_call_list(struct dispatch *d, struct call_list_functions *c)
{
	struct function_call *o = dispatch_alloc(1, sizeof *o);
	o->call = &c->call;
	o->list.name = c->name;
	o->list.after_no = c->after_no;
	o->list.limit = c->limit;
	dispatch_op(d, &o->list.op, STORE_LIST_FUNCTIONS, call_list_done);
}
