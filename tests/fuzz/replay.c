/*
 * replay.c - runs a target on files: `fuzz_NAME LIST`, a file with a path a line. What the corpus
 * has found once stays found, with every compiler, sanitizer and platform.
 */
#include <stdbool.h>
#include <stdio.h>

#include "tests/fuzz/fuzz.h"

#define FILE_BYTES_MAX (1u << 20) /* libFuzzer's own limit */
#define PATH_BYTES     4096

static uint8_t bytes[FILE_BYTES_MAX];

static bool replay(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        (void)fprintf(stderr, "%s: cannot be opened\n", path);
        return false;
    }
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    (void)printf("%s\n", path);
    (void)fflush(stdout); /* names the one that aborts */
    uint8_t *exact = fuzz_exact(bytes, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return true;
}

int main(int argc, char **argv) {
    char path[PATH_BYTES];
    unsigned count = 0;
    FILE *list = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (list == NULL) {
        (void)fprintf(stderr, "want the name of a list of files, one a line\n");
        return 1;
    }
    while (fgets(path, sizeof(path), list) != NULL) {
        path[strcspn(path, "\r\n")] = '\0';
        if (!replay(path)) {
            return 1;
        }
        count++;
    }
    (void)fclose(list);
    (void)printf("%u inputs\n", count);
    return count > 0 ? 0 : 1;
}
