/*
 * index_load.c - offset indexes of sealed segments: read when first asked for, forgotten when
 * others need the room.
 *
 * Owner: home. An index that cannot be read, or points beyond its segment, counts as empty: a
 * look-up then scans the segment from its beginning, slow but right. Together they keep to
 * INDEX_CACHE_BYTES.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plog.h"

enum { INDEX_FILE_MAX = 16 << 20 };

static uint64_t index_bytes(const struct segment *segment)
{
    return (uint64_t)segment->index.n * INDEX_ENTRY;
}

void segment_index_drop(struct segment *segment)
{
    if (list_is_linked(&segment->index_link)) {
        list_del(&segment->index_link);
        segment->store->index_bytes -= index_bytes(segment);
        segment->is_index_loaded = false;
    }
    index_clear(&segment->index);
}

void segment_index_used(struct segment *segment)
{
    struct store *store = segment->store;
    if (segment->state != SEGMENT_SEALED)
        return; /* the active segment's stays */
    if (list_is_linked(&segment->index_link))
        list_del(&segment->index_link);
    else
        store->index_bytes += index_bytes(segment);
    list_append(&store->indexes, &segment->index_link);
    while (store->index_bytes > INDEX_CACHE_BYTES) {
        struct segment *oldest = list_first(&store->indexes, struct segment, index_link);
        if (oldest == segment)
            return; /* the newest stays, whatever its size */
        segment_index_drop(oldest);
    }
}

static void load_end(struct segment *segment, struct now now)
{
    struct store *store = segment->store;
    segment->is_index_loading = false;
    segment->is_index_loaded = true;
    store->loads_n--;
    segment_index_used(segment);
    reads_run(&segment->waits, 0, now);
    segment_put(segment);
}

static void load_closed(struct job *job, struct now now)
{
    (void)now;
    store_job_give(job->subject, job);
}

static void load_close(struct store *store, struct job *job)
{
    job->kind = JOB_CLOSE;
    store_job_send(store, job, load_closed, store);
}

static void load_take(struct segment *segment, const struct index_load *load)
{
    uint32_t n = index_count(bytes_of(load->to, load->done_bytes));
    if (n == 0 || load_u32(load->to + (size_t)(n - 1) * INDEX_ENTRY + 4) >= segment->end_pos)
        return;
    uint8_t *v = malloc((size_t)n * INDEX_ENTRY);
    if (v == NULL)
        return;
    memcpy(v, load->to, (size_t)n * INDEX_ENTRY);
    segment->index = (struct index_buffer){v, n, n};
}

static void load_finish(struct store_op *op, struct now now)
{
    struct index_load *load = container_of(op, struct index_load, op);
    struct segment *segment = load->segment;
    if (op->op.result > 0)
        load->done_bytes += (uint32_t)op->op.result;
    if (op->op.result > 0 && load->done_bytes < load->bytes) {
        load->iov = (struct iovec){load->to + load->done_bytes, load->bytes - load->done_bytes};
        op->op.pos = load->done_bytes;
        store_op_submit(segment->store, op, load_finish);
        return;
    }
    if (op->op.result >= 0)
        load_take(segment, load);
    load_close(segment->store, load->job);
    list_del(&load->link);
    free(load);
    load_end(segment, now);
}

static void load_opened(struct job *job, struct now now)
{
    struct segment *segment = job->subject;
    struct store *store = segment->store;
    if (job->error != 0) {
        store_job_give(store, job);
        load_end(segment, now);
        return;
    }
    uint32_t bytes = (uint32_t)min_u64(job->bytes, INDEX_FILE_MAX);
    struct index_load *load = bytes >= INDEX_ENTRY ? malloc(sizeof *load + bytes) : NULL;
    if (load == NULL) {
        load_close(store, job);
        load_end(segment, now);
        return;
    }
    store_op_init(&load->op, IO_READ);
    list_init(&load->link);
    list_append(&store->loads, &load->link);
    load->segment = segment;
    load->job = job;
    load->bytes = bytes;
    load->done_bytes = 0;
    load->iov = (struct iovec){load->to, bytes};
    load->op.op.fd = job->fd;
    load->op.op.pos = 0;
    load->op.op.iov = &load->iov;
    load->op.op.iov_n = 1;
    store_op_submit(store, &load->op, load_finish);
}

int segment_index_load(struct segment *segment)
{
    if (segment->is_index_loaded) {
        segment_index_used(segment);
        return 0;
    }
    if (segment->is_lost)
        return E_STORAGE;
    if (segment->is_index_loading || segment->is_swapping)
        return E_AGAIN;
    if (segment->log == NULL)
        return E_OFFSET_RANGE; /* retention took it */
    struct job *job = store_job_take(segment->store, segment->log, JOB_OPEN);
    if (job == NULL)
        return E_NO_MEMORY;
    snprintf(job->name, sizeof job->name, "%020lld.index", (long long)segment->base_offset);
    job->base_offset = segment->base_offset;
    job->how = DISK_READ;
    segment->is_index_loading = true;
    segment->store->loads_n++;
    segment_get(segment);
    store_job_send(segment->store, job, load_opened, segment);
    return E_AGAIN;
}
