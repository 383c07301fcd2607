/* A file system for SQLite that goes wrong on purpose: the n-th operation fails, or the power is
 * cut there. It stands between SQLite and the real one, counts every operation on a file, and does
 * not really sync, so a scenario can be run again for every n.
 *
 * After a cut every operation fails. fault_vfs_settle() then writes what a disk may hold: all that
 * was synced, and of what was written after that any part, down to single sectors. */
#ifndef FARHAND_TESTS_FAULT_VFS_H
#define FARHAND_TESTS_FAULT_VFS_H

#include <stdbool.h>
#include <stdint.h>

enum fault { FAULT_NONE, FAULT_ERROR, FAULT_FULL, FAULT_CUT };

/* Makes it the default of all connections that are opened from now on. */
void fault_vfs_install(void);
void fault_vfs_remove(void);

/* Counts from zero again, while no file is open; the operation number `at` (from 1 on) goes wrong.
 */
void fault_vfs_plan(enum fault fault, uint64_t at);

/* Operations since the plan, and whether the fault has happened. */
uint64_t fault_vfs_count(void);
bool fault_vfs_happened(void);

/* After a cut, when every file is closed, before the next plan: writes one of the possible disks,
 * chosen by `seed`. */
void fault_vfs_settle(uint64_t seed);

#endif
