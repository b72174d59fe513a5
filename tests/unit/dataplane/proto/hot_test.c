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

static void encodes_alike(struct bed *b, const struct proto_message *m, int16_t version,
                          void *value)
{
    struct bytes once, steps;
    if (!is_response(m))
        return;
    frame_of(&b->arena, m, version, value, UINT32_MAX, &once);
    frame_of(&b->arena, m, version, value, 1, &steps);
    bytes_assert_equal(once, steps);
    struct bytes body = flat_of(&b->arena, m, version, value);
    assert_memory_equal(once.ptr + once.n - body.n, body.ptr, body.n);
}

static void encoded_alike_by_both(void **state)
{
    (void)state;
    every_hot(encodes_alike, false);
    every_hot(encodes_alike, true);
}

static void usual_answer_taken(struct bed *b, const struct proto_message *m, int16_t version,
                               void *value)
{
    struct proto_out o;
    if (!is_response(m))
        return;
    assert_int_equal(proto_encode_response(&o, &b->arena, m->api_key, version, 1, value), 0);
    assert_true(m->hot->units(value, UINT32_MAX) > 0);
    assert_non_null(m->hot->put(&o, o.at, value, (uint8_t)version));
}

static void answer_without_tags_takes_the_straight_line(void **state)
{
    struct bed *b = bed_new(5);
    (void)state;
    for (int16_t v = 3; v <= 13; v++) {
        struct produce_response_responses_partition_responses *p =
            PROTO_NEW(&b->arena, produce_response_responses_partition_responses, 16);
        struct produce_response_responses topic = {
            .name = bytes_of("orders", 6), .partition_responses = p, .partition_responses_n = 16};
        struct produce_response r = {.responses = &topic, .responses_n = 1};
        usual_answer_taken(b, &proto_produce_response, v, &r);
    }
    bed_free(b);
}

static void answer_that_is_beyond_the_budget_is_made_in_steps(void **state)
{
    struct bed *b = bed_new(6);
    struct bytes frame;
    (void)state;
    struct produce_response_responses_partition_responses *p =
        PROTO_NEW(&b->arena, produce_response_responses_partition_responses, 1000);
    struct produce_response_responses topic = {
        .name = bytes_of("orders", 6), .partition_responses = p, .partition_responses_n = 1000};
    struct produce_response r = {.responses = &topic, .responses_n = 1};
    assert_true(frame_of(&b->arena, &proto_produce_response, 9, &r, 2000, &frame) > 1);
    assert_int_equal(frame_of(&b->arena, &proto_produce_response, 9, &r, 20000, &frame), 1);
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
        cmocka_unit_test(answer_that_is_beyond_the_budget_is_made_in_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
