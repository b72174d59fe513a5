/*
 * tables.c - which message belongs to a key, and fresh structs with their defaults.
 *
 * Owner: immutable.
 */
#include "rows.h"

const struct proto_message *proto_request(int16_t api_key)
{
    return api_key >= 0 && api_key < PROTO_APIS_N ? proto_requests[api_key] : NULL;
}

const struct proto_message *proto_response(int16_t api_key)
{
    return api_key >= 0 && api_key < PROTO_APIS_N ? proto_responses[api_key] : NULL;
}

const char *proto_api_name(int16_t api_key)
{
    return proto_request(api_key) != NULL ? proto_api_names[api_key] : "?";
}

const struct proto_message *proto_metadata_record(uint32_t type)
{
    return type < proto_metadata_records_n ? proto_metadata_records[type] : NULL;
}

const struct proto_message *const *proto_all(uint32_t *n)
{
    *n = proto_messages_n;
    return proto_messages;
}

void *proto_new(const struct proto_struct *type, struct arena *arena, uint32_t n)
{
    uint8_t *to = arena_alloc_raw(arena, (uint64_t)n * type->size);
    if (to == NULL || type->defaults == NULL)
        return to == NULL ? NULL : memset(to, 0, (uint64_t)n * type->size);
    for (uint32_t i = 0; i < n; i++)
        memcpy(to + (uint64_t)i * type->size, type->defaults, type->size);
    return to;
}

void proto_default(const struct proto_struct *type, void *to)
{
    if (type->defaults == NULL)
        memset(to, 0, type->size);
    else
        memcpy(to, type->defaults, type->size);
}
