/* Runs a fuzz target on files that are given, or lie in folders that are given, and on some
 * mutations of each: the corpus as a regression test where libFuzzer is not linked. The mutations
 * are the same in every run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MUTATIONS = 64, GROWTH = 16 };

static unsigned inputs;
static uint64_t random_state = 88172645463325252u;

static size_t below(size_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return bound ? (size_t)(random_state % bound) : 0;
}

/* One to three changes: a bit, a byte, a cut, a piece that is there twice. */
static size_t mutate(uint8_t *data, size_t size)
{
	for (size_t changes = 1 + below(3); changes; changes--) {
		size_t at = below(size), len = below(GROWTH / 4);
		if (size == 0)
			break;
		switch (below(4)) {
		case 0:
			data[at] ^= (uint8_t)(1u << below(8));
			break;
		case 1:
			data[at] = (uint8_t)below(256);
			break;
		case 2:
			len = len < size - at ? len : size - at;
			memmove(data + at, data + at + len, size - at - len);
			size -= len;
			break;
		default:
			len = len < size - at ? len : size - at;
			memmove(data + at + len, data + at, size - at);
			size += len;
			break;
		}
	}
	return size;
}

/* In memory of exactly its size, so that a step too far is seen. */
static void run(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	if (size)
		memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	inputs++;
}

static void run_mutations(const uint8_t *data, size_t size)
{
	for (int i = 0; i < MUTATIONS; i++) {
		uint8_t *changed = malloc(size + GROWTH);
		if (!changed)
			abort();
		memcpy(changed, data, size);
		run(changed, mutate(changed, size));
		free(changed);
	}
}

static int replay_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	int ret = f && data && fread(data, 1, size, f) == size ? 0 : -1;
	if (ret == 0) {
		run(data, size);
		run_mutations(data, size);
	} else {
		perror(path);
	}
	free(data);
	if (f)
		(void)fclose(f);
	return ret;
}

static int replay(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path, (size_t)st.st_size);
	DIR *d = opendir(path);
	int ret = d ? 0 : -1;
	for (struct dirent *e; d && ret == 0 && (e = readdir(d)) != NULL;) {
		char name[4096];
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof name, "%s/%s", path, e->d_name);
		ret = replay(name);
	}
	if (d)
		(void)closedir(d);
	return ret;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]) < 0)
			return 1;
	}
	(void)printf("%u inputs\n", inputs);
	return inputs == 0;
}
