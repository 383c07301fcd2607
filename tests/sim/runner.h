/* The model of a runner (src/runner/runner.h) for one host: slots with pipes of jobs. What has
 * happened waits in a queue, to be told to the session in order. */
#ifndef FARHAND_SIM_RUNNER_H
#define FARHAND_SIM_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"
#include "knobs.h"
#include "script.h"
#include "wire/msg.h"
#include "worker/action.h"
#include "worker/event.h"

struct world;

enum { PIPE_MAX = 16, NEWS_MAX = 256 };

struct job {
	uint64_t number;
	struct fh_id task;
	struct task_token token;
	struct script script;
	bool announce, begun;
	bool seen;		    /* the oracle knows that it has begun */
	int64_t begins_us, ends_us; /* INT64_MAX: hangs */
	int64_t prints_us;	    /* when it prints next; INT64_MAX: never */
	uint64_t printed[2];	    /* as it has been told */
	enum task_reason killed;    /* NONE: not */
	int64_t killed_us;	    /* it is dead then */
};

struct child {
	bool up;	   /* and the session knows */
	int64_t up_us;	   /* while down: when it is back; INT64_MAX: that is in the news */
	int64_t hears_us;  /* it reads no job before; INT64_MAX: never */
	int64_t unread_us; /* it is ended then, because it has not read one; 0: it has all */
	struct job pipe[PIPE_MAX];
	uint32_t len;
};

struct news {
	struct session_event event;
	struct fh_id task; /* FINISHED */
	struct task_token token;
	struct task_result result;
	bool retry_match;
};

struct runner_model {
	struct world *w;
	uint64_t number; /* of its host's process */
	bool dead;	 /* what a child ran has killed the host */
	uint32_t slots;
	int64_t ready_us; /* when the template answers; 0: it has */
	struct child children[HOST_SLOTS_MAX];
	struct news news[NEWS_MAX];
	uint32_t news_first, news_len;
};

void runner_model_init(struct runner_model *r, struct world *w, uint64_t number, uint32_t slots);
void runner_model_release(struct runner_model *r);

/* False: the slot does not take it. */
bool runner_model_run(struct runner_model *r, uint32_t slot, const struct job *job);
/* What the head of the slot's pipe has printed; NULL: it is another job, or these are no bytes. */
struct blob *runner_model_output(const struct runner_model *r, uint32_t slot, uint64_t job,
				 const struct session_piece *piece);
void runner_model_steal(struct runner_model *r, uint32_t slot);
void runner_model_kill(struct runner_model *r, uint32_t slot, uint64_t job,
		       enum task_reason reason);

/* Tells the oracle which heads have begun by now: children need nobody's turn to begin. */
void runner_model_observe(struct runner_model *r);

/* Tells the oracle what the host gives up: all that its children have, and what they have ended
 * and the session has not heard of. */
void runner_model_fence(const struct runner_model *r);

/* The machine does nothing for a while. */
void runner_model_freeze(struct runner_model *r, int64_t for_us);

/* Lets what is due by now happen; true if there is news to tell. */
bool runner_model_advance(struct runner_model *r);
/* The oldest news, the caller's from now on. */
struct news runner_model_news(struct runner_model *r);

int64_t runner_model_next_us(const struct runner_model *r);
uint64_t runner_model_hash(const struct runner_model *r);

#endif
