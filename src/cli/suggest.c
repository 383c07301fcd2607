/* Decides which word a mistyped one was meant to be: the nearest by edit distance (a letter more,
 * less, another, or two swapped), and only one that is near. */
#include <string.h>

#include "cli/cli.h"

enum { WORD_MAX = 32, NEAR = 2 };

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Row by row; three rows are kept, the third because of swapped letters. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t rows[3][WORD_MAX + 1];
	for (size_t j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
		now[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			now[j] = least(least(last[j], now[j - 1]) + 1,
				       last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = least(now[j], before[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *cli_suggest(const char *word, const char *const *words, size_t count)
{
	const char *best = NULL;
	size_t len = strlen(word), best_distance = NEAR + 1;
	for (size_t i = 0; i < count && len <= WORD_MAX; i++) {
		size_t other = words[i] ? strlen(words[i]) : 0;
		if (other == 0 || other > WORD_MAX)
			continue;
		size_t d = distance(word, len, words[i], other);
		if (d < best_distance && d < other) {
			best_distance = d;
			best = words[i];
		}
	}
	return best;
}
