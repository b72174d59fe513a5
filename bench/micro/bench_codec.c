/*
 * bench_codec.c - the codec on the requests and answers that matter: nanoseconds, or calls for
 * callgrind to count.
 *
 *   bench_codec            ns per operation of each case
 *   bench_codec count N    every case N times and nothing else: tools/budget.py counts for it
 *
 * Owner: the program. Requests are whole frames without the length (header and body), from one
 * slice; answers are whole frames, records linked in. The arena is a worker's (pages), its first
 * page taken before the clock starts.
 */
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "messages.h"

#define noinline __attribute__((noinline))

enum { REGION_BYTES = 2 * PAGE_BLOCK, RECORDS_BYTES = 1024, ROUNDS_N = 20000, PARTITIONS_MAX = 16 };

/* Owner: the program. */
struct bed {
    struct pages pages;
    struct arena keep, arena;
    struct bytes produce[2],
        fetch[2]; /* request frames with 1 and 16 partitions, without their length */
    struct produce_response *produced[2];
    struct fetch_response *fetched[2];
    struct slice records;
};

static const uint32_t partitions_n[2] = {1, PARTITIONS_MAX};

static struct bytes frame_of(struct bed *b, int16_t key, int16_t version, const void *request)
{
    struct proto_out o;
    check(proto_encode_request(&o, &b->keep, key, version, 1, bytes_of_string("bench"), request) ==
          0);
    check(proto_encode_more(&o, UINT32_MAX) == 0);
    uint8_t *p = arena_alloc(&b->keep, o.out.bytes);
    struct slices_at at = {0, 0};
    check(p != NULL);
    slices_copy(&o.out, &at, p, o.out.bytes);
    return bytes_of(p + 4, o.out.bytes - 4);
}

static void produce_make(struct bed *b, int i)
{
    uint32_t n = partitions_n[i];
    struct produce_request *r = PROTO_NEW(&b->keep, produce_request, 1);
    r->topic_data = PROTO_NEW(&b->keep, produce_request_topic_data, 1);
    r->topic_data_n = 1;
    r->topic_data->name = bytes_of_string("a-usual-topic");
    r->topic_data->partition_data =
        PROTO_NEW(&b->keep, produce_request_topic_data_partition_data, n);
    r->topic_data->partition_data_n = (int32_t)n;
    struct produce_response *a = PROTO_NEW(&b->keep, produce_response, 1);
    a->responses = PROTO_NEW(&b->keep, produce_response_responses, 1);
    a->responses_n = 1;
    a->responses->name = r->topic_data->name;
    a->responses->partition_responses =
        PROTO_NEW(&b->keep, produce_response_responses_partition_responses, n);
    a->responses->partition_responses_n = (int32_t)n;
    for (uint32_t p = 0; p < n; p++) {
        r->topic_data->partition_data[p].index = (int32_t)p;
        r->topic_data->partition_data[p].records = (struct slices){&b->records, 1, RECORDS_BYTES};
        a->responses->partition_responses[p].index = (int32_t)p;
    }
    b->produce[i] = frame_of(b, 0, 9, r);
    b->produced[i] = a;
}

static void fetch_make(struct bed *b, int i)
{
    uint32_t n = partitions_n[i];
    struct fetch_request *r = PROTO_NEW(&b->keep, fetch_request, 1);
    r->topics = PROTO_NEW(&b->keep, fetch_request_topics, 1);
    r->topics_n = 1;
    r->topics->topic = bytes_of_string("a-usual-topic");
    r->topics->partitions = PROTO_NEW(&b->keep, fetch_request_topics_partitions, n);
    r->topics->partitions_n = (int32_t)n;
    struct fetch_response *a = PROTO_NEW(&b->keep, fetch_response, 1);
    a->responses = PROTO_NEW(&b->keep, fetch_response_responses, 1);
    a->responses_n = 1;
    a->responses->topic = r->topics->topic;
    a->responses->partitions = PROTO_NEW(&b->keep, fetch_response_responses_partitions, n);
    a->responses->partitions_n = (int32_t)n;
    for (uint32_t p = 0; p < n; p++) {
        r->topics->partitions[p].partition = (int32_t)p;
        a->responses->partitions[p].partition_index = (int32_t)p;
        a->responses->partitions[p].records = (struct slices){&b->records, 1, RECORDS_BYTES};
    }
    b->fetch[i] = frame_of(b, 1, 12, r);
    b->fetched[i] = a;
}

static inline void decode(struct bed *b, struct bytes frame, const struct proto_message *m,
                          void *out)
{
    struct slice slice = {frame.ptr, frame.n, NULL};
    struct slices from = {&slice, 1, frame.n};
    struct proto_in in;
    struct proto_header header;
    proto_in_init(&in, &from, &b->arena);
    check(proto_decode_header(&in, &header) == 0);
    check(proto_decode(m, header.api_version, &in, out) == 0);
}

static inline void encode(struct bed *b, int16_t key, int16_t version, const void *response)
{
    struct proto_out o;
    if (proto_encode_response_now(&o, &b->arena, key, version, 1, response, UINT32_MAX))
        return;
    check(proto_encode_response(&o, &b->arena, key, version, 1, response) == 0);
    check(proto_encode_more(&o, UINT32_MAX) == 0);
}

#define DECODE_CASE(name, field, i, message)            \
    static noinline void case_##name(struct bed *b)     \
    {                                                   \
        struct message out;                             \
        decode(b, b->field[i], &proto_##message, &out); \
    }
#define ENCODE_CASE(name, field, i, key, version)   \
    static noinline void case_##name(struct bed *b) \
    {                                               \
        encode(b, key, version, b->field[i]);       \
    }
DECODE_CASE(produce_v9_decode_1, produce, 0, produce_request)
DECODE_CASE(produce_v9_decode_16, produce, 1, produce_request)
DECODE_CASE(fetch_v12_decode_1, fetch, 0, fetch_request)
DECODE_CASE(fetch_v12_decode_16, fetch, 1, fetch_request)
ENCODE_CASE(produce_v9_encode_1, produced, 0, 0, 9)
ENCODE_CASE(produce_v9_encode_16, produced, 1, 0, 9)
ENCODE_CASE(fetch_v12_encode_1, fetched, 0, 1, 12)
ENCODE_CASE(fetch_v12_encode_16, fetched, 1, 1, 12)

#define CASE(name)         \
    {                      \
#name, case_##name \
    }
static const struct {
    const char *name;
    void (*run)(struct bed *b);
} cases[] = {
    CASE(produce_v9_decode_1),  CASE(produce_v9_decode_16), CASE(produce_v9_encode_1),
    CASE(produce_v9_encode_16), CASE(fetch_v12_decode_1),   CASE(fetch_v12_decode_16),
    CASE(fetch_v12_encode_1),   CASE(fetch_v12_encode_16),
};

static struct bed *bed_new(void)
{
    static const uint8_t content[RECORDS_BYTES];
    struct bed *b = calloc(1, sizeof *b);
    void *region = aligned_alloc(PAGE_BLOCK, REGION_BYTES);
    void *headers = calloc(1, pages_header_bytes(REGION_BYTES));
    check(b != NULL && region != NULL && headers != NULL);
    pages_init(&b->pages, region, REGION_BYTES, headers);
    arena_init(&b->keep, NULL, NULL, MIB(4));
    arena_init(&b->arena, &b->pages, NULL, MIB(1));
    b->records = (struct slice){content, RECORDS_BYTES, NULL};
    for (int i = 0; i < 2; i++) {
        produce_make(b, i);
        fetch_make(b, i);
    }
    return b;
}

int main(int argc, char **argv)
{
    struct bed *b = bed_new();
    bool is_count = argc == 3 && strcmp(argv[1], "count") == 0;
    long rounds_n = is_count ? strtol(argv[2], NULL, 10) : ROUNDS_N;
    for (size_t i = 0; i < array_n(cases); i++) {
        uint64_t spent_ns = 0;
        for (long n = 0; n < rounds_n; n++) {
            check(arena_alloc_raw(&b->arena, 8) != NULL);
            uint64_t begin_ns = is_count ? 0 : clock_read_ns();
            cases[i].run(b);
            spent_ns += is_count ? 0 : clock_read_ns() - begin_ns;
            arena_fini(&b->arena);
        }
        if (!is_count)
            printf("codec %-24s %6.0f ns (two clock reads included)\n", cases[i].name,
                   (double)spent_ns / (double)rounds_n);
    }
    return 0;
}
