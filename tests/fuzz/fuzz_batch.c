/*
 * fuzz_batch.c - a batch of any bytes: its header, its records, and the same verdict for every
 * split of them.
 *
 * Owner: the fuzzer.
 *
 * The first byte seeds the splits and says whether keys are needed; the rest is the batch.
 */
#include "batch.h"

#include "check.h"
#include "fuzz.h"
#include "prng.h"

struct verdict {
    int error;
    int32_t records_n, bad_record_at;
    int64_t max_timestamp;
    char reason[APPEND_REASON_MAX];
};

static const struct log_config config = {
    .max_message_bytes = 1 << 20,
    .timestamp_before_max_ms = INT64_MAX,
    .timestamp_after_max_ms = 3600000,
};

/* With is_growing, the pieces stand side by side, and what was not taken comes again. */
static struct verdict walk(const struct batch *b, struct bytes records, bool need_keys,
                           struct prng *prng, uint32_t piece_max, bool is_growing)
{
    static const struct log_id id = {.topic = {(const uint8_t *)"t", 1}};
    struct record_walk w;
    record_walk_init(&w, b, &config, need_keys, 1700000000000);
    for (uint32_t at = 0, from = 0; at < records.n;) {
        uint32_t n = piece_max == 0 ? records.n : 1 + (uint32_t)prng_below(prng, piece_max);
        at += n < records.n - at ? n : records.n - at;
        if (is_growing && at < records.n && (at & 15) != 0) {
            from += record_walk_feed_some(&w, records.ptr + from, at - from);
        } else {
            record_walk_feed(&w, records.ptr + from, at - from);
            from = at;
        }
    }
    record_walk_end(&w, b);
    struct verdict v = {.error = w.error,
                        .records_n = w.records_n,
                        .bad_record_at = w.bad_record_at,
                        .max_timestamp = w.max_timestamp};
    record_walk_reason(&w, &id, v.reason);
    return v;
}

static void walk_every_split(const struct batch *b, struct bytes records, uint8_t seed)
{
    static const uint32_t pieces[] = {1, 2, 3, 7, 50};
    struct prng prng;
    bool need_keys = seed & 1;
    prng_init(&prng, seed);
    struct verdict whole = walk(b, records, need_keys, &prng, 0, false);
    for (size_t i = 0; i < 2 * array_n(pieces); i++) {
        struct verdict split = walk(b, records, need_keys, &prng, pieces[i / 2], (i & 1) == 1);
        check(split.error == whole.error && split.records_n == whole.records_n);
        check(split.bad_record_at == whole.bad_record_at &&
              split.max_timestamp == whole.max_timestamp);
        check(strcmp(split.reason, whole.reason) == 0);
    }
    struct batch at_once = *b;
    struct log_config strict = config;
    at_once.bytes = records.n + BATCH_HEADER;
    strict.is_compacted = need_keys;
    check(whole.error == 0 || !record_walk_is_good(&at_once, &strict, 1700000000000, records.ptr));
    /* What the walk takes, the reader of single records takes too. */
    struct record r;
    uint32_t at = 0;
    int32_t n = 0;
    int error;
    while ((error = record_next(records, &at, &r)) == 0)
        n++;
    check(whole.error != 0 || (error == E_EOF && n == b->records_n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct batch b;
    if (n < 1 + BATCH_HEADER)
        return 0;
    uint8_t seed = *data++;
    n--;
    struct append append = {.request_version = (int16_t)(seed & 15)};
    int error = batch_header(data, &b);
    if (error < 0)
        check(batch_header_refused(data, error, &append) < 0 && append.reason[0] != '\0');
    else
        check((batch_check_produced(&b, &config, &append, 1700000000000) == 0) ==
              (append.reason[0] == '\0'));
    walk_every_split(&b, bytes_of(data + BATCH_HEADER, n - BATCH_HEADER), seed);
    return 0;
}
