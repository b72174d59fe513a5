/*
 * group_next_host.c - KIP-848 groups in the coordinator: their log, their answers, their life
 * beside classic groups.
 *
 * Owner: control.
 *
 * Answers wait for records: each write has a number; an op without records of its own hangs at its
 * group until the group's last write is durable (Kafka defers reads to the last written offset in
 * the same way). A write larger than WRITE_BYTES is cut: any prefix of a group's records is a group
 * that goes on by itself.
 *
 * When records could not be appended (too large, no memory) while the log goes on, memory would
 * stay ahead of the log for ever: then the group is ended in both, and its members join anew.
 */
#include "group_next_host.h"

#include <stdlib.h>
#include <strings.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "group_next_records.h"
#include "messages.h"

enum { WRITE_BYTES = 256 << 10 };

/* ── topics, as workers serve them ── */

static bool host_topic(void *context, struct bytes name, struct uuid *id, int32_t *partitions_n)
{
    const struct coordinator *co = context;
    const struct view *view = co->control->published;
    const struct view_topic *topic = view == NULL ? NULL : view_topic_by_name(view, name);
    if (topic == NULL)
        return false;
    *id = topic->id;
    *partitions_n = topic->partitions_n;
    return true;
}

static bool host_topic_name(void *context, uint32_t *at, struct bytes *name)
{
    const struct coordinator *co = context;
    const struct view *view = co->control->published;
    if (view == NULL || *at >= view->topics_n)
        return false;
    *name = view->topics[(*at)++]->name;
    return true;
}

static uint64_t host_metadata_version(void *context)
{
    const struct coordinator *co = context;
    return co->control->published == NULL ? 0 : co->control->published->version;
}

/* ── settings of a group ── */

static int32_t setting_between(struct coordinator *co, const struct settings *own, const char *key)
{
    const struct resolver *resolver = &co->control->resolver;
    char text[RESOLVE_TEXT_MAX], bound[64];
    int64_t value, least, most;
    const char *name = key + strlen("consumer.");
    value =
        strtoll(resolve_value(resolver, own, config_row_find(CONFIG_GROUP, key), text), NULL, 10);
    snprintf(bound, sizeof bound, "group.consumer.min.%s", name);
    least = strtoll(resolve_broker(resolver, bound), NULL, 10);
    snprintf(bound, sizeof bound, "group.consumer.max.%s", name);
    most = strtoll(resolve_broker(resolver, bound), NULL, 10);
    return (int32_t)min_i64(max_i64(value, least), most);
}

/* Bounds that the broker was started with since count for what was set before. */
static uint64_t host_settings(void *context, struct bytes id, uint64_t version,
                              struct next_settings *out)
{
    struct coordinator *co = context;
    const struct state *state = &co->control->state;
    uint64_t now = state->groups_version + 1;
    if (version == now)
        return now;
    const struct settings *own = state_settings(state, RESOURCE_GROUP, id);
    out->session_timeout_ms = setting_between(co, own, "consumer.session.timeout.ms");
    out->heartbeat_interval_ms = setting_between(co, own, "consumer.heartbeat.interval.ms");
    out->assignment_interval_ms = setting_between(co, own, "consumer.assignment.interval.ms");
    return now;
}

/* ── why it rebalanced ── */

static void host_told(void *context, struct group_next *g, enum next_event event)
{
    struct coordinator *co = context;
    struct group *group = g->holder;
    struct now now = co->control->now;
    struct group_rebalance *note = group_rebalance_now(group);
    switch (event) {
    case NEXT_BEGUN:
        group_rebalance_note(group, g->cause, bytes_of_string(g->who), (struct bytes){NULL, 0},
                             g->members_n, now);
        break;
    case NEXT_ASSIGNED:
        if (note != NULL) {
            note->generation = g->assignment_epoch;
            note->joining_ns = now.ns - group->phase_ns;
            note->members_after = g->members_n;
        }
        group->phase_ns = now.ns;
        break;
    case NEXT_OVER:
        if (note != NULL) {
            note->moved_n = g->moved_n;
            note->members_after = g->members_n;
        }
        group_rebalance_over(group, now);
    }
}

/* ── answers that wait ── */

static struct control_op *op_of(struct list *link)
{
    return container_of(list_entry(link, struct mail, link), struct control_op, mail);
}

static void heartbeat_refuse(struct control_op *op, int16_t error)
{
    struct heartbeat_response *out = PROTO_NEW(&op->arena, heartbeat_response, 1);
    op->response = out;
    if (out != NULL)
        out->error_code = error;
}

static void leave_refuse(struct control_op *op, int16_t error)
{
    struct leave_group_response *out = PROTO_NEW(&op->arena, leave_group_response, 1);
    op->response = out;
    if (out != NULL)
        out->error_code = error;
}

void next_host_refuse(struct control_op *op, int16_t error)
{
    enum { JOIN = 11, HEARTBEAT = 12, LEAVE = 13, SYNC = 14 };
    struct fault f = {.code = error};
    switch (op->api_key) {
    case JOIN: group_join_refuse(op, error, bytes_of("", 0)); break;
    case HEARTBEAT: heartbeat_refuse(op, error); break;
    case LEAVE: leave_refuse(op, error); break;
    case SYNC: group_sync_refuse(op, error); break;
    default:
        if (error == KAFKA_REBALANCE_IN_PROGRESS) /* its group is a classic one by now */
            f.code = KAFKA_UNKNOWN_MEMBER_ID;
        next_refuse(op, &f);
    }
}

static void op_answer(struct coordinator *co, struct control_op *op, int16_t error)
{
    if (error != 0)
        next_host_refuse(op, error);
    coordinator_answer(co, op);
}

void next_host_waiting_answer(struct coordinator *co, struct group_next *g, uint64_t number,
                              int16_t error)
{
    while (!list_is_empty(&g->waiting)) {
        struct control_op *op = op_of(g->waiting.next);
        if ((uintptr_t)op->inside[1] > number)
            return;
        list_del(&op->mail.link);
        op_answer(co, op, error);
    }
}

void next_host_gone(struct coordinator *co, struct group *group, int16_t error)
{
    struct group_next *g = group->next;
    if (group->migration != NULL)
        migration_end(co, group->migration);
    group->next = NULL;
    if (g->job != NULL)
        list_splice(&g->waiting, &g->job->waiting);
    if (co->groups.is_ending) /* the workers' requests may be gone already: none is touched */
        list_init(&g->waiting);
    next_host_waiting_answer(co, g, UINT64_MAX, error);
    group_next_free(g);
}

void next_host_again(struct coordinator *co, struct control_op *op)
{
    enum { HEARTBEAT = 12, NEXT_HEARTBEAT = 68 };
    bool is_beat = op->api_key == HEARTBEAT || op->api_key == NEXT_HEARTBEAT;
    list_append(is_beat ? &co->control->heartbeats : &co->control->waiting, &op->mail.link);
}

static void host_again(void *context, struct control_op *op)
{
    next_host_again(context, op);
}

/* ── records ── */

static void write_done(struct coordinator *co, struct coordinator_write *w, int16_t error);

static void write_submit(struct coordinator *co, struct group *group, struct coordinator_write *w,
                         struct control_op *op)
{
    w->op = op;
    w->number = ++co->next_number;
    if (group->next != NULL)
        group->next->last = w->number;
    coordinator_submit(co, group->partition, w);
}

/* Ends the group in memory and log. */
static void lost(struct coordinator *co, struct group *group)
{
    struct coordinator_write *w = coordinator_write_new(group->id, NULL, write_done);
    if (w != NULL) {
        next_records_group_gone(&w->records, group->next);
        if (w->records.error == 0)
            write_submit(co, group, w, NULL);
        else
            coordinator_write_free(w);
    }
    co->next_lost_n++;
    next_host_gone(co, group, KAFKA_UNKNOWN_SERVER_ERROR);
}

static void write_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    struct group *group = group_find(&co->groups, coordinator_write_name(w));
    struct group_next *g = group == NULL ? NULL : group->next;
    if (w->op != NULL)
        op_answer(co, w->op, error);
    if (g == NULL || w->number > g->last || w->number <= g->done)
        return;
    g->done = w->number;
    next_host_waiting_answer(co, g, w->number, error);
    if (error != 0 && co->partitions[group->partition].state == COORDINATOR_ACTIVE &&
        error == KAFKA_UNKNOWN_SERVER_ERROR)
        lost(co, group);
}

/* The next WRITE_BYTES of `from`; NULL: no memory. */
static struct coordinator_write *write_cut(const struct group *group,
                                           const struct group_records *from, uint32_t *at)
{
    struct coordinator_write *w = coordinator_write_new(group->id, NULL, write_done);
    struct bytes key, value;
    uint32_t begin = *at;
    if (w == NULL)
        return NULL;
    while (*at - begin < WRITE_BYTES && group_records_next(from, at, &key, &value))
        w->records.records_n++;
    w->records.n = w->records.max = *at - begin;
    w->records.v = malloc(w->records.n + 1u);
    if (w->records.v == NULL) {
        coordinator_write_free(w);
        return NULL;
    }
    memcpy(w->records.v, from->v + begin, w->records.n);
    return w;
}

bool next_host_write(struct coordinator *co, struct group *group,
                     const struct group_records *records, struct control_op *op)
{
    uint32_t at = 0;
    if (records->error < 0)
        return false;
    while (at < records->n) {
        struct coordinator_write *w = write_cut(group, records, &at);
        if (w == NULL)
            return false;
        write_submit(co, group, w, at == records->n ? op : NULL);
    }
    return true;
}

static void host_append(void *context, struct group_next *g, struct group_records *records,
                        struct control_op *op)
{
    struct coordinator *co = context;
    struct group *group = g->holder;
    if (group->migration != NULL)
        migration_take_back(co, group, records, &op);
    bool is_empty = records->n == 0 && records->error == 0;
    if (next_may_downgrade(g)) {
        migrate_down(co, group, records, op);
        return;
    }
    if (!is_empty && !next_host_write(co, group, records, op)) {
        group_records_fini(records);
        lost(co, group);
        if (op != NULL)
            op_answer(co, op, KAFKA_UNKNOWN_SERVER_ERROR);
        return;
    }
    group_records_fini(records);
    if (!is_empty || op == NULL)
        return;
    if (g->last <= g->done) {
        coordinator_answer(co, op);
        return;
    }
    op->inside[1] = (void *)(uintptr_t)g->last;
    list_append(&g->waiting, &op->mail.link);
}

/* ── ConsumerGroupHeartbeat ── */

static void refuse(struct coordinator *co, struct control_op *op, struct fault *f)
{
    next_refuse(op, f);
    coordinator_answer(co, op);
}

/* An empty classic group makes room; one with members will become a KIP-848 group. */
static bool may_take(struct coordinator *co, struct group *group, struct fault *f)
{
    if (group->state != GROUP_EMPTY)
        return migrate_up_may(co, group, f);
    list_for_each(l, next, &group->pending)
        group_pending_free(list_entry(l, struct group_pending, link));
    if (group->protocol_type.ptr == NULL)
        return true;
    struct coordinator_write *w = coordinator_write_new(group->id, NULL, write_done);
    if (w == NULL)
        return fault_set(f, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
    group_records_metadata_gone(&w->records, group->id);
    write_submit(co, group, w, NULL);
    return group_restore(group, NULL) == 0;
}

static struct group *group_of(struct coordinator *co,
                              const struct consumer_group_heartbeat_request *r, int32_t partition,
                              struct fault *f)
{
    struct group *group = group_find(&co->groups, r->group_id);
    if (group != NULL && group->next != NULL)
        return group;
    if (r->member_epoch != NEXT_EPOCH_JOIN) {
        fault_set(f, KAFKA_GROUP_ID_NOT_FOUND,
                  group != NULL                       ? "Group %.*s is not a consumer group."
                  : r->member_epoch < NEXT_EPOCH_JOIN ? "Group %.*s not found."
                                                      : "Consumer group %.*s not found.",
                  (int)r->group_id.n, (const char *)r->group_id.ptr);
        return NULL;
    }
    if (group != NULL && !may_take(co, group, f))
        return NULL;
    if (group == NULL &&
        group_new(&co->groups, r->group_id, partition, co->control->now, &group) < 0) {
        fault_set(f, KAFKA_COORDINATOR_NOT_AVAILABLE,
                  "There are as many groups as groups.max allows.");
        return NULL;
    }
    if (group->state != GROUP_EMPTY)
        return group; /* migrate_up is next */
    if (group->next == NULL)
        group->next = group_next_new(&co->nexts, group->id, group);
    if (group->next == NULL)
        fault_set(f, KAFKA_UNKNOWN_SERVER_ERROR, "%s", "");
    return group->next == NULL ? NULL : group;
}

static bool is_served(const struct coordinator *co)
{
    return co->serves_next && state_feature(&co->control->state, "group.version") > 0;
}

void next_heartbeat_run(struct coordinator *co, struct control_op *op)
{
    const struct consumer_group_heartbeat_request *r = op->request;
    struct fault f = {0};
    int32_t partition = 0;
    if (!is_served(co))
        f.code = KAFKA_UNSUPPORTED_VERSION;
    else if (next_request_check(r, op->api_version, &f))
        f.code = coordinator_code(co, r->group_id, &partition);
    struct group *group = f.code != 0 ? NULL : group_of(co, r, partition, &f);
    if (group == NULL) {
        refuse(co, op, &f);
        return;
    }
    if (group->next == NULL) {
        migrate_up(co, group, op);
        return;
    }
    group_next_heartbeat(group->next, op, co->control->now);
    if (group->next == NULL || !group_next_is_nothing(group->next))
        return;
    next_host_gone(co, group, KAFKA_GROUP_ID_NOT_FOUND); /* its first member was refused */
    if (group->offsets == NULL)
        group_free(group, KAFKA_GROUP_ID_NOT_FOUND);
}

/* ── beside classic groups ── */

int16_t next_host_join(struct coordinator *co, struct group *group)
{
    struct coordinator_write *w = coordinator_write_new(group->id, NULL, write_done);
    if (w == NULL)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    next_records_group_gone(&w->records, group->next);
    if (w->records.error < 0) {
        coordinator_write_free(w);
        return KAFKA_UNKNOWN_SERVER_ERROR;
    }
    write_submit(co, group, w, NULL);
    next_host_gone(co, group, KAFKA_GROUP_ID_NOT_FOUND);
    return 0;
}

int16_t next_host_commit_check(struct coordinator *co, const struct group *group,
                               const struct control_op *op)
{
    enum { VERSION_TOPIC_IDS = 10 };
    const struct offset_commit_request *q = op->request;
    const struct group_next *g = group->next;
    int32_t epoch = q->generation_id_or_member_epoch;
    int16_t code = next_commit_check(g, q->member_id, epoch, op->api_version, NULL, 0);
    const struct next_member *m = next_member_find(g, q->member_id);
    if (code != 0 || m == NULL || m->epoch == epoch)
        return code;
    for (int32_t i = 0; code == 0 && i < q->topics_n; i++) {
        struct uuid id = q->topics[i].topic_id;
        const struct topic *topic =
            op->api_version >= VERSION_TOPIC_IDS
                ? NULL
                : state_topic_by_name(&co->control->state, q->topics[i].name);
        if (topic != NULL)
            id = topic->id;
        for (int32_t k = 0; code == 0 && k < q->topics[i].partitions_n; k++)
            code = next_commit_check(g, q->member_id, epoch, op->api_version, &id,
                                     q->topics[i].partitions[k].partition_index);
    }
    return code;
}

/* ── loading ── */

int next_host_apply(struct coordinator *co, int32_t partition, struct bytes key, struct bytes value,
                    struct arena *arena)
{
    struct next_record record;
    int e = next_record_decode(key, value, arena, &record);
    if (e == E_INVALID || e == E_MALFORMED || e == E_UNSUPPORTED) {
        co->partitions[partition].skipped_n++;
        return 0;
    }
    if (e < 0)
        return e;
    struct group *group = group_find(&co->groups, record.group);
    if (record.is_gone && (group == NULL || group->next == NULL))
        return 0;
    if (group == NULL)
        e = group_new(&co->groups, record.group, partition, co->control->now, &group);
    if (e == 0 && group->next == NULL) {
        group->next = group_next_new(&co->nexts, group->id, group);
        e = group->next == NULL ? E_NO_MEMORY : 0;
    }
    return e < 0 ? e : group_next_apply(group->next, &record);
}

int next_host_loaded(struct coordinator *co, struct group *group)
{
    if (group_next_is_nothing(group->next)) {
        next_host_gone(co, group, KAFKA_NOT_COORDINATOR);
        return 0;
    }
    int e = group_restore(group, NULL); /* it is no classic group any more */
    return e < 0 ? e : group_next_restored(group->next, co->control->now);
}

/* ── begin and end ── */

static bool list_has(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; at != NULL && (at = strstr(at, word)) != NULL; at += n)
        if ((at == list || at[-1] == ',' || at[-1] == ' ') &&
            (at[n] == '\0' || at[n] == ',' || at[n] == ' '))
            return true;
    return false;
}

int next_host_init(struct coordinator *co)
{
    const struct config *config = co->control->config.config;
    const char *policy = config_string(config, "group.consumer.migration.policy");
    bool is_both = strcasecmp(policy, "bidirectional") == 0;
    const struct next_config next = {
        .size_max = (int32_t)config_int(config, "group.consumer.max.size"),
        .bytes_max = (uint64_t)config_int(config, "groups.bytes.max"),
        .member_bytes_max = (uint64_t)config_int(config, "groups.member.bytes.max"),
        .classic_size_max = (int32_t)config_int(config, "group.max.size"),
        .may_upgrade = is_both || strcasecmp(policy, "upgrade") == 0,
        .may_downgrade = is_both || strcasecmp(policy, "downgrade") == 0,
    };
    const struct next_host host = {.append = host_append,
                                   .topic = host_topic,
                                   .topic_name = host_topic_name,
                                   .metadata_version = host_metadata_version,
                                   .settings = host_settings,
                                   .again = host_again,
                                   .told = host_told,
                                   .context = co};
    co->serves_next =
        list_has(config_string(config, "group.coordinator.rebalance.protocols"), "consumer");
    return nexts_init(&co->nexts, &next, &host, co->control->timers, &co->control->prng);
}

void next_host_fini(struct coordinator *co)
{
    nexts_fini(&co->nexts);
}
