/*
 * coordinator_load.c - a partition of __consumer_offsets is read from its start and becomes groups
 * and offsets.
 *
 * Owner: control; the chunk under way belongs to the home worker.
 *
 * Chunks of COORDINATOR_LOAD_BYTES, one under way per partition, COORDINATOR_LOADS_MAX partitions
 * at once: between two chunks control serves whoever asks. A batch larger than a chunk makes the
 * buffer grow. Later records take the place of earlier ones, so a log that was never compacted
 * loads to the same state as one that was.
 *
 * Offsets of a transaction count when its commit marker comes, and not at all after an abort marker
 * or none. Compressed batches (Apache Kafka writes them with offsets.topic.compression.codec set)
 * are inflated one at a time, at most COORDINATOR_PLAIN_BYTES_MAX; a larger one fails the
 * partition. Offsets may have gaps, and batches may have lost all their records, control batches
 * too: compaction leaves them for their producer's sake. Records of newer kinds of groups are
 * stepped over and counted.
 */
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "group_next_host.h"
#include "kafka_codes.h"

enum { BUFFER_BYTES_MAX = 128 << 20, DECODE_ARENA_MAX = 128 << 20, MARKER_COMMIT = 1 };

/* Records of an open transaction: the batches' record bytes behind one another, each behind its
 * length (u32). Owner: its partition. */
struct load_transaction {
    struct load_transaction *next;
    int64_t producer_id;
    uint8_t *v;
    uint64_t n;
};

/* ── one record ── */

static int apply_offset(struct coordinator *co, int32_t partition, const struct group_record *r)
{
    struct groups *groups = &co->groups;
    struct group *group = group_find(groups, r->group);
    if (group == NULL && r->is_gone)
        return 0;
    int e = group == NULL ? group_new(groups, r->group, partition, co->control->now, &group) : 0;
    if (e == 0 && group->offsets == NULL) {
        if (r->is_gone)
            return 0;
        e = offsets_new(&group->offsets, groups->hash_seed);
        groups->bytes += e == 0 ? offsets_bytes(group->offsets) : 0;
    }
    if (e < 0)
        return e;
    groups->bytes -= offsets_bytes(group->offsets);
    if (r->is_gone)
        offsets_remove(group->offsets, r->offset.topic, r->offset.partition);
    else
        e = offsets_set(group->offsets, &r->offset);
    groups->bytes += offsets_bytes(group->offsets);
    return e;
}

static int apply_metadata(struct coordinator *co, int32_t partition, const struct group_record *r)
{
    struct group *group = group_find(&co->groups, r->group);
    if (group == NULL && r->is_gone)
        return 0;
    int e =
        group == NULL ? group_new(&co->groups, r->group, partition, co->control->now, &group) : 0;
    return e < 0 ? e : group_restore(group, r->metadata);
}

int coordinator_apply(struct coordinator *co, int32_t partition, struct bytes key,
                      struct bytes value, struct arena *arena, bool is_live)
{
    struct group_record r;
    int e = group_record_decode(key, value, arena, &r);
    if (e == 0 && r.kind == GROUP_RECORD_OTHER)
        return is_live ? 0 : next_host_apply(co, partition, key, value, arena);
    if (e == E_MALFORMED || e == E_UNSUPPORTED) {
        co->partitions[partition].skipped_n++;
        return 0;
    }
    co->commits_n += e == 0 && is_live && r.kind == GROUP_RECORD_OFFSET && !r.is_gone;
    if (e == 0 && r.kind == GROUP_RECORD_OFFSET)
        e = apply_offset(co, partition, &r);
    else if (e == 0 && !is_live)
        e = apply_metadata(co, partition, &r);
    return e;
}

static int apply_records(struct coordinator *co, struct coordinator_partition *p,
                         struct bytes records)
{
    struct arena arena;
    struct record record;
    uint32_t at = 0;
    int e;
    arena_init(&arena, NULL, NULL, DECODE_ARENA_MAX);
    while ((e = record_next(records, &at, &record)) == 0) {
        e = coordinator_apply(co, p->number, record.key, record.value, &arena, false);
        if (e < 0)
            break;
        p->loaded_n++;
        if (arena.used_bytes > 1 << 20)
            arena_fini(&arena);
    }
    arena_fini(&arena);
    return e == E_EOF ? 0 : e;
}

/* ── transactions ── */

static struct load_transaction *transaction_of(struct coordinator_partition *p, int64_t producer_id)
{
    struct load_transaction *t = p->transactions;
    while (t != NULL && t->producer_id != producer_id)
        t = t->next;
    return t;
}

static int transaction_add(struct coordinator_partition *p, int64_t producer_id,
                           struct bytes records)
{
    struct load_transaction *t = transaction_of(p, producer_id);
    if (t == NULL) {
        t = calloc(1, sizeof *t);
        if (t == NULL)
            return E_NO_MEMORY;
        t->producer_id = producer_id;
        t->next = p->transactions;
        p->transactions = t;
    }
    uint8_t *more = realloc(t->v, t->n + 4 + records.n);
    if (more == NULL)
        return E_NO_MEMORY;
    t->v = more;
    store_u32(t->v + t->n, records.n);
    memcpy(t->v + t->n + 4, records.ptr, records.n);
    t->n += 4 + records.n;
    return 0;
}

static int transaction_end(struct coordinator *co, struct coordinator_partition *p,
                           int64_t producer_id, bool is_commit)
{
    struct load_transaction *t = transaction_of(p, producer_id), **link = &p->transactions;
    int e = 0;
    if (t == NULL)
        return 0;
    for (uint64_t at = 0; is_commit && e == 0 && at < t->n; at += 4 + load_u32(t->v + at))
        e = apply_records(co, p, bytes_of(t->v + at + 4, load_u32(t->v + at)));
    while (*link != t)
        link = &(*link)->next;
    *link = t->next;
    free(t->v);
    free(t);
    return e;
}

static int control_batch(struct coordinator *co, struct coordinator_partition *p,
                         const struct batch *batch, struct bytes records)
{
    struct record record;
    uint32_t at = 0;
    if (batch->records_n == 0)
        return 0; /* compaction has kept it for its producer's epoch, after all it ended was gone */
    int e = record_next(records, &at, &record);
    if (e < 0 || record.key.ptr == NULL || record.key.n < 4)
        return E_CORRUPT;
    return transaction_end(co, p, batch->producer_id,
                           load_i16(record.key.ptr + 2) == MARKER_COMMIT);
}

/* ── chunks ── */

static int batch_apply(struct coordinator *co, struct coordinator_partition *p,
                       const struct batch *batch, struct bytes records)
{
    struct bytes plain = {NULL, 0};
    int e = 0;
    if (batch->records_n == 0)
        return 0;
    if (batch_codec(batch) != CODEC_NONE) {
        e = batch_inflate(batch, records, COORDINATOR_PLAIN_BYTES_MAX, &plain);
        records = plain;
    }
    if (e == 0 && batch_is_control(batch))
        e = control_batch(co, p, batch, records);
    else if (e == 0 && batch_is_transactional(batch))
        e = transaction_add(p, batch->producer_id, records);
    else if (e == 0)
        e = apply_records(co, p, records);
    free((void *)(uintptr_t)plain.ptr);
    return e;
}

static int chunk_apply(struct coordinator *co, struct coordinator_partition *p)
{
    const uint8_t *at = p->load.buffer, *end = at + p->load.bytes;
    while (end - at >= BATCH_HEADER) {
        struct batch batch;
        int e = batch_header(at, &batch);
        if (e == 0 && batch.bytes > (uint64_t)(end - at))
            e = E_CORRUPT;
        if (e == 0)
            e = batch_apply(co, p, &batch, bytes_of(at + BATCH_HEADER, batch.bytes - BATCH_HEADER));
        if (e < 0)
            return e;
        p->load.offset = batch_last_offset(&batch) + 1;
        at += batch.bytes;
    }
    return at == end ? 0 : E_CORRUPT;
}

void load_end(struct coordinator_partition *p)
{
    if (p->is_loading)
        return; /* the worker writes into the buffer; load_back ends it */
    while (p->transactions != NULL) {
        struct load_transaction *t = p->transactions;
        p->transactions = t->next;
        free(t->v);
        free(t);
    }
    free(p->load.buffer);
    p->load.buffer = NULL;
}

static void chunk_ask(struct coordinator *co, struct coordinator_partition *p)
{
    p->is_loading = true;
    co->away_n++;
    mail_send(co->control->post, p->home, MAIL_LOAD, &p->load.mail);
}

/* Everything was read: who is a member begins its session, what is nothing any more goes. */
static void loaded(struct coordinator *co, struct coordinator_partition *p)
{
    int e = 0;
    p->state = COORDINATOR_ACTIVE;
    list_for_each(l, next, &co->groups.partitions[p->number]) {
        struct group *group = list_entry(l, struct group, partition_link);
        if (e == 0 && group->next != NULL)
            e = next_host_loaded(co, group);
        if (group->next == NULL && !group->has_record &&
            (group->offsets == NULL || offsets_n(group->offsets) == 0))
            group_free(group, KAFKA_NOT_COORDINATOR);
        else
            group_restored(group, co->control->now);
    }
    if (e < 0)
        coordinator_partition_fail(co, p);
}

void load_begin(struct coordinator *co, struct coordinator_partition *p)
{
    p->load.topic_id = co->topic_id;
    p->load.partition = p->number;
    p->load.offset = 0;
    p->load.bytes_max = COORDINATOR_LOAD_BYTES;
    p->load.buffer = malloc(COORDINATOR_LOAD_BYTES);
    if (p->load.buffer == NULL) {
        coordinator_partition_fail(co, p);
        return;
    }
    co->loads_n++;
    chunk_ask(co, p);
}

/* A larger buffer for a larger batch. */
static int buffer_grow(struct coordinator_partition *p)
{
    uint8_t *more =
        p->load.bytes > BUFFER_BYTES_MAX ? NULL : realloc(p->load.buffer, p->load.bytes);
    if (more == NULL)
        return E_NO_MEMORY;
    p->load.buffer = more;
    p->load.bytes_max = p->load.bytes;
    return 0;
}

void load_back(struct coordinator *co, struct coordinator_partition *p)
{
    int e = p->load.error;
    bool is_over = e == 0 && p->load.bytes == 0;
    p->is_loading = false;
    if (p->state != COORDINATOR_LOADING) {
        co->loads_n--;
        load_end(p);
        return;
    }
    if (e == E_TOO_LARGE)
        e = buffer_grow(p);
    else if (e == 0 && !is_over)
        e = chunk_apply(co, p);
    if (e == 0 && !is_over) {
        chunk_ask(co, p);
        return;
    }
    co->loads_n--;
    if (e < 0) {
        coordinator_partition_fail(co, p);
        return;
    }
    load_end(p);
    loaded(co, p);
}
