/*
 * repack.h - one batch on its way by bulk: looked into, or compressed anew, before it is appended.
 *
 * Owner: home; bulk while its job is under way. A store has REPACKS_MAX of them, made at boot.
 *
 * What bulk makes of a batch is what Apache Kafka's LogValidator makes of it: the records are
 * judged one by one, and where the codec is not the topic's, or their offsets have gaps, a batch of
 * the same records is built. Nothing in the log is looked at, so batches of one log may be with
 * bulk side by side and still be appended in their order.
 *
 * Memory: what is built is on the heap from bulk's malloc to the append, at most max.message.bytes
 * for each (a larger one is refused) and REPACK_BYTES_MAX for all of a store; while one is under
 * way bulk holds the batch, its records and what is built of them: REPACK_PLAIN_BYTES_MAX each.
 */
#ifndef MILLRACE_REPACK_H
#define MILLRACE_REPACK_H

#include "batch.h"
#include "plog.h"

enum {
    REPACK_BYTES_MAX = 16 << 20,       /* reserved by those of a store; one always may be more */
    REPACK_PLAIN_BYTES_MAX = 64 << 20, /* records of one batch, inflated                       */
    REPACK_KEPT_BYTES_MAX = 4 << 20,   /* of each of bulk's memories, from batch to batch      */
    REPACK_TOPIC_MAX = 249,
};

struct repack {
    struct list link; /* store.repacks_free */
    struct store *store;
    bool is_done;
    uint64_t reserved_bytes;
    /* in */
    struct batch batch;
    const struct slices *from; /* the sender's, who keeps it until it is done */
    struct slices_at at;
    struct log_config config;
    int64_t wall_ms;
    struct log_id id; /* its topic is `topic` */
    char topic[REPACK_TOPIC_MAX + 1];
    /* out */
    int error;
    int32_t bad_record_at;
    char reason[APPEND_REASON_MAX];
    int64_t max_timestamp; /* of its records */
    struct slice packed;   /* heap; ptr NULL: the batch stays as it is */
    struct slices all;     /* that slice */
};

nodiscard int repacks_init(struct store *store);
void repacks_fini(struct store *store);
/* Whether the batch, whose header is good, has to go by bulk. Inline: asked for every append. */
static inline bool repack_is_due(const struct plog *log, const struct append *append,
                                 const struct batch *b)
{
    uint8_t codec = batch_codec(b), wanted = log->config.codec;
    if (likely(wanted == CODEC_PRODUCER && !log->store->config.is_inflating))
        return false;
    if (append->request_version < 0 || append->keep_offsets || batch_is_control(b))
        return false;
    return wanted != CODEC_PRODUCER && wanted != codec
               ? true
               : codec != CODEC_NONE && log->store->config.is_inflating;
}
/* Sends it. E_AGAIN always: append->repack is set, or no place is free. */
nodiscard int repack_begin(struct plog *log, struct append *append, const struct batch *b,
                           int64_t wall_ms);
/* What bulk said, when it is done: 0, or the error with its reason in `append`. */
nodiscard int repack_verdict(const struct repack *repack, struct append *append);

#endif
