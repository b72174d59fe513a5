/*
 * engine_wire.c - requests and answers of the measured loop.
 *
 * Owner: the generator's thread.
 *
 * A Produce request is encoded once per partition and cut in three: head, batch, tail. Only the correlation id
 * (bytes 8-11 of the frame) changes from one sending to the next.
 */
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "engine.h"
#include "messages.h"
#include "proto.h"

enum { ENCODE_BUDGET = 1 << 20, ARENA_MAX = 64 << 20 };

static int encode(struct proto_out *out, struct arena *arena, int16_t key, int16_t version, int32_t correlation_id,
                  const void *request)
{
    int rc = proto_encode_request(out, arena, key, version, correlation_id, bytes_of_string("millrace-bench"), request);
    if (rc != 0 && rc != E_AGAIN)
        return rc;
    do {
        rc = proto_encode_more(out, ENCODE_BUDGET);
    } while (rc == E_AGAIN);
    return rc;
}

/* ── produce ── */

/* Splits an encoded frame at its records: what comes before, what comes after. */
static int head_cut(struct load_head *h, const struct slices *frame, const struct load_payload *payload)
{
    uint64_t before = 0, after = 0;
    bool is_after = false;
    for (uint32_t i = 0; i < frame->n; i++) {
        if (frame->v[i].ptr == payload->ptr) {
            is_after = true;
            continue;
        }
        uint64_t at = is_after ? after : before;
        if (at + frame->v[i].n > (is_after ? sizeof h->tail : sizeof h->head))
            return E_TOO_LARGE;
        memcpy((is_after ? h->tail : h->head) + at, frame->v[i].ptr, frame->v[i].n);
        *(is_after ? &after : &before) += frame->v[i].n;
    }
    h->head_n = (uint16_t)before;
    h->tail_n = (uint16_t)after;
    return is_after ? 0 : E_INVALID;
}

static int head_make(struct load *l, uint32_t at, struct arena *arena)
{
    struct load_payload *payload = &l->payloads[0];
    struct slice slice = {payload->ptr, payload->bytes, NULL};
    struct produce_request *r = PROTO_NEW(arena, produce_request, 1);
    struct proto_out out;
    if (r == NULL)
        return E_NO_MEMORY;
    r->acks = l->o->acks;
    r->timeout_ms = 30000;
    r->topic_data = PROTO_NEW(arena, produce_request_topic_data, 1);
    r->topic_data_n = 1;
    if (r->topic_data == NULL)
        return E_NO_MEMORY;
    r->topic_data->name = bytes_of_string(l->topic_names[l->partitions[at].topic]);
    r->topic_data->partition_data = PROTO_NEW(arena, produce_request_topic_data_partition_data, 1);
    r->topic_data->partition_data_n = 1;
    if (r->topic_data->partition_data == NULL)
        return E_NO_MEMORY;
    r->topic_data->partition_data->index = (int32_t)l->partitions[at].number;
    r->topic_data->partition_data->records = (struct slices){&slice, 1, payload->bytes};
    int rc = encode(&out, arena, 0, (int16_t)l->produce_version, 0, r);
    return rc != 0 ? rc : head_cut(&l->heads[at], &out.out, payload);
}

int load_heads_make(struct load *l)
{
    struct arena arena;
    int rc = 0;
    arena_init(&arena, NULL, NULL, ARENA_MAX);
    for (uint32_t i = 0; i < l->partitions_n && rc == 0; i++) {
        rc = head_make(l, i, &arena);
        arena_fini(&arena);
    }
    return rc;
}

static void count_answer(struct load *l, const struct load_flight *f, int16_t error)
{
    const struct load_payload *p = &l->payloads[0];
    uint64_t ns = l->now_ns > f->intended_ns ? l->now_ns - f->intended_ns : 0;
    if (!l->is_measuring)
        return;
    if (error != 0) {
        l->result->errors++;
        l->result->first_error = l->result->first_error == 0 ? error : l->result->first_error;
        return;
    }
    histogram_add(&l->result->produce, ns);
    histogram_add(&l->second, ns);
    l->result->records += p->records_n;
    l->result->bytes += p->bytes;
    l->second_records += p->records_n;
    l->second_bytes += p->bytes;
}

int load_answer_produce(struct load *l, struct load_conn *c, const uint8_t *frame, uint32_t n)
{
    struct slice slice = {frame, n, NULL};
    struct slices slices = {&slice, 1, n};
    struct produce_response r;
    struct proto_in in;
    struct arena arena;
    int32_t correlation_id = 0;
    if (c->flight_n == 0)
        return E_MALFORMED;
    struct load_flight f = c->flight[c->flight_head];
    c->flight_head = (c->flight_head + 1) % l->o->window;
    c->flight_n--;
    arena_init(&arena, NULL, NULL, ARENA_MAX);
    proto_in_init(&in, &slices, &arena);
    int rc = proto_decode_response_header(&in, 0, (int16_t)l->produce_version, &correlation_id);
    if (rc == 0 && correlation_id != f.correlation_id)
        rc = E_MALFORMED;
    if (rc == 0)
        rc = proto_decode(&proto_produce_response, (int16_t)l->produce_version, &in, &r);
    if (rc == 0 && (r.responses_n != 1 || r.responses->partition_responses_n != 1))
        rc = E_MALFORMED;
    if (rc == 0) {
        int16_t error = r.responses->partition_responses->error_code;
        count_answer(l, &f, error);
        if (error == 0 && l->partitions[f.partition].matches != NULL)
            load_match_produced(l, f.partition, r.responses->partition_responses->base_offset, f.intended_ns);
    }
    arena_fini(&arena);
    return rc;
}

/* ── matching a batch produced with the batch received ── */

static struct load_match *match_at(struct load *l, uint32_t partition, int64_t base_offset)
{
    uint64_t at = (uint64_t)base_offset / l->payloads[0].records_n % LOAD_MATCH_N;
    struct load_match *m = &l->partitions[partition].matches[at];
    if (m->base_offset != base_offset) /* an older batch that nobody waited for */
        *m = (struct load_match){base_offset, 0, 0};
    return m;
}

static void match_end(struct load *l, struct load_match *m)
{
    if (m->intended_ns == 0 || m->received_ns == 0)
        return;
    if (l->is_measuring)
        histogram_add(&l->result->end_to_end, m->received_ns > m->intended_ns ? m->received_ns - m->intended_ns : 0);
    *m = (struct load_match){-1, 0, 0};
}

void load_match_produced(struct load *l, uint32_t partition, int64_t base_offset, uint64_t intended_ns)
{
    struct load_match *m = match_at(l, partition, base_offset);
    m->intended_ns = intended_ns;
    match_end(l, m);
}

void load_match_received(struct load *l, uint32_t partition, int64_t base_offset)
{
    struct load_match *m = match_at(l, partition, base_offset);
    m->received_ns = l->now_ns;
    match_end(l, m);
}

/* ── fetch ── */

/* Partitions of one connection are grouped by topic: one topic entry each, in the order of partition_first. */
static int fetch_fill(struct load *l, struct load_conn *c, struct fetch_request *r, struct arena *arena)
{
    r->topics = PROTO_NEW(arena, fetch_request_topics, c->partition_n);
    if (r->topics == NULL)
        return E_NO_MEMORY;
    r->topics_n = 0;
    for (uint32_t i = 0; i < c->partition_n; i++) {
        const struct load_partition *p = &l->partitions[c->partition_first + i];
        struct fetch_request_topics *t = &r->topics[r->topics_n++];
        t->topic = bytes_of_string(l->topic_names[p->topic]);
        t->partitions = PROTO_NEW(arena, fetch_request_topics_partitions, 1);
        if (t->partitions == NULL)
            return E_NO_MEMORY;
        t->partitions_n = 1;
        t->partitions->partition = (int32_t)p->number;
        t->partitions->fetch_offset = c->offsets[i];
        t->partitions->partition_max_bytes = 1 << 20;
    }
    return 0;
}

int load_fetch_encode(struct load *l, struct load_conn *c)
{
    struct arena arena;
    struct proto_out out;
    arena_init(&arena, NULL, NULL, ARENA_MAX);
    struct fetch_request *r = PROTO_NEW(&arena, fetch_request, 1);
    int rc = r == NULL ? E_NO_MEMORY : fetch_fill(l, c, r, &arena);
    if (rc == 0) {
        r->max_wait_ms = 500;
        r->min_bytes = 1;
        r->max_bytes = LOAD_FETCH_BYTES;
        rc = encode(&out, &arena, 1, (int16_t)l->fetch_version, ++c->correlation_id, r);
    }
    if (rc == 0 && !load_tx_room(c, out.out.bytes))
        rc = E_NO_MEMORY;
    if (rc == 0) {
        struct slices_at at = {0, 0};
        slices_copy(&out.out, &at, c->tx + c->tx_n, out.out.bytes);
        c->tx_n += out.out.bytes;
    }
    arena_fini(&arena);
    return rc;
}

/* Walks the batch headers of one partition's records. */
static int fetch_records(struct load *l, struct load_conn *c, uint32_t i, const struct slices *records)
{
    uint32_t partition = c->partition_first + i;
    struct slices_at at = {0, 0};
    uint64_t left = records->bytes;
    uint8_t header[BATCH_HEADER];
    while (left >= BATCH_HEADER) {
        struct slices_at here = at;
        struct batch b;
        slices_copy(records, &here, header, BATCH_HEADER);
        int rc = batch_header(header, &b);
        if (rc != 0)
            return rc;
        if (b.bytes > left)
            break;
        slices_skip(records, &at, b.bytes);
        left -= b.bytes;
        if (batch_last_offset(&b) < c->offsets[i])
            continue;
        c->offsets[i] = batch_last_offset(&b) + 1;
        if (c->reader == 0)
            load_match_received(l, partition, b.base_offset);
        if (l->is_measuring) {
            l->result->consumed_records += (uint64_t)b.records_n;
            l->result->consumed_bytes += b.bytes;
        }
    }
    return 0;
}

int load_answer_fetch(struct load *l, struct load_conn *c, const uint8_t *frame, uint32_t n)
{
    struct slice slice = {frame, n, NULL};
    struct slices slices = {&slice, 1, n};
    struct fetch_response r;
    struct proto_in in;
    struct arena arena;
    int32_t correlation_id = 0;
    arena_init(&arena, NULL, NULL, ARENA_MAX);
    proto_in_init(&in, &slices, &arena);
    int rc = proto_decode_response_header(&in, 1, (int16_t)l->fetch_version, &correlation_id);
    if (rc == 0)
        rc = proto_decode(&proto_fetch_response, (int16_t)l->fetch_version, &in, &r);
    for (int32_t i = 0; rc == 0 && i < r.responses_n; i++) {
        uint32_t at = (uint32_t)i; /* brokers answer in the order asked; checked, with a search when not */
        for (uint32_t k = 0; k < c->partition_n; k++, at = (at + 1) % c->partition_n) {
            const struct load_partition *p = &l->partitions[c->partition_first + at % c->partition_n];
            if (bytes_equal_string(r.responses[i].topic, l->topic_names[p->topic]) &&
                r.responses[i].partitions_n == 1 &&
                r.responses[i].partitions->partition_index == (int32_t)p->number)
                break;
        }
        at %= c->partition_n;
        if (r.responses[i].partitions_n == 1 && r.responses[i].partitions->error_code == 0)
            rc = fetch_records(l, c, at, &r.responses[i].partitions->records);
        else if (l->is_measuring)
            l->result->errors++;
    }
    arena_fini(&arena);
    c->is_fetching = false;
    return rc;
}
