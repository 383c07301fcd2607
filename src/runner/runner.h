/* The Python side of a worker: one template process, which imports once, and `slots` warm children
 * that it forks; each slot is a place for one running task. This module starts, feeds, limits,
 * reaps and replaces them. It knows jobs (numbers of the caller's), not tasks or tokens, and
 * decides no policy: which slot, when to kill and why, is the caller's (src/worker through
 * src/agent).
 *
 * What it promises: a child that crashes, hangs, lies on its socket, closes its descriptors or
 * leaves processes behind costs only its own running job. Every job that was run() comes back
 * exactly once: `finished`, or `returned` if it had certainly not begun.
 *
 * One thread: all calls and callbacks happen on the loop of `base`; no callback is called from
 * inside a call of this header. */
#ifndef FARHAND_RUNNER_RUNNER_H
#define FARHAND_RUNNER_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/id.h"
#include "base/record.h"

struct event_base;
struct runner;

enum {
	RUNNER_PIPE_MAX = 16, /* jobs that one child may hold, the running one included */
};

struct runner_config {
	struct event_base *base;
	unsigned slots;
	const char *python;	  /* executable: a path, or a name looked up on PATH */
	const char *const *paths; /* put on the children's sys.path, behind the working directory */
	size_t path_count;
	uint32_t grace_ms;     /* between SIGTERM and SIGKILL */
	size_t result_max;     /* bytes; a larger result is FAILED(result_too_large) */
	size_t log_max;	       /* bytes kept of each of stdout and stderr, from the start */
	uint32_t recycle_jobs; /* a child is replaced after so many jobs; 0: never */
	uint32_t deaf_ms;      /* a template that is silent for so long is ended; 0: 10 s */
};

/* A registered function, sent to each child at most once and cached there by id. */
struct runner_function {
	struct fh_id id;
	enum serializer serializer;
	struct blob *payload;
};

struct runner_job {
	uint64_t job; /* the caller's number, never 0, not in use */
	const struct runner_function
		*function;	   /* borrowed during the call; its payload is referenced */
	struct blob *payload;	   /* pickled (args, kwargs); referenced */
	uint64_t mem_bytes;	   /* 0: no limit */
	const char *retry_classes; /* comma-separated qualified names, or NULL; copied */
	bool announce; /* false: expected to be short, `started` may come late or never */
};

struct runner_handler {
	void *ctx;
	/* The template answers; `runtime` is "cp311" or the like, `modules` the names at the top of
	 * what can be imported, "abc,aifc,..." (NULL: unknown). At the start and after a restart.
	 */
	void (*ready)(void *ctx, const char *runtime, const char *modules);
	/* The slot's child is up and holds no job. run() is allowed from now on. */
	void (*slot_ready)(void *ctx, unsigned slot);
	/* The child has begun this job; at most one job of a slot has begun and not finished. */
	void (*started)(void *ctx, unsigned slot, uint64_t job);
	/* The job, which runs, has printed more: so many bytes of stdout and stderr by now, of
	 * which runner_output() gives any part. Of a short job this may never come. */
	void (*printed)(void *ctx, unsigned slot, uint64_t job, const uint64_t bytes[2]);
	/* The job is over; the result is the callee's. Without Python's word (a crash, a kill) it
	 * has no value, and error_type is the reason's name. Reason CRASH for a child that died
	 * under it, WORKER_LOST when it was lost without its own doing (the template died), or what
	 * kill() said. `retry_match`: its exception is an instance of one of `retry_classes`. */
	void (*finished)(void *ctx, unsigned slot, uint64_t job, struct task_result *own_result,
			 bool retry_match);
	/* The job has not begun: it is the caller's again. It was waiting in the child's socket, or
	 * the child has read it and cannot begin it, which may come after `started`. */
	void (*returned)(void *ctx, unsigned slot, uint64_t job);
	/* The slot's child is gone (crashed, killed, recycled); `slot_ready` follows when it is
	 * replaced. Comes after `finished` and `returned` of its jobs. */
	void (*slot_down)(void *ctx, unsigned slot);
	/* No child can be started (no such Python, too old, it fails at import), or the template
	 * has ended; the line says why. It is tried again with growing delays, while the caller
	 * decides what to do; `ready` tells that it has helped. */
	void (*broken)(void *ctx, const char *why);
};

/* Starts the template (asynchronously). FH_ENOMEM, FH_EIO with the line in `err`. */
int runner_new(const struct runner_config *config, const struct runner_handler *handler,
	       struct runner **ret_runner, struct fh_err *err) FH_MUST_USE;

/* Ends all children and the template at once (SIGKILL), reaps them, calls nothing back. Not to be
 * called from inside a callback. Nulls the pointer; accepts a pointer to NULL. */
void runner_free(struct runner **r);

/* Gives a job to a slot that is ready and holds fewer than RUNNER_PIPE_MAX. Jobs of one slot run
 * one after the other, in order. FH_EAGAIN: the child's socket is full (it holds at least one job,
 * or events of this slot wait for the loop); FH_ECLOSED: the slot is not ready, or will not be for
 * long, because its child is on its way out (`slot_down` follows); FH_EINVAL: the retry classes are
 * longer than 4000 bytes; FH_ENOMEM; FH_EIO. Nothing was taken then. */
int runner_run(struct runner *r, unsigned slot, const struct runner_job *job) FH_MUST_USE;

/* What the job that the slot runs has printed: the bytes `from` to `to` of stdout, or of stderr.
 * They are a part of what `finished` will bring. FH_ENOTFOUND: the slot runs another job, or these
 * bytes are not there; FH_ENOMEM. The blob is the caller's. */
int runner_output(struct runner *r, unsigned slot, uint64_t job, bool is_error, uint64_t from,
		  uint64_t to, struct blob **ret_blob) FH_MUST_USE;

/* Takes back what the slot's child has not read, which is all behind the job that it runs:
 * `returned` for each, race-free: a job is either returned or run, never both. */
void runner_steal(struct runner *r, unsigned slot);

/* Ends the slot's running job: SIGTERM to its process group, after the grace SIGKILL, then
 * everything that descends from it. `finished` comes with state FAILED and this reason (TIMEOUT,
 * MEMORY), or CANCELLED for CANCELLED. If the job has just finished, nothing happens to the next
 * one; a job that is still waiting in the socket is taken back and finished with the same reason.
 * In every case the other jobs that wait in the socket are `returned`: a child that may die reads
 * no more. FH_ENOTFOUND: the slot does not hold it. */
int runner_kill(struct runner *r, unsigned slot, uint64_t job, enum task_reason why) FH_MUST_USE;

#endif
