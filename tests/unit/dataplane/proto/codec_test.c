/* codec_test.c - decoder and encoder against each other and against the rules of the protocol. */
#include "messages.h"
#include "proto_values.h"
#include "unit.h"

enum { SMALL_BYTES = 300, ARENA_BYTES = 16 << 20, FLAT_BYTES = 1 << 16 };

/* Owner: the test. */
struct bed {
    struct arena arena;
    struct values values;
};

static struct bed *bed_new(uint64_t seed)
{
    struct bed *b = calloc(1, sizeof *b);
    assert_non_null(b);
    arena_init(&b->arena, NULL, NULL, ARENA_BYTES);
    b->values = (struct values){.arena = &b->arena, .elements_max = 3, .bytes_max = 400};
    prng_init(&b->values.prng, seed);
    return b;
}

static void bed_free(struct bed *b)
{
    arena_fini(&b->arena);
    free(b);
}

static struct bytes flat_of(struct arena *arena, const struct proto_message *m, int16_t version, const void *value)
{
    int64_t n = proto_size(m, version, value);
    assert_true(n >= 0 && n < PAGE_BLOCK);
    uint8_t *p = arena_alloc(arena, (uint64_t)n + 1);
    assert_non_null(p);
    assert_int_equal(proto_encode_flat(m, version, value, p, (uint64_t)n), 0);
    return bytes_of(p, (size_t)n);
}

static struct bytes flat_of_slices(struct arena *arena, const struct slices *s)
{
    uint8_t *p = arena_alloc(arena, s->bytes + 1);
    struct slices_at at = {0, 0};
    assert_non_null(p);
    slices_copy(s, &at, p, s->bytes);
    return bytes_of(p, s->bytes);
}

static void *room_for(struct arena *arena, const struct proto_message *m)
{
    void *p = arena_alloc(arena, m->size);
    assert_non_null(p);
    return p;
}

static void bytes_assert_equal(struct bytes a, struct bytes b)
{
    assert_int_equal(a.n, b.n);
    if (a.n > 0)
        assert_memory_equal(a.ptr, b.ptr, a.n);
}

/* What a test does with one random value of every message at every version. */
static void every_message(uint64_t seed, void (*test)(struct bed *, const struct proto_message *, int16_t, void *))
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

static void fresh_value_round_trips(struct bed *b, const struct proto_message *m, int16_t version, void *value)
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
        struct slice v[] = {{whole.ptr, at, NULL}, {whole.ptr, 0, NULL}, {whole.ptr + at, whole.n - at, NULL},
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

static bool is_request(const struct proto_message *m)
{
    return m->api_key >= 0 && proto_request(m->api_key) == m;
}

static bool is_response(const struct proto_message *m)
{
    return m->api_key >= 0 && proto_response(m->api_key) == m;
}

static int frame_begin(struct proto_out *o, struct arena *arena, const struct proto_message *m, int16_t version,
                       const void *value)
{
    return is_request(m) ? proto_encode_request(o, arena, m->api_key, version, 77, bytes_of_string("me"), value)
                         : proto_encode_response(o, arena, m->api_key, version, 77, value);
}

/* The number of calls a frame took with this budget per call. */
static uint32_t frame_of(struct arena *arena, const struct proto_message *m, int16_t version, const void *value,
                         uint32_t budget, struct bytes *frame)
{
    struct proto_out o;
    uint32_t calls_n = 1;
    assert_int_equal(frame_begin(&o, arena, m, version, value), 0);
    int rc;
    while ((rc = proto_encode_more(&o, budget)) == E_AGAIN) {
        calls_n++;
        /* Somebody else uses the arena in between. */
        assert_non_null(arena_alloc(arena, 8));
    }
    assert_int_equal(rc, 0);
    assert_int_equal(proto_encode_more(&o, budget), 0);
    *frame = flat_of_slices(arena, &o.out);
    return calls_n;
}

static void frames_and_budgets(struct bed *b, const struct proto_message *m, int16_t version, void *value)
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
        assert_int_equal(proto_decode_response_header(&in, m->api_key, version, &correlation_id), 0);
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
    assert_in_range(calls_n, TOPICS_N * PARTITIONS_N * 7 / BUDGET, TOPICS_N * PARTITIONS_N * 8 / BUDGET);
    bed_free(b);
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

static struct fetch_response *fetch_response_of(struct arena *arena, struct counted *counted, struct slice *v)
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
    r->topic_data->partition_data = PROTO_NEW(&b->arena, produce_request_topic_data_partition_data, 1);
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

/* ── hand-written bytes ── */

#define DECODE(b, name, version, out, literal)                                                                     \
    proto_decode_flat(&proto_##name, version, bytes_of(literal, sizeof(literal) - 1), &(b)->arena, out, NULL)

static void metadata_classic_bytes_decode_to_fields(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request r;
    assert_int_equal(DECODE(b, metadata_request, 4, &r, "\0\0\0\2\0\1a\0\2bc\1"), 0);
    assert_int_equal(r.topics_n, 2);
    assert_true(bytes_equal_string(r.topics[0].name, "a"));
    assert_true(bytes_equal_string(r.topics[1].name, "bc"));
    assert_true(r.allow_auto_topic_creation);
    assert_int_equal(DECODE(b, metadata_request, 4, &r, "\377\377\377\377\0"), 0);
    assert_int_equal(r.topics_n, -1);
    assert_false(r.allow_auto_topic_creation);
    bed_free(b);
}

static void field_the_version_does_not_have_holds_its_default(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request r;
    assert_int_equal(DECODE(b, metadata_request, 1, &r, "\0\0\0\0"), 0);
    assert_true(r.allow_auto_topic_creation); /* since version 4, true by default */
    struct fetch_request f;
    assert_int_equal(DECODE(b, fetch_request, 4, &f, "\377\377\377\377\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\0\0"), 0);
    assert_int_equal(f.session_epoch, -1);
    assert_int_equal(f.max_bytes, 3);
    assert_null(f.cluster_id.ptr);
    assert_non_null(f.rack_id.ptr);
    assert_int_equal(f.replica_state.replica_epoch, -1);
    bed_free(b);
}

static void array_null_where_the_version_forbids_it_is_malformed(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request r;
    assert_int_equal(DECODE(b, metadata_request, 0, &r, "\377\377\377\377"), E_MALFORMED);
    assert_int_equal(DECODE(b, metadata_request, 1, &r, "\377\377\377\377"), 0);
    assert_int_equal(DECODE(b, metadata_request, 1, &r, "\200\0\0\0"), 0); /* any negative number is null */
    assert_int_equal(r.topics_n, -1);
    struct fetch_request f;
    assert_int_equal(DECODE(b, fetch_request, 4, &f, "\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\377\377\377\377"),
                     E_MALFORMED);
    bed_free(b);
}

static void string_null_where_the_schema_forbids_it_is_malformed(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request r;
    assert_int_equal(DECODE(b, metadata_request, 4, &r, "\0\0\0\1\377\377\0"), E_MALFORMED);
    /* Version 9 is flexible, 10 allows null names. */
    assert_int_equal(DECODE(b, metadata_request, 9, &r, "\2\0\0\0\0\0\0"), E_MALFORMED);
    struct sasl_authenticate_request s;
    assert_int_equal(DECODE(b, sasl_authenticate_request, 0, &s, "\377\377\377\377"), E_MALFORMED);
    assert_int_equal(DECODE(b, sasl_authenticate_request, 2, &s, "\0\0"), E_MALFORMED);
    bed_free(b);
}

static void null_struct_is_one_negative_byte(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct describe_topic_partitions_request r;
    assert_int_equal(DECODE(b, describe_topic_partitions_request, 0, &r, "\1\0\0\7\320\377\0"), 0);
    assert_int_equal(r.response_partition_limit, 2000);
    assert_null(r.cursor);
    assert_int_equal(DECODE(b, describe_topic_partitions_request, 0, &r, "\1\0\0\0\1\1\2a\0\0\0\3\0\0"), 0);
    assert_non_null(r.cursor);
    assert_true(bytes_equal_string(r.cursor->topic_name, "a"));
    assert_int_equal(r.cursor->partition_index, 3);
    bed_free(b);
}

static void unknown_tags_are_skipped(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct heartbeat_request r;
    /* Two unknown tags: 0 with 3 bytes, 300 with none. */
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\2\0\3abc\254\2\0"), 0);
    assert_int_equal(r.generation_id, 5);
    assert_null(r.group_instance_id.ptr);
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\2\0\3abc\254\2\1"), E_EOF);
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\1\0\377\377\377\377\7"), E_EOF);
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\377\377\377\377\17"), E_MALFORMED);
    bed_free(b);
}

static void known_tag_that_does_not_take_its_size_is_malformed(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct begin_transaction_record r;
    assert_int_equal(DECODE(b, begin_transaction_record, 0, &r, "\1\0\4\3ab\0"), E_MALFORMED);
    assert_int_equal(DECODE(b, begin_transaction_record, 0, &r, "\1\0\3\3ab"), 0);
    assert_true(bytes_equal_string(r.name, "ab"));
    assert_int_equal(DECODE(b, begin_transaction_record, 0, &r, "\1\0\1\0"), 0);
    assert_null(r.name.ptr);
    bed_free(b);
}

static void tags_are_written_in_order_and_only_off_their_default(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct partition_change_record *r = PROTO_NEW(&b->arena, partition_change_record, 1);
    struct bytes flat = flat_of(&b->arena, &proto_partition_change_record, 2, r);
    assert_int_equal(flat.n, 16 + 4 + 1);
    assert_int_equal(flat.ptr[20], 0);
    int32_t id = 9;
    r->leader = 7;             /* tag 1, default -2 */
    r->last_known_elr = &id;   /* tag 7 */
    r->last_known_elr_n = 1;
    r->isr = NULL;             /* tag 0, default null: an empty array is worth writing */
    r->isr_n = 0;
    flat = flat_of(&b->arena, &proto_partition_change_record, 2, r);
    bytes_assert_equal(bytes_of(flat.ptr + 20, flat.n - 20),
                       bytes_of("\3\0\1\1\1\4\0\0\0\7\7\5\2\0\0\0\11", 17));
    bed_free(b);
}

static void uvarint_longer_than_five_bytes_or_31_bits_is_malformed(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request r;
    assert_int_equal(DECODE(b, metadata_request, 12, &r, "\200\200\200\200\200\0"), E_MALFORMED);
    assert_int_equal(DECODE(b, metadata_request, 12, &r, "\377\377\377\377\17"), E_MALFORMED);
    assert_int_equal(DECODE(b, metadata_request, 12, &r, "\200\200"), E_EOF);
    assert_int_equal(DECODE(b, metadata_request, 12, &r, "\201\200\200\200\0\1\0\0"), 0); /* long form of 1 */
    assert_int_equal(r.topics_n, 0);
    bed_free(b);
}

static void string_beyond_32767_bytes_is_refused_both_ways(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    uint8_t *wire = calloc(1, 40000);
    assert_non_null(wire);
    struct heartbeat_request r;
    int n = store_uvarint(wire, 32768 + 1);
    assert_int_equal(proto_decode_flat(&proto_heartbeat_request, 4, bytes_of(wire, 40000), &b->arena, &r, NULL),
                     E_MALFORMED);
    n = store_uvarint(wire, 32767 + 1);
    assert_int_equal(n, 3);
    assert_int_equal(proto_decode_flat(&proto_heartbeat_request, 4, bytes_of(wire, 40000), &b->arena, &r, NULL),
                     E_MALFORMED); /* the member id is null */
    struct heartbeat_request *big = PROTO_NEW(&b->arena, heartbeat_request, 1);
    big->group_id = bytes_of(wire, 32768);
    assert_int_equal(proto_size(&proto_heartbeat_request, 4, big), E_INVALID);
    struct proto_out o;
    assert_int_equal(proto_encode_request(&o, &b->arena, 12, 4, 1, bytes_of(wire, 1), big), 0);
    assert_int_equal(proto_encode_more(&o, 100), E_INVALID);
    assert_int_equal(proto_encode_request(&o, &b->arena, 12, 4, 1, bytes_of(wire, 32768), big), E_INVALID);
    big->group_id.n = 32767;
    assert_true(proto_size(&proto_heartbeat_request, 4, big) > 32767);
    free(wire);
    bed_free(b);
}

/* ── hostile counts ── */

static void array_count_beyond_the_bytes_left_allocates_nothing(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request r;
    struct offset_fetch_request o;
    assert_int_equal(DECODE(b, metadata_request, 4, &r, "\177\377\377\377\0\1a\0"), E_EOF);
    assert_int_equal(DECODE(b, metadata_request, 12, &r, "\377\377\377\377\7\2a\0"), E_EOF);
    /* Three strings of at least two bytes each do not fit into five. */
    assert_int_equal(DECODE(b, metadata_request, 4, &r, "\0\0\0\3\0\1a\0\0"), E_EOF);
    assert_int_equal(DECODE(b, offset_fetch_request, 1, &o, "\0\1g\177\377\377\377\0\0"), E_EOF);
    assert_int_equal(b->arena.used_bytes, 0);
    bed_free(b);
}

static void length_beyond_the_bytes_left_allocates_nothing(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct sasl_authenticate_request s;
    struct produce_request p;
    assert_int_equal(DECODE(b, sasl_authenticate_request, 0, &s, "\177\377\377\377abc"), E_EOF);
    assert_int_equal(DECODE(b, sasl_authenticate_request, 2, &s, "\377\377\377\377\7abc"), E_EOF);
    assert_int_equal(b->arena.used_bytes, 0);
    assert_int_equal(DECODE(b, produce_request, 9, &p, "\0\0\1\0\0\0\0\2\2t\2\0\0\0\0\377\377\377\377\7abc"), E_EOF);
    bed_free(b);
}

static void array_that_needs_more_than_the_arena_bound_is_refused(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct bed *b = bed_new(1);
    struct arena small;
    arena_init(&small, NULL, NULL, 2 * PAGE_LARGE);
    uint8_t *wire = calloc(1, 4 + 2 * N + 1);
    assert_non_null(wire);
    store_u32(wire, N); /* N empty names: 200 KB on the wire, 4 MB in memory */
    struct metadata_request r;
    assert_int_equal(
        proto_decode_flat(&proto_metadata_request, 4, bytes_of(wire, 4 + 2 * N + 1), &small, &r, NULL),
        E_NO_MEMORY);
    assert_true(small.used_bytes <= small.bytes_max);
    arena_fini(&small);
    free(wire);
    bed_free(b);
}

static void encoding_beyond_the_arena_bound_is_refused(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct arena small;
    arena_init(&small, NULL, NULL, PAGE_SMALL);
    static const uint8_t content[3 * PAGE_SMALL];
    struct sasl_authenticate_response *r = PROTO_NEW(&b->arena, sasl_authenticate_response, 1);
    r->auth_bytes = bytes_of(content, sizeof content);
    struct proto_out o;
    assert_int_equal(proto_encode_response(&o, &small, 36, 2, 1, r), 0);
    assert_int_equal(proto_encode_more(&o, 1000), E_NO_MEMORY);
    assert_int_equal(proto_encode_more(&o, 1000), E_NO_MEMORY);
    assert_int_equal(o.out.n, 0);
    arena_fini(&small);
    arena_init(&small, NULL, NULL, 0);
    assert_int_equal(proto_encode_response(&o, &small, 36, 2, 1, r), E_NO_MEMORY);
    assert_int_equal(proto_encode_request(&o, &small, 36, 2, 1, bytes_of("c", 1), r), E_NO_MEMORY);
    bed_free(b);
}

static void straddling_string_beyond_the_arena_bound_is_refused(void **state)
{
    (void)state;
    struct arena none;
    arena_init(&none, NULL, NULL, 0);
    struct slice v[] = {{(const uint8_t *)"\0\5ab", 4, NULL}, {(const uint8_t *)"cde\0\0\0\1\0\1m", 10, NULL}};
    struct slices from = {v, 2, 14};
    struct proto_in in;
    struct heartbeat_request r;
    proto_in_init(&in, &from, &none);
    assert_int_equal(proto_decode(&proto_heartbeat_request, 0, &in, &r), E_NO_MEMORY);
}

/* ── nulls on the way out ── */

static void null_where_the_version_has_no_null_is_invalid(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct metadata_request *r = PROTO_NEW(&b->arena, metadata_request, 1);
    uint8_t to[64];
    r->topics_n = -1;
    assert_int_equal(proto_size(&proto_metadata_request, 0, r), E_INVALID);
    assert_int_equal(proto_encode_flat(&proto_metadata_request, 0, r, to, sizeof to), E_INVALID);
    assert_int_equal(proto_size(&proto_metadata_request, 1, r), 4);
    struct heartbeat_request h = {0}; /* zeroed: its strings are null */
    assert_int_equal(proto_size(&proto_heartbeat_request, 0, &h), E_INVALID);
    assert_int_equal(proto_encode_flat(&proto_heartbeat_request, 0, &h, to, sizeof to), E_INVALID);
    struct share_fetch_response *s = PROTO_NEW(&b->arena, share_fetch_response, 1);
    s->responses = PROTO_NEW(&b->arena, share_fetch_response_responses, 1);
    s->responses_n = 1;
    s->responses->partitions = PROTO_NEW(&b->arena, share_fetch_response_responses_partitions, 1);
    s->responses->partitions_n = 1;
    assert_true(proto_size(&proto_share_fetch_response, 1, s) == E_INVALID);
    bed_free(b);
}

static void flat_room_that_is_not_the_size_is_invalid(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    uint8_t to[256];
    struct fetch_request *r = PROTO_NEW(&b->arena, fetch_request, 1);
    int64_t n = proto_size(&proto_fetch_request, 12, r);
    for (int64_t room = 0; room < n; room++)
        assert_int_equal(proto_encode_flat(&proto_fetch_request, 12, r, to, (uint64_t)room), E_INVALID);
    assert_int_equal(proto_encode_flat(&proto_fetch_request, 12, r, to, (uint64_t)n), 0);
    assert_int_equal(proto_encode_flat(&proto_fetch_request, 12, r, to, (uint64_t)n + 1), E_INVALID);
    bed_free(b);
}

/* ── headers and tables ── */

static int header_of(struct bed *b, const char *p, uint32_t n, struct proto_header *header, uint64_t *left)
{
    struct slice slice = {(const uint8_t *)p, n, NULL};
    struct slices from = {&slice, 1, n};
    struct proto_in in;
    proto_in_init(&in, &from, &b->arena);
    int rc = proto_decode_header(&in, header);
    *left = in.left;
    return rc;
}

static void request_header_client_id_is_never_compact(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct proto_header h;
    uint64_t left;
    assert_int_equal(header_of(b, "\0\3\0\4\0\0\0\11\0\2me", 12, &h, &left), 0); /* version 1 */
    assert_true(bytes_equal_string(h.client_id, "me"));
    assert_int_equal(left, 0);
    assert_int_equal(header_of(b, "\0\3\0\14\0\0\0\11\0\2me\1\7\1x", 16, &h, &left), 0); /* 2, a tag */
    assert_true(bytes_equal_string(h.client_id, "me"));
    assert_int_equal(h.correlation_id, 9);
    assert_int_equal(left, 0);
    assert_int_equal(header_of(b, "\0\3\0\14\0\0\0\11\377\377\0Z", 12, &h, &left), 0);
    assert_null(h.client_id.ptr);
    assert_int_equal(left, 1);
    for (uint32_t n = 0; n < 16; n++)
        assert_int_equal(header_of(b, "\0\3\0\14\0\0\0\11\0\2me\1\7\1x", n, &h, &left), E_EOF);
    bed_free(b);
}

static void request_header_of_an_unknown_version_still_names_it(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct proto_header h;
    uint64_t left;
    assert_int_equal(header_of(b, "\0\22\0\143\0\0\0\11\0\2me", 12, &h, &left), E_UNSUPPORTED);
    assert_int_equal(h.api_key, 18);
    assert_int_equal(h.api_version, 99);
    assert_int_equal(h.correlation_id, 9);
    assert_int_equal(header_of(b, "\0\4\0\0\0\0\0\11", 8, &h, &left), E_UNSUPPORTED);  /* no schema */
    assert_int_equal(header_of(b, "\0\135\0\0\0\0\0\11", 8, &h, &left), E_UNSUPPORTED); /* beyond the last */
    assert_int_equal(header_of(b, "\377\377\0\0\0\0\0\11", 8, &h, &left), E_UNSUPPORTED);
    assert_int_equal(header_of(b, "\0\22\377\377\0\0\0\11", 8, &h, &left), E_UNSUPPORTED);
    bed_free(b);
}

static void api_versions_answer_has_header_version_0(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct api_versions_response *r = PROTO_NEW(&b->arena, api_versions_response, 1);
    struct bytes frame;
    frame_of(&b->arena, &proto_api_versions_response, 3, r, 100, &frame);
    /* error, one byte of array, throttle time, tags: no tag byte behind the correlation id. */
    bytes_assert_equal(frame, bytes_of("\0\0\0\14\0\0\0\115\0\0\1\0\0\0\0\0", 16));
    struct heartbeat_response *h = PROTO_NEW(&b->arena, heartbeat_response, 1);
    frame_of(&b->arena, &proto_heartbeat_response, 4, h, 100, &frame);
    bytes_assert_equal(frame, bytes_of("\0\0\0\14\0\0\0\115\0\0\0\0\0\0\0\0", 16));
    bed_free(b);
}

static void response_header_is_skipped_by_version(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    const uint8_t wire[] = {0, 0, 0, 9, 1, 5, 2, 'x', 'y', 'Z'};
    struct slice slice = {wire, sizeof wire, NULL};
    struct slices from = {&slice, 1, sizeof wire};
    struct proto_in in;
    int32_t id = 0;
    proto_in_init(&in, &from, &b->arena);
    assert_int_equal(proto_decode_response_header(&in, 12, 4, &id), 0);
    assert_int_equal(id, 9);
    assert_int_equal(in.left, 1);
    proto_in_init(&in, &from, &b->arena);
    assert_int_equal(proto_decode_response_header(&in, 12, 3, &id), 0);
    assert_int_equal(in.left, 6);
    proto_in_init(&in, &from, &b->arena);
    assert_int_equal(proto_decode_response_header(&in, 18, 4, &id), 0);
    assert_int_equal(in.left, 6);
    in.left = 0;
    assert_int_equal(proto_decode_response_header(&in, 18, 4, &id), E_EOF);
    assert_int_equal(proto_decode_response_header(&in, 4, 0, &id), E_UNSUPPORTED);
    assert_int_equal(proto_decode_response_header(&in, 18, 99, &id), E_UNSUPPORTED);
    bed_free(b);
}

static void version_outside_the_schema_is_unsupported(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct produce_request p;
    struct proto_out o;
    uint8_t to[8];
    assert_int_equal(DECODE(b, produce_request, 2, &p, "x"), E_UNSUPPORTED);
    assert_int_equal(DECODE(b, produce_request, 14, &p, "x"), E_UNSUPPORTED);
    assert_int_equal(DECODE(b, produce_request, -1, &p, "x"), E_UNSUPPORTED);
    assert_int_equal(proto_size(&proto_produce_request, 14, &p), E_UNSUPPORTED);
    assert_int_equal(proto_encode_flat(&proto_produce_request, 2, &p, to, 8), E_UNSUPPORTED);
    assert_int_equal(proto_encode_response(&o, &b->arena, 0, 14, 1, &p), E_UNSUPPORTED);
    assert_int_equal(proto_encode_response(&o, &b->arena, 4, 0, 1, &p), E_UNSUPPORTED);
    assert_int_equal(proto_encode_more(&o, 1), E_UNSUPPORTED);
    assert_int_equal(proto_encode_request(&o, &b->arena, -1, 0, 1, bytes_of("", 0), &p), E_UNSUPPORTED);
    bed_free(b);
}

static void tables_hold_every_key_and_record_type(void **state)
{
    (void)state;
    for (int16_t key = 0; key < PROTO_APIS_N; key++) {
        bool is_gone = key >= 4 && key <= 7;
        assert_int_equal(proto_request(key) == NULL, is_gone);
        assert_int_equal(proto_response(key) == NULL, is_gone);
        assert_int_equal(strcmp(proto_api_name(key), "?") == 0, is_gone);
        if (is_gone)
            continue;
        assert_int_equal(proto_request(key)->version_min, proto_response(key)->version_min);
        assert_int_equal(proto_request(key)->version_max, proto_response(key)->version_max);
        assert_int_equal(proto_request(key)->flexible_min, proto_response(key)->flexible_min);
    }
    assert_null(proto_request(-1));
    assert_null(proto_response(PROTO_APIS_N));
    assert_string_equal(proto_api_name(0), "Produce");
    assert_string_equal(proto_api_name(-5), "?");
    assert_ptr_equal(proto_metadata_record(2), &proto_topic_record);
    assert_ptr_equal(proto_metadata_record(20), &proto_no_op_record);
    assert_null(proto_metadata_record(UINT32_MAX));
    assert_null(proto_metadata_record(1000));
}

static void fresh_structs_hold_their_defaults(void **state)
{
    (void)state;
    struct bed *b = bed_new(1);
    struct fetch_response_responses_partitions *p = PROTO_NEW(&b->arena, fetch_response_responses_partitions, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(p[i].last_stable_offset, -1);
        assert_int_equal(p[i].current_leader.leader_epoch, -1);
        assert_int_equal(p[i].preferred_read_replica, -1);
        assert_int_equal(p[i].aborted_transactions_n, 0);
        assert_null(p[i].records.v);
    }
    assert_null(PROTO_NEW(&b->arena, fetch_response_responses_partitions, 1 << 30));
    struct partition_change_record *c = PROTO_NEW(&b->arena, partition_change_record, 1);
    assert_int_equal(c->isr_n, -1);
    assert_int_equal(c->leader, -2);
    struct fetch_request_topics_partitions *q = PROTO_NEW(&b->arena, fetch_request_topics_partitions, 1);
    assert_true(q->high_watermark == INT64_MAX);
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
        TEST(records_encoded_are_linked_with_their_reference),
        TEST(records_of_a_failed_encoding_stay_with_the_value),
        TEST(records_decoded_name_their_owner_without_a_reference),
        TEST(records_null_and_empty_stay_apart),
        TEST(metadata_classic_bytes_decode_to_fields),
        TEST(field_the_version_does_not_have_holds_its_default),
        TEST(array_null_where_the_version_forbids_it_is_malformed),
        TEST(string_null_where_the_schema_forbids_it_is_malformed),
        TEST(null_struct_is_one_negative_byte),
        TEST(unknown_tags_are_skipped),
        TEST(known_tag_that_does_not_take_its_size_is_malformed),
        TEST(tags_are_written_in_order_and_only_off_their_default),
        TEST(uvarint_longer_than_five_bytes_or_31_bits_is_malformed),
        TEST(string_beyond_32767_bytes_is_refused_both_ways),
        TEST(array_count_beyond_the_bytes_left_allocates_nothing),
        TEST(length_beyond_the_bytes_left_allocates_nothing),
        TEST(array_that_needs_more_than_the_arena_bound_is_refused),
        TEST(encoding_beyond_the_arena_bound_is_refused),
        TEST(straddling_string_beyond_the_arena_bound_is_refused),
        TEST(null_where_the_version_has_no_null_is_invalid),
        TEST(flat_room_that_is_not_the_size_is_invalid),
        TEST(request_header_client_id_is_never_compact),
        TEST(request_header_of_an_unknown_version_still_names_it),
        TEST(api_versions_answer_has_header_version_0),
        TEST(response_header_is_skipped_by_version),
        TEST(version_outside_the_schema_is_unsupported),
        TEST(tables_hold_every_key_and_record_type),
        TEST(fresh_structs_hold_their_defaults),
    };
    return TESTS_RUN(tests);
}
