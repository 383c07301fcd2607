/* Ids for tests that count: each is a small number. */
#ifndef FARHAND_TESTS_NUMBER_IDS_H
#define FARHAND_TESTS_NUMBER_IDS_H

#include <string.h>

#include "base/id.h"

static inline struct fh_id id_of(unsigned number)
{
	struct fh_id id = { { 0 } };
	memcpy(id.b, &number, sizeof number);
	return id;
}

static inline unsigned number_of(struct fh_id id)
{
	unsigned number;
	memcpy(&number, id.b, sizeof number);
	return number;
}

#endif
