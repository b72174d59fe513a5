/*
 * paths.c - the names of files and directories of a log, as Kafka's LogFileUtils and UnifiedLog
 * make them.
 *
 * Owner: immutable (pure functions).
 *
 *   <directory>/<20 digits of the base offset><suffix>       a file of a segment
 *   <store>/<topic>-<partition>                               a partition's directory
 *
 * A path that does not fit DISK_PATH_MAX is our own mistake: the length of the store's path is
 * judged when the directory is taken (directory.c), and a topic name has at most 249 characters.
 */
#include "jobs.h"

#include <stdio.h>

#include "check.h"

void segment_path(char *to, const char *directory, int64_t base_offset, const char *suffix)
{
    check(base_offset >= 0);
    int n = snprintf(to, DISK_PATH_MAX, "%s/%020lld%s", directory, (long long)base_offset, suffix);
    check(n > 0 && n < DISK_PATH_MAX);
}

void log_directory_path(char *to, const char *store, struct bytes topic, int32_t partition)
{
    check(topic.n > 0 && partition >= 0);
    int n = snprintf(to, DISK_PATH_MAX, "%s/%.*s-%d", store, (int)topic.n, (const char *)topic.ptr,
                     partition);
    check(n > 0 && n < DISK_PATH_MAX);
}
