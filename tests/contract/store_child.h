/* A process that writes to a store as fast as it can and reports what it was told is durable, until
 * it is killed or the store fails. It is this same executable, started again: a process that has a
 * database open must not fork. */
#ifndef FARHAND_TESTS_STORE_CHILD_H
#define FARHAND_TESTS_STORE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/id.h"

enum report_kind {
	REPORT_OPEN = 1,
	REPORT_SUBMITTED,
	REPORT_FINISHED,
	REPORT_RETRIED,
	REPORT_FAILED
};

/* Smaller than PIPE_BUF, so a report is in the pipe as a whole or not at all. */
struct report {
	enum report_kind kind;
	struct fh_id task;
	uint64_t number; /* position of finishing, attempt, or (OPEN) whether the last stop was
			    clean */
	char text[256];	 /* why the store failed */
};

/* Starts the process; its files may grow to `max_file_bytes` (0: any size). Returns its id and the
 * descriptor that reports are read from. */
pid_t child_start(const char *dir, uint64_t max_file_bytes, int *ret_fd);

/* The next report; false at the end. */
bool child_read(int fd, struct report *ret_report);

/* If the arguments are those of child_start(): runs and does not return. */
void child_main(int argc, char **argv);

#endif
