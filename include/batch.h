/*
 * batch.h - the record batch, magic 2: its header, what it must fulfil, its records.
 *
 * Owner: immutable (pure functions over bytes).
 *
 *   at  field                 at  field                    at  field
 *    0  baseOffset      i64   21  attributes     i16       43  producerId     i64
 *    8  batchLength     i32   23  lastOffsetDelta i32      51  producerEpoch  i16
 *   12  leaderEpoch     i32   27  baseTimestamp  i64       53  baseSequence   i32
 *   16  magic            i8   35  maxTimestamp   i64       57  recordsCount   i32
 *   17  crc             u32   (CRC-32C of bytes 21 to the end)
 *
 * Sources: Kafka DefaultRecordBatch.java, DefaultRecord.java, LogValidator.java.
 */
#ifndef MILLRACE_BATCH_H
#define MILLRACE_BATCH_H

#include "bytes.h"
#include "storage.h"

enum {
    BATCH_HEADER = 61,
    BATCH_LENGTH_AT = 8,
    BATCH_LENGTH_END = 12,
    BATCH_EPOCH_AT = 12,
    BATCH_MAGIC_AT = 16,
    BATCH_CRC_AT = 17,
    BATCH_ATTRIBUTES_AT = 21,
    BATCH_LAST_DELTA_AT = 23,
    BATCH_BASE_TIMESTAMP_AT = 27,
    BATCH_MAX_TIMESTAMP_AT = 35,
    BATCH_PRODUCER_ID_AT = 43,
    BATCH_PRODUCER_EPOCH_AT = 51,
    BATCH_BASE_SEQUENCE_AT = 53,
    BATCH_RECORDS_AT = 57,
    BATCH_CODEC_MASK = 7,
    BATCH_LOG_APPEND_TIME = 8,
    BATCH_TRANSACTIONAL = 16,
    BATCH_CONTROL = 32,
    BATCH_DELETE_HORIZON = 64,
};

/* A decoded header. */
struct batch {
    int64_t base_offset;
    uint32_t bytes; /* the whole batch: batchLength + 12 */
    int32_t leader_epoch;
    uint32_t crc;
    int16_t attributes;
    int32_t last_delta;
    int64_t base_timestamp, max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t records_n;
};

/* Reads the first BATCH_HEADER bytes. E_CORRUPT (length below the header or above 2^31-1-12),
 * E_BAD_MAGIC (magic 0, 1 or above 2; `bytes` is set when the length makes sense). No other checks.
 */
nodiscard int batch_header(const uint8_t *from, struct batch *out);

/* enum codec, or a number that none has. */
static inline uint8_t batch_codec(const struct batch *b)
{
    return (uint8_t)(b->attributes & BATCH_CODEC_MASK);
}
static inline bool batch_is_control(const struct batch *b)
{
    return (b->attributes & BATCH_CONTROL) != 0;
}
static inline bool batch_is_transactional(const struct batch *b)
{
    return (b->attributes & BATCH_TRANSACTIONAL) != 0;
}
/* Wraps where the bytes of a disk say nonsense. */
static inline int64_t batch_last_offset(const struct batch *b)
{
    return (int64_t)((uint64_t)b->base_offset + (uint64_t)(int64_t)b->last_delta);
}
/* The sequence of the last record; wraps from 2^31-1 to 0 (trap 27). */
static inline int32_t batch_last_sequence(const struct batch *b)
{
    return b->base_sequence < 0
               ? -1
               : (int32_t)(((uint32_t)b->base_sequence + (uint32_t)b->last_delta) & 0x7fffffff);
}

/* What a producer is answered when batch_header refused its batch with `error`, and why, in
 * append->reason: Kafka tells formats it once knew (0, 1: INVALID_RECORD) from formats it never
 * knew (CORRUPT). */
int batch_header_refused(const uint8_t *from, int error, struct append *append);

/* What a produced batch must fulfil beyond its checksum, from the header alone: sizes, counts, no
 * control batch, producer fields, codec by request version, timestamps (of compressed batches;
 * record_walk judges the others record by record). Sets append->reason on refusal, and
 * bad_record_at to -1. Internal appends (append->request_version < 0) may hold control batches and
 * zstd. */
nodiscard int batch_check_produced(const struct batch *b, const struct log_config *config,
                                   struct append *append, int64_t wall_ms);

/* A walk over uncompressed records that may be fed in fragments of any size (also from the middle
 * of a varint): the same verdict for every split. Checks lengths, offset deltas 0,1,2.., keys when
 * `need_keys`, timestamps in the range of the config; record attributes are unused in Kafka, any
 * value is taken. Key, value and header bytes are stepped over without being read.
 * E_INVALID_RECORD, E_INVALID_TIMESTAMP. */
struct record_walk {
    const struct log_config *config;
    int64_t base_timestamp;
    int64_t wall_ms;
    int64_t max_timestamp; /* out: largest seen */
    int32_t records_n;     /* whole records so far */
    bool need_keys;
    bool allows_gaps; /* set after init: offset deltas are no error, but told in ... */
    bool has_gaps;
    int error;
    int32_t bad_record_at;
    uint64_t inside[12];
};
void record_walk_init(struct record_walk *w, const struct batch *b, const struct log_config *config,
                      bool need_keys, int64_t wall_ms);
/* Returns 0 or the (sticky) error. */
int record_walk_feed(struct record_walk *w, const uint8_t *p, uint32_t n);
/* The same, cheaper, while the bytes grow at one place: stops before a record that is not whole
 * yet. Returns how many bytes were taken; the rest is given again when more stands behind it, or
 * to record_walk_feed when nothing more will stand there. */
uint32_t record_walk_feed_some(struct record_walk *w, const uint8_t *p, uint32_t n);
/* All records were seen and nothing was left over. */
int record_walk_end(struct record_walk *w, const struct batch *b);
/* The same verdict at once over records that stand in one piece behind the header: true when the
 * walk would find nothing wrong; false when it must look (also at what is only rare). */
bool record_walk_is_good(const struct batch *b, const struct log_config *config, int64_t wall_ms,
                         const uint8_t *records);
/* Why the walk refused, in the words Kafka has for it. "" when it did not. */
void record_walk_reason(const struct record_walk *w, const struct log_id *id,
                        char reason[APPEND_REASON_MAX]);

/* The records of a compressed batch as plain bytes in *out (heap, the caller's), at most `max`:
 * E_TOO_LARGE, E_CORRUPT, E_NO_MEMORY, E_BAD_CODEC. Not for a worker's turn. */
nodiscard int batch_inflate(const struct batch *batch, struct bytes records, uint32_t max,
                            struct bytes *out);

/* One record of plain (decompressed, contiguous) records; moves *at. 0, E_EOF at the end,
 * E_CORRUPT. */
struct record {
    int64_t timestamp_delta;
    int32_t offset_delta;
    struct bytes key, value; /* ptr NULL = null */
    struct bytes headers;    /* undecoded: count and pairs */
    uint8_t attributes;
};
nodiscard int record_next(struct bytes records, uint32_t *at, struct record *out);
/* Builds a batch of plain records (metadata log, internal topics, tests). See batch_build.c.
 * Owner: the caller; `to` is its memory. */
struct batch_builder {
    uint8_t *to;
    uint32_t n, max;
    int32_t records_n;
    int64_t base_timestamp, max_timestamp;
};
void batch_begin(struct batch_builder *b, uint8_t *to, uint32_t max);
nodiscard int batch_add(struct batch_builder *b, int64_t timestamp, struct bytes key,
                        struct bytes value);
/* The same with headers: encoded as in struct record (count and pairs); empty = none. */
nodiscard int batch_add_headers(struct batch_builder *b, int64_t timestamp, struct bytes key,
                                struct bytes value, struct bytes headers);
/* Fills the header (attributes, producer -1) and the CRC; returns the batch's bytes. */
uint32_t batch_end(struct batch_builder *b, int16_t attributes, int32_t leader_epoch);
/* Puts producer fields into a finished batch and renews its CRC (transaction markers, tests). */
void batch_stamp_producer(uint8_t *batch, int64_t producer_id, int16_t producer_epoch,
                          int32_t base_sequence);
/* Computes the CRC over a whole batch of `bytes` and writes it; batch_crc only computes. */
void batch_stamp_crc(uint8_t *batch, uint32_t bytes);
uint32_t batch_crc(const uint8_t *batch, uint32_t bytes);

#endif
