/*
 * batch.c - the header of a record batch: reading it and judging it.
 *
 * Owner: immutable (pure functions over bytes).
 *
 * The rules are those of Kafka's ProduceRequest.validateRecords,
 * UnifiedLog.analyzeAndValidateRecords and LogValidator.validateBatch, in the order in which Kafka
 * applies them, so that a batch with two faults is refused for the same one. Reasons are short
 * texts for the client; the error decides what it does.
 *
 * Does not look at records (record_walk.c), sequences (producers.c) or the checksum: the caller
 * computes the CRC in the pass that copies.
 */
#include "batch.h"

#include <stdarg.h>
#include <stdio.h>

#include "crc.h"

enum {
    BATCH_BODY_MIN = BATCH_HEADER - BATCH_LENGTH_END, /* batchLength of an empty batch */
    OLD_BODY_MIN = 14,    /* magic 0: crc, magic, attributes, key, value    */
    ZSTD_VERSION_MIN = 7, /* Produce from which zstd is known (KIP-110)     */
};

int batch_header(const uint8_t *from, struct batch *out)
{
    *out = (struct batch){.base_offset = load_i64(from)};
    int32_t length = load_i32(from + BATCH_LENGTH_AT);
    uint8_t magic = from[BATCH_MAGIC_AT];
    if (length < OLD_BODY_MIN || length > INT32_MAX - BATCH_LENGTH_END)
        return E_CORRUPT;
    if (magic == 2 && length < BATCH_BODY_MIN)
        return E_CORRUPT;
    out->bytes = (uint32_t)length + BATCH_LENGTH_END;
    if (magic != 2)
        return E_BAD_MAGIC;
    out->leader_epoch = load_i32(from + BATCH_EPOCH_AT);
    out->crc = load_u32(from + BATCH_CRC_AT);
    out->attributes = load_i16(from + BATCH_ATTRIBUTES_AT);
    out->last_delta = load_i32(from + BATCH_LAST_DELTA_AT);
    out->base_timestamp = load_i64(from + BATCH_BASE_TIMESTAMP_AT);
    out->max_timestamp = load_i64(from + BATCH_MAX_TIMESTAMP_AT);
    out->producer_id = load_i64(from + BATCH_PRODUCER_ID_AT);
    out->producer_epoch = load_i16(from + BATCH_PRODUCER_EPOCH_AT);
    out->base_sequence = load_i32(from + BATCH_BASE_SEQUENCE_AT);
    out->records_n = load_i32(from + BATCH_RECORDS_AT);
    return 0;
}

/* Writes the reason and returns the error, so that a refusal is one statement. */
printf_like(3, 4) static int refuse(struct append *append, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(append->reason, sizeof append->reason, format, args);
    va_end(args);
    append->bad_record_at = -1;
    return error;
}

int batch_header_refused(const uint8_t *from, int error, struct append *append)
{
    uint8_t magic = from[BATCH_MAGIC_AT];
    if (error == E_CORRUPT)
        return refuse(append, E_CORRUPT, "Record batch length %d is not possible",
                      load_i32(from + BATCH_LENGTH_AT));
    if (magic > 2)
        return refuse(append, E_CORRUPT, "Invalid magic found in record: %d", (int8_t)magic);
    return refuse(append, E_INVALID_RECORD,
                  "Produce requests with version %d are only allowed to contain record batches "
                  "with magic version 2",
                  append->request_version);
}

static int check_codec(const struct batch *b, struct append *append)
{
    uint8_t codec = batch_codec(b);
    if (codec >= CODECS_N)
        return refuse(append, E_BAD_CODEC, "Unknown compression type id: %d", codec);
    if (codec == CODEC_ZSTD && append->request_version >= 0 && append->repack == NULL &&
        append->request_version < ZSTD_VERSION_MIN)
        return refuse(
            append, E_BAD_CODEC,
            "Produce requests with version %d are not allowed to use ZStandard compression",
            append->request_version);
    return 0;
}

static int check_counts(const struct batch *b, struct append *append)
{
    if (b->last_delta < 0)
        return refuse(append, E_INVALID_RECORD, "Batch has an invalid offset range: [0, %d]",
                      b->last_delta);
    if (b->records_n <= 0)
        return refuse(append, E_INVALID_RECORD, "Invalid reported count for record batch: %d",
                      b->records_n);
    if ((int64_t)b->last_delta + 1 != b->records_n)
        return refuse(append, E_INVALID_RECORD,
                      "Inconsistent batch offset range [0, %d] and count of records %d",
                      b->last_delta, b->records_n);
    return 0;
}

static int check_producer(const struct batch *b, struct append *append)
{
    if (b->producer_id < 0) {
        if (batch_is_transactional(b))
            return refuse(append, E_INVALID_RECORD,
                          "Transactional record batch without a producer id");
        return 0;
    }
    if (batch_is_control(b))
        return 0;
    if (b->base_sequence < 0)
        return refuse(append, E_INVALID_RECORD,
                      "Invalid sequence number %d in record batch with producerId %lld",
                      b->base_sequence, (long long)b->producer_id);
    if (b->producer_epoch < 0)
        return refuse(append, E_INVALID_RECORD,
                      "Invalid producer epoch %d in record batch with producerId %lld",
                      b->producer_epoch, (long long)b->producer_id);
    return 0;
}

static int check_timestamps(const struct batch *b, const struct log_config *config,
                            struct append *append, int64_t wall_ms)
{
    if (append->request_version >= 0 && (b->attributes & BATCH_LOG_APPEND_TIME))
        return refuse(append, E_INVALID_TIMESTAMP,
                      "Producer should not set timestamp type to LogAppendTime.");
    if (config->is_log_append_time || batch_codec(b) == CODEC_NONE)
        return 0;
    int64_t first = add_i64_saturated(wall_ms, -config->timestamp_before_max_ms);
    int64_t last = add_i64_saturated(wall_ms, config->timestamp_after_max_ms);
    const int64_t times[2] = {b->base_timestamp, b->max_timestamp};
    for (int i = 0; i < 2; i++)
        if (times[i] != -1 && (times[i] < first || times[i] > last))
            return refuse(
                append, E_INVALID_TIMESTAMP,
                "Timestamp %lld is out of range. The timestamp should be within [%lld, %lld]",
                (long long)times[i], (long long)first, (long long)last);
    return 0;
}

int batch_check_produced(const struct batch *b, const struct log_config *config,
                         struct append *append, int64_t wall_ms)
{
    bool is_client = append->request_version >= 0;
    int error = check_codec(b, append);
    if (error < 0)
        return error;
    if (is_client && b->base_offset != 0)
        return refuse(append, E_INVALID_RECORD,
                      "The baseOffset of the record batch should be 0, but it is %lld",
                      (long long)b->base_offset);
    if (b->bytes > config->max_message_bytes)
        return refuse(
            append, E_TOO_LARGE,
            "The record batch size is %u bytes which exceeds the maximum configured value of %u.",
            b->bytes, config->max_message_bytes);
    error = check_counts(b, append);
    if (error < 0)
        return error;
    if (is_client && batch_is_control(b))
        return refuse(append, E_INVALID_RECORD, "Clients are not allowed to write control records");
    error = check_producer(b, append);
    if (error < 0)
        return error;
    error = check_timestamps(b, config, append, wall_ms);
    if (error < 0)
        return error;
    append->reason[0] = '\0';
    append->bad_record_at = -1;
    return 0;
}

uint32_t batch_crc(const uint8_t *batch, uint32_t bytes)
{
    return crc_of(batch + BATCH_ATTRIBUTES_AT, bytes - BATCH_ATTRIBUTES_AT);
}

void batch_stamp_crc(uint8_t *batch, uint32_t bytes)
{
    store_u32(batch + BATCH_CRC_AT, batch_crc(batch, bytes));
}
