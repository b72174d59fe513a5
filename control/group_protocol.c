/*
 * group_protocol.c - the consumers' embedded protocol: group_protocol.h has the format.
 *
 * Owner: whoever calls.
 */
#include "group_protocol.h"

#include <stdlib.h>

#include "messages.h"

static int version_of(struct bytes from)
{
    int16_t version = from.ptr == NULL || from.n < 2 ? -1 : load_i16(from.ptr);
    return version < 0 ? E_MALFORMED : (int)min_i64(version, CONSUMER_PROTOCOL_MAX);
}

static int decode(const struct proto_message *message, struct bytes from, struct arena *arena,
                  void *out)
{
    int version = version_of(from);
    if (version < 0)
        return version;
    int e = proto_decode_flat(message, (int16_t)version, bytes_of(from.ptr + 2, from.n - 2), arena,
                              out, NULL);
    return e == 0 || e == E_NO_MEMORY ? e : E_MALFORMED;
}

int consumer_subscription_decode(struct bytes from, struct arena *arena,
                                 struct consumer_protocol_subscription *out)
{
    *out = (struct consumer_protocol_subscription){.generation_id = -1};
    return decode(&proto_consumer_protocol_subscription, from, arena, out);
}

int consumer_assignment_decode(struct bytes from, struct arena *arena,
                               struct consumer_protocol_assignment *out)
{
    *out = (struct consumer_protocol_assignment){0};
    return from.n == 0 ? 0 : decode(&proto_consumer_protocol_assignment, from, arena, out);
}

struct bytes consumer_assignment_encode(const struct consumer_protocol_assignment *assignment,
                                        struct bytes metadata)
{
    int version = (int)max_i64(version_of(metadata), 0);
    int64_t n = proto_size(&proto_consumer_protocol_assignment, (int16_t)version, assignment);
    uint8_t *to = n < 0 || n > INT32_MAX - 2 ? NULL : malloc((size_t)n + 2);
    if (to == NULL)
        return (struct bytes){NULL, 0};
    store_u16(to, (uint16_t)version);
    if (proto_encode_flat(&proto_consumer_protocol_assignment, (int16_t)version, assignment, to + 2,
                          (uint64_t)n) < 0) {
        free(to);
        return (struct bytes){NULL, 0};
    }
    return bytes_of(to, (size_t)n + 2);
}
