/* Integers as bytes, little endian, as everything on the wire is. */
#ifndef FARHAND_WIRE_BYTES_H
#define FARHAND_WIRE_BYTES_H

#include <stdint.h>

static inline void bytes_put_u32(uint8_t *at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (8 * i));
}

static inline uint32_t bytes_get_u32(const uint8_t *at)
{
	return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline void bytes_put_u64(uint8_t *at, uint64_t v)
{
	bytes_put_u32(at, (uint32_t)v);
	bytes_put_u32(at + 4, (uint32_t)(v >> 32));
}

static inline uint64_t bytes_get_u64(const uint8_t *at)
{
	return bytes_get_u32(at) | (uint64_t)bytes_get_u32(at + 4) << 32;
}

#endif
