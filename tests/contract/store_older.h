/* A database as an older Farhand has left it, so that a start migrates it. */
#ifndef FARHAND_TESTS_STORE_OLDER_H
#define FARHAND_TESTS_STORE_OLDER_H

/* Makes the file, of version 1. Tasks (id_of()): 10 waits after a failed attempt and a loss; 11, of
 * account 7 and in the lane "old", is delayed until 9 and may have started once; 12, of the same
 * lane, is COMPLETED with the value "v". The generation was 41. */
void make_older_database(const char *path);

#endif
