/*
 * slots.c - the order of answers, and sending them.
 *
 * Owner: worker.
 *
 *   open ──conn_slot_finish──► finished ──sent (all bytes, in order) or the end──► released:
 * slot->sent ├────conn_slot_skip────► skipped: out of the order at once, slot->sent in the next
 * "out" └────conn_slot_drop────► released without sent (only when the connection is closing)
 *
 * A send takes the answers of all finished slots at the front, up to CONN_SEND_BYTES_MAX and the
 * room for pieces: CONN_IOV_N of the connection's own, or a 4 KiB page of them when there are more.
 * The transport may send less; the next send goes on at (tx_at, tx_bytes). Slices are let go as
 * soon as their last byte is sent, not when the whole answer is: a long answer to a slow reader
 * holds only what is still to come.
 */
#include "inside.h"

enum { PAGE_IOV_N = PAGE_SMALL / sizeof(struct iovec) };
static_assert(PAGE_IOV_N <= 1024, "a page of pieces is within IOV_MAX");

static struct conn_slot *slot_first(const struct conn *conn)
{
    return list_first(&conn->slots, struct conn_slot, link);
}

/* ── the face ── */

bool conn_slot_open(struct conn *conn, struct conn_slot *slot)
{
    check(conn->magic == CONN_MAGIC);
    if (conn->slots_n == CONN_SLOTS_MAX || conn->state == CONN_CLOSING) {
        conn->was_slot_refused = true;
        return false;
    }
    slot->conn = conn;
    slot->is_finished = slot->is_empty = false;
    slot->sending_ns = 0;
    slot->sending_path = (struct conn_path){.is_known = false};
    slot->answer = (struct slices){NULL, 0, 0};
    list_append(&conn->slots, &slot->link);
    conn->slots_n++;
    return true;
}

void conn_slot_finish(struct conn_slot *slot)
{
    struct conn *conn = slot->conn;
    check(conn->magic == CONN_MAGIC && !slot->is_finished);
    slot->is_finished = true;
    if (slot == slot_first(conn) || conn->state == CONN_CLOSING)
        conn_attend(conn);
}

void conn_slot_skip(struct conn_slot *slot)
{
    struct conn *conn = slot->conn;
    check(conn->magic == CONN_MAGIC && !slot->is_finished);
    slot->is_finished = slot->is_empty = true;
    list_del(&slot->link);
    list_append(&conn->conns->skipped, &slot->link);
    conn_attend(conn); /* the slot behind it may be the first now */
}

/* The slot is out of every list and no longer counts. */
static void slot_leave(struct conn_slot *slot)
{
    struct conn *conn = slot->conn;
    list_del(&slot->link);
    check(conn->slots_n > 0);
    conn->slots_n--;
    if (conn->was_slot_refused) {
        conn->was_slot_refused = false;
        if (conn->unread > 0)
            conn_news(conn);
    }
    conn_attend(conn);
}

void conn_slot_drop(struct conn_slot *slot)
{
    check(slot->conn->state == CONN_CLOSING && !slot->is_finished);
    slot_leave(slot);
}

/* The slot's owner may free it in `sent`. */
static void slot_release(struct conn_slot *slot)
{
    slot_leave(slot);
    slices_put_all(&slot->answer);
    slot->sent(slot);
}

int slots_release_skipped(struct conns *conns)
{
    int released = 0;
    for (; !list_is_empty(&conns->skipped); released++)
        slot_release(list_first(&conns->skipped, struct conn_slot, link));
    return released;
}

/* ── sending ── */

static void slot_begin(const struct conn *conn, struct conn_slot *slot)
{
    slot->sending_ns = conns_now_ns(conn->conns);
    conn_path(conn, &slot->sending_path);
}

/* The pieces of finished answers from (tx_at, tx_bytes) on; returns how many, and whether more
 * wait. */
static uint32_t pieces_gather(const struct conn *conn, struct iovec *iov, uint32_t max,
                              bool *has_more)
{
    struct slices_at at = conn->tx_at;
    uint64_t bytes = 0, bytes_max = CONN_SEND_BYTES_MAX;
    uint32_t n = 0;
    *has_more = false;
    if (conn->conns->is_paced)
        bytes_max = CONN_SEND_PACED_MAX;
    list_for_each(l, next, &conn->slots) {
        struct conn_slot *slot = list_entry(l, struct conn_slot, link);
        if (!slot->is_finished)
            return n;
        if (slot->sending_ns == 0 && n < max && bytes < bytes_max)
            slot_begin(conn, slot);
        for (; at.i < slot->answer.n; at = (struct slices_at){at.i + 1, 0}) {
            const struct slice *s = &slot->answer.v[at.i];
            if (s->n == at.at)
                continue;
            *has_more = n == max || bytes == bytes_max;
            if (*has_more)
                return n;
            uint64_t part = min_u64(s->n - at.at, bytes_max - bytes);
            iov[n++] = (struct iovec){(void *)(uintptr_t)(s->ptr + at.at), part};
            bytes += part;
        }
        at = (struct slices_at){0, 0};
    }
    return n;
}

/* Slots at the front whose answer is sent, or was empty from the start. */
static void sent_release(struct conn *conn)
{
    for (;;) {
        struct conn_slot *slot = slot_first(conn);
        if (slot == NULL || !slot->is_finished || conn->tx_bytes < slot->answer.bytes)
            return;
        check(conn->tx_bytes == slot->answer.bytes);
        conn->tx_at = (struct slices_at){0, 0};
        conn->tx_bytes = 0;
        slot_release(slot);
    }
}

bool tx_start(struct conn *conn)
{
    struct conns *conns = conn->conns;
    struct iovec *iov = conn->iov;
    bool has_more;
    if (conn->is_sending || conn->state == CONN_CLOSING)
        return false;
    sent_release(conn);
    if (conn->state == CONN_CLOSING)
        return false; /* closed by a `sent` */
    uint32_t n = pieces_gather(conn, iov, CONN_IOV_N, &has_more);
    if (n == 0)
        return false;
    if (has_more && n == CONN_IOV_N)
        conn->iov_page =
            pages_take(conns->pages, PAGE_SMALL); /* without one it is a shorter send */
    if (conn->iov_page != NULL) {
        iov = (struct iovec *)(void *)page_data(conn->iov_page);
        n = pieces_gather(conn, iov, PAGE_IOV_N, &has_more);
    }
    conn->is_sending = true;
    conn->last_tx_ns = conns_now_ns(conns);
    conns->stats.sends_n++;
    conn->transport->send(conn, iov, n);
    return true;
}

/* n bytes from (tx_at, tx_bytes) on have left. */
static void tx_advance(struct conn *conn, uint64_t n)
{
    while (n > 0) {
        struct conn_slot *slot = slot_first(conn);
        check(slot != NULL && slot->is_finished);
        uint64_t part = min_u64(n, slot->answer.bytes - conn->tx_bytes);
        uint32_t from = conn->tx_at.i;
        slices_skip(&slot->answer, &conn->tx_at, part);
        for (uint32_t i = from; i < conn->tx_at.i; i++)
            slice_put(&slot->answer.v[i]);
        conn->tx_bytes += part;
        n -= part;
        sent_release(conn);
    }
}

void conn_sent(struct conn *conn, int64_t result)
{
    struct conns *conns = conn->conns;
    check(conn->is_sending);
    conn->is_sending = false;
    if (conn->iov_page != NULL)
        page_put(conn->iov_page);
    conn->iov_page = NULL;
    conn_attend(conn);
    if (conn->state == CONN_CLOSING)
        return;
    if (result < 0) {
        conn_close(conn, CONN_END_RESET);
        return;
    }
    conns->stats.tx_bytes += (uint64_t)result;
    conn->last_tx_ns = conns_now_ns(conns);
    tx_advance(conn, (uint64_t)result);
}

void tx_drop(struct conn *conn)
{
    if (conn->is_sending ||
        (conn->transport->is_holding != NULL && conn->transport->is_holding(conn)))
        return; /* the transport still looks at the answers */
    conn->tx_at = (struct slices_at){0, 0};
    conn->tx_bytes = 0;
    /* Released from there, because `sent` may drop or skip others of this connection. */
    list_for_each(l, next, &conn->slots) {
        if (!list_entry(l, struct conn_slot, link)->is_finished)
            continue;
        list_del(l);
        list_append(&conn->conns->skipped, l);
    }
}
