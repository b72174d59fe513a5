/*
 * repack.c - a batch inflated, its records judged, and compressed as its topic wants it.
 *
 * Owner: bulk. Pure but for the helper's memory and the batch it makes. Sources: Kafka
 * LogValidator.validateMessagesAndAssignOffsetsCompressed and buildRecordsAndAssignOffsets,
 * MemoryRecordsBuilder.
 *
 * Steps: checksum -> inflate, within a bound -> walk over the records (shape, keys, times, count)
 * -> if the codec differs, or offset deltas have gaps: compress -> header. A batch that stays as it
 * is only gets the largest timestamp of its records told.
 *
 * Records are compressed as they are, byte for byte, but for two cases in which they are written
 * anew, as Kafka does always: gaps (old clients counted wrongly), and a first record that is not at
 * the base timestamp. The header keeps producer, epoch, sequence and the transactional bit; codec,
 * timestamps, length and checksum are new.
 */
#include "repack.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "crc.h"
#include "helper.h"

/* A varint of a new delta is at most ten bytes, that of an offset five, and both may lengthen the
 * record's length. */
enum { RECORD_GROWTH_MAX = 20 };

printf_like(3, 4) static int refuse(struct repack *r, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->reason, sizeof r->reason, format, args);
    va_end(args);
    return error;
}

static const char *codec_name(uint8_t codec)
{
    static const char *const names[CODECS_N] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
    return names[codec];
}

/* The batch in one piece: where it stands, or a copy. */
static int whole_of(struct helper *h, const struct repack *r, struct bytes *whole)
{
    struct slices_at at = r->at;
    uint32_t n = r->batch.bytes;
    const struct slice *first = &r->from->v[at.i];
    if (first->n - at.at >= n) {
        *whole = bytes_of(first->ptr + at.at, n);
        return 0;
    }
    int error = plain_reserve(&h->whole, n);
    if (error < 0)
        return error;
    slices_copy(r->from, &at, h->whole.v, n);
    *whole = bytes_of(h->whole.v, n);
    return 0;
}

/* How much the records may be: what is not to be compressed must fit the topic's limit itself. */
static uint32_t plain_max(const struct repack *r)
{
    uint32_t max = r->config.max_message_bytes;
    if (r->config.codec != CODEC_NONE)
        return REPACK_PLAIN_BYTES_MAX;
    return max < BATCH_HEADER ? 0 : (uint32_t)min_u64(max - BATCH_HEADER, REPACK_PLAIN_BYTES_MAX);
}

static int inflate(struct helper *h, struct repack *r, struct bytes whole, struct bytes *records)
{
    uint8_t codec = batch_codec(&r->batch);
    uint32_t max = plain_max(r);
    int error = 0;
    *records = bytes_of(whole.ptr + BATCH_HEADER, whole.n - BATCH_HEADER);
    if (codec == CODEC_NONE) {
        error = records->n > max ? E_TOO_LARGE : 0;
    } else {
        error = plain_decompress(&h->plain, codec, *records, max);
        *records = bytes_of(h->plain.v, h->plain.n);
    }
    if (error == E_TOO_LARGE)
        return refuse(r, error, "The records of the batch are more than %u bytes uncompressed",
                      max);
    if (error == E_CORRUPT)
        return refuse(r, error,
                      "The records of the batch are not what its compression type, %s, says",
                      codec_name(codec));
    return error < 0 ? refuse(r, error, "%s", error_text(error)) : 0;
}

static int judge(struct repack *r, struct bytes records, bool *has_gaps)
{
    struct record_walk walk;
    record_walk_init(&walk, &r->batch, &r->config, r->config.is_compacted, r->wall_ms);
    walk.allows_gaps = true;
    (void)record_walk_feed(&walk, records.ptr, records.n); /* its error is sticky */
    int error = record_walk_end(&walk, &r->batch);
    r->max_timestamp = walk.max_timestamp;
    *has_gaps = walk.has_gaps;
    if (error == 0)
        return 0;
    r->bad_record_at = walk.bad_record_at;
    record_walk_reason(&walk, &r->id, r->reason);
    return error;
}

/* The same records, counted 0, 1, 2 .. and from the time of the first. */
static int rebuild(struct helper *h, struct repack *r, struct bytes *records)
{
    struct batch_builder b;
    struct record record;
    uint32_t at = 0;
    uint64_t room =
        BATCH_HEADER + records->n + (uint64_t)RECORD_GROWTH_MAX * (uint64_t)r->batch.records_n;
    int error = plain_reserve(&h->built, min_u64(room, BATCH_HEADER + REPACK_PLAIN_BYTES_MAX));
    if (error < 0)
        return refuse(r, error, "%s", error_text(error));
    batch_begin(&b, h->built.v, h->built.max);
    while (error == 0 && (error = record_next(*records, &at, &record)) == 0) {
        int64_t time =
            (int64_t)((uint64_t)r->batch.base_timestamp + (uint64_t)record.timestamp_delta);
        error = batch_add_headers(&b, time, record.key, record.value, record.headers);
    }
    if (error != E_EOF)
        return refuse(r, error, "%s", error_text(error));
    r->batch.base_timestamp = b.base_timestamp;
    *records = bytes_of(h->built.v + BATCH_HEADER, b.n - BATCH_HEADER);
    return 0;
}

static bool begins_at_base(struct bytes records)
{
    struct record first;
    uint32_t at = 0;
    return record_next(records, &at, &first) == 0 && first.timestamp_delta == 0;
}

static void header_put(const struct repack *r, const uint8_t *old, uint8_t *h, uint32_t bytes)
{
    int16_t attributes = (int16_t)(r->config.codec | (r->batch.attributes & BATCH_TRANSACTIONAL));
    memcpy(h, old, BATCH_HEADER);
    store_u32(h + BATCH_LENGTH_AT, bytes - BATCH_LENGTH_END);
    store_u16(h + BATCH_ATTRIBUTES_AT, (uint16_t)attributes);
    store_u64(h + BATCH_BASE_TIMESTAMP_AT, (uint64_t)r->batch.base_timestamp);
    store_u64(h + BATCH_MAX_TIMESTAMP_AT, (uint64_t)r->max_timestamp);
    batch_stamp_crc(h, bytes);
}

static int pack(struct repack *r, struct bytes whole, struct bytes records)
{
    uint8_t codec = r->config.codec;
    uint64_t max = codec_bytes_max(codec, records.n);
    uint8_t *to = malloc(BATCH_HEADER + max);
    if (to == NULL)
        return refuse(r, E_NO_MEMORY, "%s", error_text(E_NO_MEMORY));
    int64_t n =
        codec_compress(codec, r->config.codec_level, records, to + BATCH_HEADER, (uint32_t)max);
    if (n < 0 || n + BATCH_HEADER > r->config.max_message_bytes) {
        free(to);
        if (n < 0)
            return refuse(r, (int)n, "%s", error_text((int)n));
        return refuse(r, E_TOO_LARGE,
                      "The record batch is %lld bytes as its topic compresses it (%s), which "
                      "exceeds the maximum configured value of %u.",
                      (long long)n + BATCH_HEADER, codec_name(codec), r->config.max_message_bytes);
    }
    uint32_t bytes = BATCH_HEADER + (uint32_t)n;
    header_put(r, whole.ptr, to, bytes);
    uint8_t *shrunk = realloc(to, bytes);
    r->packed = (struct slice){shrunk == NULL ? to : shrunk, bytes, NULL};
    r->all = (struct slices){&r->packed, 1, bytes};
    return 0;
}

static int repack(struct helper *h, struct repack *r)
{
    struct bytes whole, records;
    bool has_gaps = false;
    int error = whole_of(h, r, &whole);
    if (error < 0)
        return refuse(r, error, "%s", error_text(error));
    if (batch_crc(whole.ptr, whole.n) != r->batch.crc)
        return refuse(r, E_CORRUPT, "The record batch's checksum is wrong.");
    error = inflate(h, r, whole, &records);
    if (error == 0)
        error = judge(r, records, &has_gaps);
    if (error < 0)
        return error;
    if (r->config.codec == CODEC_PRODUCER)
        r->config.codec = batch_codec(&r->batch);
    if (r->config.codec == batch_codec(&r->batch) && !has_gaps)
        return 0;
    if (has_gaps || !begins_at_base(records))
        error = rebuild(h, r, &records);
    return error < 0 ? error : pack(r, whole, records);
}

static void memory_trim(struct plain *plain)
{
    if (plain->max > REPACK_KEPT_BYTES_MAX)
        plain_fini(plain);
}

int bulk_repack(struct helper *helper, struct job *job)
{
    job->repack->error = repack(helper, job->repack);
    memory_trim(&helper->whole);
    memory_trim(&helper->plain);
    memory_trim(&helper->built);
    return job->repack->error;
}

void repack_memory_fini(struct helper *helper)
{
    plain_fini(&helper->whole);
    plain_fini(&helper->plain);
    plain_fini(&helper->built);
}
