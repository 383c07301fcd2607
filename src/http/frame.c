/* Decides whether a request's framing has exactly one meaning.
 *
 * Happy path: every line ends in CR LF; the request line is `METHOD /path HTTP/1.1`; every field is
 * `name: value` with a name of token characters and a value without control characters; Host is
 * there once; the body's length is said once, in digits, or the body is chunked and nothing else.
 * Failure modes: each fault has its own line of text. Sizes are 431 and 414, an unknown method 501,
 * an unknown version 505, an unknown expectation 417, everything else 400. */
#include "http/frame.h"

#include <string.h>
#include <strings.h>

const struct frame_fault frame_fault_too_large = { PROBLEM_TOO_LARGE,
						   "the body is larger than the server takes" };
const struct frame_fault frame_fault_chunk_end = { PROBLEM_BAD_REQUEST,
						   "a chunk does not end where its size says" };

static int fault(struct frame_fault *ret_fault, enum problem_kind kind, const char *detail)
{
	*ret_fault = (struct frame_fault){ kind, detail };
	return FH_EPROTO;
}

static int bad(struct frame_fault *ret_fault, const char *detail)
{
	return fault(ret_fault, PROBLEM_BAD_REQUEST, detail);
}

/* RFC 9110, 5.6.2 */
static bool is_token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool equals(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(s, word, len) == 0;
}

/* Steps over complete lines until the empty one. 1: found, *ret_len is the head's length. */
static int find_end(const struct http_limits *limits, const char *data, size_t len,
		    struct frame_scan *scan, size_t *ret_len, struct frame_fault *ret_fault)
{
	while (scan->at < len) {
		const char *line = data + scan->at;
		const char *newline = memchr(line, '\n', len - scan->at);
		size_t line_len = newline ? (size_t)(newline - line) + 1 : len - scan->at;
		if (scan->lines == 0 && line_len > limits->url_bytes + 32)
			return fault(ret_fault, PROBLEM_URL_TOO_LONG,
				     "the request line is too long");
		if (scan->at + line_len > limits->head_bytes)
			return fault(ret_fault, PROBLEM_HEAD_TOO_LARGE, "the head is too large");
		if (!newline)
			return 0;
		if (line_len < 2 || newline[-1] != '\r')
			return bad(ret_fault, "a line of the head does not end in CR LF");
		scan->at += line_len;
		if (line_len == 2 && scan->lines == 0)
			return bad(ret_fault, "an empty line stands before the request");
		if (line_len == 2) {
			*ret_len = scan->at;
			return 1;
		}
		if (scan->lines++ > limits->head_lines)
			return fault(ret_fault, PROBLEM_HEAD_TOO_LARGE,
				     "the head has too many lines");
	}
	return 0;
}

static int check_method(const char *method, size_t len, bool *ret_bodiless,
			struct frame_fault *ret_fault)
{
	static const char *const known[] = { "GET",    "HEAD",	"POST",	  "PUT",
					     "DELETE", "PATCH", "OPTIONS" };
	for (size_t i = 0; i < len; i++)
		if (!is_token_char((unsigned char)method[i]))
			return bad(ret_fault, "the method is malformed");
	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		if (len == strlen(known[i]) && memcmp(method, known[i], len) == 0) {
			*ret_bodiless = i == 1; /* evhttp reads no body behind a HEAD */
			return 0;
		}
	}
	if (len == 0)
		return bad(ret_fault, "the method is missing");
	return fault(ret_fault, PROBLEM_UNKNOWN_METHOD, "the server does not know the method");
}

/* Only the form that begins with a path: no proxy stands here, and a second slash would make an
 * authority of what follows. */
static int check_target(const struct http_limits *limits, const char *target, size_t len,
			struct frame_fault *ret_fault)
{
	if (len > limits->url_bytes)
		return fault(ret_fault, PROBLEM_URL_TOO_LONG, "the target is too long");
	if (len == 0 || target[0] != '/' || (len > 1 && target[1] == '/'))
		return bad(ret_fault, "the target is not a path");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)target[i];
		if (c <= ' ' || c >= 0x7F || c == '#')
			return bad(ret_fault, "a character of the target must be escaped");
	}
	return 0;
}

struct request_line {
	bool bodiless, old; /* HEAD; HTTP/1.0 */
};

static int check_request_line(const struct http_limits *limits, const char *line, size_t len,
			      struct request_line *ret_line, struct frame_fault *ret_fault)
{
	const char *end = line + len;
	const char *target = memchr(line, ' ', len);
	if (!target)
		return bad(ret_fault, "the request line is malformed");
	int ret = check_method(line, (size_t)(target - line), &ret_line->bodiless, ret_fault);
	if (ret)
		return ret;
	target++;
	const char *version = memchr(target, ' ', (size_t)(end - target));
	if (!version)
		return bad(ret_fault, "the request line is malformed");
	ret = check_target(limits, target, (size_t)(version - target), ret_fault);
	if (ret)
		return ret;
	version++;
	size_t version_len = (size_t)(end - version);
	if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0)
		return bad(ret_fault, "the request line is malformed");
	ret_line->old = memcmp(version, "HTTP/1.0", 8) == 0;
	if (!ret_line->old && memcmp(version, "HTTP/1.1", 8) != 0)
		return fault(ret_fault, PROBLEM_UNKNOWN_VERSION, "the server speaks HTTP/1.1");
	return 0;
}

struct fields {
	bool host, length, encoding, octets;
	uint64_t body_len;
};

static int take_length(struct fields *f, const char *value, size_t len,
		       struct frame_fault *ret_fault)
{
	if (f->length)
		return bad(ret_fault, "Content-Length stands there twice");
	f->length = true;
	if (len == 0)
		return bad(ret_fault, "Content-Length is not a number");
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return bad(ret_fault, "Content-Length is not a number");
		if (f->body_len < INT64_MAX / 100) /* larger is too large, whatever it is */
			f->body_len = f->body_len * 10 + (uint64_t)(value[i] - '0');
	}
	return 0;
}

static int take_field(const struct request_line *line, struct fields *f, const char *name,
		      size_t name_len, const char *value, size_t len, struct frame_fault *ret_fault)
{
	if (equals(name, name_len, "Content-Length"))
		return take_length(f, value, len, ret_fault);
	if (equals(name, name_len, "Transfer-Encoding")) {
		if (f->encoding || line->old || !equals(value, len, "chunked"))
			return bad(ret_fault, "Transfer-Encoding is not just chunked");
		f->encoding = true;
	} else if (equals(name, name_len, "Host")) {
		if (f->host)
			return bad(ret_fault, "Host stands there twice");
		f->host = true;
	} else if (equals(name, name_len, "Expect")) {
		if (!equals(value, len, "100-continue"))
			return fault(ret_fault, PROBLEM_UNKNOWN_EXPECTATION,
				     "the server does not know the expectation");
	} else if (equals(name, name_len, "Content-Type")) {
		static const char octets[] = "application/octet-stream";
		size_t octets_len = sizeof octets - 1;
		f->octets = len >= octets_len && strncasecmp(value, octets, octets_len) == 0;
	}
	return 0;
}

static int check_field(const struct request_line *line, struct fields *f, const char *field,
		       size_t len, struct frame_fault *ret_fault)
{
	if (*field == ' ' || *field == '\t')
		return bad(ret_fault, "a header is folded over two lines");
	size_t name_len = 0;
	while (name_len < len && is_token_char((unsigned char)field[name_len]))
		name_len++;
	if (name_len == 0 || name_len == len || field[name_len] != ':')
		return bad(ret_fault, "the name of a header is malformed");
	const char *value = field + name_len + 1, *end = field + len;
	for (const char *p = value; p < end; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 0x7F)
			return bad(ret_fault, "the value of a header has a control character");
	/* evhttp skips spaces there, but would take a tab for a part of the value. */
	while (value < end && *value == ' ')
		value++;
	if (value < end && *value == '\t')
		return bad(ret_fault, "a tab stands before the value of a header");
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return take_field(line, f, field, name_len, value, (size_t)(end - value), ret_fault);
}

int frame_read_head(const struct http_limits *limits, const char *data, size_t len,
		    struct frame_scan *scan, struct frame_head *ret_head,
		    struct frame_fault *ret_fault)
{
	struct request_line line = { 0 };
	struct fields f = { 0 };
	size_t head_len;
	int ret = find_end(limits, data, len, scan, &head_len, ret_fault);
	if (ret <= 0)
		return ret;
	size_t lines_len = head_len - 2; /* without the empty one */
	for (size_t at = 0; at < lines_len;) {
		const char *text = data + at;
		const char *newline = memchr(text, '\n', lines_len - at);
		size_t text_len = (size_t)(newline - text) - 1;
		ret = at == 0 ? check_request_line(limits, text, text_len, &line, ret_fault)
			      : check_field(&line, &f, text, text_len, ret_fault);
		if (ret)
			return ret;
		at += text_len + 2;
	}
	if (!f.host)
		return bad(ret_fault, "Host is missing");
	if (f.length && f.encoding)
		return bad(ret_fault, "Content-Length and Transfer-Encoding exclude "
				      "each other");
	if (line.bodiless && (f.encoding || f.body_len))
		return bad(ret_fault, "a HEAD request has no body");
	*ret_head = (struct frame_head){
		.len = head_len,
		.chunked = f.encoding,
		.body_len = f.body_len,
		.body_limit = f.octets ? limits->body_bytes : limits->json_bytes,
	};
	return 1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* What stands at `at` of CR LF: 1 both, 0 not yet all of it, FH_EPROTO something else. */
static int line_end(const char *data, size_t len, size_t at)
{
	if (at < len && data[at] != '\r')
		return FH_EPROTO;
	if (at + 1 < len && data[at + 1] != '\n')
		return FH_EPROTO;
	return at + 1 < len;
}

int frame_read_chunk(const char *data, size_t len, size_t *ret_used, uint64_t *ret_size,
		     struct frame_fault *ret_fault)
{
	uint64_t size = 0;
	size_t at = 0;
	for (; at < len && hex_digit(data[at]) >= 0; at++) {
		if (at == 15)
			return bad(ret_fault, "the size of a chunk is not a number");
		size = size << 4 | (uint64_t)hex_digit(data[at]);
	}
	if (at == len)
		return 0;
	int ret = at == 0 ? FH_EPROTO : line_end(data, len, at);
	if (ret < 0)
		return bad(ret_fault, "the size of a chunk is not a number");
	if (ret == 0)
		return 0;
	at += 2;
	if (size == 0) {
		ret = line_end(data, len, at);
		if (ret < 0)
			return bad(ret_fault, "fields behind the last chunk are not taken");
		if (ret == 0)
			return 0;
		at += 2;
	}
	*ret_used = at;
	*ret_size = size;
	return 1;
}
