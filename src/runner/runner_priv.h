/* What the files of this folder share: a runner has one template process and slots; a slot has at
 * most one child, a ring of the jobs that the child holds, and two pipes with what it prints. */
#ifndef FARHAND_RUNNER_RUNNER_PRIV_H
#define FARHAND_RUNNER_RUNNER_PRIV_H

#include <sys/types.h>

#include <event2/event.h>

#include "runner/channel.h"
#include "runner/frame.h"
#include "runner/runner.h"

enum {
	RUNNER_TICK_MS = 25,	   /* a look at the busy slots, while there are any */
	RUNNER_LONG_MS = 40,	   /* a job of this age is looked after: output, STARTED */
	RUNNER_MEMORY_TICKS = 4,   /* memory limits are looked at every fourth tick */
	RUNNER_RETRY_MIN_MS = 100, /* after a failed start, doubling */
	RUNNER_RETRY_MAX_MS = 30000,
	/* A template answers at once, or after it has swept up behind a dead child: so long it is
	 * silent only if somebody has stopped it, or if it hangs. What it is counted in are pulses
	 * of our own loop: when we were stopped ourselves, its answer is read before the next. */
	RUNNER_DEAF_MS = 10000,
	RUNNER_DEAF_PULSES = 5,	      /* of a template, or a child that does not read its job */
	RUNNER_START_PULSES = 60,     /* 120 s for Python's start and imports from a slow disk */
	RUNNER_END_MS = 2000,	      /* for the template to end all children, then it is killed */
	RUNNER_MESSAGES_AT_ONCE = 64, /* of one child, before others have their turn */
	CHILD_FDS = 6, /* its socket and file, both ends of the pipes for stdout and stderr */
};

/* EMPTY -> FORKING -> STARTING -> READY -> ENDING -> EMPTY; a child can be lost from everywhere.
 *   slot_fork            EMPTY    -> FORKING   the template was asked for a child
 *   slot_forked          FORKING  -> STARTING  it has a process id
 *   hello                STARTING -> READY     it said HELLO
 *   slot_kill, condemn,  READY    -> ENDING    it was told to end, or ends by itself: jobs are
 *   answered                                   refused from now on
 *   end_deaf             READY    -> ENDING    it does not read its job, and is killed
 *   slot_ended           any      -> EMPTY     it is reaped */
enum slot_state { SLOT_EMPTY, SLOT_FORKING, SLOT_STARTING, SLOT_READY, SLOT_ENDING };

struct job {
	uint64_t number;
	uint64_t clock;			    /* of the channel, when it was sent */
	uint64_t mem_bytes, resident_bytes; /* the limit; what the child had before */
	bool begun;			    /* known to have begun, and told */
	bool said;			    /* the child has said so */
	bool in_file;			    /* has a region of the channel's file */
};

struct log {
	int fd; /* the reading end, which the child has as well; -1: none */
	struct event *readable;
	uint8_t *data; /* what was read while the job ran */
	size_t len;
	bool cut;     /* more came than is kept */
	bool dropped; /* and is read at every tick only, to make room */
};

struct slot {
	struct runner *r;
	unsigned number;
	enum slot_state state;
	uint32_t child; /* number of the child, never reused */
	pid_t pid;	/* 0: none, or not known yet */
	struct channel channel;
	struct event *readable, *grace;
	struct log logs[2]; /* stdout, stderr */
	struct job jobs[RUNNER_PIPE_MAX];
	unsigned head, count; /* the ring of jobs: given to the child and not answered */
	unsigned queued;      /* events of this slot that are not yet delivered */
	uint32_t given;	      /* jobs in the life of the child */
	uint64_t head_since;  /* when the first job became the first, loop milliseconds */
	int64_t head_since_unix;
	/* Since when the child, which has said nothing meanwhile, has had something to read, even
	 * if that was taken back and something else was given; 0: there was nothing yet. */
	uint64_t unread_since;
	enum task_reason killed; /* the first job is being killed for this; NONE: it is not */
	const char *condemned;	 /* why the child is not listened to any more; NULL: it is */
	bool greeted;		 /* the child has said HELLO */
	bool announced;		 /* slot_ready was said, slot_down was not */
	unsigned silent;	 /* pulses in which it was starting, deaf, or ending by itself */
};

struct template
{
	pid_t pid; /* 0: none */
	int control, output;
	struct event *control_readable, *output_readable;
	bool ready;
	bool asked;	 /* whether it still answers */
	unsigned silent; /* pulses since then; before it is ready: since it was started */
	char why[96];	 /* it is being ended for this; empty: it is not */
	size_t text_len;
	char text[1024]; /* the end of what it printed */
};

enum runner_event_kind { EVENT_STARTED, EVENT_FINISHED, EVENT_RETURNED, EVENT_UP, EVENT_DOWN };

struct runner_event {
	enum runner_event_kind kind;
	unsigned slot;
	uint64_t job;
	struct task_result result;
	bool retry_match;
};

struct runner {
	struct runner_config config;
	struct runner_handler handler;
	char *python, **paths;
	int modules; /* memory file with the Python sources */
	struct template template;
	struct slot *slots;
	uint32_t next_child;
	char runtime[8];
	struct frame_bounds bounds;
	struct event *tick, *retry, *deferred, *pulse;
	unsigned ticks;
	uint32_t retry_ms;
	uint8_t *buffer;	     /* one message */
	bool in_call;		     /* inside a call of ours: events are queued */
	struct runner_event *events; /* ring of those that wait for delivery */
	size_t events_head, events_len, events_max;
};

/* Loop time in milliseconds, monotonic, and Unix time. */
uint64_t runner_now(void);
int64_t runner_unix_now(void);

/* runner.c: hands an event to the caller, at once or, inside a call of ours or behind others that
 * wait, later. Takes the result over. */
void runner_emit(struct slot *s, enum runner_event_kind kind, uint64_t job,
		 struct task_result *own_result, bool retry_match);
/* Delivers what waits; every handler of the loop begins and ends with it. */
void runner_flush(struct runner *r);
/* Looks again for what cannot be started, after a delay that grows. */
void runner_retry_later(struct runner *r);
/* The busy slots are looked at from now on. */
void runner_watch(struct runner *r);

/* template.c */
void template_start(struct runner *r);
/* Asks it whether it still answers; ends it when it has not for too long. */
void template_pulse(struct runner *r);
/* Kills and reaps the process and all that it forked. */
void template_end(struct runner *r);
/* 0, FH_EAGAIN when the control socket is full, FH_EIO. */
int template_fork(struct runner *r, uint32_t child, const int fds[CHILD_FDS]) FH_MUST_USE;
/* SIGTERM or SIGKILL for the child's process group. */
void template_kill(struct runner *r, uint32_t child, int signal_number);

/* The last line that is not empty; empty if there is none. */
void text_last_line(const char *text, size_t len, char line[256]);

/* spawn.c: the Python process with descriptors 0-4 = /dev/null, output, output, control, modules.
 * FH_ENOTFOUND and FH_EIO with the line in `err`. */
int spawn_python(const char *python, int output, int control, int modules, pid_t *ret_pid,
		 struct fh_err *err) FH_MUST_USE;

/* slot.c */
int slot_init(struct slot *s, struct runner *r, unsigned number) FH_MUST_USE;
void slot_release(struct slot *s);
void slot_fork(struct slot *s);
void slot_forked(struct slot *s, pid_t pid);
void slot_fork_failed(struct slot *s, const char *why);
/* The child is gone: settles its jobs. `status` as wait(2) gives it; `lost`: it died with the
 * template and not by its own doing. */
void slot_ended(struct slot *s, int status, bool lost);
/* The child ends by itself: nothing that it has not read will be, and the slot is down. */
void slot_leaving(struct slot *s);
/* A child that neither comes up, nor reads, nor goes: it is continued, then killed. */
void slot_pulse(struct slot *s);
/* The look at a busy slot. */
void slot_tick(struct slot *s, uint64_t now, bool memory);

/* job.c */
/* The first job of the ring; NULL: none. */
struct job *job_first(struct slot *s);
/* Whether the child has yet to read the first job. */
bool job_is_unread(struct slot *s, const struct job *first);
void job_push(struct slot *s, const struct runner_job *job, bool in_file);
/* Everything that has come from the child, up to a bound. */
void slot_receive(struct slot *s, unsigned max);
/* Jobs that the child has not read: out of its socket and of the ring, back to the caller. */
void slot_return_unread(struct slot *s);
/* The same for all that is left in the ring of a child that is gone. */
void slot_return_all(struct slot *s);
/* The first job ends without the child's word; NULL: the reason's usual message. */
void slot_fail_first(struct slot *s, enum task_reason reason, const char *message);
/* runner_kill(); `at_once`: without grace. */
int slot_kill(struct slot *s, uint64_t job, enum task_reason why, bool at_once) FH_MUST_USE;

/* log.c */
void log_init(struct slot *s);
/* Begins or ends reading while the first job runs. */
void log_watch(struct slot *s); /* called at every tick */
void log_unwatch(struct slot *s);
/* A part of what was read while the first job ran; see runner_output(). */
int log_copy(const struct slot *s, unsigned stream, uint64_t from, uint64_t to,
	     struct blob **ret_blob) FH_MUST_USE;
/* Everything that is in the pipes now. */
void log_drain(struct slot *s);
/* What was read goes before what the result has; the buffers are empty then. */
void log_take(struct slot *s, struct task_result *r);
void log_close(struct slot *s);

/* limit.c: the memory of a process and everything below it, beyond `limit`? */
bool limit_exceeded(pid_t pid, uint64_t limit_bytes);

#endif
