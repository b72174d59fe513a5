/*
 * moves.c - logs that go to another log directory (AlterReplicaLogDirs).
 *
 * Owner: control; a move_op belongs to the home worker while it is away.
 *
 *   MARKING -> QUEUED -> COPYING -> STANDING -> COMMITTED -> FINISHING -> UNMARKING -> (over)
 *                 |         |          '------------------------'----> ENDING -^
 *                 '---------'--error or cancelled------------------------------'
 *
 *   MARKING    bulk makes a -future directory, durably: the request is answered then
 *   QUEUED     its home moves another one: one at a time for each home
 *   COPYING    the home copies; the log goes on
 *   STANDING   both directories have it whole; the log stands still until control has decided
 *   COMMITTED  the partition's record names the new directory; not durable yet
 *   FINISHING  it is durable; the home changes the log's store
 *   ENDING     the home removes the copy, the log goes on where it was
 *   UNMARKING  bulk removes that directory; the copy was another one
 *
 * Apache Kafka's broker tells the controller the new directory (AssignReplicasToDirs) before it
 * changes names; here the record is the decision itself: a crash before it is durable finds the log
 * in the old directory, behind it in the new one, and each has all that was acknowledged then. What
 * is left of the other one is set aside as -stray by that start.
 *
 * A start that finds a -future directory begins the move anew, as Apache Kafka goes on with one:
 * what was found is removed when the new directory stands. A directory that could not be made (the
 * disk is full) is no reason to refuse the move: only a crash would forget it then.
 */
#include <stdlib.h>

#include "check.h"
#include "control_inside.h"

enum moving_state {
    MOVING_MARKING,
    MOVING_QUEUED,
    MOVING_COPYING,
    MOVING_STANDING,
    MOVING_COMMITTED,
    MOVING_FINISHING,
    MOVING_ENDING,
    MOVING_UNMARKING,
};

/* Owner: control. Heap. */
struct moving {
    struct list link; /* control.moves_queued[home], or moves_marking until it is sent */
    uint8_t state;    /* enum moving_state */
    uint8_t home, dir;
    uint8_t next_dir; /* where to after this one; DIR_NONE */
    bool is_cancelled, is_cancel_away;
    bool is_over; /* but for the cancel that is away */
    bool is_mark_away;
    struct move_op op;
    struct cancel_move cancel;
    /* the mark: bulk's while it is away */
    struct work_op work;
    struct disk *disk;
    uint8_t others; /* enum future_others: an earlier process has left one */
    char path[DISK_PATH_MAX];
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

/* ── the mark ── */

/* On the bulk helper. Errors: see above; what is left of one that goes, the next start finds. */
static void mark_run(struct work_op *work)
{
    struct moving *m = container_of(work, struct moving, work);
    if (m->state == MOVING_MARKING)
        (void)!future_make(m->disk, m->path, &m->op.topic_id, m->op.partition,
                           (enum future_others)m->others);
    else
        (void)!future_remove(m->disk, m->path);
}

static void mark_send(struct control *c, struct moving *m, enum moving_state state)
{
    m->state = (uint8_t)state;
    list_del(&m->link);
    list_append(&c->moves_marking, &m->link);
    mail_send(c->post, c->bulk_thread, MAIL_WORK, &m->work.mail);
    m->is_mark_away = true;
}

/* ── asking ── */

static int moving_add(struct control *c, const struct topic *topic, int32_t partition,
                      struct partition *p, uint8_t dir)
{
    struct moving *m = calloc(1, sizeof *m);
    if (m == NULL)
        return E_NO_MEMORY;
    m->dir = dir;
    m->next_dir = DIR_NONE;
    m->home = partition_home(&topic->id, partition, c->config.workers_n);
    m->op.topic_id = topic->id;
    m->op.partition = partition;
    m->op.dir = dir;
    m->op.seed = prng_next(&c->prng);
    m->disk = c->disk;
    m->work.run = mark_run;
    future_path(m->path, c->config.dirs[dir].path, bytes_of(topic->name, topic->name_n), partition,
                prng_next(&c->prng));
    list_init(&m->op.mail.link);
    list_init(&m->cancel.mail.link);
    list_init(&m->work.mail.link);
    list_append(&c->moves_marking, &m->link); /* moves_turn sends it */
    p->moving = m;
    return 0;
}

static void moving_cancel(struct control *c, struct moving *m)
{
    m->is_cancelled = true;
    if (m->state == MOVING_QUEUED)
        mark_send(c, m, MOVING_UNMARKING);
    if (m->state != MOVING_COPYING || m->is_cancel_away)
        return;
    m->is_cancel_away = true;
    m->cancel.op = &m->op;
    mail_send(c->post, m->home, MAIL_MOVE_CANCEL, &m->cancel.mail);
}

/* There is one already, on its way to the same or another directory. */
static int move_ask_again(struct control *c, struct moving *m, bool is_there, uint8_t dir)
{
    if (m->state >= MOVING_COMMITTED && m->state != MOVING_UNMARKING) {
        m->next_dir = is_there ? DIR_NONE : dir;
        return 0;
    }
    if (!is_there && dir == m->dir && !m->is_cancelled && m->state != MOVING_UNMARKING) {
        m->next_dir = DIR_NONE;
        return m->state == MOVING_MARKING ? E_AGAIN : 0;
    }
    m->next_dir = is_there ? DIR_NONE : dir; /* when this one has ended */
    if (!m->is_cancelled)
        moving_cancel(c, m);
    return is_there ? 0 : E_AGAIN;
}

int move_ask(struct control *c, struct topic *topic, int32_t partition, uint8_t dir)
{
    struct partition *p = &topic->partitions[partition];
    bool is_there = partition_dir(c, p) == dir;
    uint8_t shown = partition_future_dir(p);
    int error = p->moving != NULL ? move_ask_again(c, p->moving, is_there, dir)
                : is_there        ? 0
                                  : moving_add(c, topic, partition, p, dir);
    if (p->moving != NULL && error == 0 && p->moving->state == MOVING_MARKING)
        error = E_AGAIN;
    if (partition_future_dir(p) != shown) /* the view tells of it before the answer */
        topic->is_changed = c->is_dirty = true;
    return error;
}

/* ── the end ── */

static void moving_free(struct control *c, struct moving *m)
{
    struct topic *topic;
    struct partition *p = moving_partition(c, m, &topic);
    if (p != NULL && p->moving == m) {
        p->moving = NULL;
        topic->is_changed = c->wants_round = true;
        if (m->next_dir != DIR_NONE && m->next_dir != partition_dir(c, p))
            (void)!moving_add(c, topic, m->op.partition, p, m->next_dir);
    }
    list_del(&m->link);
    free(m);
}

/* The home has done with it. */
static void moving_over(struct control *c, struct moving *m)
{
    check(c->moving[m->home] == m);
    if (m->is_cancel_away) { /* its memory is needed until that is back */
        m->is_over = true;
        return;
    }
    c->moving[m->home] = NULL;
    if (dir_is_usable(c, m->dir))
        mark_send(c, m, MOVING_UNMARKING);
    else
        moving_free(c, m);
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

/* Those that were asked for go to bulk. */
static int marks_turn(struct control *c)
{
    int n = 0;
    list_for_each(node, next, &c->moves_marking) {
        struct moving *m = list_entry(node, struct moving, link);
        if (m->is_mark_away)
            continue;
        mark_send(c, m, MOVING_MARKING);
        n++;
    }
    return n;
}

int moves_turn(struct control *c)
{
    int n = marks_turn(c);
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

bool moves_work_back(struct control *c, struct work_op *work)
{
    if (work->run != mark_run)
        return false;
    struct moving *m = container_of(work, struct moving, work);
    m->is_mark_away = false;
    if (m->state == MOVING_MARKING && m->is_cancelled) {
        mark_send(c, m, MOVING_UNMARKING);
    } else if (m->state == MOVING_MARKING) {
        m->state = MOVING_QUEUED;
        list_del(&m->link);
        list_append(&c->moves_queued[m->home], &m->link);
    } else {
        moving_free(c, m);
    }
    return true;
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
    case MOVING_MARKING:
    case MOVING_UNMARKING:
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
    if (p->is_found && (p->dir == dir || (p->moving != NULL && p->moving->dir != dir)))
        return true;
    if (p->moving == NULL && !uuid_equal(&p->directory, &c->config.dirs[dir].id) &&
        moving_add(c, found, partition, p, dir) == 0) /* not found: it may be all there is */
        p->moving->others = p->is_found ? FUTURE_ALL_OTHERS : FUTURE_EMPTY_OTHERS;
    return false;
}

void moves_init(struct control *c)
{
    for (size_t i = 0; i < array_n(c->moves_queued); i++)
        list_init(&c->moves_queued[i]);
    list_init(&c->moves_marking);
}

void moves_fini(struct control *c)
{
    struct list *l;
    while ((l = list_pop(&c->moves_marking)) != NULL)
        free(list_entry(l, struct moving, link));
    for (size_t i = 0; i < array_n(c->moves_queued); i++) {
        while ((l = list_pop(&c->moves_queued[i])) != NULL)
            free(list_entry(l, struct moving, link));
        free(c->moving[i]);
        c->moving[i] = NULL;
    }
}
