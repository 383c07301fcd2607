/* Text that grows at its end, for bodies of answers. Writing never fails visibly: once memory is
 * short or the maximum is passed, the text is `broken`, stays as it is and is not sent. */
#ifndef FARHAND_HTTP_TEXT_H
#define FARHAND_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"
#include "base/id.h"

struct text {
	char *data; /* not terminated */
	size_t len, room;
	bool broken;
};

void text_release(struct text *t);

/* Makes room for `more` bytes and returns where they go, or NULL if there is none; the caller
 * writes them and adds to `len` what it wrote. */
char *text_reserve(struct text *t, size_t more);

void text_add(struct text *t, const char *s, size_t len);
void text_str(struct text *t, const char *s);
void text_printf(struct text *t, const char *fmt, ...) FH_PRINTF(2, 3);
void text_u64(struct text *t, uint64_t value);

/* JSON strings, quotes included. What is not UTF-8 becomes U+FFFD. */
void text_json(struct text *t, const char *s, size_t len);
void text_json_str(struct text *t, const char *s);	     /* NULL: null */
void text_json_id(struct text *t, struct fh_id id);	     /* zero: null */
void text_json_time(struct text *t, int64_t ms);	     /* RFC 3339; 0: null */
void text_json_base64(struct text *t, const struct blob *b); /* NULL: null */

#endif
