/*
 * group_records_test.c - records of __consumer_offsets: bytes of Apache Kafka 4.3.1, and there and
 * back.
 */
#include "unit.h"

#include <stdlib.h>

#include "group_records.h"
#include "messages.h"

enum { ARENA_MAX = 1 << 20 };

static void offset_record_has_kafkas_bytes(void **state)
{
    (void)state;
    /* Value v4: flexible, the topic's id as tag 0. */
    static const uint8_t key[] = "\0\1\0\1g\0\1t\0\0\0\3";
    static const uint8_t value[] = "\0\4\0\0\0\0\0\0\0\x2a\xff\xff\xff\xff\5note\0\0\0\0\0\0\0\7"
                                   "\1\0\x10\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe\xf\x10";
    struct group_records r = {0};
    struct offset o = {.topic = bytes_of_string("t"),
                       .partition = 3,
                       .offset = 42,
                       .leader_epoch = -1,
                       .metadata = bytes_of_string("note"),
                       .commit_ms = 7,
                       .expire_ms = -1};
    for (int i = 0; i < 16; i++)
        o.topic_id.b[i] = (uint8_t)(i + 1);
    group_records_offset(&r, bytes_of_string("g"), &o);
    assert_int_equal(r.error, 0);
    struct bytes k, v;
    uint32_t at = 0;
    assert_true(group_records_next(&r, &at, &k, &v));
    assert_int_equal(k.n, sizeof key - 1);
    assert_memory_equal(k.ptr, key, k.n);
    assert_int_equal(v.n, sizeof value - 1);
    assert_memory_equal(v.ptr, value, v.n);
    assert_false(group_records_next(&r, &at, &k, &v));
    group_records_fini(&r);
}

static struct group_record back(const struct group_records *r, struct arena *arena)
{
    struct group_record out;
    struct bytes k, v;
    uint32_t at = 0;
    assert_true(group_records_next(r, &at, &k, &v));
    assert_int_equal(group_record_decode(k, v, arena, &out), 0);
    return out;
}

static void offsets_come_back_in_both_versions(void **state)
{
    (void)state;
    for (int64_t expire = -1; expire <= 99; expire += 100) {
        struct group_records r = {0};
        struct arena arena;
        struct offset o = {.topic = bytes_of_string("topic"),
                           .partition = 3,
                           .offset = 42,
                           .leader_epoch = 5,
                           .metadata = bytes_of_string("note"),
                           .commit_ms = 7,
                           .expire_ms = expire};
        arena_init(&arena, NULL, NULL, ARENA_MAX);
        group_records_offset(&r, bytes_of_string("g"), &o);
        struct group_record out = back(&r, &arena);
        assert_int_equal(out.kind, GROUP_RECORD_OFFSET);
        assert_false(out.is_gone);
        assert_true(bytes_equal_string(out.group, "g"));
        assert_true(bytes_equal_string(out.offset.topic, "topic"));
        assert_true(bytes_equal_string(out.offset.metadata, "note"));
        assert_int_equal(out.offset.offset, 42);
        assert_int_equal(out.offset.commit_ms, 7);
        assert_int_equal(out.offset.expire_ms, expire);
        assert_int_equal(out.offset.leader_epoch,
                         expire >= 0 ? -1 : 5); /* v1 has no place for it */
        arena_fini(&arena);
        group_records_fini(&r);
    }
}

static void tombstones_come_back(void **state)
{
    (void)state;
    struct group_records r = {0};
    struct arena arena;
    struct bytes k, v;
    struct group_record out;
    uint32_t at = 0;
    arena_init(&arena, NULL, NULL, ARENA_MAX);
    group_records_offset_gone(&r, bytes_of_string("g"), bytes_of_string("t"), 1);
    group_records_metadata_gone(&r, bytes_of_string("g"));
    assert_int_equal(r.records_n, 2);
    assert_true(group_records_next(&r, &at, &k, &v));
    assert_null(v.ptr);
    assert_int_equal(group_record_decode(k, v, &arena, &out), 0);
    assert_true(out.is_gone && out.kind == GROUP_RECORD_OFFSET && out.offset.partition == 1);
    assert_true(group_records_next(&r, &at, &k, &v));
    assert_int_equal(group_record_decode(k, v, &arena, &out), 0);
    assert_true(out.is_gone && out.kind == GROUP_RECORD_METADATA);
    arena_fini(&arena);
    group_records_fini(&r);
}

/* Whatever the bytes: an error or a record, never a crash. */
static void cut_and_changed_records_are_judged(void **state)
{
    (void)state;
    struct group_records r = {0};
    struct offset o = {
        .topic = bytes_of_string("topic"), .metadata = bytes_of_string("note"), .expire_ms = -1};
    struct prng p;
    struct bytes k, v;
    uint32_t at = 0, errors_n = 0;
    prng_init(&p, 11);
    group_records_offset(&r, bytes_of_string("group"), &o);
    assert_true(group_records_next(&r, &at, &k, &v));
    for (int i = 0; i < 20000; i++) {
        struct arena arena;
        struct group_record out;
        uint32_t kn = (uint32_t)prng_below(&p, k.n + 1), vn = (uint32_t)prng_below(&p, v.n + 1);
        uint8_t *key = malloc(kn + 1), *value = malloc(vn + 1);
        memcpy(key, k.ptr, kn);
        memcpy(value, v.ptr, vn);
        if (kn > 0 && prng_chance(&p, 50))
            key[prng_below(&p, kn)] = (uint8_t)prng_next(&p);
        if (vn > 0 && prng_chance(&p, 50))
            value[prng_below(&p, vn)] = (uint8_t)prng_next(&p);
        arena_init(&arena, NULL, NULL, ARENA_MAX);
        int e = group_record_decode(bytes_of(key, kn), bytes_of(value, vn), &arena, &out);
        assert_true(e == 0 || e == E_MALFORMED || e == E_UNSUPPORTED || e == E_NO_MEMORY);
        errors_n += e < 0;
        arena_fini(&arena);
        free(key);
        free(value);
    }
    assert_in_range(errors_n, 10000, 19999);
    group_records_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(offset_record_has_kafkas_bytes),
        TEST(offsets_come_back_in_both_versions),
        TEST(tombstones_come_back),
        TEST(cut_and_changed_records_are_judged),
    };
    return TESTS_RUN(tests);
}
