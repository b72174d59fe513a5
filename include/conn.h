/*
 * conn.h - the face of dataplane/conn: connections over any transport, as the Kafka layer sees
 * them.
 *
 * Owner: worker. A connection belongs to the worker that accepted it, for its whole life.
 *
 * Up: received bytes wait in the connection as slices; a connection with news (bytes or its end) is
 * on the *ready* list. Down: answers are given to slots in any order and leave in the order the
 * slots were opened (Kafka: responses in request order). conn/ knows no Kafka: a frame is "n bytes
 * from the front".
 *
 *   transport ──bytes──► conn (rx slices) ──ready──► conns_ready_next / conn_peek / conn_take   (kafka/)
 *   transport ◄─iovecs── conn (tx queue)  ◄──send─── conn_slot_finish, in slot order            (kafka/)
 *
 * States:  OPEN ──conn_close──► CLOSING (nothing is read; the transport shuts down; operations under way
 * return) ──all slots released, transport done──► gone. When the peer ends its side (a clean end), what it
 * sent before is still offered and answered (ENDED), for at most CONN_ENDED_NS_MAX; then CLOSING.
 * The Kafka layer hears of the end exactly once, by conns_ready_next returning a connection whose
 * conn_is_closing() is true; it must then release every slot it still has (conn_slot_drop, or
 * finish or skip it later), and may use the connection until the turn's conns_send_ready, after
 * which the struct may be reused.
 *
 * Back-pressure: the Kafka layer leaves bytes in the connection; when more than the receive bound
 * wait, the connection stops reading and the peer's window closes.
 */
#ifndef MILLRACE_CONN_H
#define MILLRACE_CONN_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "clock.h"
#include "errors.h"
#include "io.h"
#include "listener.h"
#include "pages.h"
#include "slice.h"
#include "timer.h"

enum {
    CONN_SLOTS_MAX = 256, /* requests of one connection under way: more are left unread  */
    CONN_RX_BYTES_MAX = 256 * 1024,   /* unread bytes of one connection before it stops reading,
                                         unless a frame that long is being admitted (conn_want)   */
    CONN_SEND_BYTES_MAX = 512 * 1024, /* of one connection in one turn ... */
    CONN_SEND_PACED_MAX = 128 * 1024, /* ... while others are in a hurry */
};
#define CONN_ENDED_NS_MAX                                                  \
    NS_PER_S /* a peer that ended its side waits this long for its answers \
              */

struct conn;
struct conns;

/* Why a connection ended: the counter it goes to and the words in diag (at most 5 lines a second
 * each). */
#define CONN_ENDS(END)                                                                    \
    END(PEER, "the client closed the connection")                                         \
    END(RESET, "the connection was reset")                                                \
    END(IDLE, "idle longer than connections.max.idle.ms")                                 \
    END(LIMIT, "over max.connections or max.connections.per.ip")                          \
    END(PROTOCOL, "the client broke the protocol")                                        \
    END(TOO_LARGE, "a frame longer than socket.request.max.bytes, or of negative length") \
    END(SLOW, "a frame arrived below the minimum rate")                                   \
    END(ACKS0, "an append with acks=0 failed")                                            \
    END(MEMORY, "no memory for it")                                                       \
    END(STOPPING,   "the broker is stopping")

enum conn_end {
#define END(name, text) CONN_END_##name,
    CONN_ENDS(END)
#undef END
        CONN_ENDS_N
};

/* Limits and settings, copied at conns_init. Units in the names.
 *
 * The limits are this worker's share: the kernel spreads connections over the workers' listening
 * sockets by a hash of addresses and ports, so with W workers a total of max.connections is
 * ceil(max / W) each, and one worker may refuse while another has room. Address space for conns_max
 * connections is reserved at boot; memory is touched only by connections that come. */
struct conns_config {
    uint32_t conns_max;         /* that there is room for; conns_limit may allow fewer */
    uint32_t per_ip_max;        /* max.connections.per.ip, share of this worker */
    uint64_t idle_ns_max;       /* connections.max.idle.ms; 0 = never */
    uint32_t recv_buffer_bytes; /* one provided buffer */
    uint32_t recv_buffers_n;    /* power of two */
    uint32_t socket_send_bytes; /* socket.send.buffer.bytes; 0 = system default */
    uint32_t socket_recv_bytes;
    uint64_t seed; /* of the table of addresses */
};

enum { CONN_OVERRIDES_MAX = 64 };

/* What of the limits may change while connections are open; shares of this worker. */
struct conn_limits {
    uint32_t open_max, per_ip_max;
    struct conn_override {
        uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
        uint32_t n_max;
    } overrides[CONN_OVERRIDES_MAX]; /* of per_ip_max, for single addresses */
    uint32_t overrides_n;
};

/* What the network did to a connection since it was opened, as far as its transport knows: the
 * difference of two is what it did in between. */
struct conn_path {
    bool is_known;    /* our own TCP; the kernel keeps it to itself                       */
    uint32_t again_n; /* segments sent again                                              */
    uint32_t holes_n; /* times that bytes came while some before them were missing        */
    uint32_t shut_n;  /* asked whether the peer's closed window is open: it does not read */
};

/* A place in the order of a connection's answers. Owner: worker; held by one request. */
struct conn_slot {
    struct list link; /* of the connection's slots, oldest first */
    struct conn *conn;
    bool is_finished;
    bool is_empty; /* finished without an answer (acks=0) */
    uint64_t
        sending_ns; /* its first byte was given to the transport: the turn's time; 0: not yet */
    struct conn_path sending_path; /* at that time */
    struct slices answer; /* v is arena or page memory of the request, valid until `sent` */
    void (*sent)(
        struct conn_slot *slot); /* the transport no longer needs the answer's memory, or the
                                    connection ended: called exactly once per opened slot that was
                                    finished or skipped, from io_poll or conns_send_ready, never
                                    from the call that finished it */
};

/* Counters of one worker's connections, also the source of the metrics. */
struct conns_stats {
    uint64_t accepted_n, open_n, rx_bytes, tx_bytes;
    uint64_t recv_buffers_out_n; /* now: filled and not yet given back                            */
    uint64_t staging_bytes;      /* now: pages that hold unread bytes, or slices of them          */
    uint64_t staged_bytes;       /* copied from receive buffers into such pages                   */
    uint64_t direct_bytes;      /* received into such pages by the kernel, without a copy of ours */
    uint64_t staging_refused_n; /* no page for it: the connection stopped reading                */
    uint64_t starved_n;         /* receives that found all receive buffers lent out              */
    uint64_t paused_n;          /* times a connection stopped reading because its bytes waited   */
    uint64_t accept_paused_n;   /* times accepting stopped for want of descriptors or memory     */
    uint64_t sends_n, sends_partial_n;
    uint64_t ends[CONN_ENDS_N];
};

/* ── life ── */

/* Boot. `io` is the worker's; `pages` gives staging memory. 0, E_NO_MEMORY. */
nodiscard int conns_init(struct conns **out, const struct conns_config *config, struct io *io,
                         struct pages *pages, struct timers *timers);
/* Frees everything, whatever is open: the io is gone or will not complete anything any more. */
void conns_fini(struct conns *conns);
/* Boot, when it is built: enters what memory it has taken (ledger.h). */
struct ledger;
void conns_ledger(const struct conns *conns, struct ledger *ledger);

/* Limits that count from now on. Of connections beyond open_max those that were silent longest are
 * closed, a few in each turn; who has more than per_ip_max keeps them. */
void conns_limit(struct conns *conns, const struct conn_limits *limits);

/* Starts accepting on a socket that listener_open made; several may be open. `listener` outlives
 * the conns; fd is theirs from now on and closed by conns_stop. 0 or E_. */
nodiscard int conns_listen(struct conns *conns, const struct listener *listener, int fd);

/* Creates, binds (SO_REUSEADDR, SO_REUSEPORT) and listens. Boot. On success *fd and, when port was
 * 0, *port are set. E_IN_USE (port taken), E_DENIED, E_INVALID (address). */
nodiscard int listener_open(const struct listener *listener, int *fd, uint16_t *port);

/* Boot: is the address free, also of other processes that would share the port? Chooses *port when
 * it is 0. The errors of listener_open. */
nodiscard int listener_probe(const struct listener *listener, uint16_t *port);

/* Stops accepting, then closes every connection: at once those without slots, the others when their
 * answers are out or at `deadline_ns`; turns go on meanwhile. conns_count is 0 when it is over. */
void conns_stop(struct conns *conns, uint64_t deadline_ns);
uint32_t conns_count(const struct conns *conns);

/* Once a turn, "out": hands finished answers to the transports, moves unread bytes out of receive
 * buffers, lets go of what ended. Returns how much was done: the thread may sleep only after 0. */
int conns_send_ready(struct conns *conns, struct now now);
/* From now on a connection sends CONN_SEND_PACED_MAX in a turn, or no longer. */
void conns_pace(struct conns *conns, bool is_paced);

const struct conns_stats *conns_stats(const struct conns *conns);

/* One line for each open connection whose id is above `after`, oldest first, as many as there is
 * room for: id, peer, listener, transport, ms since it was last received from and sent to, bytes
 * unread, answers under way; and what TCP knows, for those that are ours. Returns the bytes. */
uint64_t conns_list(const struct conns *conns, uint64_t after, uint64_t now_ns, char *to,
                    uint64_t to_n);

/* ── reading ── */

/* The next connection with news, taken off the ready list; NULL when none. It comes back onto the
 * list only by new bytes, its end, or conn_ready_again. */
struct conn *conns_ready_next(struct conns *conns);

/* Puts it back, e.g. because a budget was empty or a turn's share is used up: for the next turn, so
 * that a loop over conns_ready_next ends. It does not keep the thread from sleeping. */
void conn_ready_again(struct conn *conn);

uint64_t conn_unread(const struct conn *conn); /* bytes waiting                                   */
void conn_peek(struct conn *conn, void *to,
               uint32_t n); /* copies the first n <= conn_unread bytes          */
/* Copies and drops the first n <= conn_unread bytes. */
void conn_read(struct conn *conn, void *to, uint32_t n);
/* Takes the first n <= conn_unread bytes as slices (references move to the caller). v has room for
 * max; returns how many were filled, or E_TOO_LARGE when n bytes lie in more than max pieces
 * (nothing taken). */
nodiscard int conn_take(struct conn *conn, uint64_t n, struct slice *v, uint32_t max);
/* The Kafka layer has admitted a frame of n more bytes: reading goes on until they are there, and
 * pieces are gathered into staging pages (64 KiB) so that receive buffers return at once. */
void conn_want(struct conn *conn, uint64_t n);

bool conn_is_closing(const struct conn *conn);
const struct listener *conn_listener(const struct conn *conn);
/* "127.0.0.1:41234", for diag and `millrace conn list`. */
const char *conn_peer(const struct conn *conn);
uint64_t conn_id(const struct conn *conn);
/* When the last byte arrived / the connection was made: the time of the turn (monotonic ns). */
uint64_t conn_last_rx_ns(const struct conn *conn);
/* What the network has done to it so far; all 0 when its transport does not know, or it is over. */
void conn_path(const struct conn *conn, struct conn_path *out);

/* A pointer for the Kafka layer (its per-connection state), NULL at first. */
void *conn_user(const struct conn *conn);
void conn_set_user(struct conn *conn, void *user);

/* ── answering ── */

/* Opens the next slot; false when CONN_SLOTS_MAX are open (leave the bytes unread). */
bool conn_slot_open(struct conn *conn, struct conn_slot *slot);
/* The answer is whole; it leaves when every earlier slot has. References in answer.v move to the
 * connection. */
void conn_slot_finish(struct conn_slot *slot);
/* Nothing will be answered (acks=0): later slots need not wait. slot->sent is called. */
void conn_slot_skip(struct conn_slot *slot);
/* For a closing connection: lets go of a slot that was not finished; `sent` is not called. */
void conn_slot_drop(struct conn_slot *slot);

/* Begins the end; safe at any time, from any handler of the worker, more than once. Unsent answers
 * are dropped. The bytes in it can still be read until the turn's conns_send_ready. */
void conn_close(struct conn *conn, enum conn_end why);

/* ── the TCP engine of net/: a third transport ── */

struct net;
/* Accepts on a port of the engine; `listener` outlives the conns. 0 or E_. */
nodiscard int conns_net_listen(struct net *net, const struct listener *listener, uint16_t port);
/* Once a turn, "in", after net_input: what the engine has to say; net_turn follows
 * conns_send_ready. */
void conns_net_turn(struct conns *conns, struct net *net, struct now now);

/* ── the in-memory transport (simulator, unit tests): a second way in ── */

struct conn_memory; /* the peer's side of one connection */
/* Opens a connection from a simulated client; NULL over a limit. */
struct conn_memory *conns_memory_connect(struct conns *conns, const struct listener *listener,
                                         struct now now);
/* Client to broker: copies what fits (the rest later); returns bytes taken; -1 when the broker
 * closed. It arrives at once, without receive buffers. */
int64_t conn_memory_write(struct conn_memory *peer, const void *from, uint64_t n, struct now now);
/* Broker to client: moves at most n answer bytes to `to`; -1 when closed. Nothing is buffered in
 * between: what was read counts as sent in the turn that follows. */
int64_t conn_memory_read(struct conn_memory *peer, void *to, uint64_t n);
void conn_memory_close(struct conn_memory *peer); /* the client's end; peer is invalid afterwards */

#endif
