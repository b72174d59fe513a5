/*
 * dirs.c - which log directory a partition is in.
 *
 * Owner: control.
 *
 * The metadata says it by the directory's id (KIP-858), `struct partition.directory`; `dir` beside
 * it is the place in log.dirs, DIR_NONE when no directory that could be taken has that id.
 *
 * A new partition goes to the directory with the fewest partitions, as in Apache Kafka: free bytes
 * would send every partition of a burst to one disk, because none has written anything yet. One
 * that is cordoned (cordon.c) gets none, unless all are and the client named the replicas itself.
 *
 * At start the disk is right where it and the metadata differ, because it has the records:
 *
 *   found where the metadata says                that one
 *   found elsewhere, and not where it says       where it was found; the metadata follows
 *   found in two directories                     the one that the metadata names, else the first
 *                                                of log.dirs; the other becomes -stray
 *   not found, the metadata's directory is here  there: nothing was ever written to it
 *   not found, the metadata names none           the emptiest (Apache Kafka leaves it open with
 *                                                several directories, and versions before 3.7)
 *   not found, its directory is not here         offline: no leader until the directory is back,
 *                                                because the records may be in it
 */
#include "check.h"
#include "control_inside.h"
#include "cordon.h"
#include "messages.h"

enum { DIR_RECORDS_N = 1000 };

/* Ids below 100 are none of a directory (DirectoryId): unassigned, lost, migrating. */
static bool is_reserved(const struct uuid *id)
{
    static const uint8_t zeros[15];
    return memcmp(id->b, zeros, sizeof zeros) == 0 && id->b[15] < 100;
}

void dirs_begin(struct control *c)
{
    if (c->config.dirs_n > 0)
        return;
    c->only_dir = (struct log_dir){
        .id = c->config.directory.directory_id, .is_online = true, .is_clean = c->config.is_clean};
    memcpy(c->only_dir.path, c->config.store.directory, sizeof c->only_dir.path);
    c->config.dirs = &c->only_dir;
    c->config.dirs_n = 1;
}

static uint8_t dir_of(const struct control *c, const struct uuid *id)
{
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        if (c->config.dirs[i].is_online && uuid_equal(&c->config.dirs[i].id, id))
            return i;
    return DIR_NONE;
}

uint8_t dir_by_path(const struct control *c, struct bytes path)
{
    while (path.n > 1 && path.ptr[path.n - 1] == '/')
        path.n--;
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        if (bytes_equal_string(path, c->config.dirs[i].path))
            return i;
    return DIR_NONE;
}

uint8_t partition_dir(const struct control *c, struct partition *p)
{
    if (p->dir == DIR_UNKNOWN)
        p->dir = dir_of(c, &p->directory);
    return p->dir;
}

bool dir_is_usable(const struct control *c, uint8_t dir)
{
    return dir < c->config.dirs_n && c->config.dirs[dir].is_online && !c->dirs_failed[dir];
}

/* ── where a new one goes ── */

/* Counts anew after each change of the metadata; what one request adds is counted on. */
static void dirs_count(struct control *c)
{
    if (c->dirs_counted_at == c->state.end_offset && c->has_dirs_counted)
        return;
    memset(c->dirs_partitions_n, 0, sizeof c->dirs_partitions_n);
    for (uint32_t i = 0; i < c->state.topics_n; i++) {
        struct topic *topic = c->state.topics[i];
        for (int32_t p = 0; !topic->is_removed && p < topic->partitions_n; p++)
            if (partition_dir(c, &topic->partitions[p]) < LOG_DIRS_MAX)
                c->dirs_partitions_n[topic->partitions[p].dir]++;
    }
    c->dirs_counted_at = c->state.end_offset;
    c->has_dirs_counted = true;
}

uint64_t dirs_cordoned(const struct control *c)
{
    return cordon_mask(resolve_broker(&c->resolver, "cordoned.log.dirs"), c->config.dirs,
                       c->config.dirs_n);
}

bool dirs_are_cordoned(const struct control *c)
{
    uint64_t mask = dirs_cordoned(c);
    for (uint8_t i = 0; mask != 0 && i < c->config.dirs_n; i++)
        if (dir_is_usable(c, i) && (mask >> i & 1) == 0)
            return false;
    return mask != 0;
}

/* The usable one with the fewest that is not in `without`; DIR_NONE. */
static uint8_t dirs_emptiest(const struct control *c, uint64_t without)
{
    uint8_t best = DIR_NONE;
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        if (dir_is_usable(c, i) && (without >> i & 1) == 0 &&
            (best == DIR_NONE || c->dirs_partitions_n[i] < c->dirs_partitions_n[best]))
            best = i;
    return best;
}

uint8_t dirs_choose(struct control *c)
{
    if (c->config.dirs_n == 1)
        return 0;
    dirs_count(c);
    uint8_t best = dirs_emptiest(c, dirs_cordoned(c));
    if (best == DIR_NONE)
        best = dirs_emptiest(c, 0);
    if (best == DIR_NONE)
        best = 0; /* all have failed: it is made there, and is offline like the others */
    c->dirs_partitions_n[best]++;
    return best;
}

/* ── one that fails ── */

static bool has_usable(const struct control *c)
{
    for (uint8_t i = 0; i < c->config.dirs_n; i++)
        if (dir_is_usable(c, i))
            return true;
    return false;
}

/* Everywhere, for all its logs: what one worker has seen of a disk the others would see later. */
static void dir_fail(struct control *c, uint8_t dir)
{
    c->dirs_failed[dir] = true;
    for (uint8_t h = 0; h < c->config.workers_n; h++) {
        struct dir_op *order = &c->dir_orders[h * c->config.dirs_n + dir];
        order->dir = dir;
        list_init(&order->mail.link);
        mail_send(c->post, h, MAIL_DIRECTORY, &order->mail);
    }
    for (uint32_t i = 0; i < c->state.topics_n; i++) {
        struct topic *topic = c->state.topics[i];
        for (int32_t n = 0; !topic->is_removed && n < topic->partitions_n; n++) {
            struct partition *p = &topic->partitions[n];
            if (partition_dir(c, p) != dir || p->is_failed || p->leader == PARTITION_MISSING)
                continue;
            p->is_failed = topic->is_changed = true;
            c->failed_logs_n++;
        }
    }
    c->wants_round = true;
}

void dirs_mail(struct control *c, struct mail *mail)
{
    struct dir_op *op = container_of(mail, struct dir_op, mail);
    if (mail->is_answer)
        return; /* a worker has given it up */
    check(op->dir < c->config.dirs_n);
    op->is_first = !c->dirs_failed[op->dir];
    if (op->is_first)
        dir_fail(c, op->dir);
    op->is_last = !has_usable(c);
    mail_answer(c->post, mail);
}

/* ── at start ── */

bool control_finds_log(struct control *c, struct bytes topic, int32_t partition,
                       const struct uuid *id, uint8_t dir)
{
    check(dir < c->config.dirs_n && c->config.dirs[dir].is_online);
    if (!control_knows_log(c, topic, partition, id))
        return false;
    if (bytes_equal_string(topic, METADATA_TOPIC))
        return true;
    struct partition *p = &state_topic_by_name(&c->state, topic)->partitions[partition];
    uint8_t said = dir_of(c, &p->directory);
    if (said != DIR_NONE && said != dir &&
        directory_has_log(c->disk, c->config.dirs[said].path, topic, partition, id))
        return false;
    if (p->is_found)
        return false;
    p->is_found = true;
    p->dir = dir;
    return true;
}

bool control_places_log(struct control *c, struct bytes topic, int32_t partition,
                        const struct uuid *id, uint8_t dir)
{
    if (!control_knows_log(c, topic, partition, id) || bytes_equal_string(topic, METADATA_TOPIC))
        return false;
    const struct partition *p = &state_topic_by_name(&c->state, topic)->partitions[partition];
    return p->is_found ? p->dir == dir : control_finds_log(c, topic, partition, id, dir);
}

static bool is_ours(const struct control *c, const struct partition *p)
{
    for (uint16_t i = 0; i < p->replicas_n; i++)
        if (p->nodes[i] == c->node_id)
            return p->leader != PARTITION_MISSING;
    return false;
}

/* True: the metadata has to follow. */
static bool place(struct control *c, struct topic *topic, struct partition *p)
{
    if (!p->is_found && is_reserved(&p->directory))
        p->dir = dirs_choose(c);
    if (partition_dir(c, p) == DIR_NONE) {
        p->is_failed = topic->is_changed = true;
        c->lost_logs_n++;
        c->failed_logs_n++;
        return false;
    }
    topic->is_changed = true;
    return !uuid_equal(&p->directory, &c->config.dirs[p->dir].id);
}

int dirs_place(struct control *c)
{
    bool has_directories =
        state_feature(&c->state, "metadata.version") >= METADATA_VERSION_LOG_DIRS;
    int e = state_settle(&c->state);
    records_begin(&c->records, c->now.wall_ms);
    for (uint32_t i = 0; e == 0 && i < c->state.live_n; i++) {
        struct topic *topic = c->state.topics[i];
        for (int32_t n = 0; e == 0 && n < topic->partitions_n; n++) {
            struct partition *p = &topic->partitions[n];
            if (!is_ours(c, p) || !place(c, topic, p) || !has_directories)
                continue;
            bootstrap_add_directory(c, &topic->id, n, p->dir);
            if (c->records.builder.records_n < DIR_RECORDS_N)
                continue;
            e = control_commit(c);
            records_begin(&c->records, c->now.wall_ms);
        }
    }
    if (e == 0 && c->records.builder.records_n > 0)
        e = control_commit(c);
    return e == E_AGAIN ? 0 : e; /* the next start finds the rest again */
}
