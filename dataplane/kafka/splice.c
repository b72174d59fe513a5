/*
 * splice.c - an answer with one very long array, whose elements become bytes one by one (splice.h).
 *
 * Owner: the request (its worker).
 */
#include "splice.h"

enum { SPLICE_FRONT, SPLICE_COUNT, SPLICE_FIRST, SPLICE_HEAD_MAX = 4096 };

bool splice_begin(struct splice *s, struct arena *arena, const struct proto_message *of,
                  const struct proto_struct *element, uint32_t element_size, int16_t version)
{
    *s = (struct splice){.arena = arena, .element = *of, .version = version};
    s->element.fields = element;
    s->element.size = element_size;
    s->out.v = arena_array(arena, SPLICE_PIECES_MAX, sizeof *s->out.v);
    s->out.n = SPLICE_FIRST;
    return s->out.v != NULL;
}

/* Room for n bytes; a new piece when the last has too little. */
static uint8_t *splice_room(struct splice *s, uint64_t n)
{
    if (n > (uint64_t)(s->end - s->at)) {
        uint64_t size = max_u64(n, PAGE_LARGE);
        if (s->out.n + 1 >= SPLICE_PIECES_MAX ||
            (s->at = arena_alloc_raw(s->arena, size)) == NULL) {
            s->at = s->end = NULL;
            return NULL;
        }
        s->end = s->at + size;
        s->out.v[s->out.n++] = (struct slice){s->at, 0, NULL};
    }
    uint8_t *to = s->at;
    s->at += n;
    s->out.v[s->out.n - 1].n += (uint32_t)n;
    s->out.bytes += n;
    return to;
}

bool splice_add(struct splice *s, const void *element)
{
    int64_t n = proto_size(&s->element, s->version, element);
    if (n < 0 || s->n == INT32_MAX)
        return false;
    uint8_t *to = splice_room(s, (uint64_t)n);
    if (to == NULL || proto_encode_flat(&s->element, s->version, element, to, (uint64_t)n) != 0)
        return false;
    s->n++;
    return true;
}

/* The answer with the array empty, as one piece. */
static uint8_t *splice_empty(struct splice *s, int16_t api_key, int32_t correlation_id,
                             const void *response, uint64_t *n)
{
    struct proto_out out;
    struct slices_at at = {0, 0};
    int rc = proto_encode_response(&out, s->arena, api_key, s->version, correlation_id, response);
    if (rc == 0)
        rc = proto_encode_more(&out, SPLICE_HEAD_MAX);
    uint8_t *all = rc == 0 ? arena_alloc_raw(s->arena, out.out.bytes) : NULL;
    if (all == NULL)
        return NULL;
    slices_copy(&out.out, &at, all, out.out.bytes);
    *n = out.out.bytes;
    return all;
}

bool splice_end(struct splice *s, int16_t api_key, int32_t correlation_id, const void *response,
                uint32_t behind_n, struct slices *out)
{
    bool is_flexible = s->version >= s->element.flexible_min;
    uint64_t n,
        count_n = is_flexible ? 1 : 4; /* of the empty array: 1 as a uvarint, or 0 as an i32 */
    uint8_t *all = splice_empty(s, api_key, correlation_id, response, &n);
    uint8_t *count = arena_alloc(s->arena, VARINT_BYTES_MAX);
    if (all == NULL || count == NULL)
        return false;
    check(n > 4 + count_n + behind_n);
    uint64_t front_n = n - behind_n - count_n;
    check(all[n - behind_n - 1] == (is_flexible ? 1 : 0));
    if (is_flexible) {
        count_n = (uint64_t)store_uvarint(count, (uint64_t)s->n + 1);
    } else {
        store_u32(count, (uint32_t)s->n);
    }
    s->out.v[SPLICE_FRONT] = (struct slice){all, (uint32_t)front_n, NULL};
    s->out.v[SPLICE_COUNT] = (struct slice){count, (uint32_t)count_n, NULL};
    if (behind_n > 0)
        s->out.v[s->out.n++] = (struct slice){all + n - behind_n, behind_n, NULL};
    s->out.bytes += front_n + count_n + behind_n;
    if (s->out.bytes - 4 > INT32_MAX)
        return false;
    store_u32(all, (uint32_t)(s->out.bytes - 4));
    *out = s->out;
    return true;
}
