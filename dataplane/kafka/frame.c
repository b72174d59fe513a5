/*
 * frame.c - connections with bytes become frames: length prefix, checks, admission by budget.
 *
 * Owner: worker.
 *
 *   prefix  i32 length, big-endian; <= 0 or > frame_bytes_max closes the connection (HTTP and TLS
 *           hellos end here, too). A frame of exactly frame_bytes_max is waited for.
 *
 * Admission. request_budget_bytes bounds the bytes of frames received and not yet placed. A frame
 * of at most FRAME_SMALL_MAX waits in its connection (bounded there) and reserves its length when
 * it is whole, so a half frame holds nothing of the budget. A larger one reserves when its prefix
 * is read and streams into staging pages (conn_want); at most LARGE_FRAMES_MAX at once, in the
 * order they asked, and never from the small frames' half of the budget - but the first one is
 * always let in, however long, or it never would be. It loses its place, and its connection, when
 * it arrives slower than frame_rate_min.
 *
 * What is refused waits in `wait_small` or `wait_large`, its bytes stay unread and the peer's
 * window closes. Nobody polls: a waiting connection is looked at when a budget or a request came
 * back.
 */
#include "request.h"

static void frame_place_give(struct kafka *k, uint64_t bytes, bool is_large)
{
    uint64_t *used = is_large ? &k->large_bytes : &k->small_bytes;
    check(*used >= bytes);
    *used -= bytes;
    if (is_large) {
        check(k->large_n > 0);
        k->large_n--;
    }
}

void frame_budget_give(struct kafka *k, struct request *r)
{
    if (r->frame_bytes == 0)
        return;
    frame_place_give(k, r->frame_bytes, r->is_large);
    r->frame_bytes = 0;
}

/* Half of the budget belongs to the small frames alone. */
static bool frame_has_room(const struct kafka *k, uint64_t n)
{
    uint64_t budget = k->config.request_budget_bytes, share = budget / 2;
    if (n > FRAME_SMALL_MAX)
        return k->large_n == 0 ||
               (k->large_n < LARGE_FRAMES_MAX && k->large_bytes + n <= budget - share);
    uint64_t large = min_u64(k->large_bytes, budget - share);
    return k->small_bytes == 0 || k->small_bytes + large + n <= budget;
}

static void frame_reserve(struct kafka *k, uint64_t n)
{
    if (n > FRAME_SMALL_MAX) {
        k->large_bytes += n;
        k->large_n++;
    } else {
        k->small_bytes += n;
    }
}

/* ── the minimum rate of large frames ── */

void frame_slow(struct timer *timer, struct now now)
{
    struct kafka_conn *conn = container_of(timer, struct kafka_conn, slow);
    struct kafka *k = conn->kafka;
    uint64_t elapsed_ms = (now.ns - conn->admitted_ns) / NS_PER_MS;
    uint64_t arrived = conn_unread(conn->conn);
    if (arrived < conn->frame_bytes && elapsed_ms > FRAME_GRACE_MS &&
        arrived < k->config.frame_rate_min * (elapsed_ms - FRAME_GRACE_MS) / 1000) {
        stats_add(k->stats, STAT_SLOW_FRAME, 1);
        conn_close(conn->conn, CONN_END_SLOW);
        return;
    }
    timer_set(k->timers, timer, now.ns + NS_PER_S);
}

static void frame_admit_large(struct kafka *k, struct kafka_conn *conn, struct now now)
{
    frame_reserve(k, conn->frame_bytes);
    conn->is_admitted = true;
    conn->admitted_ns = now.ns;
    uint64_t here = min_u64(conn_unread(conn->conn), conn->frame_bytes);
    if (here < conn->frame_bytes)
        conn_want(conn->conn, conn->frame_bytes - here);
    if (k->config.frame_rate_min > 0)
        timer_set(k->timers, &conn->slow, now.ns + NS_PER_S);
}

/* ── the state of a connection ── */

static struct kafka_conn *frame_conn_new(struct kafka *k)
{
    if (list_is_empty(&k->conns_free)) {
        struct page *page = pages_take(k->pages, PAGE_SMALL);
        if (page == NULL)
            return NULL;
        list_append(&k->conn_pages, &page->link);
        struct kafka_conn *v = (struct kafka_conn *)(void *)page_data(page);
        for (size_t i = 0; i < PAGE_SMALL / sizeof *v; i++)
            list_append(&k->conns_free, &v[i].all);
    }
    return list_entry(list_pop(&k->conns_free), struct kafka_conn, all);
}

/* The state of a ready connection; NULL (and closed) without memory. */
static struct kafka_conn *frame_conn(struct kafka *k, struct conn *conn)
{
    struct kafka_conn *c = conn_user(conn);
    if (c != NULL)
        return c;
    c = frame_conn_new(k);
    if (c == NULL) {
        stats_add(k->stats, STAT_NO_REQUEST_MEMORY, 1);
        return NULL;
    }
    *c = (struct kafka_conn){.kafka = k, .conn = conn};
    list_init(&c->link);
    list_init(&c->requests);
    timer_init(&c->slow, frame_slow);
    list_append(&k->conns, &c->all);
    conn_set_user(conn, c);
    return c;
}

void frames_closing(struct kafka *k, struct kafka_conn *c, struct now now)
{
    list_del(&c->link);
    timer_stop(k->timers, &c->slow);
    if (c->is_admitted)
        frame_place_give(k, c->frame_bytes, true);
    conn_set_user(c->conn, NULL);
    /* The first drop that leaves the connection without slots may end its struct: nothing of it is
     * used here. */
    for (struct list *l; !list_is_empty(&c->requests);) {
        l = c->requests.next;
        struct request *r = list_entry(l, struct request, conn_link);
        if (r->state == REQUEST_SENDING) { /* finished: `sent` is called, and ends it */
            list_del(&r->conn_link);
            r->conn = NULL;
        } else {
            conn_slot_drop(&r->slot);
            request_release(r, now);
        }
    }
    list_del(&c->all);
    list_push(&k->conns_free, &c->all);
}

/* ── the end of a connection that broke the protocol ── */

void frames_end(struct kafka_conn *c, const struct request *at, enum conn_end why)
{
    if (c->is_ending)
        return;
    c->is_ending = true;
    c->end_why = (uint8_t)why;
    c->end_at = at;
    frames_end_more(c);
}

void frames_end_more(struct kafka_conn *c)
{
    if (!c->is_ending)
        return;
    if (list_is_empty(&c->requests) ||
        list_entry(c->requests.next, struct request, conn_link) == c->end_at)
        conn_close(c->conn, (enum conn_end)c->end_why);
}

/* ── frames ── */

/* Reads the prefix; false: not there yet, or the connection was closed for it. */
static bool frame_prefix(struct kafka *k, struct kafka_conn *c, struct now now)
{
    struct conn_path path;
    uint8_t prefix[4];
    if (conn_unread(c->conn) < sizeof prefix)
        return false;
    conn_read(c->conn, prefix, sizeof prefix);
    int32_t length = load_i32(prefix);
    if (length <= 0 || (uint64_t)length > k->config.frame_bytes_max) {
        stats_add(k->stats, STAT_BAD_LENGTH, 1);
        frames_end(c, NULL, CONN_END_TOO_LARGE);
        return false;
    }
    c->frame_bytes = (uint64_t)length;
    c->first_ns = now.ns;
    c->whole_ns = 0;
    conn_path(c->conn, &path);
    c->holes_n = path.holes_n;
    return true;
}

static void frame_whole(struct kafka_conn *c, struct now now)
{
    struct conn_path path;
    c->whole_ns = now.ns;
    conn_path(c->conn, &path);
    c->holes_n = path.is_known ? path.holes_n - c->holes_n : 0;
}

enum frame_step { FRAME_BEGUN, FRAME_INCOMPLETE, FRAME_REFUSED, FRAME_STOP };

/* Nobody may pass those that wait already; `has_turn`: it was the first of them. */
static bool frame_may_go(const struct kafka *k, const struct kafka_conn *c, bool has_turn)
{
    const struct list *waiting = c->frame_bytes > FRAME_SMALL_MAX ? &k->wait_large : &k->wait_small;
    return (has_turn || list_is_empty(waiting)) && frame_has_room(k, c->frame_bytes);
}

static enum frame_step frame_step(struct kafka *k, struct kafka_conn *c, bool has_turn,
                                  const struct view *view, struct now now)
{
    if (c->frame_bytes == 0 && !frame_prefix(k, c, now))
        return FRAME_INCOMPLETE;
    bool is_large = c->frame_bytes > FRAME_SMALL_MAX;
    bool is_whole = conn_unread(c->conn) >= c->frame_bytes;
    if (is_whole && c->whole_ns == 0)
        frame_whole(c, now);
    if (is_large && !c->is_admitted) {
        if (!frame_may_go(k, c, has_turn))
            return FRAME_REFUSED;
        frame_admit_large(k, c, now);
    }
    if (!is_whole)
        return FRAME_INCOMPLETE;
    if (list_is_empty(&k->free) || (!is_large && !frame_may_go(k, c, has_turn)))
        return FRAME_REFUSED;
    if (!is_large)
        frame_reserve(k, c->frame_bytes);
    uint64_t bytes = c->frame_bytes;
    timer_stop(k->timers, &c->slow);
    if (request_begin(k, c, view, now))
        return FRAME_BEGUN;
    if (c->frame_bytes != 0 && !is_large) /* no slot: the frame stays unread and holds nothing */
        frame_place_give(k, bytes, false);
    return FRAME_STOP;
}

/* A turn begins only so much: requests, and what all of them name. */
static bool frames_may_begin(const struct kafka *k)
{
    return k->begun_n < k->config.requests_per_turn && k->begin_left > 0;
}

/* Begins what is there of one connection, in order. Returns how many. */
static int frames_run(struct kafka *k, struct kafka_conn *c, bool has_turn, const struct view *view,
                      struct now now)
{
    int begun = 0;
    while (!conn_is_closing(c->conn) && !c->is_ending) {
        if (c->planning != NULL) /* ready again when it is through */
            break;
        if (begun == FRAMES_PER_CONN || !frames_may_begin(k)) {
            conn_ready_again(c->conn);
            break;
        }
        enum frame_step step = frame_step(k, c, has_turn && begun == 0, view, now);
        if (step == FRAME_REFUSED) {
            stats_add(k->stats, STAT_NO_REQUEST_MEMORY, 1);
            list_append(c->frame_bytes > FRAME_SMALL_MAX ? &k->wait_large : &k->wait_small,
                        &c->link);
        }
        if (step != FRAME_BEGUN)
            break;
        begun++;
    }
    return begun;
}

/* Connections that wait, oldest first, as long as the first of them has room. */
static int frames_waiting(struct kafka *k, struct list *waiting, const struct view *view,
                          struct now now)
{
    int begun = 0;
    for (uint32_t budget = k->config.requests_max; budget > 0 && !list_is_empty(waiting);
         budget--) {
        struct kafka_conn *c = list_first(waiting, struct kafka_conn, link);
        if (list_is_empty(&k->free) || !frames_may_begin(k) ||
            (!c->is_admitted && !frame_has_room(k, c->frame_bytes)))
            break;
        list_del(&c->link);
        begun += frames_run(k, c, true, view, now);
    }
    return begun;
}

int frames_turn(struct kafka *k, const struct view *view, struct now now)
{
    int done = frames_waiting(k, &k->wait_large, view, now);
    done += frames_waiting(k, &k->wait_small, view, now);
    while (frames_may_begin(k)) {
        struct conn *conn = conns_ready_next(k->conns_of);
        if (conn == NULL)
            break;
        struct kafka_conn *c = conn_user(conn);
        done++;
        if (conn_is_closing(conn)) {
            if (c != NULL)
                frames_closing(k, c, now);
            continue;
        }
        c = frame_conn(k, conn);
        if (c == NULL)
            conn_close(conn, CONN_END_MEMORY);
        else if (!list_is_linked(&c->link)) /* one that waits keeps its place */
            frames_run(k, c, false, view, now);
    }
    return done;
}
