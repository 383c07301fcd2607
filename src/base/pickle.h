/* The outside of Python's pickles: whether bytes are one, and what opcodes they hold. Nothing is
 * executed or built. Also the one pickle that the server writes itself: a plain exception. */
#ifndef FARHAND_BASE_PICKLE_H
#define FARHAND_BASE_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/err.h"

/* The opcodes that name a class or a function. */
enum {
	PICKLE_GLOBAL = 'c',	    /* its argument: two lines, module and name */
	PICKLE_INST = 'i',	    /* likewise; not written by Python 3 */
	PICKLE_STACK_GLOBAL = 0x93, /* module and name are the two strings pushed before */
};

struct pickle_op {
	uint8_t code;
	const uint8_t *arg; /* without a length prefix; inside the walked bytes */
	size_t arg_len;
};

struct pickle_walk {
	const uint8_t *at, *end;
};

/* Begins a walk over a stream of protocol 2 to 5. FH_ESYNTAX: it does not begin like one. */
int pickle_walk_init(struct pickle_walk *w, const void *data, size_t len) FH_MUST_USE;

/* Takes one step. 1: `ret_op` is the next opcode. 0: the final STOP, with nothing behind it.
 * FH_ESYNTAX: an unknown opcode, or the bytes end inside of one or without a STOP. */
int pickle_next(struct pickle_walk *w, struct pickle_op *ret_op) FH_MUST_USE;

/* Walks all of it: 0 or FH_ESYNTAX. */
int pickle_check(const void *data, size_t len) FH_MUST_USE;

/* The same, and whether one of the opcodes above is in it. */
int pickle_scan(const void *data, size_t len, bool *ret_names) FH_MUST_USE;

/* The same, and which modules its reader has to import: the top-level names of those that classes,
 * functions and modules are taken from by reference, as "mylab,numpy", by name. NULL: none; nothing
 * is allocated then, nor is there a second walk where nothing is named. What every Python has (the
 * standard library, __main__) and what a worker brings along (farhand) is left out, and so is what
 * does not fit into a task's needs (needs.h). The list is right for what pickle, cloudpickle and
 * dill write, and may be any subset for what nobody writes. FH_ESYNTAX, FH_ENOMEM. */
int pickle_modules(const void *data, size_t len, char **ret_modules) FH_MUST_USE;

/* The pickle of `module.name(text)`, for exceptions of the standard library. `module` and `name`
 * have at most 255 bytes; what is not UTF-8 in `text` is left out from there on. NULL: no memory.
 */
struct blob *pickle_exception(const char *module, const char *name, const char *text);

#endif
