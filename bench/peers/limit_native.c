/* The C parent of limit_peer: pumps a file of frames through Python children.
 * limit_native IN OUT WORKERS WINDOW PYTHON CHILD KIND CODEC
 * IN and OUT hold frames: 4 bytes of length, then the body.  Keeps up to WINDOW
 * frames outstanding per child.  Prints seconds, then each latency in ms when
 * WINDOW and WORKERS are 1.  The first frame warms each child up, untimed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
	int fd, pid;
	size_t wfrom, wto;    /* bytes of IN still to write */
	long *ids, sent, got; /* tasks given to this child, in order */
	char *buf;
	size_t len, cap;
};

struct work {
	char *in;    /* the frames */
	size_t *off; /* where each begins; n + 1 of them */
	long n, next, done, workers, window;
	char **res; /* the answers, in the order of the tasks */
	double *given, *ms;
	struct child *kids;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint32_t u32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

static void start(struct child *c, char **argv, long n)
{
	int sv[2], big = 4 << 20;
	char fd[16];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		exit(2);
	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
	setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
	c->pid = fork();
	if (!c->pid) {
		fcntl(sv[1], F_SETFD, 0);
		snprintf(fd, sizeof fd, "%d", sv[1]);
		execl(argv[5], argv[5], argv[6], fd, argv[7], argv[8], (char *)NULL);
		_exit(127);
	}
	close(sv[1]);
	c->fd = sv[0];
	c->ids = malloc((size_t)n * sizeof *c->ids);
}

/* One frame through a fresh child, so that its imports are not measured. */
static void warm(struct child *c, const char *in)
{
	size_t size = 4 + u32(in), off = 0;
	char head[4];
	while (off < size) {
		ssize_t w = write(c->fd, in + off, size - off);
		if (w < 0)
			exit(3);
		off += (size_t)w;
	}
	if (recv(c->fd, head, 4, MSG_WAITALL) != 4)
		exit(3);
	char *junk = malloc(u32(head) + 1);
	if (recv(c->fd, junk, u32(head), MSG_WAITALL) < 0)
		exit(3);
	free(junk);
	fcntl(c->fd, F_SETFL, O_NONBLOCK);
}

static int load(struct work *k, const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	size_t len = (size_t)st.st_size;
	k->in = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	for (size_t at = 0; at < len; at += 4 + u32(k->in + at))
		k->n++;
	k->off = malloc((size_t)(k->n + 1) * sizeof *k->off);
	k->off[0] = 0;
	for (long i = 0; i < k->n; i++)
		k->off[i + 1] = k->off[i] + 4 + u32(k->in + k->off[i]);
	k->res = calloc((size_t)k->n, sizeof *k->res);
	k->given = calloc((size_t)k->n, sizeof *k->given);
	k->ms = calloc((size_t)k->n, sizeof *k->ms);
	k->kids = calloc((size_t)k->workers, sizeof *k->kids);
	return 0;
}

/* Gives a run of consecutive tasks once the last run is written; refills at half a window, so that
 * writes stay large. True while something is still to be written. */
static int feed(struct work *k, struct child *c)
{
	long room = k->window - (c->sent - c->got);
	if (c->wfrom == c->wto && k->next < k->n && room > 0 && 2 * room >= k->window) {
		c->wfrom = k->off[k->next];
		while (room-- > 0 && k->next < k->n) {
			k->given[k->next] = now();
			c->ids[c->sent++] = k->next++;
		}
		c->wto = k->off[k->next];
	}
	while (c->wfrom < c->wto) {
		ssize_t w = write(c->fd, k->in + c->wfrom, c->wto - c->wfrom);
		if (w < 0)
			break;
		c->wfrom += (size_t)w;
	}
	return c->wfrom < c->wto;
}

static void collect(struct work *k, struct child *c)
{
	if (c->cap - c->len < 1 << 16)
		c->buf = realloc(c->buf, c->cap = 2 * c->cap + (1 << 17));
	ssize_t r = read(c->fd, c->buf + c->len, c->cap - c->len);
	if (r == 0)
		exit(3);
	if (r < 0)
		return;
	c->len += (size_t)r;
	size_t at = 0;
	while (c->len - at >= 4 && c->len - at - 4 >= u32(c->buf + at)) {
		size_t size = 4 + u32(c->buf + at);
		long id = c->ids[c->got++];
		k->res[id] = memcpy(malloc(size), c->buf + at, size);
		k->ms[id] = 1e3 * (now() - k->given[id]);
		at += size;
		k->done++;
	}
	memmove(c->buf, c->buf + at, c->len - at);
	c->len -= at;
}

static void pump(struct work *k)
{
	struct pollfd *p = calloc((size_t)k->workers, sizeof *p);
	while (k->done < k->n) {
		for (long i = 0; i < k->workers; i++) {
			short writes = feed(k, &k->kids[i]) ? POLLOUT : 0;
			p[i] = (struct pollfd){ k->kids[i].fd, (short)(POLLIN | writes), 0 };
		}
		poll(p, (nfds_t)k->workers, 10000);
		for (long i = 0; i < k->workers; i++)
			if (p[i].revents & (POLLIN | POLLHUP))
				collect(k, &k->kids[i]);
	}
	free(p);
}

int main(int argc, char **argv)
{
	if (argc != 9)
		return 2;
	struct work k = { .workers = atol(argv[3]), .window = atol(argv[4]) };
	if (load(&k, argv[1]) < 0)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	for (long i = 0; i < k.workers; i++)
		start(&k.kids[i], argv, k.n);
	for (long i = 0; i < k.workers; i++)
		warm(&k.kids[i], k.in);

	double began = now();
	pump(&k);
	printf("%f\n", now() - began);
	if (k.window == 1 && k.workers == 1)
		for (long i = 0; i < k.n; i++)
			printf("%f\n", k.ms[i]);
	FILE *f = fopen(argv[2], "w");
	if (!f)
		return 2;
	for (long i = 0; i < k.n; i++)
		fwrite(k.res[i], 1, 4 + u32(k.res[i]), f);
	fclose(f);
	for (long i = 0; i < k.workers; i++) {
		close(k.kids[i].fd);
		waitpid(k.kids[i].pid, NULL, 0);
	}
	return 0;
}
