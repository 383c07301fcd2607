/* The only source of chance in a simulation: one stream a seed, so that a seed is a history. */
#ifndef FARHAND_SIM_RNG_H
#define FARHAND_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

/* splitmix64: any seed is a good one, neighbours included. */
static inline uint64_t rng_next(struct rng *r)
{
	uint64_t x = r->state += UINT64_C(0x9E3779B97F4A7C15);
	x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
	return x ^ (x >> 31);
}

/* 0..below-1; 0 for 0. */
static inline uint32_t rng_below(struct rng *r, uint32_t below)
{
	return below ? (uint32_t)((rng_next(r) >> 32) * below >> 32) : 0;
}

/* from..to, both included. */
static inline uint32_t rng_range(struct rng *r, uint32_t from, uint32_t to)
{
	return from + rng_below(r, to - from + 1);
}

static inline bool rng_chance(struct rng *r, uint32_t in_thousand)
{
	return rng_below(r, 1000) < in_thousand;
}

/* Small numbers often, large ones now and then: a range is entered at every scale. */
static inline uint32_t rng_skewed(struct rng *r, uint32_t max)
{
	return rng_below(r, rng_below(r, max) + 1);
}

#endif
