/*
 * rx.c - received bytes: receive buffers, staging pages, peeking and taking, when to read and when
 * to stop.
 *
 * Owner: worker.
 *
 * A staging page carries its slice_owner in page->user[0..1]; user_at and user_n bound its unread
 * bytes. Bytes are only appended behind user_n, so slices of the front may be with a request
 * meanwhile. The connection holds one reference while the page is in `staged`; every slice taken
 * holds one.
 *
 * When to copy: at the end of the turn, unless the buffers are at least half full and at most a
 * quarter of all is out (a frame that arrives over several turns at full speed is not copied at
 * all). And at once while an admitted frame is arriving (conn_want), when a taker would need more
 * pieces than it has room for, or when something is taken while more than half of all buffers are
 * out: a request may keep what it took. Page size: 64 KiB when that much is here or admitted, 4 KiB
 * otherwise: what was not admitted never costs a connection more than its bytes plus 4 KiB.
 *
 * When to read: OPEN, and (wanted > 0 or unread < CONN_RX_BYTES_MAX), and its bytes found memory.
 * Once stopped, reading goes on when half of the bound is free.
 */
#include "inside.h"

#include <stdlib.h>

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

/* A page with room at the end of `staged`; NULL when there is no memory. `more`: bytes known to
 * come. */
static struct page *stage_room(struct conn *conn, uint64_t more)
{
    struct conns *conns = conn->conns;
    if (!list_is_empty(&conn->staged)) {
        struct page *last = list_entry(conn->staged.prev, struct page, link);
        if (last->user_n < last->size)
            return last;
    }
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
    list_append(&conn->staged, &page->link);
    return page;
}

/* Appends to `staged`; the caller counts unread. Returns how many bytes found memory. */
static uint64_t stage_copy(struct conn *conn, const uint8_t *from, uint64_t n, uint64_t more)
{
    uint64_t left = n;
    while (left > 0) {
        struct page *page = stage_room(conn, left + more);
        if (page == NULL)
            break;
        uint64_t part = min_u64(left, page->size - page->user_n);
        memcpy(page_data(page) + page->user_n, from, part);
        page->user_n += (uint32_t)part;
        from += part;
        left -= part;
    }
    return n - left;
}

/* Moves what lies in receive buffers to staging pages; false when memory was refused (the rest
 * stays). */
static bool rx_stage(struct conn *conn)
{
    uint64_t fresh = 0;
    list_for_each(l, next, &conn->fresh) {
        struct recv_buffer *b = list_entry(l, struct recv_buffer, link);
        fresh += b->n - b->at;
    }
    while (!list_is_empty(&conn->fresh)) {
        struct recv_buffer *b = list_first(&conn->fresh, struct recv_buffer, link);
        uint32_t n = b->n - b->at;
        fresh -= n;
        uint32_t done = (uint32_t)stage_copy(
            conn, io_buffer_data(conn->conns->io, b->buffer_at) + b->at, n, fresh + conn->wanted);
        conn->conns->stats.staged_bytes += done;
        b->at += done;
        if (done < n)
            return false;
        list_del(&b->link);
        struct slice s = {NULL, 0, &b->owner};
        slice_put(&s);
    }
    return true;
}

/* At the end of a turn: whether its receive buffers may stay, because they are full and there are
 * plenty. */
static bool fresh_may_stay(const struct conn *conn)
{
    const struct conns *conns = conn->conns;
    uint64_t bytes = 0, room = 0;
    if (conns->stats.recv_buffers_out_n > conns->config.recv_buffers_n / 4)
        return false;
    list_for_each(l, next, &conn->fresh) {
        const struct recv_buffer *b = list_entry(l, struct recv_buffer, link);
        bytes += b->n - b->at;
        room += conns->config.recv_buffer_bytes;
    }
    return 2 * bytes >= room;
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
    list_append(&conn->fresh, &b->link);
    rx_count(conn, n);
    if (was_wanted)
        (void)rx_stage(conn); /* refused memory is dealt with at the end of the turn */
}

uint64_t rx_copy(struct conn *conn, const uint8_t *from, uint64_t n)
{
    check(conn->state == CONN_OPEN && list_is_empty(&conn->fresh));
    uint64_t done = stage_copy(conn, from, n, conn->wanted - min_u64(conn->wanted, n));
    if (done > 0)
        rx_count(conn, done);
    return done;
}

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
    list_for_each(l, next, &conn->staged) {
        struct page *page = list_entry(l, struct page, link);
        uint32_t part = (uint32_t)min_u64(n, page->user_n - page->user_at);
        memcpy(out, page_data(page) + page->user_at, part);
        out += part;
        n -= part;
        if (n == 0)
            return;
    }
    list_for_each(l, next, &conn->fresh) {
        struct recv_buffer *b = list_entry(l, struct recv_buffer, link);
        uint32_t part = (uint32_t)min_u64(n, b->n - b->at);
        memcpy(out, io_buffer_data(conn->conns->io, b->buffer_at) + b->at, part);
        out += part;
        n -= part;
        if (n == 0)
            return;
    }
    check(n == 0);
}

/* How many pieces the first n bytes lie in. */
static uint32_t pieces_n(const struct conn *conn, uint64_t n)
{
    uint32_t pieces = 0;
    list_for_each(l, next, &conn->staged) {
        if (n == 0)
            return pieces;
        const struct page *page = list_entry(l, struct page, link);
        n -= min_u64(n, page->user_n - page->user_at);
        pieces++;
    }
    list_for_each(l, next, &conn->fresh) {
        if (n == 0)
            return pieces;
        const struct recv_buffer *b = list_entry(l, struct recv_buffer, link);
        n -= min_u64(n, b->n - b->at);
        pieces++;
    }
    return pieces;
}

/* The next at most n bytes as a slice, which gets a reference; an emptied piece leaves its queue.
 */
static struct slice piece_take(struct conn *conn, uint64_t n)
{
    struct slice s;
    if (!list_is_empty(&conn->staged)) {
        struct page *page = list_first(&conn->staged, struct page, link);
        s = (struct slice){page_data(page) + page->user_at,
                           (uint32_t)min_u64(n, page->user_n - page->user_at), page_owner(page)};
        page->user_at += s.n;
        if (page->user_at < page->user_n)
            slice_get(&s);
        else
            list_del(&page->link); /* the connection's reference becomes the slice's */
        return s;
    }
    struct recv_buffer *b = list_first(&conn->fresh, struct recv_buffer, link);
    check(b != NULL);
    s = (struct slice){io_buffer_data(conn->conns->io, b->buffer_at) + b->at,
                       (uint32_t)min_u64(n, b->n - b->at), &b->owner};
    b->at += s.n;
    if (b->at < b->n)
        slice_get(&s);
    else
        list_del(&b->link);
    return s;
}

int conn_take(struct conn *conn, uint64_t n, struct slice *v, uint32_t max)
{
    check(n <= conn->unread);
    /* Requests may keep what they take for long: not the last receive buffers. */
    if (!list_is_empty(&conn->fresh) && buffers_are_scarce(conn->conns))
        (void)rx_stage(conn);
    uint32_t pieces = pieces_n(conn, n);
    if (pieces > max && !list_is_empty(&conn->fresh) && rx_stage(conn))
        pieces = pieces_n(conn, n); /* many small pieces of one turn became few */
    if (pieces > max)
        return E_TOO_LARGE;
    conn->unread -= n;
    for (uint32_t i = 0; i < pieces; i++) {
        v[i] = piece_take(conn, n);
        n -= v[i].n;
    }
    check(n == 0);
    if (conn->is_paused)
        conn_attend(conn);
    return (int)pieces;
}

void rx_drop(struct conn *conn)
{
    while (conn->unread > 0) {
        struct slice s = piece_take(conn, conn->unread);
        conn->unread -= s.n;
        slice_put(&s);
    }
    conn->wanted = 0;
}
