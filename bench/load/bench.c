/*
 * bench.c - `millrace bench`: options, set-up, steps, report.
 *
 * Owner: the generator's thread.
 */
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "load.h"

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

static int report(const struct load_options *o, const struct load_host *host, const struct load_result *results,
                  uint32_t n)
{
    int rc = 0;
    load_report_text(stdout, o, host, results, n);
    if (o->json_path != NULL && load_report_json(o->json_path, o, host, results, n) != 0)
        rc = 1;
    if (o->html_path != NULL && load_report_html(o->html_path, o, host, results, n) != 0)
        rc = 1;
    return rc;
}

static int run(const struct load_options *o, const struct load_host *host)
{
    struct load_result results[LOAD_STEPS_MAX];
    struct load *l;
    uint32_t n = 0;
    int rc = load_new(&l, o);
    for (; rc == 0 && n < o->rates_n; n++)
        rc = load_run_step(l, o->rates[n], o->warmup_s, o->duration_s, &results[n]);
    int code = 1;
    if (rc == 0)
        code = report(o, host, results, n);
    else
        fprintf(stderr, "millrace bench: %s; no result is reported\n", error_text(rc));
    results_free(results, n);
    load_free(l);
    if (!o->keep_topic)
        load_teardown(o);
    return code;
}

int bench_main(int argc, char **argv)
{
    struct load_options o;
    struct load_host host;
    int rc = load_options_parse(&o, argc, argv);
    if (rc != 0)
        return rc < 0 ? 0 : rc;
    pin(o.cpu);
    load_host_read(&host);
    return run(&o, &host);
}
