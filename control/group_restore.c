/*
 * group_restore.c - a group as its metadata record has it.
 *
 * Owner: control. Only while its partition loads: no request is served for it and no timer runs.
 */
#include <stdlib.h>

#include "check.h"
#include "coordinator.h"
#include "kafka_codes.h"
#include "messages.h"

static void replace(struct bytes *to, struct bytes from)
{
    free((void *)(uintptr_t)to->ptr);
    *to = from.ptr != NULL && from.n > 0 ? bytes_heap_copy(from) : (struct bytes){NULL, 0};
}

/* The generation's protocol is the only one of which the record has the subscription. */
static int protocol_set(struct group_member *member, struct bytes name, struct bytes metadata)
{
    member->protocols = calloc(1, sizeof *member->protocols);
    member->memory = malloc((uint64_t)name.n + metadata.n + 1);
    if (member->protocols == NULL || member->memory == NULL)
        return E_NO_MEMORY;
    if (name.n > 0)
        memcpy(member->memory, name.ptr, name.n);
    if (metadata.n > 0)
        memcpy(member->memory + name.n, metadata.ptr, metadata.n);
    member->protocols[0].name = (struct bytes){member->memory, name.n};
    member->protocols[0].metadata = (struct bytes){member->memory + name.n, metadata.n};
    member->protocols_n = 1;
    return 0;
}

static int member_restore(struct group *group, const struct group_metadata_value_members *from,
                          struct bytes protocol)
{
    struct group_member *member = calloc(1, sizeof *member);
    if (member == NULL)
        return E_NO_MEMORY;
    member->group = group;
    member->id = bytes_heap_copy(from->member_id);
    member->instance_id = bytes_heap_copy(from->group_instance_id);
    member->client_id = bytes_heap_copy(from->client_id);
    member->client_host = bytes_heap_copy(from->client_host);
    member->assignment = bytes_heap_copy(from->assignment);
    member->session_timeout_ms = from->session_timeout;
    member->rebalance_timeout_ms =
        from->rebalance_timeout >= 0 ? from->rebalance_timeout : from->session_timeout;
    group_member_timers(member);
    group_member_link(member);
    int e = protocol_set(member, protocol, from->subscription);
    group_member_count(member);
    return member->id.ptr == NULL ? E_NO_MEMORY : e;
}

int group_restore(struct group *group, const struct group_metadata_value *v)
{
    static const struct bytes none;
    int e = 0;
    list_for_each(l, next, &group->members)
        group_member_remove(list_entry(l, struct group_member, link), KAFKA_NOT_COORDINATOR);
    group_common_forget(group);
    group->has_record = v != NULL;
    group->generation = v == NULL ? 0 : v->generation;
    replace(&group->protocol_type, v == NULL ? none : v->protocol_type);
    replace(&group->protocol, v == NULL ? none : v->protocol);
    replace(&group->leader, v == NULL ? none : v->leader);
    if (v != NULL && v->current_state_timestamp >= 0)
        group->state_wall_ms = v->current_state_timestamp;
    for (int32_t i = 0; v != NULL && e == 0 && i < v->members_n; i++)
        e = member_restore(group, &v->members[i], v->protocol.ptr == NULL ? none : v->protocol);
    group_state_put(group, group->members_n > 0 ? GROUP_STABLE : GROUP_EMPTY);
    return e;
}

void group_restored(struct group *group, struct now now)
{
    static const struct bytes none;
    struct groups *groups = group->groups;
    if (group->members_n == 0) {
        replace(&group->leader, none);
        return;
    }
    if (group->leader.ptr == NULL || group_member_find(group, group->leader) == NULL)
        replace(&group->leader, list_first(&group->members, struct group_member, link)->id);
    list_for_each(l, next, &group->members)
        group_session_renew(list_entry(l, struct group_member, link), now);
    if (group->members_n > (uint32_t)groups->config.size_max)
        group_prepare_rebalance(group, GROUP_CAUSE_SIZE, NULL, none, now);
}
