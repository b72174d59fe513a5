/*
 * mail.h - how threads talk: operations travel by pointer and come back by pointer.
 *
 * Owner: struct post belongs to its thread; the rings between two posts are the only thing they
 * share.
 *
 * An operation embeds `struct mail` first. Its sender gives it away with mail_send(); until it
 * comes back it belongs to the receiver, which answers by sending the same struct back
 * (mail_answer). Memory stays the sender's: the receiver never frees it.
 *
 * mail_send never fails: it appends to the sender's outbox, and mail_flush, once at the end of a
 * turn, moves what has room into the rings and wakes receivers that sleep. Outboxes are bounded
 * because every operation is counted where it is made (requests per worker, appends per request,
 * jobs per log).
 *
 * Sleeping: a thread that found nothing to do sets `is_asleep`, looks at its rings once more and
 * then waits on its event descriptor together with its other events; mail_flush writes the
 * descriptor of a receiver that sleeps (S1, S2: mail.c).
 *
 *   if (mail_sleep_begin(post)) {
 *       io_wait(io, ns_max);   // an IO_POLL of post->event_fd is under way
 *       mail_sleep_end(post);
 *   }
 */
#ifndef MILLRACE_MAIL_H
#define MILLRACE_MAIL_H

#include "check.h"
#include "errors.h"
#include "list.h"
#include "ring.h"

enum { THREADS_MAX = 128 };

/* What an operation is for; the receiver's table is indexed by it. "->": who sends to whom first.
 */
#define MAIL_KINDS(KIND)                                                                  \
    KIND(APPEND, "worker -> home worker: append record batches to a log (kafka/produce)") \
    KIND(READ, "worker -> home worker: read a log from an offset (kafka/fetch)")          \
    KIND(RELEASE, "worker -> home worker: record bytes of a READ are no longer needed")   \
    KIND(QUERY, "worker -> home worker: offsets by time, epoch ends (kafka/offsets)")     \
    KIND(REQUEST, "worker -> control: a decoded request; comes back with its answer")     \
    KIND(LOG, "control -> home worker: open, drop or reconfigure a log")                  \
    KIND(COMMIT, "control -> home worker: append a batch to an internal log")             \
    KIND(LOAD, "control -> home worker: copy batches of an internal log")                 \
    KIND(CANCEL, "worker -> control: nobody waits for that REQUEST any more")             \
    KIND(MOVE, "control -> home worker: a log goes to another directory")                 \
    KIND(MOVE_CANCEL, "control -> home worker: that MOVE is not wanted any more")         \
    KIND(DIRECTORY, "worker -> control, control -> worker: a log directory has failed")   \
    KIND(FILE, "worker or control -> files: create, sync, rename, unlink")                \
    KIND(BULK, "worker or control -> bulk: long work")                                    \
    KIND(STOP, "main -> thread: finish and stop")

enum mail_kind {
#define KIND(name, text) MAIL_##name,
    MAIL_KINDS(KIND)
#undef KIND
        MAIL_KINDS_N
};

/* Owner: the sender; while under way, whoever has it. */
struct mail {
    struct list link; /* outbox, then the receiver's own lists */
    uint8_t kind;     /* enum mail_kind                        */
    uint8_t from;     /* thread number of the sender           */
    uint8_t to;
    bool is_answer; /* on its way back                       */
};

/* Owner: its thread; `is_asleep` and `event_fd` are read by senders. */
struct post {
    uint8_t self; /* this thread's number                                 */
    uint8_t threads_n;
    struct ring *in[THREADS_MAX];  /* in[i]: from thread i (consumer side); NULL for none  */
    struct ring *out[THREADS_MAX]; /* out[i]: to thread i (producer side)                  */
    struct list outbox[THREADS_MAX];
    struct post *peers[THREADS_MAX];
    int event_fd; /* -1 in tests and the simulator                        */
    _Alignas(64) _Atomic bool is_asleep;
};

/* Joins posts[0..n), whatever they held before, with rings of `capacity` slots each; event_fd
 * becomes -1. Memory from the heap, at boot. 0 or E_NO_MEMORY. */
nodiscard int posts_connect(struct post **posts, uint8_t n, uint32_t capacity);
void posts_disconnect(struct post **posts, uint8_t n);

/* The event descriptor of a thread that sleeps in the kernel; after posts_connect. 0 or E_. */
nodiscard int post_event_open(struct post *post);
void post_event_close(struct post *post);

/* Sends `mail`, a kind of ours, to thread `to` (may be the sender itself: it arrives on the next
 * read). */
static inline void mail_send(struct post *post, uint8_t to, uint8_t kind, struct mail *mail)
{
    check(to < post->threads_n && kind < MAIL_KINDS_N);
    mail->kind = kind;
    mail->from = post->self;
    mail->to = to;
    mail->is_answer = false;
    list_append(&post->outbox[to], &mail->link);
}

/* Sends an operation back to where it came from. */
static inline void mail_answer(struct post *post, struct mail *mail)
{
    check(mail->to == post->self && !mail->is_answer);
    mail->is_answer = true;
    list_append(&post->outbox[mail->from], &mail->link);
}

/* Moves outboxes into rings and wakes sleepers. Returns how many moved. Once per turn, last. */
int mail_flush(struct post *post);

/* Wakes thread `to` if it sleeps: something other than mail waits for it (packets). */
void mail_wake(struct post *post, uint8_t to);

/* The next arrived operation; NULL when none. `*from_at` is the caller's round-robin place. */
struct mail *mail_read(struct post *post, uint8_t *from_at);

/* Something waits in a ring or an outbox. */
bool mail_has_more(struct post *post);

/* Announces that this thread is about to wait; false when mail has come in between (then do not
 * wait). */
nodiscard bool mail_sleep_begin(struct post *post);
/* After waiting, whatever ended it. */
void mail_sleep_end(struct post *post);
/* The event descriptor was readable: empties it. */
void mail_event_clear(struct post *post);

#endif
