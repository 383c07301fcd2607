/* Runs a fuzz target on files that are given, or lie in folders that are given: the corpus as a
 * regression test where libFuzzer is not linked. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

static int replay_file(const char *path, size_t size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = malloc(size ? size : 1);
	int ret = f && data && fread(data, 1, size, f) == size ? 0 : -1;
	if (ret == 0) {
		(void)LLVMFuzzerTestOneInput(data, size);
		inputs++;
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
