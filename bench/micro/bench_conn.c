/*
 * bench_conn.c - what a request costs on a connection: frames echoed over loopback, through conns
 * on io_uring and, for comparison, through a plain epoll loop with one read and one write per
 * request.
 *
 * Owner: main starts one server and one client thread per run; they share a socket and nothing
 * else.
 *
 * The client keeps `depth` frames under way on each connection. CPU is the server thread's own
 * (user and kernel). On loopback a thread that sends also runs the receiver's protocol work, the
 * same for both servers. Usage: bench_conn [seconds per run, default 1] [number of the only run]
 * [receive buffers]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bytes.h"
#include "check.h"
#include "clock.h"
#include "conn.h"
#include "uring.h"

enum {
    PIECES_MAX = 256,
    CONNS_MAX = 10000,
    FRAME_BYTES_MAX = 1 << 20,
    RECV_BUFFERS_N = 1024,
    EVENTS_N = 256
};

/* Owner: main; read by both threads; is_over is the only thing that changes. */
struct run {
    const char *name;
    bool is_epoll;
    uint32_t conns_n, depth, frame_bytes; /* frame_bytes without its length */
    uint32_t buffers_n;                   /* receive buffers of 16 KiB */
    uint64_t ns;
    int listen_fd;
    struct listener listener;
    uint16_t port;
    _Atomic bool is_over;
    /* results */
    uint64_t requests_n, server_cpu_ns, took_ns, enters_n, staged_bytes, starved_n, sends_n,
        turns_n;
};

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* ── the server on conns ── */

struct request {
    struct conn_slot slot;
    struct list link;
    struct list *free;
    struct slice v[PIECES_MAX];
};

static void request_sent(struct conn_slot *slot)
{
    struct request *r = container_of(slot, struct request, slot);
    list_push(r->free, &r->link);
}

static struct request *request_take(struct list *free_list)
{
    struct list *l = list_pop(free_list);
    if (l != NULL)
        return list_entry(l, struct request, link);
    struct request *r = calloc(1, sizeof *r);
    check(r != NULL);
    list_init(&r->link);
    r->free = free_list;
    r->slot.sent = request_sent;
    return r;
}

static uint64_t frames_serve(struct conn *conn, struct list *free_list)
{
    uint8_t head[4];
    uint64_t n, served = 0;
    while (conn_unread(conn) >= 4) {
        conn_peek(conn, head, 4);
        n = 4 + (uint64_t)load_u32(head);
        if (conn_unread(conn) < n) {
            if (n > CONN_RX_BYTES_MAX) /* as the Kafka layer does for frames beyond the bound */
                conn_want(conn, n - conn_unread(conn));
            break;
        }
        struct request *r = request_take(free_list);
        if (!conn_slot_open(conn, &r->slot)) {
            list_push(free_list, &r->link);
            break;
        }
        int pieces = conn_take(conn, n, r->v, PIECES_MAX);
        check(pieces > 0);
        r->slot.answer = (struct slices){r->v, (uint32_t)pieces, n};
        conn_slot_finish(&r->slot);
        served++;
    }
    return served;
}

struct server {
    struct io *io;
    struct pages pages;
    struct timers timers;
    struct conns *conns;
    struct list free;
};

static void server_open(struct server *s, const struct run *run)
{
    struct uring_report report;
    struct conns_config config = {.conns_max = CONNS_MAX,
                                  .per_ip_max = CONNS_MAX,
                                  .recv_buffer_bytes = 16384,
                                  .recv_buffers_n = run->buffers_n};
    uint64_t bytes = MIB(256);
    void *region = mmap(NULL, bytes + PAGE_BLOCK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    void *headers = calloc(1, pages_header_bytes(bytes));
    check(region != MAP_FAILED && headers != NULL);
    pages_init(&s->pages, (void *)align_up((uintptr_t)region, PAGE_BLOCK), bytes, headers);
    timers_init(&s->timers, clock_read_ns());
    list_init(&s->free);
    if (uring_open(&s->io, 1024, &report) != 0) {
        fprintf(stderr, "%s\n", report.text);
        exit(77);
    }
    check(conns_init(&s->conns, &config, s->io, &s->pages, &s->timers) == 0);
    check(conns_listen(s->conns, &run->listener, run->listen_fd) == 0);
}

static int server_turn(struct server *s, struct now now, uint64_t *served)
{
    int n = io_poll(s->io);
    n += timers_run(&s->timers, now, 1000);
    for (struct conn *conn; (conn = conns_ready_next(s->conns)) != NULL;)
        if (!conn_is_closing(conn))
            *served += frames_serve(conn, &s->free);
    n += conns_send_ready(s->conns, now);
    n += io_poll(s->io);
    return n;
}

static void *server_conns(void *arg)
{
    struct run *run = arg;
    struct server *s = calloc(1, sizeof *s);
    uint64_t served = 0;
    check(s != NULL);
    server_open(s, run);
    while (!atomic_load_explicit(&run->is_over, memory_order_relaxed)) {
        run->turns_n++;
        if (server_turn(s, clock_read(), &served) == 0)
            io_wait(s->io, 10 * NS_PER_MS);
    }
    run->server_cpu_ns = cpu_ns();
    run->requests_n = served;
    run->enters_n = uring_stats(s->io)->enters_n;
    run->staged_bytes = conns_stats(s->conns)->staged_bytes;
    run->starved_n = conns_stats(s->conns)->starved_n;
    run->sends_n = conns_stats(s->conns)->sends_n;
    conns_stop(s->conns, 0);
    while (conns_count(s->conns) > 0)
        server_turn(s, clock_read(), &served);
    conns_fini(s->conns);
    uring_close(s->io);
    return NULL; /* the process keeps pages and requests: runs are few */
}

/* ── the server on epoll ── */

struct plain {
    int fd;
    uint64_t have;
    uint8_t *buffer; /* room for depth frames */
};

static void plain_write(int fd, const uint8_t *from, uint64_t n)
{
    while (n > 0) {
        ssize_t rc = send(fd, from, n, MSG_NOSIGNAL);
        if (rc <= 0)
            return; /* the client is gone */
        from += rc;
        n -= (uint64_t)rc;
    }
}

/* One read, then one write per whole frame: how most servers begin. */
static uint64_t plain_serve(struct plain *p, uint64_t room)
{
    uint64_t served = 0, at = 0;
    ssize_t rc = recv(p->fd, p->buffer + p->have, room - p->have, MSG_DONTWAIT);
    if (rc <= 0)
        return 0;
    p->have += (uint64_t)rc;
    while (p->have - at >= 4 && p->have - at >= 4 + (uint64_t)load_u32(p->buffer + at)) {
        uint64_t n = 4 + (uint64_t)load_u32(p->buffer + at);
        plain_write(p->fd, p->buffer + at, n);
        at += n;
        served++;
    }
    memmove(p->buffer, p->buffer + at, p->have - at);
    p->have -= at;
    return served;
}

static void plain_accept(int epoll_fd, int listen_fd, uint64_t room)
{
    struct plain *p = calloc(1, sizeof *p);
    check(p != NULL);
    p->buffer = malloc(room);
    p->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
    check(p->buffer != NULL && p->fd >= 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
    check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, p->fd, &event) == 0);
}

static void *server_epoll(void *arg)
{
    struct run *run = arg;
    struct epoll_event events[EVENTS_N];
    uint64_t served = 0, room = (uint64_t)run->depth * (run->frame_bytes + 4);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, run->listen_fd, &event) == 0);
    while (!atomic_load_explicit(&run->is_over, memory_order_relaxed)) {
        int n = epoll_wait(epoll_fd, events, EVENTS_N, 10);
        run->turns_n++;
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                plain_accept(epoll_fd, run->listen_fd, room);
            else
                served += plain_serve(events[i].data.ptr, room);
        }
    }
    run->server_cpu_ns = cpu_ns();
    run->requests_n = served;
    close(run->listen_fd);
    close(epoll_fd);
    return NULL; /* descriptors of connections end with the client's reset */
}

/* ── the client ── */

static int client_connect(const struct run *run)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(run->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Owner: the client thread. */
struct client {
    int fd;
    uint64_t to_send, to_read; /* bytes of the round */
};

static void client_step(struct client *c, const uint8_t *frames, uint64_t round_bytes,
                        uint8_t *sink)
{
    ssize_t rc = 1;
    while (c->to_read > 0 && rc > 0) {
        rc = recv(c->fd, sink, 1 << 20, MSG_DONTWAIT);
        c->to_read -= rc > 0 ? (uint64_t)rc : 0;
    }
    if (c->to_read == 0)
        c->to_read = c->to_send = round_bytes;
    while (c->to_send > 0) {
        rc = send(c->fd, frames + (round_bytes - c->to_send), c->to_send,
                  MSG_DONTWAIT | MSG_NOSIGNAL);
        if (rc <= 0)
            return;
        c->to_send -= (uint64_t)rc;
    }
}

static void *client_thread(void *arg)
{
    struct run *run = arg;
    uint64_t frame = run->frame_bytes + 4, bytes = frame * run->depth;
    uint8_t *frames = calloc(1, bytes), *sink = malloc(1 << 20);
    struct client *clients = calloc(run->conns_n, sizeof *clients);
    struct epoll_event events[EVENTS_N];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    check(frames != NULL && sink != NULL && clients != NULL);
    for (uint32_t i = 0; i < run->depth; i++)
        store_u32(frames + i * frame, run->frame_bytes);
    for (uint32_t i = 0; i < run->conns_n; i++) {
        clients[i].fd = client_connect(run);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.ptr = &clients[i]};
        check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, clients[i].fd, &event) == 0);
    }
    uint64_t from = clock_read_ns();
    while (clock_read_ns() - from < run->ns) {
        int n = epoll_wait(epoll_fd, events, EVENTS_N, 10);
        for (int i = 0; i < n; i++)
            client_step(events[i].data.ptr, frames, bytes, sink);
    }
    run->took_ns = clock_read_ns() - from;
    atomic_store_explicit(&run->is_over, true, memory_order_relaxed);
    for (uint32_t i = 0; i < run->conns_n; i++)
        close(clients[i].fd);
    close(epoll_fd);
    free(clients);
    free(frames);
    free(sink);
    return NULL;
}

static void run_one(struct run *run)
{
    pthread_t server, client;
    run->port = 0;
    snprintf(run->listener.host, sizeof run->listener.host, "127.0.0.1");
    check(listener_open(&run->listener, &run->listen_fd, &run->port) == 0);
    check(pthread_create(&server, NULL, run->is_epoll ? server_epoll : server_conns, run) == 0);
    pthread_setname_np(server, run->is_epoll ? "epoll" : "conns"); /* for perf --comm */
    check(pthread_create(&client, NULL, client_thread, run) == 0);
    pthread_join(client, NULL);
    pthread_join(server, NULL);
    double bytes = 2.0 * (double)run->requests_n * (run->frame_bytes + 4);
    printf("%-6s %5u conns x %2u of %7u B: %8.0f req/s %7.0f ns CPU/req %6.3f CPU-s/GB (in+out)",
           run->is_epoll ? "epoll" : "conns", run->conns_n, run->depth, run->frame_bytes,
           (double)run->requests_n * 1e9 / (double)run->took_ns,
           (double)run->server_cpu_ns / (double)run->requests_n,
           (double)run->server_cpu_ns / bytes);
    if (!run->is_epoll)
        printf("  %.2f enters/turn %.1f req/turn %.0f%% staged %lu starved",
               (double)run->enters_n / (double)run->turns_n,
               (double)run->requests_n / (double)run->turns_n,
               200.0 * (double)run->staged_bytes / bytes, (unsigned long)run->starved_n);
    printf("\n");
    fflush(stdout);
}

/* ── what an idle connection costs ── */

static uint64_t kib_of(const char *path, const char *word)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen(path, "re");
    check(f != NULL);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, word, strlen(word)) == 0)
            kib = strtoull(line + strlen(word), NULL, 10);
    fclose(f);
    return kib;
}

/* The client's ends are in this process too, so kernel memory is that of both ends. */
static void idle_cost(uint32_t conns_n)
{
    struct run run = {.conns_n = conns_n, .buffers_n = RECV_BUFFERS_N};
    struct server *s = calloc(1, sizeof *s);
    int *fds = calloc(conns_n, sizeof *fds);
    uint64_t served = 0;
    check(s != NULL && fds != NULL);
    snprintf(run.listener.host, sizeof run.listener.host, "127.0.0.1");
    check(listener_open(&run.listener, &run.listen_fd, &run.port) == 0);
    server_open(s, &run);
    for (int i = 0; i < 100; i++)
        server_turn(s, clock_read(), &served);
    uint64_t rss = kib_of("/proc/self/status", "VmRSS:"), slab = kib_of("/proc/meminfo", "Slab:");
    for (uint32_t i = 0; i < conns_n; i++) {
        fds[i] = client_connect(&run);
        server_turn(s, clock_read(), &served);
    }
    while (conns_count(s->conns) < conns_n)
        server_turn(s, clock_read(), &served);
    rss = kib_of("/proc/self/status", "VmRSS:") - rss;
    slab = kib_of("/proc/meminfo", "Slab:") - slab;
    uint64_t pages = s->pages.used_bytes, from = cpu_ns();
    for (int i = 0; i < 1000; i++)
        server_turn(s, clock_read(), &served);
    printf("idle   %5u conns: %lu B of ours each, %lu B of kernel slabs (both ends), %lu B pages, "
           "%lu ns a turn\n",
           conns_n, (unsigned long)(rss * 1024 / conns_n), (unsigned long)(slab * 1024 / conns_n),
           (unsigned long)pages, (unsigned long)((cpu_ns() - from) / 1000));
    for (uint32_t i = 0; i < conns_n; i++)
        close(fds[i]);
    conns_stop(s->conns, 0);
    while (conns_count(s->conns) > 0) {
        server_turn(s, clock_read(), &served);
    }
    conns_fini(s->conns);
    uring_close(s->io);
    free(fds);
}

int main(int argc, char **argv)
{
    static const struct run runs[] = {
        {.conns_n = 1, .depth = 1, .frame_bytes = 100},
        {.conns_n = 64, .depth = 1, .frame_bytes = 100},
        {.conns_n = 64, .depth = 16, .frame_bytes = 100},
        {.conns_n = 1000, .depth = 1, .frame_bytes = 100},
        {.conns_n = 1, .depth = 4, .frame_bytes = 65532},
        {.conns_n = 64, .depth = 1, .frame_bytes = 65532},
        {.conns_n = 1, .depth = 1, .frame_bytes = 1 << 20},
        {.conns_n = 4, .depth = 2, .frame_bytes = 1 << 20},
    };
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 1.0;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (argc <= 2 || (int)strtol(argv[2], NULL, 10) == (int)array_n(runs))
        idle_cost(limit.rlim_max >= 20100 ? CONNS_MAX : (uint32_t)limit.rlim_max / 2 - 50);
    for (size_t i = 0; i < array_n(runs); i++) {
        if (argc > 2 && (size_t)(int)strtol(argv[2], NULL, 10) != i)
            continue;
        for (int is_epoll = 0; is_epoll < 2; is_epoll++) {
            struct run *run = malloc(sizeof *run);
            check(run != NULL);
            *run = runs[i];
            run->is_epoll = is_epoll;
            run->buffers_n = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : RECV_BUFFERS_N;
            run->ns = (uint64_t)(seconds * 1e9);
            run_one(run);
            free(run);
        }
    }
    return 0;
}
