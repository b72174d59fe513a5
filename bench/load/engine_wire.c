/*
 * engine_wire.c - requests and answers of the measured loop.
 *
 * Owner: the generator's thread.
 *
 * A Produce request is encoded once per partition and cut in four: head, length of the records,
 * batch, tail. From one sending to the next only the frame's length (bytes 0-3), its correlation id
 * (8-11) and the payload change.
 */
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "engine.h"
#include "messages.h"
#include "proto.h"

enum { ENCODE_BUDGET = 1 << 20, ARENA_MAX = 64 << 20 };

static int encode(struct proto_out *out, struct arena *arena, int16_t key, int16_t version,
                  int32_t correlation_id, const void *request)
{
    int rc = proto_encode_request(out, arena, key, version, correlation_id,
                                  bytes_of_string("millrace-bench"), request);
    if (rc != 0 && rc != E_AGAIN)
        return rc;
    do {
        rc = proto_encode_more(out, ENCODE_BUDGET);
    } while (rc == E_AGAIN);
    return rc;
}

/* ── produce ── */

/* Splits an encoded frame at its records: what comes before them and their length, what comes
 * after. */
static int head_cut(struct load_head *h, const struct slices *frame,
                    const struct load_payload *payload)
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
    if (before < payload->length_n + 12U ||
        memcmp(h->head + before - payload->length_n, payload->length, payload->length_n) != 0)
        return E_INVALID;
    h->head_n = (uint16_t)(before - payload->length_n);
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

void load_count(struct load *l, const struct load_payload *p)
{
    if (!l->is_measuring)
        return;
    l->result->requests++;
    l->result->records += p->records_n;
    l->result->bytes += p->bytes;
    l->second_requests++;
    l->second_records += p->records_n;
    l->second_bytes += p->bytes;
}

/* In the closed loop "due" is when it was sent; what was sent in the window counts. */
static bool is_in_window(const struct load *l, uint64_t intended_ns)
{
    return intended_ns >= l->window_from_ns && intended_ns < l->window_to_ns;
}

static void count_answer(struct load *l, const struct load_flight *f, int16_t error)
{
    uint64_t ns = l->now_ns > f->intended_ns ? l->now_ns - f->intended_ns : 0;
    if (error != 0) {
        if (l->result != NULL && (l->is_measuring || is_in_window(l, f->intended_ns))) {
            l->result->errors++;
            l->result->first_error = l->result->first_error == 0 ? error : l->result->first_error;
        }
        return;
    }
    load_count(l, &l->payloads[f->payload]);
    if (l->is_measuring)
        histogram_add(&l->second, ns);
    if (is_in_window(l, f->intended_ns))
        histogram_add(&l->result->produce, ns);
}

static void count_match(struct load *l, uint64_t intended_ns, uint64_t latency_ns)
{
    if (!is_in_window(l, intended_ns))
        return;
    histogram_add(&l->result->end_to_end, latency_ns);
    l->matched_n++;
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
    l->under_way_n--;
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
        struct match_table *t = &l->partitions[f.partition].matches;
        int64_t base_offset = r.responses->partition_responses->base_offset;
        uint64_t intended_ns, latency_ns;
        if (error == 0 && t->v != NULL &&
            match_produced(t, base_offset, f.intended_ns, &intended_ns, &latency_ns))
            count_match(l, intended_ns, latency_ns);
    }
    arena_fini(&arena);
    return rc;
}

/* ── fetch ── */

/* Partition i of the connection belongs to topic (first + i) % topics_n: one entry per topic,
 * because brokers answer neighbours of one topic in one entry. */
static int fetch_topic_fill(struct load *l, struct load_conn *c, struct fetch_request_topics *t,
                            uint32_t topic, struct arena *arena)
{
    uint32_t topics_n = l->o->topics_n;
    uint32_t first = (topic + topics_n - c->partition_first % topics_n) % topics_n;
    uint32_t n = first >= c->partition_n ? 0 : (c->partition_n - first + topics_n - 1) / topics_n;
    *t = (struct fetch_request_topics){.topic = bytes_of_string(l->topic_names[topic])};
    t->partitions = PROTO_NEW(arena, fetch_request_topics_partitions, n);
    if (t->partitions == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = first; i < c->partition_n; i += topics_n) {
        struct fetch_request_topics_partitions *p = &t->partitions[t->partitions_n++];
        p->partition = (int32_t)l->partitions[c->partition_first + i].number;
        p->fetch_offset = c->offsets[i];
        p->partition_max_bytes = 1 << 20;
    }
    return 0;
}

static int fetch_fill(struct load *l, struct load_conn *c, struct fetch_request *r,
                      struct arena *arena)
{
    uint32_t topics_n = (uint32_t)min_u64(l->o->topics_n, c->partition_n);
    r->topics = PROTO_NEW(arena, fetch_request_topics, topics_n);
    if (r->topics == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < topics_n; i++) {
        uint32_t topic = (c->partition_first + i) % l->o->topics_n;
        int rc = fetch_topic_fill(l, c, &r->topics[i], topic, arena);
        if (rc != 0)
            return rc;
    }
    r->topics_n = (int32_t)topics_n;
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
static int fetch_records(struct load *l, struct load_conn *c, uint32_t i,
                         const struct slices *records)
{
    uint32_t partition = c->partition_first + i;
    struct slices_at at = {0, 0};
    uint64_t left = records->bytes, intended_ns, latency_ns;
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
        if (c->reader == 0 && match_received(&l->partitions[partition].matches, b.base_offset,
                                             l->now_ns, &intended_ns, &latency_ns))
            count_match(l, intended_ns, latency_ns);
        if (l->is_measuring) {
            l->result->consumed_records += (uint64_t)b.records_n;
            l->result->consumed_bytes += b.bytes;
            l->second_consumed += b.bytes;
        }
    }
    return 0;
}

/* The connection's index of an answered partition; -1: not one of its own. */
static int64_t fetched_at(const struct load *l, const struct load_conn *c, struct bytes topic,
                          int32_t number)
{
    uint32_t t = 0;
    while (t < l->o->topics_n && !bytes_equal_string(topic, l->topic_names[t]))
        t++;
    if (t == l->o->topics_n || number < 0)
        return -1;
    int64_t at = (int64_t)number * l->o->topics_n + t - c->partition_first;
    return at >= 0 && at < c->partition_n ? at : -1;
}

static int fetched_topic(struct load *l, struct load_conn *c,
                         const struct fetch_response_responses *t)
{
    for (int32_t i = 0; i < t->partitions_n; i++) {
        const struct fetch_response_responses_partitions *p = &t->partitions[i];
        int64_t at = fetched_at(l, c, t->topic, p->partition_index);
        int rc = at < 0 ? E_MALFORMED : 0;
        if (rc == 0 && p->error_code == 0)
            rc = fetch_records(l, c, (uint32_t)at, &p->records);
        else if (l->is_measuring)
            l->result->errors++;
        if (rc != 0)
            return rc;
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
    if (rc == 0 && correlation_id != c->correlation_id)
        rc = E_MALFORMED;
    if (rc == 0)
        rc = proto_decode(&proto_fetch_response, (int16_t)l->fetch_version, &in, &r);
    for (int32_t i = 0; rc == 0 && i < r.responses_n; i++)
        rc = fetched_topic(l, c, &r.responses[i]);
    arena_fini(&arena);
    c->is_fetching = false;
    return rc;
}
