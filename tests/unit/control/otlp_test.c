/* otlp_test.c - OpenTelemetry's metrics become points: names, labels, kinds; what is no protobuf is
 * refused; bounds. */
#include "unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "otlp.h"
#include "prng.h"

/* ── a writer of protobuf ── */

struct out {
    uint8_t v[1 << 20];
    uint32_t n;
};

static struct out bufs[8];
static struct otlp_points points;

static struct out *empty(int at)
{
    bufs[at].n = 0;
    return &bufs[at];
}

static void put(struct out *o, const void *p, uint32_t n)
{
    memcpy(o->v + o->n, p, n);
    o->n += n;
}

static void put_varint(struct out *o, uint64_t v)
{
    o->n += (uint32_t)store_uvarint(o->v + o->n, v);
}

static void put_bytes(struct out *o, uint32_t field, const void *p, uint32_t n)
{
    put_varint(o, field << 3 | 2);
    put_varint(o, n);
    put(o, p, n);
}

static void put_text(struct out *o, uint32_t field, const char *text)
{
    put_bytes(o, field, text, (uint32_t)strlen(text));
}

static void put_double(struct out *o, uint32_t field, double value)
{
    put_varint(o, field << 3 | 1);
    put(o, &value, 8);
}

static void put_fixed(struct out *o, uint32_t field, int64_t value)
{
    put_varint(o, field << 3 | 1);
    put(o, &value, 8);
}

static void put_number(struct out *o, uint32_t field, uint64_t value)
{
    put_varint(o, field << 3);
    put_varint(o, value);
}

static void put_attribute(struct out *o, uint32_t field, const char *key, const char *value)
{
    struct out *any = empty(6), *pair = empty(7);
    put_text(any, 1, value);
    put_text(pair, 1, key);
    put_bytes(pair, 2, any->v, any->n);
    put_bytes(o, field, pair->v, pair->n);
}

/* A payload with one metric whose data message stands in bufs[2]; bufs[1] holds its resource. */
static struct bytes payload(const char *name, uint32_t kind)
{
    struct out *metric = empty(3), *scope = empty(4), *resource = empty(5), *all = empty(0);
    put_bytes(metric, kind, bufs[2].v, bufs[2].n); /* before the name: any order */
    put_text(metric, 1, name);
    put_bytes(scope, 2, metric->v, metric->n);
    put_bytes(resource, 2, scope->v, scope->n);
    put_bytes(resource, 1, bufs[1].v, bufs[1].n);
    put_bytes(all, 1, resource->v, resource->n);
    return bytes_of(all->v, all->n);
}

static void decode(struct bytes from)
{
    points.seed = 1;
    assert_int_equal(otlp_decode(from, &points), 0);
}

static const char *name_of(uint32_t at)
{
    return points.text + points.v[at].name_at;
}

static const char *labels_of(uint32_t at)
{
    return points.text + points.v[at].labels_at;
}

static void gauge_has_name_labels_and_value(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    empty(1);
    put_attribute(&bufs[1], 1, "group.id", "g\"1\\\n");
    put_double(point, 4, 1.5);
    put_attribute(point, 7, "node-id", "7");
    put_bytes(data, 1, point->v, point->n);
    decode(payload("org.apache.kafka.x-y.rate", 5));
    assert_int_equal(points.n, 1);
    assert_string_equal(name_of(0), "client_org_apache_kafka_x_y_rate");
    assert_string_equal(labels_of(0), "node_id=\"7\",group_id=\"g\\\"1\\\\\\n\"");
    assert_true(points.v[0].value == 1.5);
    assert_int_equal(points.v[0].kind, OTLP_GAUGE);
    assert_false(points.v[0].is_delta);
}

static void sum_is_a_counter_when_it_only_grows(void **state)
{
    (void)state;
    for (int is_monotonic = 0; is_monotonic < 2; is_monotonic++) {
        struct out *point = empty(0), *data = empty(2);
        empty(1);
        put_fixed(point, 6, -5);
        put_bytes(data, 1, point->v, point->n);
        put_number(data, 2, 1); /* delta */
        put_number(data, 3, (uint64_t)is_monotonic);
        decode(payload("s", 7));
        assert_int_equal(points.n, 1);
        assert_int_equal(points.v[0].kind, is_monotonic ? OTLP_COUNTER : OTLP_GAUGE);
        assert_true(points.v[0].is_delta);
        assert_true(points.v[0].value == -5);
    }
}

static void histogram_becomes_count_and_sum(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    empty(1);
    put_fixed(point, 4, 3);
    put_double(point, 5, 4.5);
    put_attribute(point, 9, "a", "b");
    put_bytes(data, 1, point->v, point->n);
    put_number(data, 2, 2);
    decode(payload("h", 9));
    assert_int_equal(points.n, 2);
    assert_string_equal(name_of(0), "client_h_count");
    assert_string_equal(name_of(1), "client_h_sum");
    assert_string_equal(labels_of(1), "a=\"b\"");
    assert_true(points.v[0].value == 3 && points.v[1].value == 4.5);
}

static void other_kinds_are_counted_as_left_out(void **state)
{
    (void)state;
    empty(2);
    empty(1);
    decode(payload("e", 10));
    assert_int_equal(points.n, 0);
    assert_int_equal(points.left_out_n, 1);
}

static void value_marked_as_absent_is_no_point(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    empty(1);
    put_double(point, 4, 1);
    put_number(point, 8, 1);
    put_bytes(data, 1, point->v, point->n);
    decode(payload("g", 5));
    assert_int_equal(points.n, 0);
}

static void label_names_stand_once_and_ours_cannot_be_taken(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    empty(1);
    put_attribute(&bufs[1], 1, "a", "resource");
    put_attribute(&bufs[1], 1, "b", "2");
    put_double(point, 4, 1);
    put_attribute(point, 7, "a", "point");
    put_attribute(point, 7, "client_id", "somebody else");
    put_attribute(point, 7, "client-instance-id", "x");
    put_attribute(point, 7, "__name__", "up");
    put_attribute(point, 7, "le", "1");
    put_attribute(point, 7, "9", "digit");
    put_attribute(point, 7, "", "nothing");
    put_bytes(data, 1, point->v, point->n);
    decode(payload("g", 5));
    assert_string_equal(labels_of(0), "a=\"point\",_9=\"digit\",b=\"2\"");
}

static void malformed_text_becomes_question_marks(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    empty(1);
    put_double(point, 4, NAN);
    put_attribute(point, 7, "a", "\xff\xc3\xa9\x01");
    put_bytes(data, 1, point->v, point->n);
    decode(payload("\xff", 5));
    assert_string_equal(labels_of(0), "a=\"?\xc3\xa9?\"");
    assert_string_equal(name_of(0), "client__");
}

static void long_texts_are_cut_and_labels_beyond_the_room_left_out(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    static char many[4000];
    memset(many, 'x', sizeof many - 1);
    empty(1);
    put_double(point, 4, 1);
    for (int i = 0; i < 60; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        put_attribute(point, 7, key, many);
    }
    put_bytes(data, 1, point->v, point->n);
    decode(payload(many, 5));
    assert_int_equal(strlen(name_of(0)), OTLP_NAME_MAX);
    assert_true(strlen(labels_of(0)) < OTLP_LABELS_MAX);
    assert_non_null(strstr(labels_of(0), "k0=\""));
}

static void points_beyond_the_room_are_left_out(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    empty(1);
    put_double(point, 4, 1);
    for (int i = 0; i < OTLP_POINTS_MAX + 10; i++)
        put_bytes(data, 1, point->v, point->n);
    decode(payload("g", 5));
    assert_int_equal(points.n, OTLP_POINTS_MAX);
    assert_int_equal(points.left_out_n, 10);
}

static void what_is_no_protobuf_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        uint32_t n;
    } wrong[] = {{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11},
                 {"\x0a\x05\x00", 3},     /* longer than it is */
                 {"\x00\x00", 2},         /* field 0 */
                 {"\x0b\x00", 2},         /* a group */
                 {"\x08\x01", 2},         /* field 1 is a message */
                 {"\x0a\x02\x12\x05", 4}, /* inside */
                 {"\x11\x01", 2}};
    for (uint32_t i = 0; i < array_n(wrong); i++)
        assert_int_equal(otlp_decode(bytes_of(wrong[i].bytes, wrong[i].n), &points), E_CORRUPT);
    assert_int_equal(otlp_decode(bytes_of("", 0), &points), 0);
    assert_int_equal(points.n, 0);
}

/* Every cut and every changed byte: an answer, never a step outside. */
static void damaged_payloads_are_read_within_their_bounds(void **state)
{
    (void)state;
    struct out *point = empty(0), *data = empty(2);
    struct prng prng;
    empty(1);
    put_attribute(&bufs[1], 1, "r", "s");
    put_double(point, 4, 1);
    put_attribute(point, 7, "a", "b");
    put_bytes(data, 1, point->v, point->n);
    struct bytes good = payload("name", 5);
    prng_init(&prng, 7);
    for (uint32_t n = 0; n <= good.n; n++) {
        uint8_t *copy = malloc(n + 1); /* the sanitizer sees the end */
        memcpy(copy, good.ptr, n);
        int e = otlp_decode(bytes_of(copy, n), &points);
        assert_true(e == 0 || e == E_CORRUPT);
        for (int i = 0; n > 0 && i < 50; i++) {
            copy[prng_below(&prng, n)] = (uint8_t)prng_next(&prng);
            e = otlp_decode(bytes_of(copy, n), &points);
            assert_true(e == 0 || e == E_CORRUPT);
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(gauge_has_name_labels_and_value),
        TEST(sum_is_a_counter_when_it_only_grows),
        TEST(histogram_becomes_count_and_sum),
        TEST(other_kinds_are_counted_as_left_out),
        TEST(value_marked_as_absent_is_no_point),
        TEST(label_names_stand_once_and_ours_cannot_be_taken),
        TEST(malformed_text_becomes_question_marks),
        TEST(long_texts_are_cut_and_labels_beyond_the_room_left_out),
        TEST(points_beyond_the_room_are_left_out),
        TEST(what_is_no_protobuf_is_refused),
        TEST(damaged_payloads_are_read_within_their_bounds),
    };
    return TESTS_RUN(tests);
}
