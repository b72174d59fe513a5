/* hot_test.c - the straight-line codecs against the interpreters: same values, same bytes, and they
 * are taken when they should be. */
#include "hot.h"
#include "proto_bed.h"

enum { SEEDS_N = 40, BEHIND_N = 3 };

static void every_hot(void (*test)(struct bed *, const struct proto_message *, int16_t, void *),
                      bool has_no_tags)
{
    uint32_t n, tested_n = 0;
    const struct proto_message *const *all = proto_all(&n);
    for (uint32_t i = 0; i < n; i++)
        for (int16_t v = all[i]->version_min; all[i]->hot != NULL && v <= all[i]->version_max; v++)
            for (uint64_t seed = 0; seed < SEEDS_N; seed++, tested_n++) {
                struct bed *b = bed_new(seed * 7919 + i * 64 + (uint64_t)v);
                b->values.has_no_tags = has_no_tags;
                test(b, all[i], v, values_make(&b->values, all[i], v));
                bed_free(b);
            }
    assert_true(tested_n > 6 * SEEDS_N);
}

/* The message without its straight line. */
static struct proto_message cold_of(const struct proto_message *m)
{
    struct proto_message cold = *m;
    cold.hot = NULL;
    return cold;
}

/* ── decoding ── */

static struct bytes behind(struct arena *arena, struct bytes whole)
{
    uint8_t *p = arena_alloc(arena, whole.n + BEHIND_N);
    assert_non_null(p);
    memcpy(p, whole.ptr, whole.n);
    return bytes_of(p, whole.n + BEHIND_N);
}

static void decodes_alike(struct bed *b, const struct proto_message *m, int16_t version,
                          void *value)
{
    struct proto_message cold = cold_of(m);
    struct bytes whole = flat_of(&b->arena, m, version, value);
    struct bytes from = behind(&b->arena, whole);
    void *one = room_for(&b->arena, m), *two = room_for(&b->arena, m);
    uint32_t used_one, used_two;
    memset(one, 0xa5, m->size); /* nothing may be left as it was */
    assert_int_equal(proto_decode_flat(m, version, from, &b->arena, one, &used_one), 0);
    assert_int_equal(proto_decode_flat(&cold, version, from, &b->arena, two, &used_two), 0);
    assert_int_equal(used_one, whole.n);
    assert_int_equal(used_two, whole.n);
    bytes_assert_equal(whole, flat_of(&b->arena, m, version, one));
    /* What the version does not have is at its default: the same in every other version, too. */
    for (int16_t v = m->version_min; v <= m->version_max; v++) {
        int64_t n = proto_size(m, v, two);
        assert_int_equal(proto_size(m, v, one), n);
        if (n >= 0)
            bytes_assert_equal(flat_of(&b->arena, m, v, one), flat_of(&b->arena, m, v, two));
    }
}

static void decoded_alike_by_both(void **state)
{
    (void)state;
    every_hot(decodes_alike, false);
    every_hot(decodes_alike, true);
}

/* The first bytes of a message, or one of them changed: the same error, or the same value. */
static void hostile_alike(struct bed *b, const struct proto_message *m, int16_t version,
                          void *value)
{
    struct proto_message cold = cold_of(m);
    struct bytes whole = flat_of(&b->arena, m, version, value);
    void *one = room_for(&b->arena, m), *two = room_for(&b->arena, m);
    for (uint32_t i = 0; i < 2 * whole.n && i < 400; i++) {
        uint32_t n = i % 2 == 0 ? i / 2 : whole.n, used_one = 0, used_two = 0;
        uint8_t *cut = malloc(n + (n == 0)); /* the address sanitizer sees a read beyond it */
        assert_non_null(cut);
        memcpy(cut, whole.ptr, n);
        if (i % 2 == 1)
            cut[i / 2] = (uint8_t)prng_next(&b->values.prng);
        int rc = proto_decode_flat(m, version, bytes_of(cut, n), &b->arena, one, &used_one);
        assert_int_equal(
            rc, proto_decode_flat(&cold, version, bytes_of(cut, n), &b->arena, two, &used_two));
        assert_int_equal(used_one, used_two);
        if (rc == 0)
            bytes_assert_equal(flat_of(&b->arena, m, version, one),
                               flat_of(&b->arena, m, version, two));
        free(cut);
    }
}

static void hostile_bytes_are_told_alike_by_both(void **state)
{
    (void)state;
    every_hot(hostile_alike, false);
}

static void elements_bounded(struct bed *b, const struct proto_message *m, int16_t version,
                             void *value)
{
    struct proto_message cold = cold_of(m);
    struct bytes whole = flat_of(&b->arena, m, version, value);
    struct slice v = {whole.ptr, whole.n, NULL};
    struct slices from = {&v, 1, whole.n};
    void *out = room_for(&b->arena, m);
    for (uint64_t max = 0; max < 8; max++) {
        struct proto_in one, two;
        proto_in_init(&one, &from, &b->arena);
        proto_in_init(&two, &from, &b->arena);
        one.elements_left = two.elements_left = max;
        int rc = proto_decode(m, version, &one, out);
        assert_int_equal(proto_decode(&cold, version, &two, out), rc);
        if (rc == 0)
            assert_int_equal(one.elements_left, two.elements_left);
    }
}

static void elements_are_counted_alike_by_both(void **state)
{
    (void)state;
    every_hot(elements_bounded, true);
}

static void usual_input_taken(struct bed *b, const struct proto_message *m, int16_t version,
                              void *value)
{
    struct bytes whole = flat_of(&b->arena, m, version, value);
    struct hot_in h = {whole.ptr + whole.n, &b->arena, NULL, UINT64_MAX};
    if (m->hot->get == NULL)
        return;
    const uint8_t *end = m->hot->get(&h, whole.ptr, room_for(&b->arena, m), (uint8_t)version);
    if (end == NULL) /* records that are there and empty are the interpreter's */
        assert_ptr_equal(m, &proto_produce_request);
    else
        assert_ptr_equal(end, whole.ptr + whole.n);
}

static void input_without_tags_takes_the_straight_line(void **state)
{
    (void)state;
    every_hot(usual_input_taken, true);
}

/* ── encoding ── */

/* The frame by the straight line; false: it is not taken. */
static bool frame_now(struct arena *arena, const struct proto_message *m, int16_t version,
                      const void *value, uint32_t budget, struct bytes *frame)
{
    struct proto_out o;
    assert_non_null(arena_alloc(arena, PAGE_LARGE / 2)); /* the rest of its chunk has room */
    if (!proto_encode_response_now(&o, arena, m->api_key, version, 77, value, budget))
        return false;
    assert_int_equal(proto_encode_more(&o, 1), 0); /* it is done */
    *frame = flat_of_slices(arena, &o.out);
    return true;
}

static void encodes_alike(struct bed *b, const struct proto_message *m, int16_t version,
                          void *value)
{
    struct bytes now, steps;
    if (!is_response(m))
        return;
    frame_of(&b->arena, m, version, value, 1, &steps);
    if (frame_now(&b->arena, m, version, value, UINT32_MAX, &now))
        bytes_assert_equal(now, steps);
    /* What was tried in vain is in nobody's way. */
    assert_false(frame_now(&b->arena, m, version, value, 0, &now));
    frame_of(&b->arena, m, version, value, UINT32_MAX, &now);
    bytes_assert_equal(now, steps);
}

static void encoded_alike_by_both(void **state)
{
    (void)state;
    every_hot(encodes_alike, false);
    every_hot(encodes_alike, true);
}

static struct produce_response answer_of(struct arena *arena, int32_t partitions_n)
{
    struct produce_response_responses *topic = PROTO_NEW(arena, produce_response_responses, 1);
    topic->name = bytes_of("orders", 6);
    topic->partition_responses =
        PROTO_NEW(arena, produce_response_responses_partition_responses, partitions_n);
    topic->partition_responses_n = partitions_n;
    return (struct produce_response){.responses = topic, .responses_n = 1};
}

static void answer_without_tags_takes_the_straight_line(void **state)
{
    (void)state;
    for (int16_t v = 3; v <= 13; v++) {
        struct bed *b = bed_new((uint64_t)v);
        struct produce_response r = answer_of(&b->arena, 16);
        struct bytes now, steps;
        assert_true(frame_now(&b->arena, &proto_produce_response, v, &r, UINT32_MAX, &now));
        frame_of(&b->arena, &proto_produce_response, v, &r, 1, &steps);
        bytes_assert_equal(now, steps);
        r.responses->partition_responses[3].current_leader.leader_id = 1; /* a tag from v10 on */
        assert_int_equal(frame_now(&b->arena, &proto_produce_response, v, &r, UINT32_MAX, &now),
                         v < 10);
        bed_free(b);
    }
}

static void answer_of_many_records_grows_as_it_must(void **state)
{
    enum { PARTITIONS_N = 700 };
    struct bed *b = bed_new(8);
    struct bytes now, steps;
    (void)state;
    struct slice data = {(const uint8_t *)"0123456789", 10, NULL};
    struct fetch_response_responses topic = {
        .partitions = PROTO_NEW(&b->arena, fetch_response_responses_partitions, PARTITIONS_N),
        .partitions_n = PARTITIONS_N};
    for (int i = 0; i < PARTITIONS_N; i++)
        topic.partitions[i].records = (struct slices){&data, 1, 10};
    struct fetch_response r = {.responses = &topic, .responses_n = 1};
    assert_true(frame_now(&b->arena, &proto_fetch_response, 17, &r, UINT32_MAX, &now));
    frame_of(&b->arena, &proto_fetch_response, 17, &r, 100, &steps);
    bytes_assert_equal(now, steps);
    bed_free(b);
}

static void answer_beyond_the_budget_is_left_to_the_interpreter(void **state)
{
    struct bed *b = bed_new(6);
    struct bytes frame;
    (void)state;
    struct produce_response r = answer_of(&b->arena, 1000);
    assert_false(frame_now(&b->arena, &proto_produce_response, 9, &r, 2000, &frame));
    assert_true(frame_now(&b->arena, &proto_produce_response, 9, &r, 20000, &frame));
    bed_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoded_alike_by_both),
        cmocka_unit_test(hostile_bytes_are_told_alike_by_both),
        cmocka_unit_test(elements_are_counted_alike_by_both),
        cmocka_unit_test(input_without_tags_takes_the_straight_line),
        cmocka_unit_test(encoded_alike_by_both),
        cmocka_unit_test(answer_without_tags_takes_the_straight_line),
        cmocka_unit_test(answer_of_many_records_grows_as_it_must),
        cmocka_unit_test(answer_beyond_the_budget_is_left_to_the_interpreter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
