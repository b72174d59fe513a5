/*
 * group_expire.c - what is over goes: expired offsets, offsets of deleted topics, groups with
 * nothing left.
 *
 * Owner: control.
 *
 * A **sweep** looks at every group, COORDINATOR_SWEEP_BUCKETS buckets of the table per turn, and
 * gives each one that has something to lose a barrier write, which looks again when everything
 * before it is durable. Two occasions: every offsets.retention.check.interval.ms, and after topics
 * were deleted (then only their offsets go).
 *
 * When an offset expires (ClassicGroup.offsetExpirationCondition), with offsets.retention.minutes:
 *
 *   it carries an expiry of its own           then
 *   no protocol (a simple consumer)           so long after it was committed
 *   EMPTY                                     so long after the group became empty
 *   STABLE, consumers that do not subscribe
 *   to its topic                              so long after it was committed
 *   otherwise                                 not
 */
#include "control_inside.h"
#include "coordinator.h"
#include "group_next_records.h"
#include "kafka_codes.h"

static bool is_topic_gone(const struct coordinator *co, const struct offset *o)
{
    const struct topic *topic = state_topic_by_name(&co->control->state, o->topic);
    if (topic == NULL || topic->is_removed)
        return true;
    return !uuid_is_zero(&o->topic_id) && !uuid_equal(&o->topic_id, &topic->id);
}

static bool is_expired(const struct coordinator *co, const struct group *group,
                       const struct offset *o)
{
    int64_t now_ms = co->control->now.wall_ms, since_ms = o->commit_ms;
    if (group->protocol_type.ptr != NULL && group->state == GROUP_EMPTY)
        since_ms = group->state_wall_ms;
    else if (group->protocol_type.ptr != NULL &&
             (group->state != GROUP_STABLE || !group_uses_consumer_protocol(group)))
        return false;
    if (group_has_members(group) && group_is_subscribed(group, o->topic))
        return false;
    return o->expire_ms >= 0 ? now_ms >= o->expire_ms : now_ms - since_ms >= co->retention_ms;
}

static bool is_over(const struct coordinator *co, const struct group *group, const struct offset *o)
{
    return is_topic_gone(co, o) || (co->sweep_expires && is_expired(co, group, o));
}

/* Is there anything to do? Cheap enough for every group. */
static bool wants_write(const struct coordinator *co, const struct group *group)
{
    const struct offset *o;
    uint32_t at = 0;
    if (group->offsets == NULL || offsets_n(group->offsets) == 0)
        return co->sweep_expires && !group_has_members(group);
    while ((o = offsets_next(group->offsets, &at)) != NULL)
        if (is_over(co, group, o))
            return true;
    return false;
}

static void expire_begin(struct coordinator *co, struct coordinator_write *w)
{
    struct group *group = group_find(&co->groups, coordinator_write_name(w));
    const struct offset *o;
    uint32_t at = 0, left_n = 0;
    w->at = 0;
    if (group == NULL)
        return;
    while (group->offsets != NULL && (o = offsets_next(group->offsets, &at)) != NULL) {
        if (w->records.records_n == COORDINATOR_SWEEP_RECORDS_MAX) {
            w->at = 1; /* the rest in another write */
            return;
        }
        if (is_over(co, group, o))
            group_records_offset_gone(&w->records, group->id, o->topic, o->partition);
        else
            left_n++;
    }
    if (left_n > 0 || group_has_members(group) || !co->sweep_expires || w->records.error < 0)
        return;
    if (group->next != NULL)
        next_records_group_gone(&w->records, group->next);
    else
        group_records_metadata_gone(&w->records, group->id);
    if (w->records.error == 0)
        group_free(group, KAFKA_GROUP_ID_NOT_FOUND);
}

static void expire_done(struct coordinator *co, struct coordinator_write *w, int16_t error);

static void expire_submit(struct coordinator *co, struct bytes group, int32_t partition)
{
    struct coordinator_write *w = coordinator_write_new(group, NULL, expire_done);
    if (w == NULL)
        return;
    w->begin = expire_begin;
    w->partition = partition;
    co->sweep_writes_n++;
    coordinator_submit(co, partition, w);
}

/* What could not be appended is found again by the next sweep. */
static void expire_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    co->sweep_writes_n--;
    if (w->at != 0 && error == 0 && co->partitions[w->partition].state == COORDINATOR_ACTIVE)
        expire_submit(co, coordinator_write_name(w), w->partition);
}

void sweep_begin(struct coordinator *co, bool expires)
{
    co->wants_sweep = true;
    co->wants_expiry |= expires;
}

static void look_at(struct coordinator *co, struct group *group)
{
    const struct coordinator_partition *p = &co->partitions[group->partition];
    if (p->state == COORDINATOR_ACTIVE && wants_write(co, group))
        expire_submit(co, group->id, p->number);
}

int sweep_turn(struct coordinator *co)
{
    int n = 0;
    if (!co->is_sweeping && !co->wants_sweep)
        return 0;
    if (co->partitions == NULL || co->is_detaching)
        return 0;
    if (!co->is_sweeping) {
        if (co->sweep_writes_n > 0)
            return 0; /* those of the last sweep still ask what it was for */
        co->is_sweeping = true;
        co->sweep_expires = co->wants_expiry;
        co->wants_sweep = co->wants_expiry = false;
        co->sweep_at = 0;
    }
    for (; n < COORDINATOR_SWEEP_BUCKETS && co->sweep_at < GROUP_BUCKETS; n++, co->sweep_at++) {
        if (co->sweep_writes_n >= COORDINATOR_SWEEP_WRITES_MAX)
            return n;
        list_for_each(l, next, &co->groups.buckets[co->sweep_at])
            look_at(co, list_entry(l, struct group, link));
    }
    co->is_sweeping = co->sweep_at < GROUP_BUCKETS;
    return n;
}
