/* bytes_on_wire_test.c - the codec against bytes written by hand: nulls, tags, hostile counts,
 * headers. */
#include "proto_bed.h"

/* ── hand-written bytes ── */

#define DECODE(b, name, version, out, literal)                                                     \
    proto_decode_flat(&proto_##name, version, bytes_of(literal, sizeof(literal) - 1), &(b)->arena, \
                      out, NULL)

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
    assert_int_equal(
        DECODE(b, fetch_request, 4, &f, "\377\377\377\377\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\0\0"), 0);
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
    assert_int_equal(DECODE(b, metadata_request, 1, &r, "\200\0\0\0"),
                     0); /* any negative number is null */
    assert_int_equal(r.topics_n, -1);
    struct fetch_request f;
    assert_int_equal(
        DECODE(b, fetch_request, 4, &f, "\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0\3\0\377\377\377\377"),
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
    assert_int_equal(
        DECODE(b, describe_topic_partitions_request, 0, &r, "\1\0\0\0\1\1\2a\0\0\0\3\0\0"), 0);
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
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\2\0\3abc\254\2\1"),
                     E_EOF);
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\1\0\377\377\377\377\7"),
                     E_EOF);
    assert_int_equal(DECODE(b, heartbeat_request, 4, &r, "\2g\0\0\0\5\2m\0\377\377\377\377\17"),
                     E_MALFORMED);
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
    r->leader = 7;           /* tag 1, default -2 */
    r->last_known_elr = &id; /* tag 7 */
    r->last_known_elr_n = 1;
    r->isr = NULL; /* tag 0, default null: an empty array is worth writing */
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
    assert_int_equal(DECODE(b, metadata_request, 12, &r, "\201\200\200\200\0\1\0\0"),
                     0); /* long form of 1 */
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
    assert_int_equal(
        proto_decode_flat(&proto_heartbeat_request, 4, bytes_of(wire, 40000), &b->arena, &r, NULL),
        E_MALFORMED);
    n = store_uvarint(wire, 32767 + 1);
    assert_int_equal(n, 3);
    assert_int_equal(
        proto_decode_flat(&proto_heartbeat_request, 4, bytes_of(wire, 40000), &b->arena, &r, NULL),
        E_MALFORMED); /* the member id is null */
    struct heartbeat_request *big = PROTO_NEW(&b->arena, heartbeat_request, 1);
    big->group_id = bytes_of(wire, 32768);
    assert_int_equal(proto_size(&proto_heartbeat_request, 4, big), E_INVALID);
    struct proto_out o;
    assert_int_equal(proto_encode_request(&o, &b->arena, 12, 4, 1, bytes_of(wire, 1), big), 0);
    assert_int_equal(proto_encode_more(&o, 100), E_INVALID);
    assert_int_equal(proto_encode_request(&o, &b->arena, 12, 4, 1, bytes_of(wire, 32768), big),
                     E_INVALID);
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
    assert_int_equal(
        DECODE(b, produce_request, 9, &p, "\0\0\1\0\0\0\0\2\2t\2\0\0\0\0\377\377\377\377\7abc"),
        E_EOF);
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
    assert_int_equal(proto_decode_flat(&proto_metadata_request, 4, bytes_of(wire, 4 + 2 * N + 1),
                                       &small, &r, NULL),
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
    struct slice v[] = {{(const uint8_t *)"\0\5ab", 4, NULL},
                        {(const uint8_t *)"cde\0\0\0\1\0\1m", 10, NULL}};
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
        assert_int_equal(proto_encode_flat(&proto_fetch_request, 12, r, to, (uint64_t)room),
                         E_INVALID);
    assert_int_equal(proto_encode_flat(&proto_fetch_request, 12, r, to, (uint64_t)n), 0);
    assert_int_equal(proto_encode_flat(&proto_fetch_request, 12, r, to, (uint64_t)n + 1),
                     E_INVALID);
    bed_free(b);
}

/* ── headers and tables ── */

static int header_of(struct bed *b, const char *p, uint32_t n, struct proto_header *header,
                     uint64_t *left)
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
    assert_int_equal(header_of(b, "\0\3\0\14\0\0\0\11\0\2me\1\7\1x", 16, &h, &left),
                     0); /* 2, a tag */
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
    assert_int_equal(header_of(b, "\0\4\0\0\0\0\0\11", 8, &h, &left),
                     E_UNSUPPORTED); /* no schema */
    assert_int_equal(header_of(b, "\0\135\0\0\0\0\0\11", 8, &h, &left),
                     E_UNSUPPORTED); /* beyond the last */
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
    assert_int_equal(proto_encode_request(&o, &b->arena, -1, 0, 1, bytes_of("", 0), &p),
                     E_UNSUPPORTED);
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
    struct fetch_response_responses_partitions *p =
        PROTO_NEW(&b->arena, fetch_response_responses_partitions, 3);
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
    struct fetch_request_topics_partitions *q =
        PROTO_NEW(&b->arena, fetch_request_topics_partitions, 1);
    assert_true(q->high_watermark == INT64_MAX);
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
