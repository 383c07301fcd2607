/* What a task needs of a worker, and whether a worker has it. Needs are kept, compared and grouped
 * as text, and there is one text for one meaning:
 *
 *   cores=4;label=gpu=1;label=site=lab;mem=17179869184;module=mylab;runtime=cp311
 *
 * Items stand in this order, labels and modules by name; "" is no needs at all, and NULL is the
 * same. Only what restricts is stated: one core and less than 1 GiB are had by every worker.
 *
 * Tasks with the same text wait in one line, so there should be few texts. Therefore memory is
 * rounded up to three significant bits (1, 1.25, 1.5, 1.75, 2, 2.5, 3 ... GiB: at most a quarter
 * more than was asked for, four steps a doubling); the task's own limit stays exact. */
#ifndef FARHAND_BASE_NEEDS_H
#define FARHAND_BASE_NEEDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	NEEDS_TEXT = 256,     /* a text with its terminator */
	NEEDS_ITEMS_MAX = 32, /* in a text: the shortest takes 8 bytes, separator included */
	NEEDS_CORES_MAX = 1000000,
	NEEDS_LABEL_NAME_MAX = 63,
	NEEDS_LABEL_VALUE_MAX = 100,
	NEEDS_MODULE_MAX = 100,
};

#define NEEDS_MEM_MIN (UINT64_C(1) << 30)
#define NEEDS_MEM_MAX (UINT64_C(1) << 60)

struct needs {
	char runtime[8];	  /* "cp311"; "": any */
	uint32_t cores;		  /* of the host; 0: any number */
	uint64_t mem_bytes;	  /* of the host; 0: any amount */
	char labels[NEEDS_TEXT];  /* "gpu=1,site", by name; without a value: any value */
	char modules[NEEDS_TEXT]; /* "mylab,numpy", by name */
};

/* ---- building; a zeroed struct needs nothing ---- */

/* Like "cp311", "cp313t" (free-threaded) or "pp310" (PyPy). */
bool needs_is_runtime(const char *text);
/* FH_EINVAL: it is none. */
int needs_set_runtime(struct needs *n, const char *runtime) FH_MUST_USE;

/* `cores` <= NEEDS_CORES_MAX, `bytes` <= NEEDS_MEM_MAX. Too little to restrict anything is 0. */
void needs_set_cores(struct needs *n, uint32_t cores);
void needs_set_mem(struct needs *n, uint64_t bytes);

/* A label, in the place of one of that name; `value` NULL: any value. FH_EINVAL: a name is 1 to 63
 * of A-Z a-z 0-9 _ . / -, a value 1 to 100 visible ASCII characters without , and ;. FH_ELIMIT: no
 * room. */
int needs_add_label(struct needs *n, const char *name, const char *value) FH_MUST_USE;

/* Adds modules from a list such as "mylab,numpy"; NULL: none. They are known from pickles, nobody
 * asked for them: what is no module's name, or does not fit into the text beside everything else
 * (so they come last), is left out, and a worker that lacks it says so when the task is there. */
void needs_add_modules(struct needs *n, const char *modules);
void needs_add_module(struct needs *n, const char *name, size_t len);

/* Takes over what `n` itself does not say. FH_ELIMIT: no room for the labels. */
int needs_add_defaults(struct needs *n, const struct needs *defaults) FH_MUST_USE;

/* ---- text ---- */

/* FH_ELIMIT: longer than 255 bytes. */
int needs_format(const struct needs *n, char ret_text[NEEDS_TEXT]) FH_MUST_USE;

/* FH_ESYNTAX: not a text as needs_format() writes it. */
int needs_parse(const char *text, struct needs *ret_needs) FH_MUST_USE;

/* What a task needs in all: its own text, the one its function was registered with, its memory, and
 * the modules that both pickles name. Each may be NULL or 0. */
struct needs_parts {
	const char *own, *defaults;
	uint64_t mem_bytes;
	const char *function_modules, *payload_modules;
};
/* FH_ESYNTAX: one of the texts is none; FH_ELIMIT. */
int needs_join(const struct needs_parts *parts, char ret_text[NEEDS_TEXT]) FH_MUST_USE;

enum needs_kind { NEEDS_CORES, NEEDS_LABEL, NEEDS_MEM, NEEDS_MODULE, NEEDS_RUNTIME, NEEDS_KINDS };

struct needs_item {
	enum needs_kind kind;
	const char *value; /* within the text, not terminated */
	size_t len;
	uint64_t number; /* of cores and mem */
};

/* Steps over the items: `*at` begins as the text. 1: `ret_item` is the next, and its value is one;
 * 0: there is none; FH_ESYNTAX. The order of the items is not checked. */
int needs_next(const char **at, struct needs_item *ret_item) FH_MUST_USE;

/* ---- matching ---- */

/* What a worker has. What is not known (0, NULL) is taken to be enough, but labels NULL: none. */
struct needs_offer {
	const char *runtime; /* "" and NULL: not known */
	uint32_t cores;
	uint64_t mem_bytes;
	const char *labels;  /* "gpu=1,site=lab", in any order */
	const char *modules; /* "abc,mylab", in any order */
};

struct needs_verdict {
	uint32_t unmet; /* bit i: the i-th item of the text, counted from 0 */
};

/* 1: the worker has all of it; 0: `ret_verdict` says what it lacks; FH_ESYNTAX: no text of ours. */
int needs_match(const char *needs, const struct needs_offer *offer,
		struct needs_verdict *ret_verdict) FH_MUST_USE;

#endif
