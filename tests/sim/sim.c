/*
 * sim.c - runs the broker from a seed: time, turns, crashes, and the verdict.
 *
 *   sim [--seeds N] [--seed S] [--workers N] [--relaxed] [--faults] [--group] [--net] [--compact]
 *       [--pack] [--no-journal] [--plant NAME] [--canary] [--run-ms MS] [--verbose]
 *   sim --admin[=NAME] [--seed S] [--at N] [--cut kill|power]      (admin.c)
 *
 * Owner: one thread. Every choice comes from the seed; a failing seed prints the line that replays
 * it.
 *
 * One step: time moves by up to 200 us (or to the next disk completion), then the broker's threads
 * and the clients take turns in a random order, some not at all: a slow thread is a thread that was
 * not chosen.
 *
 * One run: load with up to `crashes_max` crashes; drain (producers finish); everything is read once
 * more from offset 0 and compared with the model; clean stop, start, and the same once more.
 * One seed in three has three log directories.
 */
#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"
#include "member.h"
#include "operator.h"
#include "plog.h"

enum {
    SIM_STEPS_MAX = 2000000,
    CANARY_SEEDS = 120,
    SIM_RETENTION_MS = 150,
    SIM_RETENTION_BYTES = 30000,
};

#define SIM_RUN_NS         (NS_PER_S / 2)
#define SIM_COMPACT_RUN_NS (3 * NS_PER_S) /* the broker looks at its logs every 100 ms */

bool sim_fail(struct sim *s, const char *format, ...)
{
    va_list args;
    if (s->why[0] != 0)
        return false;
    va_start(args, format);
    vsnprintf(s->why, sizeof s->why, format, args);
    va_end(args);
    return false;
}

/* ── the seams ── */

static struct io *seam_io_open(void *context, uint8_t thread, char *why, size_t why_n)
{
    struct sim *s = context;
    (void)thread;
    (void)why;
    (void)why_n;
    return sim_disk_io(s->disk);
}

static void seam_io_close(void *context, uint8_t thread, struct io *io)
{
    (void)context; /* the disk forgets its ios at the next crash */
    (void)thread;
    (void)io;
}

/* Mapped, so that what is never touched costs nothing: a run boots the broker many times. */
static void *seam_memory_take(void *context, uint64_t bytes)
{
    uint8_t *all = mmap(NULL, bytes + PAGE_BLOCK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)context;
    if (all == MAP_FAILED)
        return NULL;
    uint8_t *memory = (uint8_t *)align_up((uintptr_t)all, PAGE_BLOCK);
    if (memory > all)
        munmap(all, (size_t)(memory - all));
    if (memory + bytes < all + bytes + PAGE_BLOCK)
        munmap(memory + bytes, (size_t)(all + PAGE_BLOCK - memory));
    return memory;
}

static void seam_memory_put(void *context, void *memory, uint64_t bytes)
{
    (void)context;
    munmap(memory, bytes);
}

static const struct port_driver *seam_port_driver(void *context, char *why, size_t why_n)
{
    (void)context;
    (void)why;
    (void)why_n;
    return &sim_net_driver;
}

/* ── a bad disk ── */

/* One of the next operations fails. */
static void sim_fault_arm(struct sim *s)
{
    static const enum sim_fault faults[] = {SIM_FAULT_EIO, SIM_FAULT_ENOSPC, SIM_FAULT_ENOSPC,
                                            SIM_FAULT_SHORT};
    enum sim_fault fault = faults[prng_below(&s->prng, array_n(faults))];
    s->is_fault_armed = true;
    s->counts.faults++;
    sim_disk_fail_at(s->disk, 1 + prng_below(&s->prng, 30), fault);
    if (s->options.is_verbose)
        fprintf(stderr, "  %8.3f s: a disk operation will fail: %s\n", (double)s->now.ns / NS_PER_S,
                fault == SIM_FAULT_EIO      ? "EIO"
                : fault == SIM_FAULT_ENOSPC ? "ENOSPC"
                                            : "short");
}

static void sim_fault_disarm(struct sim *s)
{
    s->is_fault_armed = false;
    sim_disk_fail_at(s->disk, 0, SIM_FAULT_EIO);
}

/* ── starting, stopping, crashing ── */

bool sim_start(struct sim *s)
{
    struct broker_seams seams = {
        .disk = sim_disk_disk(s->disk),
        .io_open = seam_io_open,
        .io_close = seam_io_close,
        .memory_take = seam_memory_take,
        .memory_put = seam_memory_put,
        .port_driver = seam_port_driver,
        .context = s,
        .seed = prng_next(&s->prng),
        .now = s->now,
        .cpus_n = 2,
        .descriptors_max = 4000,
        .is_single_threaded = true,
    };
    thread_self = NULL;
    s->broker = calloc(1, sizeof *s->broker);
    check(s->broker != NULL);
    int rc = broker_boot(s->broker, s->config, &seams, NULL);
    if (rc != 0 && s->is_fault_armed) { /* a start may fail on a bad disk; the next must not */
        sim_fault_disarm(s);
        sim_disk_halt(s->disk);
        sim_disk_crash(s->disk, SIM_KILL);
        seams.seed = prng_next(&s->prng);
        rc = broker_boot(s->broker, s->config, &seams, NULL);
    }
    if (rc == 0)
        return true;
    sim_fail(s, "the broker does not start: %s", s->broker->why);
    free(s->broker);
    s->broker = NULL;
    return false;
}

static void sim_count(struct sim *s)
{
    for (uint8_t i = 0; i < s->broker->workers_n; i++) {
        const struct worker *w = s->broker->workers[i];
        for (uint8_t d = 0; d < w->stores_n; d++)
            if (w->stores[d] != NULL) {
                const struct store_stats *stats = store_stats(w->stores[d]);
                s->counts.compactions += stats->compactions;
                s->counts.rolls += stats->rolls;
                s->counts.logs_failed += stats->logs_failed_n;
                s->counts.dirs_failed += i == 0 && w->stores[d]->is_offline;
                s->moved_n += stats->moves;
            }
    }
    s->counts.logs_cut += s->broker->recovery.logs_cut_n;
}

void sim_down(struct sim *s, enum sim_crash kind)
{
    thread_self = NULL;
    sim_count(s);
    sim_disk_halt(s->disk);
    broker_fini(s->broker);
    free(s->broker);
    s->broker = NULL;
    for (uint32_t i = 0; i < s->clients_n; i++)
        client_broker_gone(s, s->clients[i]);
    if (s->operator!= NULL)
        operator_broker_gone(s, s->operator);
    for (uint32_t i = 0; i < s->members_n; i++)
        member_broker_gone(s->members[i]);
    sim_disk_crash(s->disk, kind);
    plant_crash(s);
    if (kind == SIM_POWER)
        model_power_cut(s);
}

/* Restarts after a crash; crashes again while starting now and then (recovery must survive that,
 * too). */
static bool sim_crash(struct sim *s)
{
    bool is_relaxed = s->options.durability == STORE_RELAXED;
    enum sim_crash kind = is_relaxed || prng_chance(&s->prng, 50) ? SIM_KILL : SIM_POWER;
    s->crashes_n++;
    s->counts.kills += kind == SIM_KILL;
    s->counts.power_cuts += kind == SIM_POWER;
    if (s->options.is_verbose)
        fprintf(stderr, "  %8.3f s: %s\n", (double)s->now.ns / NS_PER_S,
                kind == SIM_KILL ? "kill" : "power cut");
    sim_down(s, kind);
    if (s->options.is_verbose)
        sim_disk_print(s->disk, stderr);
    while (prng_chance(&s->prng, 20)) {
        if (!sim_start(s))
            return false;
        sim_down(s, kind);
    }
    return sim_start(s);
}

/* `between`: what happens while the broker is down; NULL: nothing. */
static bool sim_stop_clean(struct sim *s, bool (*between)(struct sim *s))
{
    thread_self = NULL;
    int rc = broker_close(s->broker);
    if (rc != 0)
        return sim_fail(s, "the clean stop failed: %s", error_text(rc));
    sim_down(s, SIM_KILL);
    return (between == NULL || between(s)) && sim_start(s);
}

/* ── a step ── */

static void sim_time(struct sim *s)
{
    uint64_t ns = 1000 + prng_below(&s->prng, 200 * NS_PER_US);
    uint64_t next = sim_disk_next_ns(s->disk);
    if (next != UINT64_MAX && next > s->now.ns && prng_chance(&s->prng, 50))
        ns = min_u64(next - s->now.ns, 5 * NS_PER_MS);
    s->now.ns += ns;
    s->now.wall_ms = 1700000000000ll + (int64_t)(s->now.ns / NS_PER_MS);
    sim_disk_clock(s->disk, s->now.ns, s->now.wall_ms);
    if (s->net != NULL)
        sim_net_clock(s->net, s->now);
}

bool sim_step(struct sim *s)
{
    uint8_t threads_n = broker_threads_n(s->broker);
    sim_time(s);
    plant_step(s);
    for (uint8_t i = 0; i < threads_n; i++) {
        uint8_t thread = (uint8_t)prng_below(&s->prng, threads_n);
        thread_self = broker_self(s->broker, thread);
        broker_turn(s->broker, thread, s->now);
        s->turns_n++;
    }
    thread_self = NULL;
    if (s->net != NULL)
        sim_net_turn(s->net, s->now);
    if (s->operator!= NULL &&(!operator_turn(s, s->operator) || s->why[0] != 0))
        return false;
    for (uint32_t i = 0; i < s->clients_n; i++) {
        struct sim_client *c = s->clients[prng_below(&s->prng, s->clients_n)];
        if (!client_turn(s, c) || s->why[0] != 0)
            return false;
    }
    for (uint32_t i = 0; i < s->members_n; i++)
        if (!member_turn(s, s->members[prng_below(&s->prng, s->members_n)]) || s->why[0] != 0)
            return false;
    return true;
}

/* ── the parts of a run ── */

/* One member is killed and comes back as another, one stands still for two sessions, the fourth
 * (it was silent so far) is added: at random times of the run. */
static void group_script(struct sim *s)
{
    if (!s->options.has_group || s->group_events == 3 || prng_below(&s->prng, 500) != 0)
        return;
    if (s->group_events == 0)
        member_die(s, s->members[0], s->now.ns + prng_below(&s->prng, 200 * NS_PER_MS));
    else if (s->group_events == 1)
        member_pause(s, s->members[1], 120 * NS_PER_MS);
    else
        member_die(s, s->members[3], s->now.ns);
    s->group_events++;
}

static bool sim_load(struct sim *s)
{
    uint64_t end_ns = s->now.ns + s->options.run_ns;
    uint32_t left = s->options.crashes_max;
    while (s->now.ns < end_ns) {
        if (!sim_step(s))
            return false;
        group_script(s);
        if (s->options.has_faults && prng_below(&s->prng, 400) == 0)
            sim_fault_arm(s);
        if (left > 0 && prng_below(&s->prng, 1500) == 0) {
            left--;
            if (!sim_crash(s))
                return false;
        }
    }
    return true;
}

static bool all_done(const struct sim *s, bool are_producers)
{
    if (!operator_is_done(s, s->operator))
        return false;
    for (uint32_t i = 0; i < s->clients_n; i++)
        if ((client_role(s->clients[i]) != SIM_CONSUMER) == are_producers &&
            !client_is_done(s, s->clients[i]))
            return false;
    return true;
}

static bool sim_until_done(struct sim *s, bool are_producers, const char *what)
{
    for (uint64_t i = 0; i < SIM_STEPS_MAX / 10; i++) {
        if (all_done(s, are_producers))
            return true;
        if (!sim_step(s))
            return false;
    }
    return sim_fail(s, "%s are not done after %d steps", what, SIM_STEPS_MAX / 10);
}

/* The group has committed everything there is: with the model's rules, every record was processed.
 */
static bool group_is_done(const struct sim *s)
{
    for (uint32_t t = 0; s->members_n > 0 && t < s->topics_n; t++)
        for (int32_t p = 0; s->topics[t].is_created && p < s->topics[t].partitions_n; p++)
            if (s->group_committed[t][p] < s->topics[t].logs[p].acked_end)
                return false;
    return true;
}

static bool group_until_done(struct sim *s)
{
    for (uint64_t i = 0; i < SIM_STEPS_MAX / 10; i++) {
        if (group_is_done(s))
            return true;
        if (!sim_step(s))
            return false;
    }
    return sim_fail(s, "the group has not committed everything after %d steps", SIM_STEPS_MAX / 10);
}

static struct sim_client *sim_reader(const struct sim *s)
{
    struct sim_client *reader = NULL;
    for (uint32_t i = 0; i < s->clients_n; i++)
        if (client_role(s->clients[i]) == SIM_CONSUMER)
            reader = s->clients[i];
    return reader;
}

/* Everything is read from the beginning and compared. */
static bool sim_verify(struct sim *s)
{
    const struct sim_client *reader = sim_reader(s);
    for (uint32_t i = 0; i < s->clients_n; i++)
        if (client_role(s->clients[i]) == SIM_CONSUMER)
            client_rewind(s->clients[i]);
    model_rewind(s);
    if (!sim_until_done(s, false, "consumers"))
        return false;
    for (uint32_t t = 0; t < s->topics_n; t++)
        for (int32_t p = 0; s->topics[t].is_created && p < s->topics[t].partitions_n; p++)
            if (!model_check_end(s, t, p, client_start(reader, t, p),
                                 client_position(reader, t, p)))
                return false;
    return true;
}

static bool logs_cut(struct sim *s)
{
    const struct sim_client *reader = sim_reader(s);
    for (uint32_t t = 0; t < s->topics_n; t++)
        for (int32_t p = 0; !s->topics[t].is_compacted && p < s->topics[t].partitions_n; p++)
            if (prng_chance(&s->prng, 50) && !operator_truncate(s, t, p, client_start(reader, t, p),
                                                                client_position(reader, t, p)))
                return false;
    return true;
}

/* Logs are cut as those of a follower are; what is left stays, after a crash, too. */
static bool sim_truncate(struct sim *s)
{
    return sim_stop_clean(s, logs_cut) && sim_verify(s) && sim_crash(s) && sim_verify(s);
}

static bool sim_script(struct sim *s)
{
    if (!sim_start(s) || !sim_load(s))
        return false;
    if (s->options.has_faults) { /* a log that failed takes appends again after a restart */
        sim_fault_disarm(s);
        if (!sim_crash(s))
            return false;
    }
    s->is_draining = true;
    if (!sim_until_done(s, true, "producers") || !sim_verify(s) || !group_until_done(s))
        return false;
    if (!sim_crash(s) || !sim_verify(s))
        return false;
    if (!sim_stop_clean(s, NULL) || !sim_verify(s))
        return false;
    return !s->options.has_changes || sim_truncate(s);
}

/* ── one seed ── */

struct sim *sim_new(const struct sim_options *options)
{
    static const enum sim_role roles[] = {SIM_IDEMPOTENT_PRODUCER, SIM_CONSUMER, SIM_PRODUCER,
                                          SIM_IDEMPOTENT_PRODUCER, SIM_PRODUCER, SIM_CONSUMER};
    struct sim *s = calloc(1, sizeof *s);
    check(s != NULL);
    s->options = *options;
    s->session_ms = options->has_net ? SESSION_NET_MS : SESSION_MS;
    prng_init(&s->prng, options->seed);
    s->now = (struct now){NS_PER_S, 1700000000000ll};
    s->disk = sim_disk_new(prng_next(&s->prng), 2 * NS_PER_MS);
    sim_disk_plant(s->disk, options->plant);
    sim_disk_has_no_sync_all(s->disk, options->seed % 7 == 0);
    sim_disk_clock(s->disk, s->now.ns, s->now.wall_ms);
    if (options->has_net)
        s->net = sim_net_new(prng_next(&s->prng), s->now);
    configure(s);
    s->topics_n = 1 + (uint32_t)prng_below(&s->prng, SIM_TOPICS_MAX);
    for (uint32_t t = 0; t < s->topics_n; t++) {
        snprintf(s->topics[t].name, sizeof s->topics[t].name, "topic%u", t);
        s->topics[t].partitions_n = 1 + (int32_t)prng_below(&s->prng, SIM_PARTITIONS_MAX);
        s->topics[t].retention_ms = s->topics[t].retention_bytes = -1;
    }
    s->topics[s->topics_n - 1].is_compacted = options->is_compacting;
    for (uint32_t t = 0; options->has_changes && t < s->topics_n; t++) {
        if (!s->topics[t].is_compacted && (options->seed + t) % 4 == 1)
            s->topics[t].retention_ms = SIM_RETENTION_MS;
        if (!s->topics[t].is_compacted && (options->seed + t) % 4 == 2)
            s->topics[t].retention_bytes = SIM_RETENTION_BYTES;
    }
    for (uint32_t t = 0; t < s->topics_n; t++)
        s->topics[t].codec = !options->is_packing || (t + options->seed) % 6 == CODECS_N
                                 ? CODEC_PRODUCER
                                 : (uint8_t)((t + options->seed) % 6);
    s->clients_n = 2 + (uint32_t)prng_below(&s->prng, array_n(roles) - 1);
    s->clients_n = options->is_admin ? 0 : s->clients_n;
    for (uint32_t i = 0; i < s->clients_n; i++)
        s->clients[i] = client_new(s, i, roles[i]);
    s->members_n =
        options->has_group ? SIM_MEMBERS_MAX : (uint32_t)prng_below(&s->prng, SIM_MEMBERS_MAX + 1);
    if (options->is_admin || options->has_changes)
        s->members_n = 0;
    s->operator= options->is_admin ? NULL : operator_new();
    s->group_kind = (uint8_t)prng_below(&s->prng, SIM_KINDS_N);
    for (uint32_t i = 0; i < s->members_n; i++)
        s->members[i] = member_new(i);
    if (options->has_group) /* until group_script adds it */
        member_pause(s, s->members[3], UINT64_MAX / 2);
    return s;
}

void sim_free(struct sim *s)
{
    thread_self = NULL;
    if (s->broker != NULL)
        sim_down(s, SIM_KILL);
    for (uint32_t i = 0; i < s->clients_n; i++)
        client_free(s->clients[i]);
    for (uint32_t i = 0; i < s->members_n; i++)
        member_free(s->members[i]);
    if (s->operator!= NULL)
        operator_free(s->operator);
    model_free(s);
    if (s->net != NULL)
        sim_net_free(s->net);
    config_free(s->config);
    sim_disk_free(s->disk);
    free(s);
}

static void counts_add(struct sim_counts *to, const struct sim_counts *c)
{
    to->kills += c->kills;
    to->power_cuts += c->power_cuts;
    to->faults += c->faults;
    to->rolls += c->rolls;
    to->compactions += c->compactions;
    to->logs_failed += c->logs_failed;
    to->dirs_failed += c->dirs_failed;
    to->logs_cut += c->logs_cut;
    to->deletions += c->deletions;
}

static bool sim_run(const struct sim_options *options, bool expect_failure,
                    struct sim_counts *counts)
{
    struct sim *s = sim_new(options);
    bool ok = sim_script(s) && s->why[0] == 0;
    uint64_t frames_n = 0, lost_n = 0;
    if (s->net != NULL)
        sim_net_counts(s->net, &frames_n, &lost_n);
    if (!ok && !expect_failure)
        printf("seed %" PRIu64 " FAILED after %" PRIu64 " turns, %" PRIu64 " crashes: %s\n"
               "  replay: build/sim --seed %" PRIu64 " --workers %u%s%s%s%s%s%s%s%s --verbose\n",
               options->seed, s->turns_n, s->crashes_n, s->why, options->seed, options->workers_n,
               options->durability == STORE_RELAXED ? " --relaxed" : "",
               options->has_faults ? " --faults" : "", options->has_net ? " --net" : "",
               options->has_group ? " --group" : "", options->has_changes ? " --changes" : "",
               options->is_compacting ? " --compact" : "", options->is_packing ? " --pack" : "",
               options->has_no_journal ? " --no-journal" : "");
    else if (options->is_verbose)
        printf("seed %" PRIu64 ": %" PRIu64 " turns, %" PRIu64 " crashes, %" PRIu64
               " acknowledged, %" PRIu64 " read, %" PRIu64 " compactions, %" PRIu64 " of %" PRIu64
               " moves, %u members of kind %u made %" PRIu64 " commits, %" PRIu64
               " frames, %" PRIu64 " lost%s%s\n",
               options->seed, s->turns_n, s->crashes_n, s->acked_n, s->seen_n,
               s->counts.compactions, s->moved_n, s->moves_n, s->members_n, s->group_kind,
               s->group_commits_n, frames_n, lost_n, ok ? "" : ": ", s->why);
    counts_add(counts, &s->counts);
    sim_free(s);
    return ok;
}

static const char *const plant_names[] = {
#define PLANT(name, text) text,
    SIM_PLANTS(PLANT)
#undef PLANT
};

/* The checks must be able to fail: some seed of these has to find each planted bug. */
static bool sim_canary(struct sim_options options, enum sim_plant plant)
{
    struct sim_counts counts = {0};
    options.plant = plant;
    options.durability = STORE_GROUP;
    options.has_no_journal = options.has_faults = false;
    if (plant == SIM_PLANT_NO_CLEAN_SYNC) {
        options.is_compacting = true;
        options.run_ns = SIM_COMPACT_RUN_NS;
    }
    options.has_changes = plant == SIM_PLANT_HEIR || plant == SIM_PLANT_START_LOST;
    for (uint64_t seed = 1; seed <= CANARY_SEEDS; seed++) {
        options.seed = seed;
        options.workers_n = seed % 2 == 0 ? 3 : 1;
        if (!sim_run(&options, true, &counts)) {
            if (options.is_verbose)
                printf("canary %s: found by seed %" PRIu64 "\n", plant_names[plant], seed);
            return true;
        }
    }
    printf("canary FAILED: no seed found the planted bug %s\n", plant_names[plant]);
    return false;
}

static bool plant_parse(const char *name, enum sim_plant *plant)
{
    for (int i = 0; i < SIM_PLANTS_N; i++) {
        if (strcmp(name, plant_names[i]) == 0) {
            *plant = (enum sim_plant)i;
            return true;
        }
    }
    return false;
}

static int usage(void)
{
    printf(
        "sim - the whole broker in one thread from one seed\n\n"
        "  --seeds N      seeds 1..N with 1 and 3 workers by turns (default 20), then the canary\n"
        "  --seed S       this seed only\n"
        "  --workers N    with --seed: 1 or 3 (default 1)\n"
        "  --relaxed      storage.durability=relaxed\n"
        "  --faults       disk operations fail now and then: EIO, ENOSPC, short writes\n"
        "  --group        three members of a group: one is killed, one added, one stands still\n"
        "  --net          clients come by our own TCP, over a network that loses, doubles, "
        "reorders\n"
        "                 and breaks frames; of --seeds every fourth does\n"
        "  --changes      topics are deleted and made again, records deleted, partitions added, "
        "logs cut\n"
        "  --compact      the last topic is a compacted one\n"
        "  --pack         topics compress anew what producers send; all batches are inflated\n"
        "  --plant NAME   a planted bug (sim_disk.h): no-flush, ring-flush, tail-early ..\n"
        "  --canary       whether each planted bug is found, and by which seed\n"
        "  --no-journal   storage.journal.bytes=0: each file is flushed\n"
        "  --run-ms MS    virtual time of load\n"
        "  --admin[=NAME] each request that changes something (or this one), cut off by a kill and "
        "by\n"
        "                 a power cut at each disk operation; --at N, --cut kill|power: this one\n"
        "  --verbose      say what happens\n");
    return 2;
}

/* What the command line asks for. */
struct asked {
    struct sim_options options;
    uint64_t seeds, seed; /* seed 0: all from 1 to seeds */
    bool is_canary;
    const char *admin_name; /* --admin: this request only; NULL: all */
    uint64_t run_ns;        /* 0: what the seed says */
};

/* Seed `i` of a run over many: every mixture comes up. */
static struct sim_options options_of_seed(const struct asked *asked, uint64_t i)
{
    struct sim_options o = asked->options;
    o.seed = i;
    if (asked->seed == 0) {
        o.workers_n = i % 2 == 0 ? 3 : 1;
        o.durability = i % 5 == 0 ? STORE_RELAXED : STORE_GROUP;
        o.has_faults |= i % 4 == 3;
        o.has_no_journal = i % 6 == 5;
        o.has_net |= !o.has_group && (i % 8 == 1 || i % 8 == 4);
        o.has_changes |= i % 11 % 2 == 0;
        o.has_group |= i % 3 == 1 && !o.has_changes;
        o.is_compacting = i % 3 == 0;
        o.is_packing |= i % 4 >= 2 && i % 5 < 3; /* of those with faults, too */
    }
    if (asked->run_ns != 0) {
        o.run_ns = asked->run_ns;
        return o;
    }
    o.run_ns = !o.is_compacting ? SIM_RUN_NS : o.has_faults ? SIM_RUN_NS * 2 : SIM_COMPACT_RUN_NS;
    return o;
}

static bool options_parse(int argc, char **argv, struct asked *asked)
{
    static const struct option longs[] = {
        {"seeds", 1, NULL, 'n'},
        {"seed", 1, NULL, 's'},
        {"workers", 1, NULL, 'w'},
        {"relaxed", 0, NULL, 'r'},
        {"faults", 0, NULL, 'd'},
        {"plant", 1, NULL, 'p'},
        {"canary", 0, NULL, 'y'},
        {"verbose", 0, NULL, 'v'},
        {"group", 0, NULL, 'g'},
        {"net", 0, NULL, 't'},
        {"compact", 0, NULL, 'c'},
        {"pack", 0, NULL, 'k'},
        {"changes", 0, NULL, 'x'},
        {"no-journal", 0, NULL, 'j'},
        {"admin", 2, NULL, 'a'},
        {"at", 1, NULL, 'o'},
        {"cut", 1, NULL, 'q'},
        {"run-ms", 1, NULL, 'm'},
        {0},
    };
    struct sim_options *options = &asked->options;
    for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (o) {
        case 'n': asked->seeds = strtoull(optarg, NULL, 10); break;
        case 's': asked->seed = strtoull(optarg, NULL, 10); break;
        case 'w': options->workers_n = (uint8_t)strtoul(optarg, NULL, 10); break;
        case 'd': options->has_faults = true; break;
        case 'g': options->has_group = true; break;
        case 'x': options->has_changes = true; break;
        case 'r': options->durability = STORE_RELAXED; break;
        case 't': options->has_net = true; break;
        case 'c': options->is_compacting = true; break;
        case 'k': options->is_packing = true; break;
        case 'j': options->has_no_journal = true; break;
        case 'y': asked->is_canary = true; break;
        case 'v': options->is_verbose = true; break;
        case 'a':
            options->is_admin = true;
            asked->admin_name = optarg;
            break;
        case 'o': options->cut_at = strtoull(optarg, NULL, 10); break;
        case 'q':
            options->cut_kinds = (uint8_t)(1u << (optarg[0] == 'k' ? SIM_KILL : SIM_POWER));
            break;
        case 'm': asked->run_ns = strtoull(optarg, NULL, 10) * NS_PER_MS; break;
        case 'p':
            if (plant_parse(optarg, &options->plant))
                break;
            return false;
        default: return false;
        }
    }
    return true;
}

/* --admin: seeds 1 and 2 (1 and 3 workers), then the planted bugs it has to find. */
static int admin_main(const struct asked *asked)
{
    static const enum sim_plant plants[] = {SIM_PLANT_METADATA_FLUSH, SIM_PLANT_DROP_EARLY};
    uint64_t cuts_n = 0, failed = 0, seeds = asked->seeds == 0 ? 2 : asked->seeds;
    bool is_one = asked->seed != 0;
    for (uint64_t i = is_one ? asked->seed : 1; i <= (is_one ? asked->seed : seeds); i++) {
        struct sim_options o = asked->options;
        o.seed = i;
        o.workers_n = is_one ? o.workers_n : i % 2 == 0 ? 3 : 1;
        failed += !admin_run(&o, asked->admin_name, &cuts_n);
    }
    for (size_t i = 0; asked->is_canary && i < array_n(plants); i++) {
        struct sim_options o = asked->options;
        uint64_t n = 0;
        o.seed = 1;
        o.plant = plants[i];
        if (admin_run(&o, o.plant == SIM_PLANT_DROP_EARLY ? "delete-written-topics" : NULL, &n)) {
            printf("canary FAILED: no cut found the planted bug %s\n", plant_names[plants[i]]);
            failed++;
        }
    }
    printf("%" PRIu64 " cuts of admin requests, %" PRIu64 " failed\n", cuts_n, failed);
    return failed > 0;
}

int main(int argc, char **argv)
{
    struct asked asked = {.options = {.workers_n = 1, .durability = STORE_GROUP, .crashes_max = 4}};
    struct sim_counts counts = {0};
    uint64_t passed = 0, failed = 0;
    if (!options_parse(argc, argv, &asked))
        return usage();
    if (asked.options.is_admin)
        return admin_main(&asked);
    asked.seeds = asked.seeds == 0 ? 20 : asked.seeds;
    bool is_one = asked.seed != 0;
    for (uint64_t i = is_one ? asked.seed : 1; i <= (is_one ? asked.seed : asked.seeds); i++) {
        struct sim_options options = options_of_seed(&asked, i);
        bool ok = sim_run(&options, false, &counts);
        passed += ok;
        failed += !ok;
    }
    enum sim_plant last = asked.is_canary ? SIM_PLANTS_N - 1 : SIM_PLANT_NO_FLUSH;
    for (enum sim_plant plant = SIM_PLANT_NO_FLUSH; !is_one && plant <= last; plant++) {
        struct sim_options options = {
            .crashes_max = 4, .run_ns = SIM_RUN_NS, .is_verbose = asked.options.is_verbose};
        if (plant == SIM_PLANT_DROP_EARLY)
            continue; /* --admin finds it */
        bool ok = sim_canary(options, plant);
        passed += ok;
        failed += !ok;
    }
    printf("%" PRIu64 " kills, %" PRIu64 " power cuts, %" PRIu64 " faults, %" PRIu64
           " rolls, %" PRIu64 " compactions, %" PRIu64 " logs failed, %" PRIu64
           " directories failed, %" PRIu64 " logs cut at a start, %" PRIu64 " deletions\n",
           counts.kills, counts.power_cuts, counts.faults, counts.rolls, counts.compactions,
           counts.logs_failed, counts.dirs_failed, counts.logs_cut, counts.deletions);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", passed, failed);
    return failed > 0;
}
