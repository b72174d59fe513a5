/*
 * group_commit.c - OffsetCommit, OffsetFetch, OffsetDelete, DeleteGroups.
 *
 * Owner: control. An op is answered when all its parts are: a commit and an OffsetDelete have one,
 * a fetch and a DeleteGroups one per group they name (inside[1] counts the parts under way).
 *
 * Checks and their order are those of Kafka's KafkaApis, GroupCoordinatorService and
 * OffsetMetadataManager.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "coordinator.h"
#include "group_next_host.h"
#include "group_next_records.h"
#include "messages.h"

enum {
    VERSION_TOPIC_IDS = 10,
    VERSION_GROUPS = 8,
    VERSION_TOP_ERROR = 2,
    VERSION_MEMBER_EPOCH = 9
};

/* ── parts ── */

static void part_begin(struct control_op *op)
{
    op->inside[1] = (void *)((uintptr_t)op->inside[1] + 1);
}

static void part_end(struct coordinator *co, struct control_op *op)
{
    op->inside[1] = (void *)((uintptr_t)op->inside[1] - 1);
    if (op->inside[1] == NULL)
        coordinator_answer(co, op);
}

static void give_up(struct coordinator *co, struct control_op *op)
{
    op->response = NULL;
    coordinator_answer(co, op);
}

/* The topic a request means, by name or by id; NULL with *code. */
static const struct topic *topic_of(const struct coordinator *co, bool by_id, struct bytes name,
                                    const struct uuid *id, int16_t *code)
{
    const struct state *state = &co->control->state;
    const struct topic *topic =
        by_id ? state_topic_by_id(state, id) : state_topic_by_name(state, name);
    if (topic != NULL && topic->is_removed)
        topic = NULL;
    *code = topic != NULL ? 0 : by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    return topic;
}

static bool partition_exists(const struct topic *topic, int32_t partition)
{
    return partition >= 0 && partition < topic->partitions_n;
}

/* ── OffsetCommit ── */

/* Every partition that was good so far says `error`. */
static void commit_fail(struct offset_commit_response *out, int16_t error)
{
    for (int32_t i = 0; error != 0 && i < out->topics_n; i++)
        for (int32_t k = 0; k < out->topics[i].partitions_n; k++)
            if (out->topics[i].partitions[k].error_code == 0)
                out->topics[i].partitions[k].error_code = error;
}

static void commit_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    commit_fail(w->op->response, error);
    coordinator_answer(co, w->op);
}

/* The skeleton of the answer, with what is unknown marked. *good_n: how many partitions are left.
 */
static struct offset_commit_response *commit_plan(const struct coordinator *co,
                                                  struct control_op *op, uint32_t *good_n)
{
    const struct offset_commit_request *q = op->request;
    struct offset_commit_response *out = PROTO_NEW(&op->arena, offset_commit_response, 1);
    int32_t topics_n = q->topics_n < 0 ? 0 : q->topics_n;
    if (out != NULL)
        out->topics = PROTO_NEW(&op->arena, offset_commit_response_topics, topics_n);
    if (out == NULL || out->topics == NULL)
        return NULL;
    out->topics_n = topics_n;
    for (int32_t i = 0; i < topics_n; i++) {
        const struct offset_commit_request_topics *from = &q->topics[i];
        int32_t n = from->partitions_n < 0 ? 0 : from->partitions_n;
        int16_t code;
        const struct topic *topic =
            topic_of(co, op->api_version >= VERSION_TOPIC_IDS, from->name, &from->topic_id, &code);
        out->topics[i].name = from->name;
        out->topics[i].topic_id = from->topic_id;
        out->topics[i].partitions =
            PROTO_NEW(&op->arena, offset_commit_response_topics_partitions, n);
        out->topics[i].partitions_n = n;
        if (out->topics[i].partitions == NULL)
            return NULL;
        for (int32_t k = 0; k < n; k++) {
            struct offset_commit_response_topics_partitions *to = &out->topics[i].partitions[k];
            to->partition_index = from->partitions[k].partition_index;
            to->error_code = code;
            if (topic != NULL && !partition_exists(topic, to->partition_index))
                to->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
            *good_n += to->error_code == 0;
        }
    }
    return out;
}

/* May this request commit to its group? An unknown group is made for whoever manages its partitions
 * itself. */
static int16_t commit_check(struct coordinator *co, const struct control_op *op, int32_t *partition)
{
    const struct offset_commit_request *q = op->request;
    struct groups *groups = &co->groups;
    struct now now = co->control->now;
    int16_t code = coordinator_code(co, q->group_id, partition);
    if (code != 0)
        return code;
    struct group *group = group_find(groups, q->group_id);
    if (group != NULL && group->next != NULL)
        code = next_host_commit_check(co, group, op);
    else if (group != NULL)
        code = group_check_commit(group, q->member_id, q->group_instance_id,
                                  q->generation_id_or_member_epoch, now);
    else if (q->generation_id_or_member_epoch >= 0)
        code = KAFKA_ILLEGAL_GENERATION;
    if (code == 0 && groups->bytes >= groups->config.bytes_max)
        code = KAFKA_COORDINATOR_NOT_AVAILABLE;
    if (code == 0 && group == NULL && group_new(groups, q->group_id, *partition, now, &group) < 0)
        code = KAFKA_COORDINATOR_NOT_AVAILABLE;
    return code;
}

static void commit_record(struct coordinator *co, struct coordinator_write *w,
                          const struct topic *topic,
                          const struct offset_commit_request_topics_partitions *p,
                          struct offset_commit_response_topics_partitions *to)
{
    const struct offset_commit_request *q = w->op->request;
    int64_t wall_ms = co->control->now.wall_ms;
    if (to->error_code != 0)
        return;
    if (p->committed_metadata.n > co->metadata_max) {
        to->error_code = KAFKA_OFFSET_METADATA_TOO_LARGE;
        return;
    }
    struct offset offset = {
        .topic = bytes_of(topic->name, topic->name_n),
        .topic_id = topic->id,
        .partition = p->partition_index,
        .offset = p->committed_offset,
        .leader_epoch = p->committed_leader_epoch,
        .metadata = p->committed_metadata.ptr == NULL ? bytes_of("", 0) : p->committed_metadata,
        .commit_ms = wall_ms,
        .expire_ms = q->retention_time_ms >= 0 ? wall_ms + q->retention_time_ms : -1};
    group_records_offset(&w->records, q->group_id, &offset);
}

/* The topics w->at and its partitions from w->part_at on. A topic that was deleted meanwhile has
 * nothing to commit for. */
bool offset_commit_step(struct coordinator *co, struct coordinator_write *w)
{
    const struct offset_commit_request *q = w->op->request;
    struct offset_commit_response *out = w->op->response;
    for (; w->at < out->topics_n; w->at++, w->part_at = 0) {
        const struct offset_commit_request_topics *from = &q->topics[w->at];
        struct offset_commit_response_topics *to = &out->topics[w->at];
        int16_t code;
        const struct topic *topic = topic_of(co, w->op->api_version >= VERSION_TOPIC_IDS,
                                             from->name, &from->topic_id, &code);
        while (w->part_at < to->partitions_n) {
            int32_t k = w->part_at++;
            if (topic == NULL && to->partitions[k].error_code == 0)
                to->partitions[k].error_code = code;
            commit_record(co, w, topic, &from->partitions[k], &to->partitions[k]);
            if (coordinator_work(co, COORDINATOR_WORK_COMMIT))
                return false;
        }
    }
    return true;
}

void offset_commit_run(struct coordinator *co, struct control_op *op)
{
    const struct offset_commit_request *q = op->request;
    uint32_t good_n = 0;
    int32_t partition = 0;
    struct offset_commit_response *out = commit_plan(co, op, &good_n);
    op->response = out;
    if (out == NULL || good_n == 0) {
        coordinator_answer(co, op);
        return;
    }
    int16_t code = commit_check(co, op, &partition);
    struct coordinator_write *w =
        code != 0 ? NULL : coordinator_write_new(q->group_id, op, commit_done);
    if (w != NULL) {
        if (!offset_commit_step(
                co, w)) { /* its place in the queue is taken, it is made on in later turns */
            w->partition = partition;
            list_append(&co->open, &w->open_link);
        }
        coordinator_submit(co, partition, w);
        return;
    }
    commit_fail(out, code != 0 ? code : KAFKA_UNKNOWN_SERVER_ERROR);
    coordinator_answer(co, op);
}

/* ── OffsetFetch ──
 * Versions below 8 ask for one group; their answer is made in the form of version 8 and moved. */

static void fetch_partition(const struct group *group, const struct topic *topic, struct bytes name,
                            int16_t code, int32_t partition, struct arena *arena,
                            struct offset_fetch_response_groups_topics_partitions *to)
{
    const struct offset *o = NULL;
    if (code == 0 && group != NULL && group->offsets != NULL)
        o = offsets_find(group->offsets,
                         topic != NULL ? bytes_of(topic->name, topic->name_n) : name, partition);
    if (o != NULL && topic != NULL && !uuid_is_zero(&o->topic_id) &&
        !uuid_equal(&o->topic_id, &topic->id))
        o = NULL; /* of a topic of that name that is gone */
    to->partition_index = partition;
    to->error_code = code;
    to->committed_offset = o == NULL ? -1 : o->offset;
    to->committed_leader_epoch = o == NULL ? -1 : o->leader_epoch;
    to->metadata = o == NULL ? bytes_of("", 0) : answer_bytes(arena, o->metadata);
}

/* What a group asks of one topic. */
struct fetch_topic {
    struct bytes name;
    struct uuid id;
    const int32_t *partitions;
    int32_t partitions_n;
};

static bool fetch_some(struct coordinator *co, struct control_op *op, const struct group *group,
                       const struct fetch_topic *asked, int32_t asked_n,
                       struct offset_fetch_response_groups *to)
{
    bool by_id = op->api_version >= VERSION_TOPIC_IDS;
    to->topics = answer_array(&op->arena, asked_n, sizeof *to->topics);
    if (to->topics == NULL)
        return false;
    to->topics_n = asked_n;
    for (int32_t i = 0; i < asked_n; i++) {
        int32_t n = asked[i].partitions_n < 0 ? 0 : asked[i].partitions_n;
        int16_t code = 0;
        const struct topic *topic =
            by_id ? topic_of(co, true, asked[i].name, &asked[i].id, &code) : NULL;
        ANSWER_DEFAULT(&to->topics[i], offset_fetch_response_groups_topics);
        to->topics[i].name = answer_bytes(&op->arena, asked[i].name);
        to->topics[i].topic_id = asked[i].id;
        to->topics[i].partitions =
            PROTO_NEW(&op->arena, offset_fetch_response_groups_topics_partitions, n);
        if (to->topics[i].partitions == NULL)
            return false;
        to->topics[i].partitions_n = n;
        for (int32_t k = 0; k < n; k++)
            fetch_partition(group, topic, asked[i].name, code, asked[i].partitions[k], &op->arena,
                            &to->topics[i].partitions[k]);
    }
    return true;
}

/* Everything the group has, by topic. */
static bool fetch_all(struct coordinator *co, struct control_op *op, const struct group *group,
                      struct offset_fetch_response_groups *to)
{
    uint32_t n = group == NULL || group->offsets == NULL ? 0 : offsets_n(group->offsets),
             topics_n = 0;
    const struct offset **all = malloc((n + 1ull) * sizeof *all);
    bool is_good = all != NULL;
    if (is_good && n > 0)
        is_good = offsets_sorted(group->offsets, all) == 0;
    for (uint32_t i = 0; is_good && i < n; i++)
        topics_n += i == 0 || !bytes_equal(all[i]->topic, all[i - 1]->topic);
    to->topics = PROTO_NEW(&op->arena, offset_fetch_response_groups_topics, topics_n);
    is_good = is_good && to->topics != NULL;
    to->topics_n = 0;
    for (uint32_t i = 0, end; is_good && i < n; i = end) {
        int16_t code = 0;
        const struct topic *topic = topic_of(co, false, all[i]->topic, NULL, &code);
        for (end = i + 1; end < n && bytes_equal(all[end]->topic, all[i]->topic);)
            end++;
        if (topic == NULL && op->api_version >= VERSION_TOPIC_IDS)
            continue; /* it cannot be named */
        struct offset_fetch_response_groups_topics *t = &to->topics[to->topics_n++];
        t->name = answer_bytes(&op->arena, all[i]->topic);
        t->topic_id = topic == NULL ? (struct uuid){{0}} : topic->id;
        t->partitions =
            PROTO_NEW(&op->arena, offset_fetch_response_groups_topics_partitions, end - i);
        is_good = t->partitions != NULL;
        t->partitions_n = is_good ? (int32_t)(end - i) : 0;
        for (uint32_t k = i; is_good && k < end; k++)
            fetch_partition(group, op->api_version >= VERSION_TOPIC_IDS ? topic : NULL,
                            all[k]->topic, 0, all[k]->partition, &op->arena, &t->partitions[k - i]);
    }
    free(all);
    return is_good;
}

static bool fetch_topics_of(struct control_op *op, int32_t at, struct fetch_topic **out, int32_t *n)
{
    const struct offset_fetch_request *q = op->request;
    bool is_one = op->api_version < VERSION_GROUPS;
    *n = is_one ? q->topics_n : q->groups[at].topics_n;
    *out = *n < 0 ? NULL : arena_array(&op->arena, (uint64_t)*n + 1, sizeof **out);
    for (int32_t i = 0; *out != NULL && i < *n; i++) {
        if (is_one)
            (*out)[i] = (struct fetch_topic){.name = q->topics[i].name,
                                             .partitions = q->topics[i].partition_indexes,
                                             .partitions_n = q->topics[i].partition_indexes_n};
        else
            (*out)[i] =
                (struct fetch_topic){.name = q->groups[at].topics[i].name,
                                     .id = q->groups[at].topics[i].topic_id,
                                     .partitions = q->groups[at].topics[i].partition_indexes,
                                     .partitions_n = q->groups[at].topics[i].partition_indexes_n};
    }
    return *n < 0 || *out != NULL;
}

/* One group's part, whether its partition answers or refuses with `error`. */
static bool fetch_fill(struct coordinator *co, struct control_op *op, int32_t at, struct bytes name,
                       int16_t error, struct offset_fetch_response_groups *to)
{
    const struct group *group = error != 0 ? NULL : group_find(&co->groups, name);
    const struct offset_fetch_request *q = op->request;
    struct fetch_topic *asked;
    int32_t n;
    if (group != NULL && group->next != NULL && op->api_version >= VERSION_MEMBER_EPOCH)
        error = next_fetch_check(group->next, q->groups[at].member_id, q->groups[at].member_epoch);
    ANSWER_DEFAULT(to, offset_fetch_response_groups);
    to->group_id = answer_bytes(&op->arena, name);
    to->error_code = error;
    if (!fetch_topics_of(op, at, &asked, &n))
        return false;
    if (error != 0 && op->api_version >= VERSION_TOP_ERROR)
        return true;
    if (n < 0)
        return fetch_all(co, op, group, to);
    if (!fetch_some(co, op, group, asked, n, to))
        return false;
    for (int32_t i = 0; error != 0 && i < to->topics_n; i++)
        for (int32_t k = 0; k < to->topics[i].partitions_n; k++)
            to->topics[i].partitions[k].error_code = error;
    return true;
}

/* The one group of a version below 8. */
static bool fetch_move(struct control_op *op, struct offset_fetch_response *out)
{
    const struct offset_fetch_response_groups *from = &out->groups[0];
    out->error_code = from->error_code;
    out->topics = PROTO_NEW(&op->arena, offset_fetch_response_topics, from->topics_n);
    if (out->topics == NULL)
        return false;
    out->topics_n = from->topics_n;
    for (int32_t i = 0; i < from->topics_n; i++) {
        int32_t n = from->topics[i].partitions_n;
        out->topics[i].name = from->topics[i].name;
        out->topics[i].partitions =
            PROTO_NEW(&op->arena, offset_fetch_response_topics_partitions, n);
        if (out->topics[i].partitions == NULL)
            return false;
        out->topics[i].partitions_n = n;
        for (int32_t k = 0; k < n; k++) {
            const struct offset_fetch_response_groups_topics_partitions *p =
                &from->topics[i].partitions[k];
            out->topics[i].partitions[k] = (struct offset_fetch_response_topics_partitions){
                p->partition_index, p->committed_offset, p->committed_leader_epoch, p->metadata,
                p->error_code};
        }
    }
    out->groups_n = 0;
    return true;
}

static void fetch_part(struct coordinator *co, struct control_op *op, int32_t at, struct bytes name,
                       int16_t error)
{
    struct offset_fetch_response *out = op->inside[2];
    bool is_one = op->api_version < VERSION_GROUPS;
    bool is_good = fetch_fill(co, op, at, name, error, &out->groups[at]);
    uint64_t work = COORDINATOR_WORK_GROUP;
    for (int32_t i = 0; is_good && i < out->groups[at].topics_n; i++)
        work += COORDINATOR_WORK_FETCH * (1 + (uint64_t)out->groups[at].topics[i].partitions_n);
    (void)coordinator_work(co, work);
    if (!is_good || (is_one && !fetch_move(op, out)))
        op->response = NULL;
    part_end(co, op);
}

static void fetch_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    fetch_part(co, w->op, w->at, coordinator_write_name(w), error);
}

static void nothing_to_append(struct coordinator *co, struct coordinator_write *w)
{
    (void)co, (void)w;
}

static void fetch_one(struct coordinator *co, struct control_op *op, int32_t at, struct bytes name)
{
    int32_t partition = 0;
    int16_t code = coordinator_code(co, name, &partition);
    struct coordinator_write *w = NULL;
    part_begin(op);
    if (code == 0 && (!list_is_empty(&co->partitions[partition].writes) ||
                      co->partitions[partition].is_committing)) {
        w = coordinator_write_new(name, op, fetch_done);
        code = w == NULL ? KAFKA_UNKNOWN_SERVER_ERROR : 0;
    }
    if (w == NULL) {
        fetch_part(co, op, at, name, code);
        return;
    }
    w->at = at;
    w->begin = nothing_to_append;
    coordinator_submit(co, partition, w);
}

bool offset_fetch_step(struct coordinator *co, struct control_op *op)
{
    const struct offset_fetch_request *q = op->request;
    const struct offset_fetch_response *out = op->inside[2];
    bool is_one = op->api_version < VERSION_GROUPS;
    uintptr_t at = (uintptr_t)op->inside[OP_AT], n = is_one ? 1 : (uintptr_t)out->groups_n;
    for (bool is_spent = false; at < n && !is_spent; at++) {
        fetch_one(co, op, (int32_t)at, is_one ? q->group_id : q->groups[at].group_id);
        is_spent = coordinator_work(co, 1);
    }
    op->inside[OP_AT] = (void *)at;
    if (at < n)
        return false;
    part_end(co, op);
    return true;
}

void offset_fetch_run(struct coordinator *co, struct control_op *op)
{
    const struct offset_fetch_request *q = op->request;
    int32_t n = op->api_version < VERSION_GROUPS ? 1 : q->groups_n < 0 ? 0 : q->groups_n;
    struct offset_fetch_response *out = PROTO_NEW(&op->arena, offset_fetch_response, 1);
    if (out != NULL)
        out->groups = answer_array(&op->arena, n, sizeof *out->groups);
    if (out == NULL || out->groups == NULL) {
        give_up(co, op);
        return;
    }
    out->groups_n = n;
    op->response = op->inside[2] = out;
    part_begin(op); /* held here until all have begun */
    coordinator_many(co, op);
}

/* ── OffsetDelete ── */

static void offset_delete_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    struct offset_delete_response *out = w->op->response;
    if (error != 0) {
        out->error_code = error;
        out->topics_n = 0;
    }
    coordinator_answer(co, w->op);
}

static int16_t offset_delete_check(const struct group *group)
{
    if (group == NULL)
        return KAFKA_GROUP_ID_NOT_FOUND;
    if (group->next != NULL)
        return 0;
    if (group->state != GROUP_EMPTY && !group_uses_consumer_protocol(group))
        return KAFKA_NON_EMPTY_GROUP;
    return 0;
}

static void offset_delete_begin(struct coordinator *co, struct coordinator_write *w)
{
    const struct offset_delete_request *q = w->op->request;
    struct offset_delete_response *out = w->op->response;
    const struct group *group = group_find(&co->groups, q->group_id);
    w->code = offset_delete_check(group);
    for (int32_t i = 0; w->code == 0 && i < out->topics_n; i++) {
        bool is_subscribed = group_is_subscribed(group, q->topics[i].name);
        for (int32_t k = 0; k < out->topics[i].partitions_n; k++) {
            struct offset_delete_response_topics_partitions *to = &out->topics[i].partitions[k];
            if (to->error_code == 0 && is_subscribed)
                to->error_code = KAFKA_GROUP_SUBSCRIBED_TO_TOPIC;
            if (to->error_code == 0 && group->offsets != NULL &&
                offsets_find(group->offsets, q->topics[i].name, to->partition_index) != NULL)
                group_records_offset_gone(&w->records, q->group_id, q->topics[i].name,
                                          to->partition_index);
        }
    }
}

static struct offset_delete_response *offset_delete_plan(const struct coordinator *co,
                                                         struct control_op *op)
{
    const struct offset_delete_request *q = op->request;
    struct offset_delete_response *out = PROTO_NEW(&op->arena, offset_delete_response, 1);
    int32_t topics_n = q->topics_n < 0 ? 0 : q->topics_n;
    if (out != NULL)
        out->topics = PROTO_NEW(&op->arena, offset_delete_response_topics, topics_n);
    if (out == NULL || out->topics == NULL)
        return NULL;
    out->topics_n = topics_n;
    for (int32_t i = 0; i < topics_n; i++) {
        int32_t n = q->topics[i].partitions_n < 0 ? 0 : q->topics[i].partitions_n;
        int16_t code;
        const struct topic *topic = topic_of(co, false, q->topics[i].name, NULL, &code);
        out->topics[i].name = q->topics[i].name;
        out->topics[i].partitions =
            PROTO_NEW(&op->arena, offset_delete_response_topics_partitions, n);
        if (out->topics[i].partitions == NULL)
            return NULL;
        out->topics[i].partitions_n = n;
        for (int32_t k = 0; k < n; k++) {
            out->topics[i].partitions[k].partition_index =
                q->topics[i].partitions[k].partition_index;
            out->topics[i].partitions[k].error_code = code;
            if (topic != NULL &&
                !partition_exists(topic, q->topics[i].partitions[k].partition_index))
                out->topics[i].partitions[k].error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        }
    }
    return out;
}

void offset_delete_run(struct coordinator *co, struct control_op *op)
{
    const struct offset_delete_request *q = op->request;
    struct offset_delete_response *out = offset_delete_plan(co, op);
    int32_t partition = 0;
    int16_t code = coordinator_code(co, q->group_id, &partition);
    struct coordinator_write *w = out == NULL || code != 0
                                      ? NULL
                                      : coordinator_write_new(q->group_id, op, offset_delete_done);
    op->response = out;
    if (w != NULL) {
        w->begin = offset_delete_begin;
        coordinator_submit(co, partition, w);
        return;
    }
    if (out != NULL) {
        out->error_code = code != 0 ? code : KAFKA_UNKNOWN_SERVER_ERROR;
        out->topics_n = 0;
    }
    coordinator_answer(co, op);
}

/* ── DeleteGroups ── */

static void delete_group_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    struct delete_groups_response *out = w->op->inside[2];
    out->results[w->at].error_code = error;
    part_end(co, w->op);
}

/* The group goes from memory at once: what comes for its id from now on stands behind its
 * tombstones in the log. */
static void delete_group_begin(struct coordinator *co, struct coordinator_write *w)
{
    struct group *group = group_find(&co->groups, coordinator_write_name(w));
    w->code = group == NULL              ? KAFKA_GROUP_ID_NOT_FOUND
              : group_has_members(group) ? KAFKA_NON_EMPTY_GROUP
                                         : 0;
    if (w->code != 0)
        return;
    group_tombstones(&w->records, group);
    if (w->records.error == 0)
        group_free(group, KAFKA_GROUP_ID_NOT_FOUND);
}

void group_tombstones(struct group_records *records, const struct group *group)
{
    uint32_t n = group->offsets == NULL ? 0 : offsets_n(group->offsets);
    const struct offset **all = malloc((n + 1ull) * sizeof *all);
    if (all == NULL || (n > 0 && offsets_sorted(group->offsets, all) < 0)) {
        free(all);
        records->error = E_NO_MEMORY;
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        group_records_offset_gone(records, group->id, all[i]->topic, all[i]->partition);
    if (group->next != NULL)
        next_records_group_gone(records, group->next);
    else
        group_records_metadata_gone(records, group->id);
    free(all);
}

static void delete_group(struct coordinator *co, struct control_op *op, int32_t at,
                         struct bytes name)
{
    struct delete_groups_response *out = op->inside[2];
    int32_t partition = 0;
    int16_t code = coordinator_code(co, name, &partition);
    struct coordinator_write *w =
        code != 0 ? NULL : coordinator_write_new(name, op, delete_group_done);
    ANSWER_DEFAULT(&out->results[at], delete_groups_response_results);
    out->results[at].group_id = name;
    if (w == NULL) {
        out->results[at].error_code = code != 0 ? code : KAFKA_UNKNOWN_SERVER_ERROR;
        return;
    }
    part_begin(op);
    w->at = at;
    w->begin = delete_group_begin;
    coordinator_submit(co, partition, w);
}

bool delete_groups_step(struct coordinator *co, struct control_op *op)
{
    const struct delete_groups_request *q = op->request;
    const struct delete_groups_response *out = op->inside[2];
    uintptr_t at = (uintptr_t)op->inside[OP_AT];
    for (bool is_spent = false; at < (uintptr_t)out->results_n && !is_spent; at++) {
        delete_group(co, op, (int32_t)at, q->groups_names[at]);
        is_spent = coordinator_work(co, COORDINATOR_WORK_GROUP);
    }
    op->inside[OP_AT] = (void *)at;
    if (at < (uintptr_t)out->results_n)
        return false;
    part_end(co, op);
    return true;
}

void delete_groups_run(struct coordinator *co, struct control_op *op)
{
    const struct delete_groups_request *q = op->request;
    int32_t n = q->groups_names_n < 0 ? 0 : q->groups_names_n;
    struct delete_groups_response *out = PROTO_NEW(&op->arena, delete_groups_response, 1);
    if (out != NULL)
        out->results = answer_array(&op->arena, n, sizeof *out->results);
    if (out == NULL || out->results == NULL) {
        give_up(co, op);
        return;
    }
    out->results_n = n;
    op->response = op->inside[2] = out;
    part_begin(op);
    coordinator_many(co, op);
}
