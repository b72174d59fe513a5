/*
 * request_test.c - frames, headers, versions and budgets: from bytes to a request or to the end of
 * the connection (error-behaviour section 1; traps 1-3, 31-33).
 */
#include "kafka_bed.h"

enum { METADATA = 3, API_VERSIONS = 18 };

static void put_i16(uint8_t **p, int v)
{
    store_u16(*p, (uint16_t)v);
    *p += 2;
}

static void put_i32(uint8_t **p, int32_t v)
{
    store_u32(*p, (uint32_t)v);
    *p += 4;
}

/* A frame: header (classic) with a null client id when `text` is NULL, then the body. */
static uint64_t frame_of(uint8_t *to, int key, int version, const char *text, const void *body,
                         uint32_t n)
{
    uint8_t *p = to + 4;
    put_i16(&p, key);
    put_i16(&p, version);
    put_i32(&p, 77);
    put_i16(&p, text == NULL ? -1 : (int)strlen(text));
    for (; text != NULL && *text != '\0'; text++)
        *p++ = (uint8_t)*text;
    if (n > 0)
        memcpy(p, body, n);
    p += n;
    store_u32(to, (uint32_t)(p - to - 4));
    return (uint64_t)(p - to);
}

/* ── what closes ── */

static void expect_close(const void *bytes, uint64_t n, enum stat_at stat)
{
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    client_write(&c, bytes, n);
    client_expect_end(&c);
    assert_int_equal(bed_stat(bed, stat), 1);
    assert_int_equal(conns_stats(bed->workers[0].conns)
                         ->ends[stat == STAT_BAD_LENGTH ? CONN_END_TOO_LARGE : CONN_END_PROTOCOL],
                     1);
    client_close(&c);
    bed_free(bed);
}

static void bad_lengths_close(void **state)
{
    (void)state;
    static const uint8_t frames[][4] = {
        {0, 0, 0, 0},         {255, 255, 255, 255}, {128, 0, 0, 0}, {1, 0, 0, 1}, /* 16 MiB + 1 */
        {'G', 'E', 'T', ' '}, {0x16, 3, 1, 2},                                    /* HTTP, TLS */
    };
    for (size_t i = 0; i < array_n(frames); i++)
        expect_close(frames[i], 4, STAT_BAD_LENGTH);
}

static void longest_frame_is_waited_for(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    static const uint8_t prefix[] = {1, 0, 0, 0, 0};
    client_write(&c, prefix, sizeof prefix);
    bed_turns(bed, 20);
    client_pull(&c);
    assert_false(c.is_over);
    assert_int_equal(bed->workers[0].kafka->large_bytes, 16 << 20);
    client_close(&c);
    bed_free(bed);
}

static void short_headers_close(void **state)
{
    (void)state;
    static const uint8_t four[] = {0, 0, 0, 4, 0, 0, 0, 0};
    static const uint8_t seven[] = {0, 0, 0, 7, 0, 3, 0, 1, 0, 0, 0};
    static const uint8_t long_client[] = {0, 0, 0, 12, 0, 3, 0, 1, 0, 0, 0, 1, 0, 50, 'a', 'b'};
    expect_close(four, sizeof four, STAT_BAD_HEADER);
    expect_close(seven, sizeof seven, STAT_BAD_HEADER);
    expect_close(long_client, sizeof long_client, STAT_BAD_HEADER);
}

/* Trap 31. */
static void trap_31_unknown_keys_close(void **state)
{
    (void)state;
    static const int keys[] = {999, -1, 4, 7, 52, 63, 93};
    uint8_t frame[64];
    for (size_t i = 0; i < array_n(keys); i++)
        expect_close(frame, frame_of(frame, keys[i], 0, "c", "\0\0\0\0", 4), STAT_BAD_API);
}

static void versions_out_of_range_close(void **state)
{
    (void)state;
    static const int rows[][2] = {{METADATA, 99}, {METADATA, -1}, {0, 2},  {0, 0},
                                  {0, 14},        {1, 3},         {1, 19}, {22, 6}};
    uint8_t frame[64];
    for (size_t i = 0; i < array_n(rows); i++)
        expect_close(frame, frame_of(frame, rows[i][0], rows[i][1], "c", "\0\0\0\0\0\0\0\0", 8),
                     STAT_BAD_VERSION);
}

static void bodies_that_cannot_be_decoded_close(void **state)
{
    (void)state;
    uint8_t frame[64];
    static const uint8_t truncated[] = {0, 0, 0, 2, 0, 1, 'a'};
    static const uint8_t huge[] = {0x7f, 0xff, 0xff, 0xff};
    static const uint8_t negative[] = {0, 0, 0, 1, 0xff, 0xfb};
    static const uint8_t overlong[] = {0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1};
    expect_close(frame, frame_of(frame, METADATA, 1, "c", truncated, sizeof truncated),
                 STAT_BAD_BODY);
    expect_close(frame, frame_of(frame, METADATA, 1, "c", huge, sizeof huge), STAT_BAD_BODY);
    expect_close(frame, frame_of(frame, METADATA, 1, "c", negative, sizeof negative),
                 STAT_BAD_BODY);
    expect_close(frame, frame_of(frame, METADATA, 9, "c", overlong, sizeof overlong),
                 STAT_BAD_BODY);
}

/* One request may not hold a worker for long: what it may name is bounded, however small its
 * elements are. */
static void more_elements_than_one_request_may_have_close(void **state)
{
    (void)state;
    enum { TOPIC_BYTES = 3 };
    for (uint32_t over = 0; over < 2; over++) {
        struct bed *bed = bed_new(1);
        struct client c = client_connect(bed);
        uint32_t n = REQUEST_ELEMENTS_MAX + over, body_n = 4 + n * TOPIC_BYTES;
        uint8_t *frame = malloc(64 + body_n), *body = calloc(1, body_n);
        store_u32(body, n);
        for (uint32_t i = 0; i < n; i++)
            memcpy(body + 4 + i * TOPIC_BYTES, "\0\1?", TOPIC_BYTES);
        client_write(&c, frame, frame_of(frame, METADATA, 1, "c", body, body_n));
        if (over == 1)
            client_expect_end(&c);
        else
            bed_turns(bed, BED_TURNS); /* decoded; the answer is another matter */
        assert_int_equal(bed_stat(bed, STAT_MANY_ELEMENTS), over);
        assert_int_equal(bed_stat(bed, STAT_BAD_BODY), 0);
        client_close(&c);
        bed_free(bed);
        free(frame);
        free(body);
    }
}

/* Trap 32: the client id has a two-byte length in flexible headers, too (ApiVersions v3 among
 * them). */
static void trap_32_client_id_of_a_flexible_header_is_classic(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    uint8_t frame[64];
    static const uint8_t body[] = {0, 2, 'x', 2, '1', 0}; /* no tags; name, version; no tags */
    client_write(&c, frame, frame_of(frame, API_VERSIONS, 3, "a-client-id", body, sizeof body));
    const struct api_versions_response *p = client_answer(&c, API_VERSIONS, 3, 77);
    assert_int_equal(p->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

/* ── what is tolerated ── */

static void expect_metadata(const void *bytes, uint64_t n, int16_t version)
{
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    client_write(&c, bytes, n);
    const struct metadata_response *p = client_answer(&c, METADATA, version, 77);
    assert_int_equal(p->brokers_n, 1);
    client_close(&c);
    bed_free(bed);
}

static void oddities_that_kafka_tolerates_are_answered(void **state)
{
    (void)state;
    uint8_t frame[64];
    static const uint8_t minus_two[] = {0xff, 0xff, 0xff, 0xfe};
    static const uint8_t trailing[] = {0, 0, 0, 0, 1, 2, 3, 4, 5};
    expect_metadata(frame, frame_of(frame, METADATA, 1, "c", minus_two, 4), 1);
    expect_metadata(frame, frame_of(frame, METADATA, 1, "c", trailing, sizeof trailing), 1);
    uint64_t n = frame_of(frame, METADATA, 1, NULL, trailing, 4);
    expect_metadata(frame, n, 1);
    store_u16(frame + 12, (uint16_t)-2); /* client id length -2 is null, too */
    expect_metadata(frame, n, 1);
    expect_metadata(frame, frame_of(frame, METADATA, 1, "\xc3\x28\xff", trailing, 4),
                    1); /* no UTF-8 */
}

/* Traps 32, 33: a classic client id in a flexible header, unknown tags skipped. */
static void trap_33_unknown_tag_in_the_header_is_skipped(void **state)
{
    (void)state;
    uint8_t frame[64];
    static const uint8_t body[] = {1, 99, 2, 'x', 'y', /* one tag, 99, two bytes */
                                   1, 0,  0, 0,   0};  /* no topics, three booleans, no tags */
    expect_metadata(frame, frame_of(frame, METADATA, 9, "c", body, sizeof body), 9);
}

static void header_only_api_versions_v0_is_answered(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    uint8_t frame[64];
    client_write(&c, frame, frame_of(frame, API_VERSIONS, 0, NULL, NULL, 0));
    const struct api_versions_response *p = client_answer(&c, API_VERSIONS, 0, 77);
    assert_int_equal(p->api_keys_n, apis_n - 2); /* without telemetry */
    client_close(&c);
    bed_free(bed);
}

/* ── ApiVersions ── */

static void telemetry_without_a_place_for_it_is_not_listed(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct api_versions_request q = {bytes_of_string("test-client"), bytes_of_string("1.0")};
    const struct api_versions_response *p = client_ask(&c, API_VERSIONS, 4, &q);
    for (int i = 0; i < p->api_keys_n; i++)
        assert_true(p->api_keys[i].api_key != 71 && p->api_keys[i].api_key != 72);
    client_close(&c);
    bed_free(bed);
}

static void api_versions_lists_what_the_table_offers(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    bed->view.offers_telemetry = true;
    struct client c = client_connect(bed);
    struct api_versions_request q = {bytes_of_string("test-client"), bytes_of_string("1.0")};
    for (int16_t version = 0; version <= 4; version++) {
        const struct api_versions_response *p = client_ask(&c, API_VERSIONS, version, &q);
        assert_int_equal(p->error_code, 0);
        assert_int_equal(p->api_keys_n, apis_n);
        for (int i = 0; i < p->api_keys_n; i++) {
            const struct api *api = api_find(p->api_keys[i].api_key);
            assert_int_equal(p->api_keys[i].min_version, api->version_min);
            assert_int_equal(p->api_keys[i].max_version, api->version_max);
        }
        assert_int_equal(p->api_keys[0].api_key, 0);
        assert_int_equal(p->api_keys[0].min_version, 0); /* trap 1 */
        assert_int_equal(p->supported_features_n, version >= 4 ? 2 : version == 3 ? 1 : 0);
        if (version < 3)
            continue;
        assert_true(bytes_equal_string(p->supported_features[0].name, "metadata.version"));
        assert_int_not_equal(p->supported_features[0].min_version, 0); /* trap 3 */
        assert_int_equal(p->finalized_features_n, 2);
        assert_int_equal(p->finalized_features[0].max_version_level, 30);
        assert_true(bytes_equal_string(p->finalized_features[1].name, "group.version"));
        assert_int_equal(p->finalized_features[1].max_version_level, 1);
        assert_int_equal(p->finalized_features_epoch, 77);
    }
    client_close(&c);
    bed_free(bed);
}

/* Trap 3: nothing with a supported minimum of 0 up to v3: group.version is told from v4 on. */
static void trap_3_no_feature_begins_at_zero(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct api_versions_request q = {bytes_of_string("test-client"), bytes_of_string("1.0")};
    for (int16_t version = 3; version <= 4; version++) {
        const struct api_versions_response *p = client_ask(&c, API_VERSIONS, version, &q);
        assert_int_equal(p->supported_features_n, version == 3 ? 1 : 2);
        assert_int_equal(p->supported_features[0].min_version, 7);
        assert_int_equal(p->supported_features[0].max_version, 30);
        if (version == 3)
            continue;
        assert_true(bytes_equal_string(p->supported_features[1].name, "group.version"));
        assert_int_equal(p->supported_features[1].min_version, 0);
        assert_int_equal(p->supported_features[1].max_version, 1);
    }
    client_close(&c);
    bed_free(bed);
}

static void trap_2_unknown_api_versions_version_gets_35_in_v0_form(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    uint8_t frame[64];
    static const int versions[] = {5, 99, -1};
    for (size_t i = 0; i < array_n(versions); i++) {
        client_write(&c, frame, frame_of(frame, API_VERSIONS, versions[i], "c", "\1\2\3\4\5", 5));
        const struct api_versions_response *p = client_answer(&c, API_VERSIONS, 0, 77);
        assert_int_equal(p->error_code, 35);
        assert_int_equal(p->api_keys_n, 1);
        assert_int_equal(p->api_keys[0].api_key, 18);
        assert_int_equal(p->api_keys[0].min_version, 0);
        assert_int_equal(p->api_keys[0].max_version, 4);
    }
    struct api_versions_request q = {bytes_of_string("x"), bytes_of_string("1")};
    const struct api_versions_response *p =
        client_ask(&c, API_VERSIONS, 4, &q); /* the connection stays */
    assert_int_equal(p->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

static void api_versions_with_a_bad_software_name_is_42(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "-x", "x-", "a b", "a\tb"};
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    for (size_t i = 0; i < array_n(bad); i++) {
        struct api_versions_request q = {bytes_of_string(bad[i]), bytes_of_string("1")};
        const struct api_versions_response *p = client_ask(&c, API_VERSIONS, 3, &q);
        assert_int_equal(p->error_code, 42);
        assert_int_equal(p->api_keys_n, 0);
    }
    client_close(&c);
    bed_free(bed);
}

/* ── order, fragments, budgets ── */

static void requests_in_one_write_are_answered_in_order(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct metadata_request q = {NULL, 0, false, false, false};
    uint8_t all[3000];
    uint64_t n = 0;
    for (int32_t i = 0; i < 40; i++) { /* more than one connection's share of a turn */
        uint64_t part;
        uint8_t *p = request_bytes(METADATA, 9, i, &q, &part);
        memcpy(all + n, p, part);
        n += part;
        free(p);
    }
    client_write(&c, all, n);
    for (int32_t i = 0; i < 40; i++)
        client_answer(&c, METADATA, 9, i);
    client_close(&c);
    bed_free(bed);
}

static void bytes_that_come_one_by_one_make_a_request(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    uint64_t n;
    uint8_t *p = request_bytes(0, 9, 5, produce_to(bed, t, 0, 1, 1, batch_of(bed, 3, 1)), &n);
    for (uint64_t i = 0; i < n; i++) {
        client_write(&c, p + i, 1);
        bed_turn(bed);
    }
    free(p);
    const struct produce_response *a = client_answer(&c, 0, 9, 5);
    assert_int_equal(produced(a, 0)->error_code, 0);
    client_close(&c);
    bed_free(bed);
}

static void requests_beyond_the_pool_wait(void **state)
{
    (void)state;
    struct kafka_config config = bed_config();
    config.requests_max = 4;
    config.requests_per_turn = 3;
    struct bed *bed = bed_new_with(1, &config);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c[10];
    int32_t ids[10];
    bed->workers[0].store->is_instant = false;
    for (int i = 0; i < 10; i++) {
        c[i] = client_connect(bed);
        ids[i] = client_send(&c[i], 0, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1)));
    }
    bed_turns(bed, 5);
    assert_int_equal(bed->workers[0].kafka->states_n[REQUEST_WAITING], 4);
    assert_true(bed_stat(bed, STAT_NO_REQUEST_MEMORY) > 0);
    for (int i = 0; i < 10; i++) { /* first come, first served */
        for (int j = 0; j < 5 && !client_has_answer(&c[i]); j++) {
            fake_durable_all(bed->workers[0].store, bed->now);
            bed_turn(bed);
        }
        const struct produce_response *p = client_answer(&c[i], 0, 9, ids[i]);
        assert_int_equal(produced(p, 0)->base_offset, i);
    }
    for (int i = 0; i < 10; i++)
        client_close(&c[i]);
    bed_free(bed);
}

static void slots_of_a_connection_are_bounded(void **state)
{
    (void)state;
    struct kafka_config config = bed_config();
    config.requests_max = 1000;
    struct bed *bed = bed_new_with(1, &config);
    struct view_topic *t = bed_topic(bed, "t", 1);
    struct client c = client_connect(bed);
    bed->workers[0].store->is_instant = false;
    for (int i = 0; i < 250; i++)
        client_send(&c, 0, 9, produce_to(bed, t, 0, 1, -1, batch_of(bed, 1, 1)));
    bed_turns(bed, 30);
    fake_durable_all(bed->workers[0].store, bed->now);
    struct api_versions_request q = {bytes_of_string("x"), bytes_of_string("1")};
    for (int i = 0; i < 100; i++)
        client_send(&c, API_VERSIONS, 3, &q);
    for (int i = 0; i < 250; i++)
        client_answer(&c, 0, 9, i + 1);
    for (int i = 0; i < 100; i++)
        client_answer(&c, API_VERSIONS, 3, 251 + i);
    client_close(&c);
    bed_free(bed);
}

/* A request of n bytes that is answered: Metadata with one name and much behind the body. */
static uint8_t *padded_metadata(uint32_t n)
{
    uint8_t *p = calloc(1, 4 + n);
    frame_of(p, METADATA, 1, "c", "\0\0\0\0", 4);
    store_u32(p, n);
    return p;
}

static void large_frames_are_admitted_in_turn_and_small_ones_pass(void **state)
{
    (void)state;
    struct bed *bed =
        bed_new(1); /* a budget of 4 MiB: 2 MiB at most for large ones, but the first */
    struct client large[4], small = client_connect(bed);
    uint32_t n = 3 << 20;
    uint8_t *bytes = padded_metadata(n);
    for (int i = 0; i < 4; i++) {
        large[i] = client_connect(bed);
        client_write(&large[i], bytes, 1000);
    }
    bed_turns(bed, 3);
    struct kafka *k = bed->workers[0].kafka;
    assert_int_equal(k->large_n, 1);
    assert_int_equal(k->large_bytes, n);
    struct metadata_request q = {NULL, 0, false, false, false};
    client_ask(&small, METADATA, 9, &q);
    uint8_t *half = padded_metadata(FRAME_SMALL_MAX);
    client_write(&small, half, 4 + FRAME_SMALL_MAX); /* the longest small one passes, too */
    client_answer(&small, METADATA, 1, 77);
    for (int i = 0; i < 4;
         i++) { /* whoever is written to is not necessarily the one admitted: all get all */
        client_write(&large[i], bytes + 1000, n + 4 - 1000);
        assert_true(k->large_n <= 1);
        client_answer(&large[i], METADATA, 1, 77);
    }
    bed_turns(bed, 3);
    assert_int_equal(k->large_bytes, 0);
    for (int i = 0; i < 4; i++)
        client_close(&large[i]);
    client_close(&small);
    free(bytes);
    free(half);
    bed_free(bed);
}

static void slow_large_frame_loses_its_place(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client slow = client_connect(bed), next = client_connect(bed);
    uint8_t *bytes = padded_metadata(3 << 20);
    client_write(&slow, bytes, 1000);
    bed_turns(bed, 2);
    client_write(&next, bytes, 1000);
    bed_turns(bed, 10);
    assert_int_equal(bed->workers[0].kafka->large_n, 1);
    for (int i = 0; i < 6000 && !slow.is_over; i++) {
        bed_turn(bed);
        client_pull(&slow);
    }
    assert_true(slow.is_over);
    assert_int_equal(bed_stat(bed, STAT_SLOW_FRAME), 1);
    client_write(&next, bytes + 1000, (3 << 20) + 4 - 1000);
    client_answer(&next, METADATA, 1, 77);
    client_close(&slow);
    client_close(&next);
    free(bytes);
    bed_free(bed);
}

static void closing_in_the_middle_of_a_frame_gives_its_place_back(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    uint8_t *bytes = padded_metadata(1 << 20);
    for (uint64_t n = 1; n < 1 << 20; n = n * 7 + 1) {
        struct client c = client_connect(bed);
        client_write(&c, bytes, n);
        bed_turns(bed, 2);
        client_close(&c);
        bed_turns(bed, 3);
        assert_int_equal(bed->workers[0].kafka->large_n, 0);
        assert_int_equal(conns_count(bed->workers[0].conns), 0);
    }
    free(bytes);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bad_lengths_close),
        TEST(longest_frame_is_waited_for),
        TEST(short_headers_close),
        TEST(trap_32_client_id_of_a_flexible_header_is_classic),
        TEST(trap_3_no_feature_begins_at_zero),
        TEST(trap_31_unknown_keys_close),
        TEST(versions_out_of_range_close),
        TEST(bodies_that_cannot_be_decoded_close),
        TEST(more_elements_than_one_request_may_have_close),
        TEST(oddities_that_kafka_tolerates_are_answered),
        TEST(trap_33_unknown_tag_in_the_header_is_skipped),
        TEST(header_only_api_versions_v0_is_answered),
        TEST(telemetry_without_a_place_for_it_is_not_listed),
        TEST(api_versions_lists_what_the_table_offers),
        TEST(trap_2_unknown_api_versions_version_gets_35_in_v0_form),
        TEST(api_versions_with_a_bad_software_name_is_42),
        TEST(requests_in_one_write_are_answered_in_order),
        TEST(bytes_that_come_one_by_one_make_a_request),
        TEST(requests_beyond_the_pool_wait),
        TEST(slots_of_a_connection_are_bounded),
        TEST(large_frames_are_admitted_in_turn_and_small_ones_pass),
        TEST(slow_large_frame_loses_its_place),
        TEST(closing_in_the_middle_of_a_frame_gives_its_place_back),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
