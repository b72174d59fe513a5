/*
 * golden_test.c - bytes that are not ours: decoded and encoded again they must be the same.
 *
 * tests/golden/messages.txt   "Name version hex": every message at every version, by Apache
 *                             Kafka's serializers
 * tests/golden/frames.txt     "key version request|response hex": what real clients and a real
 *                             Apache Kafka said
 */
#include <stdio.h>
#include <stdlib.h>

#include "messages.h"
#include "unit.h"

enum { LINE_BYTES = 1 << 18, ARENA_BYTES = 8 << 20 };

/* Owner: the test. */
struct golden {
    FILE *file;
    char *line;
    uint8_t *bytes;
    struct arena arena;
};

static struct golden *golden_open(const char *path)
{
    struct golden *g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->file = fopen(path, "r");
    g->line = malloc(LINE_BYTES);
    g->bytes = malloc(LINE_BYTES / 2);
    assert_non_null(g->file);
    assert_non_null(g->line);
    assert_non_null(g->bytes);
    return g;
}

static void golden_close(struct golden *g)
{
    fclose(g->file);
    free(g->line);
    free(g->bytes);
    free(g);
}

static bool golden_next(struct golden *g)
{
    arena_init(&g->arena, NULL, NULL, ARENA_BYTES);
    return fgets(g->line, LINE_BYTES, g->file) != NULL;
}

static struct bytes golden_hex(struct golden *g, const char *hex)
{
    uint32_t n = 0;
    unsigned v;
    for (; sscanf(hex, "%2x", &v) == 1; hex += 2)
        g->bytes[n++] = (uint8_t)v;
    /* A copy of its own size: the address sanitizer sees a read beyond it. */
    uint8_t *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, g->bytes, n);
    return bytes_of(copy, n);
}

static const struct proto_message *message_named(const char *name)
{
    uint32_t n;
    const struct proto_message *const *all = proto_all(&n);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    fail_msg("no message %s", name);
    return NULL;
}

static void message_check(struct golden *g, const struct proto_message *m, int16_t version,
                          struct bytes wire)
{
    void *value = arena_alloc(&g->arena, m->size);
    uint32_t used = 0;
    int rc = proto_decode_flat(m, version, wire, &g->arena, value, &used);
    if (rc != 0 || used != wire.n)
        fail_msg("%s v%d: decode %d, %u of %u bytes", m->name, version, rc, used, wire.n);
    int64_t n = proto_size(m, version, value);
    uint8_t *again = arena_alloc(&g->arena, wire.n + 1);
    if (n != wire.n || proto_encode_flat(m, version, value, again, (uint64_t)n) != 0 ||
        memcmp(again, wire.ptr, wire.n) != 0)
        fail_msg("%s v%d: encoded again it is different (%lld of %u bytes)", m->name, version,
                 (long long)n, wire.n);
}

static void every_message_of_kafka_is_encoded_the_same(void **state)
{
    (void)state;
    struct golden *g = golden_open("tests/golden/messages.txt");
    char name[80];
    int version, at;
    uint32_t all_n, lines_n = 0, expected_n = 0;
    const struct proto_message *const *all = proto_all(&all_n);
    for (uint32_t i = 0; i < all_n; i++)
        expected_n += (uint32_t)(all[i]->version_max - all[i]->version_min + 1);
    for (; golden_next(g); lines_n++) {
        assert_int_equal(sscanf(g->line, "%79s %d %n", name, &version, &at), 2);
        struct bytes wire = golden_hex(g, g->line + at);
        message_check(g, message_named(name), (int16_t)version, wire);
        free((void *)(uintptr_t)wire.ptr);
        arena_fini(&g->arena);
    }
    assert_int_equal(lines_n, expected_n);
    golden_close(g);
}

/* The frame without its length, as the connection hands it up. */
static struct slices frame_inside(struct slice *slice, struct bytes frame)
{
    assert_true(frame.n >= 8);
    assert_int_equal(load_u32(frame.ptr), frame.n - 4);
    *slice = (struct slice){frame.ptr + 4, frame.n - 4, NULL};
    return (struct slices){slice, 1, frame.n - 4};
}

static void frame_check(struct golden *g, int16_t key, int16_t version, bool is_request,
                        struct bytes frame)
{
    struct slice slice;
    struct slices from = frame_inside(&slice, frame);
    struct proto_in in;
    struct proto_out o;
    struct proto_header header = {.correlation_id = 0};
    const struct proto_message *m = is_request ? proto_request(key) : proto_response(key);
    assert_non_null(m);
    void *value = arena_alloc(&g->arena, m->size);
    proto_in_init(&in, &from, &g->arena);
    int rc = is_request ? proto_decode_header(&in, &header)
                        : proto_decode_response_header(&in, key, version, &header.correlation_id);
    if (rc == 0)
        rc = proto_decode(m, version, &in, value);
    if (rc != 0 || in.left != 0)
        fail_msg("%s v%d: decode %d, %u bytes left", m->name, version, rc, (unsigned)in.left);
    rc = is_request
             ? proto_encode_request(&o, &g->arena, key, version, header.correlation_id,
                                    header.client_id, value)
             : proto_encode_response(&o, &g->arena, key, version, header.correlation_id, value);
    assert_int_equal(rc, 0);
    assert_int_equal(proto_encode_more(&o, UINT32_MAX), 0);
    uint8_t *again = arena_alloc(&g->arena, o.out.bytes);
    struct slices_at at = {0, 0};
    slices_copy(&o.out, &at, again, o.out.bytes);
    if (o.out.bytes != frame.n || memcmp(again, frame.ptr, frame.n) != 0)
        fail_msg("%s v%d: encoded again it is different", m->name, version);
}

static void every_captured_frame_is_encoded_the_same(void **state)
{
    (void)state;
    struct golden *g = golden_open("tests/golden/frames.txt");
    char kind[16];
    int key, version, at;
    uint32_t lines_n = 0;
    for (; golden_next(g); lines_n++) {
        assert_int_equal(sscanf(g->line, "%d %d %15s %n", &key, &version, kind, &at), 3);
        struct bytes frame = golden_hex(g, g->line + at);
        frame_check(g, (int16_t)key, (int16_t)version, strcmp(kind, "request") == 0, frame);
        free((void *)(uintptr_t)frame.ptr);
        arena_fini(&g->arena);
    }
    assert_true(lines_n > 400);
    golden_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_message_of_kafka_is_encoded_the_same),
        TEST(every_captured_frame_is_encoded_the_same),
    };
    return TESTS_RUN(tests);
}
