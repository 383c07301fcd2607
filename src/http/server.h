/* The server's insides, for the files that make up the server: server.c, exchange.c, access.c. */
#ifndef FARHAND_HTTP_SERVER_H
#define FARHAND_HTTP_SERVER_H

#include "http/conn.h"
#include "http/digest.h"
#include "http/http.h"

struct evconnlistener;
struct evhttp;
struct evhttp_bound_socket;

struct http_server {
	struct http_config config;
	char *host; /* what config.host points at */
	uint16_t port;
	struct evhttp *evhttp;
	struct evhttp_bound_socket *bound; /* NULL: closed */
	struct evconnlistener *listener;   /* of `bound` */
	struct event *accept_again;	   /* after descriptors had run out */
	int spare_fd;			   /* given up to refuse a connection when they have */
	struct list link;		   /* all servers of the process */
	struct conn_pool pool;
	struct list exchanges;
	struct fh_id_gen ids;
	struct digest digest;
	uint32_t parked;
	uint64_t requests_total;
	bool ready;
	bool freeing; /* the sink is gone */
};

#endif
