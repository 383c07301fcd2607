/* Happy path: write and read walk one list of fields. Failure modes: a text that the list cannot
 * have made (an unknown name, a number out of range) is damage, which the caller reports. */
#include "store/sqlite_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/*        name, smallest and largest value */
#define FIELDS(X)                              \
	X(priority, INT32_MIN, INT32_MAX)      \
	X(retries, 0, UINT32_MAX)              \
	X(retry_on, 0, UINT32_MAX)             \
	X(backoff_initial_ms, 0, UINT32_MAX)   \
	X(backoff_max_ms, 0, UINT32_MAX)       \
	X(backoff_factor_milli, 0, UINT32_MAX) \
	X(timeout_ms, 0, UINT32_MAX)           \
	X(mem_bytes, 0, INT64_MAX)             \
	X(not_before_ms, INT64_MIN, INT64_MAX) \
	X(expires_at_ms, INT64_MIN, INT64_MAX) \
	X(at_most_once, 0, 1)

static const struct task_options defaults = TASK_OPTIONS_DEFAULT;

const char *options_write(const struct task_options *o, struct options_text *buffer)
{
	size_t len = 0;
#define X(name, min, max)                                                              \
	if (o->name != defaults.name)                                                  \
		len += (size_t)snprintf(buffer->text + len, sizeof buffer->text - len, \
					"%s" #name "=%" PRId64, len ? " " : "", (int64_t)o->name);
	FIELDS(X)
#undef X
	FH_ASSERT_CMP(len, <, sizeof buffer->text);
	return len ? buffer->text : NULL;
}

/* The text that follows "name="; NULL if it begins with another name. */
static const char *after_name(const char *text, const char *name)
{
	size_t len = strlen(name);
	return strncmp(text, name, len) == 0 && text[len] == '=' ? text + len + 1 : NULL;
}

/* One "name=value". Returns what follows it, or NULL. */
static const char *read_field(const char *text, struct task_options *o)
{
	const char *value = NULL;
	char *end = NULL;
#define X(name, min, max)                                                       \
	if (!end && (value = after_name(text, #name)) != NULL) {                \
		intmax_t v = strtoimax(value, &end, 10);                        \
		if (end == value || v < (intmax_t)(min) || v > (intmax_t)(max)) \
			return NULL;                                            \
		o->name = (__typeof__(o->name))v;                               \
	}
	FIELDS(X)
#undef X
	return end;
}

int options_read(const char *text, struct task_options *ret_options)
{
	struct task_options o = defaults;
	*ret_options = defaults;
	while (text && *text) {
		text = read_field(text, &o);
		if (!text || (*text != ' ' && *text != '\0'))
			return FH_EINVAL;
		text += *text == ' ';
	}
	*ret_options = o;
	return 0;
}
