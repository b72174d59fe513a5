/*
 * fuzz_codec.c - any bytes as any message at any version: what decodes, encodes, and then stays the
 * same for ever.
 *
 * Owner: the fuzzer.
 *
 *   0  uint16  which message of proto_all
 *   2  uint8   which of its versions
 *   3  uint8   where the input is cut in two (255: nowhere), and the budget of an encoding step
 *   4  bytes   the message
 *
 * Checked: decoding split input equals decoding it whole; the first encoding has the size
 * proto_size says; decoding and encoding it once more gives the same bytes; a frame made in small
 * steps, and one made at once, hold the same body. The request header decoder gets the bytes, too.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "messages.h"

enum { HEAD_BYTES = 4, ARENA_BYTES = 4 << 20 };

/* The encoding of value in malloc'd memory. */
static struct bytes encoded(const struct proto_message *m, int16_t version, const void *value)
{
    int64_t n = proto_size(m, version, value);
    check(n >= 0);
    uint8_t *p = malloc((size_t)n + (n == 0));
    check(p != NULL);
    check(proto_encode_flat(m, version, value, p, (uint64_t)n) == 0);
    return bytes_of(p, (size_t)n);
}

static void frame_check(const struct proto_message *m, int16_t version, const void *value,
                        struct bytes body, uint32_t budget)
{
    if (proto_response(m->api_key) != m)
        return;
    struct arena arena;
    struct proto_out o;
    arena_init(&arena, NULL, NULL, ARENA_BYTES);
    check(proto_encode_response(&o, &arena, m->api_key, version, 1, value) == 0);
    int rc = E_AGAIN;
    for (uint64_t steps_n = 0; rc == E_AGAIN; steps_n++) {
        check(steps_n < 1 << 20);
        rc = proto_encode_more(&o, budget);
    }
    check(rc == 0 && o.out.bytes >= body.n);
    uint8_t *whole = malloc(o.out.bytes);
    check(whole != NULL);
    struct slices_at at = {0, 0};
    slices_copy(&o.out, &at, whole, o.out.bytes);
    check(load_u32(whole) == o.out.bytes - 4);
    check(body.n == 0 || memcmp(whole + o.out.bytes - body.n, body.ptr, body.n) == 0);
    free(whole);
    arena_fini(&arena);
}

/* Where there is a straight line: the same body. */
static void now_check(const struct proto_message *m, int16_t version, const void *value,
                      struct bytes body)
{
    struct arena arena;
    struct proto_out o;
    arena_init(&arena, NULL, NULL, ARENA_BYTES);
    void *room = arena_alloc(&arena, 8);
    if (room != NULL && proto_response(m->api_key) == m &&
        proto_encode_response_now(&o, &arena, m->api_key, version, 1, value, UINT32_MAX)) {
        uint8_t *whole = malloc(o.out.bytes);
        struct slices_at at = {0, 0};
        check(whole != NULL && o.out.bytes >= body.n);
        slices_copy(&o.out, &at, whole, o.out.bytes);
        check(load_u32(whole) == o.out.bytes - 4);
        check(body.n == 0 || memcmp(whole + o.out.bytes - body.n, body.ptr, body.n) == 0);
        free(whole);
    }
    arena_fini(&arena);
}

/* The value decoded from input cut at `cut`; the error. */
static int decode_split(const struct proto_message *m, int16_t version, struct bytes from,
                        uint32_t cut, struct arena *arena, void *value)
{
    struct slice v[] = {{from.ptr, cut, NULL}, {from.ptr + cut, from.n - cut, NULL}};
    struct slices slices = {v, 2, from.n};
    struct proto_in in;
    proto_in_init(&in, &slices, arena);
    return proto_decode(m, version, &in, value);
}

static void header_check(struct bytes from, struct arena *arena)
{
    struct slice v = {from.ptr, from.n, NULL};
    struct slices slices = {&v, 1, from.n};
    struct proto_in in;
    struct proto_header header;
    proto_in_init(&in, &slices, arena);
    if (proto_decode_header(&in, &header) == 0)
        check(in.left <= from.n - 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint32_t all_n;
    const struct proto_message *const *all = proto_all(&all_n);
    if (n < HEAD_BYTES)
        return 0;
    const struct proto_message *m = all[load_u16(data) % all_n];
    int16_t version = (int16_t)(m->version_min + data[2] % (m->version_max - m->version_min + 1));
    struct bytes from = bytes_of(data + HEAD_BYTES, n - HEAD_BYTES);
    uint32_t cut = data[3] == 255 ? from.n : (uint32_t)min_u64(data[3], from.n);

    struct arena arena;
    arena_init(&arena, NULL, NULL, ARENA_BYTES);
    void *value = arena_alloc(&arena, m->size), *again = arena_alloc(&arena, m->size);
    check(value != NULL && again != NULL);
    header_check(from, &arena);
    int whole = proto_decode_flat(m, version, from, &arena, value, NULL);
    int split = decode_split(m, version, from, cut, &arena, again);
    check(whole == split || whole == E_NO_MEMORY || split == E_NO_MEMORY);
    if (whole == 0 && split == 0) {
        struct bytes first = encoded(m, version, value), second = encoded(m, version, again);
        check(bytes_equal(first, second));
        free((void *)(uintptr_t)second.ptr);
        uint32_t used;
        check(proto_decode_flat(m, version, first, &arena, again, &used) == 0 && used == first.n);
        second = encoded(m, version, again);
        check(bytes_equal(first, second));
        frame_check(m, version, again, first, 1 + data[3] % 7);
        now_check(m, version, again, first);
        free((void *)(uintptr_t)first.ptr);
        free((void *)(uintptr_t)second.ptr);
    }
    arena_fini(&arena);
    return 0;
}
