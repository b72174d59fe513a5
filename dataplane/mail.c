/*
 * mail.c - joins posts with rings, moves outboxes into them and wakes who sleeps.
 *
 * Owner: posts_connect and posts_disconnect: main, while no thread runs; the rest: the thread of
 * the post.
 *
 * Every pair of threads has a ring of its own in each direction, also a thread with itself, so that
 * reading is one loop. A full ring leaves the rest in the outbox, in order; the next mail_flush
 * goes on.
 *
 * No wake is lost:
 *
 *   sleeper   S1 exchange(is_asleep, true)                  then ring_has_more for all rings
 *   sender    ring_write, then S2 exchange(is_asleep, false): true means: write the descriptor
 *
 * The two exchanges have an order. If S2 comes later it sees true, and wakes. If S1 comes later it
 * reads what S2 wrote, so everything the sender did before S2 is visible to the look that follows
 * S1. (A store and a load in their place would need fences, which ThreadSanitizer does not
 * understand.) Exchanging also makes one wake do for many senders.
 */
#include "mail.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ── boot ── */

static struct ring *ring_make(uint32_t capacity)
{
    /* One block: the ring's own cache lines, then the slots. */
    uint64_t bytes = align_up(sizeof(struct ring) + capacity * sizeof(void *), 64);
    struct ring *ring = aligned_alloc(64, bytes);
    if (ring == NULL)
        return NULL;
    ring_init(ring, (void **)(ring + 1), capacity);
    return ring;
}

static void post_init(struct post *post, uint8_t self, uint8_t n)
{
    post->self = self;
    post->threads_n = n;
    post->event_fd = -1;
    atomic_init(&post->is_asleep, false);
    for (uint32_t i = 0; i < THREADS_MAX; i++) {
        post->in[i] = post->out[i] = NULL;
        post->peers[i] = NULL;
        list_init(&post->outbox[i]);
    }
}

int posts_connect(struct post **posts, uint8_t n, uint32_t capacity)
{
    check(n > 0 && n <= THREADS_MAX);
    for (uint8_t i = 0; i < n; i++)
        post_init(posts[i], i, n);
    for (uint8_t from = 0; from < n; from++) {
        for (uint8_t to = 0; to < n; to++) {
            struct ring *ring = ring_make(capacity);
            if (ring == NULL) {
                posts_disconnect(posts, n);
                return E_NO_MEMORY;
            }
            posts[from]->out[to] = posts[to]->in[from] = ring;
            posts[from]->peers[to] = posts[to];
        }
    }
    return 0;
}

void posts_disconnect(struct post **posts, uint8_t n)
{
    for (uint8_t to = 0; to < n; to++) {
        for (uint8_t from = 0; from < n; from++) {
            free(posts[to]->in[from]);
            posts[to]->in[from] = posts[from]->out[to] = NULL;
        }
    }
}

int post_event_open(struct post *post)
{
    check(post->event_fd < 0);
    post->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return post->event_fd < 0 ? error_from_errno(errno) : 0;
}

void post_event_close(struct post *post)
{
    if (post->event_fd >= 0)
        close(post->event_fd);
    post->event_fd = -1;
}

/* ── a turn ── */

static void peer_wake(struct post *peer)
{
    if (!atomic_exchange_explicit(&peer->is_asleep, false, memory_order_seq_cst))
        return; /* S2: pairs with S1 in mail_sleep_begin */
    uint64_t one = 1;
    /* EAGAIN: the counter is full, so it is readable anyway. */
    if (peer->event_fd >= 0 && write(peer->event_fd, &one, sizeof one) < 0)
        check(errno == EAGAIN || errno == EINTR);
}

void mail_wake(struct post *post, uint8_t to)
{
    check(to < post->threads_n);
    peer_wake(post->peers[to]);
}

static int outbox_flush(struct post *post, uint8_t to)
{
    struct list *outbox = &post->outbox[to];
    int moved = 0;
    while (!list_is_empty(outbox)) {
        struct mail *mail = list_first(outbox, struct mail, link);
        /* Off the list first: once it is in the ring it is the receiver's. */
        list_del(&mail->link);
        if (!ring_write(post->out[to], mail)) {
            list_push(outbox, &mail->link);
            break;
        }
        moved++;
    }
    return moved;
}

int mail_flush(struct post *post)
{
    int moved = 0;
    for (uint8_t to = 0; to < post->threads_n; to++) {
        int n = outbox_flush(post, to);
        if (n > 0 && to != post->self)
            peer_wake(post->peers[to]);
        moved += n;
    }
    return moved;
}

struct mail *mail_read(struct post *post, uint8_t *from_at)
{
    for (uint8_t i = 0; i < post->threads_n; i++) {
        uint8_t from = *from_at < post->threads_n ? *from_at : 0;
        *from_at = (uint8_t)(from + 1 == post->threads_n ? 0 : from + 1);
        struct mail *mail = ring_read(post->in[from]);
        if (mail != NULL) {
            check(!list_is_linked(&mail->link));
            return mail;
        }
    }
    return NULL;
}

bool mail_has_more(struct post *post)
{
    for (uint8_t i = 0; i < post->threads_n; i++)
        if (ring_has_more(post->in[i]) || !list_is_empty(&post->outbox[i]))
            return true;
    return false;
}

bool mail_sleep_begin(struct post *post)
{
    atomic_exchange_explicit(&post->is_asleep, true,
                             memory_order_seq_cst); /* S1: pairs with S2 in peer_wake */
    if (!mail_has_more(post))
        return true;
    atomic_store_explicit(&post->is_asleep, false, memory_order_relaxed);
    return false;
}

void mail_sleep_end(struct post *post)
{
    atomic_store_explicit(&post->is_asleep, false, memory_order_relaxed);
}

void mail_event_clear(struct post *post)
{
    uint64_t n;
    if (post->event_fd >= 0 && read(post->event_fd, &n, sizeof n) < 0)
        check(errno == EAGAIN || errno == EINTR);
}
