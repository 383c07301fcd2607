/* What this machine offers, as far as this process may use it. */
#ifndef FARHAND_AGENT_HOST_H
#define FARHAND_AGENT_HOST_H

#include <stdint.h>

/* Processors; at least 1. */
uint32_t host_cores(void);

/* Bytes of memory: of the machine, or of our control group if that is allowed less; 0: unknown. */
uint64_t host_mem_bytes(void);

#endif
