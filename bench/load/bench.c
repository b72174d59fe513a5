/*
 * bench.c - `millrace bench`: options, set-up, steps, report.
 *
 * Owner: the generator's thread.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "cli.h"
#include "load.h"
#include "wire.h"

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (cpu >= 0 && sched_setaffinity(0, sizeof set, &set) != 0)
        fprintf(stderr, "millrace bench: core %d is not available; running unpinned\n", cpu);
}

static void results_free(struct load_result *results, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        free((void *)results[i].produce.counts); /* the three histograms are one piece */
        free(results[i].seconds_v);
    }
}

static int report(const struct load_options *o, const struct load_host *host,
                  const struct load_result *results, uint32_t n)
{
    int rc = 0;
    load_report_text(stdout, o, host, results, n);
    if (o->json_path != NULL && load_report_json(o->json_path, o, host, results, n) != 0)
        rc = 1;
    if (o->html_path != NULL && load_report_html(o->html_path, o, host, results, n) != 0)
        rc = 1;
    for (uint32_t i = 0; i < n && rc == 0; i++)
        rc = load_is_complete(&results[i]) ? 0 : LOAD_EXIT_INCOMPLETE;
    return rc;
}

static int run(const struct load_options *o, const struct load_host *host)
{
    static_assert(sizeof(struct load_result) * LOAD_STEPS_MAX < 64 * 1024,
                  "the results fit a small piece");
    struct load_result *results = calloc(LOAD_STEPS_MAX, sizeof *results);
    struct load *l = NULL;
    struct wire *wire = NULL;
    uint32_t n = 0;
    int rc = o->port.name[0] != 0 ? wire_port_new(&wire, o) : wire_kernel_new(&wire);
    if (rc == 0)
        rc = results == NULL ? E_NO_MEMORY : load_new(&l, o, wire);
    for (; rc == 0 && n < o->rates_n; n++)
        rc = load_run_step(l, o->rates[n], o->warmup_s, o->duration_s, &results[n]);
    bool is_set_up = l != NULL && load_is_set_up(l);
    int code = 1;
    if (rc == 0)
        code = report(o, host, results, n);
    else if (is_set_up) /* before, load_setup has said it */
        fprintf(stderr, "millrace bench: %s; no result is reported\n",
                load_why(l)[0] != 0 ? load_why(l) : error_text(rc));
    results_free(results, n);
    free(results);
    load_free(l);
    if (!o->keep_topic && is_set_up)
        load_teardown(o, wire);
    if (wire != NULL)
        wire->ops->free(wire);
    return code;
}

/* The generator against a server that does nothing: what it can reach on one core. */
static int ceiling(struct load_options *o, const struct load_host *host)
{
    char address[32];
    uint16_t port;
    int pid;
    if (null_server_start(&port, &pid, o->cpu == 0 ? 1 : 0) != 0) {
        fprintf(stderr, "millrace bench: the null server does not start\n");
        return 1;
    }
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    o->bootstrap = address;
    o->keep_topic = true;
    o->broker_pid = pid;
    int code = run(o, host);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return code;
}

int bench_command(struct cli *cli, int argc, char **argv)
{
    struct load_options o;
    struct load_host host;
    int rc = load_options_parse(&o, cli->bootstrap, argc, argv);
    if (rc != 0)
        return rc < 0 ? 0 : rc;
    pin(o.cpu);
    load_host_read(&host);
    return o.is_ceiling ? ceiling(&o, &host) : run(&o, &host);
}
