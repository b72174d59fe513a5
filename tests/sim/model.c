/*
 * model.c - what must be true of every partition, from what clients were told.
 *
 * Owner: the simulator.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "sim.h"

static struct sim_known *known(struct sim_log *log, int64_t offset)
{
    if (offset < 0 || offset >= SIM_RECORDS_MAX)
        return NULL;
    if (offset >= log->room) {
        int64_t room = max_i64(1024, max_i64(offset + 1, log->room * 2));
        log->v = realloc(log->v, (size_t)room * sizeof *log->v);
        check(log->v != NULL);
        memset(log->v + log->room, 0, (size_t)(room - log->room) * sizeof *log->v);
        log->room = room;
    }
    log->n = max_i64(log->n, offset + 1);
    return &log->v[offset];
}

static bool same(const struct sim_record *a, const struct sim_record *b)
{
    return a->producer == b->producer && a->where == b->where && a->number == b->number;
}

/* A producer that waits for no answer sent it to a topic that was deleted and made again meanwhile.
 */
static bool is_stray(const struct sim *s, const struct sim_record *r)
{
    return s->options.has_changes && r->producer < s->clients_n &&
           client_is_loose(s->clients[r->producer]);
}

/* Rule 2, and half of 1: what is known of an offset does not change. */
static struct sim_known *note(struct sim *s, uint32_t topic, int32_t partition, int64_t offset,
                              const struct sim_record *record, const char *how)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    struct sim_known *k = known(log, offset);
    if (k == NULL) {
        sim_fail(s, "%s %s-%d: offset %" PRId64 " is out of the model's range", how,
                 s->topics[topic].name, partition, offset);
        return NULL;
    }
    if (record->where != sim_where(s, topic, partition) && !is_stray(s, record)) {
        sim_fail(s,
                 "%s %s-%d at %" PRId64 ": the record belongs to partition %u of birth %u, not %u",
                 how, s->topics[topic].name, partition, offset, record->where & 0xff,
                 record->where >> 8, s->topics[topic].birth);
        return NULL;
    }
    if (k->is_known && !same(&k->record, record)) {
        sim_fail(s,
                 "%s %s-%d at %" PRId64 ": producer %u number %" PRIu64
                 ", but it %s producer %u number %" PRIu64,
                 how, s->topics[topic].name, partition, offset, record->producer, record->number,
                 k->is_acked || k->is_weak ? "was acknowledged as" : "was read as",
                 k->record.producer, k->record.number);
        return NULL;
    }
    k->record = *record;
    k->is_known = true;
    return k;
}

bool model_acked(struct sim *s, uint32_t topic, int32_t partition, int64_t offset,
                 const struct sim_record *record, int16_t acks)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    struct sim_known *k = note(s, topic, partition, offset, record, "acknowledged");
    if (k == NULL)
        return false;
    k->is_acked |= acks == -1;
    k->is_weak |= acks == 1;
    log->acked_end = max_i64(log->acked_end, offset + 1);
    s->acked_n++;
    return true;
}

bool model_seen(struct sim *s, uint32_t topic, int32_t partition, int64_t offset,
                const struct sim_record *record)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    struct sim_known *k = note(s, topic, partition, offset, record, "read");
    if (k == NULL)
        return false;
    k->is_seen = k->is_found = true;
    log->seen_end = max_i64(log->seen_end, offset + 1);
    s->seen_n++;
    return true;
}

/* ── compacted topics ── */

static uint32_t slot_of(const struct sim_record *r)
{
    return (uint32_t)(r->number % SIM_SLOTS);
}

/* Rule 7 for one key, whose last known record is `last`, and last found one `found`; -1: none. */
static bool check_key(struct sim *s, uint32_t topic, int32_t partition, int64_t last, int64_t found)
{
    const struct sim_log *log = &s->topics[topic].logs[partition];
    const char *name = s->topics[topic].name;
    if (last < 0 || found == last)
        return true;
    const struct sim_record *r = &log->v[last].record;
    bool has_later = log->tombstones[r->producer][slot_of(r)] > r->number;
    if (!r->is_tombstone && !has_later)
        return sim_fail(s, "%s-%d: the last record of a key, at %" PRId64 ", is gone", name,
                        partition, last);
    if (r->is_tombstone && !has_later && s->now.wall_ms - r->ms < SIM_HORIZON_MS)
        return sim_fail(s, "%s-%d: the tombstone at %" PRId64 " went before its horizon", name,
                        partition, last);
    if (found >= 0)
        return sim_fail(s, "%s-%d: %" PRId64 " is there, but the tombstone behind it is gone", name,
                        partition, found);
    return true;
}

static bool check_compacted(struct sim *s, uint32_t topic, int32_t partition, int64_t end)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    for (uint32_t p = 0; p < s->clients_n; p++) {
        for (uint32_t slot = 0; slot < SIM_SLOTS; slot++) {
            int64_t last = -1, found = -1;
            for (int64_t offset = 0; offset < end && offset < log->n; offset++) {
                const struct sim_known *k = &log->v[offset];
                if (!k->is_known || k->record.producer != p || slot_of(&k->record) != slot ||
                    k->record.where != sim_where(s, topic, partition))
                    continue;
                last = offset;
                found = k->is_found ? offset : found;
            }
            if (!check_key(s, topic, partition, last, found))
                return false;
        }
    }
    return true;
}

void model_rewind(struct sim *s)
{
    for (uint32_t t = 0; t < s->topics_n; t++)
        for (int32_t p = 0; p < s->topics[t].partitions_n; p++)
            for (int64_t offset = 0; offset < s->topics[t].logs[p].n; offset++)
                s->topics[t].logs[p].v[offset].is_found = false;
}

/* Rule 4 over the whole partition. Behind a start that moved the numbers begin anywhere. */
static bool check_order(struct sim *s, uint32_t topic, int32_t partition, int64_t start,
                        int64_t end)
{
    struct {
        uint64_t next;
        uint16_t life;
        bool has_begun;
    } lives[SIM_CLIENTS_MAX][SIM_LIVES] = {0};
    struct sim_log *log = &s->topics[topic].logs[partition];
    for (int64_t offset = start; offset < end; offset++) {
        const struct sim_record *r = &log->v[offset].record;
        bool is_strict;
        if (s->topics[topic].is_compacted && (offset >= log->n || !log->v[offset].is_found))
            continue;
        if (r->producer >= s->clients_n)
            return sim_fail(s, "%s-%d at %" PRId64 ": unknown producer %u", s->topics[topic].name,
                            partition, offset, r->producer);
        if (r->where != sim_where(s, topic, partition))
            continue;
        is_strict = client_role(s->clients[r->producer]) == SIM_IDEMPOTENT_PRODUCER &&
                    !s->topics[topic].is_compacted;
        uint32_t slot = is_strict ? 0 : r->life % SIM_LIVES;
        uint64_t *next = &lives[r->producer][slot].next;
        if (!is_strict && lives[r->producer][slot].life != r->life)
            *next = 0;
        if (start > 0 && !lives[r->producer][slot].has_begun)
            *next = r->number;
        lives[r->producer][slot].has_begun = true;
        lives[r->producer][slot].life = r->life;
        if (is_strict ? r->number != *next : r->number < *next)
            return sim_fail(
                s, "%s-%d at %" PRId64 ": producer %u number %" PRIu64 " after %" PRIu64 " (%s)",
                s->topics[topic].name, partition, offset, r->producer, r->number, *next,
                is_strict ? "idempotent" : "plain");
        *next = r->number + 1;
    }
    return true;
}

/* ── the start of a log ── */

bool model_start(struct sim *s, uint32_t topic, int32_t partition, int64_t start, int64_t start_min)
{
    const struct sim_topic *t = &s->topics[topic];
    const struct sim_log *log = &t->logs[partition];
    if (start < start_min)
        return sim_fail(s,
                        "%s-%d begins at %" PRId64 ", but records below %" PRId64 " were deleted",
                        t->name, partition, start, start_min);
    if (start <= log->start_max || t->retention_bytes >= 0)
        return true;
    if (t->retention_ms < 0)
        return sim_fail(s, "%s-%d begins at %" PRId64 ", but nobody deleted beyond %" PRId64,
                        t->name, partition, start, log->start_max);
    for (int64_t offset = log->start_max; offset < start && offset < log->n; offset++)
        if (log->v[offset].is_known && s->now.wall_ms - log->v[offset].record.ms <= t->retention_ms)
            return sim_fail(
                s, "%s-%d begins at %" PRId64 ", but %" PRId64 " is younger than its retention",
                t->name, partition, start, offset);
    return true;
}

/* Retention by size leaves at least retention.bytes; only judged where no crash took a tail. */
static bool check_kept(struct sim *s, uint32_t topic, int32_t partition, int64_t start, int64_t end)
{
    const struct sim_topic *t = &s->topics[topic];
    const struct sim_log *log = &t->logs[partition];
    int64_t bytes = 0;
    if (t->retention_bytes < 0 || start <= log->start_max || s->crashes_n > 0)
        return true;
    for (int64_t offset = start; offset < end && offset < log->n; offset++)
        bytes += log->v[offset].record.bytes;
    if (bytes >= t->retention_bytes)
        return true;
    return sim_fail(s, "%s-%d keeps %" PRId64 " bytes, but its retention is %" PRId64, t->name,
                    partition, bytes, t->retention_bytes);
}

void model_forget(struct sim *s, uint32_t topic)
{
    for (int p = 0; p < SIM_PARTITIONS_MAX; p++) {
        struct sim_log *log = &s->topics[topic].logs[p];
        free(log->v);
        *log = (struct sim_log){.v = NULL};
    }
}

void model_cut(struct sim *s, uint32_t topic, int32_t partition, int64_t end)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    for (int64_t offset = end; offset < log->n; offset++)
        log->v[offset] = (struct sim_known){.is_known = false};
    log->n = min_i64(log->n, end);
    log->acked_end = min_i64(log->acked_end, end);
    log->seen_end = min_i64(log->seen_end, end);
}

bool model_check_end(struct sim *s, uint32_t topic, int32_t partition, int64_t start, int64_t end)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    const char *name = s->topics[topic].name;
    if (end < log->acked_end)
        return sim_fail(s, "%s-%d ends at %" PRId64 ", but offset %" PRId64 " was acknowledged",
                        name, partition, end, log->acked_end - 1);
    if (end < log->seen_end)
        return sim_fail(s, "%s-%d ends at %" PRId64 ", but a consumer had read offset %" PRId64,
                        name, partition, end, log->seen_end - 1);
    if (s->topics[topic].is_compacted)
        return check_compacted(s, topic, partition, end) &&
               check_order(s, topic, partition, start, end);
    for (int64_t offset = start; offset < end; offset++)
        if (offset >= log->n || !log->v[offset].is_seen)
            return sim_fail(s, "%s-%d: offset %" PRId64 " was never delivered", name, partition,
                            offset);
    return check_kept(s, topic, partition, start, end) &&
           check_order(s, topic, partition, start, end);
}

void model_processed(struct sim *s, uint32_t topic, int32_t partition, int64_t from, int64_t to)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    for (int64_t offset = from; offset < to; offset++) {
        struct sim_known *k = known(log, offset);
        if (k != NULL)
            k->is_processed = true;
    }
}

bool model_check_processed(struct sim *s, uint32_t topic, int32_t partition, int64_t end)
{
    struct sim_log *log = &s->topics[topic].logs[partition];
    for (int64_t offset = 0; offset < end; offset++) {
        struct sim_known *k = known(log, offset);
        if (k == NULL || !k->is_processed)
            return sim_fail(
                s, "group: %s-%d: %" PRId64 " is committed, but nobody read offset %" PRId64,
                s->topics[topic].name, partition, end, offset);
    }
    return true;
}

int64_t model_batches_end(const struct slices *records, int64_t from)
{
    struct slices_at at = {0, 0};
    uint64_t left = records->bytes;
    uint8_t header[BATCH_HEADER];
    while (left >= BATCH_HEADER) {
        struct slices_at here = at;
        struct batch b;
        slices_copy(records, &here, header, BATCH_HEADER);
        if (batch_header(header, &b) != 0 || b.bytes > left)
            break;
        slices_skip(records, &at, b.bytes);
        left -= b.bytes;
        from = max_i64(from, batch_last_offset(&b) + 1);
    }
    return from;
}

void model_power_cut(struct sim *s)
{
    for (uint32_t t = 0; t < s->topics_n; t++) {
        for (int32_t p = 0; p < s->topics[t].partitions_n; p++) {
            struct sim_log *log = &s->topics[t].logs[p];
            log->acked_end = 0;
            for (int64_t offset = 0; offset < log->n; offset++) {
                struct sim_known *k = &log->v[offset];
                if (k->is_known && !k->is_acked && !k->is_seen)
                    *k = (struct sim_known){.is_processed = k->is_processed};
                if (k->is_acked || k->is_weak)
                    log->acked_end = offset + 1;
            }
        }
    }
}

void model_free(struct sim *s)
{
    for (uint32_t t = 0; t < SIM_TOPICS_MAX; t++)
        for (int p = 0; p < SIM_PARTITIONS_MAX; p++)
            free(s->topics[t].logs[p].v);
}
