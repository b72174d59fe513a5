/*
 * fuzz_checkpoint.c - small files of any bytes: checkpoints, epochs, producer snapshots,
 * properties, indexes. What is taken is written and read again, and is the same then.
 *
 * Owner: the fuzzer.
 *
 * The first byte chooses the kind of file.
 */
#include <stdlib.h>

#include "check.h"
#include "checkpoint.h"
#include "disk_tools.h"
#include "epochs.h"
#include "fuzz.h"
#include "index.h"
#include "producers.h"
#include "properties.h"
#include "sweep.h"

static void try_checkpoint(struct bytes text)
{
    struct checkpoints *c = checkpoints_new(), *again = checkpoints_new();
    struct bytes first, second;
    if (checkpoint_parse(c, CHECKPOINT_HIGH, text) == 0) {
        check(checkpoint_text(c, CHECKPOINT_HIGH, &first) == 0);
        check(checkpoint_parse(again, CHECKPOINT_HIGH, first) == 0);
        check(checkpoint_text(again, CHECKPOINT_HIGH, &second) == 0);
        check(bytes_equal(first, second));
        file_read_free(&first);
        file_read_free(&second);
    }
    checkpoints_free(c);
    checkpoints_free(again);
}

static void try_epochs(struct bytes text)
{
    struct epochs e = {NULL, 0, 0}, again = {NULL, 0, 0};
    int32_t found;
    int64_t end;
    if (epochs_parse(&e, text) == 0) {
        char *to = malloc(epochs_text_max(&e));
        uint64_t n = epochs_text(&e, to);
        check(n <= epochs_text_max(&e) && epochs_parse(&again, bytes_of(to, n)) == 0 &&
              again.n == e.n);
        epochs_end_of(&e, 5, 100, &found, &end);
        epochs_truncate_start(&e, 50);
        epochs_truncate_end(&e, 60);
        free(to);
    }
    epochs_fini(&e);
    epochs_fini(&again);
}

static void try_snapshot(struct bytes file)
{
    struct producer_pool *pool;
    struct producers p = {NULL, NULL, 0};
    check(producer_pool_init(&pool, 64) == 0);
    if (producers_snapshot_decode(pool, &p, file) == 0) {
        uint64_t n = producers_snapshot_bytes(&p);
        check(n <= file.n); /* a full pool forgets some */
        uint8_t *to = malloc(n);
        producers_snapshot_encode(&p, to);
        check(n != file.n || memcmp(to, file.ptr, 2) == 0);
        check(producers_snapshot_decode(pool, &p, bytes_of(to, n)) == 0);
        free(to);
    } else {
        check(p.n == 0 && p.first == NULL);
    }
    producers_clear(pool, &p);
    check(producer_pool_used(pool) == 0);
    producer_pool_fini(pool);
}

static void try_properties(struct bytes text)
{
    struct property p, again;
    while (property_next(&text, &p) == 0) {
        char to[4 * PROPERTY_MAX + 2];
        check(property_bytes_max(p.key, p.value) <= sizeof to);
        struct bytes line = bytes_of(to, property_write(to, p.key, p.value));
        /* Only an empty key is no line of its own, or begins like a comment or the next line. */
        if (p.key[0] == '\0')
            continue;
        check(property_next(&line, &again) == 0 && strcmp(p.key, again.key) == 0 &&
              strcmp(p.value, again.value) == 0);
    }
}

static void try_indexes(struct bytes file)
{
    int64_t found;
    int32_t relative;
    uint32_t n = index_count(file), times_n = time_index_count(file);
    check((uint64_t)n * INDEX_ENTRY <= file.n && (uint64_t)times_n * TIME_INDEX_ENTRY <= file.n);
    for (int32_t at = -1; at < 1000; at += 37) {
        index_find(bytes_of(file.ptr, (uint64_t)n * INDEX_ENTRY), at);
        time_index_find(bytes_of(file.ptr, (uint64_t)times_n * TIME_INDEX_ENTRY), at, &relative,
                        &found);
        check(found <= at);
    }
}

static void try_names(struct bytes text)
{
    char name[256];
    const char *suffix;
    struct bytes topic;
    int32_t partition;
    int64_t base_offset;
    uint32_t n = text.n < sizeof name - 1 ? text.n : (uint32_t)sizeof name - 1;
    memcpy(name, text.ptr, n);
    name[n] = '\0';
    check(!partition_name_parse(name, &topic, &partition) || (topic.n > 0 && partition >= 0));
    check(!segment_name_parse(name, &base_offset, &suffix) || base_offset >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static void (*const kinds[])(struct bytes) = {try_checkpoint, try_epochs,  try_snapshot,
                                                  try_properties, try_indexes, try_names};
    if (n < 1)
        return 0;
    kinds[data[0] % array_n(kinds)](bytes_of(data + 1, n - 1));
    return 0;
}
