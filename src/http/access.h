/* Who may ask, before there are accounts: programs on this machine, not the web pages that a
 * browser on it shows. A page can send requests here, but not with a Host that is ours after it has
 * bent its own name to our address, not without an Origin that is foreign, and not with a JSON or
 * octet-stream body without asking first, which is never granted. */
#ifndef FARHAND_HTTP_ACCESS_H
#define FARHAND_HTTP_ACCESS_H

#include <stdbool.h>

#include "http/frame.h"

struct exchange;
struct route;

/* PROBLEM_NONE where Host, Origin and Sec-Fetch-Site are those of a program, or of a page that came
 * from here. */
struct frame_fault access_check(const struct exchange *x, const char *listen_host);

/* PROBLEM_NONE where the body, if there is one, has a type that the route takes. */
struct frame_fault access_check_type(const struct exchange *x, const struct route *route);

/* Whether the Content-Type of the body is `type`, whatever parameters it has. */
bool access_is_type(const struct exchange *x, const char *type);

#endif
