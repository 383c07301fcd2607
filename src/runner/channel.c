/* Moves frames over the socket pair. Happy path: a job is one sendmsg() of head and pickle, a
 * result one recvmsg(). What is longer than FRAME_INLINE_MAX goes into a memory file. Failure
 * modes: a full socket is FH_EAGAIN, with nothing taken; a function that was sent before its job
 * was refused stays there, and is known to the child. */
#include "runner/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"

enum {
	SOCKET_BUFFER = 1 << 20, /* asked for; what the system allows is enough for one frame */
	FILE_KEPT = 4 << 20,	 /* bytes of the memory file that stay for the next long pickle */
};

void channel_init(struct channel *c)
{
	*c = (struct channel){ .own = -1, .childs = -1, .file = -1, .childs_file = -1 };
}

int channel_open(struct channel *c)
{
	int ends[2], size = SOCKET_BUFFER;
	char name[32];
	channel_init(c);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return FH_EIO;
	c->own = ends[0];
	c->childs = ends[1];
	/* A smaller buffer is no failure: fewer jobs are under way then. */
	(void)setsockopt(c->own, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	(void)setsockopt(c->childs, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	c->file = memfd_create("farhand", MFD_CLOEXEC);
	if (c->file < 0)
		return FH_EIO;
	(void)snprintf(name, sizeof name, "/proc/self/fd/%d", c->file);
	c->childs_file = open(name, O_RDONLY | O_CLOEXEC);
	return c->childs_file < 0 ? FH_EIO : 0;
}

void channel_close(struct channel *c)
{
	const int fds[] = { c->own, c->childs, c->file, c->childs_file };
	for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
		if (fds[i] >= 0)
			(void)close(fds[i]);
	}
	channel_init(c);
}

static int from_errno(void)
{
	switch (errno) {
	case EAGAIN:
		return FH_EAGAIN;
	case ENOMEM:
	case ENOBUFS:
		return FH_ENOMEM;
	default:
		return FH_EIO;
	}
}

/* Writes the bytes behind what the file holds. */
static int put_into_file(struct channel *c, const struct blob *b, uint64_t *ret_offset)
{
	for (size_t at = 0; at < b->len;) {
		ssize_t n = pwrite(c->file, b->data + at, b->len - at, (off_t)(c->file_end + at));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return FH_ENOMEM;
		at += (size_t)n;
	}
	*ret_offset = c->file_end;
	c->file_end += b->len;
	return 0;
}

static void file_unused(struct channel *c)
{
	/* A failure leaves memory in use, until the child is replaced; nothing else. */
	if (c->file_end > FILE_KEPT)
		(void)!ftruncate(c->file, 0);
	c->file_end = 0;
}

void channel_free_region(struct channel *c)
{
	FH_ASSERT_CMP(c->file_jobs, >, 0);
	if (--c->file_jobs == 0 && !c->file_owed)
		file_unused(c);
}

static int send_parts(const struct channel *c, struct iovec *parts, size_t count)
{
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = count };
	ssize_t n;
	do
		n = sendmsg(c->own, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? from_errno() : 0;
}

static int send_frame(struct channel *c, struct frame_request head, const char *classes,
		      const struct blob *body, bool *io_in_file)
{
	struct frame_region region = { .len = body->len };
	head.classes_len = classes ? (uint32_t)strlen(classes) : 0;
	bool in_file = sizeof head + head.classes_len + body->len > FRAME_INLINE_MAX;
	struct iovec parts[3] = {
		{ &head, sizeof head },
		{ (void *)(uintptr_t)classes, head.classes_len },
		{ (void *)(uintptr_t)body->data, body->len },
	};
	uint64_t end = c->file_end;
	if (in_file) {
		head.flags |= FRAME_IN_FILE;
		int ret = put_into_file(c, body, &region.offset);
		if (ret)
			return ret;
		parts[2] = (struct iovec){ &region, sizeof region };
	}
	int ret = send_parts(c, parts, 3);
	if (ret)
		c->file_end = end;
	else
		*io_in_file |= in_file;
	return ret;
}

/* The place of the function in the child, and whether it is there already. */
static unsigned place_of(const struct channel *c, struct fh_id function, bool *ret_known)
{
	*ret_known = true;
	if (c->functions[c->last].used && fh_id_equal(c->functions[c->last].id, function))
		return c->last;
	unsigned oldest = 0;
	for (unsigned i = 0; i < FRAME_FUNCTIONS_MAX; i++) {
		if (c->functions[i].used && fh_id_equal(c->functions[i].id, function))
			return i;
		if (c->functions[i].used < c->functions[oldest].used)
			oldest = i;
	}
	*ret_known = false;
	return oldest;
}

int channel_send(struct channel *c, const struct runner_function *function,
		 struct frame_request head, const char *classes, const struct blob *payload,
		 bool *ret_in_file)
{
	if (classes && strlen(classes) > FRAME_CLASSES_MAX)
		return FH_EINVAL;
	bool known;
	unsigned place = place_of(c, function->id, &known);
	head.place = (uint16_t)place;
	if (!known) {
		struct frame_request f = { .kind = FRAME_FUNCTION,
					   .place = head.place,
					   .job = head.job,
					   .bytes = function->serializer,
					   .version = ++c->clock };
		int ret = send_frame(c, f, NULL, function->payload, &c->file_owed);
		if (ret)
			return ret;
		c->functions[place].id = function->id;
		c->functions[place].version = f.version;
	}
	c->functions[place].used = ++c->clock;
	c->last = place;
	head.kind = FRAME_JOB;
	head.version = c->functions[place].version;
	bool in_file = c->file_owed;
	int ret = send_frame(c, head, classes, payload, &in_file);
	if (ret)
		return ret;
	c->file_owed = false;
	c->file_jobs += in_file;
	*ret_in_file = in_file;
	return 0;
}

/* One message; SCM_RIGHTS of exactly one descriptor fits, the kernel closes any more. */
static int receive(int fd, uint8_t *data, size_t size, size_t *ret_len, int *ret_file)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { data, size };
	struct msghdr m = { .msg_iov = &part,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n;
	do
		n = recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return from_errno();
	int file = -1;
	struct cmsghdr *rights = CMSG_FIRSTHDR(&m);
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
	    rights->cmsg_len == CMSG_LEN(sizeof file))
		memcpy(&file, CMSG_DATA(rights), sizeof file);
	*ret_len = (size_t)n;
	*ret_file = file;
	if (m.msg_flags & MSG_TRUNC) {
		if (file >= 0)
			(void)close(file);
		return FH_EPROTO;
	}
	return 0;
}

int channel_receive(struct channel *c, uint8_t *data, size_t size, size_t *ret_len, int *ret_file)
{
	return receive(c->own, data, size, ret_len, ret_file);
}

int channel_take_back(struct channel *c, uint64_t *ret_job)
{
	union {
		struct frame_request head;
		uint8_t bytes[sizeof(struct frame_request)];
	} u;
	for (;;) {
		size_t len;
		int file;
		int ret = receive(c->childs, u.bytes, sizeof u, &len, &file);
		if (ret == 0 && file >= 0)
			(void)close(file);
		if (ret && ret != FH_EPROTO) /* the head alone is wanted: cut is right */
			return ret;
		if (u.head.kind == FRAME_JOB) {
			*ret_job = u.head.job;
			return 0;
		}
		if (u.head.kind == FRAME_FUNCTION && u.head.place < FRAME_FUNCTIONS_MAX)
			c->functions[u.head.place].used = 0;
	}
}

bool channel_is_unread(struct channel *c, uint64_t job, uint64_t clock)
{
	struct frame_request head;
	ssize_t n;
	do
		n = recv(c->childs, &head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof head)
		return false;
	return head.kind == FRAME_FUNCTION ? head.version < clock : head.job == job;
}
