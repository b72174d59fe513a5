/*
 * coordinator.c - partitions of __consumer_offsets: which are there, what is appended to them, when
 * that is done.
 *
 * Owner: control. coordinator.h has the states and the rules of the queue.
 *
 * Bounds: one batch per partition is under way; writes are at most the requests at control, plus
 * one per group that changed (membership is bounded by group_config), plus
 * COORDINATOR_SWEEP_WRITES_MAX.
 */
#include "coordinator.h"

#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "utf8.h"
#include "control_inside.h"
#include "group_next_host.h"
#include "kafka_codes.h"
#include "messages.h"

enum { RECORD_ROOM = 40, NEW_MEMBER_TIMEOUT_MS = 300000, APPLY_ARENA_MAX = 64 << 20 };

/* ── which partition ── */

/* The next code point, as Java's UTF-8 decoder has it: malformed bytes become U+FFFD one by one. */
static uint32_t code_point(const uint8_t **at, const uint8_t *end)
{
    static const uint32_t least[4] = {0, 0x80, 0x800, 0x10000};
    const uint8_t *p = *at;
    uint32_t c = *p++, more = c >= 0xf0 && c < 0xf5   ? 3
                              : c >= 0xe0 && c < 0xf0 ? 2
                              : c >= 0xc2 && c < 0xe0 ? 1
                                                      : 0;
    if (c >= 0x80) {
        uint32_t value = more == 3 ? c & 7 : more == 2 ? c & 15 : c & 31, i = 0;
        while (i < more && p < end && (*p & 0xc0) == 0x80) {
            value = value << 6 | (*p++ & 0x3f);
            i++;
        }
        bool is_good = more > 0 && i == more && value >= least[more] && value <= 0x10ffff &&
                       (value < 0xd800 || value > 0xdfff);
        c = is_good ? value : 0xfffd;
        if (!is_good)
            p = *at + 1;
    }
    *at = p;
    return c;
}

int32_t coordinator_hash(struct bytes id)
{
    const uint8_t *at = id.ptr, *end = at + id.n;
    uint32_t h = 0;
    while (at < end) {
        uint32_t c = code_point(&at, end);
        if (c >= 0x10000) {
            h = 31 * h + (0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        h = 31 * h + c;
    }
    return (int32_t)h;
}

/* Utils.abs: the most negative number becomes 0. */
int16_t coordinator_code(const struct coordinator *co, struct bytes group, int32_t *partition)
{
    if (!utf8_is_valid(group)) /* every list of groups would be unreadable for everybody */
        return KAFKA_INVALID_GROUP_ID;
    int32_t hash = coordinator_hash(group);
    if (co->partitions == NULL || co->is_detaching)
        return KAFKA_NOT_COORDINATOR;
    *partition = (hash == INT32_MIN ? 0 : hash < 0 ? -hash : hash) % co->partitions_n;
    switch (co->partitions[*partition].state) {
    case COORDINATOR_ACTIVE: return 0;
    case COORDINATOR_LOADING: return KAFKA_COORDINATOR_LOAD_IN_PROGRESS;
    default: return KAFKA_NOT_COORDINATOR;
    }
}

/* ── writes ── */

struct coordinator_write *coordinator_write_new(struct bytes group, struct control_op *op,
                                                void (*done)(struct coordinator *,
                                                             struct coordinator_write *, int16_t))
{
    struct coordinator_write *w = calloc(1, sizeof *w + group.n);
    if (w == NULL)
        return NULL;
    list_init(&w->link);
    list_init(&w->open_link);
    w->op = op;
    w->done = done;
    w->name_n = group.n;
    if (group.n > 0)
        memcpy(w->name, group.ptr, group.n);
    return w;
}

void coordinator_write_free(struct coordinator_write *w)
{
    list_del(&w->open_link);
    group_records_fini(&w->records);
    free(w);
}

static void dirty(struct coordinator *co, struct coordinator_partition *p)
{
    if (p->is_dirty || p->is_committing || list_is_empty(&p->writes))
        return;
    p->is_dirty = true;
    list_append(&co->dirty, &p->dirty_link);
}

void coordinator_submit(struct coordinator *co, int32_t partition, struct coordinator_write *w)
{
    struct coordinator_partition *p = &co->partitions[partition];
    check(p->state == COORDINATOR_ACTIVE);
    co->writes_n++;
    list_append(&p->writes, &w->link);
    dirty(co, p);
}

void coordinator_close(struct coordinator *co, int32_t partition, struct coordinator_write *w)
{
    list_del(&w->open_link);
    dirty(co, &co->partitions[partition]);
}

static void finish(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    check(co->writes_n > 0);
    co->writes_n--;
    w->done(co, w, error);
    coordinator_write_free(w);
}

void coordinator_answer(struct coordinator *co, struct control_op *op)
{
    struct control *c = co->control;
    if (op->response == NULL)
        arena_fini(&op->arena); /* no memory for the answer: the connection is closed */
    mail_answer(c->post, &op->mail);
}

/* As Kafka's appendGroupMetadataErrorToResponseError tells members and committers. */
static int16_t code_of(int error)
{
    switch (error) {
    case 0: return 0;
    case E_TOO_LARGE:
    case E_INVALID:
    case E_NO_MEMORY: return KAFKA_UNKNOWN_SERVER_ERROR;
    case E_TIMED_OUT: return KAFKA_COORDINATOR_NOT_AVAILABLE;
    default: return KAFKA_NOT_COORDINATOR;
    }
}

/* ── batches out ── */

/* Moves what the next batch takes to `under_way`; returns its records' bytes. Of those that have
 * nothing to append at least one ends in a turn, others as far as the turn has room. */
static uint64_t writes_gather(struct coordinator *co, struct coordinator_partition *p)
{
    uint64_t bytes = 0;
    for (int n = 0; !list_is_empty(&p->writes); n++) {
        struct coordinator_write *w = list_first(&p->writes, struct coordinator_write, link);
        bool is_first = list_is_empty(&p->under_way);
        if ((w->begin != NULL && !is_first) || list_is_linked(&w->open_link) ||
            (n > 0 && coordinator_work(co, 0)))
            break;
        if (w->begin != NULL) {
            void (*begin)(struct coordinator *, struct coordinator_write *) = w->begin;
            w->begin = NULL;
            begin(co, w);
        }
        if (!is_first && bytes + w->records.n > COORDINATOR_BATCH_BYTES_MAX)
            break;
        list_del(&w->link);
        if (w->records.error < 0 || w->records.records_n == 0) {
            finish(co, w, w->records.error < 0 ? code_of(w->records.error) : w->code);
            continue;
        }
        bytes += w->records.n + (uint64_t)w->records.records_n * RECORD_ROOM;
        list_append(&p->under_way, &w->link);
    }
    return bytes;
}

/* All that is under way as one batch in heap memory. */
static int batch_make(struct coordinator *co, struct coordinator_partition *p, uint64_t bytes)
{
    struct batch_builder builder;
    struct bytes key, value;
    uint64_t max = bytes + BATCH_HEADER;
    uint8_t *to = max > UINT32_MAX ? NULL : malloc(max);
    if (to == NULL)
        return E_NO_MEMORY;
    batch_begin(&builder, to, (uint32_t)max);
    list_for_each(l, next, &p->under_way) {
        const struct coordinator_write *w = list_entry(l, struct coordinator_write, link);
        uint32_t at = 0;
        while (group_records_next(&w->records, &at, &key, &value)) {
            int e = batch_add(&builder, co->control->now.wall_ms, key, value);
            check(e == 0); /* RECORD_ROOM covers what a record adds to its key and value */
        }
    }
    co->records_n += (uint64_t)builder.records_n;
    p->commit.batch = to;
    p->commit.bytes = batch_end(&builder, 0, 0);
    return 0;
}

static void under_way_finish(struct coordinator *co, struct coordinator_partition *p, int16_t error)
{
    struct list over, *l;
    list_init(&over);
    list_splice(&over, &p->under_way);
    while ((l = list_pop(&over)) != NULL)
        finish(co, list_entry(l, struct coordinator_write, link), error);
}

static void partition_send(struct coordinator *co, struct coordinator_partition *p)
{
    check(!p->is_committing && list_is_empty(&p->under_way));
    uint64_t bytes = writes_gather(co, p);
    if (list_is_empty(&p->under_way)) {
        struct coordinator_write *w = list_first(&p->writes, struct coordinator_write, link);
        if (w != NULL && !list_is_linked(&w->open_link))
            dirty(co, p); /* the turn had no room */
        return;
    }
    int e = batch_make(co, p, bytes);
    if (e < 0) {
        under_way_finish(co, p, code_of(e));
        dirty(co, p);
        return;
    }
    p->commit.topic_id = co->topic_id;
    p->commit.partition = p->number;
    p->is_committing = true;
    co->away_n++;
    co->batches_n++;
    mail_send(co->control->post, p->home, MAIL_COMMIT, &p->commit.mail);
}

static void apply_end(struct coordinator *co, struct coordinator_partition *p, int error)
{
    p->is_committing = false;
    p->apply = NULL;
    co->away_n--;
    under_way_finish(co, p, code_of(error));
    if (error < 0 && error != E_TOO_LARGE && error != E_NO_MEMORY)
        coordinator_partition_fail(co, p);
    dirty(co, p);
}

static struct coordinator_write *write_after(const struct coordinator_partition *p,
                                             const struct coordinator_write *w)
{
    return w->link.next == &p->under_way ? NULL
                                         : list_entry(w->link.next, struct coordinator_write, link);
}

/* Durable: the offsets in it are what is committed. False: the turn has no more room. */
static bool apply_step(struct coordinator *co, struct coordinator_partition *p)
{
    struct arena arena;
    struct bytes key, value;
    bool is_spent = false;
    int e = p->state == COORDINATOR_ACTIVE ? 0 : E_CLOSED;
    arena_init(&arena, NULL, NULL, APPLY_ARENA_MAX);
    while (e == 0 && p->apply != NULL && !is_spent) {
        if (group_records_next(&p->apply->records, &p->apply_at, &key, &value)) {
            e = coordinator_apply(co, p->number, key, value, &arena, true);
            arena_fini(&arena);
            is_spent = coordinator_work(co, COORDINATOR_WORK_APPLY);
        } else {
            p->apply = write_after(p, p->apply);
            p->apply_at = 0;
        }
    }
    if (e == 0 && p->apply != NULL)
        return false;
    apply_end(co, p, e);
    return true;
}

static void commit_back(struct coordinator *co, struct coordinator_partition *p)
{
    int error = p->commit.error;
    free((void *)(uintptr_t)p->commit.batch);
    p->commit.batch = NULL;
    if (error == 0)
        p->retry_ms = 0;
    if (error < 0 || p->state != COORDINATOR_ACTIVE) {
        apply_end(co, p, error);
        return;
    }
    p->apply = list_first(&p->under_way, struct coordinator_write, link);
    p->apply_at = 0;
    if (!apply_step(co, p))
        list_append(&co->applying, &p->applying_link);
}

/* The log may be good again: everything is read anew. */
static void retry_fired(struct timer *timer, struct now now)
{
    struct coordinator_partition *p = container_of(timer, struct coordinator_partition, retry);
    (void)now;
    check(p->state == COORDINATOR_FAILED && !p->is_committing && !p->is_loading);
    p->state = COORDINATOR_LOADING;
    p->co->retried_n++;
    p->co->load_at = (int32_t)min_i64(p->co->load_at, p->number);
}

static void retry_set(struct coordinator *co, struct coordinator_partition *p)
{
    p->retry_ms = p->retry_ms == 0
                      ? COORDINATOR_RETRY_MS
                      : (uint32_t)min_u64(p->retry_ms * 2ull, COORDINATOR_RETRY_MAX_MS);
    timer_set(co->control->timers, &p->retry,
              co->control->now.ns + (uint64_t)p->retry_ms * NS_PER_MS);
}

void coordinator_partition_fail(struct coordinator *co, struct coordinator_partition *p)
{
    struct list *l;
    if (p->state == COORDINATOR_FAILED)
        return;
    p->state = COORDINATOR_FAILED;
    co->failed_n++;
    retry_set(co, p);
    while ((l = list_pop(&p->writes)) != NULL)
        finish(co, list_entry(l, struct coordinator_write, link), KAFKA_NOT_COORDINATOR);
    list_for_each(l2, next, &co->groups.partitions[p->number])
        group_free(list_entry(l2, struct group, partition_link), KAFKA_NOT_COORDINATOR);
    load_end(p);
}

/* ── what the groups ask for ── */

static void host_answer(void *context, struct control_op *op)
{
    coordinator_answer(context, op);
}

static void host_next_gone(void *context, struct group *group, int16_t error)
{
    if (group->migration != NULL)
        migration_end(context, group->migration);
    if (group->next != NULL)
        next_host_gone(context, group, error);
}

static void append_done(struct coordinator *co, struct coordinator_write *w, int16_t error)
{
    struct group *group = group_find(&co->groups, coordinator_write_name(w));
    if (w->op != NULL && error == 0)
        coordinator_answer(co, w->op);
    else if (w->op != NULL)
        group_answer_join(&co->groups, w->op, error, bytes_of("", 0));
    if (group != NULL)
        group_appended(group, w->number, error, co->control->now);
}

static void fails_at_once(struct coordinator *co, struct coordinator_write *w)
{
    (void)co;
    w->code = KAFKA_UNKNOWN_SERVER_ERROR;
}

static void host_append(void *context, struct group *group, uint64_t number, struct control_op *op)
{
    struct coordinator *co = context;
    struct coordinator_write *w = coordinator_write_new(group->id, op, append_done);
    if (w == NULL) { /* the members that wait are told by their rebalance timeout */
        if (op != NULL)
            group_answer_join(&co->groups, op, KAFKA_UNKNOWN_SERVER_ERROR, bytes_of("", 0));
        return;
    }
    w->number = number;
    group_records_metadata(&w->records, group);
    if (w->records.error < 0) {
        group_records_fini(&w->records);
        w->begin = fails_at_once;
    }
    coordinator_submit(co, group->partition, w);
}

/* ── coming and going of the topic ── */

static void detach(struct coordinator *co)
{
    for (int32_t i = 0; i < co->partitions_n; i++) {
        coordinator_partition_fail(co, &co->partitions[i]);
        timer_stop(co->control->timers, &co->partitions[i].retry);
    }
    co->is_detaching = true;
}

static void attach(struct coordinator *co, const struct view_topic *topic)
{
    struct coordinator_partition *p = calloc((uint32_t)topic->partitions_n, sizeof *p);
    if (p == NULL || groups_partitions_set(&co->groups, topic->partitions_n) < 0) {
        free(p); /* tried again with the next view */
        return;
    }
    co->partitions = p;
    co->partitions_n = topic->partitions_n;
    co->topic_id = topic->id;
    co->load_at = 0;
    for (int32_t i = 0; i < topic->partitions_n; i++, p++) {
        p->number = i;
        p->co = co;
        timer_init(&p->retry, retry_fired);
        p->home = topic->partitions[i].home;
        p->state = topic->partitions[i].leader == co->control->node_id ? COORDINATOR_LOADING
                                                                       : COORDINATOR_FAILED;
        list_init(&p->dirty_link);
        list_init(&p->applying_link);
        list_init(&p->writes);
        list_init(&p->under_way);
        list_init(&p->commit.mail.link);
        list_init(&p->load.mail.link);
    }
}

void coordinator_look(struct coordinator *co)
{
    const struct view *view = co->control->published;
    const struct view_topic *topic =
        view == NULL ? NULL : view_topic_by_name(view, bytes_of_string(OFFSETS_TOPIC));
    bool is_same = co->partitions != NULL && topic != NULL &&
                   uuid_equal(&topic->id, &co->topic_id) && topic->partitions_n == co->partitions_n;
    if (is_same && !co->is_detaching)
        return;
    if (co->partitions != NULL && !co->is_detaching)
        detach(co);
    if (co->away_n > 0)
        return; /* coordinator_turn looks again */
    while (list_pop(&co->dirty) != NULL)
        continue;
    free(co->partitions);
    co->partitions = NULL;
    co->partitions_n = 0;
    co->is_detaching = false;
    if (topic != NULL)
        attach(co, topic);
}

void coordinator_topics_deleted(struct coordinator *co)
{
    sweep_begin(co, false);
}

/* ── the turn ── */

void coordinator_mail(struct coordinator *co, struct mail *mail)
{
    if (mail->kind == MAIL_COMMIT) {
        struct commit_op *op = container_of(mail, struct commit_op, mail);
        commit_back(co, container_of(op, struct coordinator_partition, commit));
    } else {
        struct load_op *op = container_of(mail, struct load_op, mail);
        co->away_n--;
        load_back(co, container_of(op, struct coordinator_partition, load));
    }
}

static int loads_turn(struct coordinator *co)
{
    int n = 0;
    for (; co->loads_n < COORDINATOR_LOADS_MAX && co->load_at < co->partitions_n; co->load_at++) {
        struct coordinator_partition *p = &co->partitions[co->load_at];
        if (p->state != COORDINATOR_LOADING || p->load.buffer != NULL)
            continue; /* it is not to be loaded, or under way */
        load_begin(co, p);
        n++;
    }
    return n;
}

static int ask_turn(struct coordinator *co)
{
    struct ask *ask = &co->ask;
    if (atomic_load_explicit(&ask->state, memory_order_acquire) != ASK_ASKED ||
        ask->kind != ASK_GROUP)
        return 0;
    ask->answer = group_explain(co, bytes_of(ask->name, ask->name_n));
    atomic_store_explicit(&ask->state, ASK_ANSWERED, memory_order_release);
    return 1;
}

static bool many_step(struct coordinator *co, struct control_op *op)
{
    switch (op->api_key) {
    case 9: return offset_fetch_step(co, op);
    case 15: return describe_groups_step(co, op);
    case 16: return list_groups_step(co, op);
    case 42: return delete_groups_step(co, op);
    case 69: return next_describe_step(co, op);
    default: check(!"a request about many groups"); return true;
    }
}

void coordinator_many(struct coordinator *co, struct control_op *op)
{
    op->inside[OP_AT] = NULL;
    if (coordinator_work(co, 0) || !many_step(co, op))
        list_append(&co->many, &op->mail.link);
}

/* What goes on over turns: each kind by one step at least, in turn, then as far as there is room.
 */
static int pieces_turn(struct coordinator *co)
{
    struct list *l;
    int n = 0;
    for (bool is_spent = false; !is_spent && (l = list_pop(&co->many)) != NULL; n++) {
        struct control_op *op =
            container_of(list_entry(l, struct mail, link), struct control_op, mail);
        if (!many_step(co, op))
            list_append(&co->many, l);
        is_spent = coordinator_work(co, 0);
    }
    for (bool is_spent = false; !is_spent && (l = list_pop(&co->migrations)) != NULL; n++) {
        list_append(&co->migrations, l);
        migration_step(co, list_entry(l, struct migration, link));
        is_spent = coordinator_work(co, 0);
    }
    for (bool is_spent = false; !is_spent && (l = list_pop(&co->applying)) != NULL; n++) {
        if (!apply_step(co, list_entry(l, struct coordinator_partition, applying_link)))
            list_append(&co->applying, l);
        is_spent = coordinator_work(co, 0);
    }
    for (bool is_spent = false; !is_spent && (l = list_pop(&co->open)) != NULL; n++) {
        struct coordinator_write *w = list_entry(l, struct coordinator_write, open_link);
        if (offset_commit_step(co, w))
            coordinator_close(co, w->partition, w);
        else
            list_append(&co->open, l);
        is_spent = coordinator_work(co, 0);
    }
    return n;
}

int coordinator_turn(struct coordinator *co)
{
    struct list now_list, *l;
    int n = 0;
    if (co->is_detaching)
        coordinator_look(co);
    n += loads_turn(co);
    n += sweep_turn(co);
    co->nexts.work = 0;
    n += nexts_turn(&co->nexts, co->control->now);
    n += pieces_turn(co);
    list_init(&now_list);
    list_splice(&now_list, &co->dirty);
    for (; (l = list_pop(&now_list)) != NULL; n++) {
        struct coordinator_partition *p = list_entry(l, struct coordinator_partition, dirty_link);
        p->is_dirty = false;
        partition_send(co, p);
    }
    co->nexts.work = 0;
    return n + ask_turn(co);
}

void coordinator_stats(struct coordinator *co)
{
    const struct groups *groups = &co->groups;
    const struct nexts *nexts = &co->nexts;
    uint64_t failed_n = 0;
    for (int32_t i = 0; i < co->partitions_n; i++)
        failed_n += co->partitions[i].state == COORDINATOR_FAILED;
    const uint64_t v[GROUP_STATS_N] = {
        /* a KIP-848 group hangs at an empty classic one */
        [GROUP_STAT_CLASSIC_EMPTY] =
            groups->states_n[GROUP_EMPTY] - (nexts->groups_n - co->loose_n),
        [GROUP_STAT_CLASSIC_PREPARING] = groups->states_n[GROUP_PREPARING],
        [GROUP_STAT_CLASSIC_COMPLETING] = groups->states_n[GROUP_COMPLETING],
        [GROUP_STAT_CLASSIC_STABLE] = groups->states_n[GROUP_STABLE],
        [GROUP_STAT_NEXT_EMPTY] = nexts->states_n[NEXT_EMPTY],
        [GROUP_STAT_NEXT_ASSIGNING] = nexts->states_n[NEXT_ASSIGNING],
        [GROUP_STAT_NEXT_RECONCILING] = nexts->states_n[NEXT_RECONCILING],
        [GROUP_STAT_NEXT_STABLE] = nexts->states_n[NEXT_SETTLED],
        [GROUP_STAT_CLASSIC_MEMBERS] = groups->members_n,
        [GROUP_STAT_NEXT_MEMBERS] = nexts->members_n,
        [GROUP_STAT_CLASSIC_REBALANCES] = groups->rebalances_n,
        [GROUP_STAT_NEXT_REBALANCES] = nexts->rebalances_n,
        [GROUP_STAT_CLASSIC_EVICTIONS] = groups->evicted_n,
        [GROUP_STAT_NEXT_EVICTIONS] = nexts->fenced_n,
        [GROUP_STAT_MIGRATIONS_UP] = co->ups_n,
        [GROUP_STAT_MIGRATIONS_DOWN] = co->downs_n,
        [GROUP_STAT_COMMITS] = co->commits_n,
        [GROUP_STAT_PARTITIONS_FAILED] = failed_n,
        [GROUP_STAT_GROUPS_LOST] = co->next_lost_n,
    };
    for (uint32_t i = 0; i < GROUP_STATS_N; i++)
        group_stats_set(&co->stats, (enum group_stat_at)i, v[i]);
}

bool coordinator_is_tired(const struct coordinator *co)
{
    return nexts_are_tired(&co->nexts);
}

bool coordinator_is_quiet(const struct coordinator *co)
{
    return co->away_n == 0 && co->writes_n == 0 && list_is_empty(&co->many) &&
           list_is_empty(&co->nexts.jobs) && list_is_empty(&co->migrations);
}

/* ── begin and end ── */

static void check_fired(struct timer *timer, struct now now)
{
    struct coordinator *co = container_of(timer, struct coordinator, check);
    sweep_begin(co, true);
    timer_set(co->control->timers, timer, now.ns + (uint64_t)co->check_interval_ms * NS_PER_MS);
}

int coordinator_init(struct coordinator **out, struct control *c)
{
    const struct config *config = c->config.config;
    const struct group_config groups = {
        .session_timeout_min_ms = (int32_t)config_int(config, "group.min.session.timeout.ms"),
        .session_timeout_max_ms = (int32_t)config_int(config, "group.max.session.timeout.ms"),
        .initial_delay_ms = (int32_t)config_int(config, "group.initial.rebalance.delay.ms"),
        .size_max = (int32_t)config_int(config, "group.max.size"),
        .new_member_timeout_ms = NEW_MEMBER_TIMEOUT_MS,
        .groups_max = (uint32_t)config_int(config, "groups.max"),
        .member_bytes_max = (uint64_t)config_int(config, "groups.member.bytes.max"),
        .bytes_max = (uint64_t)config_int(config, "groups.bytes.max"),
    };
    struct coordinator *co = calloc(1, sizeof *co);
    struct group_host host = {host_answer, host_append, host_next_gone, co};
    if (co == NULL)
        return E_NO_MEMORY;
    co->control = c;
    if (groups_init(&co->groups, &groups, &host, c->timers, &c->prng) < 0) {
        free(co);
        return E_NO_MEMORY;
    }
    if (next_host_init(co) < 0) {
        groups_fini(&co->groups);
        free(co);
        return E_NO_MEMORY;
    }
    co->groups.stats = &co->stats;
    list_init(&co->dirty);
    list_init(&co->many);
    list_init(&co->migrations);
    list_init(&co->open);
    list_init(&co->applying);
    co->retention_ms = config_int(config, "offsets.retention.minutes") * 60000;
    co->check_interval_ms = config_int(config, "offsets.retention.check.interval.ms");
    co->metadata_max = config_int(config, "offset.metadata.max.bytes");
    timer_init(&co->check, check_fired);
    timer_set(c->timers, &co->check, c->now.ns + (uint64_t)co->check_interval_ms * NS_PER_MS);
    *out = co;
    return 0;
}

static void writes_drop(struct list *writes)
{
    struct list *l;
    while ((l = list_pop(writes)) != NULL)
        coordinator_write_free(list_entry(l, struct coordinator_write, link));
}

static void no_answer(void *context, struct control_op *op)
{
    (void)context, (void)op; /* the whole broker ends: arenas are the workers' */
}

void coordinator_fini(struct coordinator *co)
{
    if (co == NULL)
        return;
    timer_stop(co->control->timers, &co->check);
    co->groups.host.answer = no_answer;
    groups_fini(&co->groups);
    migrations_fini(co);
    next_host_fini(co);
    for (int32_t i = 0; i < co->partitions_n; i++) {
        timer_stop(co->control->timers, &co->partitions[i].retry);
        writes_drop(&co->partitions[i].writes);
        writes_drop(&co->partitions[i].under_way);
        free((void *)(uintptr_t)co->partitions[i].commit.batch);
        co->partitions[i].is_loading = false;
        load_end(&co->partitions[i]);
    }
    free(co->partitions);
    free(co->ask.answer);
    free(co);
}
