/*
 * moves.c - logs that go to another log directory (AlterReplicaLogDirs).
 *
 * Owner: control; a move_op belongs to the home worker while it is away.
 *
 *   QUEUED -> COPYING -> STANDING -> COMMITTED -> FINISHING -> (over)
 *                 |          '------------------------'----> ENDING -> (over)
 *                 '--error or cancelled--> (over)
 *
 *   QUEUED     its home moves another one: one at a time for each home
 *   COPYING    the home copies; the log goes on
 *   STANDING   both directories have it whole; the log stands still until control has decided
 *   COMMITTED  the partition's record names the new directory; not durable yet
 *   FINISHING  it is durable; the home changes the log's store
 *   ENDING     the home removes the copy, the log goes on where it was
 *
 * Apache Kafka's broker tells the controller the new directory (AssignReplicasToDirs) before it
 * changes names; here the record is the decision itself: a crash before it is durable finds the log
 * in the old directory, behind it in the new one, and each has all that was acknowledged then. What
 * is left of the other one is set aside as -stray by that start.
 *
 * A start that finds a -future directory removes it and begins the move anew, as Apache Kafka goes
 * on with one.
 */
#include <stdlib.h>

#include "check.h"
#include "control_inside.h"

enum moving_state {
    MOVING_QUEUED,
    MOVING_COPYING,
    MOVING_STANDING,
    MOVING_COMMITTED,
    MOVING_FINISHING,
    MOVING_ENDING,
};

/* Owner: control. Heap. */
struct moving {
    struct list link; /* control.moves_queued[home] */
    uint8_t state;    /* enum moving_state */
    uint8_t home, dir;
    uint8_t next_dir; /* where to after this one; DIR_NONE */
    bool is_cancelled, is_cancel_away;
    bool is_over; /* but for the cancel that is away */
    struct move_op op;
    struct cancel_move cancel;
};

static struct partition *moving_partition(struct control *c, const struct moving *m,
                                          struct topic **topic)
{
    *topic = state_topic_by_id(&c->state, &m->op.topic_id);
    if (*topic == NULL || (*topic)->is_removed || m->op.partition >= (*topic)->partitions_n)
        return NULL;
    return &(*topic)->partitions[m->op.partition];
}

uint8_t partition_future_dir(const struct partition *p)
{
    return p->moving != NULL && p->moving->state < MOVING_COMMITTED ? p->moving->dir : DIR_NONE;
}

/* ── asking ── */

static int moving_add(struct control *c, const struct uuid *topic_id, int32_t partition,
                      struct partition *p, uint8_t dir)
{
    struct moving *m = calloc(1, sizeof *m);
    if (m == NULL)
        return E_NO_MEMORY;
    m->dir = dir;
    m->next_dir = DIR_NONE;
    m->home = partition_home(topic_id, partition, c->config.workers_n);
    m->op.topic_id = *topic_id;
    m->op.partition = partition;
    m->op.dir = dir;
    list_init(&m->op.mail.link);
    list_init(&m->cancel.mail.link);
    list_append(&c->moves_queued[m->home], &m->link);
    p->moving = m;
    return 0;
}

static void moving_cancel(struct control *c, struct moving *m)
{
    m->is_cancelled = true;
    if (m->state != MOVING_COPYING || m->is_cancel_away)
        return;
    m->is_cancel_away = true;
    m->cancel.op = &m->op;
    mail_send(c->post, m->home, MAIL_MOVE_CANCEL, &m->cancel.mail);
}

int move_ask(struct control *c, struct topic *topic, int32_t partition, uint8_t dir)
{
    struct partition *p = &topic->partitions[partition];
    struct moving *m = p->moving;
    bool is_there = partition_dir(c, p) == dir;
    topic->is_changed = c->is_dirty = true; /* the view tells of it before the answer */
    if (m == NULL)
        return is_there ? 0 : moving_add(c, &topic->id, partition, p, dir);
    if (m->state >= MOVING_COMMITTED) {
        m->next_dir = is_there ? DIR_NONE : dir;
        return 0;
    }
    m->next_dir = is_there || dir == m->dir ? DIR_NONE : dir;
    if (m->state == MOVING_QUEUED && !is_there) {
        m->dir = m->op.dir = dir;
        m->next_dir = DIR_NONE;
    } else if (dir != m->dir) {
        moving_cancel(c, m);
    } else if (m->is_cancelled) {
        m->next_dir = dir; /* it ends first, and begins anew */
    }
    return 0;
}

/* ── the end ── */

static void moving_over(struct control *c, struct moving *m)
{
    struct topic *topic;
    struct partition *p = moving_partition(c, m, &topic);
    check(c->moving[m->home] == m);
    if (m->is_cancel_away) { /* its memory is needed until that is back */
        m->is_over = true;
        return;
    }
    c->moving[m->home] = NULL;
    if (p != NULL && p->moving == m) {
        p->moving = NULL;
        topic->is_changed = c->wants_round = true;
        if (m->next_dir != DIR_NONE && m->next_dir != partition_dir(c, p))
            (void)!moving_add(c, &topic->id, m->op.partition, p, m->next_dir);
    }
    free(m);
}

/* ── steps ── */

static void step_send(struct control *c, struct moving *m, enum move_step step,
                      enum moving_state state)
{
    m->op.step = (uint8_t)step;
    m->state = (uint8_t)state;
    mail_send(c->post, m->home, MAIL_MOVE, &m->op.mail);
}

static uint64_t bytes_per_s(const struct control *c)
{
    const char *text =
        resolve_broker(&c->resolver, "replica.alter.log.dirs.io.max.bytes.per.second");
    unsigned long long all = text == NULL ? UINT64_MAX : strtoull(text, NULL, 10);
    return all >= INT64_MAX ? 0 : max_u64(all / c->config.workers_n, 1);
}

/* The next one of this home that still makes sense. */
static int moving_begin(struct control *c, uint8_t home)
{
    struct list *l = c->is_failed ? NULL : list_pop(&c->moves_queued[home]);
    if (l == NULL)
        return 0;
    struct moving *m = list_entry(l, struct moving, link);
    struct topic *topic;
    struct partition *p = moving_partition(c, m, &topic);
    list_init(&m->link);
    c->moving[home] = m;
    if (p == NULL || m->is_cancelled || p->is_failed || !dir_is_usable(c, m->dir) ||
        p->leader != c->node_id || partition_dir(c, p) == m->dir) {
        moving_over(c, m);
        return 1;
    }
    m->op.seed = prng_next(&c->prng);
    m->op.bytes_per_s = bytes_per_s(c);
    step_send(c, m, MOVE_LOG_BEGIN, MOVING_COPYING);
    return 1;
}

static int moving_commit(struct control *c, struct moving *m)
{
    struct topic *topic;
    struct partition *p = moving_partition(c, m, &topic);
    if (p == NULL || m->is_cancelled || c->is_failed || !dir_is_usable(c, m->dir)) {
        step_send(c, m, MOVE_LOG_GIVE_UP, MOVING_ENDING);
        return 1;
    }
    if (!control_may_change(c))
        return 0;
    if (state_feature(&c->state, "metadata.version") >= METADATA_VERSION_LOG_DIRS) {
        records_begin(&c->records, c->now.wall_ms);
        bootstrap_add_directory(c, &topic->id, m->op.partition, m->dir);
        int e = control_commit(c);
        if (e != 0)
            return 0; /* later; or the log has failed, and it is given up */
    }
    p->dir = m->dir;
    topic->is_changed = c->is_dirty = true;
    m->state = MOVING_COMMITTED;
    return 1;
}

void moves_durable(struct control *c)
{
    for (uint8_t h = 0; h < c->config.workers_n; h++) {
        struct moving *m = c->moving[h];
        if (m == NULL || m->state != MOVING_COMMITTED)
            continue;
        if (c->is_failed)
            step_send(c, m, MOVE_LOG_GIVE_UP, MOVING_ENDING);
        else
            step_send(c, m, MOVE_LOG_FINISH, MOVING_FINISHING);
    }
}

int moves_turn(struct control *c)
{
    int n = 0;
    for (uint8_t h = 0; h < c->config.workers_n; h++) {
        struct moving *m = c->moving[h];
        if (m == NULL)
            n += moving_begin(c, h);
        else if (m->state == MOVING_STANDING)
            n += moving_commit(c, m);
    }
    return n;
}

/* ── mail ── */

/* It serves from the new directory, also when the old one has failed meanwhile. */
static void moving_arrived(struct control *c, struct moving *m)
{
    struct topic *topic;
    struct partition *p = moving_partition(c, m, &topic);
    if (p != NULL && p->is_failed && dir_is_usable(c, m->dir)) {
        p->is_failed = false;
        topic->is_changed = c->wants_round = true;
    }
    moving_over(c, m);
}

void moves_mail(struct control *c, struct mail *mail)
{
    if (mail->kind == MAIL_MOVE_CANCEL) {
        struct moving *m =
            container_of(container_of(mail, struct cancel_move, mail), struct moving, cancel);
        m->is_cancel_away = false;
        if (m->is_over)
            moving_over(c, m);
        return;
    }
    struct moving *m = container_of(container_of(mail, struct move_op, mail), struct moving, op);
    int error = m->op.error;
    switch ((enum moving_state)m->state) {
    case MOVING_COPYING:
        if (error == 0)
            m->state = MOVING_STANDING;
        else
            moving_over(c, m);
        return;
    case MOVING_FINISHING:
        if (error == E_NO_MEMORY) /* the metadata says so: it has to come */
            step_send(c, m, MOVE_LOG_FINISH, MOVING_FINISHING);
        else if (error != 0) /* the topic was deleted */
            step_send(c, m, MOVE_LOG_GIVE_UP, MOVING_ENDING);
        else
            moving_arrived(c, m);
        return;
    case MOVING_ENDING: moving_over(c, m); return;
    case MOVING_QUEUED:
    case MOVING_STANDING:
    case MOVING_COMMITTED: break;
    }
    check(!"a move that is not away");
}

bool moves_are_quiet(const struct control *c)
{
    for (uint8_t h = 0; h < c->config.workers_n; h++)
        if (c->moving[h] != NULL && c->moving[h]->state >= MOVING_STANDING)
            return false;
    return true;
}

/* ── boot and end ── */

bool control_finds_future(struct control *c, struct bytes topic, int32_t partition,
                          const struct uuid *id, uint8_t dir)
{
    struct topic *found = state_topic_by_id(&c->state, id); /* a long name is cut there */
    (void)topic;
    if (found == NULL || partition < 0 || partition >= found->partitions_n)
        return true;
    struct partition *p = &found->partitions[partition];
    if (!p->is_found) /* it may be all there is */
        return false;
    if (p->dir != dir && p->moving == NULL)
        (void)!moving_add(c, &found->id, partition, p, dir);
    return true;
}

void moves_init(struct control *c)
{
    for (size_t i = 0; i < array_n(c->moves_queued); i++)
        list_init(&c->moves_queued[i]);
}

void moves_fini(struct control *c)
{
    struct list *l;
    for (size_t i = 0; i < array_n(c->moves_queued); i++) {
        while ((l = list_pop(&c->moves_queued[i])) != NULL)
            free(list_entry(l, struct moving, link));
        free(c->moving[i]);
        c->moving[i] = NULL;
    }
}
