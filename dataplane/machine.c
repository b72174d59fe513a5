/*
 * machine.c - what the broker stands on when it is not simulated.
 *
 * Owner: main.
 *
 * Memory is reserved at boot and touched when it is used, in huge pages where the kernel has them,
 * so a broker with little to do is small. With dataplane.poll=always (a machine of its own) it is
 * touched at boot and registered with io_uring: no page fault and no pinning on the data path.
 */
#include "machine.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "thread.h"

enum { RING_ENTRIES = 2048 };

#define PORTS_LIBRARY "millrace-dpdk.so"

/* ── memory ── */

static void *memory_take(void *context, uint64_t bytes)
{
    const struct machine *m = context;
    uint64_t room = bytes + PAGE_BLOCK;
    uint8_t *p = mmap(NULL, room, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *base;

    if (p == MAP_FAILED)
        return NULL;
    base = (uint8_t *)align_up((uintptr_t)p, PAGE_BLOCK);
    if (base > p)
        munmap(p, (size_t)(base - p));
    if (p + room > base + bytes)
        munmap(base + bytes, (size_t)(p + room - (base + bytes)));
    /* Both are wishes: without them the same memory is merely slower. In huge pages a run of a log
     * is few segments to the device (16 for 1 MiB, not 256, as many as a virtio queue holds). */
    madvise(base, bytes, MADV_HUGEPAGE);
    if (m->is_pinned_memory)
        madvise(base, bytes, MADV_POPULATE_WRITE);
    return base;
}

static void memory_put(void *context, void *memory, uint64_t bytes)
{
    (void)context;
    munmap(memory, bytes);
}

/* ── io ── */

static struct io *io_open(void *context, uint8_t thread, char *why, size_t why_n)
{
    struct machine *m = context;
    struct io *io = NULL;
    int rc = uring_open(&io, RING_ENTRIES, &m->report);

    if (rc != 0) {
        snprintf(why, why_n, "io_uring for thread %d: %s", thread,
                 m->report.text[0] != 0 ? m->report.text : error_text(rc));
        return NULL;
    }
    if (m->has_helper_cpus)
        uring_helper_cpus_set(io, &m->helper_cpus);
    m->rings_n++;
    return io;
}

static void io_close(void *context, uint8_t thread, struct io *io)
{
    (void)context;
    (void)thread;
    uring_close(io);
}

void machine_helper_cpus(struct machine *m, const int *cpus, int cpus_n)
{
    if (cpus_n == 0)
        return;
    sched_getaffinity(0, sizeof m->helper_cpus, &m->helper_cpus);
    for (int i = 0; i < cpus_n; i++)
        if (CPU_COUNT(&m->helper_cpus) > 1)
            CPU_CLR(cpus[i], &m->helper_cpus);
    m->has_helper_cpus = true;
}

void machine_register(struct machine *m, struct broker *b)
{
    for (uint8_t i = 0; i < b->workers_n && m->is_pinned_memory; i++) {
        struct pages *pages = &b->workers[i]->log_pages;
        if (uring_memory_register(b->workers[i]->io, pages->base, pages->bytes, &m->report) != 0)
            return; /* report says why; it is printed */
    }
}

/* ── addresses ── */

static const char *listener_fault(int rc)
{
    if (rc == E_IN_USE)
        return "the port is in use by another process";
    if (rc == E_DENIED)
        return "the system does not allow it (ports below 1024 need CAP_NET_BIND_SERVICE)";
    return rc == E_INVALID ? "the host is not an address of this machine" : error_text(rc);
}

/* After a SIGKILL the kernel takes the dead process's rings down, and with them its listening
 * sockets, a moment after the process has gone: a restart at once would find its port in use. */
static int listener_probe_patiently(const struct listener *l, uint16_t *port)
{
    const int tries_n = 40, try_ms = 50;
    int rc = listener_probe(l, port);

    for (int i = 0; i < tries_n && rc == E_IN_USE; i++) {
        (void)poll(NULL, 0, try_ms);
        rc = listener_probe(l, port);
    }
    return rc;
}

static int listeners_check(void *context, struct listener *listeners, uint32_t n, char *why,
                           size_t why_n)
{
    (void)context;
    for (uint32_t i = 0; i < n; i++) {
        struct listener *l = &listeners[i];
        uint16_t port = l->port;
        if (l->native != 0) {
            if (l->advertised_port == 0)
                l->advertised_port = port;
            continue;
        }
        int rc = listener_probe_patiently(l, &port);
        if (rc != 0) {
            snprintf(why, why_n, "cannot listen on %s://%s:%u: %s", l->name, l->host, l->port,
                     listener_fault(rc));
            return rc;
        }
        if (l->advertised_port == 0)
            l->advertised_port = port;
        l->port = port;
    }
    return 0;
}

int machine_listen(struct broker *b)
{
    for (uint32_t i = 0; i < b->listeners_n; i++) {
        struct listener *l = &b->listeners[i];
        for (uint8_t k = 0; l->native == 0 && k < b->workers_n; k++) {
            int fd = -1;
            int rc = listener_open(l, &fd, &l->port);
            if (rc == 0)
                rc = conns_listen(b->workers[k]->conns, l, fd);
            if (rc == 0)
                continue;
            snprintf(b->why, sizeof b->why, "cannot listen on %s://%s:%u: %s", l->name, l->host,
                     l->port, listener_fault(rc));
            return rc;
        }
    }
    return 0;
}

/* ── ports ── */

/* Beside this program, so that it is the one that was built with it. */
static const struct port_driver *port_driver_find(void *context, char *why, size_t why_n)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof PORTS_LIBRARY - 1);

    (void)context;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n < 0)
        n = 0;
    memcpy(path + n, PORTS_LIBRARY, sizeof PORTS_LIBRARY);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct port_driver *driver = library == NULL ? NULL : dlsym(library, PORT_DRIVER_SYMBOL);
    if (driver == NULL)
        snprintf(
            why, why_n,
            "dpdk.ports needs %.200s, which is built where libdpdk-dev is: tools/setup && make "
            "(%.150s)",
            path, dlerror());
    return driver;
}

/* ── limits ── */

static uint64_t descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            limit.rlim_cur = before;
    }
    return limit.rlim_cur == RLIM_INFINITY ? 1u << 30 : limit.rlim_cur;
}

static uint32_t cpus_usable(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

static uint64_t seed_read(void)
{
    uint64_t seed;

    /* Without the kernel's randomness two boots must still differ. */
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = clock_read_ns() ^ (uint64_t)getpid() << 32;
    return seed;
}

void machine_seams(struct machine *m, struct broker_seams *seams)
{
    long pages_n = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);

    *seams = (struct broker_seams){
        .disk = disk_posix(),
        .io_open = io_open,
        .io_close = io_close,
        .memory_take = memory_take,
        .memory_put = memory_put,
        .listeners_check = listeners_check,
        .port_driver = port_driver_find,
        .each = threads_each,
        .context = m,
        .seed = seed_read(),
        .ticks = clock_read_ticks,
        .now = clock_read(),
        .cpus_n = cpus_usable(),
        .descriptors_max = descriptors_raise(),
        .memory_bytes =
            pages_n > 0 && page_bytes > 0 ? (uint64_t)pages_n * (uint64_t)page_bytes : 0,
    };
}

void machine_print(const struct machine *m, FILE *to)
{
    const struct uring_report *r = &m->report;

    fprintf(
        to,
        "transport kernel sockets through io_uring (%u rings): single issuer %s, deferred work %s, "
        "registered memory %s, io workers pinned %s\n",
        m->rings_n, r->has_single_issuer ? "yes" : "no", r->has_defer_taskrun ? "yes" : "no",
        r->has_memory         ? "yes"
        : m->is_pinned_memory ? "refused"
                              : "not asked",
        m->has_helper_cpus ? "yes" : "not asked");
    if (r->text[0] != 0)
        fprintf(to, "transport %s\n", r->text);
}

/* /sys/dev/block/<major>:<minor> is a link to .../<name>; tmpfs and the like have none. */
void machine_devices(struct broker *b)
{
    for (uint8_t i = 0; i < b->dirs_n; i++) {
        char link[64], to[PATH_MAX];
        struct stat s;
        if (!b->dirs[i].is_online || stat(b->dirs[i].path, &s) != 0)
            continue;
        snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(s.st_dev), minor(s.st_dev));
        ssize_t n = readlink(link, to, sizeof to - 1);
        if (n <= 0)
            continue;
        to[n] = 0;
        const char *name = strrchr(to, '/');
        snprintf(b->dirs[i].device, sizeof b->dirs[i].device, "%.31s",
                 name == NULL ? to : name + 1);
    }
}
