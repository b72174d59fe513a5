/*
 * replay.c - runs a fuzz target over saved inputs, without a fuzzer.
 *
 * Owner: the test program.
 *
 *   replay corpus/<name>     every file of the folder, in a copy of exactly its size, so that the
 * sanitizers see a read beyond the end; and the empty input, and every file cut in half.
 *
 * Ends with "N passed, 0 failed, 0 skipped"; an input that breaks the target ends the process
 * before that.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { INPUT_BYTES_MAX = 16 << 20, PATH_BYTES = 4096 };

static void replay_bytes(const uint8_t *from, size_t n)
{
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    if (copy == NULL)
        abort();
    memcpy(copy, from, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static int replay_file(const char *path, uint8_t *room)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        perror(path);
        return 1;
    }
    size_t n = fread(room, 1, INPUT_BYTES_MAX, f);
    fclose(f);
    fprintf(stderr, "%s\n", path); /* the last line before a crash names the input */
    replay_bytes(room, n);
    replay_bytes(room, n / 2);
    return 0;
}

int main(int argc, char **argv)
{
    uint8_t *room = malloc(INPUT_BYTES_MAX);
    unsigned passed_n = 1, failed_n = 0;
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;

    if (room == NULL)
        return 1;
    replay_bytes((const uint8_t *)"", 0);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[PATH_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (replay_file(path, room) == 0)
            passed_n++;
        else
            failed_n++;
    }
    if (dir != NULL)
        closedir(dir);
    free(room);
    printf("%u passed, %u failed, 0 skipped\n", passed_n, failed_n);
    return failed_n > 0;
}
