/* codec_test.c - decoder and encoder against each other and against the rules of the protocol. */
#include "proto_bed.h"

enum { SMALL_BYTES = 300 };

/* What a test does with one random value of every message at every version. */
static void every_message(uint64_t seed,
                          void (*test)(struct bed *, const struct proto_message *, int16_t, void *))
{
    uint32_t n;
    const struct proto_message *const *all = proto_all(&n);
    assert_true(n > 200);
    for (uint32_t i = 0; i < n; i++) {
        for (int16_t version = all[i]->version_min; version <= all[i]->version_max; version++) {
            struct bed *b = bed_new(seed * 1000003 + i * 64 + (uint64_t)version);
            test(b, all[i], version, values_make(&b->values, all[i], version));
            bed_free(b);
        }
    }
}

/* ── round trips ── */

static void round_trip(struct bed *b, const struct proto_message *m, int16_t version, void *value)
{
    struct bytes first = flat_of(&b->arena, m, version, value);
    void *decoded = room_for(&b->arena, m);
    uint32_t used;
    assert_int_equal(proto_decode_flat(m, version, first, &b->arena, decoded, &used), 0);
    assert_int_equal(used, first.n);
    bytes_assert_equal(first, flat_of(&b->arena, m, version, decoded));
}

static void every_message_encoded_and_decoded_encodes_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        every_message(seed, round_trip);
}

static void fresh_value_round_trips(struct bed *b, const struct proto_message *m, int16_t version,
                                    void *value)
{
    (void)value;
    void *fresh = proto_new(m->fields, &b->arena, 1);
    assert_non_null(fresh);
    int64_t n = proto_size(m, version, fresh);
    /* The one default that a version forbids is null in a field that is not nullable there. */
    if (n == E_INVALID)
        return;
    round_trip(b, m, version, fresh);
}

static void every_message_at_its_defaults_round_trips(void **state)
{
    (void)state;
    every_message(0, fresh_value_round_trips);
}

static void truncations(struct bed *b, const struct proto_message *m, int16_t version, void *value)
{
    struct bytes whole = flat_of(&b->arena, m, version, value);
    if (whole.n > SMALL_BYTES)
        return;
    void *out = room_for(&b->arena, m);
    for (uint32_t n = 0; n < whole.n; n++) {
        /* A copy of its own size: the address sanitizer sees a read beyond it. */
        uint8_t *cut = malloc(n + (n == 0));
        assert_non_null(cut);
        memcpy(cut, whole.ptr, n);
        int rc = proto_decode_flat(m, version, bytes_of(cut, n), &b->arena, out, NULL);
        assert_true(rc == E_EOF || rc == E_MALFORMED);
        free(cut);
    }
}

static void every_message_truncated_anywhere_is_an_error(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 103; seed++)
        every_message(seed, truncations);
}

static void splits(struct bed *b, const struct proto_message *m, int16_t version, void *value)
{
    struct bytes whole = flat_of(&b->arena, m, version, value);
    if (whole.n > SMALL_BYTES)
        return;
    void *out = room_for(&b->arena, m);
    for (uint32_t at = 0; at <= whole.n; at++) {
        /* An empty slice in the middle, and bytes behind the message. */
        struct slice v[] = {{whole.ptr, at, NULL},
                            {whole.ptr, 0, NULL},
                            {whole.ptr + at, whole.n - at, NULL},
                            {(const uint8_t *)"tail", 4, NULL}};
        struct slices from = {v, 4, whole.n + 4};
        struct proto_in in;
        proto_in_init(&in, &from, &b->arena);
        assert_int_equal(proto_decode(m, version, &in, out), 0);
        assert_int_equal(in.left, 4);
        bytes_assert_equal(whole, flat_of(&b->arena, m, version, out));
        char tail[4];
        slices_copy(&from, &in.at, tail, 4);
        assert_memory_equal(tail, "tail", 4);
    }
}

static void every_message_split_anywhere_decodes_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 200; seed < 202; seed++)
        every_message(seed, splits);
}

static void single_bytes(struct bed *b, const struct proto_message *m, int16_t version, void *value)
{
    struct bytes whole = flat_of(&b->arena, m, version, value);
    void *out = room_for(&b->arena, m);
    struct slice *v = calloc(whole.n + 1, sizeof *v);
    assert_non_null(v);
    for (uint32_t i = 0; i < whole.n; i++)
        v[i] = (struct slice){whole.ptr + i, 1, NULL};
    struct slices from = {v, whole.n, whole.n};
    struct proto_in in;
    proto_in_init(&in, &from, &b->arena);
    assert_int_equal(proto_decode(m, version, &in, out), 0);
    assert_int_equal(in.left, 0);
    bytes_assert_equal(whole, flat_of(&b->arena, m, version, out));
    free(v);
}

static void every_message_in_slices_of_one_byte_decodes_the_same(void **state)
{
    (void)state;
    every_message(300, single_bytes);
}

/* ── frames ── */

static void frames_and_budgets(struct bed *b, const struct proto_message *m, int16_t version,
                               void *value)
{
    if (!is_request(m) && !is_response(m))
        return;
    struct bytes whole, slow;
    assert_int_equal(frame_of(&b->arena, m, version, value, UINT32_MAX, &whole), 1);
    frame_of(&b->arena, m, version, value, 1, &slow);
    bytes_assert_equal(whole, slow);
    frame_of(&b->arena, m, version, value, 7, &slow);
    bytes_assert_equal(whole, slow);

    struct bytes body = flat_of(&b->arena, m, version, value);
    assert_int_equal(load_i32(whole.ptr), whole.n - 4);
    assert_true(whole.n >= body.n + 8);
    assert_memory_equal(whole.ptr + whole.n - body.n, body.ptr, body.n);

    struct slice slice = {whole.ptr + 4, whole.n - 4, NULL};
    struct slices from = {&slice, 1, whole.n - 4};
    struct proto_in in;
    proto_in_init(&in, &from, &b->arena);
    if (is_request(m)) {
        struct proto_header header;
        assert_int_equal(proto_decode_header(&in, &header), 0);
        assert_int_equal(header.api_key, m->api_key);
        assert_int_equal(header.api_version, version);
        assert_int_equal(header.correlation_id, 77);
        assert_true(bytes_equal_string(header.client_id, "me"));
    } else {
        int32_t correlation_id;
        assert_int_equal(proto_decode_response_header(&in, m->api_key, version, &correlation_id),
                         0);
        assert_int_equal(correlation_id, 77);
    }
    assert_int_equal(in.left, body.n);
}

static void every_frame_with_any_budget_is_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 400; seed < 404; seed++)
        every_message(seed, frames_and_budgets);
}

static void large_answer_is_spread_over_many_calls(void **state)
{
    (void)state;
    enum { TOPICS_N = 50, PARTITIONS_N = 200, BUDGET = 500 };
    struct bed *b = bed_new(1);
    struct metadata_response *r = PROTO_NEW(&b->arena, metadata_response, 1);
    r->topics = PROTO_NEW(&b->arena, metadata_response_topics, TOPICS_N);
    r->topics_n = TOPICS_N;
    for (int t = 0; t < TOPICS_N; t++) {
        struct metadata_response_topics *topic = &r->topics[t];
        topic->name = bytes_of_string("a-topic");
        topic->partitions = PROTO_NEW(&b->arena, metadata_response_topics_partitions, PARTITIONS_N);
        topic->partitions_n = PARTITIONS_N;
    }
    struct bytes fast, slow;
    frame_of(&b->arena, &proto_metadata_response, 12, r, UINT32_MAX, &fast);
    uint32_t calls_n = frame_of(&b->arena, &proto_metadata_response, 12, r, BUDGET, &slow);
    bytes_assert_equal(fast, slow);
    /* Seven fields of a partition, and a few of each topic. */
    assert_in_range(calls_n, TOPICS_N * PARTITIONS_N * 7 / BUDGET,
                    TOPICS_N * PARTITIONS_N * 8 / BUDGET);
    bed_free(b);
}

/* ── memory that runs out at any allocation ── */

/* An arena in which `left` bytes can still be had. */
static void arena_nearly_full(struct arena *a, uint64_t left)
{
    arena_init(a, NULL, NULL, PAGE_SMALL);
    assert_non_null(arena_alloc(a, PAGE_SMALL - left));
}

static void encode_in_little_memory(const struct proto_message *m, int16_t version,
                                    const void *value, struct bytes whole, uint32_t *refused_n)
{
    for (uint64_t left = 0; left < PAGE_SMALL; left += ARENA_ALIGN) {
        struct arena little;
        arena_nearly_full(&little, left);
        struct proto_out o;
        int rc = frame_begin(&o, &little, m, version, value);
        while (rc == 0 && (rc = proto_encode_more(&o, 3)) == E_AGAIN)
            rc = 0;
        if (rc == E_NO_MEMORY) {
            ++*refused_n;
            assert_int_equal(o.out.n, 0);
            assert_int_equal(proto_encode_more(&o, 3), E_NO_MEMORY);
        } else {
            assert_int_equal(rc, 0);
            assert_int_equal(o.out.bytes, whole.n);
        }
        arena_fini(&little);
        if (rc == 0)
            return;
    }
}

static void decode_in_little_memory(const struct proto_message *m, int16_t version,
                                    struct bytes flat, void *out, uint32_t *refused_n)
{
    for (uint64_t left = 0; left < PAGE_SMALL; left += ARENA_ALIGN) {
        struct arena little;
        arena_nearly_full(&little, left);
        /* Cut in the middle, so that strings must be gathered. */
        struct slice v[] = {{flat.ptr, flat.n / 2, NULL},
                            {flat.ptr + flat.n / 2, flat.n - flat.n / 2, NULL}};
        struct slices from = {v, 2, flat.n};
        struct proto_in in;
        proto_in_init(&in, &from, &little);
        int rc = proto_decode(m, version, &in, out);
        assert_true(rc == 0 || rc == E_NO_MEMORY);
        *refused_n += rc != 0;
        arena_fini(&little);
        if (rc == 0)
            return;
    }
}

static void little_memory(struct bed *b, const struct proto_message *m, int16_t version,
                          void *value)
{
    uint32_t refused_n = 0;
    struct bytes flat = flat_of(&b->arena, m, version, value), frame;
    if (flat.n > SMALL_BYTES)
        return;
    decode_in_little_memory(m, version, flat, room_for(&b->arena, m), &refused_n);
    if (is_request(m) || is_response(m)) {
        uint32_t before_n = refused_n;
        frame_of(&b->arena, m, version, value, UINT32_MAX, &frame);
        encode_in_little_memory(m, version, value, frame, &refused_n);
        assert_true(refused_n > before_n);
    }
}

static void every_allocation_that_fails_is_reported(void **state)
{
    (void)state;
    every_message(500, little_memory);
}

/* ── records: linked, not copied ── */

struct counted {
    struct slice_owner owner;
    int released_n;
};

static void counted_release(struct slice_owner *owner)
{
    container_of(owner, struct counted, owner)->released_n++;
}

static struct fetch_response *fetch_response_of(struct arena *arena, struct counted *counted,
                                                struct slice *v)
{
    struct fetch_response *r = PROTO_NEW(arena, fetch_response, 1);
    r->responses = PROTO_NEW(arena, fetch_response_responses, 1);
    r->responses_n = 1;
    r->responses->topic = bytes_of_string("t");
    r->responses->partitions = PROTO_NEW(arena, fetch_response_responses_partitions, 1);
    r->responses->partitions_n = 1;
    *counted = (struct counted){{1, counted_release}, 0};
    v[0] = (struct slice){(const uint8_t *)"records", 7, &counted->owner};
    v[1] = (struct slice){(const uint8_t *)"", 0, NULL};
    r->responses->partitions->records = (struct slices){v, 2, 7};
    return r;
}

static void records_encoded_are_linked_with_their_reference(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct counted counted;
    struct slice v[2];
    struct fetch_response *r = fetch_response_of(&b->arena, &counted, v);
    struct proto_out o;
    assert_int_equal(proto_encode_response(&o, &b->arena, 1, 12, 5, r), 0);
    assert_int_equal(proto_encode_more(&o, 1000), 0);
    uint32_t linked_n = 0;
    for (uint32_t i = 0; i < o.out.n; i++)
        linked_n += o.out.v[i].ptr == v[0].ptr && o.out.v[i].owner == &counted.owner;
    assert_int_equal(linked_n, 1);
    assert_int_equal(o.out.n, 3);
    slices_put_all(&o.out);
    assert_int_equal(counted.released_n, 1);
    bed_free(b);
}

static void records_of_a_failed_encoding_stay_with_the_value(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct counted counted;
    struct slice v[2];
    struct fetch_response *r = fetch_response_of(&b->arena, &counted, v);
    r->node_endpoints = PROTO_NEW(&b->arena, fetch_response_node_endpoints, 1);
    r->node_endpoints_n = 1;
    r->node_endpoints->host = (struct bytes){NULL, 0}; /* null where the schema has no null */
    struct proto_out o;
    assert_int_equal(proto_encode_response(&o, &b->arena, 1, 16, 5, r), 0);
    assert_int_equal(proto_encode_more(&o, 1000), E_INVALID);
    assert_int_equal(o.out.n, 0);
    assert_int_equal(proto_encode_more(&o, 1000), E_INVALID);
    assert_int_equal(counted.released_n, 0);
    slices_put_all(&r->responses->partitions->records);
    assert_int_equal(counted.released_n, 1);
    bed_free(b);
}

static void records_decoded_name_their_owner_without_a_reference(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct produce_request *r = PROTO_NEW(&b->arena, produce_request, 1);
    r->topic_data = PROTO_NEW(&b->arena, produce_request_topic_data, 1);
    r->topic_data_n = 1;
    r->topic_data->partition_data =
        PROTO_NEW(&b->arena, produce_request_topic_data_partition_data, 1);
    r->topic_data->partition_data_n = 1;
    struct slice content = {(const uint8_t *)"0123456789", 10, NULL};
    r->topic_data->partition_data->records = (struct slices){&content, 1, 10};
    struct bytes flat = flat_of(&b->arena, &proto_produce_request, 9, r);

    struct counted counted[2] = {{{1, counted_release}, 0}, {{1, counted_release}, 0}};
    uint32_t cut = flat.n - 8; /* inside the records */
    struct slice v[] = {{flat.ptr, cut, &counted[0].owner}, {flat.ptr + cut, 8, &counted[1].owner}};
    struct slices from = {v, 2, flat.n};
    struct proto_in in;
    proto_in_init(&in, &from, &b->arena);
    struct produce_request out;
    assert_int_equal(proto_decode(&proto_produce_request, 9, &in, &out), 0);
    const struct slices *records = &out.topic_data->partition_data->records;
    assert_int_equal(records->n, 2);
    assert_int_equal(records->bytes, 10);
    assert_ptr_equal(records->v[0].owner, &counted[0].owner);
    assert_ptr_equal(records->v[1].owner, &counted[1].owner);
    assert_ptr_equal(records->v[0].ptr + records->v[0].n, flat.ptr + cut);
    assert_int_equal(counted[0].owner.refs, 1);
    assert_int_equal(counted[1].owner.refs, 1);
    bytes_assert_equal(flat_of_slices(&b->arena, records), bytes_of("0123456789", 10));
    bed_free(b);
}

static void records_null_and_empty_stay_apart(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct counted counted;
    struct slice v[2];
    struct fetch_response *r = fetch_response_of(&b->arena, &counted, v), out;
    struct slices *records = &r->responses->partitions->records;
    *records = (struct slices){NULL, 0, 0};
    struct bytes flat = flat_of(&b->arena, &proto_fetch_response, 12, r);
    assert_int_equal(proto_decode_flat(&proto_fetch_response, 12, flat, &b->arena, &out, NULL), 0);
    assert_null(out.responses->partitions->records.v);
    *records = (struct slices){v, 0, 0};
    flat = flat_of(&b->arena, &proto_fetch_response, 12, r);
    assert_int_equal(proto_decode_flat(&proto_fetch_response, 12, flat, &b->arena, &out, NULL), 0);
    assert_non_null(out.responses->partitions->records.v);
    assert_int_equal(out.responses->partitions->records.bytes, 0);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_message_encoded_and_decoded_encodes_the_same),
        TEST(every_message_at_its_defaults_round_trips),
        TEST(every_message_truncated_anywhere_is_an_error),
        TEST(every_message_split_anywhere_decodes_the_same),
        TEST(every_message_in_slices_of_one_byte_decodes_the_same),
        TEST(every_frame_with_any_budget_is_the_same),
        TEST(large_answer_is_spread_over_many_calls),
        TEST(every_allocation_that_fails_is_reported),
        TEST(records_encoded_are_linked_with_their_reference),
        TEST(records_of_a_failed_encoding_stay_with_the_value),
        TEST(records_decoded_name_their_owner_without_a_reference),
        TEST(records_null_and_empty_stay_apart),
    };
    return TESTS_RUN(tests);
}
