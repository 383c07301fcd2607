/* A connection, as conn.c (its life) and conn_input.c (what it reads) share it. */
#ifndef FARHAND_HTTP_CONN_PRIV_H
#define FARHAND_HTTP_CONN_PRIV_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "http/conn.h"

enum {
	PIPELINED_MAX = 64 << 10, /* bytes behind the current request that are taken in */
	READ_MAX = 256 << 10,	  /* bytes in one read */
	WRITE_MAX = 256 << 10,	  /* bytes in one write */
	LINGER_MS = 2000,	  /* for a client to read why it is refused */
	DISCARD_MAX = 1 << 30,	  /* a larger body is not waited for */
	/* An answer up to this is not counted: each connection has one at most, so that all of them
	 * together are 128 MiB when every place is taken by a client that does not read. */
	ANSWER_SMALL = 16 << 10,
};

enum conn_phase { CONN_HEAD, CONN_BODY, CONN_CHUNK_SIZE, CONN_CHUNK, CONN_CHUNK_END, CONN_LINGER };

struct conn {
	struct conn_pool *pool;
	struct bufferevent *bev;
	struct evhttp_connection *evcon; /* known one turn of the loop after the accept */
	struct evbuffer *raw;		 /* not yet shown to evhttp */
	struct event *timer;
	struct event *left; /* while watched */
	struct exchange *exchange;
	struct list link;     /* pool->all */
	struct list starving; /* pool->starving */
	enum conn_phase phase;
	struct frame_scan scan;
	struct frame_head head;
	uint64_t chunk_left; /* of the chunk, or of the whole body */
	uint64_t body_seen;
	size_t reserved;
	size_t unsent;	       /* bytes of its answer, if that is large and not wholly written */
	uint32_t shown, taken; /* requests that went to evhttp, that came out of it */
	uint32_t fault_at;     /* the one that is to be answered with `fault` */
	struct frame_fault fault;
	int64_t due_ms, timer_ms; /* when it must be closed, when the timer fires; 0: never */
	size_t room;		  /* what evhttp's buffer may hold */
	bool in_tap;		  /* our own changes of the buffer are not news */
	bool begun;		  /* some of a head is here */
	bool discard;		  /* this body is too large and not shown */
	bool busy;		  /* a request is in work, or its answer is being written */
	bool linger;		  /* close, gently, once answered */
};

/* Closes the connection in that time, unless something else is set before. */
void conn_set_due(struct conn *c, uint64_t in_ms);
void conn_set_body_due(struct conn *c);

/* The callback of the input buffer. */
void conn_on_input(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg);

/* Goes on with what was held back, outside of a read. */
void conn_resume(struct conn *c);

/* Gives back the room of its unfinished body; those in the queue may take it. */
void conn_release_room(struct conn *c);

/* The callback of pool->feed: there is room again. */
void conn_on_feed(evutil_socket_t fd, short what, void *arg);

/* How much evhttp's buffer may hold: `more` bytes of a body beyond what is there. */
void conn_set_read_room(struct conn *c, uint64_t more);

#endif
