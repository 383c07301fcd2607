#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { DEADLINE_S = 60 };

static const char *test_python = "python3";

/* ---- what the runner tells --------------------------------------------------------------- */

static struct told *told(struct harness *h, uint64_t job)
{
	assert_in_range(job, 1, HARNESS_JOBS_MAX - 1);
	return &h->jobs[job];
}

static void on_ready(void *ctx, const char *runtime, const char *modules)
{
	struct harness *h = ctx;
	h->ready++;
	(void)snprintf(h->runtime, sizeof h->runtime, "%s", runtime);
	(void)snprintf(h->modules, sizeof h->modules, ",%s,", modules ? modules : "");
}

static void on_slot_ready(void *ctx, unsigned slot)
{
	struct harness *h = ctx;
	assert_false(h->up[slot]);
	h->up[slot] = true;
	h->ups[slot]++;
}

static void on_started(void *ctx, unsigned slot, uint64_t job)
{
	struct harness *h = ctx;
	struct told *t = told(h, job);
	assert_int_equal(t->started + t->finished + t->returned, 0);
	t->started++;
	t->slot = slot;
	h->running[slot]++;
	if (h->running[slot] > h->running_max)
		h->running_max = h->running[slot];
}

static void on_finished(void *ctx, unsigned slot, uint64_t job, struct task_result *own_result,
			bool retry_match)
{
	struct harness *h = ctx;
	struct told *t = told(h, job);
	assert_int_equal(t->finished + t->returned, 0);
	assert_true(h->up[slot]);
	t->finished++;
	t->slot = slot;
	t->result = *own_result;
	t->retry_match = retry_match;
	if (t->started)
		h->running[slot]--;
	h->finished++;
	if (h->on_finished)
		h->on_finished(h, slot, job);
}

static void on_printed(void *ctx, unsigned slot, uint64_t job, const uint64_t bytes[2])
{
	struct told *t = told(ctx, job);
	assert_int_equal(t->slot, slot);
	assert_true(t->started && !t->finished);
	assert_true(bytes[0] + bytes[1] > t->printed[0] + t->printed[1]);
	memcpy(t->printed, bytes, sizeof t->printed);
}

static void on_returned(void *ctx, unsigned slot, uint64_t job)
{
	struct harness *h = ctx;
	struct told *t = told(h, job);
	assert_int_equal(t->finished + t->returned, 0);
	assert_true(h->up[slot]);
	if (t->started)
		h->running[slot]--;
	t->returned++;
	h->returned++;
}

static void on_slot_down(void *ctx, unsigned slot)
{
	struct harness *h = ctx;
	assert_true(h->up[slot]);
	h->up[slot] = false;
	h->downs[slot]++;
}

static void on_broken(void *ctx, const char *why)
{
	struct harness *h = ctx;
	h->broken++;
	(void)snprintf(h->broken_line, sizeof h->broken_line, "%s", why);
}

/* ---- life -------------------------------------------------------------------------------- */

struct harness *harness_new(unsigned slots)
{
	struct harness *h = calloc(1, sizeof *h);
	assert_non_null(h);
	assert_in_range(slots, 1, HARNESS_SLOTS_MAX);
	h->base = event_base_new();
	assert_non_null(h->base);
	h->paths[0] = TEST_FUNCTIONS_DIR;
	(void)snprintf(h->python, sizeof h->python, "%s", test_python);
	h->config = (struct runner_config){
		.base = h->base,
		.slots = slots,
		.python = h->python,
		.paths = h->paths,
		.path_count = 1,
		.grace_ms = 30000,
		.result_max = 10 << 20,
		.log_max = 1 << 20,
	};
	return h;
}

static void deadline(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	*(bool *)ctx = true;
}

static bool deadline_over;

/* So that a condition outside of the loop, such as the end of a process, is looked at again. */
static void again(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
}

void harness_start(struct harness *h)
{
	const struct runner_handler handler = {
		.ctx = h,
		.ready = on_ready,
		.slot_ready = on_slot_ready,
		.started = on_started,
		.printed = on_printed,
		.finished = on_finished,
		.returned = on_returned,
		.slot_down = on_slot_down,
		.broken = on_broken,
	};
	struct fh_err err;
	const struct timeval limit = { DEADLINE_S, 0 };
	deadline_over = false;
	h->deadline = evtimer_new(h->base, deadline, &deadline_over);
	assert_int_equal(evtimer_add(h->deadline, &limit), 0);
	const struct timeval often = { 0, 2000 };
	h->again = event_new(h->base, -1, EV_PERSIST, again, NULL);
	assert_int_equal(event_add(h->again, &often), 0);
	assert_int_equal(runner_new(&h->config, &handler, &h->runner, &err), 0);
}

void harness_free(struct harness *h)
{
	runner_free(&h->runner);
	assert_null(h->runner);
	for (size_t i = 0; i < HARNESS_JOBS_MAX; i++)
		task_result_release(&h->jobs[i].result);
	if (h->deadline) {
		event_free(h->deadline);
		event_free(h->again);
	}
	event_base_free(h->base);
	free(h);
}

void harness_step(struct harness *h, const char *condition, const char *file, int line)
{
	assert_int_equal(event_base_loop(h->base, EVLOOP_ONCE), 0);
	if (deadline_over) {
		print_error("%s:%d: waited too long for %s (%s)\n", file, line, condition,
			    h->broken_line);
		fail();
	}
}

void harness_wait_ready(struct harness *h)
{
	for (unsigned i = 0; i < h->config.slots; i++)
		harness_wait(h, h->up[i]);
}

/* ---- jobs -------------------------------------------------------------------------------- */

static struct blob *blob_of(const char *text, size_t len)
{
	struct blob *b = blob_copy(text, len);
	assert_non_null(b);
	return b;
}

struct blob *pickle_args(const char *args)
{
	char text[1024];
	int len = snprintf(text, sizeof text, "\x80\x02(%st}\x86.", args);
	assert_in_range(len, 1, sizeof text - 1);
	return blob_of(text, (size_t)len);
}

struct blob *pickle_reference(const char *module, const char *name)
{
	char text[256];
	int len = snprintf(text, sizeof text,
			   "\x80\x02"
			   "c%s\n%s\n.",
			   module, name);
	assert_in_range(len, 1, sizeof text - 1);
	return blob_of(text, (size_t)len);
}

int harness_run_with(struct harness *h, unsigned slot, uint64_t job, const char *name,
		     struct blob *own_args, const struct runner_job *options)
{
	struct runner_function f = { .payload = pickle_reference("functions", name) };
	memcpy(f.id.b, name, strnlen(name, sizeof f.id.b));
	struct runner_job j = options ? *options : (struct runner_job){ .announce = true };
	j.job = job;
	j.function = &f;
	j.payload = own_args;
	int ret = runner_run(h->runner, slot, &j);
	blob_free(&f.payload);
	blob_free(&own_args);
	return ret;
}

void harness_run(struct harness *h, unsigned slot, uint64_t job, const char *name, const char *args)
{
	assert_int_equal(harness_run_with(h, slot, job, name, pickle_args(args), NULL), 0);
}

const struct task_result *harness_result(struct harness *h, unsigned slot, uint64_t job,
					 const char *name, const char *args)
{
	/* A child may go before it has begun the job, which then comes back and is run again. */
	do {
		h->jobs[job].returned = 0;
		harness_wait(h, h->up[slot]);
		harness_run(h, slot, job, name, args);
		harness_wait(h, h->jobs[job].finished || h->jobs[job].returned);
	} while (!h->jobs[job].finished);
	return &h->jobs[job].result;
}

/* ---- checks ------------------------------------------------------------------------------ */

void expect_failed(const struct task_result *r, enum task_reason reason, const char *type,
		   const char *part_of_message)
{
	const char *message = r->error_message ? r->error_message : "";
	if (r->reason != reason || !r->error_type || strcmp(r->error_type, type) != 0 ||
	    !strstr(message, part_of_message)) {
		print_error("reason %s, type %s, message: %s\ntraceback: %s\n",
			    task_reason_name(r->reason) ? task_reason_name(r->reason) : "none",
			    r->error_type ? r->error_type : "none", message,
			    r->traceback ? r->traceback : "none");
		fail();
	}
	assert_int_equal(r->state, reason == REASON_CANCELLED ? TASK_CANCELLED : TASK_FAILED);
}

void expect_int(const struct task_result *r, int value)
{
	const uint8_t pickle[] = { 0x80, 5, 'K', (uint8_t)value, '.' };
	if (r->reason != REASON_NONE)
		expect_failed(r, REASON_NONE, "", "");
	assert_int_equal(r->state, TASK_COMPLETED);
	assert_non_null(r->value);
	assert_int_equal(r->value->len, sizeof pickle);
	assert_memory_equal(r->value->data, pickle, sizeof pickle);
}

long expect_number(const struct task_result *r)
{
	char digits[32] = "";
	size_t n = 0;
	if (r->reason != REASON_NONE)
		expect_failed(r, REASON_NONE, "", "");
	for (size_t i = 2; i < r->value->len && n < sizeof digits - 1; i++) {
		if (r->value->data[i] >= '0' && r->value->data[i] <= '9')
			digits[n++] = (char)r->value->data[i];
		else if (n > 0)
			break;
	}
	return strtol(digits, NULL, 10);
}

void expect_output(const struct blob *b, const char *text)
{
	size_t len = strlen(text);
	assert_int_equal(b ? b->len : 0, len);
	if (b)
		assert_memory_equal(b->data, text, len);
}

bool contains(const struct blob *b, const char *text)
{
	return b && memmem(b->data, b->len, text, strlen(text)) != NULL;
}

pid_t pid_in_file(const char *path)
{
	long pid = 0;
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%ld", &pid) != 1)
		pid = 0;
	(void)fclose(f);
	return (pid_t)pid;
}

char process_state(pid_t pid)
{
	char path[64], state = 0;
	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	FILE *f = fopen(path, "r");
	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	(void)fclose(f);
	return state;
}

bool process_ended(pid_t pid)
{
	char state = process_state(pid);
	return state == 0 || state == 'Z' || state == 'X';
}

int harness_main(const char *name, const struct CMUnitTest *tests, size_t count)
{
	const char *pythons = getenv("FARHAND_TEST_PYTHONS");
	char *list = strdup(pythons && *pythons ? pythons : "python3"), *save = NULL;
	int failed = 0;
	(void)unsetenv("PYTHONPATH"); /* what is imported is the runner's own choice */
	for (char *p = strtok_r(list, " :", &save); p; p = strtok_r(NULL, " :", &save)) {
		print_message("with %s\n", p);
		test_python = p;
		failed += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	}
	free(list);
	return failed;
}
