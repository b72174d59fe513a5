/*
 * inside.h - what the files of conn/ share: the connection, all connections of a worker, the
 * transports.
 *
 * Owner: worker.
 *
 * Invariants (conn_invariants):
 *   (1) unread is the number of bytes in rx, fresh_bytes of those in its fresh_n receive buffers;
 *   (2) state FREE: in no list but the free one, no slot, no bytes;
 *   (3) is_sending: the oldest slot is finished; what is being sent stays until conn_sent;
 *   (4) CLOSING: on the ready list, or is_told.
 */
#ifndef MILLRACE_CONN_INSIDE_H
#define MILLRACE_CONN_INSIDE_H

#include "conn.h"

enum {
    CONN_MAGIC = 0x636f6e6e,  /* "conn" */
    CONNS_MAGIC = 0x636f6e73, /* "cons" */
    CONN_DIRECT_MIN = 65536,  /* admitted bytes to come that are received in place */
    CONN_IOV_N = 8,           /* pieces of a send without a page for them */
    CONN_PEER_TEXT_MAX = 56,  /* "[ipv6]:port" */
    CONN_FACTS_MAX = 192,
    CONN_CHUNK_BYTES = 65536, /* given to the TCP engine, and told as sent, at once */
    CONN_CHUNKS_N = CONN_SEND_BYTES_MAX / CONN_CHUNK_BYTES,
};

enum conn_state {
    CONN_FREE, /* in the pool; or gone, but its simulated peer still looks at it */
    CONN_OPEN,
    CONN_ENDED, /* the peer ended its side; what it sent is still answered        */
    CONN_CLOSING,
};

/* How bytes leave and arrive. net/, kernel sockets and memory each have one. Calls down never call
 * back up at once; the news comes in a later io_poll, or in `turn`. Owner: immutable. */
struct transport {
    const char *name;
    void (*read_set)(struct conn *conn, bool is_on);
    /* Sends the pieces, or the first bytes of them; conn_sent tells. One at a time. */
    void (*send)(struct conn *conn, struct iovec *iov, uint32_t iov_n);
    /* Ends it: what is under way returns. */
    void (*close)(struct conn *conn);
    bool (*is_done)(const struct conn *conn); /* closed, and nothing is under way */
    void (*turn)(struct conn *conn); /* before the rest of the connection's turn; may be NULL */
    /* Still refers to answers although no send is under way; NULL: never. */
    bool (*is_holding)(const struct conn *conn);
    /* What it knows of the path, in words; may be NULL. */
    void (*facts)(const struct conn *conn, char *to, size_t to_n);
    void (*path)(const struct conn *conn, struct conn_path *out); /* may be NULL */
};

/* A connection over a kernel socket. Owner: worker. */
struct conn_sock {
    int fd; /* -1 when closed */
    bool is_reading;
    bool is_shut;
    struct list starved;   /* waits for receive buffers */
    struct iovec room;     /* of a receive in place */
    bool was_room_refused; /* for the frame that is wanted now */
    struct io_op recv, send, cancel;
};

/* A connection to a simulated client; also the client's handle. Owner: worker. */
struct conn_memory {
    struct conn *conn;
    bool is_reading;
    bool is_shut;      /* the broker closed        */
    bool has_left;     /* the client closed        */
    bool is_gone;      /* the connection is over; only the handle is left */
    struct iovec *iov; /* of the send under way    */
    uint32_t iov_n, iov_i;
    uint64_t iov_at; /* bytes of iov[iov_i] that were read   */
    uint64_t read_n; /* read since the last turn             */
};

/* A part of what was given to the TCP engine: it comes back when the peer has acknowledged it and
 * no packet refers to it. Owner: worker. */
struct conn_chunk {
    struct slice_owner owner; /* refs 0: free, or come back */
    struct conn *conn;
    uint32_t bytes; /* 0: free */
};

/* A connection over the TCP engine of net/. Owner: worker. */
struct conn_tcp {
    struct tcb *tcb; /* NULL: released */
    bool is_reading;
    bool has_end;        /* the peer's FIN came                              */
    struct slice held;   /* received, and no memory to stage it              */
    struct list waiting; /* conns.tcp_waiting: held is tried again next turn */
    uint32_t chunk_first, chunks_n;
    struct conn_chunk chunks[CONN_CHUNKS_N]; /* in order; a ring             */
    uint64_t given;                          /* bytes in chunks                                  */
};

/* One provided buffer while it is ours. Owner: worker. */
struct recv_buffer {
    struct list link; /* conn.rx */
    struct slice_owner owner;
    struct conns *conns;
    uint32_t buffer_at;
    uint32_t at, n; /* unread bytes: [at, n) */
};

/* Owner: worker. */
struct conn {
    uint32_t magic;
    uint8_t state; /* enum conn_state, changed by conn_state_set */
    bool is_told;  /* the Kafka layer has heard of the end      */
    bool is_sending;
    bool is_paused;   /* not reading: bytes wait, or no memory     */
    bool has_arrived; /* bytes since the last turn                 */
    bool is_hungry;   /* linked in conns.hungry                    */
    bool was_slot_refused;
    struct conns *conns;
    const struct listener *listener;
    const struct transport *transport;
    struct list link;   /* conns.open or conns.free                  */
    struct list ready;  /* conns.ready or conns.ready_later          */
    struct list attend; /* conns.attend or .hungry: something for "out" */
    uint64_t id;
    void *user;
    struct timer idle;
    uint64_t last_rx_ns, last_tx_ns;

    struct list rx;       /* unread pieces, oldest first (rx.c)              */
    uint64_t fresh_bytes; /* of those in receive buffers                    */
    uint32_t fresh_n;
    struct page *room; /* bytes of a frame are being received into its end */
    uint64_t unread;
    uint64_t wanted; /* bytes of an admitted frame still to come  */

    struct list slots;      /* oldest first                              */
    uint32_t slots_n;       /* with the skipped ones whose sent is due   */
    struct slices_at tx_at; /* in the oldest slot: the next byte      */
    uint64_t tx_bytes;      /* of the oldest slot that were sent      */
    struct page *iov_page;  /* of the send under way; NULL: `iov`     */
    struct iovec iov[CONN_IOV_N];

    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d                    */
    uint16_t port;
    char peer_text[CONN_PEER_TEXT_MAX]; /* made when asked for        */
    union {
        struct conn_sock sock;
        struct conn_memory memory;
        struct conn_tcp tcp;
    };
};

/* One listening socket. Owner: worker. */
struct acceptor {
    struct conns *conns;
    const struct listener *listener;
    int fd; /* -1 when closed */
    struct io_op accept, cancel;
    struct timer retry;
};

/* How many connections each address has: open addressing, linear probing. Owner: worker. */
struct peer_count {
    uint8_t ip[16];
    uint32_t n; /* 0: free */
};
struct peers {
    struct peer_count *v;
    uint32_t mask;
    uint64_t seed;
};

/* Owner: worker. */
struct conns {
    uint32_t magic;
    struct conns_config config;
    struct io *io;
    struct pages *pages;
    struct timers *timers;
    uint64_t now_ns; /* of the last turn */
    bool is_stopping;
    bool is_paced; /* CONN_SEND_PACED_MAX counts */
    bool has_news; /* a connection became ready since conns_ready_next last gave NULL */
    struct timer stop;
    struct list open, free;
    struct list ready, ready_later, attend;
    struct list hungry;      /* by `attend`: their bytes found no staging page      */
    struct list starved;     /* sockets that wait for receive buffers               */
    struct list skipped;     /* slots whose sent is due */
    struct list tcp_waiting; /* TCP connections whose bytes found no staging page */
    struct conn *pool;
    uint32_t pool_used_n; /* pool[0 .. pool_used_n) have been used; the rest was never touched */
    uint64_t id_next;
    struct recv_buffer *buffers;
    struct acceptor acceptors[LISTENERS_MAX];
    uint32_t acceptors_n;
    struct peers peers;
    struct conn_limits limits;
    uint32_t closing_n; /* of the open ones: on their way out */
    struct conns_stats stats;
};

/* ── conn.c: called by transports ── */

/* A connection on state OPEN, reading; NULL over a limit (counted). */
struct conn *conn_open(struct conns *conns, const struct transport *transport,
                       const struct listener *listener, const uint8_t ip[16], uint16_t port);
void conn_ended(struct conn *conn);  /* the peer's clean end */
void conn_attend(struct conn *conn); /* the turn's "out" looks at it */
void conn_news(struct conn *conn);   /* onto the ready list */
void conn_put(struct conn *conn);    /* back to the pool: state FREE and nobody looks at it */
void memory_gone(
    struct conn *conn); /* transport_memory.c: FREE, back to the pool when the client leaves */
uint64_t conns_now_ns(const struct conns *conns);

/* ── rx.c ── */

nodiscard int rx_init(struct conns *conns);
void rx_fini(struct conns *conns);
/* n bytes arrived in receive buffer buffer_at. */
void rx_arrived(struct conn *conn, uint32_t buffer_at, uint32_t n);
/* Copies arriving bytes; returns how many there was memory for. `behind` more follow at once: they
 * share its pages. */
uint64_t rx_copy(struct conn *conn, const uint8_t *from, uint64_t n, uint64_t behind);
/* Room for at most the wanted bytes, behind all others; false without memory. One at a time. */
bool rx_room_take(struct conn *conn, struct iovec *room);
/* n bytes arrived there; 0: none will. */
void rx_room_give(struct conn *conn, uint32_t n);
/* End of turn: unread bytes out of receive buffers; reading on or off. */
void rx_settle(struct conn *conn);
void rx_drop(struct conn *conn);
void rx_invariants(const struct conn *conn);
bool rx_has_room(const struct conn *conn);

/* ── slots.c ── */

/* The send under way ended: bytes >= 0 or a negative errno. */
void conn_sent(struct conn *conn, int64_t result);
/* Starts the next send; true when one was started. */
bool tx_start(struct conn *conn);
/* CLOSING: lets go of finished slots. */
void tx_drop(struct conn *conn);
/* Calls sent of the slots that were skipped; how many. */
int slots_release_skipped(struct conns *conns);

/* ── peers.c ── */

nodiscard int peers_init(struct peers *peers, uint32_t conns_max, uint64_t seed);
void peers_fini(struct peers *peers);
/* One more connection of ip; false when it has n_max already. */
bool peers_add(struct peers *peers, const uint8_t ip[16], uint32_t n_max);
void peers_remove(struct peers *peers, const uint8_t ip[16]);

/* ── transport_sock.c, listener.c ── */

extern const struct transport transport_sock;
extern const struct transport transport_memory;
extern const struct transport transport_tcp;
/* A freshly accepted socket; closes it when it may not stay. */
void sock_accepted(struct conns *conns, const struct listener *listener, int fd);
/* Receives again for connections that found no buffer, as far as buffers are free. */
void sock_feed_starved(struct conns *conns);
void acceptors_stop(struct conns *conns);
uint32_t acceptors_open_n(const struct conns *conns);

/* For tests: stops the process when an invariant of the file head does not hold. */
void conn_invariants(const struct conn *conn);

#endif
