/* Decides how a client says what a task needs of a worker.
 *
 * Happy path: the text so far becomes a struct needs, the field changes it, it becomes text again.
 * Failure modes: a value that is none, or needs that are too long together; noted with a pointer,
 * and the text stays as it was. */
#include "http/needs_in.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/needs.h"

static void open_text(const char *text, struct needs *ret_needs)
{
	int ret = needs_parse(text, ret_needs);
	FH_ASSERT(ret == 0); /* we have written it */
}

/* A function's runtime and the memory are added later, when nobody can be told what is too long:
 * they must always fit. */
static bool fits(const struct needs *n)
{
	char text[NEEDS_TEXT];
	struct needs full = *n;
	int ret = *n->runtime ? 0 : needs_set_runtime(&full, "cp313t");
	needs_set_mem(&full, NEEDS_MEM_MAX);
	return ret == 0 && needs_format(&full, text) == 0;
}

static void close_text(struct json_in *in, const struct needs *n, char **needs)
{
	char text[NEEDS_TEXT];
	char *copy = NULL;
	if (!fits(n) || needs_format(n, text)) {
		json_in_error(in, "what the task needs takes too many bytes in all");
		return;
	}
	if (*text) {
		copy = fh_strdup(text);
		if (!copy) {
			json_in_error(in, "no memory for what the task needs");
			return;
		}
	}
	fh_free(*needs);
	*needs = copy;
}

void needs_take_runtime(struct json_in *in, const json_t *value, char **needs)
{
	struct needs n;
	const char *runtime = json_string_value(value);
	open_text(*needs, &n);
	if (runtime && needs_set_runtime(&n, runtime) == 0)
		close_text(in, &n, needs);
	else
		json_in_error(in,
			      "not a Python like cp311, cp313t (free-threaded) or pp310 (PyPy)");
}

void needs_take_cpus(struct json_in *in, const json_t *value, char **needs)
{
	struct needs n;
	int64_t cores;
	open_text(*needs, &n);
	if (!json_in_integer(in, value, 1, NEEDS_CORES_MAX, &cores))
		return;
	needs_set_cores(&n, (uint32_t)cores);
	close_text(in, &n, needs);
}

/* Numbers and true count as their text: {"gpu": 1} is {"gpu": "1"}. */
static bool take_value(struct json_in *in, struct needs *n, const char *name, const json_t *value)
{
	const char *text = json_is_true(value) ? "true" : json_string_value(value);
	char *number = NULL;
	if (json_is_number(value)) {
		number = json_dumps(value, JSON_ENCODE_ANY);
		if (!number) {
			json_in_error(in, "no memory for the labels");
			return false;
		}
		text = number;
	}
	int ret = text || json_is_null(value) ? needs_add_label(n, name, text) : FH_EINVAL;
	fh_free(number);
	if (ret == FH_ELIMIT)
		json_in_error(in, "the labels take too many bytes in all");
	else if (ret)
		json_in_error(in,
			      "not a label: a name of at most %d of A-Z a-z 0-9 _ . / -, and null "
			      "for any value or one of at most %d visible ASCII characters without "
			      ", and ;",
			      NEEDS_LABEL_NAME_MAX, NEEDS_LABEL_VALUE_MAX);
	return ret == 0;
}

void needs_take_labels(struct json_in *in, const json_t *value, char **needs)
{
	struct needs n;
	const char *name;
	json_t *label;
	bool ok = true;
	if (!json_is_object(value)) {
		json_in_error(in, "not an object");
		return;
	}
	open_text(*needs, &n);
	*n.labels = '\0';
	json_object_foreach((json_t *)(uintptr_t)value, name, label)
	{
		size_t before = json_in_member(in, name);
		ok = take_value(in, &n, name, label) && ok;
		json_in_leave(in, before);
	}
	if (ok)
		close_text(in, &n, needs);
}
