/*
 * rx.c - received bytes: receive buffers, staging pages, peeking and taking, when to read and when
 * to stop.
 *
 * Owner: worker.
 *
 * Unread bytes of a connection are a queue of pieces, oldest first. A piece is a receive buffer of
 * the io, as it arrived, or a staging page (4 KiB or 64 KiB of the worker's `pages`). A page
 * carries its slice_owner in page->user[0..1]; user_at and user_n bound its unread bytes. Bytes are
 * only appended behind user_n, so slices of the front may be with a request meanwhile. The queue
 * holds one reference of each piece; every slice taken holds one.
 *
 * Receive buffers must come back, so their bytes are moved to pages (rx_stage): at the end of a
 * turn, and while an admitted frame arrives, unless they are at least half full and at most a
 * quarter of all is out: a frame that arrives over several turns at full speed is not copied at
 * all, and a slow one holds no buffer. When more than half of all are out, also before bytes are
 * taken: a request may keep what it took. Page size: 64 KiB when that much is here or admitted, 4
 * KiB otherwise: what was not admitted never costs a connection more than its bytes plus 4 KiB.
 *
 * An admitted frame of CONN_DIRECT_MIN or more to come is received in place: the transport asks for
 * room at the end of the queue (rx_room_take) and the kernel's copy is the only one. The page is
 * held by a reference of its own meanwhile, because a taker may take all that is before.
 *
 * When to read: OPEN, and (wanted > 0 or unread < CONN_RX_BYTES_MAX), and its bytes found memory.
 * Once stopped, reading goes on when half of the bound is free.
 */
#include "inside.h"

#include <stdlib.h>

enum { ROOM_MIN = 8192 /* less left in a page is not worth a receive of its own */ };
static_assert(sizeof(struct slice_owner) <= 2 * sizeof(uint64_t),
              "an owner fits into page->user[0..1]");

/* ── receive buffers ── */

static void buffer_release(struct slice_owner *owner)
{
    struct recv_buffer *b = container_of(owner, struct recv_buffer, owner);
    struct conns *conns = b->conns;
    check(conns->stats.recv_buffers_out_n > 0);
    conns->stats.recv_buffers_out_n--;
    io_buffer_give(conns->io, b->buffer_at);
}

int rx_init(struct conns *conns)
{
    uint32_t n = conns->config.recv_buffers_n;
    if (conns->io->functions->buffers_open == NULL || n == 0)
        return 0; /* no network here: only the memory transport */
    int rc = conns->io->functions->buffers_open(conns->io, n, conns->config.recv_buffer_bytes);
    if (rc != 0)
        return rc;
    conns->buffers = calloc(n, sizeof *conns->buffers);
    if (conns->buffers == NULL)
        return E_NO_MEMORY; /* the io keeps its buffers until it is closed */
    for (uint32_t i = 0; i < n; i++) {
        struct recv_buffer *b = &conns->buffers[i];
        list_init(&b->link);
        b->owner.release = buffer_release;
        b->conns = conns;
        b->buffer_at = i;
    }
    return 0;
}

void rx_fini(struct conns *conns)
{
    check(conns->stats.recv_buffers_out_n == 0);
    free(conns->buffers);
    conns->buffers = NULL;
}

static bool buffers_are_scarce(const struct conns *conns)
{
    return conns->stats.recv_buffers_out_n > conns->config.recv_buffers_n / 2;
}

/* ── staging pages ── */

static struct slice_owner *page_owner(struct page *page)
{
    return (struct slice_owner *)page->user;
}

static void page_release(struct slice_owner *owner)
{
    struct page *page = container_of(owner, struct page, user);
    struct conns *conns = (struct conns *)(uintptr_t)page->user[2];
    check(conns->magic == CONNS_MAGIC);
    conns->stats.staging_bytes -= page->size;
    page_put(page);
}

/* A page in no list, with one reference; NULL when there is no memory. `more`: bytes to come. */
static struct page *stage_new(struct conn *conn, uint64_t more)
{
    struct conns *conns = conn->conns;
    struct page *page = more >= PAGE_LARGE / 4 ? pages_take(conns->pages, PAGE_LARGE) : NULL;
    if (page == NULL)
        page = pages_take(conns->pages, PAGE_SMALL);
    if (page == NULL) {
        conns->stats.staging_refused_n++;
        return NULL;
    }
    *page_owner(page) = (struct slice_owner){.refs = 1, .release = page_release};
    page->user[2] = (uintptr_t)conns;
    conns->stats.staging_bytes += page->size;
    return page;
}

/* ── pieces ── */

/* Owner: the call that made it. */
struct piece {
    const uint8_t *memory;
    uint32_t *at; /* unread: memory[*at .. n) */
    uint32_t n;
    struct slice_owner *owner;
    bool is_fresh; /* a receive buffer */
};

static bool is_fresh(const struct conns *conns, const struct list *l)
{
    uintptr_t from = (uintptr_t)conns->buffers, at = (uintptr_t)l;
    return at >= from && at < from + conns->config.recv_buffers_n * sizeof *conns->buffers;
}

static struct piece piece_of(const struct conn *conn, struct list *l)
{
    if (is_fresh(conn->conns, l)) {
        struct recv_buffer *b = list_entry(l, struct recv_buffer, link);
        return (struct piece){io_buffer_data(conn->conns->io, b->buffer_at), &b->at, b->n,
                              &b->owner, true};
    }
    struct page *page = list_entry(l, struct page, link);
    return (struct piece){page_data(page), &page->user_at, page->user_n, page_owner(page), false};
}

/* The page at the end of the queue when it has at least n bytes of room; else NULL. */
static struct page *rx_last_page(const struct conn *conn, uint64_t n)
{
    struct list *l = conn->rx.prev;
    if (l == &conn->rx || is_fresh(conn->conns, l))
        return NULL;
    struct page *page = list_entry(l, struct page, link);
    return page->size - page->user_n >= n ? page : NULL;
}

static uint32_t page_fill(struct page *page, const uint8_t *from, uint64_t n)
{
    uint32_t part = (uint32_t)min_u64(n, page->size - page->user_n);
    memcpy(page_data(page) + page->user_n, from, part);
    page->user_n += part;
    return part;
}

static void fresh_end(struct conn *conn, struct recv_buffer *b)
{
    struct slice s = {NULL, 0, &b->owner};
    list_del(&b->link);
    check(conn->fresh_n > 0);
    conn->fresh_n--;
    slice_put(&s);
}

/* Moves what lies in receive buffers to staging pages, each behind the page before it when that has
 * room; false when memory was refused (the rest stays). */
static bool rx_stage(struct conn *conn)
{
    struct conns *conns = conn->conns;
    struct page *page = NULL;
    if (conn->fresh_n == 0)
        return true;
    list_for_each(l, next, &conn->rx) {
        if (!is_fresh(conns, l)) {
            page = list_entry(l, struct page, link);
            continue;
        }
        struct recv_buffer *b = list_entry(l, struct recv_buffer, link);
        while (b->at < b->n) {
            if (page == NULL || page->user_n == page->size) {
                page = stage_new(conn, conn->fresh_bytes + conn->wanted);
                if (page == NULL)
                    return false;
                list_append(l, &page->link); /* in front of the buffer */
            }
            check(page != conn->room); /* it is the last piece: no buffer is behind it */
            uint32_t part =
                page_fill(page, io_buffer_data(conns->io, b->buffer_at) + b->at, b->n - b->at);
            b->at += part;
            conn->fresh_bytes -= part;
            conns->stats.staged_bytes += part;
        }
        fresh_end(conn, b);
    }
    return true;
}

/* Whether its receive buffers may stay: they are well filled, and there are plenty. */
static bool fresh_may_stay(const struct conn *conn)
{
    const struct conns_config *config = &conn->conns->config;
    return conn->fresh_n == 0 ||
           (conn->conns->stats.recv_buffers_out_n <= config->recv_buffers_n / 4 &&
            2 * conn->fresh_bytes >= (uint64_t)conn->fresh_n * config->recv_buffer_bytes);
}

/* ── arriving ── */

static void rx_count(struct conn *conn, uint64_t n)
{
    conn->unread += n;
    conn->wanted -= min_u64(conn->wanted, n);
    conn->has_arrived = true;
    conn->conns->stats.rx_bytes += n;
    conn_news(conn);
    conn_attend(conn);
}

void rx_arrived(struct conn *conn, uint32_t buffer_at, uint32_t n)
{
    struct conns *conns = conn->conns;
    check(buffer_at < conns->config.recv_buffers_n && n <= conns->config.recv_buffer_bytes);
    if (conn->state != CONN_OPEN) {
        io_buffer_give(conns->io, buffer_at); /* it came after the end */
        return;
    }
    struct recv_buffer *b = &conns->buffers[buffer_at];
    check(b->owner.refs == 0 && !list_is_linked(&b->link));
    b->owner.refs = 1;
    b->at = 0;
    b->n = n;
    conns->stats.recv_buffers_out_n++;
    bool was_wanted = conn->wanted > 0;
    list_append(&conn->rx, &b->link);
    conn->fresh_n++;
    conn->fresh_bytes += n;
    rx_count(conn, n);
    if (was_wanted && !fresh_may_stay(conn))
        (void)rx_stage(conn); /* refused memory is dealt with at the end of the turn */
}

uint64_t rx_copy(struct conn *conn, const uint8_t *from, uint64_t n, uint64_t behind)
{
    uint64_t left = n, more = max_u64(conn->wanted - min_u64(conn->wanted, n), behind);
    check(conn->state == CONN_OPEN && conn->fresh_n == 0 && conn->room == NULL);
    while (left > 0) {
        struct page *page = rx_last_page(conn, 1);
        if (page == NULL) {
            page = stage_new(conn, left + more);
            if (page == NULL)
                break;
            list_append(&conn->rx, &page->link);
        }
        uint32_t part = page_fill(page, from, left);
        from += part;
        left -= part;
    }
    if (left < n)
        rx_count(conn, n - left);
    return n - left;
}

/* ── arriving in place ── */

static void room_put(struct page *page)
{
    struct slice s = {NULL, 0, page_owner(page)};
    slice_put(&s);
}

bool rx_room_take(struct conn *conn, struct iovec *room)
{
    check(conn->room == NULL && conn->wanted > 0);
    struct page *page = rx_last_page(conn, min_u64(conn->wanted, ROOM_MIN));
    if (page != NULL)
        page_owner(page)->refs++;
    else if ((page = stage_new(conn, conn->wanted)) == NULL)
        return false;
    conn->room = page;
    *room = (struct iovec){page_data(page) + page->user_n,
                           min_u64(conn->wanted, page->size - page->user_n)};
    return true;
}

void rx_room_give(struct conn *conn, uint32_t n)
{
    struct page *page = conn->room;
    check(page != NULL && n <= page->size - page->user_n);
    conn->room = NULL;
    if (n == 0 || conn->state != CONN_OPEN) {
        room_put(page);
        return;
    }
    if (list_is_linked(&page->link)) { /* still the last piece */
        page->user_n += n;
        room_put(page);
    } else { /* new, or all of it was taken meanwhile: our reference becomes the list's */
        page->user_at = page->user_n;
        page->user_n += n;
        list_append(&conn->rx, &page->link);
    }
    conn->conns->stats.direct_bytes += n;
    rx_count(conn, n);
}

/* ── reading or not ── */

bool rx_has_room(const struct conn *conn)
{
    return conn->wanted > 0 || conn->unread < CONN_RX_BYTES_MAX;
}

static void rx_pause(struct conn *conn)
{
    if (conn->is_paused)
        return;
    conn->is_paused = true;
    conn->conns->stats.paused_n++;
    conn->transport->read_set(conn, false);
}

void rx_settle(struct conn *conn)
{
    struct conns *conns = conn->conns;
    if (conn->state != CONN_OPEN && conn->state != CONN_ENDED)
        return;
    if (!fresh_may_stay(conn) && !rx_stage(conn)) {
        /* Its bytes keep receive buffers that others need: wait for memory while there are enough.
         */
        if (buffers_are_scarce(conns)) {
            conn_close(conn, CONN_END_MEMORY);
            return;
        }
        rx_pause(conn);
        conn->is_hungry = true; /* the next turn tries again */
        if (list_is_linked(&conn->attend))
            list_del(&conn->attend);
        list_append(&conns->hungry, &conn->attend);
        return;
    }
    if (conn->state != CONN_OPEN)
        return;
    if (!rx_has_room(conn) || conns->is_stopping) {
        rx_pause(conn);
    } else if (conn->is_paused && (conn->wanted > 0 || conn->unread <= CONN_RX_BYTES_MAX / 2)) {
        conn->is_paused = false;
        conn->transport->read_set(conn, true);
    }
}

/* ── the face ── */

uint64_t conn_unread(const struct conn *conn)
{
    return conn->unread;
}

void conn_want(struct conn *conn, uint64_t n)
{
    conn->wanted = n;
    conn_attend(conn);
}

void conn_peek(struct conn *conn, void *to, uint32_t n)
{
    uint8_t *out = to;
    check(n <= conn->unread);
    for (struct list *l = conn->rx.next; n > 0; l = l->next) {
        struct piece p = piece_of(conn, l);
        uint32_t part = (uint32_t)min_u64(n, p.n - *p.at);
        memcpy(out, p.memory + *p.at, part);
        out += part;
        n -= part;
    }
}

/* How many pieces the first n bytes lie in. */
static uint32_t pieces_n(const struct conn *conn, uint64_t n)
{
    uint32_t pieces = 0;
    for (struct list *l = conn->rx.next; n > 0; l = l->next) {
        struct piece p = piece_of(conn, l);
        n -= min_u64(n, p.n - *p.at);
        pieces++;
    }
    return pieces;
}

/* Of the first piece, `p`, the next at most n bytes as a slice; an emptied piece leaves the queue
 * and its reference goes with the slice. */
static inline struct slice piece_cut(struct conn *conn, const struct piece *p, uint64_t n)
{
    struct slice s = {p->memory + *p->at, (uint32_t)min_u64(n, p->n - *p->at), p->owner};
    *p->at += s.n;
    bool is_empty = *p->at == p->n;
    conn->unread -= s.n;
    if (p->is_fresh) {
        conn->fresh_bytes -= s.n;
        conn->fresh_n -= is_empty;
    }
    if (is_empty)
        list_del(conn->rx.next);
    else
        slice_get(&s);
    return s;
}

static struct slice piece_take(struct conn *conn, uint64_t n)
{
    check(!list_is_empty(&conn->rx));
    struct piece p = piece_of(conn, conn->rx.next);
    return piece_cut(conn, &p, n);
}

void conn_read(struct conn *conn, void *to, uint32_t n)
{
    uint8_t *out = to;
    check(n > 0 && n <= conn->unread);
    struct piece p = piece_of(conn, conn->rx.next);
    if (likely(p.n - *p.at > n)) { /* it keeps some: nobody's reference changes */
        memcpy(out, p.memory + *p.at, n);
        *p.at += n;
        conn->unread -= n;
        conn->fresh_bytes -= p.is_fresh ? n : 0;
        return;
    }
    while (n > 0) {
        struct slice s = piece_take(conn, n);
        memcpy(out, s.ptr, s.n);
        out += s.n;
        n -= s.n;
        slice_put(&s);
    }
}

static int pieces_take(struct conn *conn, uint64_t n, struct slice *v, uint32_t max)
{
    uint32_t pieces = pieces_n(conn, n);
    if (pieces > max && !fresh_may_stay(conn) && rx_stage(conn))
        pieces = pieces_n(conn, n); /* many small pieces of one turn became few */
    if (pieces > max)
        return E_TOO_LARGE;
    for (uint32_t i = 0; i < pieces; i++) {
        v[i] = piece_take(conn, n);
        n -= v[i].n;
    }
    check(n == 0);
    return (int)pieces;
}

int conn_take(struct conn *conn, uint64_t n, struct slice *v, uint32_t max)
{
    check(n > 0 && n <= conn->unread && max > 0);
    if (conn->fresh_n > 0 && buffers_are_scarce(conn->conns))
        (void)rx_stage(conn); /* without memory for it the request gets the buffers themselves */
    struct piece p = piece_of(conn, conn->rx.next);
    int pieces = 1;
    if (likely(p.n - *p.at >= n))
        v[0] = piece_cut(conn, &p, n);
    else
        pieces = pieces_take(conn, n, v, max);
    if (conn->is_paused && pieces > 0)
        conn_attend(conn);
    return pieces;
}

void rx_drop(struct conn *conn)
{
    while (conn->unread > 0) {
        struct slice s = piece_take(conn, conn->unread);
        slice_put(&s);
    }
    conn->wanted = 0;
}

void rx_invariants(const struct conn *conn)
{
    uint64_t bytes = 0, fresh_bytes = 0;
    uint32_t fresh_n = 0;
    list_for_each(l, next, &conn->rx) {
        struct piece p = piece_of(conn, l);
        check(*p.at < p.n && p.owner->refs > 0);
        bytes += p.n - *p.at;
        fresh_bytes += p.is_fresh ? p.n - *p.at : 0;
        fresh_n += p.is_fresh;
    }
    check(bytes == conn->unread);
    check(fresh_bytes == conn->fresh_bytes);
    check(fresh_n == conn->fresh_n);
}
