/*
 * port_eal.c - starts DPDK's environment for our ports, and nothing more of it.
 *
 * Owner: main, once in a process.
 *
 * Memory: huge pages with --in-memory (nothing is left in a hugetlbfs), or --no-huge; never both.
 * Of PCI devices only those that are ports are looked at, and none when no port is one. No
 * telemetry, no secondary process, a prefix of our own. EAL pins the calling thread to a core; that
 * is undone.
 *
 * What EAL says on the way is kept, and shown when it fails.
 */
#include "port_inside.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARGS_MAX = 24 + 2 * PORTS_MAX, ARG_N = PORT_NAME_MAX + PORT_TEXT_MAX + 16 };

/* The command line of EAL. Owner: port_eal_start. */
struct args {
    int n;
    char text[ARGS_MAX][ARG_N];
    char *v[ARGS_MAX + 1];
};

printf_like(2, 3) static void arg(struct args *a, const char *format, ...)
{
    va_list args;

    check(a->n < ARGS_MAX);
    va_start(args, format);
    vsnprintf(a->text[a->n], ARG_N, format, args);
    va_end(args);
    a->v[a->n] = a->text[a->n];
    a->n++;
}

static void args_make(struct args *a, const struct ports_config *config, uint64_t memory_bytes,
                      bool use_huge)
{
    bool has_pci = false;

    a->n = 0;
    arg(a, "millraced");
    arg(a, "--no-telemetry");
    arg(a, "--no-shconf");
    arg(a, "--file-prefix=millrace-%d", (int)getpid());
    arg(a, use_huge ? "--in-memory" : "--no-huge");
    arg(a, "-m");
    arg(a, "%llu", (unsigned long long)(memory_bytes >> 20));
    arg(a, "--lcores=0@(0-%ld)", sysconf(_SC_NPROCESSORS_CONF) - 1);
    arg(a, "--log-level=lib.*:notice");
    for (uint32_t i = 0; i < config->ports_n; i++) {
        const struct port_config *p = &config->ports[i];
        bool is_pci = port_is_pci(p->name);
        has_pci |= is_pci;
        arg(a, is_pci ? "--allow" : "--vdev");
        arg(a, "%s%s%s", p->name, p->devargs[0] != 0 ? "," : "", p->devargs);
    }
    if (!has_pci)
        arg(a, "--no-pci");
    a->v[a->n] = NULL;
}

/* The last lines EAL said, on one line. */
static void said(const char *log, char *to, size_t to_n)
{
    size_t n = strlen(log), from = n > to_n / 2 ? n - to_n / 2 : 0, at = 0;

    for (; from < n && at + 1 < to_n; from++)
        to[at++] = log[from] == '\n' ? ' ' : log[from];
    to[at] = 0;
}

int port_eal_start(const struct ports_config *config, uint64_t memory_bytes, bool use_huge,
                   char *why, size_t why_n)
{
    struct args *a = calloc(1, sizeof *a);
    char *log = NULL, text[PORT_WHY_MAX / 2];
    size_t log_n = 0;
    FILE *stream = open_memstream(&log, &log_n);
    cpu_set_t cpus;

    if (a == NULL || stream == NULL) {
        free(a);
        if (stream != NULL)
            fclose(stream);
        free(log);
        return E_NO_MEMORY;
    }
    args_make(a, config, memory_bytes, use_huge);
    sched_getaffinity(0, sizeof cpus, &cpus);
    rte_openlog_stream(stream);
    int rc = rte_eal_init(a->n, a->v);
    int error = rte_errno;
    sched_setaffinity(0, sizeof cpus, &cpus);
    rte_openlog_stream(stderr);
    rte_log_set_level_pattern("*", RTE_LOG_ERR);
    fclose(stream);
    if (rc < 0) {
        said(log, text, sizeof text);
        snprintf(why, why_n, "DPDK does not start: %s; it said: %s", rte_strerror(error), text);
    }
    free(log);
    free(a);
    return rc < 0 ? E_UNSUPPORTED : 0;
}

void port_eal_stop(void)
{
    rte_eal_cleanup();
}
