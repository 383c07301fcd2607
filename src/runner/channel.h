/* One SOCK_SEQPACKET pair between the worker and a child. The worker keeps both ends: its own, and
 * the child's, on which it takes back what the child has not read; the kernel gives a message to
 * exactly one reader, so a job is either taken back or run, never both. */
#ifndef FARHAND_RUNNER_CHANNEL_H
#define FARHAND_RUNNER_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/id.h"
#include "runner/frame.h"
#include "runner/runner.h"

struct channel {
	int own, childs; /* -1: closed */
	/* Long pickles lie in a memory file that the child can read and not write: so no job needs
	 * a descriptor of its own, and the pages are used again. Regions are handed out one behind
	 * the other, and all are free again when no job has one. */
	int file, childs_file;
	uint64_t file_end;
	unsigned file_jobs; /* that have a region */
	bool file_owed;	    /* a function has one, and the job behind it was not sent yet */
	/* Which functions the child has, and when each was last used; the worker alone decides
	 * what is replaced, so that both sides agree. */
	struct {
		struct fh_id id;
		uint64_t used;	  /* 0: the place is empty */
		uint64_t version; /* of the FUNCTION that filled it */
	} functions[FRAME_FUNCTIONS_MAX];
	uint64_t clock;
	unsigned last; /* place of the last function used */
};

/* No memory, no descriptors: closed. */
void channel_init(struct channel *c);
/* FH_EIO with errno. */
int channel_open(struct channel *c) FH_MUST_USE;
void channel_close(struct channel *c);

/* Sends the function if the child does not have it, and the job. `head` has the job's number,
 * flags and limit; `classes` may be NULL. FH_EAGAIN: the socket is full; FH_EINVAL: the classes are
 * too long; FH_ENOMEM, FH_EIO. The job was not sent then. *ret_in_file: channel_free_region() is to
 * be called when the job is over or was taken back. */
int channel_send(struct channel *c, const struct runner_function *function,
		 struct frame_request head, const char *classes, const struct blob *payload,
		 bool *ret_in_file) FH_MUST_USE;
void channel_free_region(struct channel *c);

/* Receives one message into `data`; the file that came along, or -1, is the caller's to close.
 * FH_EAGAIN: nothing there; FH_EPROTO: longer than `size`; FH_EIO. */
int channel_receive(struct channel *c, uint8_t *data, size_t size, size_t *ret_len,
		    int *ret_file) FH_MUST_USE;

/* Takes the next job back that the child has not read; FH_EAGAIN: it has read everything. The child
 * may be reading meanwhile, so what it reads can lie behind what is taken. */
int channel_take_back(struct channel *c, uint64_t *ret_job) FH_MUST_USE;

/* Whether the child has yet to read this job, before which it has read all others that it has;
 * `clock` is the channel's at the end of its channel_send(). A function whose job was refused lies
 * before the next one that was sent, and bears another number. */
bool channel_is_unread(struct channel *c, uint64_t job, uint64_t clock);

#endif
