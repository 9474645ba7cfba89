// SPDX-License-Identifier: BSD-3-Clause
//
// Stands in for libFuzzer in the ordinary builds: gives a target each file of its corpus once, so that
// the seeds run with every ./run test and without clang. A target that finds something aborts.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len);

static void die(const char *what, const char *name)
{
	fprintf(stderr, "seeds: %s: ", name);
	perror(what);
	exit(2);
}

// The bytes are on the heap and no longer than they are: a read beyond them is one that ASan sees.
static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *in;
	long len = -1;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0)
		die("cannot be read", path);
	rewind(f);
	in = malloc((size_t)len);
	if ((in == NULL && len > 0) || fread(in, 1, (size_t)len, f) != (size_t)len)
		die("cannot be read", path);
	fclose(f);
	printf("%s: %ld bytes\n", path, len);
	fflush(stdout); // it may be the last thing that is said
	LLVMFuzzerTestOneInput(in, (size_t)len);
	free(in);
}

int main(int argc, char **argv)
{
	unsigned int ran = 0;
	struct dirent *e;
	char path[4096];
	DIR *dir;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	dir = opendir(argv[1]);
	if (dir == NULL)
		die("cannot be opened", argv[1]);
	if (LLVMFuzzerInitialize != NULL)
		LLVMFuzzerInitialize(&argc, &argv);
	while ((e = readdir(dir)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		run_file(path);
		ran++;
	}
	closedir(dir);
	printf("%u seeds\n", ran);
	return ran == 0;
}
