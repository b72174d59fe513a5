/*
 * view.c - finding a topic in a view. Building views is view_build.c.
 *
 * Owner: immutable.
 *
 * Algorithm: open addressing with steps of one; a table is at most half full, so a search ends.
 */
#include "view.h"

#include "hash.h"

const struct view_topic *view_topic_by_name(const struct view *view, struct bytes name)
{
    if (name.n == 0)
        return NULL;
    uint64_t at = hash_bytes(name.ptr, name.n, view->hash_seed);
    for (;; at++) {
        const struct view_topic *topic = view->by_name[at & view->table_mask];
        if (topic == NULL || bytes_equal(topic->name, name))
            return topic;
    }
}

const struct view_topic *view_topic_by_id(const struct view *view, const struct uuid *id)
{
    uint64_t at = hash_bytes(id->b, sizeof id->b, view->hash_seed);
    for (;; at++) {
        const struct view_topic *topic = view->by_id[at & view->table_mask];
        if (topic == NULL || uuid_equal(&topic->id, id))
            return topic;
    }
}
